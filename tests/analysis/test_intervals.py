"""Intervals: Wilson's wherever a share is counted, and none where nothing varies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from analysis.results import (
    agreement,
    item_draws,
    log_ratio,
    steering,
    transfer,
    written,
)
from analysis.results.answers import Answers
from analysis.shared import checks
from analysis.statistics import intervals, resample, translation
from tests.analysis.test_generate_page import found, rows_of, store
from tests.makers.analysis_rows import generation_rows
from tests.makers.answered import record


def answered(right: dict[str, int], *, of: int) -> list[Answers]:
    """The first items right, the others wrong in one way, in every language."""
    scores = {True: [3.0, 2.0, 1.0], False: [2.0, 3.0, 1.0]}
    return [
        record(
            np.array([scores[place < hits] for place in range(of)]),
            gold=np.zeros(of, np.int64),
            language=language,
        )
        for language, hits in right.items()
    ]


@pytest.mark.parametrize("hits", [0, 1, 7, 19, 20])
def test_shares_of_written_texts_have_wilsons_interval(tmp_path: Path, hits: int) -> None:
    scores = [1.0] * hits + [0.0] * (20 - hits)
    own = found(store(tmp_path / "run", rows_of(["x"] * 20, scores=scores)))
    expected = proportion_confint(hits, 20, method="wilson")
    for metric in ("exact", "f1", "f1_mixed"):
        assert tuple(own.loc[metric, ["low", "high"]]) == pytest.approx(expected)
    everyone = proportion_confint(20, 20, method="wilson")
    for metric in ("in_language", "in_script", "stopped"):
        assert tuple(own.loc[metric, ["low", "high"]]) == pytest.approx(everyone)
    # Every text has one token: no number of equal amounts says how far another could lie.
    assert own.loc["tokens", ["low", "high"]].isna().all()


def test_the_interval_of_a_share_that_is_graded_and_does_not_vary(tmp_path: Path) -> None:
    own = found(store(tmp_path / "run", rows_of(["x"] * 20, scores=[0.25] * 20)))
    low, high = proportion_confint(5, 20, method="wilson")
    assert tuple(own.loc["f1", ["low", "high"]]) == pytest.approx((low, high))


@pytest.mark.parametrize(("task", "scores"), [("translation", [0.0] * 8), ("number", [0.0] * 8)])
def test_no_interval_has_no_width(tmp_path: Path, task: str, scores: list[float]) -> None:
    texts = [""] * 8
    own = found(store(tmp_path / "run", rows_of(texts, task=task, scores=scores, pivot="eng_Latn")))
    width = own["high"] - own["low"]
    assert not (width == 0).any()
    assert (width > 0).any() and own.loc["empty", "high"] == 1.0


def test_samples_of_one_prompt_count_as_one_where_they_are_alike() -> None:
    twice = np.array([2.0] * 6 + [0.0] * 14), np.full(20, 2.0)
    once = proportion_confint(6, 20, method="wilson")
    assert intervals.of_groups(*twice) == pytest.approx(once)
    none = np.zeros(20), np.full(20, 5.0)
    assert intervals.of_groups(*none) == pytest.approx(proportion_confint(0, 20, method="wilson"))
    # Nothing varies between prompts: their number is all that is known.
    even = np.ones(20), np.full(20, 2.0)
    assert intervals.of_groups(*even) == pytest.approx(proportion_confint(10, 20, method="wilson"))
    assert all(np.isnan(intervals.of_groups(np.zeros(3), np.zeros(3))))


def test_wilson_of_nothing_is_missing() -> None:
    low, high = intervals.wilson(np.array([0.0, 0.0]), n=np.array([0.0, 20.0]))
    assert np.isnan(low[0]) and np.isnan(high[0])
    assert (low[1], high[1]) == pytest.approx(proportion_confint(0, 20, method="wilson"))


@pytest.mark.parametrize("right", [0, 20])
def test_tables_of_answers_that_are_all_right_or_all_wrong(right: int) -> None:
    codes = ("eng_Latn", "deu_Latn", "fra_Latn")
    row = transfer.overall(answered(dict.fromkeys(codes, right), of=20)).iloc[0]
    expected = proportion_confint(right, 20, method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(expected)
    of = "tr_plus" if right else "tr_minus"
    assert row[f"{of}_high"] - row[f"{of}_low"] > 0.1
    # Rankings that agree in every draw, and excesses, have none.
    assert np.isnan(row["consistency_low"]) and np.isnan(row["excess_plus_low"])


def test_transfer_from_the_pivot_has_wilsons_interval_over_what_the_pivot_knows() -> None:
    own = transfer.by_language(answered({"eng_Latn": 8, "deu_Latn": 20}, of=20))
    german = own.set_index("language").loc["deu_Latn"]
    assert german["transfer_pivot"] == 1.0
    expected = proportion_confint(8, 8, method="wilson")
    ends = german["transfer_pivot_low"], german["transfer_pivot_high"]
    assert ends == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_means_of_equal_values_have_no_interval(value: float, count: int) -> None:
    values = np.full(count, value)
    mean, low, high = log_ratio.t_interval(values)
    assert mean == pytest.approx(value) and np.isnan([low, high]).all()
    assert np.isnan(resample.mean_interval(values)).all()
    # As pandas computes it, which may leave a trace of rounding.
    assert np.isnan(intervals.student(value, sd=pd.Series(values).std(), n=count)).all()


def test_means_of_unlike_values_keep_theirs() -> None:
    values = np.array([0.1, 0.2, 0.4, 0.3])
    assert not np.isnan(log_ratio.t_interval(values)).any()
    assert not np.isnan(resample.mean_interval(values)).any()


def test_corpus_scores_that_agree_in_every_draw_have_no_interval() -> None:
    rows = generation_rows(
        "m", revision="main", outputs=["x"] * 9, references=[["quite different"]] * 9
    )
    assert translation.quality(rows)[["low", "high"]].isna().all(axis=None)


def test_a_change_of_consistency_without_any_move_has_no_interval() -> None:
    x = agreement.standardised(np.array([[1.0, 2.0, 3.0, 2.0, 1.0, 3.0]]))[0]
    pivot = steering._Pivot(
        items=np.arange(2), correct=np.zeros(2, bool), ranking=x, before=x, starts=np.array([0, 3])
    )
    r, s, change, low, high = steering._consistency(pivot, x[None])
    assert (r, s) == pytest.approx((1, 1)) and change == 0 and np.isnan([low, high]).all()


def test_the_width_of_resampled_scores_counts_those_at_the_edge() -> None:
    rows = pd.DataFrame({"value": [0.0, 0.5], "n": [20, 20], "low": [0, 0.3], "high": [0, 0.7]})
    low, high = proportion_confint(0, 20, method="wilson")
    assert checks.width(rows) == pytest.approx(np.mean([high - low, 0.4]))


def test_no_other_file_makes_an_interval_of_its_own() -> None:
    folder = Path(written.__file__).parents[1]
    assert folder.name == "analysis"
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "intervals.py":
            for word in ("percentile(", "nanpercentile", "proportion_confint", "t.interval"):
                assert word not in text, (
                    f"{path.name} has {word}: analysis/statistics/intervals.py has it"
                )
    assert item_draws.overall.__doc__ is not None

"""A model along its training: every number counted again from planted answers and scores."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from analysis import read, trends
from analysis.layout.material import Material
from analysis.statistics import checkpoints
from analysis.trends.course import BEST, LAST, Course, course, courses
from analysis.trends.measured import Measured, Place
from tests.makers import trained
from tests.makers.trained import LANGUAGES, Bools, drawn, steps, write


def course_of(run: Path) -> Course:
    (found,) = courses(Material(read.rows([run])))
    return found


def row_of(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    """The one row with these values."""
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def mean_of(answers: Mapping[str, Bools], languages: tuple[str, ...] = LANGUAGES) -> float:
    return float(np.mean([answers[code].mean() for code in languages]))


@pytest.mark.parametrize(
    ("names", "dates", "order", "axis", "unplaced"),
    [
        (["main", "step-20", "step-100"], {}, ["step-20", "step-100", "main"], "step", []),
        (["checkpoint-3", "iter_0002", "x"], {}, ["iter_0002", "checkpoint-3", "x"], "step", []),
        (["step10-t4B", "step2-t1B"], {}, ["step2-t1B", "step10-t4B"], "step", []),
        (["b", "a"], {"a": "2025-02-01", "b": "2025-01-31"}, ["b", "a"], "date", []),
        (["b", "a"], {"a": "2025-02-01"}, [], "", ["a", "b"]),
        (["b", "a", "step-1"], {}, ["step-1"], "step", ["a", "b"]),
        (
            ["stage2-step5", "stage1-step90"], {"stage1-step90": "2025-01-01",
            "stage2-step5": "2025-03-01"}, ["stage1-step90", "stage2-step5"], "date", [],
        ),
        (["stage2-step5", "stage1-step90"], {}, ["stage2-step5", "stage1-step90"], "step", []),
    ],
)  # fmt: skip
def test_states_are_in_the_order_of_training(
    names: list[str], dates: dict[str, str], order: list[str], axis: str, unplaced: list[str]
) -> None:
    when = {name: pd.Timestamp(text, tz="UTC") for name, text in dates.items()}
    found = checkpoints.ordered(names, dates=when)
    assert (list(found.revisions), found.axis, list(found.unplaced)) == (order, axis, unplaced)
    assert list(found.places) == sorted(found.places)
    stages = axis == "step" and any("stage" in name for name in names)
    assert found.mixed == (("stage1", "stage2") if stages else ())


def test_means_are_of_the_same_languages_and_a_state_with_few_is_in_none() -> None:
    there = np.ones((5, 4), dtype=bool)
    there[1, 0] = False
    there[3, 1:] = False
    states, languages = checkpoints.common(there)
    assert states.tolist() == [True, True, True, False, True]
    assert languages.tolist() == [False, True, True, True]
    nothing, none = checkpoints.common(np.eye(3, dtype=bool))
    assert not nothing.any() and not none.any()


def test_a_change_of_answers_is_counted_item_by_item(tmp_path: Path) -> None:
    answers = drawn(steps(3), rise=0.2, seed=4)
    found = course_of(write(tmp_path / "run", answers=answers))
    for place, (before, after) in {"step-200": steps(2), "step-300": steps(3)[1:]}.items():
        row = row_of(found.untested, revision=place, against=LAST)
        old, new = answers[before], answers[after]
        assert row["before"] == pytest.approx(mean_of(old))
        assert row["after"] == pytest.approx(mean_of(new))
        assert row["change"] == pytest.approx(mean_of(new) - mean_of(old))
        assert (row["languages"], row["items"]) == (len(LANGUAGES), 40)
        each = np.array([new[code].astype(int) - old[code].astype(int) for code in LANGUAGES])
        assert row["p"] > stats.ttest_1samp(each.mean(axis=1), 0).pvalue / 50
        assert row["low"] < row["change"] < row["high"]
    level = row_of(found.levels, revision="step-100")
    assert level["value"] == pytest.approx(mean_of(answers["step-100"]))


def test_scores_without_items_are_scipys_paired_t_over_languages(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    scores = {
        name: dict(zip(LANGUAGES, random.uniform(0.2, 0.8, len(LANGUAGES)), strict=True))
        for name in steps(3)
    }
    found = course_of(write(tmp_path / "run", scores=scores))
    row = row_of(found.untested, revision="step-300", against=LAST)
    usual = stats.ttest_rel(*(list(scores[name].values()) for name in ("step-300", "step-200")))
    assert row["p"] == pytest.approx(usual.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(usual.confidence_interval()))
    level = row_of(found.levels, revision="step-300")
    own = stats.ttest_1samp(list(scores["step-300"].values()), 0).confidence_interval()
    assert (level["low"], level["high"]) == pytest.approx(tuple(own))


def test_one_language_has_mcnemars_exact_test_and_wilsons_interval(tmp_path: Path) -> None:
    answers = drawn(steps(2), languages=("deu_Latn",), rise=0.5, seed=1, items=60)
    found = course_of(write(tmp_path / "run", answers=answers))
    old, new = (answers[name]["deu_Latn"] for name in steps(2))
    row = row_of(found.untested, against=LAST)
    table = [[(old & new).sum(), (old & ~new).sum()], [(~old & new).sum(), (~old & ~new).sum()]]
    assert row["test"] == "McNemar" and row["p"] == pytest.approx(mcnemar(table).pvalue)
    assert row["change"] == pytest.approx((table[1][0] - table[0][1]) / 60)
    level = row_of(found.levels, revision="step-200")
    own = stats.binomtest(int(new.sum()), 60).proportion_ci(method="wilson")
    assert (level["low"], level["high"]) == pytest.approx((own.low, own.high))


def test_languages_are_those_that_both_states_have(tmp_path: Path) -> None:
    answers = drawn(steps(3), seed=5)
    del answers["step-200"]["deu_Latn"]
    found = course_of(write(tmp_path / "run", answers=answers))
    rest = LANGUAGES[1:]
    for name in ("step-200", "step-300"):
        row = row_of(found.untested, revision=name, against=LAST)
        assert row["languages"] == 5
        assert row["after"] == pytest.approx(mean_of(answers[name], rest))
        assert row["before"] == pytest.approx(mean_of(answers[row["other"]], rest))
    assert set(found.levels["languages"]) == {5}
    values = [mean_of(answers[name], rest) for name in steps(3)]
    assert found.levels["value"].tolist() == pytest.approx(values)


def test_items_are_those_that_both_states_have_and_other_questions_are_none(tmp_path: Path) -> None:
    answers = drawn(steps(2), seed=6)
    rows = trained.answer_rows(answers)
    fewer = rows[(rows["revision"] == "step-100") | (rows["item"] < "0030")].copy()
    changed = (fewer["revision"] == "step-200") & (fewer["item"] < "0003")
    fewer.loc[changed, "gold"] = 2
    found = course_of(trained.write_run(tmp_path / "run", items=fewer))
    row = row_of(found.untested, against=LAST)
    kept = {name: {code: own[3:30] for code, own in answers[name].items()} for name in answers}
    assert row["items"] == 27
    assert row["before"] == pytest.approx(mean_of(kept["step-100"]))
    assert row["after"] == pytest.approx(mean_of(kept["step-200"]))


def test_a_state_with_too_few_languages_is_in_no_mean_and_says_why(tmp_path: Path) -> None:
    answers = drawn(steps(4), seed=7)
    answers["step-200"] = {"fra_Latn": answers["step-200"]["fra_Latn"]}
    found = course_of(write(tmp_path / "run", answers=answers))
    level = row_of(found.levels, revision="step-200")
    assert np.isnan(level["value"]) and level["note"] == "1 of 6 languages: in no mean"
    assert set(found.levels["languages"]) == {0, 6}
    best = row_of(found.untested, revision="step-400", against=BEST)
    assert best["candidates"] == 2 and best["other"] != "step-200"
    assert row_of(found.untested, revision="step-300", against=LAST)["languages"] == 1


def test_the_best_before_is_the_highest_mean_and_pays_for_being_chosen(tmp_path: Path) -> None:
    answers = drawn(steps(6), seed=8)
    found = course_of(write(tmp_path / "run", answers=answers))
    means = {name: mean_of(answers[name]) for name in steps(6)}
    row = row_of(found.untested, revision="step-600", against=BEST)
    assert row["other"] == max(steps(5), key=means.__getitem__) and row["candidates"] == 5
    plain = course_of(
        write(
            tmp_path / "pair", answers={name: answers[name] for name in (row["other"], "step-600")}
        )
    )
    alone = row_of(plain.untested, against=LAST)
    if alone["change"] != row["change"]:
        # Of a pair the other may be the later one.
        assert alone["change"] == pytest.approx(-row["change"])
    assert row["p"] == pytest.approx(min(1.0, 5 * alone["p"]))
    assert row["high"] - row["low"] > alone["high"] - alone["low"]
    assert not (found.untested["against"] == BEST)[found.untested["revision"] == "step-200"].any()


def test_every_table_is_corrected_by_holm_over_all_of_it(tmp_path: Path) -> None:
    answers = drawn(steps(5), rise=0.1, seed=9)
    scores = {
        name: {code: mean_of(own, (code,)) for code in LANGUAGES} for name, own in answers.items()
    }
    found = course_of(write(tmp_path / "run", answers=answers, scores=scores))
    for frame in (found.changes, found.now, found.by_language):
        known = frame["p"].notna()
        expected = multipletests(frame.loc[known, "p"], method="holm")[1]
        assert frame.loc[known, "p_corrected"].to_numpy() == pytest.approx(expected)
        assert set(frame["correction"]) == {f"holm over {known.sum()}"}
    assert len(found.now) == 4 and len(found.changes) == 2 * (4 + 3)
    assert len(found.by_language) == 2 * len(LANGUAGES)
    own = row_of(found.by_language, measure="accuracy", language="rus_Cyrl")
    old, new = (answers[name]["rus_Cyrl"] for name in steps(5)[-2:])
    moved = int((new & ~old).sum()), int((old & ~new).sum())
    assert own["p"] == pytest.approx(stats.binomtest(min(moved), sum(moved)).pvalue)
    boot = row_of(found.now, measure="accuracy", against=LAST)
    width = (boot["boot_high"] - boot["boot_low"]) / (boot["high"] - boot["low"])
    assert 0.5 < width < 2
    assert found.now.loc[found.now["measure"] == "nasca", "boot_low"].isna().all()


def test_no_number_is_missing_without_a_reason(tmp_path: Path) -> None:
    scores = {name: {"deu_Latn": 0.4} for name in steps(2)}
    answers = drawn(steps(2), seed=3)
    answers["step-200"] = {code: own.copy() for code, own in answers["step-100"].items()}
    found = course_of(write(tmp_path / "run", answers=answers, scores=scores))
    notes = found.changes.set_index("measure")["note"].to_dict()
    assert notes == {"nasca": "one language: no test", "accuracy": "nothing varies: no test"}
    apart = {"step-100": {"deu_Latn": 0.1}, "step-200": {"fra_Latn": 0.2}}
    found = course_of(write(tmp_path / "apart", scores=apart))
    assert found.changes["note"].tolist() == ["no language in common"]
    assert set(found.levels["note"]) == {"no language that all states have"}
    for frame in (found.changes, found.levels, found.by_language):
        numbers = frame.select_dtypes("number").drop(columns="step", errors="ignore")
        assert (frame["note"].ne("") | numbers.notna().all(axis="columns")).all()


def test_tables_of_states_that_are_alike_have_a_false_find_once_in_twenty() -> None:
    """All states are drawn around the same skill, and what is hard at one is hard in all languages:
    neither the newest table nor that of all states finds anything more often than it may."""
    rounds = 600
    most = float(stats.binom.isf(1e-5, rounds, 0.05))
    newest = every = 0
    for seed in range(rounds):
        found = made_of(drawn(steps(6), seed=seed, shared=0.5)).untested
        # The smallest p that Holm corrects is multiplied by the number of them.
        last = found.loc[found["revision"] == "step-600", "p"]
        newest += last.min() * len(last) < 0.05
        every += found["p"].min() * len(found) < 0.05
    assert newest <= most and every <= most


def made_of(answers: trained.Answers) -> Course:
    """A model whose one measure are these answers."""
    grid = np.array([[own[code] for code in LANGUAGES] for own in answers.values()], dtype=float)
    measured = Measured(
        place=Place("m/one", "accuracy", "belebele", ""), revisions=tuple(answers),
        languages=LANGUAGES, values=grid.mean(axis=2), grid=grid, cut=(0,) * len(answers),
        share=True,
    )  # fmt: skip
    found = course("m/one", [measured], records={})
    assert found is not None
    return found


def test_a_planted_fall_is_found_and_where_the_level_changes(tmp_path: Path) -> None:
    answers = drawn(steps(12), seed=11, items=100)
    for name in steps(12)[8:]:
        fallen = drawn([name], seed=int(name[5:]), items=100)[name]
        answers[name] = {code: own & fallen[code] for code, own in answers[name].items()}
    found = course_of(write(tmp_path / "run", answers=answers))
    first = row_of(found.changes, revision="step-900", against=LAST)
    assert first["change"] < -0.15 and first["p_corrected"] < 0.001
    (cut,) = found.cuts.to_dict("records")
    assert cut["revision"] == "step-900" and not cut["slope"] and cut["p_corrected"] < 0.05
    means = [mean_of(answers[name]) for name in steps(12)]
    assert (cut["before"], cut["after"]) == pytest.approx((np.mean(means[:8]), np.mean(means[8:])))


def test_dates_and_what_was_lost_come_from_the_watch(tmp_path: Path) -> None:
    answers = drawn(["one", "two"], seed=1)
    run = write(tmp_path / "run", answers=answers)
    unknown = course_of(run)
    assert unknown.order.unplaced == ("one", "two") and not unknown.measured
    write(tmp_path / "run", dates={"one": "2026-02-03T04:05:00Z", "two": "2026-01-01T00:00:00Z"})
    found = course_of(run)
    assert found.order.revisions == ("two", "one") and found.order.axis == "date"
    assert found.changes["date"].tolist() == ["2026-02-03 04:05"]
    assert found.newest == "one"


def test_the_package_answers_without_a_page(tmp_path: Path) -> None:
    answers = drawn(steps(3), rise=0.3, seed=2)
    run = write(tmp_path / "run", answers=answers)
    every = trends.changes([run])
    assert len(every) == 3 and set(every["correction"]) == {"holm over 3"}
    last = trends.changes([run], model="m/one", revision="step-300")
    assert set(last["revision"]) == {"step-300"} and set(last["correction"]) == {"holm over 2"}
    nothing = trends.changes([run], model="another")
    assert nothing.empty and list(nothing.columns) == list(every.columns)
    assert trends.crossed(nothing, ["nasca -0.1"]).empty

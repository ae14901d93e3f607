"""Runs as tidy frames: the same numbers as the report's own frames, every answer once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import read
from analysis.questions.covariates import COVARIATES, facts, with_languages
from analysis.questions.tidy import CELL, cells, items, languages
from analysis.results.answers import answers
from analysis.statistics import scores
from studies.languages import all_codes, language
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

SCORES = planted(3)
ACCURACIES = follow(SCORES, slope=0.5, start=0.2, noise=0.05, seed=3)


def plain(model: str = "m/one", **given: object) -> pd.DataFrame:
    return item_rows(model, accuracies=ACCURACIES, n=20, **given)  # type: ignore[arg-type]


def steered(model: str = "m/one", *, share: float = 0.5) -> pd.DataFrame:
    """Answers of two languages at two layers and coefficients, and at none."""
    parts = []
    for layer, coefficient in ((None, 0.0), (2, 1.0), (2, -1.5), (3, 1.0)):
        rows = item_rows(model, accuracies={"deu_Latn": share, "swh_Latn": share / 2}, n=10)
        setting = {"intervention": "steer", "layer": layer, "coefficient": coefficient}
        keys = rows["key"] + f"/{layer}/{coefficient}"
        parts.append(rows.assign(**setting, key=keys))
    return pd.concat(parts, ignore_index=True)


def test_items_are_the_rows_with_margins_and_what_is_known_of_the_language(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=pd.concat([plain(), steered()]))
    found = items(run)
    expected = read.rows([run]).items
    assert len(found) == len(expected) == 13 * 20
    places = ["language", "item"]
    both = found.astype({"language": str, "item": str}).merge(
        expected, on=places, suffixes=("", "_row"), validate="one_to_one"
    )
    assert (both["correct"] == both["correct_row"]).all()
    assert (both["options"] == 4).all() and found["intervention"].isna().all()
    # A right answer has score 0 and the others -1; of a wrong one it is the other way round.
    assert (both["margin"] == np.where(both["correct"] == 1, 1.0, -1.0)).all()
    german = found[found["language"] == "deu_Latn"].iloc[0]
    assert german[list(COVARIATES)].to_list() == [
        "Indo-European",
        "Indo-European/Germanic",
        "Latn",
        5,
    ]
    assert found.attrs["notes"] == []


def test_steered_items_and_cells_are_those_of_the_records_of_answers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=pd.concat([plain(), steered()]))
    every = items([run], steered=True, columns=("correct",))
    assert len(every) == 13 * 20 + 4 * 2 * 10
    by_cell = cells(run).set_index(["language", "intervention", "layer", "coefficient"])
    assert len(by_cell) == 13 + 8
    again = every.groupby(CELL, dropna=False, observed=True)["correct"].agg(["mean", "size"])
    expected = answers([run])
    assert len(again) == len(expected) == len(by_cell)
    for one in expected:
        place = one.language, one.intervention, one.layer, one.coefficient
        rows = by_cell.reset_index()
        for name, value in zip(by_cell.index.names, place, strict=True):
            rows = rows[rows[name].isna() if value is None else rows[name] == value]
        assert len(rows) == 1
        row = rows.iloc[0]
        assert (row["n"], row["chance"]) == (len(one.items), 0.25)
        assert row["accuracy"] == pytest.approx(one.correct.mean())
        assert row["low"] < row["accuracy"] < row["high"] or row["accuracy"] in (0, 1)
    alone = cells(run, steered=False)
    assert len(alone) == 13 and alone["intervention"].isna().all()


def test_answers_of_several_runs_count_once_and_the_larger_is_kept(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", items=pd.concat([plain(), steered()]))
    copy = plain().assign(model="copy")
    second = write_run(tmp_path / "b", items=pd.concat([steered(), copy, plain("m/two")]))
    found = items([first, second], steered=True, columns=("correct",))
    assert set(found["model"]) == {"m/one", "m/two"}
    assert len(found) == 2 * 13 * 20 + 80
    assert not found.duplicated([*CELL, "item"]).any()
    assert any("copy and m/one are the same weights" in one for one in found.attrs["notes"])
    few = item_rows("m/one", accuracies={"deu_Latn": 1.0}, n=5)
    many = item_rows("m/one", accuracies={"deu_Latn": 0.0}, n=9)
    third = write_run(tmp_path / "c", items=pd.concat([many, few]))
    kept = items(third)
    assert len(kept) == 9 and not kept["correct"].any()
    assert any("more than one answer" in one for one in kept.attrs["notes"])


def test_what_is_missing_is_missing_and_said(tmp_path: Path) -> None:
    rows = plain()
    rows["scores"] = [None if place % 2 else value for place, value in enumerate(rows["scores"])]
    rows = rows.astype({"correct": "boolean", "prediction": "Int32"})
    rows.loc[0, ["prediction", "correct"]] = pd.NA
    run = write_run(tmp_path / "run", items=rows)
    found = items(run)
    assert found["margin"].isna().sum() == 130
    assert any("130 answers have no margin" in one for one in found.attrs["notes"])
    lost = found[found["prediction"].isna()]
    assert len(lost) == 1 and lost["correct"].isna().all()
    own = cells(run).set_index("language")
    assert own["n"].sum() == 13 * 20 - 1
    mean = found.groupby("language", observed=True)["correct"].mean().astype(float)
    assert own["accuracy"].to_dict() == pytest.approx(mean.to_dict())


def test_options_of_different_numbers_have_their_own_margins(tmp_path: Path) -> None:
    rows = plain().iloc[:4].copy()
    rows["scores"] = [[-1.0, -3.0], [-2.0, -1.0, -4.0], [-1.0], [-5.0, -2.0, -1.0, -9.0]]
    rows["gold"] = [0, 1, 0, 3]
    found = items(write_run(tmp_path / "run", items=rows)).sort_values("item")
    assert found["options"].to_list() == [2, 3, 1, 4]
    assert found["margin"].to_list()[:2] == [2.0, 1.0]
    assert np.isnan(found["margin"].iloc[2]) and found["margin"].iloc[3] == -8.0


def test_cells_of_alignment_are_tidy(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores=SCORES, fertility={"deu_Latn": 1.25})
    run = write_run(tmp_path / "run", alignment=rows)
    found = cells(run, kind="alignment")
    assert len(found) == len(rows)
    places = ["language", "measure", "pooling", "layer"]
    both = found.merge(rows, on=places, validate="one_to_one")
    assert (both["score"] == both["value"]).all()
    german = found[found["language"] == "deu_Latn"]
    assert set(german["fertility"]) == {1.25} and set(german["family"]) == {"Indo-European"}


def test_languages_have_accuracies_scores_and_covariates_side_by_side(tmp_path: Path) -> None:
    aligned = alignment_rows("m/one", scores=SCORES, fertility={"deu_Latn": 1.25})
    run = write_run(tmp_path / "run", items=plain(), alignment=aligned)
    found = languages(run)
    rows = read.rows([run])
    assert len(found) == 13
    expected = scores.accuracies(rows.items).set_index("language")["accuracy"]
    held = found.set_index("language")
    assert held["accuracy"].to_dict() == pytest.approx(expected.to_dict())
    pooled = scores.by_language(rows.alignment)
    pooled = pooled[(pooled["measure"] == "nasca") & (pooled["layer_pool"] == "mean")]
    assert held["nasca"].dropna().to_dict() == pytest.approx(
        pooled.set_index("language")["score"].to_dict()
    )
    assert held.loc["deu_Latn", "fertility"] == 1.25
    assert held.loc["eng_Latn", "note"] == "it is the pivot of the scores"
    assert held.loc["eng_Latn", ["mexa", "nasca"]].isna().all()
    assert (held.drop("eng_Latn")["note"] == "").all()
    best = languages(run, layer_pool="max").set_index("language")["nasca"]
    assert (best.dropna() > held["nasca"].dropna()).all()


def test_languages_say_what_lacks_where(tmp_path: Path) -> None:
    aligned = alignment_rows("m/one", scores=SCORES, poolings=("weighted", "average"))
    gone = (aligned["language"] == "fin_Latn") & (aligned["layer"] == 2)
    aligned = aligned[~(gone & (aligned["measure"] == "nasca") & (aligned["pooling"] == "average"))]
    answered = plain()
    answered = answered[answered["language"] != "hin_Deva"]
    found = languages(write_run(tmp_path / "run", items=answered, alignment=aligned))
    held = found.set_index(["pooling", "language"])
    assert len(held) == 26
    assert held.loc[("average", "fin_Latn"), "note"] == "nasca is not defined in every layer"
    assert np.isnan(held.loc[("average", "fin_Latn"), "nasca"])
    assert held.loc[("weighted", "fin_Latn"), "note"] == ""
    assert held.loc[("weighted", "hin_Deva"), "note"] == "no answers"
    only = languages(write_run(tmp_path / "answers", items=answered))
    assert len(only) == 12 and "nasca" not in only and (only["note"] == "").all()
    without = languages(write_run(tmp_path / "scores", alignment=aligned))
    assert len(without) == 24 and "accuracy" not in without


def test_a_model_without_scores_keeps_its_languages(tmp_path: Path) -> None:
    both = pd.concat([plain(), plain("m/two")])
    run = write_run(tmp_path / "run", items=both, alignment=alignment_rows("m/one", scores=SCORES))
    found = languages(run)
    assert found.groupby("model").size().to_dict() == {"m/one": 13, "m/two": 13}
    assert set(found.loc[found["model"] == "m/two", "note"]) == {"no scores"}


def test_the_facts_of_languages_are_the_projects_own() -> None:
    for code in all_codes():
        known, own = language(code), facts(code)
        assert own is not None, code
        assert (own.branch, own.script, own.resource) == (
            known.family,
            known.script,
            known.resource,
        )
        family, _, branch = known.family.partition("/")
        alone = family in ("Isolate", "Constructed", "Creole")
        assert own.family == (f"{family}/{branch}" if alone else family)


def test_covariates_of_any_rows_and_of_languages_nobody_knows() -> None:
    rows = pd.DataFrame({"tongue": ["deu_Latn", None, "xxx_Yyyy", "eng_Latn_GB"]})
    found = with_languages(rows, column="tongue")
    assert found["script"].to_list()[0] == "Latn" and found["script"].isna().to_list()[1:3] == [
        True,
        True,
    ]
    assert found["branch"].iloc[3] == "Indo-European/Germanic"
    assert found.attrs["notes"] == ["nothing is known of xxx_Yyyy: their covariates are missing"]
    assert list(rows.columns) == ["tongue"]
    with pytest.raises(ValueError, match=r"no column language \(languages\); they have tongue"):
        with_languages(rows)


def test_what_is_no_run_or_holds_nothing_is_said(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", record={"study": "s"})
    for asked in (items, cells):
        with pytest.raises(ValueError, match=r"empty holds no answers.*name a run that does"):
            asked(empty)
    with pytest.raises(ValueError, match="holds no scores of alignment"):
        cells(empty, kind="alignment")
    with pytest.raises(ValueError, match="neither answers nor alignment"):
        languages(empty)
    only = write_run(tmp_path / "steered", items=steered())
    with pytest.raises(ValueError, match="no answers of the plain model"):
        items(only)
    with pytest.raises(ValueError, match=r"no column is called 'rank'; choose among correct,"):
        items(only, columns=("rank",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no kind of cells is called 'answer'"):
        cells(only, kind="answer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one run folder"):
        items([])

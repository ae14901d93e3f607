"""Reading runs: every answer once, missing tables empty, and plain words where there is no run."""

from pathlib import Path

import pandas as pd
import pytest

from analysis import read
from tests.makers.analysis_rows import alignment_rows, item_rows, planted, write_run

SCORES = {"deu_Latn": 0.5, "fra_Latn": 0.4}
ACCURACIES = {"deu_Latn": 0.5, "fra_Latn": 0.3, "eng_Latn": 0.8}


def test_two_runs_are_one_table_and_a_shared_answer_is_one_row(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", alignment=alignment_rows("m/one", scores=SCORES))
    both = pd.concat(
        [alignment_rows("m/one", scores=SCORES), alignment_rows("m/two", scores=SCORES)]
    )
    second = write_run(tmp_path / "b", alignment=both)
    rows = read.rows([first, second])
    # Four layers, and MEXA's layer 0, in two languages.
    assert rows.alignment.groupby("model").size().to_dict() == {"m/one": 26, "m/two": 26}
    assert rows.notes == ()


def test_items_are_dropped_by_key_and_item_and_options_are_counted(tmp_path: Path) -> None:
    items = item_rows("m/one", accuracies=ACCURACIES, n=20, options=3)
    first = write_run(tmp_path / "a", items=items)
    second = write_run(tmp_path / "b", items=items.iloc[:30])
    rows = read.rows([first, second])
    assert len(rows.items) == 60
    assert set(rows.items["options"]) == {3}
    assert rows.items["correct"].sum() == 10 + 6 + 16


def test_missing_tables_are_empty_frames_with_their_columns(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", record={"study": "neuronxa"})
    rows = read.rows([run])
    assert rows.alignment.empty and "p_null" in rows.alignment.columns
    assert rows.items.empty and "correct" in rows.items.columns
    assert rows.errors.empty and "traceback" in rows.errors.columns
    assert rows.runs == ({"run": "run", "version": 2, "study": "neuronxa"},)


def test_no_run_is_said_with_the_path_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run at .*nowhere.*no such folder"):
        read.rows([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no run at .*empty.*expected run.json or tables/"):
        read.rows([tmp_path / "empty"])
    with pytest.raises(ValueError, match="at least one run folder"):
        read.rows([])


def test_of_two_answers_to_one_cell_the_larger_is_kept_and_said(tmp_path: Path) -> None:
    small = alignment_rows("m/one", scores={"deu_Latn": 0.2}, n=20)
    large = alignment_rows("m/one", scores={"deu_Latn": 0.6}, n=100)
    run = write_run(tmp_path / "run", alignment=pd.concat([large, small]))
    rows = read.rows([run])
    assert set(rows.alignment["n"]) == {100}
    assert len(rows.notes) == 1 and "m/one" in rows.notes[0] and "most pairs" in rows.notes[0]

    few = item_rows("m/one", accuracies={"deu_Latn": 1.0}, n=5)
    many = item_rows("m/one", accuracies={"deu_Latn": 0.0}, n=9)
    again = read.rows([write_run(tmp_path / "items", items=pd.concat([many, few]))])
    assert len(again.items) == 9 and not again.items["correct"].any()


def test_the_same_weights_under_two_names_are_shown_once_and_said(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores=SCORES)
    first = write_run(tmp_path / "a", alignment=rows)
    second = write_run(tmp_path / "b", alignment=rows.assign(model="local-copy"))
    both = read.rows([first, second])
    assert set(both.alignment["model"]) == {"m/one"}
    assert "local-copy and m/one are the same weights" in both.notes[0]


def test_an_error_that_a_later_attempt_answered_is_no_failure(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores=planted(1))
    errors = pd.DataFrame(
        {"key": [rows["key"][0], "lost"], "table": "alignment", "error": "out of memory"}
    )
    run = write_run(tmp_path / "run", alignment=rows, errors=errors)
    assert list(read.rows([run]).errors["key"]) == ["lost"]


def test_a_run_without_a_json_object_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", alignment=alignment_rows("m/one", scores=SCORES))
    (run / "run.json").write_text("[1]")
    with pytest.raises(ValueError, match="is not the record of a run"):
        read.rows([run])

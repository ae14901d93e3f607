"""What is said of runs: named twice, of several studies, without rows, oddly called."""

from pathlib import Path

import pytest

from analysis import read, report, terminal
from tests.analysis.test_generate_page import store
from tests.analysis.test_several_runs import empty, scores_of, texts_of

FAILED = {"key": "k", "table": "generations", "model": "m", "error": "out of memory"}
FAILED |= {"language": "deu_Latn", "benchmark": "xquad", "attempts": 1}


@pytest.mark.parametrize("more", [0, 1], ids=["one study", "two studies"])
def test_a_run_named_twice_is_said_to_be_read_once(tmp_path: Path, more: int) -> None:
    run = texts_of(tmp_path / "a")
    runs = [run, *[scores_of(tmp_path / "b")][:more], run]
    report.write(report.build(runs), out=tmp_path / "out")
    (page,) = (
        path for path in (tmp_path / "out").rglob("index.html") if "Run a" in path.read_text()
    )
    said = f"{run} was named more than once: it is read once."
    assert page.read_text(encoding="utf-8").count(said) == 1
    lines = [str(one) for one in terminal.main_tables(report.build(runs))]
    assert lines.count(f"note: {said}") == 1
    assert not any("The runs differ" in line for line in lines)


def test_a_run_whose_cells_all_failed_is_not_said_to_show_nothing(tmp_path: Path) -> None:
    runs = [texts_of(tmp_path / "a"), store(tmp_path / "b", errors=[FAILED])]
    assert len(read.rows(runs).errors) == 1
    page = report.write(report.build(runs), out=tmp_path / "out").html.read_text(encoding="utf-8")
    for text in (page, *read.rows(runs).notes, str(terminal.main_tables(report.build(runs)))):
        assert "b holds no rows: every cell that was tried failed." in text
        assert "nothing of it is shown" not in text
    assert "out of memory" in page


def test_failed_cells_of_a_run_that_goes_on_are_seen_too(tmp_path: Path) -> None:
    run = store(tmp_path / "b", errors=[FAILED])
    (run / "errors").mkdir()
    (run / "errors.parquet").rename(run / "errors" / "0.parquet")
    assert "every cell that was tried failed" in str(read.rows([run]).notes)


def test_the_index_of_studies_names_one_that_is_no_unicode_text(tmp_path: Path) -> None:
    runs = [scores_of(tmp_path / "a"), empty(tmp_path / "b", study="odd\udcff")]
    index = report.write(report.build(runs), out=tmp_path / "out").html.read_text(encoding="utf-8")
    assert "odd\\udcff" in index

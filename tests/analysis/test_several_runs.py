"""Reports of several runs: a page for each study, and a sentence on whatever makes runs unlike."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.table import Table

from analysis import pages, read, report, terminal
from tests.analysis.test_generate_page import rows_of, store
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run
from tests.makers.pages import in_terminal


def scores_of(folder: Path, *, study: str = "neuronxa", model: str = "m/one", **record: object):
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    return write_run(
        folder,
        alignment=alignment_rows(model, scores=score).assign(study=study),
        items=item_rows(model, accuracies=accuracy).assign(study=study),
        record={"study": study, "version": 2, **record},
    )


def texts_of(folder: Path) -> Path:
    return store(folder, rows_of(["x y"] * 6, scores=[0, 1, 0, 1, 1, 0]))


def empty(folder: Path, *, study: str = "neuronxa") -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"study": study, "version": 2}))
    return folder


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if tag == "a" and name == "href"]


@pytest.mark.parametrize("order", [1, -1])
def test_two_studies_are_two_pages_with_an_index_and_two_tables(tmp_path: Path, order: int) -> None:
    runs = [scores_of(tmp_path / "a"), texts_of(tmp_path / "b")][::order]
    out = tmp_path / "out"
    files = report.write(report.build(runs), out=out)
    links = Links()
    links.feed(files.html.read_text(encoding="utf-8"))
    assert sorted(links.found) == ["generate/index.html", "neuronxa/index.html"]
    for link in links.found:
        assert "Run a" in (out / link).read_text() or "Run b" in (out / link).read_text()
    assert "Run b" not in (out / "neuronxa/index.html").read_text()
    assert "Run a" not in (out / "generate/index.html").read_text()
    assert all(path.exists() for path in (*files.tables, *files.figures)) and len(files.tables) > 4
    said = in_terminal(*runs)
    for word in ("study neuronxa:", "study generate:", "Pearson's r", "What was written"):
        assert word in said


def test_runs_of_one_study_are_one_page_and_say_what_they_differ_in(tmp_path: Path) -> None:
    model = {"name": "m/one", "revision": "main", "weights": "0" * 64, "tokenizer": "t"}
    versions = {"packages": {"torch": "2.8"}, "commit": "abc"}
    runs = [
        scores_of(
            tmp_path / name, model=f"m/{name}", settings={"pairs": pairs, "limit": 5},
            models=[{**model, "dtype": dtype}],
            provenance={**versions, "packages": {"torch": torch}},
        )
        for name, pairs, dtype, torch in (("a", 100, "float32", "2.8"), ("b", 200, "bfloat16", "3"))
    ]  # fmt: skip
    notes = " ".join(read.rows(runs).notes)
    assert "differ in their settings: pairs: 100 (a), 200 (b)." in notes
    assert "models of one name: m/one@main dtype: float32 (a), bfloat16 (b)" in notes
    assert "different versions: torch: 2.8 (a), 3 (b)" in notes
    assert "limit" not in notes and "weights" not in notes
    page = report.write(report.build(runs), out=tmp_path / "out").html.read_text(encoding="utf-8")
    assert "pairs: 100 (a), 200 (b)" in page and "Run a" in page and "Run b" in page
    assert not (tmp_path / "out" / "neuronxa").exists()
    assert "pairs: 100 (a), 200 (b)" in in_terminal(*runs)


def test_runs_that_are_alike_say_nothing(tmp_path: Path) -> None:
    runs = [scores_of(tmp_path / name, model=f"m/{name}", settings={"a": 1}) for name in "ab"]
    assert read.rows(runs).notes == ()
    assert "note" not in in_terminal(*runs)


@pytest.mark.parametrize("again", ["same", "dots", "link"])
def test_a_run_named_twice_is_read_once_and_this_is_said(tmp_path: Path, again: str) -> None:
    run = scores_of(tmp_path / "a")
    link = tmp_path / "link"
    link.symlink_to(run)
    other = {"same": run, "dots": tmp_path / "b" / ".." / "a", "link": link}[again]
    (tmp_path / "b").mkdir()
    rows = read.rows([run, other])
    assert len(rows.runs) == len(rows.sources) == 1
    assert len(rows.items) == len(read.rows([run]).items)
    assert any("more than once: it is read once" in note for note in rows.notes)
    assert "read once" in in_terminal(*[run, other])


def test_a_run_without_rows_is_named(tmp_path: Path) -> None:
    runs = [scores_of(tmp_path / "a"), empty(tmp_path / "b")]
    assert "b holds no rows: nothing of it is shown." in read.rows(runs).notes
    assert "b holds no rows" in in_terminal(*runs)
    page = report.write(report.build(runs), out=tmp_path / "out").html.read_text(encoding="utf-8")
    assert "b holds no rows" in page


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ("neuronxa", "no correlation"),
        ("generate", "no texts were written"),
        ("latent-process", "no answers"),
        ("mine", "no correlation"),
    ],
)
def test_an_empty_run_alone_has_a_page_and_a_sentence(
    tmp_path: Path, study: str, sentence: str
) -> None:
    run = empty(tmp_path / "a", study=study)
    assert (
        "a holds no rows"
        in report.write(report.build([run]), out=tmp_path / "out").html.read_text()
    )
    assert sentence in in_terminal(*[run])


def test_studies_whose_names_make_one_folder_name_keep_their_own(tmp_path: Path) -> None:
    names = ("a/b", "a--b", "tables", "..", "A--B")
    runs = [
        scores_of(tmp_path / str(number), study=study, model=f"m/{number}")
        for number, study in enumerate(names)
    ]
    files = report.write(report.build(runs), out=tmp_path / "out")
    links = Links()
    links.feed(files.html.read_text(encoding="utf-8"))
    assert len({link.lower() for link in links.found}) == len(names)
    for link in links.found:
        assert (tmp_path / "out" / link).resolve().is_relative_to((tmp_path / "out").resolve())
        assert (tmp_path / "out" / link).is_file()


def test_a_study_of_ones_own_has_its_own_name_and_all_that_its_rows_show(tmp_path: Path) -> None:
    run = scores_of(tmp_path / "a", study="mine")
    page = pages.build(read.rows([run]))
    assert page.title == "Study mine"
    assert not any("paper" in section.title for section in page.sections)
    cell = rows_of(["x y"] * 6, scores=[0, 1, 0, 1, 1, 0])
    both = store(tmp_path / "b", [row | {"study": "mine"} for row in cell])
    (both / "run.json").write_text(json.dumps({"study": "mine", "version": 2}))
    whole = pages.build(read.rows([run, both]))
    titles = [section.title for section in whole.sections]
    assert "xquad" in titles and "Scores against accuracy" in titles
    assert len(titles) == len(set(titles))
    names = [part.name for part in (*whole.sheets, *whole.pictures)]
    assert len(names) == len(set(names))
    tables = [
        one for one in terminal.main_tables(report.build([run, both])) if isinstance(one, Table)
    ]
    assert len(tables) == 3, "correlations, answers, texts"

"""The report on disk: one page that stands alone, with its tables and figures beside it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis import report
from analysis.html import cells
from analysis.layout.page import Sheet, file_name
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

RECORD: dict[str, object] = {
    "study": "neuronxa",
    "settings": {"pairs": 100, "switches": {"include_bos": True}},
    "models": [{"name": "m/<one>", "revision": "main", "layers": 4}],
    "provenance": {"commit": "abc123", "packages": {"torch": "2.8"}},
    "notes": ["xcopa lacks <b>3</b> languages"],
}


class Tags(HTMLParser):
    """Collects ids and whatever would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.drawings = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.drawings += tag == "svg"
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            if name == "src" or (tag == "link" and name == "href"):
                self.fetched.append(value or "")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    models = ("m/<one>", "Llama-3.1-8B")
    return write_run(
        tmp_path_factory.mktemp("store") / "run",
        alignment=pd.concat([alignment_rows(model, scores=score) for model in models]),
        items=pd.concat([item_rows(model, accuracies=accuracy) for model in models]),
        record=RECORD,
    )


@pytest.fixture(scope="module")
def files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> report.ReportFiles:
    return report.write(report.build([run]), out=tmp_path_factory.mktemp("out"))


def test_the_page_stands_alone_and_escapes_what_it_shows(files: report.ReportFiles) -> None:
    text = files.html.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.fetched == [] and "@import" not in text
    assert tags.drawings == len(files.figures) / 2 >= 9
    assert len(tags.ids) == len(set(tags.ids))
    links = set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', text))
    assert {one or other for one, other in links} <= set(tags.ids)
    assert "xcopa lacks &lt;b&gt;3&lt;/b&gt; languages" in text
    assert "m/&lt;one&gt;" in text and "m/<one>" not in text
    for shown in ("abc123", "provenance.packages.torch", "settings.pairs"):
        assert shown in text


def test_files_lie_beside_the_page_in_full_precision(files: report.ReportFiles) -> None:
    folder = files.html.parent / "tables"
    assert all(path.stat().st_size > 0 for path in (*files.tables, *files.figures))
    assert {path.suffix for path in files.figures} == {".svg", ".png"}
    assert len(set(files.figures)) == len(files.figures)
    scores = pd.read_csv(folder / "scores.csv")
    german = scores[(scores["language"] == "deu_Latn") & (scores["layer_pool"] == "mean")]
    assert german["score"].to_numpy() == pytest.approx(planted(4)["deu_Latn"], abs=1e-12)
    latex = (folder / "cross_model.tex").read_text()
    assert r"\begin{tabular}" in latex and "AVG" in latex


def test_the_same_rows_give_the_same_page(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores=planted(1), measures=("nasca",))
    run = write_run(tmp_path / "run", alignment=rows)
    first = report.write(report.build([run]), out=tmp_path / "one").html.read_bytes()
    assert report.write(report.build([run]), out=tmp_path / "two").html.read_bytes() == first


def test_several_runs_are_one_table(run: Path, tmp_path: Path) -> None:
    score = planted(7)
    accuracy = follow(score, slope=0.4, start=0.3, noise=0.05, seed=1)
    other = write_run(
        tmp_path / "other",
        alignment=alignment_rows("m/three", scores=score),
        items=item_rows("m/three", accuracies=accuracy),
    )
    report.write(report.build([run, other]), out=tmp_path / "out")
    wide = pd.read_csv(tmp_path / "out" / "tables" / "cross_model.csv")
    assert list(wide.columns[3:]) == ["Llama-3.1-8B", "m/<one>", "m/three", "AVG"]
    assert wide["AVG"].to_numpy() == pytest.approx(wide.iloc[:, 3:6].mean(axis=1).to_numpy())
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Run other" in text and "no run.json" in text


def test_cells_show_three_decimals_and_dashes_and_sort_as_numbers() -> None:
    frame = pd.DataFrame({"r": [0.87654, None], "p": [0.00001, 0.5], "n": [12, 3]})
    sheet = Sheet(name="x", caption="x", frame=frame)
    lines = [[entry.text for entry in line] for line in cells.entries(sheet)]
    assert lines == [["0.877", "1e-05", "12"], ["–", "0.500", "3"]]
    assert float(cells.entries(sheet)[0][0].value) == 0.87654


def test_a_long_name_is_cut_to_what_a_file_system_takes_and_stays_its_own() -> None:
    one, other = (file_name("scatter", "x" * 300, end) for end in ("one", "other"))
    assert max(len(one), len(other)) < 200 and one != other
    assert file_name("m/one", "a b") == "m--one-a-b"

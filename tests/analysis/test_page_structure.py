"""How a page is built: what comes first, what is folded, where links lead, how large it gets."""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from analysis import report
from analysis.figures import drawing
from analysis.figures.inline import inline
from analysis.html import cells, files, lead
from analysis.layout.page import Fold, Main, Page, Picture, Pointer, Section, Sheet, Text
from tests.analysis.test_report import RECORD
from tests.makers import html_page
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

WEIGHTS = "0123456789abcdef" * 4
COMMIT = "89abcdef01" * 4


@pytest.fixture(scope="module")
def files_of(tmp_path_factory: pytest.TempPathFactory) -> report.ReportFiles:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    folder = tmp_path_factory.mktemp("page")
    run = write_run(
        folder / "run",
        alignment=alignment_rows("m/one", scores=score),
        items=item_rows("m/one", accuracies=accuracy),
        errors=pd.DataFrame(
            [{"key": "k", "table": "items", "model": "m/one", "error": "no room", "attempts": 1}]
        ),
        record=RECORD | {"pins": {"model m/one": WEIGHTS}, "commits": {"belebele": COMMIT}},
    )
    return report.write(report.build([run]), out=folder / "out")


@pytest.fixture(scope="module")
def html(files_of: report.ReportFiles) -> str:
    return files_of.html.read_text(encoding="utf-8")


def figure(name: str) -> Picture:
    return Picture(name=name, caption=name, draw=lambda: None, numbers=pd.DataFrame())  # type: ignore[arg-type,return-value]


def sheet(name: str, **given: object) -> Sheet:
    return Sheet(name=name, caption=name, frame=pd.DataFrame({"a": [1]}), **given)  # type: ignore[arg-type]


def test_the_main_table_and_figure_come_first_and_a_link_stays_where_they_were() -> None:
    folded = Fold(caption="more", parts=(figure("scatter-b"), figure("other")))
    table = sheet("cross_model", collapsed=True)
    page = Page(
        title="", summary=(), lead_table="cross_model", lead_figure="scatter",
        sections=(Section(title="s", parts=(sheet("first"), figure("heat"), table, folded)),),
    )  # fmt: skip
    first, section = lead.with_lead(page).sections
    assert [part.name for part in first.parts if isinstance(part, Sheet | Picture)] == [
        "cross_model", "scatter-b",
    ]  # fmt: skip
    assert not first.parts[0].collapsed  # type: ignore[union-attr]
    kinds = [type(part) for part in section.parts]
    assert kinds == [Sheet, Picture, Pointer, Fold]
    assert [type(part) for part in section.parts[-1].parts] == [Pointer, Picture]  # type: ignore[union-attr]


def test_without_names_the_terminals_table_and_the_first_figure_come_first() -> None:
    main = Main(title="Answers", caption="means", frame=pd.DataFrame({"r": ["0.5"]}), texts=())
    section = Section(title="s", parts=(Text(lines=("x",)), figure("a"), figure("b")))
    page = Page(title="", summary=(), sections=(section,), main=(main,), lead_figure="none")
    first, _ = lead.with_lead(page).sections
    assert [part.name for part in first.parts if isinstance(part, Sheet | Picture)] == [
        lead.MAIN, "a",
    ]  # fmt: skip
    assert first.parts[0].caption == "Answers: means"  # type: ignore[union-attr]
    nothing = Page(title="", summary=(), sections=(Section(title="s", parts=()),))
    assert lead.with_lead(nothing) == nothing


def test_the_contents_lead_to_every_section_and_all_but_the_first_are_folded(html: str) -> None:
    reader = html_page.Reader()
    reader.feed(html)
    ids = {found["id"] for _, found in reader.tags if "id" in found}
    contents = html[html.index('<nav class="contents"') : html.index("</nav>")]
    links = re.findall(r'href="#([^"]+)"', contents)
    assert set(links) <= ids and links[0] == "section-1" and links[-2:] == ["methods", "run"]
    sections = [
        (tag, "open" in found) for tag, found in reader.tags
        if found.get("class") == "section" or tag == "section"
    ]  # fmt: skip
    assert sections[0] == ("section", False) and len(sections) == len(links)
    assert set(sections[1:]) == {("details", False)}
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles[0] == lead.TITLE
    assert html.index("<h1>") < html.index(f"<h2>{lead.TITLE}") < html.index('<details class="sec')


def test_a_folded_section_says_what_it_holds_and_warns_before_it_is_opened(html: str) -> None:
    (found,) = re.findall(r"<summary><h2>Data quality and failures</h2>(.*?)</summary>", html)
    assert "⚠ 1" in found and "2 tables" in found
    contents = html[: html.index("</nav>")]
    assert re.search(r'Data quality and failures <span class="flag"', contents)


def test_every_link_of_the_page_leads_somewhere(files_of: report.ReportFiles, html: str) -> None:
    links = set(re.findall(r'<a href="([^"#]+)"', html))
    assert len(links) > 30
    assert all((files_of.html.parent / link).is_file() for link in links)


def test_every_figure_has_the_frame_that_draws_it_beside_it(files_of: report.ReportFiles) -> None:
    names = {path.stem for path in files_of.figures}
    assert {path.stem for path in files_of.numbers} == names
    folder = files_of.html.parent / "figures"
    scatter = pd.read_csv(folder / "scatter-m--one-belebele.csv")
    score = scatter.set_index("language")["score"]
    assert score["deu_Latn"] == pytest.approx(planted(4)["deu_Latn"], abs=1e-12)
    assert {"accuracy", "chance"} <= set(scatter) and len(scatter) == 12
    heat = pd.read_csv(folder / "heat_map-m--one-NASCA-weighted.csv")
    assert len(heat) == 12 * 4 and {"language", "layer", "value"} <= set(heat)


def test_numbers_of_figures_leave_out_what_says_nothing_there(tmp_path: Path) -> None:
    frame = pd.DataFrame({"study": "s", "key": ["k", "l"], "switches": "{}", "value": [1.5, 2.5]})
    for switches, kept in (("{}", ["value"]), (["{}", "{1}"], ["switches", "value"])):
        path = files.write_numbers(frame.assign(switches=switches), tmp_path / "x.csv")
        assert list(pd.read_csv(path)) == kept


def test_headings_go_down_one_step_at_a_time_and_controls_have_names(html: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    reader = html_page.Reader()
    reader.feed(html)
    for tag, found in reader.tags:
        if tag == "svg":
            assert found["role"] == "img" and found["aria-label"]
        if found.get("role") == "region":
            assert found["aria-label"] and found["tabindex"] == "0"
        if tag == "th":
            assert found["scope"] == "col"
    assert '<a class="skip" href="#section-1">' in html and '<html lang="en">' in html


def test_fingerprints_are_short_and_in_full_where_the_pointer_rests(html: str) -> None:
    run = html[html.index('id="run"') :]
    for full in (WEIGHTS, COMMIT):
        assert f'<abbr title="{full}">{full[: cells.SHOWN]}…</abbr>' in run
        assert run.count(full) == 1
    assert cells.fingerprints("<b>abc123 deadbeef") == "&lt;b&gt;abc123 deadbeef"
    entry = cells.entries(Sheet(name="x", caption="", frame=pd.DataFrame({"key": [WEIGHTS]})))[0][0]
    assert entry.text == f"{WEIGHTS[:10]}…" and entry.value == WEIGHTS


@pytest.mark.parametrize(
    ("value", "text", "kept", "look"),
    [
        (0.123456789012, "0.123", "0.123456789", "n"), (0.5, "0.500", "0.5", "n"),
        (3, "3", "", "n"),
        (None, "–", "", "n"), (True, "yes", "", ""), ("0.75 [.27,.93]", "0.75 [.27,.93]", "", "n"),
        ("-0.07 (0 of 4)", "-0.07 (0 of 4)", "", "n"), ("0.86 ± 0.2 *", "0.86 ± 0.2 *", "", "n"),
        ("12 of 12", "12 of 12", "", ""), ("a\nb", "a\nb", "", "lines"),
        ("x" * 61, "x" * 61, "", "long"),
    ],
)  # fmt: skip
def test_a_cell_shows_little_and_keeps_all(value: object, text: str, kept: str, look: str) -> None:
    frame = pd.DataFrame({"a": pd.Series([value], dtype=object)})
    (entry,) = cells.entries(Sheet(name="x", caption="x", frame=frame))[0]
    assert (entry.text, entry.value, entry.look) == (text, kept, look)
    assert cells.key(value) == (kept or text)


def test_long_tables_wait_in_the_page_and_are_no_latex(tmp_path: Path) -> None:
    codes = tuple(f"l{number:03d}_Latn" for number in range(90))
    rows = alignment_rows("m", scores=planted(1, languages=codes), measures=("nasca",))
    run = write_run(tmp_path / "run", alignment=rows, record={"study": "neuronxa"})
    written = report.write(report.build([run]), out=tmp_path / "out")
    text = written.html.read_text(encoding="utf-8")
    (rest,) = re.findall(r'<template class="rest">(.*?)</template>', text, flags=re.DOTALL)
    assert rest.count("<tr>") == 50
    assert not (tmp_path / "out/tables/languages-m.tex").exists()
    assert len(pd.read_csv(tmp_path / "out/tables/languages-m.csv")) == 90


def test_a_drawing_in_the_page_has_letters_that_are_text_and_stay_as_they_are(
    tmp_path: Path,
) -> None:
    from matplotlib.figure import Figure

    said = ' id="1.23456" d="9.87654" fill: #0060b5 & <b> 模型 हिन्दी'
    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([0, 1 / 3], [0, 2 / 3], color=drawing.BLUE)
    axes.set_title(said)
    lacking: set[str] = set()
    svg = drawing.save(drawn, stem=tmp_path / "x", lacking=lacking)
    text = inline(svg, name="x", title='a "caption"')
    reader = html_page.Reader()
    words: list[str] = []
    reader.handle_data = words.append  # type: ignore[method-assign]
    reader.feed(text)
    assert "".join(words).count(said) == 1
    assert 'aria-label="a &#34;caption&#34;"' in text
    assert f"var(--c{drawing.BLUE[1:].lower()}, {drawing.BLUE.lower()})" in text
    tags = re.sub(r">[^<]*<", "><", text)
    assert not re.search(r' d="[^"]*\d\.\d{3}', tags), "coordinates are rounded"
    assert "font-family" not in tags and "<style" not in tags
    used = {one or other for one, other in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', tags)}
    assert used == set(re.findall(r' id="([^"]+)"', tags))
    outlines = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "<text" not in outlines and len(text) < len(outlines)
    assert drawing.scripts(lacking) == sorted({"Cjk", "Devanagari"} & set(drawing.scripts(lacking)))


def test_letters_without_a_font_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(drawing.STYLE, "font.family", ["DejaVu Sans"])
    models = ("模型一", "模型二")
    run = write_run(
        tmp_path / "run", record={"study": "neuronxa"},
        alignment=pd.concat([alignment_rows(name, scores=planted(1)) for name in models]),
    )  # fmt: skip
    text = report.write(report.build([run]), out=tmp_path / "out").html.read_text(encoding="utf-8")
    assert text.count("No font installed on the machine") == 1
    notes = re.search(r'<div class="notes">(.*?)</div>', text, re.DOTALL)
    assert notes is not None and "一 二 型 模 (Cjk)" in notes[1]


@pytest.mark.long
def test_two_hundred_languages_and_nine_models_stay_below_ten_megabytes(tmp_path: Path) -> None:
    codes = tuple(f"l{number:03d}_{script}" for number, script in
                  enumerate(["Latn", "Cyrl", "Arab", "Deva"] * 50))  # fmt: skip
    alignment, items = [], []
    for number in range(9):
        model, score = f"org/Model-{number}-7B", planted(number, languages=codes)
        accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=number)
        measures = ("mexa", "nasca", "navca", "cka", "svcca", "anc")
        alignment.append(alignment_rows(model, scores=score, layers=32, measures=measures))
        items += [
            item_rows(model, accuracies=accuracy, benchmark=benchmark, n=20)
            for benchmark in ("belebele", "m_mmlu")
        ]
    run = write_run(tmp_path / "run", alignment=pd.concat(alignment), items=pd.concat(items))
    written = report.write(report.build([run]), out=tmp_path / "out")
    assert written.html.stat().st_size < 10e6
    page = html_page.Page(written.html)
    tables = [one for one in page.tables if one.caption.endswith(": 201 languages")]
    assert len(tables) == 9 and all(len(one.rows) == 201 for one in tables), "all are in the page"


def test_a_column_without_letters_of_a_formula_is_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["=1", "x", None], "b": [[1], (2,), {"c": 3}], "d": [1.5, None, -2]})
    shown = pd.read_csv(files.write_csv(frame, tmp_path / "x.csv"))
    assert shown["a"].tolist()[:2] == ["'=1", "x"] and shown["d"].tolist()[::2] == [1.5, -2]

"""Exhibits as data: one engine fills, keeps, draws and says; a page is found by its study."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from rich.console import Console

from analysis import pages, read, report, terminal
from analysis.exhibits import page_of
from analysis.layout import material, prose
from analysis.layout.exhibit import Beside, Exhibit, Note, Plot, StudyPage, Table, Topic
from analysis.layout.material import Material, named_by
from analysis.layout.page import Fold, Heading, Main, Picture, Sheet, Text
from analysis.results import latent, steering, transfer, written
from analysis.statistics import correlate
from studies import kinds
from studies.tables import Table as Declared
from studies.tables import int32, string
from tests.analysis.test_generate_page import rows_of, store
from tests.makers import latent_rows
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

NOTHING = Material(None)  # type: ignore[arg-type]
DRAWN: list[str] = []


def counts(_: Material) -> pd.DataFrame:
    """Tokens of a text, by language: what a study of one's own may show."""
    return pd.DataFrame({"language": ["deu", "fra"], "tokens": [4, 6], "kind": ["x", "y"]})


def no_counts(material: Material) -> pd.DataFrame:
    return counts(material).iloc[:0]


def ours(_: Material) -> pd.DataFrame:
    return pd.DataFrame(
        {"task": ["a", "b"], "column": "m", "value": [0.5, 0.7], "low": [0.4, 0.6],
         "high": [0.6, 0.8], "n": 9}
    )  # fmt: skip


def printed(_: Material) -> pd.DataFrame:
    return pd.DataFrame({"task": ["a", "b", "c"], "column": "m", "published": [0.55, 0.9, 0.1]})


def draw(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    DRAWN.append(f"{said}: {len(rows)}")
    return Figure()


TOKENS = Exhibit(
    name="Table 1",
    title="tokens of a text",
    empty="Empty: no texts were counted (--part tokens).",
    parts=(
        Note(text="Always here."),
        Table(
            name="tokens",
            fill=counts,
            shown=lambda frame: (
                frame[["language", "tokens"]],
                frame[["kind"]].rename(columns={"kind": "tokens"}),
            ),
            keep="tokens_all",
            caption="Tokens of {{ rows }} languages",
        ),
        Plot(
            name="tokens",
            fill=counts,
            by=lambda _, frame: [(name, rows) for name, rows in frame.groupby("language")],
            draw=draw,
            heading="{{ said }}!",
            caption="{{ said }}: {{ most }} tokens",
            facts=lambda rows: {"most": rows["tokens"].max()},
            few=1,
        ),
    ),
)


def test_an_exhibit_is_filled_kept_and_drawn_when_asked() -> None:
    DRAWN.clear()
    shown = TOKENS.show(NOTHING)
    text, sheet, picture, fold = shown.parts
    assert isinstance(text, Text) and text.lines == ("Always here.",)
    assert isinstance(sheet, Sheet) and sheet.caption == "Tokens of 2 languages"
    assert list(sheet.frame.columns) == ["language", "tokens"]
    assert sheet.small is not None and list(sheet.small["tokens"]) == ["x", "y"]
    assert list(shown.files) == ["tokens_all"] and list(shown.files["tokens_all"]) == [
        "language", "tokens", "kind",
    ]  # fmt: skip
    assert isinstance(picture, Picture) and picture.name == "tokens-deu"
    assert picture.caption == "deu: 4 tokens" and DRAWN == []
    assert isinstance(fold, Fold) and fold.caption == "1 more figure"
    assert isinstance(picture.figure, Figure) and DRAWN == ["deu!: 1"]


def test_what_nothing_fills_says_why_whatever_notes_stand_in_it() -> None:
    parts = (
        Note(text="Always here."),
        Note(text="{{ n }}.", facts=lambda _: {"n": 1}),
        Table(name="t", fill=no_counts, caption="never"),
    )
    shown = replace(TOKENS, parts=parts).show(NOTHING)
    assert shown.state == "empty" and shown.parts == ()
    assert shown.missing == "Empty: no texts were counted (--part tokens)."
    alone = replace(TOKENS, parts=parts[:2], lacking="Half of it.").show(NOTHING)
    assert alone.state == "partly" and alone.missing == "Half of it."


def test_a_table_of_a_paper_has_both_values_in_one_file() -> None:
    table = Beside(name="table_2", fill=ours, published=printed, caption="Ours. {{ counted }}")
    shown = replace(TOKENS, parts=(table,)).show(NOTHING)
    (sheet,) = shown.parts
    assert isinstance(sheet, Sheet)
    assert sheet.caption == "Ours. 1 of 2 printed values lie in our 95 % interval."
    assert sheet.small is not None and sheet.small["m"][0].split("\n")[1] == "paper .550"
    joined = shown.files["table_2_beside_the_paper"].set_index("task")
    assert joined["inside"].tolist() == [True, False, None]
    assert joined.loc["b", "difference"] == pytest.approx(-0.2)


def facts(_: Material) -> Mapping[str, object]:
    return {"models": 0, "states": 0, "languages": 0, "pairs": [], "benchmarks": [],
            "correlations": 0, "others": [], "few": None, "weak": [], "known": False}  # fmt: skip


NO_TOKENS = replace(TOKENS, name="Figure 1", parts=(Table(name="v", fill=no_counts, caption=""),))
PAGE = StudyPage(
    study="tokens",
    title="Tokens",
    prose="neuronxa.jinja",
    facts=facts,
    topics=(Topic(title="Counts", parts=(TOKENS, NO_TOKENS)),),
    files={"all": counts, "none": no_counts},
    main=lambda held: Main(title="t", caption="c", frame=counts(held), texts=()),
    no_main="no texts",
    paper=(TOKENS, NO_TOKENS),
)


def test_a_study_is_a_list_and_its_page_says_what_of_it_is_here() -> None:
    page = PAGE.build(NOTHING)
    assert [section.title for section in page.sections] == [
        "Coverage of the paper", "Counts", "How to read the numbers",
    ]  # fmt: skip
    lines, index = page.sections[0].parts
    assert isinstance(lines, Text) and lines.lines[0].startswith("None of these models")
    assert isinstance(index, Sheet)
    assert index.frame["here"].tolist() == ["filled", "empty"]
    assert set(page.files) == {"all", "tokens_all"}
    headings = [part.text for part in page.sections[1].parts if isinstance(part, Heading)]
    assert headings == ["Table 1: tokens of a text", "Figure 1: tokens of a text"]
    without = replace(PAGE, paper=()).build(NOTHING)
    headings = [part.text for part in without.parts if isinstance(part, Heading)]
    assert headings == ["Table 1: tokens of a text"]


@pytest.mark.parametrize(
    ("study", "there"),
    [
        ("neuronxa", True), ("demo", True), ("latent-process", True), ("generate", True),
        ("clas", True),
        ("dali", True),
        ("latent_process", False), ("mine", False), ("", False), ("__init__", False),
        ("../neutral", False), ("os.path", False), ("neuronxa.jinja", False), ("<b>", False),
    ],
)  # fmt: skip
def test_a_page_is_found_by_its_study_alone(study: str, there: bool) -> None:
    found = page_of(study)
    assert (found is not None) == there
    assert found is None or found.study == study


def test_paragraphs_are_the_templates_and_never_a_names() -> None:
    text = "One\nand {{ name }}.\n\n{% if no %}\nnever\n{% endif %}\n\nTwo {{ rows[0].x }}."
    hostile = "a\n\nb {{ 7 * 7 }} {% raw %} \x1e c"
    said = prose.say(text, name=hostile, no=False, rows=[{"x": hostile}])
    assert said == ("One and a b {{ 7 * 7 }} {% raw %} c.", "Two a b {{ 7 * 7 }} {% raw %} c.")
    assert prose.say("{{ row.items }} {{ row.clear }}", row={"items": 3, "clear": 2}) == ("3 2",)
    with pytest.raises(KeyError, match="no_such_block"):
        prose.say(prose.shared("no_such_block"))
    with pytest.raises(UndefinedError):
        prose.say("{{ lacking }}")


@pytest.mark.parametrize(
    ("values", "form", "text"),
    [
        ([0.5], ".2f", "0.50"), ([0.1, 0.3], ".2f", "0.10 to 0.30"), ([-0.001], "+.2f", "0.00"),
        ([1.0, 1.0], ".1f", "1.0"), ([3, 12], ".0f", "3 to 12"),
    ],
)  # fmt: skip
def test_ends_of_several_numbers_in_words(values: list[float], form: str, text: str) -> None:
    assert prose.span(values, form) == text


def test_series_are_named_by_what_varies() -> None:
    frame = pd.DataFrame(
        {"model": "m", "revision": "main", "benchmark": ["b", "b", "c"], "prompt": ["p", "q", "p"]}
    )
    columns = ("label", "benchmark")
    within = named_by(*columns, varying=("prompt",), within=("benchmark",))
    assert [said for said, _ in within(NOTHING, frame)] == ["m, b, p", "m, b, q", "m, c"]
    everywhere = named_by(*columns, varying=("prompt",))
    assert [said for said, _ in everywhere(NOTHING, frame)][-1] == "m, c, p"
    assert everywhere(NOTHING, frame.iloc[:0]) == []


def runs_of(folder: Path) -> list[Path]:
    """A run of each study that has a page."""
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    world = latent_rows.World(
        accuracy=latent_rows.accuracies(languages=("deu_Latn", "rus_Cyrl")), layers=(1, 2),
        items=8, sample=2, coefficients=(2.0,), controls=(),
    )  # fmt: skip
    return [
        write_run(
            folder / "a",
            alignment=alignment_rows("m/one", scores=score, measures=("nasca",)),
            items=item_rows("m/one", accuracies=accuracy, n=20),
            record={"study": "neuronxa"},
        ),
        store(folder / "b", rows_of(["x y"] * 4, scores=[0, 1, 0, 1])),
        latent_rows.write(folder / "c", world),
    ]


def test_report_and_terminal_share_one_page_and_compute_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for module, name in (
        (correlate, "correlations"), (written, "summaries"), (transfer, "overall"),
        (latent, "cells"), (steering, "effects"),
    ):  # fmt: skip
        whole = getattr(module, name)

        def counted(*given: object, name: str = name, whole=whole, **named: object) -> object:
            calls.append(name)
            return whole(*given, **named)

        monkeypatch.setattr(module, name, counted)
    built = report.build(runs_of(tmp_path))
    # The page between studies is of all rows together, and asks for the log ratio itself.
    once = ["cells", "cells", "correlations", "effects", "overall", "summaries"]
    assert sorted(calls) == once
    console = Console(width=200, record=True)
    for table in terminal.main_tables(built):
        console.print(table, markup=False)
    assert sorted(calls) == once
    pages = {one.study: one.page for one in built.pages}
    text = console.export_text()
    for page in pages.values():
        for row in page.main[0].frame.itertuples(index=False):
            assert all(str(cell) in text for cell in row)
    r = pages["neuronxa"].files["correlations"].query("layer_pool == 'mean'")["r"].item()
    assert pages["neuronxa"].main[0].frame["m/one"].item().startswith(f"{r:.2f} [")


def test_page_and_terminal_take_the_pivot_that_many_languages_were_compared_with(
    tmp_path: Path,
) -> None:
    """English with two languages alone serves a table of pairs, and is no pivot of correlations."""
    score = planted(4)
    few = dict(list(score.items())[1:3])
    many = {code: value for code, value in score.items() if code != "deu_Latn"}
    run = write_run(
        tmp_path / "run",
        alignment=pd.concat(
            [alignment_rows("m/one", scores=few, measures=("nasca",)),
             alignment_rows("m/one", scores=many, measures=("nasca",), pivot="deu_Latn")]
        ),
        items=item_rows(
            "m/one", accuracies=follow(score, slope=0.5, start=0.25, noise=0.05, seed=4), n=20
        ),
        record={"study": "neuronxa"},
    )  # fmt: skip
    built = report.build([run])
    page = built.pages[0].page
    assert "against deu_Latn (and eng_Latn)" in page.summary[0]
    assert "correlate at r = 0." in page.summary[1]
    (main,) = page.main
    wide = next(sheet.frame for sheet in page.sheets if sheet.name == "cross_model")
    assert main.frame["m/one"].item().startswith(f"{wide['m/one'].item():.2f} [")


def test_a_table_of_any_kind_is_read_once_whatever_repeats_it(tmp_path: Path) -> None:
    rows = alignment_rows("m/one", scores={"deu_Latn": 0.5}, measures=("nasca",))
    runs = [write_run(tmp_path / name, alignment=rows) for name in "ab"]
    held = Material(read.rows(runs))
    assert len(held.table("alignment")) == len(rows)
    assert held.table("alignment") is held.table("alignment")
    texts = [store(tmp_path / name, rows_of(["x"] * 4, scores=[0, 1, 0, 1])) for name in "cd"]
    assert len(Material(read.rows(texts)).table("generations")) == 4


def test_the_neutral_page_has_the_table_of_a_kind_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = string("study, model, revision, language, item, key", "")
    own = Declared(
        name="tokens", row="(cell, text)", identity=("key", "item"),
        columns=(columns, int32("tokens", "tokens of the text")),
    )  # fmt: skip
    for module in (pages, material, read):
        monkeypatch.setattr(module, "tables", lambda: kinds.tables() | {"tokens": own})
    rows = [
        {"study": "mine", "model": "m", "revision": "main", "language": language, "item": str(n)}
        | {"key": language, "tokens": n + shift}
        for language, shift in (("deu_Latn", 0), ("fra_Latn", 4))
        for n in (1, 3)
    ]
    folder = tmp_path / "run" / "tables" / "tokens"
    folder.mkdir(parents=True)
    for name in "ab":
        pq.write_table(pa.Table.from_pylist(rows, schema=own.schema()), folder / f"{name}.parquet")
    (tmp_path / "run" / "run.json").write_text('{"study": "mine", "version": 2}')
    built = report.build([tmp_path / "run"])
    page = built.pages[0].page
    assert [section.title for section in page.sections] == ["Table tokens"]
    assert page.title == "Study mine" and "(cell, text)" in page.sheets[0].caption
    frame = page.sheets[0].frame
    assert frame[["language", "rows", "tokens"]].to_numpy().tolist() == [
        ["deu_Latn", 2, 2.0], ["fra_Latn", 2, 6.0],
    ]  # fmt: skip
    files = report.write(built, out=tmp_path / "out")
    assert [path.name for path in files.tables] == ["tokens.csv", "tokens.tex"]

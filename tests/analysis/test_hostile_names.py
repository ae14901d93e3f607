"""Names as people and attackers write them: text on the page, in figures, in files for people."""

import csv
import json
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis import report
from analysis.clas import figures as rescaled
from analysis.exhibits import generate
from analysis.figures import drawing, heat
from analysis.html import files as written
from analysis.latent import log_ratio, states, steered_figures
from analysis.layout.material import Material
from analysis.layout.page import Sheet
from analysis.shared import coefficients, languages, layers, training
from tests.analysis.test_generate_page import rows_of, store
from tests.makers import latent_rows, scaled_rows
from tests.makers.analysis_rows import (
    alignment_rows,
    follow,
    item_rows,
    planted,
    point_rows,
    write_run,
)

EVIL = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>",
    "'><b data-evil=1>", "</title><script src=//evil></script>", "</style><i data-evil>",
    "javascript:alert(1)", "{{ 7 * 7 }}", "{% raw %}", "&lt;b data-evil&gt;", "--><b data-evil>",
    "<!--", "]]><b data-evil>", "' onmouseover='alert(1)", "\" style=\"x:expression(1)", "`-`",
)  # fmt: skip
ODD = (
    r"$\frac{1$", "a$b$c", "$", "$$", r"\alpha", "a_b^c", "_hidden", "100%", "#1", "~", "{", "}{",
    "a\tb", "a\nb", "\x07", "", " ", "⁧rtl⁩", "مرحبا", "שלום", "模型", "モデル", "हिन्दी", "👩‍💻",
    "é" * 90, "=1+1", "+1", "-x", "@x", "x" * 300,
)  # fmt: skip
NAMES = (*EVIL, *ODD)
# What the page's own template and the drawings are made of.
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "div",
    "p", "nav", "a", "section", "details", "summary", "table", "thead", "tbody", "tr", "th", "td",
    "small", "figure", "figcaption", "dl", "dt", "dd", "footer", "script", "svg", "defs", "g",
    "path", "use", "clippath", "rect", "image", "symbol", "lineargradient", "stop", "text", "ol",
    "li", "span", "abbr", "pre", "template",
}  # fmt: skip


class Page(HTMLParser):
    """Everything on a page that a browser would act on, and its words."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_data(self, text: str) -> None:
        self.words.append(text)


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def check_page(path: Path) -> Page:
    page = parsed(path)
    assert set(page.tags) <= TAGS
    assert page.tags.count("script") == (2 if path.parent.name != "both" else 0)
    for name, value in page.attributes:
        assert not name.startswith("on") and not name.startswith("data-evil")
        assert name not in ("src", "srcdoc", "action", "formaction")
        if name.endswith("href"):
            assert value.startswith(
                ("#", "tables/", "figures/", "data:image/png;base64,")
            ) or value.endswith("/index.html"), value
    return page


def named(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    return frame.assign(**columns)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every name that rows carry is hostile somewhere."""
    codes = ("eng_Latn", *EVIL[:5], *ODD[:4])
    score = planted(4, languages=codes)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    folder = tmp_path_factory.mktemp("run")
    run = write_run(
        folder / "<b data-evil>",
        alignment=alignment_rows(r"$\frac{1$", scores=score).assign(
            study="<i data-evil>", dataset=EVIL[2], switches=json.dumps({EVIL[0]: EVIL[1]})
        ),
        items=item_rows(r"$\frac{1$", accuracies=accuracy, benchmark=EVIL[3]).assign(
            study="<i data-evil>", prompt=EVIL[4]
        ),
        errors=pd.DataFrame(
            [{"key": "k", "table": "items", "model": "=1+1", "error": EVIL[1], "attempts": 1}]
        ),
        record={
            "study": "<i data-evil>", "version": 2, "settings": {EVIL[0]: EVIL[1]},
            "folder": "\udcff",
            "models": [{"name": EVIL[0], "revision": EVIL[1], EVIL[2]: EVIL[3]}],
            "notes": list(EVIL), "provenance": {"arguments": list(EVIL), EVIL[5]: "-1"},
        },
    )  # fmt: skip
    items = [{"id": "1", "text": name, "options": [name], "gold": 0} for name in NAMES]
    record = {"name": "items <b data-evil>", "benchmark": EVIL[3], "language": EVIL[0],
              "prompt": EVIL[1], "items": items}  # fmt: skip
    (run / "examples.json").write_text(json.dumps([record]), encoding="utf-8")
    return run


def test_no_name_becomes_an_element_or_an_attribute_of_the_page(run: Path, tmp_path: Path) -> None:
    files = report.write(report.build([run]), out=tmp_path / "out")
    page = check_page(files.html)
    words = " ".join(page.words)
    for name in EVIL:
        assert name in words, "shown as it is"
    for path in files.figures:
        if path.suffix == ".svg":
            picture = parsed(path)
            about = {tag for tag in picture.tags if tag.startswith(("rdf:", "cc:", "dc:"))}
            assert set(picture.tags) <= {*TAGS, "metadata", *about}
    check_files(files)


def test_names_in_texts_and_in_the_index_are_text(run: Path, tmp_path: Path) -> None:
    cells = [
        rows_of([name] * 4, model=name, scores=[0, 1, 1, 0], benchmark=EVIL[0], engine=EVIL[1])
        for name in (*EVIL[:3], *ODD[:2], "_hidden", "=1+1")
    ]
    other = store(tmp_path / "other", *cells)
    files = report.write(report.build([run, other]), out=tmp_path / "both")
    check_page(files.html)
    for page in (tmp_path / "both").glob("*/index.html"):
        check_page(page)
    check_files(files)


def test_names_of_the_latent_process_page_are_text(tmp_path: Path) -> None:
    world = latent_rows.World(
        model=r"a$b$c", benchmark=EVIL[0], prompt=EVIL[1], layers=(2, 6), items=24,
        accuracy=latent_rows.accuracies(languages=("deu_Latn", EVIL[2], ODD[0])),
    )  # fmt: skip
    run = latent_rows.write(tmp_path / "run", world, replace(world, model="=cmd()", seed=1))
    files = report.write(report.build([run]), out=tmp_path / "out")
    check_page(files.html)
    check_files(files)


def test_names_of_the_clas_page_are_text(tmp_path: Path) -> None:
    gains = {"deu_Latn": 2, EVIL[2]: 1, ODD[0]: 4, "=cmd()": 3}
    world = scaled_rows.World(
        model=r"a$b$c", benchmark=EVIL[0], prompt=EVIL[1], gains=gains,
        intmu={EVIL[2]: 1, "deu_Latn": 0}, random=(0, 1),
    )  # fmt: skip
    texts = replace(world, model="=cmd()", benchmark=scaled_rows.WRITTEN)
    run = scaled_rows.write(tmp_path / "run", world, texts)
    files = report.write(report.build([run]), out=tmp_path / "out")
    check_page(files.html)
    check_files(files)


def check_files(files: report.ReportFiles) -> None:
    for path in (*files.tables, *files.numbers):
        if path.suffix == ".tex":
            text = path.read_text(encoding="utf-8")
            assert r"\frac" not in text and "$b$" not in text
            continue
        with path.open(encoding="utf-8", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                assert not cell.startswith(("=", "@", "\t", "\r"))
                if cell.startswith(("+", "-")):
                    float(cell)


def test_a_spreadsheet_runs_no_cell_and_numbers_stay_numbers(tmp_path: Path) -> None:
    formulas = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-1+2", "+-1", "-"]
    numbers = ["-1", "+2.5", "-.5", "-1e-3", "3"]
    plain = ["a=1", "'x", "", "–", " =x"]
    frame = pd.DataFrame(
        {"text": [*formulas, *numbers, *plain], "=head": -1.5, "mixed": None, "@": 1}
    )
    frame.loc[0, "mixed"] = "=x"
    frame["mixed"] = frame["mixed"].astype(object)
    frame.loc[1, "mixed"] = -2.5
    shown = written.for_spreadsheets(frame)
    assert list(shown.columns) == ["text", "'=head", "mixed", "'@"]
    expected = [f"'{text}" for text in formulas] + numbers + plain
    assert list(shown["text"]) == expected
    assert shown["'=head"].eq(-1.5).all() and shown["mixed"].iloc[1] == -2.5
    assert shown["mixed"].iloc[0] == "'=x" and list(frame.columns)[1] == "=head"
    shown.to_csv(tmp_path / "x.csv", index=False)
    again = pd.read_csv(tmp_path / "x.csv")
    assert again["'=head"].dtype == float
    assert isinstance(Sheet(name="x", caption="x", frame=frame), Sheet)


def figures(name: str) -> dict[str, Figure]:
    """Every kind of figure, with the name wherever one stands."""
    codes = [f"{name}{number}" for number in range(5)]
    grid = pd.DataFrame(
        [{"language": code, "layer": layer, "value": 0.1 * layer, "measure": "nasca"}
         for code in codes for layer in (0, 1, 2)]
    )  # fmt: skip
    x = np.array([0.1, 0.5, 0.3, 0.9, 0.7])
    cloud = pd.DataFrame({"language": codes, "score": x, "accuracy": x**2, "chance": 0.25})
    bars = cloud.assign(low=0.1, high=0.9, p_chance=0.001, label=name)
    series = pd.DataFrame({"place": codes, "series": name, "value": x, "low": x / 2, "high": 1.0})
    pairs = pd.DataFrame([{"source": a, "target": b, "v": 0.5} for a in codes for b in codes])
    curve = pd.DataFrame({"label": name, "measure": "latent", "layer": [1, 2], "mean": 0.5,
                          "low": 0.4, "high": 0.6, "side": "native"})  # fmt: skip
    found = pd.DataFrame({"label": [name], "measure": ["mexa"], "pooling": [name],
                                 "r": 0.5, "low": 0.1, "high": 0.8})  # fmt: skip
    steps = pd.DataFrame(
        [{"revision": r, "measure": "nasca", "language": code, "score": 0.5, "metric": name,
          "quality": 0.5, "low": 0.4, "high": 0.6} for r in (name, "step-2") for code in codes]
    )  # fmt: skip
    moved = pd.DataFrame({"language": codes, "layer": 1, "plain_accuracy": x, "accuracy_change": x,
                          "accuracy_low": x - 1, "accuracy_high": x + 1})  # fmt: skip
    dose = pd.DataFrame({"outcome": "accuracy", "layer": 1, "coefficient": [-1.0, 1.0, 2.0],
                         "plain": 0.5, "level": 0.6, "low": -1.0, "high": 2.0, "change": 1.0,
                         "intervention": "steer"})  # fmt: skip
    dots = point_rows("m", spread={"mexa": 1.0}, count=5, language=name + "a", pivot=name + "b")
    sides = pd.DataFrame(
        [{"layer": 1, "side": code, "x": i, "y": i} for i, code in enumerate(codes)]
    )
    strengths = pd.DataFrame(
        {"label": name, "shared": [-2.0, 0.0, 2.0], "specific": [1.0, 0.0, -1.0], "value": 50.0,
         "change": 0.0, "low": -1.0, "high": 1.0, "flips": [True, False, False],
         "chosen": [False, True, False], "metric": "f1", "kind": "shared alone"}
    )  # fmt: skip
    cosines = pd.DataFrame({"where": "resid", "language": codes, "before": x, "after": x / 2})
    held = Material(None, alignment=grid.assign(pooling=name))  # type: ignore[arg-type]
    place = dict.fromkeys(("model", "benchmark", "prompt", "switches"), name)
    place |= {"revision": "main", "pivot": codes[0]}
    held.latent = grid.rename(columns={"value": "mean_of_logs_token"}).assign(
        measure="latent", chance=0.25, **place
    )
    held.by_language = bars.assign(**place)
    held.main_scores = bars.assign(pivot=codes[0])
    held.accuracies = bars.assign(main=True)
    held.main_alignment = held.alignment.assign(model=name, revision="main")
    return {
        "heat_map": layers.draw_heat_map(held, grid, name),
        "profiles": layers.draw_profiles(held, grid, name),
        "bars": languages.draw_bars(held, bars, name),
        "map": languages.draw_map(held, bars, name),
        "scatter": coefficients.draw_scatter(
            [(name, cloud)], name="", score=name, accuracy=name
        ),
        "panels": coefficients.draw_scatter([(name, cloud)] * 4, name=name, score=name),
        "forest": coefficients.draw_forest(held, found, name),
        "pairs": heat.pairs(pairs, value="v", name=name, bar=name, scale=(0, 1)),
        "ratios": log_ratio.draw_ratios(held, curve, name),
        "latent": log_ratio.draw_accuracies(held, curve.assign(**place), name),
        "latent_map": log_ratio.draw_map(held, grid, name),
        "points": layers.draw_pairs(held, dots, name),
        "states": states.draw_states(held, sides.assign(pivot=codes[0]), name),
        "curves": training.draw_training(held, steps, name),
        "translation": training.draw_quality(held, steps, name),
        "doses": steered_figures.draw_doses(held, dose, name),
        "by_layer": steered_figures.draw_by_layer(held, dose, name),
        "controls": steered_figures.draw_controls(held, dose, name),
        "sweep_languages": steered_figures.draw_languages(moved, name, outcome="accuracy",
                                                   notes={1: name}),
        "strengths": rescaled.draw_strengths(held, strengths, name),
        "category": rescaled.draw_doses(held, strengths, name),
        "cosines": rescaled.draw_alignment(held, cosines, name),
        "gain_map": rescaled.draw_gain_map(
            held, cosines.assign(gain=x, change=x - 0.5), name
        ),
        "written": generate.draw_scores(series, name=name, metric=name, most=1.0),
    }  # fmt: skip


@pytest.mark.parametrize("name", [r"$\frac{1$", "_a$b$c \x07 模型 مرحبا", "x" * 300])
def test_names_in_figures_are_plain_text_and_none_is_cut(tmp_path: Path, name: str) -> None:
    from matplotlib.image import imread

    for kind, figure in figures(name).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            svg = drawing.save(figure, stem=tmp_path / kind)
        assert svg.startswith("<svg")
        for text in figure.findobj(Text):
            assert not (text.get_text() and text.get_parse_math()), kind
        picture = imread(tmp_path / f"{kind}.png")[..., :3]
        for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
            assert (edge > 0.99).all(), f"{kind}: something runs beyond the edge"


def test_a_key_names_what_begins_with_an_underscore() -> None:
    for kind in ("written", "points", "states"):
        figure = figures("_hidden")[kind]
        named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert any(text.startswith("_hidden") for text in named), kind

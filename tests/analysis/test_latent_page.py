"""The latent-process page: what it says, with all rows, with some, and where chance rules."""

from pathlib import Path

import pandas as pd
import pytest

from analysis import read, report, terminal
from analysis.exhibits import latent_process
from analysis.figures import points as drawn
from analysis.latent import frames
from analysis.latent.states import draw_states
from analysis.layout.material import Material
from analysis.layout.page import Page
from tests.makers import analysis_rows
from tests.makers.latent_rows import (
    PIVOT,
    World,
    accuracies,
    alignment_rows,
    lens_rows,
    plain_rows,
    point_rows,
    write,
    write_shard,
)
from tests.makers.pages import all_said, in_terminal, sheets

FEW = ("deu_Latn", "rus_Cyrl", "zho_Hans", "tur_Latn", "fin_Latn")
GOOD = World(
    model="google/gemma-2-2b-it", accuracy=accuracies(best=0.9, worst=0.5, languages=FEW),
    layers=(2, 6, 10, 14), items=48,
)  # fmt: skip
CHANCE = World(
    model="m/weak", accuracy=dict.fromkeys(accuracies(languages=FEW), 0.15), layers=(2, 6, 10, 14),
    items=48,
)  # fmt: skip
FAILED = {
    "key": "lost", "table": "lens", "model": "m/weak", "revision": "main", "benchmark": "belebele",
    "language": "tam_Taml", "layer": 6, "attempts": 3, "error": "OutOfMemoryError: no room",
}  # fmt: skip


NOTHING = "The answers are not above chance: no conclusions."
NO_OUTPUT = "No plain answers were computed, so nothing here is set beside what the models answer."


def page_of(run: Path) -> Page:
    return latent_process.PAGE.build(Material(read.rows([run])))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "run"
    return write(folder, GOOD, CHANCE, errors=[FAILED], notes=["belebele drops 3 items"])


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(run)


def test_every_table_and_figure_of_the_paper_is_there_or_says_why(page: Page) -> None:
    index = sheets(page.sheets)["what_is_here"].set_index("exhibit")
    named = " ".join(index.index)
    for number in ("1", "2", "3"):
        assert f"Table {number}" in named
    for figure in ("Figure 1", "2a", "2b", "3 and 6", "4", "5", "8", "10", "11"):
        assert figure in named
    empty = index[index["here"] == "empty"]
    assert (empty["what is missing"] != "").all()
    assert index.loc[["Figure 2a", "Figure 2b", "Table 2", "Table 3"], "here"].eq("filled").all()
    names = {sheet.name for sheet in page.sheets}
    assert {"crossing", "log_ratio_table", "shuffled", "similarity", "prompts"} <= names
    kinds = {picture.name.split("-")[0] for picture in page.pictures}
    assert {"log_ratio", "latent_accuracy", "log_ratio_languages", "states"} <= kinds


def test_the_summary_has_the_numbers_of_what_is_above_chance_alone(page: Page) -> None:
    said = " ".join(page.summary)
    assert "2 models" in said and "in 6 languages" in said
    # The planted ratio is 2 * layer / 14 - 1.4 + (1 - accuracy), on average over languages.
    mean = sum(1 - GOOD.accuracy[code] for code in FEW) / len(FEW)
    above = [layer for layer in GOOD.layers if GOOD.ratio(layer) + mean > 0]
    assert f"from layer {above[0]} of 14 in google/gemma-2-2b-it" in said
    assert "Over languages the mean log ratio correlates with accuracy r = -" in said
    assert "changes accuracy on the other half by" in said and "in 1 of 1 (at one" in said
    assert "m/weak on" not in said
    overall = page.files["overall"].set_index("model")
    assert f"{overall.loc['google/gemma-2-2b-it', 'tr_plus']:.2f} (tr+)" in said


def test_what_weakens_it_stands_first_and_failures_are_listed(page: Page) -> None:
    assert page.warnings[0].startswith("Chance: in 1 of 2 pairs") and "m/weak" in page.warnings[0]
    assert any("Few languages" in line and "over 5 languages" in line for line in page.warnings)
    said = all_said(page)
    assert "1 cell failed and is missing" in said
    failures = sheets(page.sheets)["failures"]
    assert failures[["table", "language"]].to_numpy().tolist() == [["lens", "tam_Taml"]]
    # One item in each of 6 languages is cut at layer 2, for both measures and models.
    assert f"{6 * 2 * 2} questions read at a layer" in said
    assert "finite log-probability" in said and "Exact ties" in said


def test_printed_values_stand_beside_ours_for_models_of_the_paper_alone(page: Page) -> None:
    table = next(sheet for sheet in page.sheets if sheet.name == "log_ratio_table")
    assert table.small is not None
    below = table.frame[["label", "layers"]].join(table.small)
    first = below[(below["label"] == "google/gemma-2-2b-it") & (below["layers"] == "all analysed")]
    assert "paper -.6***" in first["accuracy"].item()
    assert "n = 5" in first["accuracy"].item() and "[" in first["accuracy"].item()
    rest = below.drop(first.index)
    assert not rest["accuracy"].str.contains("paper").any()
    crossing = sheets(page.sheets)["crossing"].set_index("label")
    assert crossing.loc["google/gemma-2-2b-it", "paper"] == "below in the middle"
    assert crossing.loc["m/weak", "paper"] in ("", None)


def test_where_all_is_chance_nothing_is_concluded(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "run", CHANCE))
    assert page.summary[-1].startswith(NOTHING) and len(page.summary) == 2
    assert "Chance: in 1 of 1 pair " in page.warnings[0]


def test_every_part_alone_and_nothing_at_all_make_pages(tmp_path: Path) -> None:
    for name, rows in {
        "items": plain_rows(GOOD), "lens": lens_rows(GOOD), "points": point_rows(GOOD),
        "alignment": alignment_rows(GOOD),
    }.items():  # fmt: skip
        write_shard(tmp_path / name, name, rows, name="a")
        page = page_of(tmp_path / name)
        index = sheets(page.sheets)["what_is_here"].set_index("exhibit")["here"]
        filled = {
            "items": "Table 1", "lens": "Figure 2a", "points": "Figures 3 and 6", "alignment": "",
        }[name]  # fmt: skip
        assert not filled or index[filled] != "empty"
        if name == "lens":
            assert NO_OUTPUT in page.summary and index["Table 2"] == "empty"
            assert "from layer" in " ".join(page.summary)
    empty = write(tmp_path / "empty")
    assert "no answers and no latent" in page_of(empty).summary[0]
    assert terminal.main_tables(report.build([empty])) == [latent_process.PAGE.no_main]


def test_the_report_chooses_this_page_and_writes_its_figures(tmp_path: Path) -> None:
    small = World(
        accuracy=accuracies(languages=FEW[:2]), layers=(1, 2), items=12, sample=3,
        coefficients=(2.0,), controls=(),
    )  # fmt: skip
    run = write(tmp_path / "run", small, notes=["belebele drops 3 items"])
    files = report.write(report.build([run]), out=tmp_path / "out")
    text = files.html.read_text(encoding="utf-8")
    assert latent_process.PAGE.title in text and "belebele drops 3 items" in text
    assert len(files.figures) > 10
    crossings = pd.read_csv(tmp_path / "out" / "tables" / "crossings.csv")
    assert crossings["model"].tolist() == ["m/one"]


def test_the_terminal_shows_the_table_of_the_runs_study(run: Path, tmp_path: Path) -> None:
    lines = in_terminal(run).splitlines()
    first = next(line for line in lines if "gemma" in line)
    means = read_middle(run)
    assert first.split("│")[-2].strip() == f"{means['google/gemma-2-2b-it']:.2f}"
    assert "*" not in first and any("m/weak" in line and "*" in line for line in lines)
    score = analysis_rows.planted(1)
    other = analysis_rows.write_run(
        tmp_path / "other", alignment=analysis_rows.alignment_rows("m/one", scores=score),
        items=analysis_rows.item_rows("m/one", accuracies=score), record={"study": "neuronxa"},
    )  # fmt: skip
    assert "Pearson's r between score and accuracy" in in_terminal(other)


def read_middle(run: Path) -> pd.Series:
    """The mean log ratio over other languages and the layers in the middle, by hand."""
    cells = Material(read.rows([run])).latent
    own = cells[(cells["measure"] == "latent") & (cells["language"] != PIVOT)]
    middle = own[own["layer"].isin([6, 10])]
    return middle.groupby("model")["mean_of_logs_token"].mean()


def test_similarity_goes_with_what_is_answered(run: Path) -> None:
    found = frames.similarity_correlations(Material(read.rows([run])))
    good = found[(found["model"] == GOOD.model) & (found["outcome"] == "accuracy")]
    assert set(good["measure"]) == set(frames.SIMILARITIES) and set(good["n"]) == {5}
    assert (good["r"] > 0.8).all()


@pytest.mark.parametrize(("count", "first"), [(12, "l0_Latn"), (60, "Latn (")])
def test_few_languages_have_colours_of_their_own_and_many_share_their_scripts(
    count: int, first: str
) -> None:
    codes = [PIVOT, *(f"l{n}_{('Latn', 'Cyrl', 'Arab')[n % 3]}" for n in range(count))]
    world = World(accuracy=dict.fromkeys(codes, 0.5), layers=(1, 2), sample=3)
    rows = pd.DataFrame(point_rows(world))
    figure = draw_states(Material(None), rows, "x")  # type: ignore[arg-type]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == PIVOT and any(label.startswith(first) for label in labels)
    assert len(labels) == (1 + count if count < drawn.FEW else 4)
    drawings = [line.get_xdata() for line in figure.axes[0].get_lines()]
    points = sum(len(x) for x in drawings)
    assert points == 3 * len(codes) + (len(codes) if count > drawn.FEW else 0)

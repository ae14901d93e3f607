"""Figures: labels that do not overlap, files on disk, and titles that say what is seen."""

from itertools import combinations, pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from analysis.figures import drawing
from analysis.figures.labels import Box, free_place
from analysis.layout.material import Material
from analysis.shared import languages, layers, training
from analysis.shared.coefficients import draw_forest, draw_scatter
from tests.makers.analysis_rows import LANGUAGES, alignment_rows, planted, point_rows

NOTHING = Material(None)  # type: ignore[arg-type]


def heat_map(rows: pd.DataFrame) -> Figure:
    held = Material(None, main_alignment=rows, alignment=rows)  # type: ignore[arg-type]
    return layers.draw_heat_map(held, rows, "m: NASCA")


def tick_boxes(figure: Figure) -> list[Bbox]:
    figure.draw_without_rendering()
    labels = figure.axes[0].get_yticklabels()
    return [label.get_window_extent() for label in labels]


@pytest.mark.parametrize("count", [1, 12, 203])
def test_every_language_of_a_heat_map_has_its_own_line(count: int) -> None:
    codes = tuple(f"l{number:02d}_Latn" for number in range(count))
    rows = alignment_rows("m", scores=planted(1, languages=codes), measures=("nasca",))
    figure = heat_map(rows)
    boxes = sorted(tick_boxes(figure), key=lambda box: box.y0)
    assert len(boxes) == count
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_a_heat_map_puts_the_best_language_on_top_and_names_the_best_layer() -> None:
    rows = alignment_rows("m", scores={"low_Latn": 0.2, "top_Latn": 0.7}, measures=("nasca",))
    rows.loc[rows["layer"] == 3, "value"] = [0.4, 1.0]
    axes = heat_map(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["top_Latn", "low_Latn"]
    assert "highest at layer 3: mean 0.70 over 2 languages" in axes.get_title(loc="left")
    assert np.asarray(axes.images[0].get_array())[0].max() == 1.0


def test_saving_writes_svg_and_png_under_names_with_dots(tmp_path: Path) -> None:
    rows = alignment_rows("m", scores=planted(1))
    svg = drawing.save(layers.draw_profiles(NOTHING, rows, "m"), stem=tmp_path / "Llama-3.1-8B-x")
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "Llama-3.1-8B-x.png",
        "Llama-3.1-8B-x.svg",
    ]


@pytest.mark.parametrize("languages", [3, 60])
def test_the_edge_of_a_picture_is_that_of_all_that_is_drawn(languages: int, tmp_path: Path) -> None:
    # Above 40 languages a figure has no layout engine, and its labels stand outside its own edge.
    scores = {f"{'abcdefgh'[place % 8] * 3}_{place:04d}": 0.2 for place in range(languages)}
    rows = alignment_rows("m", scores=scores, measures=("nasca",))
    drawing.save(heat_map(rows), stem=tmp_path / "found")
    whole = heat_map(rows)
    with matplotlib.rc_context(drawing.STYLE):
        assert (whole.get_layout_engine() is None) == (languages > drawing.CROWDED)
        whole.draw_without_rendering()
        whole.set_layout_engine(None)
        whole.savefig(
            tmp_path / "expected.png", dpi=drawing.PNG_DOTS_PER_INCH, bbox_inches="tight",
            pad_inches=drawing.EDGE_INCHES,
        )  # fmt: skip
    found, expected = (tmp_path / f"{name}.png" for name in ("found", "expected"))
    assert found.read_bytes() == expected.read_bytes()


def test_labels_near_crowded_points_meet_neither_points_nor_labels() -> None:
    random = np.random.default_rng(0)
    spots = [tuple(place) for place in random.uniform(60, 140, (25, 2))]
    inside = Box(0, 0, 250, 250)
    taken = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    placed = []
    for point in spots:
        spot = free_place(point, name="deu_Latn", taken=taken, inside=inside)
        if spot is not None:
            placed.append(spot)
            taken.append(spot)
    assert len(placed) > 10
    for one, other in combinations(taken, 2):
        if one in placed or other in placed:
            apart = one.right <= other.left or other.right <= one.left
            assert apart or one.top <= other.bottom or other.top <= one.bottom
    assert all(spot.left >= 0 and spot.top <= 250 for spot in placed)


def test_a_scatter_draws_the_least_squares_line_and_says_r_and_n() -> None:
    random = np.random.default_rng(2)
    x = random.uniform(size=12)
    y = 0.3 + 0.4 * x + 0.05 * random.normal(size=12)
    frame = pd.DataFrame({"language": LANGUAGES, "score": x, "accuracy": y, "chance": 0.25})
    figure = draw_scatter([("m, b", frame)], name="", score="score")
    axes = figure.axes[0]
    heading = " ".join(text.get_text() for text in figure.texts)
    assert f"r = {np.corrcoef(x, y)[0, 1]:.2f}" in heading and "n = 12 languages" in heading
    line = np.asarray(axes.lines[1].get_xydata())
    slope, start = np.polyfit(x, y, 1)
    assert line[:, 1] == pytest.approx(start + slope * line[:, 0])
    assert {text.get_text() for text in axes.texts} == set(LANGUAGES)


def test_a_scatter_without_a_correlation_says_why() -> None:
    frame = pd.DataFrame({"language": ["a", "b"], "score": [0.1, 0.2], "accuracy": [0.3, 0.3]})
    figure = draw_scatter([("m", frame.assign(chance=0.25))], name="", score="s")
    assert "2 languages, at least 3" in figure.texts[0].get_text()
    assert len(figure.axes[0].lines) == 1


def test_bars_are_blue_only_above_chance() -> None:
    rows = pd.DataFrame({"language": ["eng_Latn", "deu_Latn"], "accuracy": [0.6, 0.26]})
    rows = rows.assign(low=[0.5, 0.2], high=[0.7, 0.33], chance=0.25, p_chance=[0.001, 0.8])
    held = Material(None, main_scores=pd.DataFrame({"pivot": ["eng_Latn"]}))  # type: ignore[arg-type]
    axes = languages.draw_bars(held, rows, "m").axes[0]
    colours = [bar.get_facecolor()[:3] for bar in axes.patches]
    assert colours[0] != colours[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "eng_Latn (pivot)",
        "deu_Latn",
    ]
    assert "above chance (binomial p < .05) in 1 of 2 languages" in axes.get_title(loc="left")


def test_a_forest_plot_has_a_line_per_coefficient_and_names_the_undefined() -> None:
    rows = pd.DataFrame({"label": "m", "measure": ["mexa", "nasca"], "pooling": "weighted"})
    rows = rows.assign(r=[0.8, np.nan], low=[0.5, np.nan], high=[0.9, np.nan])
    axes = draw_forest(NOTHING, rows, "b").axes[0]
    assert [text.get_text() for text in axes.texts] == ["undefined"]
    assert "1 of 1 intervals lie above zero" in axes.get_title(loc="left")
    assert any(np.asarray(line.get_xdata()).tolist() == [0.8] for line in axes.lines)


def test_training_curves_put_what_has_no_step_last() -> None:
    rows = pd.DataFrame(
        [
            {"revision": revision, "measure": "nasca", "language": language, "score": score}
            for revision, score in (("main", 0.8), ("step-1000", 0.6), ("step-200", 0.2))
            for language in ("deu_Latn", "fra_Latn")
        ]
    )
    axes = training.draw_training(NOTHING, rows, "m").axes[0]
    mean = next(line for line in axes.lines if len(np.asarray(line.get_xdata())) == 3)
    assert np.asarray(mean.get_ydata()).tolist() == pytest.approx([0.2, 0.6, 0.8])
    assert np.asarray(mean.get_xdata())[:2].tolist() == [200, 1000]
    assert [text.get_text() for text in axes.texts] == ["main"]
    assert "mean 0.20 to 0.80" in axes.get_title(loc="left")


def test_pairs_in_the_plane_are_joined_side_to_side() -> None:
    rows = point_rows("m", spread={"mexa": 3.0, "nasca": 0.5}, count=7)
    figure = layers.draw_pairs(NOTHING, rows, "m")
    lengths = {}
    for axes in figure.axes:
        ends = np.array(axes.collections[0].get_segments())
        lengths[axes.get_title(loc="left")] = np.abs(ends[:, 1, 0] - ends[:, 0, 0])
    assert lengths["sentence embedding, layer 2"] == pytest.approx(np.full(7, 3.0))
    assert lengths["neuron state, layer 2"] == pytest.approx(np.full(7, 0.5))


def test_a_shared_axis_reaches_the_highest_of_all_panels() -> None:
    low = alignment_rows("m", scores=dict.fromkeys(LANGUAGES, 0.3), measures=("mexa",))
    high = alignment_rows("m", scores=dict.fromkeys(LANGUAGES, 1.0), measures=("svcca",))
    figure = layers.draw_profiles(NOTHING, pd.concat([low, high]), "m")
    for axes in figure.axes:
        bottom, top = axes.get_ylim()
        assert bottom == 0 and top >= 1

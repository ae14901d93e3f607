"""Colours that everyone can tell apart: simulated colour vision, grey prints, marks, contrast."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from analysis.clas import figures as clas
from analysis.exhibits import generate
from analysis.figures import curves, heat, theme
from analysis.figures.drawing import SERIES
from analysis.html import render

Floats = npt.NDArray[np.float64]
# Machado, Oliveira and Fernandes (2009), table 1, full severity, of linear RGB.
VISION: dict[str, Floats] = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
# sRGB's primaries and white (IEC 61966-2-1).
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
WHITE = XYZ.sum(axis=1)
# CIE 1976 differences: about 2.3 is just noticeable side by side; points and lines are small and
# lie apart, so that they need several times as much. Lightness runs from 0 to 100.
APART, GREY_STEP = 12.0, 4.5


def seen(colour: str, vision: str) -> Floats:
    """CIE L*a*b* of a colour as it is seen."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    share = XYZ @ np.clip(VISION[vision] @ linear, 0, 1) / WHITE
    root = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def on(page: str) -> list[str]:
    return [colour if page == "light" else theme.dark(colour.lower()) for colour in SERIES]


def test_the_simulation_knows_red_and_green_from_black_and_white() -> None:
    assert seen("#ffffff", "usual") == pytest.approx([100, 0, 0], abs=0.01)
    green, red = "#00a000", "#d04000"
    for vision, least, most in (("usual", 80, 200), ("deuteranopia", 0, 30)):
        assert least < np.linalg.norm(seen(green, vision) - seen(red, vision)) < most


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_colours_of_series_lie_apart_for_every_kind_of_colour_vision(
    page: str, vision: str
) -> None:
    for one, other in combinations(on(page), 2):
        assert np.linalg.norm(seen(one, vision) - seen(other, vision)) > APART, (one, other)


@pytest.mark.parametrize("page", ["light", "dark"])
def test_no_two_colours_of_series_are_the_same_grey(page: str) -> None:
    greys = sorted(float(seen(colour, "usual")[0]) for colour in on(page))
    assert min(np.diff(greys)) > GREY_STEP


def test_neighbours_in_a_stack_are_far_apart_in_grey() -> None:
    greys = [float(seen(colour, "usual")[0]) for colour in clas.AREAS.values()]
    assert min(abs(np.diff(greys))) > 4 * GREY_STEP


def test_lines_of_several_colours_have_marks_of_their_own() -> None:
    looks = {name: curves.Look(name, colour) for name, colour in zip("abc", SERIES, strict=False)}
    rows = pd.DataFrame(
        [{"line": name, "layer": layer, "y": 0.5, "low": 0.4, "high": 0.6}
         for name in looks for layer in range(60)]
    )  # fmt: skip
    lines = curves.lines_of(rows, line="line", looks=looks, y="y")
    assert len({line.marker for line in lines}) == 3
    figure = curves.curves([curves.Panel(title="", lines=lines, x="x")], name="x")
    drawn = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert len(drawn) == 3
    for line in drawn:
        assert 60 / line.get_markevery() <= curves.MOST_MARKS


def test_series_of_written_answers_differ_in_colour_and_in_mark() -> None:
    rows = pd.concat(
        [pd.DataFrame({"place": ["a", "b"], "series": f"m{n}", "value": 0.5, "low": 0.4,
                       "high": 0.6}) for n in range(3)]
    )  # fmt: skip
    figure = generate.draw_scores(rows, name="x", metric="f1", most=1.0)
    looks = {
        (line.get_color(), line.get_marker())
        for line in figure.axes[0].lines if line.get_marker() != "None"
    }  # fmt: skip
    assert len({colour for colour, _ in looks}) == len({mark for _, mark in looks}) == 3


def test_a_map_around_zero_says_which_cells_are_below_it_without_colours() -> None:
    grid = pd.DataFrame([[0.5, -0.5], [-0.2, 0.2]], index=["a", "b"], columns=[1, 2])
    marked = heat.heat(grid, name="x", seen="", x="", bar="change", scale=(-1, 1))
    dots = marked.axes[0].images[1].get_array()
    assert (dots[1::3, 1::3, 3] > 0).tolist() == [[False, True], [True, False]]
    assert marked.axes[1].get_ylabel() == "change (dotted: below 0)"
    numbered = heat.heat(grid, name="x", seen="", x="", bar="change", scale=(-1, 1), form="+.1f")
    plain = heat.heat(grid.abs(), name="x", seen="", x="", bar="share", scale=(0, 1))
    assert len(numbered.axes[0].images) == len(plain.axes[0].images) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_page_stands_out_from_what_it_lies_on(scheme: str) -> None:
    text = (Path(render.TEMPLATES) / "base.css").read_text(encoding="utf-8")
    text = text.replace("{{ card }}", theme.CARD)
    light, dark = text.split("@media screen and (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark.split("@media")[0]))
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in
             ("paper", "shade", "figure")] + [("ink", "warn"), ("accent", "warn")]  # fmt: skip
    for ink, ground in [*pairs, ("warn-line", "paper")]:
        assert theme.contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)

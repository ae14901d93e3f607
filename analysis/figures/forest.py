"""Intervals: values with their ends along one axis, row below row, in groups or in series."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from analysis.figures.drawing import (
    GREY,
    INK,
    LIGHT,
    MONO,
    SANS,
    STYLE,
    WIDTH,
    heading_inches,
    short,
    title,
)

# Inches: of a row, of a line of the key, below the axes, and left of them.
ROW, KEY, AXIS, LEFT = 0.19, 0.18, 0.65, 1.75


class Interval(NamedTuple):
    """A value at a height; one that is missing is called undefined, ends may be missing."""

    height: float
    value: float
    low: float
    high: float
    colour: str = INK
    marker: str = "o"


class Row(NamedTuple):
    """A label at a height, bold where it heads a group."""

    height: float
    label: str
    heads: bool = False


def forest(
    found: Sequence[Interval],
    rows: Sequence[Row],
    *,
    name: str,
    seen: str,
    x: str,
    limits: tuple[float, float],
    key: Mapping[str, tuple[str, str]],
    codes: bool = False,
) -> Figure:
    """Values with their intervals; a row's height is counted down from 0.

    Args:
        found: values and where they stand.
        rows: the labels, those of heights between them included.
        name: what is drawn.
        seen: what is seen, the second line of the title.
        x: the axis.
        limits: its ends.
        key: colour and marker by series; empty where rows say it all.
        codes: labels are codes of languages, in letters of one width.
    """
    deepest = max(row.height for row in rows)
    heading = title(name, seen, width=WIDTH - 0.3)
    above = 0.12 + heading_inches(heading)
    below = AXIS + KEY * len(key)
    height = above + below + ROW * (deepest + 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots()
        figure.subplots_adjust(
            left=LEFT / WIDTH, right=1 - 0.15 / WIDTH, top=1 - above / height, bottom=below / height
        )
        for one in found:
            if one.value != one.value:
                axes.text(0.02, one.height, "undefined", color="#666666", fontsize=7, va="center")
                continue
            if one.low == one.low:
                axes.plot(
                    [one.low, one.high], [one.height] * 2, color=one.colour, linewidth=1.4,
                    solid_capstyle="round",
                )  # fmt: skip
            axes.plot([one.value], [one.height], one.marker, color=one.colour, markersize=4.5)
        names = [short(row.label) for row in rows]
        axes.set_yticks([row.height for row in rows], names, fontsize=8)
        for text, row in zip(axes.get_yticklabels(), rows, strict=True):
            text.set_fontweight("bold" if row.heads else "normal")
            text.set_fontfamily(MONO if codes else SANS)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(deepest + 0.6, -0.8)
        axes.set_xlim(*limits)
        if limits[0] < 0:
            axes.axvline(0, color=GREY, linewidth=0.9)
        axes.grid(axis="x", color=LIGHT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(x)
        if key:
            handles = [
                matplotlib.lines.Line2D([], [], color=colour, marker=marker, markersize=4)
                for colour, marker in key.values()
            ]
            figure.legend(
                handles, [short(text) for text in key], loc="lower left", frameon=False,
                fontsize=8, bbox_to_anchor=(0.0, 0.0),
            )  # fmt: skip
        axes.set_title(heading, x=-LEFT / (WIDTH - LEFT - 0.15))
    return figure


def spread(count: int) -> list[float]:
    """How far each of several series stands from the middle of a row."""
    return [0.6 * ((number + 0.5) / count - 0.5) for number in range(count)]

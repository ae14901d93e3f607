"""Curves: panels of lines over layers, training steps or coefficients, with bands and references.

A panel has thick lines with a band each, and below them a thin line for each of many languages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing import CROWDED, GREY, INK, LIGHT, STYLE, panels, title

Floats = npt.NDArray[np.float64]
Colour = str | Sequence[float]
MARKS = "osD^vP*X<>hdp"
# A line has so many marks at most, at even steps.
MOST_MARKS = 20
# In layers, between lines of one point.
BESIDE = 0.12


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line; `low` and `high` are the ends of its band, or of its bar where it is one point.

    `alpha` is the band's: near 1 it is an area. `size` is that of the marks, in points.
    """

    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    label: str = ""
    colour: Colour = INK
    style: str = "-"
    marker: str = ""
    width: float = 1.5
    alpha: float = 0.17
    size: float = 4


class Look(NamedTuple):
    """How the line of one value of a column looks, and what the key calls it."""

    label: str
    colour: Colour
    style: str = "-"
    marker: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One set of axes.

    `thin` has a column of values per thin line, by x. `levels` are dashed horizontal references,
    `zero` and `origin` thin lines at y = 0 and x = 0, `ends` dotted vertical lines with their
    names, `spans` shaded ranges of x with theirs, `corners` the texts at the top left and the
    bottom right. `bottom` is the lowest y shown, `top` the highest. With `dates` x are days since
    1970.
    """

    title: str
    lines: Sequence[Line]
    x: str
    y: str = ""
    thin: pd.DataFrame | None = None
    thin_colour: Colour = GREY
    levels: Mapping[str, float] = field(default_factory=dict)
    zero: bool = False
    origin: bool = False
    ends: Mapping[str, float] = field(default_factory=dict)
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    corners: tuple[str, str] | None = None
    bottom: float | None = None
    top: float | None = None
    dates: bool = False


def curves(
    drawn: Sequence[Panel],
    *,
    name: str,
    seen: str = "",
    inches: tuple[float, float] = (3.5, 2.6),
    above: float = 0.5,
    least: float = 4.6,
    share: bool = False,
    key: Literal["right", "below", ""] = "",
    key_title: str = "",
    size: float = 9,
) -> Figure:
    """The panels, three in a row; `share` gives all the same y axis.

    `seen` is the second line of the heading. Without a key the titles say which line is which.
    """
    with matplotlib.rc_context(STYLE):
        figure, found = panels(
            len(drawn), across=3, inches=inches, above=above, least=least, sharey=share
        )
        for axes, panel in zip(found, drawn, strict=True):
            _panel(axes, panel, size=size, width=inches[0] - 0.5)
        for axes, panel in zip(found, drawn, strict=True):
            # Not before all lines are there: a limit that is set ends the search for the other.
            if panel.bottom is not None:
                axes.set_ylim(bottom=panel.bottom)
            if panel.top is not None:
                axes.set_ylim(top=panel.top)
            _spans(axes, panel)
        if key:
            _key(figure, drawn, where=key, heading=key_title)
        figure.suptitle(
            title(name, seen, width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10
        )
    return figure


def lines_of(
    rows: pd.DataFrame,
    *,
    line: str,
    looks: Mapping[Any, Look],
    y: str,
    most: tuple[float, float] = (-np.inf, np.inf),
) -> list[Line]:
    """A line over layers for every value of a column that has a look.

    Lines of one layer stand side by side; a look without a mark gets one of its own.

    Args:
        rows: `layer`, `low`, `high` and the two columns.
        line: what sets the lines apart.
        looks: how each value looks, in the order of the key.
        y: the column drawn.
        most: bands are cut to what is possible.
    """
    found = []
    for number, (value, look) in enumerate(looks.items()):
        own = rows[rows[line] == value].sort_values("layer")
        x = own["layer"].to_numpy(float)
        if len(own) == 1:
            x = x + BESIDE * (number - (len(looks) - 1) / 2)
        low, high = (np.clip(own[end].to_numpy(float), *most) for end in ("low", "high"))
        look = look._replace(marker=look.marker or MARKS[number % len(MARKS)])
        found.append(Line(x=x, y=own[y].to_numpy(float), low=low, high=high, **look._asdict()))
    return found


def _panel(axes: Axes, panel: Panel, *, size: float, width: float) -> None:
    """One panel."""
    if panel.thin is not None:
        many = panel.thin.shape[1]
        _thin(axes, panel.thin, colour=panel.thin_colour, alpha=max(0.12, min(0.5, 6 / many)))
    if panel.zero:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=0.9)
    if panel.origin:
        axes.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=0.9)
    for line in panel.lines:
        _line(axes, line)
    for level in panel.levels.values():
        axes.axhline(level, color=GREY, linestyle="--", linewidth=1.1, zorder=1)
    for text, x in panel.ends.items():
        axes.axvline(x, color="#BBBBBB", linestyle=":", linewidth=0.9, zorder=0)
        axes.annotate(
            text, (x, 1), xycoords=("data", "axes fraction"), xytext=(-3, -3),
            textcoords="offset points", ha="right", va="top", fontsize=7,
        )  # fmt: skip
    for text, (x, y) in zip(panel.corners or (), ((0.01, 0.98), (0.99, 0.02)), strict=False):
        axes.text(
            x, y, text, transform=axes.transAxes, ha="left" if x < 0.5 else "right",
            va="top" if y > 0.5 else "bottom", fontsize=7, color="#666666",
        )  # fmt: skip
    axes.set_title(title(panel.title, width=width, size=size), fontsize=size)
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y)
    if panel.dates:
        days = AutoDateLocator(maxticks=6)
        axes.xaxis.set_major_locator(days)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(days))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)


def _spans(axes: Axes, panel: Panel) -> None:
    """Shaded ranges of x, which do not move the axes."""
    limits = axes.get_xlim()
    for text, (left, right) in panel.spans.items():
        left, right = max(left, limits[0]), min(right, limits[1])
        if left >= right:
            continue
        axes.axvspan(left, right, facecolor=GREY, alpha=0.22, linewidth=0, zorder=0.5)
        for edge in (left, right):
            axes.axvline(edge, color=INK, linestyle=":", linewidth=0.9, zorder=4)
        axes.annotate(
            text, ((left + right) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, -3),
            textcoords="offset points", ha="center", va="top", fontsize=7, zorder=5,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    axes.set_xlim(limits)


def _line(axes: Axes, line: Line) -> None:
    """A line with its band, one point with its bar."""
    if line.low is not None and line.high is not None:
        if len(line.x) == 1:
            axes.plot(
                np.repeat(line.x, 2), [line.low[0], line.high[0]], color=line.colour, linewidth=1.2
            )
        else:
            axes.fill_between(
                line.x, line.low, line.high, color=line.colour, alpha=line.alpha, lw=0
            )
    axes.plot(
        line.x, line.y, linestyle=line.style, color=line.colour, linewidth=line.width,
        marker=line.marker, markersize=line.size, label=line.label or None,
        markevery=max(1, -(-len(line.x) // MOST_MARKS)),
    )  # fmt: skip


def _thin(axes: Axes, grid: pd.DataFrame, *, colour: Colour, alpha: float) -> None:
    """One thin line per column; many of them are one image, which keeps the page small."""
    places = grid.index.to_numpy(float)
    lines = [
        np.column_stack([places[known], values[known]])
        for values in grid.to_numpy(float).T
        if (known := ~np.isnan(values)).any()
    ]
    axes.add_collection(
        LineCollection(
            lines, colors=colour, alpha=alpha, linewidths=0.9, rasterized=len(lines) > CROWDED
        )
    )
    axes.autoscale_view()


def _key(
    figure: Figure, drawn: Sequence[Panel], *, where: Literal["right", "below"], heading: str
) -> None:
    """One key of all lines and levels, each label once."""
    found: dict[str, Line2D] = {}
    for panel in drawn:
        for line in panel.lines:
            found.setdefault(
                line.label,
                Line2D([], [], color=line.colour, linestyle=line.style, marker=line.marker,
                       linewidth=line.width, markersize=4),
            )  # fmt: skip
        for text in panel.levels:
            found.setdefault(text, Line2D([], [], color=GREY, linestyle="--", linewidth=1.1))
    found.pop("", None)
    place = "outside right center" if where == "right" else "outside lower center"
    figure.legend(
        list(found.values()), list(found), loc=place, frameon=False, fontsize=8,
        title=heading or None, title_fontsize=8, ncols=1 if where == "right" else len(found),
    )  # fmt: skip

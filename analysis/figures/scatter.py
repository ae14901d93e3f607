"""Scatter plots: one value against another, a point per language or step, with their fit.

Labels stand where there is room for them; with many points there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from analysis.figures.drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    STYLE,
    WIDTH,
    heading_inches,
    title,
)
from analysis.figures.labels import label_points

Floats = npt.NDArray[np.float64]
# Of an axis of shares, so that a point at 0 or 1 is seen whole.
BEYOND = 0.03
RASTERIZED_FROM = 200


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One scatter plot; `note` is the second line of its title.

    `low` and `high` are the ends of y. `fit` draws the least-squares line, as a `share` within 0
    and 1 and with its 95 % band. `level` is a dashed reference, `zero` a line at y = 0 that points
    whose interval lies above or below are coloured by.
    """

    title: str
    x: Floats
    y: Floats
    names: Sequence[str]
    low: Floats | None = None
    high: Floats | None = None
    fit: Literal["share", "line", ""] = ""
    level: float = float("nan")
    zero: bool = False
    note: str = ""
    y_label: str = ""


def scatter(
    drawn: Sequence[Panel],
    *,
    name: str,
    x: str,
    y: str = "",
    key: str = "",
    share: bool = True,
    across: int = 3,
    most_labels: int = 14,
) -> Figure:
    """The panels, `across` in a row; one alone is larger, its title the heading without a name.

    Args:
        drawn: what is drawn.
        name: the heading.
        x: the axis across.
        y: the axis up, unless panels name their own.
        key: what lines and colours mean.
        share: all panels have the same axes.
        across: panels in a row.
        most_labels: with more points than that none is named.
    """
    alone = len(drawn) == 1
    columns = 2 if len(drawn) == 4 and across == 3 else max(1, min(across, len(drawn)))
    lines = -(-len(drawn) // columns)
    with matplotlib.rc_context(STYLE):
        width = WIDTH if alone else max(4.6, (3.4 if share else 4.0) * columns)
        heading = title(name, key, width=width - 0.2)
        if not name:
            heading = title(drawn[0].title, drawn[0].note, width=width - 0.2)
        above = (0.55 if name else 0.2) + heading_inches(heading)
        height = above + (4.0 if alone else 2.9 * lines)
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(lines, columns, sharex=share, sharey=share, squeeze=False)
        figure.subplots_adjust(
            left=0.66 / width, right=1 - 0.12 / width, bottom=(0.5 if name else 0.7) / height,
            top=1 - above / height, wspace=0.08 if share else 0.25, hspace=0.28,
        )  # fmt: skip
        found = list(grid.flat)
        for axes in found[len(drawn) :]:
            axes.set_visible(False)
        for axes, panel in zip(found, drawn, strict=False):
            _points(axes, panel, small=len(panel.x) > most_labels)
            if name:
                axes.set_title(title(panel.title, panel.note, width=3.0, size=8), fontsize=8)
        for number, (axes, panel) in enumerate(zip(found, drawn, strict=False)):
            _references(axes, panel)
            if len(panel.x) <= most_labels:
                label_points(axes, panel.x, panel.y, list(panel.names))
            first = number % columns == 0
            axes.set_ylabel(panel.y_label or (y if first else ""))
            if number + columns >= len(drawn) or not share:
                axes.set_xlabel(x)
                axes.tick_params(labelbottom=True)
        figure.text(0.1 / width, 1 - 0.08 / height, heading, va="top", fontsize=10)
        if not name:
            figure.text(0.99, 0.012, key, ha="right", fontsize=7, color="#555555")
    return figure


def _points(axes: Axes, panel: Panel, *, small: bool) -> None:
    """Points with their intervals."""
    size = 3.0 if small else 4.5
    groups = [(np.ones(len(panel.x), bool), BLUE, "o")]
    if panel.zero and panel.low is not None and panel.high is not None:
        above, below = panel.low > 0, panel.high < 0
        groups = [(~(above | below), GREY, "o"), (above, BLUE, "^"), (below, ORANGE, "v")]
    for chosen, colour, mark in groups:
        if not chosen.any():
            continue
        axes.plot(
            panel.x[chosen], panel.y[chosen], mark, color=colour, markersize=size, alpha=0.85,
            markeredgewidth=0, zorder=3, rasterized=len(panel.x) > RASTERIZED_FROM,
        )  # fmt: skip
        if panel.low is not None and panel.high is not None:
            axes.vlines(
                panel.x[chosen], np.fmin(panel.low, panel.y)[chosen],
                np.fmax(panel.high, panel.y)[chosen], color=colour, linewidth=0.9, alpha=0.55,
                zorder=1,
            )  # fmt: skip
    axes.margins(0.12)


def _references(axes: Axes, panel: Panel) -> None:
    """The fit and the levels, which do not move the axes."""
    axes.set_xlim(axes.get_xlim())
    low, high = axes.get_ylim()
    if panel.fit == "share":
        low, high = max(-BEYOND, low), min(1 + BEYOND, high)
    axes.set_ylim(low, high)
    known = np.isfinite(panel.x) & np.isfinite(panel.y)
    if panel.fit and known.sum() > 2 and np.ptp(panel.x[known]) > 0:
        _fit(axes, panel.x[known], panel.y[known], share=panel.fit == "share")
    if panel.zero:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=0)
    if low < panel.level < high:
        axes.axhline(panel.level, color=ORANGE, linestyle="--", linewidth=1.1)


def _fit(axes: Axes, x: Floats, y: Floats, *, share: bool) -> None:
    """The least-squares line over the values there are, of a share within 0 and 1 and with a band.

    The band is the 95 % interval of the mean, for 4 points or more.
    """
    fit = stats.linregress(x, y)
    places = np.linspace(x.min(), x.max(), 80)
    middle = fit.intercept + fit.slope * places
    possible = (middle >= 0) & (middle <= 1) if share else np.ones(len(places), bool)
    axes.plot(places[possible], middle[possible], color=INK, linewidth=1.3, zorder=2)
    n = len(x)
    if not share or n < 4:
        return
    residual = y - fit.intercept - fit.slope * x
    error = np.sqrt(residual @ residual / (n - 2))
    leverage = 1 / n + (places - x.mean()) ** 2 / ((x - x.mean()) @ (x - x.mean()))
    half = stats.t.ppf(0.975, n - 2) * error * np.sqrt(leverage)
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    axes.fill_between(places, low, high, color=GREY, alpha=0.25, linewidth=0)

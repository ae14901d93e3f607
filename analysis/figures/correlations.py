"""Figures of correlations: score against accuracy, and all coefficients with their intervals.

The one idea: a coefficient is never shown without its points or its interval. Labels are placed
where they touch neither a point nor one another; one that finds no place is left out.
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from analysis.correlate import Correlation, p_in_words
from analysis.figures.drawing import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    ORANGE,
    STYLE,
    WIDTH,
    margins,
    short,
    title,
)

Floats = npt.NDArray[np.float64]

MOST_LABELS = 30
# Of an axis of accuracies, so that a point at 0 or 1 is seen whole.
BEYOND = 0.03
LABEL_POINTS = 7.0
RINGS_POINTS = (5.0, 11.0, 18.0, 26.0)
ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 325, 215])


class Panel(NamedTuple):
    """One of several scatter plots in a figure: points have language, score, accuracy, chance."""

    name: str
    points: pd.DataFrame
    correlation: Correlation


class Box(NamedTuple):
    """A rectangle in points on the page."""

    left: float
    bottom: float
    right: float
    top: float


def scatter(
    points: pd.DataFrame, *, name: str, score: str, accuracy: str, correlation: Correlation
) -> Figure:
    """Score against accuracy, one point per language, with the least-squares line and its band.

    Points need language, score, accuracy and chance.
    """
    x, y = points["score"].to_numpy(float), points["accuracy"].to_numpy(float)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.7))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.15, top=0.89)
        axes.plot(x, y, "o", color=BLUE, markersize=4.5, alpha=0.85, zorder=3)
        axes.margins(0.12)
        axes.set_xlim(axes.get_xlim())
        axes.set_ylim(_possible(axes))
        if correlation.r == correlation.r:
            _line(axes, x, y)
        chance = float(points["chance"].mean()) if len(points) else float("nan")
        low, high = axes.get_ylim()
        if low < chance < high:
            axes.axhline(chance, color=ORANGE, linestyle="--", linewidth=1.1)
        if len(points) <= MOST_LABELS:
            label_points(axes, x, y, list(points["language"]))
        axes.set_xlabel(score)
        key = "line: least squares with its 95 % band; dashed: chance"
        figure.text(0.99, 0.012, key, ha="right", fontsize=7, color="#555555")
        axes.set_ylabel(accuracy)
        axes.set_title(title(name, statement(correlation)))
    return figure


def panels(found: list[Panel], *, name: str, score: str) -> Figure:
    """Score against accuracy, a panel per model on common axes, each with its line and r."""
    columns = min(3, len(found))
    lines = -(-len(found) // columns)
    with matplotlib.rc_context(STYLE):
        height = 0.7 + 2.5 * lines
        figure = Figure(figsize=(3.3 * columns, height), layout=margins())
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for axes, panel in zip(grid.flat, found, strict=False):
            x = panel.points["score"].to_numpy(float)
            y = panel.points["accuracy"].to_numpy(float)
            axes.plot(
                x,
                y,
                "o",
                color=BLUE,
                markersize=3,
                alpha=0.6,
                markeredgewidth=0,
                zorder=3,
                rasterized=len(x) > MOST_LABELS,
            )
            axes.set_title(
                title(panel.name, _brief(panel.correlation), width=2.8, size=8), fontsize=8
            )
        for axes, panel in zip(grid.flat, found, strict=False):
            x = panel.points["score"].to_numpy(float)
            if panel.correlation.r == panel.correlation.r:
                axes.set_xlim(axes.get_xlim())
                axes.set_ylim(_possible(axes))
                _line(axes, x, panel.points["accuracy"].to_numpy(float))
            axes.axhline(float(panel.points["chance"].mean()), color=ORANGE, linestyle="--", lw=1)
        for axes in list(grid.flat)[len(found) :]:
            axes.set_visible(False)
        figure.supxlabel(f"{score}; dashed: chance", fontsize=8)
        figure.supylabel("accuracy", fontsize=8)
        figure.suptitle(title(name, width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10)
    return figure


def _possible(axes: matplotlib.axes.Axes) -> tuple[float, float]:
    """The limits of an axis of accuracies, cut to a little beyond 0 and 1."""
    low, high = axes.get_ylim()
    return max(-BEYOND, low), min(1 + BEYOND, high)


def _brief(correlation: Correlation) -> str:
    """r, its interval and n in few letters."""
    if correlation.r != correlation.r:
        return "r undefined"
    interval = ""
    if correlation.low == correlation.low:
        interval = f" [{correlation.low:.2f}, {correlation.high:.2f}]"
    return f"r = {correlation.r:.2f}{interval}, n = {correlation.n}"


def statement(correlation: Correlation) -> str:
    """A correlation in one line: r, its interval, p and n, or why there is none."""
    if correlation.r != correlation.r:
        return correlation.note
    interval = ""
    if correlation.low == correlation.low:
        interval = f" [{correlation.low:.2f}, {correlation.high:.2f}]"
    p = p_in_words(correlation.p)
    return f"r = {correlation.r:.2f}{interval}, {p}, n = {correlation.n} languages"


def forest(correlations: pd.DataFrame, *, name: str) -> Figure:
    """Every coefficient of one benchmark with its interval, grouped by model.

    Rows need label, measure, pooling, r, low, high.
    """
    rows = correlations.to_dict("records")
    labels = list(dict.fromkeys(row["label"] for row in rows))
    with matplotlib.rc_context(STYLE):
        height = 1.3 + 0.19 * (len(rows) + 1.4 * len(labels))
        figure = Figure(figsize=(WIDTH, height), layout=margins())
        axes = figure.subplots()
        ticks: list[tuple[float, str, bool]] = []
        line = 0.0
        for label in labels:
            ticks.append((line, short(label), True))
            for row in (row for row in rows if row["label"] == label):
                line += 1
                _interval(axes, line, row)
                ticks.append((line, f"{row['measure'].upper()}, {row['pooling']}", False))
            line += 1.4
        axes.set_yticks([tick[0] for tick in ticks], [tick[1] for tick in ticks])
        for text, (_, _, heading) in zip(axes.get_yticklabels(), ticks, strict=True):
            text.set_fontweight("bold" if heading else "normal")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(line - 0.6, -0.8)
        axes.set_xlim(min(-0.05, float(correlations["low"].min()) - 0.05), 1.03)
        axes.axvline(0, color=GREY, linewidth=0.9)
        axes.grid(axis="x", color="#E3E3E3", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("Pearson's r over languages, 95 % interval")
        axes.set_title(title(name, _forest_statement(correlations)))
    return figure


def _forest_statement(correlations: pd.DataFrame) -> str:
    """What a forest plot shows, in one line."""
    defined = correlations[correlations["low"].notna()]
    if defined.empty:
        return "no intervals: too few languages"
    clear = int((defined["low"] > 0).sum())
    return f"{clear} of {len(defined)} intervals lie above zero"


def _interval(axes: matplotlib.axes.Axes, line: float, row: Mapping[Hashable, object]) -> None:
    """One coefficient of a forest plot."""
    r, low, high = (float(str(row[name])) for name in ("r", "low", "high"))
    colour = COLOURS.get(str(row["measure"]), INK)
    if r != r:
        axes.text(0.02, line, "undefined", color="#666666", fontsize=7, va="center")
        return
    if low == low:
        axes.plot([low, high], [line, line], color=colour, linewidth=1.6, solid_capstyle="round")
    axes.plot([r], [line], "o", color=colour, markersize=5)


def _line(axes: matplotlib.axes.Axes, x: Floats, y: Floats) -> None:
    """The least-squares line, and the 95 % band of the mean where there are 4 points or more.

    Both over the scores there are, and within the accuracies there can be.
    """
    fit = stats.linregress(x, y)
    places = np.linspace(x.min(), x.max(), 80)
    middle = fit.intercept + fit.slope * places
    possible = (middle >= 0) & (middle <= 1)
    axes.plot(places[possible], middle[possible], color=INK, linewidth=1.3, zorder=2)
    n = len(x)
    if n < 4:
        return
    residual = y - fit.intercept - fit.slope * x
    error = np.sqrt(residual @ residual / (n - 2))
    leverage = 1 / n + (places - x.mean()) ** 2 / ((x - x.mean()) @ (x - x.mean()))
    half = stats.t.ppf(0.975, n - 2) * error * np.sqrt(leverage)
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    axes.fill_between(places, low, high, color=GREY, alpha=0.25, linewidth=0)


def label_points(axes: matplotlib.axes.Axes, x: Floats, y: Floats, names: list[str]) -> None:
    """Write each name near its point, nearest free place first, with a hair line when far."""
    scale = 72 / axes.figure.dpi
    places = axes.transData.transform(np.column_stack([x, y])) * scale
    frame = axes.get_window_extent()
    inside = Box(frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    taken = [Box(a - 3, b - 3, a + 3, b + 3) for a, b in places]
    for index, name in enumerate(names):
        spot = free_place(tuple(places[index]), name=name, taken=taken, inside=inside)
        if spot is None:
            continue
        taken.append(spot)
        left, bottom = spot.left - places[index][0], spot.bottom - places[index][1]
        far = _gap(spot, places[index]) > RINGS_POINTS[0] + 1
        axes.annotate(
            name, (x[index], y[index]), (left, bottom), textcoords="offset points", color=INK,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4},
            fontsize=LABEL_POINTS, ha="left", va="bottom", zorder=2.5,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5} if far else None,
        )  # fmt: skip


def free_place(point: tuple[float, ...], *, name: str, taken: list[Box], inside: Box) -> Box | None:
    """The nearest rectangle for a label that meets nothing, or None where all are taken."""
    width, height = 0.62 * LABEL_POINTS * len(name), 1.25 * LABEL_POINTS
    for ring in RINGS_POINTS:
        for angle in ANGLES:
            across, up = np.cos(angle), np.sin(angle)
            left = point[0] + ring * across - width * (1 - across) / 2
            bottom = point[1] + ring * up - height * (1 - up) / 2
            spot = Box(left, bottom, left + width, bottom + height)
            fits = spot.left >= inside.left and spot.right <= inside.right
            fits = fits and spot.bottom >= inside.bottom and spot.top <= inside.top
            if fits and not any(_meet(spot, other) for other in taken):
                return spot
    return None


def _meet(one: Box, other: Box) -> bool:
    """Whether two rectangles overlap."""
    across = one.left < other.right and other.left < one.right
    return across and one.bottom < other.top and other.bottom < one.top


def _gap(spot: Box, point: Floats) -> float:
    """Distance from a point to the nearest edge of a rectangle."""
    across = max(spot.left - point[0], point[0] - spot.right, 0.0)
    up = max(spot.bottom - point[1], point[1] - spot.top, 0.0)
    return float(np.hypot(across, up))

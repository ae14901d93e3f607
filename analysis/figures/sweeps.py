"""Figures of steering: over coefficients, over layers, over languages, and beside controls.

The one idea: steered languages differ far more from each other than steering moves them, so a band
is that of the change over languages, never of the languages' levels. Every figure is a pure
function of a small tidy frame and says in its title what is seen.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.correlations import label_points
from analysis.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    STYLE,
    YELLOW,
    heading_inches,
    margins,
    title,
)

LEVELS = {
    "accuracy": "accuracy (%)",
    "consistency": "consistency with the pivot (rho)",
    "transfer": "tr+ from the pivot (%)",
}
CHANGES = {
    "accuracy": "change of accuracy (points)",
    "consistency": "change of consistency (rho)",
    "transfer": "change of tr+ (points)",
}
SCALES = {"accuracy": 100.0, "consistency": 1.0, "transfer": 100.0}
MARKS = "osD^vP*X<>hdp"
KINDS: Mapping[str, str] = {
    "steer": BLUE,
    "random": GREY,
    "wrong_language": ORANGE,
    "wrong_dataset": YELLOW,
    "orthogonal": GREEN,
    "halves": PURPLE,
}
MOST_LABELS = 14
ACROSS = 3
KEY = "bars: 95 % over items; blue: above 0, orange: below"


def doses(rows: pd.DataFrame, *, name: str) -> Figure:
    """Level by coefficient, a panel per outcome, a line per layer; all meet at coefficient 0.

    Rows need outcome, layer, coefficient, plain, level, low and high, the ends of the change.
    """
    layers = sorted(set(rows["layer"]))
    colours = matplotlib.colormaps["viridis"](np.linspace(0.25, 0.88, len(layers)))
    outcomes = [outcome for outcome in LEVELS if rows[rows["outcome"] == outcome]["level"].any()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 3.3 * len(outcomes)), 3.5), layout=margins())
        panels = figure.subplots(1, len(outcomes), squeeze=False)[0]
        for axes, outcome in zip(panels, outcomes, strict=True):
            own = rows[rows["outcome"] == outcome]
            scale = SCALES[outcome]
            for number, (layer, colour) in enumerate(zip(layers, colours, strict=True)):
                _dose(axes, own[own["layer"] == layer], scale, colour, MARKS[number % len(MARKS)])
            plain = scale * float(own["plain"].mean())
            axes.axhline(plain, color=INK, linestyle="--", linewidth=0.9, zorder=1)
            axes.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
            axes.set_xlabel("coefficient (> 0: toward the pivot)")
            axes.set_ylabel(LEVELS[outcome])
            best = own.sort_values("level", ascending=False).iloc[0]
            axes.set_title(
                f"highest: layer {best['layer']:.0f} at {best['coefficient']:+g}", fontsize=8
            )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8,
                      title="layer", title_fontsize=8)  # fmt: skip
        key = "band: 95 % of the change over languages; dashed: plain"
        figure.suptitle(
            title(name, key, width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10
        )
    return figure


def by_layer(rows: pd.DataFrame, *, name: str) -> Figure:
    """Change by layer, a panel per outcome, one line for each of two coefficients.

    Rows need outcome, layer, coefficient, change, low and high.
    """
    lines = [
        (f"coefficient {sign * size:+g}", own, colour, mark)
        for sign, colour, mark in ((1, BLUE, "o"), (-1, ORANGE, "s"))
        for size in sorted(set(rows["coefficient"].abs()))
        if len(own := rows[rows["coefficient"] == sign * size])
    ]
    return _by_layer(lines, name=name)


def controls(rows: pd.DataFrame, *, name: str) -> Figure:
    """Change by layer of the real vector and of every control, at one coefficient.

    Rows need intervention, outcome, layer, change, low and high.
    """
    kinds = [kind for kind in KINDS if kind in set(rows["intervention"])]
    lines = [
        (kind.replace("_", " "), rows[rows["intervention"] == kind], KINDS[kind], MARKS[number])
        for number, kind in enumerate(kinds)
    ]
    return _by_layer(lines, name=name)


def by_language(rows: pd.DataFrame, *, outcome: str, name: str, notes: Mapping[int, str]) -> Figure:
    """Change against plain accuracy, a point per language, a panel per layer; `notes` by layer.

    Rows need language, layer, plain_accuracy, and the outcome's change, low and high.
    """
    layers = sorted(set(rows["layer"]))
    columns = 2 if len(layers) == 4 else min(ACROSS, len(layers))
    lines = -(-len(layers) // columns)
    with matplotlib.rc_context(STYLE):
        width = max(4.6, 3.4 * columns)
        heading = title(name, KEY, width=width)
        above = 0.5 + heading_inches(heading)
        height = above + 2.9 * lines
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(
            left=0.62 / width, right=0.985, bottom=0.5 / height, top=1 - above / height,
            wspace=0.08, hspace=0.28,
        )  # fmt: skip
        for axes, layer in zip(panels.flat, layers, strict=False):
            _languages(axes, rows[rows["layer"] == layer], outcome)
            axes.set_title(
                title(f"layer {layer}", notes.get(layer, ""), width=3.0, size=8), fontsize=8
            )
        for axes in list(panels.flat)[len(layers) :]:
            axes.set_visible(False)
        for axes, layer in zip(panels.flat, layers, strict=False):
            own = rows[rows["layer"] == layer]
            axes.set_xlim(axes.get_xlim())
            axes.set_ylim(axes.get_ylim())
            if len(own) <= MOST_LABELS:
                x = 100 * own["plain_accuracy"].to_numpy(float)
                label_points(axes, x, own[f"{outcome}_change"].to_numpy(float),
                             list(own["language"]))  # fmt: skip
        for row in panels:
            row[0].set_ylabel(CHANGES[outcome])
        for number, axes in enumerate(panels.flat):
            if number + columns >= len(layers):
                axes.set_xlabel("accuracy of the plain model (%)")
                axes.tick_params(labelbottom=True)
        figure.text(0.1 / width, 1 - 0.08 / height, heading, va="top", fontsize=10)
    return figure


def _dose(axes: Axes, rows: pd.DataFrame, scale: float, colour: Sequence[float], mark: str) -> None:
    """One layer's line, with the plain level at 0 and a band of the change."""
    own = rows.sort_values("coefficient")
    x = own["coefficient"].to_numpy(float)
    plain = own["plain"].to_numpy(float)
    unit = scale / 100 if scale > 1 else 1.0
    low, high = (scale * plain + unit * own[end].to_numpy(float) for end in ("low", "high"))
    level = scale * own["level"].to_numpy(float)
    place = int(np.searchsorted(x, 0))
    if 0 not in x and len(x):
        start = scale * float(plain.mean())
        x, level = np.insert(x, place, 0), np.insert(level, place, start)
        low, high = np.insert(low, place, start), np.insert(high, place, start)
    least, most = (-1, 1) if scale == 1 else (0, scale)
    low, high = (np.clip(end, least, most) for end in (low, high))
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    layer = f"{own['layer'].iloc[0]:.0f}" if len(own) else ""
    axes.plot(x, level, marker=mark, color=colour, linewidth=1.5, markersize=4, label=layer)


def _by_layer(lines: list[tuple[str, pd.DataFrame, str, str]], *, name: str) -> Figure:
    """Panels of changes by layer."""
    everything = pd.concat([rows for _, rows, _, _ in lines])
    outcomes = [
        outcome
        for outcome in CHANGES
        if everything[everything["outcome"] == outcome]["change"].notna().any()
    ]
    layers = sorted(set(everything["layer"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 3.3 * len(outcomes)), 3.5), layout=margins())
        panels = figure.subplots(1, len(outcomes), squeeze=False)[0]
        for axes, outcome in zip(panels, outcomes, strict=True):
            for number, (label, rows, colour, mark) in enumerate(lines):
                own = rows[rows["outcome"] == outcome].sort_values("layer")
                x = own["layer"].to_numpy(float)
                if len(own) == 1:
                    x = x + 0.12 * (number - (len(lines) - 1) / 2)
                    ends = own[["low", "high"]].to_numpy(float)[0]
                    axes.plot([x[0], x[0]], ends, color=colour, linewidth=1.2)
                axes.fill_between(x, own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
                axes.plot(
                    x, own["change"], marker=mark, color=colour, linewidth=1.5, markersize=4,
                    label=label,
                )  # fmt: skip
            axes.axhline(0, color="#888888", linewidth=0.8, zorder=0)
            axes.set_xlabel("layer steered")
            axes.set_ylabel(CHANGES[outcome])
            if len(layers) <= 12:
                axes.set_xticks(layers)
            else:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
        key = "mean over languages, band: 95 %"
        figure.suptitle(
            title(name, key, width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10
        )
    return figure


def _languages(axes: Axes, rows: pd.DataFrame, outcome: str) -> None:
    """The points of one layer with their intervals, and the least-squares line."""
    x = 100 * rows["plain_accuracy"].to_numpy(float)
    y = rows[f"{outcome}_change"].to_numpy(float)
    ends = rows[[f"{outcome}_low", f"{outcome}_high"]].to_numpy(float)
    clear = (ends[:, 0] > 0) | (ends[:, 1] < 0)
    axes.axhline(0, color="#888888", linewidth=0.8, zorder=0)
    for chosen, colour in ((~clear, GREY), (clear & (y > 0), BLUE), (clear & (y <= 0), ORANGE)):
        if not chosen.any():
            continue
        axes.vlines(x[chosen], ends[chosen, 0], ends[chosen, 1], color=colour, linewidth=0.8,
                    alpha=0.55, zorder=1)  # fmt: skip
        axes.plot(x[chosen], y[chosen], "o", color=colour, markersize=4, zorder=3)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() > 2 and np.ptp(x[known]) > 0:
        slope, start = np.polyfit(x[known], y[known], 1)
        places = np.array([x[known].min(), x[known].max()])
        axes.plot(places, start + slope * places, color=INK, linewidth=1.2, zorder=2)
    axes.margins(0.1)

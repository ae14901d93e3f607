"""Figures over training: scores by step, and scores against the quality of translations.

The one idea: a state without a step (`main`) is the last one and stands at the right edge, apart
from the scale, as its step is not known.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.checkpoints import step
from analysis.correlate import Correlation
from analysis.figures.by_language import thin_lines
from analysis.figures.correlations import label_points, statement
from analysis.figures.drawing import COLOURS, INK, STYLE, margins, short, title

LABELS = 12


def curves(rows: pd.DataFrame, *, name: str) -> Figure:
    """Score by training step, one panel per measure: a thin line per language, thick their mean.

    Rows need revision, measure, language and score. The mean is over the languages that every
    state has, so that it moves with the scores alone. A measure of one state alone has no panel.
    """
    states = rows.groupby("measure")["revision"].nunique()
    measures = [measure for measure in COLOURS if states.get(measure, 0) > 1]
    columns = min(3, len(measures))
    lines = -(-len(measures) // columns)
    with matplotlib.rc_context(STYLE):
        size = (max(4.6, 3.5 * columns), 0.6 + 2.6 * lines)
        figure = Figure(figsize=size, layout=margins())
        panels = figure.subplots(lines, columns, squeeze=False)
        for axes, measure in zip(panels.flat, measures, strict=False):
            _curve(axes, rows[rows["measure"] == measure], measure)
        for axes in list(panels.flat)[len(measures) :]:
            axes.set_visible(False)
        for row in panels:
            row[0].set_ylabel("score, mean over layers")
        key = "thin: one language, thick: their mean"
        figure.suptitle(title(f"{name} ({key})", width=size[0]), x=0.01, ha="left", fontsize=10)
    return figure


def translation(
    rows: pd.DataFrame, *, name: str, score: str, found: dict[str, Correlation]
) -> Figure:
    """Score against quality, one point per step, one panel per metric.

    Rows need revision, metric, quality, low, high and score; bars are 95 % intervals of quality.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.0 * len(found), 3.5))
        panels = figure.subplots(1, len(found), squeeze=False)[0]
        figure.subplots_adjust(left=0.09, right=0.98, bottom=0.15, top=0.78, wspace=0.25)
        for axes, (metric, correlation) in zip(panels, found.items(), strict=True):
            own = rows[rows["metric"] == metric]
            x, y = own["score"].to_numpy(float), own["quality"].to_numpy(float)
            ends = np.array([y - own["low"], own["high"] - y]).clip(0)
            axes.errorbar(x, y, yerr=ends, fmt="o", color=COLOURS["nasca"], markersize=4.5,
                          ecolor="#9AA0A6", elinewidth=0.9)  # fmt: skip
            axes.margins(0.15)
            axes.set_xlabel(score)
            axes.set_ylabel(f"{metric} (95 % interval)")
            said = statement(correlation).replace("languages", "steps")
            axes.set_title(title(metric, said, width=3.4, size=8), fontsize=8)
            if len(own) <= LABELS:
                axes.set_xlim(axes.get_xlim())
                axes.set_ylim(axes.get_ylim())
                label_points(axes, x, y, [str(_short(text)) for text in own["revision"]])
        figure.suptitle(title(name, width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    """One panel of training curves."""
    places = _places(sorted(set(rows["revision"])))
    grid = rows.assign(place=rows["revision"].map(places))
    grid = grid.pivot_table(index="place", columns="language", values="score").sort_index()
    faint = max(0.15, min(0.5, 6 / grid.shape[1]))
    thin_lines(axes, grid, colour=COLOURS[measure], alpha=faint)
    shared = grid.dropna(axis="columns")
    mean = (shared if shared.shape[1] else grid).mean(axis="columns")
    axes.plot(grid.index, mean, "o-", color=INK, linewidth=2, markersize=4)
    axes.set_title(f"{measure.upper()}: mean {mean.iloc[0]:.2f} to {mean.iloc[-1]:.2f}", fontsize=9)
    axes.set_xlabel("training step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(grid.to_numpy()))))
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)
    last = [revision for revision in places if step(revision) is None]
    for revision in last:
        axes.axvline(places[revision], color="#BBBBBB", linestyle=":", linewidth=0.9, zorder=0)
        axes.annotate(
            short(revision), (places[revision], 1), xycoords=("data", "axes fraction"),
            xytext=(-3, -3), textcoords="offset points", ha="right", va="top", fontsize=7,
        )  # fmt: skip


def _places(revisions: list[str]) -> dict[str, float]:
    """Where revisions stand on the axis: their step, and what has none beyond the last step."""
    steps = {revision: step(revision) for revision in revisions}
    known = [float(value) for value in steps.values() if value is not None]
    beyond = (max(known) * 1.12 + 1) if known else 0.0
    return {
        revision: beyond if value is None else float(value) for revision, value in steps.items()
    }


def _short(revision: str) -> str:
    """A revision as the label of a point: its step, or its name."""
    found = step(revision)
    return revision[:12] if found is None else f"{found}"

"""Figures of latent probabilities by layer (arXiv 2505.13141, Figure 2), and by language.

The one idea: a mean over languages is drawn with its 95 % band, and what it is compared with (the
options of another question, chance, the model's own answers) stands in the same panel.
"""

from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing import BLUE, GREY, INK, MONO, ORANGE, STYLE, WIDTH, margins, title
from analysis.latent import LATENT, SHUFFLED

CROWDED = 40
ACROSS = 3
# Inches of a panel.
PANEL = 3.0
MOST_TICKS = 12


class Output(NamedTuple):
    """What models answer, to stand beside the last layer: accuracy over languages, and chance."""

    mean: float
    low: float
    high: float
    chance: float


def ratios(curves: pd.DataFrame, *, name: str) -> Figure:
    """Log ratio by layer, a panel per model: own options as a line, another question's dashed.

    Rows need label, measure, layer, mean, low and high (`analysis.log_ratio.curves`).
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(sorted(set(curves["label"])), name=name)
        for label, axes in panels.items():
            own = curves[curves["label"] == label]
            _layers(axes, own)
            axes.axhline(0, color="#888888", linewidth=0.8)
            for measure, colour, line in ((SHUFFLED, GREY, "--"), (LATENT, BLUE, "-")):
                rows = own[own["measure"] == measure].sort_values("layer")
                _band(axes, rows, colour=colour, line=line)
            _direction(axes)
        _legend(figure, [(BLUE, "-", "own options"), (GREY, "--", "options of another question")])
        next(iter(panels.values())).set_ylabel("log ratio, native : pivot")
    return figure


def accuracies(curves: pd.DataFrame, *, outputs: dict[str, Output], name: str) -> Figure:
    """Latent accuracy by layer, a panel per model, of both sides; a mark for the output's.

    Rows need label, side, layer, mean, low and high.
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(sorted(set(curves["label"])), name=name)
        for label, axes in panels.items():
            own = curves[curves["label"] == label]
            _layers(axes, own)
            for side, colour in (("native", BLUE), ("pivot", ORANGE)):
                rows = own[own["side"] == side].sort_values("layer")
                _band(axes, rows, colour=colour, line="-", share=True)
            output = outputs.get(label)
            if output is not None:
                _output(axes, output, last=float(own["layer"].max()))
            axes.set_ylim(bottom=0)
        lines = [(BLUE, "-", "native text"), (ORANGE, "-", "pivot text")]
        _legend(figure, [*lines, (INK, "s", "output"), (GREY, "--", "chance")])
        next(iter(panels.values())).set_ylabel("accuracy")
    return figure


def heat_map(rows: pd.DataFrame, *, name: str, most: float) -> Figure:
    """Language x layer of a log ratio, blue above 0 (native) and red below (pivot).

    Rows need language, layer and value. The most native language is on top. Colours run as far as
    `most` on either side of 0, which is the same for all maps that stand together.
    """
    grid = rows.pivot_table(index="language", columns="layer", values="value")
    grid = grid.loc[grid.mean(axis="columns").sort_values(ascending=False).index]
    many = len(grid) > CROWDED
    height = 1.3 + (0.125 if many else 0.2) * max(4, len(grid))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout=margins())
        axes = figure.subplots()
        image = axes.imshow(
            grid.to_numpy(), aspect="auto", cmap="RdBu", vmin=-most, vmax=most,
            interpolation="nearest",
        )  # fmt: skip
        size = 6 if many else 8
        axes.set_yticks(range(len(grid)), list(grid.index), fontsize=size, family=MONO)
        step = max(1, -(-grid.shape[1] // 16))
        axes.set_xticks(range(0, grid.shape[1], step), list(grid.columns)[::step])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("layer (block output)")
        bar = figure.colorbar(
            image, ax=axes, pad=0.02, aspect=18, anchor=(0, 1), shrink=min(1.0, 30 / len(grid))
        )
        bar.set_label("log ratio, native : pivot")
        bar.outline.set_visible(False)
        axes.set_title(title(name, f"{len(grid)} languages, the most native on top"))
    return figure


def _panels(labels: list[str], *, name: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel per model on a common scale."""
    across = min(ACROSS, len(labels))
    down = -(-len(labels) // across)
    size = (max(WIDTH, 3.5 * across), 1.0 + 2.5 * down)
    figure = Figure(figsize=size, layout=margins())
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in list(grid.flat)[len(labels) :]:
        axes.set_visible(False)
    found = dict(zip(labels, grid.flat, strict=False))
    for label, axes in found.items():
        axes.set_title(title(label, width=PANEL, size=9), fontsize=9)
        axes.set_xlabel("layer")
        axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.suptitle(title(name, width=size[0]), x=0.01, ha="left", fontsize=10)
    return figure, found


def _layers(axes: Axes, rows: pd.DataFrame) -> None:
    """A tick for every layer there is, or for some of many."""
    layers = sorted(set(rows["layer"]))
    if len(layers) <= MOST_TICKS:
        axes.set_xticks(layers)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=MOST_TICKS))


def _band(axes: Axes, rows: pd.DataFrame, *, colour: str, line: str, share: bool = False) -> None:
    """A mean with its band, that of a share within 0 and 1."""
    layers = rows["layer"].to_numpy(float)
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
    if share:
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "o" if len(rows) < CROWDED / 2 else ""
    axes.plot(
        layers, rows["mean"].to_numpy(float), line, color=colour, linewidth=1.8, marker=marker,
        markersize=3,
    )  # fmt: skip


def _direction(axes: Axes) -> None:
    """Which side of 0 is which."""
    for x, y, text in ((0.01, 0.98, "above 0: native"), (0.99, 0.02, "below 0: pivot")):
        axes.text(
            x, y, text, transform=axes.transAxes, ha="left" if x < 0.5 else "right",
            va="top" if y > 0.5 else "bottom", fontsize=7, color="#666666",
        )  # fmt: skip


def _output(axes: Axes, output: Output, *, last: float) -> None:
    """The models' own accuracy at the end of the axis, and chance."""
    ends = np.clip([[output.mean - output.low], [output.high - output.mean]], 0, None)
    known = not np.isnan(ends).any()
    axes.errorbar(
        [last * 1.06], [output.mean], yerr=ends if known else None, fmt="s", color=INK,
        markersize=5, elinewidth=1.2, capsize=2,
    )  # fmt: skip
    axes.axhline(output.chance, color=GREY, linestyle="--", linewidth=1.1)


def _legend(figure: Figure, entries: list[tuple[str, str, str]]) -> None:
    """One legend below all panels."""
    handles = [
        matplotlib.lines.Line2D(
            [], [], color=colour, linewidth=1.8 if mark != "s" else 0,
            linestyle=mark if mark != "s" else "none", marker="s" if mark == "s" else "",
        )
        for colour, mark, _ in entries
    ]  # fmt: skip
    figure.legend(
        handles, [text for _, _, text in entries], loc="outside lower center",
        ncols=len(entries), frameon=False, fontsize=8,
    )  # fmt: skip

"""Figures of scores and accuracies by language and layer: heat maps, profiles, bars.

The one idea: a figure is a pure function of a small tidy frame, and its title says what is seen.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    MONO,
    ORANGE,
    STYLE,
    WIDTH,
    margins,
    short,
    title,
)

CROWDED = 40


def heat_map(rows: pd.DataFrame, *, name: str, scale: tuple[float, float]) -> Figure:
    """Language x layer of one series; rows need language, layer and value. Best language on top.

    `scale` is what the colours run over, the same for all maps that stand together.
    """
    grid = rows.pivot_table(index="language", columns="layer", values="value")
    grid = grid.loc[grid.mean(axis="columns").sort_values(ascending=False).index]
    means = grid.mean()
    peak = int(means.index[int(means.argmax())])
    with matplotlib.rc_context(STYLE):
        figure, axes = _tall(len(grid), width=WIDTH)
        first, last = float(grid.columns.min()), float(grid.columns.max())
        box = (first - 0.5, last + 0.5, len(grid) - 0.5, -0.5)
        image = axes.imshow(
            grid.to_numpy(), aspect="auto", cmap="cividis", vmin=scale[0], vmax=scale[1],
            extent=box, interpolation="nearest",
        )  # fmt: skip
        _languages(axes, list(grid.index))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
        axes.set_xlabel("layer (0 = embeddings)" if first == 0 else "layer (block output)")
        axes.spines[:].set_visible(False)
        share = 0.9 if len(grid) < CROWDED else min(1.0, 30 / len(grid))
        bar = figure.colorbar(image, ax=axes, shrink=share, anchor=(0, 1), pad=0.02, aspect=18)
        bar.set_label("score: share of pairs aligned")
        bar.outline.set_visible(False)
        seen = f"highest at layer {peak}: mean {means[peak]:.2f} over {_count(len(grid))}"
        axes.set_title(title(name, seen))
    return figure


def profiles(rows: pd.DataFrame, *, name: str) -> Figure:
    """Score by layer, one panel per measure: a thin line per language, a thick one for the mean."""
    measures = [measure for measure in COLOURS if measure in set(rows["measure"])]
    measures += sorted(set(rows["measure"]) - set(measures))
    columns = min(3, len(measures))
    lines = -(-len(measures) // columns)
    with matplotlib.rc_context(STYLE):
        size = (max(4.6, 3.5 * columns), 0.5 + 2.6 * lines)
        figure = Figure(figsize=size, layout=margins())
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, measure in zip(panels.flat, measures, strict=False):
            _profile(axes, rows[rows["measure"] == measure], measure)
        for axes in list(panels.flat)[len(measures) :]:
            axes.set_visible(False)
        for row in panels:
            row[0].set_ylabel("score")
        panels[0][0].set_ylim(bottom=min(0.0, float(rows["value"].min())))
        key = "thin: one language, thick: their mean"
        figure.suptitle(
            title(f"{name} ({key})", width=figure.get_figwidth()), x=0.01, ha="left", fontsize=10
        )
    return figure


def accuracy_bars(rows: pd.DataFrame, *, name: str, pivot: str | None = None) -> Figure:
    """Accuracy by language with Wilson's interval and chance; grey where chance explains it.

    Rows need language, accuracy, low, high, chance and `above` (p < .05).
    """
    ordered = rows.sort_values("accuracy", ascending=False)
    values = ordered["accuracy"].to_numpy(float)
    ends = np.array([values - ordered["low"], ordered["high"] - values])
    clear = int(ordered["above"].sum())
    with matplotlib.rc_context(STYLE):
        figure, axes = _tall(len(ordered), width=WIDTH)
        colours = [BLUE if above else GREY for above in ordered["above"]]
        axes.barh(range(len(ordered)), values, color=colours, height=0.72)
        axes.errorbar(
            values, range(len(ordered)), xerr=np.clip(ends, 0, None), fmt="none", ecolor=INK,
            elinewidth=0.9, capsize=0 if len(ordered) > CROWDED else 2,
        )  # fmt: skip
        chance = float(ordered["chance"].mean())
        if chance == chance:
            axes.axvline(chance, color=ORANGE, linestyle="--", linewidth=1.2)
        marked = [f"{code} (pivot)" if code == pivot else code for code in ordered["language"]]
        _languages(axes, marked)
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlim(0, min(1.0, max(0.1, float(ordered["high"].max()) * 1.08)))
        axes.set_xlabel("accuracy (share of items correct), 95 % interval; dashed: chance")
        seen = f"above chance (binomial p < .05) in {clear} of {_count(len(ordered))} (blue)"
        axes.set_title(title(name, seen))
    return figure


def accuracy_map(rows: pd.DataFrame, *, name: str, scale: tuple[float, float]) -> Figure:
    """Language x model accuracies of one benchmark; rows need label, language and accuracy.

    `scale` is what the colours run over, the same for all maps that stand together.
    """
    grid = rows.pivot_table(index="language", columns="label", values="accuracy")
    grid = grid.loc[grid.mean(axis="columns").sort_values(ascending=False).index]
    with matplotlib.rc_context(STYLE):
        figure, axes = _tall(len(grid), width=max(WIDTH, 2.6 + 0.5 * grid.shape[1]), below=1.6)
        image = axes.imshow(
            grid.to_numpy(), aspect="auto", cmap="cividis", interpolation="nearest",
            vmin=scale[0], vmax=scale[1],
        )  # fmt: skip
        _languages(axes, list(grid.index))
        axes.set_xticks(
            range(grid.shape[1]), [short(name) for name in grid.columns], rotation=90, fontsize=7
        )
        axes.tick_params(axis="x", length=0)
        axes.spines[:].set_visible(False)
        share = 0.9 if len(grid) < CROWDED else min(1.0, 30 / len(grid))
        bar = figure.colorbar(image, ax=axes, shrink=share, anchor=(0, 1), pad=0.02, aspect=18)
        bar.set_label("accuracy (share of items correct)")
        bar.outline.set_visible(False)
        axes.set_title(title(name, f"{_count(len(grid))}, best on top"))
    return figure


def _profile(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    """One panel of layer profiles."""
    grid = rows.pivot_table(index="layer", columns="language", values="value").sort_index()
    colour = COLOURS.get(measure, INK)
    faint = max(0.12, min(0.5, 6 / grid.shape[1]))
    thin_lines(axes, grid, colour=colour, alpha=faint)
    mean = grid.mean(axis="columns")
    axes.plot(grid.index, mean, color=INK, linewidth=2.2)
    peak = int(mean.index[int(mean.argmax())])
    axes.set_title(f"{measure.upper()}: mean peaks at layer {peak} ({mean[peak]:.2f})", fontsize=9)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlim(float(grid.index.min()), float(grid.index.max()) + 1e-6)
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)


def thin_lines(axes: Axes, grid: pd.DataFrame, *, colour: str, alpha: float) -> None:
    """One thin line per column; many of them are one image, which keeps the page small."""
    places = grid.index.to_numpy(float)
    lines = [
        np.column_stack([places[known], values[known]])
        for values in grid.to_numpy(float).T
        if (known := ~np.isnan(values)).any()
    ]
    crowded = len(lines) > CROWDED
    axes.add_collection(
        LineCollection(lines, colors=colour, alpha=alpha, linewidths=0.9, rasterized=crowded)
    )
    axes.autoscale_view()


def _tall(count: int, *, width: float, below: float = 0.0) -> tuple[Figure, Axes]:
    """A figure whose height grows with its rows, so that every label keeps its own line.

    `below` is room under a crowded figure, in inches.
    """
    if count <= CROWDED:
        figure = Figure(figsize=(width, 1.25 + max(0.8, 0.2 * count)), layout=margins())
        return figure, figure.subplots()
    # So many labels that finding a layout takes longer than drawing: inches are counted instead.
    height = 2.2 + below + 0.125 * count
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=0.8 / width,
        right=1 - 0.12 / width,
        top=1 - 0.6 / height,
        bottom=(0.55 + below) / height,
    )
    return figure, figure.subplots()


def _languages(axes: Axes, codes: list[str]) -> None:
    """Language codes down the side."""
    size = 8 if len(codes) <= CROWDED else 6
    axes.set_yticks(range(len(codes)), codes, fontsize=size, family=MONO)
    axes.tick_params(axis="y", length=0)


def _count(languages: int) -> str:
    """A number of languages in words."""
    return "1 language" if languages == 1 else f"{languages} languages"

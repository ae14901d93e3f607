"""Figures of scores and accuracies by language and layer: heat map, profiles, bars.

The one idea: a figure is a pure function of a small tidy frame, and its title says what is seen.
It draws on the object interface alone, so no window, no global state and no order of calls.
Languages are named by code: every label is Latin script.
"""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from textwrap import wrap

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#9AA0A6", "#222222"
COLOURS: Mapping[str, str] = {"mexa": ORANGE, "nasca": BLUE, "navca": GREEN}
STYLE: dict[str, object] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "babelscope",
}
CROWDED = 40
WIDTH = 5.6
TITLE_LETTERS = 62
PNG_DOTS_PER_INCH = 130


def heat_map(rows: pd.DataFrame, *, name: str) -> Figure:
    """Language x layer of one series; rows need language, layer and value. Best language on top."""
    grid = rows.pivot_table(index="language", columns="layer", values="value")
    grid = grid.loc[grid.mean(axis="columns").sort_values(ascending=False).index]
    means = grid.mean()
    peak = int(means.index[int(means.argmax())])
    with matplotlib.rc_context(STYLE):
        figure, axes = _tall(len(grid), width=WIDTH)
        top = max(0.05, float(np.nanmax(grid.to_numpy())))
        first, last = float(grid.columns.min()), float(grid.columns.max())
        box = (first - 0.5, last + 0.5, len(grid) - 0.5, -0.5)
        image = axes.imshow(
            grid.to_numpy(), aspect="auto", cmap="cividis", vmin=0, vmax=top, extent=box,
            interpolation="nearest",
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
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 3.5 * len(measures)), 3.1), layout=margins())
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            _profile(axes, rows[rows["measure"] == measure], measure)
        panels[0].set_ylabel("score: share of pairs aligned")
        panels[0].set_ylim(bottom=0)
        key = "thin: one language, thick: their mean"
        figure.suptitle(f"{name} ({key})", x=0.01, ha="left", fontsize=10)
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


def save(figure: Figure, *, stem: Path) -> str:
    """Write stem.svg and stem.png; return the SVG element, ready to stand inside a page."""
    buffer = StringIO()
    with matplotlib.rc_context(STYLE):
        if figure.get_layout_engine() is not None:
            # The layout is found once here, not once more for each of the two files.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=150)
        figure.savefig(stem.parent / f"{stem.name}.png", dpi=PNG_DOTS_PER_INCH)
    text = buffer.getvalue()
    (stem.parent / f"{stem.name}.svg").write_text(text, encoding="utf-8")
    return text[text.index("<svg") :]


def margins() -> ConstrainedLayoutEngine:
    """A layout that keeps labels off each other and off the edge, in inches."""
    return ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)


def title(name: str, seen: str) -> str:
    """What is drawn, then what is seen, in lines that fit the narrowest figure."""
    return "\n".join(line for part in (name, seen) for line in wrap(part, TITLE_LETTERS))


def _profile(axes: matplotlib.axes.Axes, rows: pd.DataFrame, measure: str) -> None:
    """One panel of layer profiles."""
    grid = rows.pivot_table(index="layer", columns="language", values="value").sort_index()
    colour = COLOURS.get(measure, INK)
    faint = max(0.12, min(0.5, 6 / grid.shape[1]))
    axes.plot(grid.index, grid.to_numpy(), color=colour, alpha=faint, linewidth=0.9)
    mean = grid.mean(axis="columns")
    axes.plot(grid.index, mean, color=INK, linewidth=2.2)
    peak = int(mean.index[int(mean.argmax())])
    axes.set_title(f"{measure.upper()}: mean peaks at layer {peak} ({mean[peak]:.2f})", fontsize=9)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlim(float(grid.index.min()), float(grid.index.max()) + 1e-6)
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)


def _tall(count: int, *, width: float) -> tuple[Figure, matplotlib.axes.Axes]:
    """A figure whose height grows with its rows, so that every label keeps its own line."""
    step = 0.2 if count <= CROWDED else 0.125
    figure = Figure(figsize=(width, 1.25 + max(0.8, step * count)), layout=margins())
    return figure, figure.subplots()


def _languages(axes: matplotlib.axes.Axes, codes: list[str]) -> None:
    """Language codes down the side."""
    size = 8 if len(codes) <= CROWDED else 6
    axes.set_yticks(range(len(codes)), codes, fontsize=size, family="DejaVu Sans Mono")
    axes.tick_params(axis="y", length=0)


def _count(languages: int) -> str:
    """A number of languages in words."""
    return "1 language" if languages == 1 else f"{languages} languages"

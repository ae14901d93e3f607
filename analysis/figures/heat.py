"""Heat maps: languages by layer or by model, the best on top, and all ordered pairs of languages.

In a map of pairs languages stand by script, then by code, with a line between scripts.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import (
    CROWDED,
    ON_DARK,
    ON_LIGHT,
    STYLE,
    WIDTH,
    heading_inches,
    rows_down,
    short,
    tall,
    title,
)

MOST_NUMBERED = 25
INCHES = 0.26
INCHES_CROWDED = 0.095
# Ticks of an axis of numbers, such as layers.
MOST_TICKS = 16
# A script's name is written where it has this many languages, or one in twenty.
NAMED_FROM = 0.05
BLANK = "#ECECEC"
# Of a cell below 0 in a map without numbers, so that it is none above 0 in a grey print.
DOT = (0.0, 0.0, 0.0, 0.5)
DOTTED = " (dotted: below 0)"


def best_first(rows: pd.DataFrame, *, columns: str, values: str) -> pd.DataFrame:
    """Languages down, the one with the highest mean on top."""
    grid = rows.pivot_table(index="language", columns=columns, values=values)
    return grid.loc[grid.mean(axis="columns").sort_values(ascending=False).index]


def heat(
    grid: pd.DataFrame,
    *,
    name: str,
    seen: str,
    x: str,
    bar: str,
    scale: tuple[float, float],
    form: str = "",
) -> Figure:
    """A value by row and column, rows as they come.

    Args:
        grid: codes of languages down; numbers or names across.
        name: what is drawn.
        seen: what is seen, the second line of the title.
        x: the axis across.
        bar: what the colours mean.
        scale: what they run over, the same for all maps that stand together; as far on either side
            of 0 for a signed value (`around_zero`).
        form: how each cell's value is written into it; empty without.
    """
    numbers = pd.api.types.is_numeric_dtype(grid.columns)
    width = WIDTH if numbers else max(WIDTH, 2.6 + 0.5 * grid.shape[1])
    with matplotlib.rc_context(STYLE):
        figure, axes = tall(len(grid), width=width, below=0.0 if numbers else 1.6)
        image = axes.imshow(
            grid.to_numpy(float), aspect="auto", cmap=_colours(scale), vmin=scale[0],
            vmax=scale[1], interpolation="nearest",
        )  # fmt: skip
        if form:
            _numbers(axes, grid.to_numpy(float), image, form=form)
        elif _dots(axes, grid.to_numpy(float), scale):
            bar += DOTTED
        rows_down(axes, list(grid.index))
        if numbers:
            step = max(1, -(-grid.shape[1] // MOST_TICKS))
            axes.set_xticks(range(0, grid.shape[1], step), list(grid.columns)[::step])
        else:
            names = [short(str(name)) for name in grid.columns]
            axes.set_xticks(range(grid.shape[1]), names, rotation=90, fontsize=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(x)
        share = 0.9 if len(grid) < CROWDED else min(1.0, 30 / len(grid))
        key = figure.colorbar(image, ax=axes, shrink=share, anchor=(0, 1), pad=0.02, aspect=18)
        key.set_label(bar)
        key.outline.set_visible(False)
        axes.set_title(title(name, seen))
    return figure


def pairs(
    rows: pd.DataFrame, *, value: str, name: str, bar: str, scale: tuple[float, float]
) -> Figure:
    """`value` of every source (down) and target (across); rows need both.

    Up to 25 languages every cell has its number in hundredths. A cell without a value is grey.
    """
    codes = by_script(set(rows["source"]) | set(rows["target"]))
    grid = rows.pivot_table(index="source", columns="target", values=value, dropna=False)
    grid = grid.reindex(index=codes, columns=codes)
    values = grid.to_numpy(float)
    numbered = len(codes) <= MOST_NUMBERED
    side = max(2.4, len(codes) * (INCHES if numbered else INCHES_CROWDED))
    left, below, right = 0.95, 0.95, 1.1
    width = left + side + right
    heading = title(name, width=width)
    height = below + side + 0.4 + heading_inches(heading)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, below / height, side / width, side / height))
        colours = matplotlib.colormaps[_colours(scale)].with_extremes(bad=(0, 0, 0, 0))
        axes.set_facecolor(BLANK)
        image = axes.imshow(
            np.ma.masked_invalid(values), cmap=colours, vmin=scale[0], vmax=scale[1],
            interpolation="nearest",
        )  # fmt: skip
        if numbered:
            _numbers(axes, 100 * values, image, form=".0f")
        elif _dots(axes, values, scale):
            bar += DOTTED
        size = 7 if numbered else 5
        axes.set_xticks(range(len(codes)), codes, rotation=90, fontsize=size)
        axes.set_yticks(range(len(codes)), codes, fontsize=size)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("target language")
        axes.set_ylabel("source language")
        _scripts(axes, codes)
        high = min(side, 3.0)
        place = (left + side + 0.3) / width, (below + side - high) / height
        key = figure.colorbar(image, cax=figure.add_axes((*place, 0.13 / width, high / height)))
        key.set_label(bar)
        key.outline.set_visible(False)
        figure.text(0.12 / width, 1 - 0.1 / height, heading, va="top", fontsize=10)
    return figure


def ends(values: pd.Series) -> tuple[float, float]:
    """A scale from the least value to the greatest."""
    known = values.astype(float)
    known = known[np.isfinite(known)]
    if known.empty:
        return 0.0, 1.0
    return float(known.min()), max(float(known.max()), float(known.min()) + 0.01)


def around_zero(values: pd.Series) -> tuple[float, float]:
    """A scale as far on either side of 0."""
    low, high = ends(values)
    far = max(0.01, abs(low), abs(high))
    return -far, far


def script(language: str) -> str:
    """The script of a language's code: `Latn` of `eng_Latn`; empty where it names none."""
    return language.partition("_")[2]


def by_script(languages: set[str]) -> list[str]:
    """Languages by script, then by code."""
    return sorted(languages, key=lambda code: (script(code), code))


def _colours(scale: tuple[float, float]) -> str:
    """Two colours for a scale around 0, one run of them for any other."""
    return "RdBu" if scale[0] == -scale[1] else "cividis"


def _dots(axes: Axes, values: np.ndarray, scale: tuple[float, float]) -> bool:
    """A dot in every cell below 0 of a scale around 0, whose two ends are one grey; or none."""
    below = values < 0
    if scale[0] != -scale[1] or not below.any():
        return False
    dots = np.zeros((3 * below.shape[0], 3 * below.shape[1], 4))
    dots[1::3, 1::3][below] = DOT
    rows, columns = values.shape
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axes.imshow(dots, aspect="auto", extent=extent, interpolation="nearest")
    return True


def _numbers(
    axes: Axes, values: np.ndarray, image: matplotlib.image.AxesImage, *, form: str
) -> None:
    """Every cell's value, dark on light and light on dark."""
    drawn = image.get_array()
    assert drawn is not None
    for row, column in np.argwhere(np.isfinite(values)):
        red, green, blue, _ = image.cmap(image.norm(drawn[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column, row, f"{values[row, column]:{form}}", ha="center", va="center",
            fontsize=6.5, color=ON_DARK if dark else ON_LIGHT,
        )  # fmt: skip


def _scripts(axes: Axes, codes: Sequence[str]) -> None:
    """Lines between scripts, and the names of those with room for one."""
    found = [script(code) for code in codes]
    breaks = [place for place in range(1, len(found)) if found[place] != found[place - 1]]
    for place in breaks:
        axes.axhline(place - 0.5, color="white", linewidth=1.2)
        axes.axvline(place - 0.5, color="white", linewidth=1.2)
    for first, last in zip([0, *breaks], [*breaks, len(found)], strict=True):
        if last - first >= max(2.0, NAMED_FROM * len(found)):
            middle = (first + last - 1) / 2
            axes.text(middle, -0.9, found[first], ha="center", va="bottom", fontsize=7)

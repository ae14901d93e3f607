"""A heat map of all ordered pairs of languages: source down, target across.

The one idea: languages stand by script, then by code, with a line between scripts, so that blocks
of a script show. What a value means is the caller's.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import ON_DARK, ON_LIGHT, STYLE, heading_inches, title

MOST_NUMBERED = 25
INCHES = 0.26
INCHES_CROWDED = 0.095
# A script's name is written where it has this many languages, or one in ten.
NAMED_FROM = 0.05
BLANK = "#ECECEC"


def script(language: str) -> str:
    """The script of a language's code: `Latn` of `eng_Latn`; empty where it names none."""
    return language.partition("_")[2]


def by_script(languages: set[str]) -> list[str]:
    """Languages by script, then by code."""
    return sorted(languages, key=lambda code: (script(code), code))


def pairs(
    rows: pd.DataFrame, *, value: str, name: str, bar: str, scale: tuple[float, float]
) -> Figure:
    """`value` of every source and target; rows need both.

    `scale` is what the colours run over, the same for all maps that stand together: from the least
    value to the greatest (`ends`), or as far on either side of 0 (`around_zero`). Up to 25
    languages every cell has its number. A cell without a value is grey.
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
    above = 0.4 + heading_inches(heading)
    height = below + side + above
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, below / height, side / width, side / height))
        colours = matplotlib.colormaps["RdBu" if scale[0] == -scale[1] else "cividis"]
        colours = colours.with_extremes(bad=(0, 0, 0, 0))
        axes.set_facecolor(BLANK)
        image = axes.imshow(
            np.ma.masked_invalid(values), cmap=colours, vmin=scale[0], vmax=scale[1],
            interpolation="nearest",
        )  # fmt: skip
        if numbered:
            _numbers(axes, values, image)
        size = 7 if numbered else 5
        axes.set_xticks(range(len(codes)), codes, rotation=90, fontsize=size)
        axes.set_yticks(range(len(codes)), codes, fontsize=size)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("target language")
        axes.set_ylabel("source language")
        _scripts(axes, codes)
        tall = min(side, 3.0)
        place = (left + side + 0.3) / width, (below + side - tall) / height
        key = figure.colorbar(image, cax=figure.add_axes((*place, 0.13 / width, tall / height)))
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


def _numbers(axes: Axes, values: np.ndarray, image: matplotlib.image.AxesImage) -> None:
    """Every cell's value in hundredths, dark on light and light on dark."""
    for row, column in np.argwhere(np.isfinite(values)):
        red, green, blue, _ = image.cmap(image.norm(values[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column, row, f"{100 * values[row, column]:.0f}", ha="center", va="center",
            fontsize=6.5, color=ON_DARK if dark else ON_LIGHT,
        )  # fmt: skip


def _scripts(axes: Axes, codes: list[str]) -> None:
    """Lines between scripts, and the names of those with room for one."""
    found = [script(code) for code in codes]
    ends = [place for place in range(1, len(found)) if found[place] != found[place - 1]]
    for place in ends:
        axes.axhline(place - 0.5, color="white", linewidth=1.2)
        axes.axvline(place - 0.5, color="white", linewidth=1.2)
    for first, last in zip([0, *ends], [*ends, len(found)], strict=True):
        if last - first >= max(2.0, NAMED_FROM * len(found)):
            middle = (first + last - 1) / 2
            axes.text(middle, -0.9, found[first], ha="center", va="bottom", fontsize=7)

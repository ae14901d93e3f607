"""Bars: one value per row with its interval and a reference, the highest on top."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing import (
    BLUE,
    CROWDED,
    GREY,
    INK,
    ORANGE,
    STYLE,
    WIDTH,
    rows_down,
    tall,
    title,
)


def bars(rows: pd.DataFrame, *, name: str, seen: str, x: str, level: float) -> Figure:
    """Horizontal bars from 0, blue where `clear` and grey elsewhere.

    Args:
        rows: `label`, `value`, `low`, `high` (shares) and `clear`.
        name: what is drawn.
        seen: what is seen, the second line of the title.
        x: the axis.
        level: a dashed reference; none where it is missing.
    """
    ordered = rows.sort_values("value", ascending=False)
    values = ordered["value"].to_numpy(float)
    ends = np.array([values - ordered["low"], ordered["high"] - values])
    with matplotlib.rc_context(STYLE):
        figure, axes = tall(len(ordered), width=WIDTH)
        colours = [BLUE if clear else GREY for clear in ordered["clear"]]
        axes.barh(range(len(ordered)), values, color=colours, height=0.72)
        axes.errorbar(
            values, range(len(ordered)), xerr=np.clip(ends, 0, None), fmt="none", ecolor=INK,
            elinewidth=0.9, capsize=0 if len(ordered) > CROWDED else 2,
        )  # fmt: skip
        if level == level:
            axes.axvline(level, color=ORANGE, linestyle="--", linewidth=1.2)
        rows_down(axes, list(ordered["label"]))
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlim(0, min(1.0, max(0.1, float(ordered["high"].max()) * 1.08)))
        axes.set_xlabel(x)
        axes.set_title(title(name, seen))
    return figure

"""Figures of written texts: a score by language, a colour for each model.

The one idea: a figure is a pure function of a small tidy frame, and its title says what is seen.
"""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MONO,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    WIDTH,
    YELLOW,
    heading_inches,
    short,
    title,
)

SERIES = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY, INK)
MARKERS = "osD^v"
# Inches: of a language, of a line of the key, below and left of the axes.
ROW, KEY, AXIS, LEFT = 0.22, 0.18, 0.65, 1.75
# Of a language's row, how much its series are spread over.
SPREAD = 0.6


def by_language(rows: pd.DataFrame, *, name: str, metric: str, most: float | None) -> Figure:
    """A score by language with its 95 % interval, best language on top.

    Args:
        rows: `place` (the language, or the pair), `series`, `value`, `low`, `high`.
        name: what is scored.
        metric: the score's name, for the axis.
        most: the highest value possible, None where there is none.
    """
    known = rows.dropna(subset="value")
    order = known.groupby("place")["value"].mean().sort_values(ascending=False, kind="stable")
    places = {place: number for number, place in enumerate(order.index)}
    series = sorted(set(known["series"]))
    heading = title(name, _seen(order), width=WIDTH - 0.3)
    above = 0.12 + heading_inches(heading)
    height = above + AXIS + KEY * len(series) + ROW * len(places)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots()
        figure.subplots_adjust(
            left=LEFT / WIDTH,
            right=1 - 0.15 / WIDTH,
            top=1 - above / height,
            bottom=(AXIS + KEY * len(series)) / height,
        )
        drawn: list[Any] = []
        for number, one in enumerate(series):
            own = known[known["series"] == one]
            shift = SPREAD * ((number + 0.5) / len(series) - 0.5)
            heights = own["place"].map(places).to_numpy(float) + shift
            values = own["value"].to_numpy(float)
            ends = np.array([values - own["low"], own["high"] - values])
            bars = axes.errorbar(
                values,
                heights,
                xerr=np.clip(np.nan_to_num(ends), 0, None),
                fmt=MARKERS[number // len(SERIES) % len(MARKERS)],
                color=SERIES[number % len(SERIES)],
                markersize=4,
                elinewidth=0.9,
            )
            drawn.append(bars)
        axes.set_yticks(range(len(places)), list(places), family=MONO, fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(places) - 0.5, -0.5)
        axes.set_xlim(left=0)
        if most is not None:
            axes.set_xlim(0, min(most * 1.02, max(most / 10, known["high"].max() * 1.1)))
        axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"{metric}, 95 % interval over items")
        figure.legend(
            drawn,
            [short(one) for one in series],
            loc="lower left",
            frameon=False,
            fontsize=8,
            bbox_to_anchor=(0.0, 0.0),
        )
        axes.set_title(heading, x=-LEFT / (WIDTH - LEFT - 0.15))
    return figure


def _seen(order: "pd.Series[float]") -> str:
    """The best and the worst language."""
    if len(order) < 2:
        return f"{order.index[0]}: {order.iloc[0]:.3g}"
    best, worst = (f"{order.index[at]} ({order.iloc[at]:.3g})" for at in (0, -1))
    return f"on average best {best}, worst {worst}"

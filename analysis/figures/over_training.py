"""A panel over training: every language a thin line, their mean a thick one with its interval.

The mean is over the languages that the states have in common, so that it moves with the values
alone; a state that lacks too many of them has none.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.figures import curves
from analysis.figures.drawing import INK
from analysis.statistics.checkpoints import common
from analysis.statistics.intervals import student

Floats = npt.NDArray[np.float64]
# More states than that have no mark of their own.
MARKED = 40


def panel(
    grid: pd.DataFrame,
    *,
    title: str,
    y: str,
    x: str = "training step",
    colour: curves.Colour = INK,
    ends: dict[str, float] | None = None,
    band: tuple[Floats, Floats] | None = None,
    bottom: float | None = None,
) -> curves.Panel:
    """A panel of one measure.

    Args:
        grid: a value per state and language, by place along training and language, in order.
        title: before the means of the first and the last state.
        y: the axis up.
        x: the axis across; `date` where places are days since 1970.
        colour: of the thin lines.
        ends: dotted lines with their names, such as that of a last state without a step.
        band: both ends of the means' intervals by state; by default Student's over languages.
        bottom: the lowest y shown.
    """
    states, languages = common(grid.notna().to_numpy())
    held = grid.loc[states, languages]
    lines = []
    if len(held):
        mean, n = held.mean(axis="columns"), held.shape[1]
        ends_of = band or student(mean, sd=held.std(axis="columns", ddof=1), n=n)[:2]
        low, high = (np.asarray(one, float) for one in ends_of)
        if band is not None:
            low, high = low[states], high[states]
        lines.append(
            curves.Line(
                x=held.index.to_numpy(float), y=mean.to_numpy(float), low=low, high=high,
                width=2.2, marker="o" if len(held) <= MARKED else "",
            )
        )  # fmt: skip
        title = f"{title}: mean {mean.iloc[0]:.2f} to {mean.iloc[-1]:.2f}"
        if n < grid.shape[1]:
            title += f" over {n} of {grid.shape[1]} languages"
    return curves.Panel(
        title=title, lines=lines, x=x, y=y, thin=grid, thin_colour=colour, ends=ends or {},
        bottom=bottom, dates=x == "date",
    )  # fmt: skip

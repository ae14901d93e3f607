"""Pairs of sentences laid out in the plane (NeuronXA, Figure 1): do translations lie together?

The one idea: both sides of a pair are joined by a thin line, so short lines mean agreement. Axes
have no meaning of their own and no scale.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.figures.drawing import BLUE, GREY, ORANGE, STYLE, heading_inches, title

SHOWN = {"mexa": "sentence embedding", "nasca": "neuron state", "navca": "neuron value"}


def pairs(rows: pd.DataFrame, *, name: str, language: str, pivot: str) -> Figure:
    """One panel per measure and layer; rows need measure, layer, item, side, x and y."""
    measures = [measure for measure in SHOWN if measure in set(rows["measure"])]
    measures += sorted(set(rows["measure"]) - set(measures))
    layers = {
        measure: sorted(set(rows.loc[rows["measure"] == measure, "layer"])) for measure in measures
    }
    deep = max(len(found) for found in layers.values())
    with matplotlib.rc_context(STYLE):
        width = 0.2 + 3.6 * len(measures)
        heading = title(name, width=width - 0.2)
        above = 0.62 + heading_inches(heading)
        height = above + 0.1 + 3.4 * deep
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(deep, len(measures), squeeze=False)
        figure.subplots_adjust(
            left=0.03,
            right=0.97,
            top=1 - above / height,
            bottom=0.12 / height,
            wspace=0.08,
            hspace=0.15,
        )
        for across, measure in enumerate(measures):
            for down in range(deep):
                axes = panels[down][across]
                if down >= len(layers[measure]):
                    axes.set_visible(False)
                    continue
                layer = layers[measure][down]
                own = rows[(rows["measure"] == measure) & (rows["layer"] == layer)]
                _panel(axes, own, language=language, pivot=pivot)
                axes.set_title(f"{SHOWN.get(measure, measure.upper())}, layer {layer}", fontsize=9)
        figure.legend(
            panels[0][0].lines, [pivot, language], loc="upper right", ncols=2, frameon=False,
            fontsize=8, bbox_to_anchor=(0.99, 1 - (above - 0.55) / height),
        )  # fmt: skip
        figure.suptitle(heading, x=0.03, y=1 - 0.08 / height, ha="left", va="top", fontsize=10)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, *, language: str, pivot: str) -> None:
    """The points of both sides, joined."""
    sides = {side: rows[rows["side"] == side].set_index("item") for side in (pivot, language)}
    shared = sides[pivot].index.intersection(sides[language].index)
    ends = [sides[side].loc[shared, ["x", "y"]].to_numpy(float) for side in (pivot, language)]
    axes.add_collection(
        LineCollection(list(np.stack(ends, axis=1)), colors=GREY, linewidths=0.5, alpha=0.7)
    )
    for side, colour, mark in ((pivot, BLUE, "o"), (language, ORANGE, "^")):
        axes.plot(sides[side]["x"], sides[side]["y"], mark, color=colour, markersize=4, alpha=0.8,
                  markeredgewidth=0)  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#CCCCCC")

"""Bars: one value per row with its interval and a reference, or two of them, before and after."""

from collections.abc import Mapping

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
    heading_inches,
    rows_down,
    tall,
    title,
)

# Inches: of a row with two bars, of the axis below with the key, and of the room for numbers.
ROW, BELOW, NUMBERS = 0.3, 0.85, 0.55


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


def sides(
    panels: Mapping[str, pd.DataFrame],
    *,
    name: str,
    seen: str,
    x: str,
    key: tuple[str, str],
    form: str = "+.3f",
    mark: str = "",
) -> Figure:
    """Two horizontal bars from 0 in every row, and at the right the second less the first.

    Args:
        panels: by title, rows in the order shown: `label`, `before`, `after`, and `mark` where
            there is one. All have the same labels and axis.
        name: what is drawn.
        seen: what is seen, the second line of the title.
        x: the axis.
        key: what the two bars are called.
        form: format of the differences.
        mark: what the upright strokes are called; empty without any.
    """
    labels = [str(label) for label in next(iter(panels.values()))["label"]]
    width = max(WIDTH, 1.0 + 3.3 * len(panels))
    heading = title(name, seen, width=width - 0.3)
    above = 0.35 + heading_inches(heading)
    height = above + BELOW + ROW * max(3, len(labels))
    ends = pd.concat(panels.values())[["before", "after", *(["mark"] if mark else [])]]
    low, high = min(0.0, float(ends.min().min())), max(0.0, float(ends.max().max()))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)
        figure.subplots_adjust(
            left=0.9 / width, right=1 - (NUMBERS + 0.1) / width, top=1 - above / height,
            bottom=BELOW / height, wspace=(NUMBERS + 0.2) / (width / len(panels)),
        )  # fmt: skip
        for axes, (text, rows) in zip(grid.flat, panels.items(), strict=True):
            places = np.arange(len(rows))
            for side, shift, colour, label in (
                ("before", -0.19, GREY, key[0]), ("after", 0.19, BLUE, key[1]),
            ):  # fmt: skip
                axes.barh(places + shift, rows[side], height=0.36, color=colour, label=label)
            if mark:
                axes.vlines(
                    rows["mark"], places - 0.42, places + 0.42, color=INK, linewidth=1.6, label=mark
                )
            for place, before, after in zip(places, rows["before"], rows["after"], strict=True):
                if before == before and after == after:
                    moved = f"{after - before:{form}}"
                    moved = moved if float(moved) else moved.lstrip("+-")
                    axes.annotate(
                        moved, (1, place), xycoords=("axes fraction", "data"),
                        xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                    )  # fmt: skip
            rows_down(axes, labels)
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xlim(low * 1.05, high * 1.05 or 1.0)
            axes.set_xlabel(x)
            axes.set_title(text, fontsize=9)
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="lower left", ncols=len(names), frameon=False, fontsize=8,
            bbox_to_anchor=(0.1 / width, 0.0),
        )  # fmt: skip
        figure.text(0.1 / width, 1 - 0.08 / height, heading, va="top", fontsize=10)
    return figure

"""Figures of steering: over coefficients, layers and languages, and beside controls.

Steered languages differ far more from each other than steering moves them, so a band is that of the
change over languages, never of the languages' levels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import curves, scatter
from analysis.figures.drawing import BLUE, BROWN, GREEN, GREY, ORANGE, PURPLE
from analysis.layout.material import Material
from analysis.results.answers import SERIES
from analysis.statistics.correlate import p_in_words

LEVELS = {
    "accuracy": "accuracy (%)",
    "consistency": "consistency with the pivot (rho)",
    "transfer": "tr+ from the pivot (%)",
}
CHANGES = {
    "accuracy": "change of accuracy (points)",
    "consistency": "change of consistency (rho)",
    "transfer": "change of tr+ (points)",
}
SCALES = {"accuracy": 100.0, "consistency": 1.0, "transfer": 100.0}
KINDS: Mapping[str, str] = {
    "steer": BLUE,
    "random": GREY,
    "wrong_language": ORANGE,
    "wrong_dataset": BROWN,
    "orthogonal": GREEN,
    "halves": PURPLE,
}
# Away from the pivot.
LESS = (ORANGE, "-", "s")
MOST_LAYERS = 6
INCHES = (3.3, 3.0)


def nearest(coefficients: pd.Series, *, wanted: float) -> float | None:
    """The coefficient of that sign that was run and lies nearest; None where there is none."""
    same = sorted({float(c) for c in coefficients if float(c) * wanted > 0})
    return min(same, key=lambda c: abs(c - wanted)) if same else None


def draw_doses(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Level by coefficient, a panel per outcome, a line per layer; all meet at coefficient 0.

    Rows need outcome, layer, coefficient, plain, level, low and high, the ends of the change.
    """
    layers = sorted(set(rows["layer"]))
    colours = matplotlib.colormaps["viridis"](np.linspace(0.25, 0.88, len(layers)))
    panels = []
    for outcome in (name for name in LEVELS if rows[rows["outcome"] == name]["level"].any()):
        own = rows[rows["outcome"] == outcome]
        best = own.sort_values("level", ascending=False).iloc[0]
        panels.append(
            curves.Panel(
                title=f"highest: layer {best['layer']:.0f} at {best['coefficient']:+g}",
                lines=[
                    _dose(own[own["layer"] == layer], SCALES[outcome], colour, number)
                    for number, (layer, colour) in enumerate(zip(layers, colours, strict=True))
                    if (own["layer"] == layer).any()
                ],
                x="coefficient (> 0: toward the pivot)", y=LEVELS[outcome], origin=True,
                levels={"": SCALES[outcome] * float(own["plain"].mean())},
            )
        )  # fmt: skip
    key = "band: 95 % of the change over languages; dashed: plain"
    return curves.curves(
        panels, name=said, seen=key, key="right", key_title="layer", size=8, inches=INCHES
    )


def _dose(rows: pd.DataFrame, scale: float, colour: Sequence[float], number: int) -> curves.Line:
    """One layer's line, with the plain level at 0 and a band of the change."""
    own = rows.sort_values("coefficient")
    x, plain = own["coefficient"].to_numpy(float), own["plain"].to_numpy(float)
    unit = scale / 100 if scale > 1 else 1.0
    low, high = (scale * plain + unit * own[end].to_numpy(float) for end in ("low", "high"))
    level = scale * own["level"].to_numpy(float)
    if 0 not in x:
        place, start = int(np.searchsorted(x, 0)), scale * float(plain.mean())
        x = np.insert(x, place, 0)
        level, low, high = (np.insert(one, place, start) for one in (level, low, high))
    least, most = (-1, 1) if scale == 1 else (0, scale)
    return curves.Line(
        x=x, y=level, low=np.clip(low, least, most), high=np.clip(high, least, most),
        label=f"{own['layer'].iloc[0]:.0f}", colour=colour,
        marker=curves.MARKS[number % len(curves.MARKS)],
    )  # fmt: skip


def draw_by_layer(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Change by layer, a panel per outcome, one line for each coefficient.

    Rows need outcome, layer, coefficient, change, low and high.
    """
    coefficients = sorted(set(rows["coefficient"]), key=lambda one: (one < 0, abs(one)))
    looks = {
        one: curves.Look(f"coefficient {one:+g}", *((BLUE, "-", "o") if one > 0 else LESS))
        for one in coefficients
    }
    return _by_layer(rows, said, line="coefficient", looks=looks)


def draw_controls(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Change by layer of the real vector and of every control, at one coefficient.

    Rows need intervention, outcome, layer, change, low and high.
    """
    there = [kind for kind in KINDS if kind in set(rows["intervention"])]
    looks = {
        kind: curves.Look(kind.replace("_", " "), KINDS[kind], "-", mark)
        for kind, mark in zip(there, curves.MARKS, strict=False)
    }
    return _by_layer(rows, said, line="intervention", looks=looks)


def _by_layer(
    rows: pd.DataFrame, said: str, *, line: str, looks: Mapping[Any, curves.Look]
) -> Figure:
    """Panels of changes by layer."""
    panels = [
        curves.Panel(
            title="", x="layer steered", y=name, zero=True,
            lines=curves.lines_of(own, line=line, looks=looks, y="change"),
        )
        for outcome, name in CHANGES.items()
        if (own := rows[rows["outcome"] == outcome])["change"].notna().any()
    ]  # fmt: skip
    key = "mean over languages, band: 95 %"
    return curves.curves(panels, name=said, seen=key, key="right", inches=INCHES)


def draw_languages(
    rows: pd.DataFrame, said: str, *, outcome: str, notes: Mapping[int, str]
) -> Figure:
    """Change against plain accuracy, a point per language, a panel per layer; `notes` by layer.

    Rows need language, layer, plain_accuracy, and the outcome's change, low and high; at most six
    layers are drawn, evenly spread. Of several draws the means of values and ends are drawn.
    """
    values = ["plain_accuracy", *(f"{outcome}_{end}" for end in ("change", "low", "high"))]
    each = rows.groupby(["layer", "language"], sort=True)[values].mean().reset_index()
    panels = []
    for layer in _spread(sorted({int(layer) for layer in each["layer"]})):
        own = each[each["layer"] == layer]
        panels.append(
            scatter.Panel(
                title=f"layer {layer}", note=notes.get(layer, ""),
                x=100 * own["plain_accuracy"].to_numpy(float),
                y=own[f"{outcome}_change"].to_numpy(float), names=list(own["language"]),
                low=own[f"{outcome}_low"].to_numpy(float),
                high=own[f"{outcome}_high"].to_numpy(float), fit="line", zero=True,
            )
        )  # fmt: skip
    return scatter.scatter(
        panels, name=said, x="accuracy of the plain model (%)", y=CHANGES[outcome],
        key="bars: 95 % over items; blue: above 0, orange: below",
    )  # fmt: skip


def slopes(rows: pd.DataFrame, trends: pd.DataFrame) -> dict[int, str]:
    """The slope of every layer in words."""
    place = [*SERIES, "intervention", "coefficient", "layer"]
    found = rows[place].drop_duplicates().merge(trends, on=place)
    notes = {}
    for row in found.to_dict("records"):
        line = f"slope {row['slope']:+.2f}"
        if row["low"] == row["low"]:
            ends = f"[{row['low']:.2f}, {row['high']:.2f}]"
            line += f" {ends}, {p_in_words(row['p'])}, n = {row['n']}"
        elif row["slope"] == row["slope"]:
            line += f" ({row['note']})"
        else:
            line = f"no slope: {row['note']}"
        notes[int(row["layer"])] = line
    return notes


def _spread(layers: list[int]) -> list[int]:
    """At most six of the layers, evenly spread, the first and the last among them."""
    if len(layers) <= MOST_LAYERS:
        return layers
    step = (len(layers) - 1) / (MOST_LAYERS - 1)
    return [layers[round(place * step)] for place in range(MOST_LAYERS)]

"""Figures of latent probabilities by layer (arXiv 2505.13141, Figure 2), and of states.

A mean over languages is drawn with its 95 % band, and what it is compared with (the options of
another question, chance, the model's own answers) stands in the same panel.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import curves, heat, points
from analysis.figures.drawing import BLUE, GREY, INK, ORANGE
from analysis.layout import tables
from analysis.layout.exhibit import Series
from analysis.layout.material import Material, split
from analysis.results import log_ratio
from analysis.results.latent import LATENT, SHUFFLED

PLACE = ["benchmark", "prompt", "switches"]
ACROSS = 4
INCHES = (3.5, 2.5)
OPTIONS = {
    SHUFFLED: curves.Look("options of another question", GREY, "--"),
    LATENT: curves.Look("own options", BLUE),
}
TEXTS = {"native": curves.Look("native text", BLUE), "pivot": curves.Look("pivot text", ORANGE)}


def by_place(_: Material, frame: pd.DataFrame) -> Series:
    """The rows of each benchmark, prompt and reading, named by what varies."""
    return split(
        frame, fixed=("benchmark",), conditions=("prompt", "switches"), within=("benchmark",)
    )


def by_model(material: Material, frame: pd.DataFrame) -> Series:
    """The same, model by model."""
    for said, place in by_place(material, frame):
        for label, group in place.groupby("label", sort=True):
            yield f"{label}, {said}", group


def draw_ratios(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Log ratio by layer, a panel per model: own options as a line, another question's dashed.

    Rows need label, measure, layer, mean, low and high (`analysis.results.log_ratio.curves`).
    """
    panels = [
        curves.Panel(
            title=str(label), x="layer", y="" if number else "log ratio, native : pivot", zero=True,
            lines=curves.lines_of(own, line="measure", looks=OPTIONS, y="mean"),
            corners=("above 0: native", "below 0: pivot"),
        )
        for number, (label, own) in enumerate(rows.groupby("label", sort=True))
    ]  # fmt: skip
    return curves.curves(
        panels, name=said, share=True, key="below", inches=INCHES, above=1.0, least=5.6
    )


def draw_accuracies(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Latent accuracy by layer, a panel per model, of both sides; a mark for the output's.

    Rows need label, side, layer, mean, low and high; the material has what is answered.
    """
    answered = outputs(rows, material.by_language)
    cells = tables.with_label(log_ratio.others(material.latent))
    cells = cells[cells["measure"] == LATENT] if len(cells) else cells
    at = rows[PLACE].iloc[0]
    chances = cells[(cells[PLACE] == at).all(axis="columns")].groupby("label")["chance"].mean()
    return draw_sides(
        rows,
        said,
        answered=answered,
        chances={str(label): float(one) for label, one in chances.items()},
    )


def draw_sides(
    rows: pd.DataFrame, said: str, *, answered: Mapping[str, tuple[float, float, float]],
    chances: Mapping[str, float],
) -> Figure:  # fmt: skip
    """The same of any rows; `answered` has mean, low and high by model."""
    panels = []
    for number, (label, own) in enumerate(rows.groupby("label", sort=True)):
        lines = curves.lines_of(own, line="side", looks=TEXTS, y="mean", most=(0, 1))
        if str(label) in answered:
            mean, low, high = (np.array([one]) for one in answered[str(label)])
            lines.append(
                curves.Line(
                    x=np.array([1.06 * own["layer"].max()]), y=mean, low=low, high=high,
                    colour=INK, marker="s", style="none", label="output",
                )
            )  # fmt: skip
        panels.append(
            curves.Panel(
                title=str(label), lines=lines, x="layer", y="" if number else "accuracy", bottom=0,
                levels={"chance": chances[str(label)]} if str(label) in chances else {},
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=said, share=True, key="below", inches=INCHES, above=1.0, least=5.6
    )


def outputs(rows: pd.DataFrame, by_language: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Accuracy over other languages with its interval, by model; of several prompts the lens's."""
    found = {}
    for label, group in rows.groupby("label", sort=True):
        place = group.iloc[0]
        same = [by_language[name] == place[name] for name in log_ratio.POINT[:3]]
        own = by_language[same[0] & same[1] & same[2]]
        asked = own[own["prompt"] == place["prompt"]]
        own = asked if len(asked) else own[own["prompt"] == own["prompt"].min()]
        own = own[own["language"] != place["pivot"]]
        found[str(label)] = log_ratio.t_interval(own["accuracy"].to_numpy(float))
    return found


def draw_map(rows: pd.DataFrame, said: str, *, scale: tuple[float, float]) -> Figure:
    """Language by layer of a log ratio: blue above 0 (native), red below; rows need `value`."""
    grid = heat.best_first(rows, columns="layer", values="value")
    return heat.heat(
        grid, name=said, seen=f"{len(grid)} languages, the most native on top",
        x="layer (block output)", bar="log ratio, native : pivot", scale=scale,
    )  # fmt: skip


def draw_states(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """A panel per layer, one point per question and language; with many languages their centres.

    Rows need layer, side (the language), pivot, x and y. The pivot is black.
    """
    pivot = str(rows["pivot"].iloc[0])
    codes = sorted(set(rows["side"]))
    kinds, key = points.languages(codes, pivot=pivot)
    layers = sorted(set(rows["layer"]))
    down = -(-len(layers) // ACROSS)
    panels = []
    for layer in layers:
        own = rows[rows["layer"] == layer]
        places = {str(side): of[["x", "y"]].to_numpy(float) for side, of in own.groupby("side")}
        centres = {side: of.mean(axis=0) for side, of in places.items()}
        panels.append(
            points.Panel(
                title=f"layer {layer}", places=places,
                centres=centres if len(codes) > points.FEW else {},
            )
        )  # fmt: skip
    return points.plane(panels, name=said, kinds=kinds, key=key, across=-(-len(layers) // down))

"""Log ratio and latent accuracy by layer, and what they go with: Figure 2 and Table 2.

A mean over languages is drawn with its 95 % band, and what it is compared with (the options of
another question, chance, the model's own answers) stands in the same panel. The token unit comes
first; the other units, which tell the tokenizer's part from the content's, and the single languages
are folded.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import curves, heat
from analysis.figures.drawing import BLUE, GREY, INK, ORANGE
from analysis.latent import facts, frames
from analysis.latent.facts import text
from analysis.layout import compared, tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Series, Table
from analysis.layout.material import Material, named_by
from analysis.results import log_ratio
from analysis.results.latent import LATENT, SHUFFLED, SIDES, UNITS
from analysis.results.log_ratio import USUAL
from analysis.shared import layers

PLACE = ["benchmark", "prompt", "switches"]
# What each figure of this study has a row of panels for.
PANELS: dict[str, Any] = {
    "share": True, "key": "below", "inches": (3.5, 2.5), "above": 1.0, "least": 5.6,
}  # fmt: skip
OPTIONS = {
    SHUFFLED: curves.Look("options of another question", GREY, "--"),
    LATENT: curves.Look("own options", BLUE),
}
TEXTS = {"native": curves.Look("native text", BLUE), "pivot": curves.Look("pivot text", ORANGE)}
BY_PLACE = named_by("benchmark", varying=("prompt", "switches"), within=("benchmark",))
NOT_READ = "Empty: no option texts were read at layers (--part latent)."


def _curves(material: Material, *, column: str) -> pd.DataFrame:
    """Means over languages of a column by layer."""
    cells = material.get(frames.others)
    found = log_ratio.curves(cells, column=column) if len(cells) else cells
    return tables.with_label(found)


def _of_unit(unit: str, **rest: Any) -> Plot:
    """The log ratio of one unit, a figure per benchmark."""
    said = f"{{{{ said }}}}: log ratio per {unit} by layer"
    return Plot(
        name=f"log_ratio-{unit}", fill=partial(_curves, column=f"mean_of_logs_{unit}"),
        by=BY_PLACE, draw=draw_ratios, heading=said, caption=said, **rest,
    )  # fmt: skip


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
    return curves.curves(panels, name=said, **PANELS)


def _every_curve(material: Material) -> pd.DataFrame:
    """The curves of all units and ratios."""
    cells = material.get(frames.others)
    return pd.concat(
        [
            log_ratio.curves(cells, column=column).assign(quantity=column)
            for column in log_ratio.RATIO_COLUMNS
        ],
        ignore_index=True,
    )


def _by_language(material: Material) -> pd.DataFrame:
    """The log ratio per token of every language and layer, as `value`."""
    cells = material.get(frames.others)
    return (
        cells[cells["measure"] == LATENT].rename(columns={USUAL: "value"}) if len(cells) else cells
    )


def draw_map(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Language by layer of a log ratio: blue above 0 (native), red below; rows need `value`."""
    grid = heat.best_first(rows, columns="layer", values="value")
    return heat.heat(
        grid, name=said, seen=f"{len(grid)} languages, the most native on top",
        x="layer (block output)", bar="log ratio, native : pivot",
        scale=heat.around_zero(material.get(_by_language)["value"]),
    )  # fmt: skip


def _by_model(material: Material, frame: pd.DataFrame) -> Series:
    """The rows of each benchmark, prompt and reading, model by model."""
    for said, place in BY_PLACE(material, frame):
        for label, group in place.groupby("label", sort=True):
            yield f"{label}, {said}", group


def _crossing(found: pd.DataFrame) -> pd.DataFrame:
    """The crossing table for people."""
    frame = tables.with_label(found)
    places = ["label", "benchmark"]
    places += tables.several(frame, ("prompt", "switches"))
    shown = [*places, "n", "crossing", "surely", "lowest", "lowest_mean", "last"]
    shown += ["middle", "of_another_question"]
    frame = frame[[*shown, *(["paper"] if frame["paper"].any() else [])]]
    return frame.astype(object).where(frame.notna(), None)


FIGURE_2A = Exhibit(
    name="Figure 2a", title="log ratio of native and pivot texts by layer", empty=NOT_READ,
    parts=(
        Note(
            text=text("figure_2a_note")
        ),
        _of_unit("token"),
        Table(
            name="crossing", fill=frames.crossings, shown=_crossing, keep="crossings",
            caption=text("crossing"),
            heads={
                "n": "languages", "crossing": "above 0 from", "lowest": "least at",
                "surely": "band above 0 from", "lowest_mean": "least", "last": "last layer",
                "middle": "middle half", "of_another_question": "shuffled there",
                "paper": "paper: above 0",
            },
            decimals=2, most=24,
        ),
        *(_of_unit(unit, few=0, fold=f"The same per {unit}") for unit in list(UNITS)[1:]),
        Plot(
            name="log_ratio_languages", fill=_by_language, by=_by_model, draw=draw_map,
            caption="{{ said }}: log ratio per token by language and layer.", size=layers.crowded,
            few=0, fold="Every language by layer, {{ count }} heat maps",
        ),
    ),
    files={"log_ratio_curves": _every_curve},
)  # fmt: skip


def _sides(material: Material) -> pd.DataFrame:
    """Latent accuracy of both sides by layer."""
    cells = material.get(frames.others)
    if cells.empty:
        return cells
    own = cells[cells["measure"] == LATENT]
    parts = [
        tables.with_label(log_ratio.curves(own, column=f"accuracy_{side}")).assign(side=side)
        for side in SIDES
    ]
    return pd.concat(parts, ignore_index=True)


def draw_accuracies(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Latent accuracy by layer, a panel per model, of both sides; a mark for the output's.

    Rows need label, side, layer, mean, low and high; the material has what is answered.
    """
    answered = outputs(rows, material.by_language)
    cells = material.get(frames.others)
    if len(cells):
        at = (cells[PLACE] == rows[PLACE].iloc[0]).all(axis="columns")
        cells = cells[at & (cells["measure"] == LATENT)]
    panels = []
    for number, (label, own) in enumerate(rows.groupby("label", sort=True)):
        lines = curves.lines_of(own, line="side", looks=TEXTS, y="mean", most=(0, 1))
        mean, low, high = (np.array([one]) for one in answered[str(label)])
        lines.append(
            curves.Line(
                x=np.array([1.06 * own["layer"].max()]), y=mean, low=low, high=high, colour=INK,
                marker="s", style="none", label="output",
            )
        )  # fmt: skip
        chance = cells.loc[cells["label"] == label, "chance"]
        panels.append(
            curves.Panel(
                title=str(label), lines=lines, x="layer", y="" if number else "accuracy", bottom=0,
                levels={"chance": float(chance.mean())} if len(chance) else {},
            )
        )  # fmt: skip
    return curves.curves(panels, name=said, **PANELS)


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


FIGURE_2B = Exhibit(
    name="Figure 2b", title="latent accuracy by layer, of native and pivot texts", empty=NOT_READ,
    lacking="{% if not answered %}Without output: no item was answered.{% endif %}",
    facts=lambda material: {"answered": len(material.by_language)},
    parts=(
        Note(
            text=text("figure_2b_note")
        ),
        Plot(
            name="latent_accuracy", fill=_sides, by=BY_PLACE, draw=draw_accuracies,
            heading="{{ said }}: latent accuracy by layer",
            caption="{{ said }}: latent accuracy by layer",
        ),
    ),
    files={"latent_accuracy_curves": _sides, "latent_cells": "latent"},
)  # fmt: skip


def _weak(material: Material) -> dict[str, object] | None:
    """The models and benchmarks whose answers are not above chance."""
    found = material.get(frames.correlations)
    weak = found.drop(material.firm(found).index) if len(found) else found
    return {"weak": list(weak["label"] + " on " + weak["benchmark"])} if len(weak) else None


def _counted(material: Material) -> dict[str, object] | None:
    """How many printed coefficients lie in our intervals."""
    found = material.get(frames.correlations)
    if found.empty:
        return None
    joined = compared.join(
        found.rename(columns={"r": "value", "outcome": "column"}),
        frames.correlations_beside(found), places=frames.correlation_places(found),
    )  # fmt: skip
    counted = compared.counted(joined[joined["value"].notna() | joined["n"].notna()])
    return {"counted": counted, "fertility": facts.fertility(material)}


def _wide(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per model, benchmark and choice of layers; what qualifies a value below it."""
    places = frames.correlation_places(found)
    cells = found.rename(columns={"outcome": "column"}).merge(
        frames.correlations_beside(found), how="left", on=[*places, "column"]
    )
    return compared.wide(
        cells, places=places, columns=log_ratio.OUTCOMES, value="r", under=frames.under
    )


TABLE_2 = Exhibit(
    name="Table 2", title="the log ratio against accuracy, consistency and incoming transfer",
    empty="{% if read %}Empty: no answers of the same models to the same benchmarks (--part "
    "output).{% else %}" + NOT_READ + "{% endif %}",
    facts=lambda material: {"read": len(material.latent)},
    parts=(
        Note(
            text=text("weak_answers"),
            facts=_weak, warning=True,
        ),
        Table(
            name="log_ratio_table", fill=frames.correlations, shown=_wide,
            keep="log_ratio_correlations",
            caption=text("log_ratio_table"),
            decimals=2, most=40,
        ),
        Note(
            text=text("counted"),
            facts=_counted,
        ),
    ),
)  # fmt: skip


SHUFFLED_OPTIONS = Exhibit(
    name="Shuffled options", title="what the log ratio is with the options of another question",
    empty="Empty: no options of another question were read (--part latent).",
    parts=(
        Table(
            name="shuffled", fill=frames.shuffled,
            caption=text("shuffled"),
        ),
    ),
)  # fmt: skip

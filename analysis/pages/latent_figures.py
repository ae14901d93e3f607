"""Figure 2: the log ratio and the latent accuracy by layer, and where the ratio crosses 0.

The one idea: a figure per benchmark with a panel per model, the token unit first; the other units,
which tell the tokenizer's part from the content's, and the single languages stand behind folds.
"""

import pandas as pd

from analysis import log_ratio, published_latent, tables
from analysis.figures import heat
from analysis.figures import latent as drawn
from analysis.latent import LATENT, SERIES, SERIES_OF_MEASURE, SIDES, UNITS
from analysis.page import Exhibit, Fold, Part, Picture, Sheet, Text, file_name
from analysis.pages.latent_material import Material, folded

A = ("Figure 2a", "log ratio of native and pivot texts by layer")
B = ("Figure 2b", "latent accuracy by layer, of native and pivot texts")
EMPTY = "Empty: no option texts were read at layers (--part latent)."
RATIO = (
    "The log of the mean probability per token (geometric, over an option's text) of native "
    "options less that of the pivot's, after the native question; mean over languages without the "
    "pivot, 95 % t band over languages. The dashed line has the options of another question: what "
    "it shares with the line is the prior of script and length, and only the rest is about the "
    "content. At the last layer the lens is the model's own answer."
)
ACCURACY = (
    "Share of questions whose right option is the most probable text, among native texts and among "
    "the pivot's, after the native question; 95 % t bands over languages without the pivot. At the "
    "last layer that is the model's own ranking of texts; the square is what it answers when asked "
    "as in Table 1."
)
# What the paper says of its models, where the ratio is above 0 (section 4, on Figure 2a).
PAPER: dict[str, str] = {
    "Gemma 2 2B": "below in the middle",
    "Gemma 2 9B": "below in the middle",
    "Gemma 2 27B": "from layer 22",
    "Qwen 2.5 3B": "below in the middle",
    "Qwen 2.5 7B": "from layer 4",
    "Qwen 2.5 32B": "from layer 40",
}
PLACE = ["benchmark", "prompt", "switches"]


def exhibits(material: Material) -> list[Exhibit]:
    """Figures 2a and 2b."""
    cells = tables.with_label(log_ratio.others(material.latent))
    if cells.empty:
        return [Exhibit(name=name, title=title, missing=EMPTY) for name, title in (A, B)]
    return [_ratios(cells), _accuracies(cells, material)]


def crossing_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Where the log ratio crosses 0, by model and benchmark, and what the paper says.

    `middle` is its mean over the middle half of the layers, and `of_another_question` that of the
    control.
    """
    found = log_ratio.crossings(log_ratio.curves(cells, column=log_ratio.USUAL))
    means = log_ratio.over_layers(cells, series=SERIES_OF_MEASURE, columns=[log_ratio.USUAL])
    means = means[means["layers"] == "middle half"]
    wide = means.pivot_table(index=SERIES, columns="measure", values=log_ratio.USUAL)
    wide = wide.reindex(columns=list(log_ratio.MEASURES)).reset_index()
    wide.columns = [*SERIES, "middle", "of_another_question"]
    found = found.merge(wide, how="left", on=SERIES)
    names = [
        published_latent.model_name(str(model), revision=str(revision)) or ""
        for model, revision in zip(found["model"], found["revision"], strict=True)
    ]
    return found.assign(paper=[PAPER.get(name, "") for name in names])


def _ratios(cells: pd.DataFrame) -> Exhibit:
    """The ratio per token, where it crosses, then other units and single languages."""
    name, title = A
    parts: list[Part] = [Text(lines=(RATIO,))]
    parts += folded(_of_unit(cells, unit="token"), "more benchmarks")
    crossing = crossing_table(cells)
    parts.append(_crossing_sheet(crossing))
    others = [picture for unit in list(UNITS)[1:] for picture in _of_unit(cells, unit=unit)]
    parts.append(Fold(caption="The same per character and per byte", parts=tuple(others)))
    maps = _heat_maps(cells)
    parts.append(Fold(caption=f"Every language by layer, {len(maps)} heat maps", parts=maps))
    curves = [
        log_ratio.curves(cells, column=column).assign(quantity=column)
        for column in log_ratio.RATIO_COLUMNS
    ]
    files = {"log_ratio_curves": pd.concat(curves, ignore_index=True), "crossings": crossing}
    return Exhibit(name=name, title=title, parts=tuple(parts), files=files)


def _of_unit(cells: pd.DataFrame, *, unit: str) -> list[Part]:
    """One figure per benchmark."""
    pictures: list[Part] = []
    curves = tables.with_label(log_ratio.curves(cells, column=f"mean_of_logs_{unit}"))
    for said, group in _by_place(curves):
        heading = f"{said}: log ratio per {unit} by layer"
        pictures.append(
            Picture(
                name=file_name("log_ratio", unit, said),
                caption=f"{said}: log ratio per {unit} by layer",
                figure=drawn.ratios(group, name=heading),
            )
        )
    return pictures


def _heat_maps(cells: pd.DataFrame) -> tuple[Part, ...]:
    """Languages by layers, one per model and benchmark."""
    own = cells[cells["measure"] == LATENT].rename(columns={log_ratio.USUAL: "value"})
    found: list[Part] = []
    most = heat.around_zero(own["value"])[1]
    for said, place in _by_place(own):
        for label, group in place.groupby("label", sort=True):
            named = f"{label}, {said}"
            tall = group["language"].nunique() > drawn.CROWDED
            found.append(
                Picture(
                    name=file_name("log_ratio_languages", named),
                    caption=f"{named}: log ratio per token by language and layer.",
                    figure=drawn.heat_map(group, name=named, most=most),
                    size="tall" if tall else "half",
                )
            )
    return tuple(found)


def _crossing_sheet(crossing: pd.DataFrame) -> Sheet:
    """The crossing table for people."""
    frame = tables.with_label(crossing)
    places = ["label", "benchmark", *(name for name in PLACE[1:] if frame[name].nunique() > 1)]
    shown = [*places, "n", "crossing", "surely", "lowest", "lowest_mean", "last"]
    shown += ["middle", "of_another_question"]
    frame = frame[[*shown, *(["paper"] if frame["paper"].any() else [])]]
    return Sheet(
        name="crossing",
        caption=(
            "Where the log ratio per token crosses 0: the first layer from which its mean over "
            "languages stays above 0 (a dash: it is not above 0 at the last layer), the first from "
            "which its 95 % band does, its least mean, its mean at the last layer and over the "
            "middle half of the layers, there beside that of the options of another question"
        ),
        frame=frame.astype(object).where(frame.notna(), None),
        heads={
            "label": "model", "n": "languages", "crossing": "above 0 from", "lowest": "least at",
            "surely": "band above 0 from", "lowest_mean": "least", "last": "last layer",
            "middle": "middle half", "of_another_question": "shuffled there",
            "paper": "paper: above 0",
        },
        collapsed=len(frame) > 24, decimals=2,
    )  # fmt: skip


def _accuracies(cells: pd.DataFrame, material: Material) -> Exhibit:
    """Latent accuracy of both sides, with what the model answers at the end."""
    name, title = B
    own = cells[cells["measure"] == LATENT]
    sides = [
        tables.with_label(log_ratio.curves(own, column=f"accuracy_{side}")).assign(side=side)
        for side in SIDES
    ]
    curves = pd.concat(sides, ignore_index=True)
    chance = own.groupby(["label", *PLACE])["chance"].mean()
    pictures: list[Part] = []
    for said, group in _by_place(curves):
        outputs = _outputs(group, material.by_language, chance)
        pictures.append(
            Picture(
                name=file_name("latent_accuracy", said),
                caption=f"{said}: latent accuracy by layer",
                figure=drawn.accuracies(
                    group, outputs=outputs, name=f"{said}: latent accuracy by layer"
                ),
            )
        )
    return Exhibit(
        name=name,
        title=title,
        parts=(Text(lines=(ACCURACY,)), *folded(pictures, "more benchmarks")),
        missing="" if len(material.by_language) else "Without output: no item was answered.",
        files={"latent_accuracy_curves": curves, "latent_cells": material.latent},
    )


def _outputs(
    curves: pd.DataFrame, by_language: pd.DataFrame, chance: pd.Series
) -> dict[str, drawn.Output]:
    """The output's accuracy over other languages, by model; of several prompts the lens's own."""
    found = {}
    for label, group in curves.groupby("label", sort=True):
        place = group.iloc[0]
        same = [by_language[name] == place[name] for name in log_ratio.POINT[:3]]
        own = by_language[same[0] & same[1] & same[2]]
        asked = own[own["prompt"] == place["prompt"]]
        own = asked if len(asked) else own[own["prompt"] == own["prompt"].min()]
        own = own[own["language"] != place["pivot"]]
        mean, low, high = log_ratio.t_interval(own["accuracy"].to_numpy(float))
        at = (label, *(place[name] for name in PLACE))
        found[str(label)] = drawn.Output(mean=mean, low=low, high=high, chance=float(chance[at]))
    return found


def _by_place(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each benchmark, prompt and reading, named by what varies."""
    shown = [name for name in PLACE[1:] if frame.groupby("benchmark")[name].nunique().max() > 1]
    return [
        (
            ", ".join(
                str(value)
                for name, value in zip(PLACE, names, strict=True)
                if name == "benchmark" or name in shown
            ),
            group,
        )
        for names, group in frame.groupby(PLACE, sort=True)
    ]

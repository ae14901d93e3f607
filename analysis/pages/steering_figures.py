"""Figures 4, 5 and 7 to 11: what steering toward the pivot changes, and whether it is the vector.

The one idea: the same figure for every model and benchmark, whichever of them the paper shows. The
layer and the coefficient of a figure are all that were run, or the paper's; none is picked for how
well it does.
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from analysis import steering_means, tables
from analysis.correlate import p_in_words
from analysis.figures import sweeps
from analysis.page import Exhibit, Part, Picture, Text, file_name
from analysis.pages import steering_tables, vector_table
from analysis.pages.latent_material import Material, folded
from analysis.steering import SERIES, STEER

SHOWN = 2.0
MOST_LAYERS = 6
SWEEP = ("Figures 4 and 7", "accuracy, consistency and transfer by coefficient")
LAYERS = ("Figure 8", "change by layer, toward the pivot and away from it")
LANGUAGES = {
    "accuracy": ("Figures 5 and 9", "change of accuracy by language"),
    "transfer": ("Figure 10", "change of transfer from the pivot by language"),
    "consistency": ("Figure 11", "change of consistency with the pivot by language"),
}
CONTROLS = ("Controls by layer", "the real vector beside random and wrong ones")
EMPTY = "Empty: no steered answers (--part steering)."
PAIRED = (
    "Every language is compared with itself, plain and steered, on the same items: those that no "
    "vector was made from. "
)
TREND = (
    "Bars are 95 % intervals over items, blue where they lie above 0 and orange below; the line is "
    "least squares, its slope in points per point of plain accuracy. Chance in the plain answers "
    "alone makes it fall, so steering_trends.csv also has the slope across two halves of the items."
)


def exhibits(material: Material) -> list[Exhibit]:
    """The paper's figures of steering, then controls and what qualifies them."""
    effects = material.effects
    steered = effects[effects["intervention"] == STEER]
    means = steering_means.over_languages(effects)
    trends = steering_means.trends(steered)
    found = [_sweeps(means), _languages("accuracy", steered, trends), _layers(means)]
    found += [_languages(outcome, steered, trends) for outcome in ("transfer", "consistency")]
    found += [_controls(means), *steering_tables.exhibits(effects, material)]
    return [*found, vector_table.exhibit(material.rows.vectors)]


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `said`: model, benchmark, and those of its conditions that vary."""
    held = tables.with_label(frame)
    wider = [name for name in ("prompt", "pivot", "switches") if held[name].nunique() > 1]
    names = held[["label", "benchmark", *wider]].astype(str)
    return held.assign(said=names.agg(", ".join, axis=1) if len(held) else "")


def nearest(coefficients: pd.Series, *, wanted: float) -> float | None:
    """The coefficient of that sign that was run and lies nearest; None where there is none."""
    same = sorted({float(c) for c in coefficients if float(c) * wanted > 0})
    return min(same, key=lambda c: abs(c - wanted)) if same else None


def _sweeps(means: pd.DataFrame) -> Exhibit:
    """Every coefficient, a line per layer that had more than both ends."""
    name, title = SWEEP
    own = means[means["intervention"] == STEER]
    counts = own.groupby([*SERIES, "layer"])["coefficient"].transform("nunique")
    swept = own[counts > 2]
    if swept.empty:
        flags = "--part steering --layer 6 --layer 10 --coefficient=-4,-3,-2,-1,-0.5,0.5,1,2,3,4"
        why = f"Empty: no layer was steered by more than two coefficients ({flags})."
        return Exhibit(name=name, title=title, missing=EMPTY if own.empty else why)
    return Exhibit(
        name=name,
        title=title,
        parts=_pictures(
            swept,
            stem="sweep",
            caption=PAIRED + "Means over languages; coefficient 0 is the plain model.",
            draw=lambda group, said: sweeps.doses(group, name=said),
        ),
        files={"steering_by_dose": own},
    )


def _layers(means: pd.DataFrame) -> Exhibit:
    """The two coefficients nearest to 2 and -2, over the layers."""
    name, title = LAYERS
    own = means[means["intervention"] == STEER]
    if own.empty:
        return Exhibit(name=name, title=title, missing=EMPTY)
    kept = []
    for _, group in own.groupby(list(SERIES), sort=True):
        ends = [nearest(group["coefficient"], wanted=wanted) for wanted in (SHOWN, -SHOWN)]
        kept.append(group[group["coefficient"].isin([end for end in ends if end is not None])])
    both = pd.concat(kept)
    signs = set(both["coefficient"] > 0)
    missing = "" if len(signs) == 2 else "One direction alone was run (--coefficient=-2,2)."
    if both["layer"].nunique() == 1:
        missing = f"{missing} One layer alone was run (--layer).".strip()
    parts = _pictures(
        both,
        stem="layers",
        caption=PAIRED + "Coefficients above 0 push toward the pivot.",
        draw=lambda group, said: sweeps.by_layer(group, name=said),
    )
    return Exhibit(name=name, title=title, parts=parts, missing=missing)


def _languages(outcome: str, steered: pd.DataFrame, trends: pd.DataFrame) -> Exhibit:
    """One outcome by language, at the coefficient nearest to 2, draws averaged."""
    name, title = LANGUAGES[outcome]
    if steered.empty:
        return Exhibit(name=name, title=title, missing=EMPTY)
    held = named(steered[steered[f"{outcome}_change"].notna()])
    parts: list[Part] = []
    lines = []
    for said, group in held.groupby("said", sort=True):
        coefficient = nearest(group["coefficient"], wanted=SHOWN)
        own = group[group["coefficient"] == coefficient]
        if coefficient is None or own.empty:
            continue
        if coefficient != SHOWN:
            lines.append(f"{said}: coefficient {coefficient:+g}, as 2 was not run (--coefficient).")
        layers = _spread(sorted({int(layer) for layer in own["layer"]}))
        notes = _notes(own, trends) if outcome == "accuracy" else {}
        each = _over_draws(own[own["layer"].isin(layers)], outcome)
        heading = f"{said}, coefficient {coefficient:+g}"
        figure = sweeps.by_language(each, outcome=outcome, name=heading, notes=notes)
        caption = f"{heading}. {PAIRED}{TREND if outcome == 'accuracy' else TREND.split(';')[0]}."
        stem = file_name(f"{outcome}_by_language", str(said))
        parts.append(Picture(name=stem, caption=caption.replace("..", "."), figure=figure))
    if lines:
        parts.append(Text(lines=tuple(lines)))
    missing = "" if parts else (
        "Empty: the pivot's own answers, or positive coefficients, are missing (--language with "
        "the pivot among them, --coefficient 2)."
    )  # fmt: skip
    files = {"steering_effects": steered, "steering_trends": trends}
    return Exhibit(
        name=name, title=title, parts=folded(parts, "more models"), missing=missing,
        files=files if outcome == "accuracy" else {},
    )  # fmt: skip


def _over_draws(own: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """One row per layer and language; of several draws the mean of values and of ends."""
    values = ["plain_accuracy", *(f"{outcome}_{end}" for end in ("change", "low", "high"))]
    return own.groupby(["layer", "language"], sort=True)[values].mean().reset_index()


def _notes(own: pd.DataFrame, trends: pd.DataFrame) -> dict[int, str]:
    """The slope of every layer in words, for the panels."""
    place = [*SERIES, "intervention", "coefficient", "layer"]
    found = own[place].drop_duplicates().merge(trends, on=place)
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


def _controls(means: pd.DataFrame) -> Exhibit:
    """Real vector and controls at the coefficient that controls ran at."""
    name, title = CONTROLS
    held = means[means["intervention"] != STEER]
    if held.empty:
        why = "Empty: no controls were run (--part controls, --control random and so on)."
        return Exhibit(name=name, title=title, missing=why)
    places = [*SERIES, "layer", "coefficient"]
    real = means[means["intervention"] == STEER]
    beside = pd.concat([held, real.merge(held[places].drop_duplicates(), on=places)])
    kept = []
    for _, group in beside.groupby(list(SERIES), sort=True):
        kept.append(group[group["coefficient"] == nearest(group["coefficient"], wanted=SHOWN)])
    parts = _pictures(
        pd.concat(kept),
        stem="controls",
        caption=PAIRED + "All at one coefficient; what each control is, the table below says.",
        draw=lambda group, said: sweeps.controls(
            group, name=f"{said}, coefficient {group['coefficient'].iloc[0]:+g}"
        ),
    )
    return Exhibit(name=name, title=title, parts=parts)


def _pictures(
    frame: pd.DataFrame, *, stem: str, caption: str, draw: Callable[[pd.DataFrame, str], Figure]
) -> tuple[Part, ...]:
    """One picture per model, benchmark and condition; the later ones behind a fold."""
    parts: list[Part] = []
    for said, group in named(frame).groupby("said", sort=True):
        counts = group["languages"]
        many = f"{counts.max()} languages" if counts.nunique() == 1 else "unequal languages"
        parts.append(
            Picture(
                name=file_name(stem, str(said)),
                caption=f"{said}, {many}. {caption}",
                figure=draw(group, str(said)),
            )
        )
    return folded(parts, "more models")


def _spread(layers: list[int]) -> list[int]:
    """At most six of the layers, evenly spread, the first and the last among them."""
    if len(layers) <= MOST_LAYERS:
        return layers
    step = (len(layers) - 1) / (MOST_LAYERS - 1)
    return [layers[round(place * step)] for place in range(MOST_LAYERS)]

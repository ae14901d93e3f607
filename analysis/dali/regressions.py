"""Does alignment go with the answer, given an item's length and the pivot's confidence?

Of the items that the pivot answers right, over all languages of a series. The alignment is the
margin of DALI at the layer with the highest share aligned on average over languages.
"""

from collections.abc import Mapping
from math import exp

import numpy as np
import pandas as pd

from analysis.dali.frames import ALL, Judged, answered, level_curves
from analysis.dali.text import text, varying
from analysis.layout import prose, tables
from analysis.layout.exhibit import Exhibit, Note, Table
from analysis.layout.material import Material
from analysis.results.answers import SERIES
from analysis.results.option_alignment import DALI
from analysis.statistics import regress
from analysis.statistics.scores import LEVEL

ALIGNMENT, OTHER_SCRIPT = "alignment", "other_script"
TERMS = {
    ALIGNMENT: "alignment (margin of DALI)",
    "tokens": "tokens",
    "fertility": "tokens per token of the pivot",
    "gold_longer": "tokens by which the right option is longer than the wrong ones",
    "confidence": "margin of the pivot's answer",
    OTHER_SCRIPT: "another script than the pivot's",
}
LINEAR, LOGISTIC = "linear probability", "logistic"
FITS = (LINEAR, LOGISTIC)
COLUMNS = [*SERIES, "layer", "regression", "n", "languages", "term", "coefficient", "low", "high",
           "p", "constant", "note"]  # fmt: skip


def rows(material: Material) -> list[tuple[dict[str, object], int, pd.DataFrame]]:
    """By series the layer and one row per language and item: `right` and the covariates.

    Rows whose margin or whose confidence is not defined are left out.
    """
    found: dict[tuple[object, ...], list[Judged]] = {}
    for one in material.get(answered):
        found.setdefault(tuple(one.place.values()), []).append(one)
    made = []
    for place, several in found.items():
        layer = best_layer(material, dict(zip(SERIES, place, strict=True)))
        if layer is None:
            continue
        parts = [_rows(one, layer) for one in several if layer in one.cell.layers]
        if parts:
            made.append(
                (dict(zip(SERIES, place, strict=True)), layer, pd.concat(parts, ignore_index=True))
            )
    return made


def best_layer(material: Material, series: Mapping[str, object]) -> int | None:
    """The inner layer with the highest share aligned on average over languages."""
    curve = material.get(level_curves)
    own = curve[(curve["measure"] == DALI) & (curve["items"] == ALL) & curve["inner"]]
    own = own[(own[list(series)] == list(series.values())).all(axis="columns")]
    if own.empty:
        return None
    ordered = own.sort_values(["share", "layer"], ascending=[False, True])
    return int(ordered["layer"].iloc[0])


def coefficients(material: Material) -> pd.DataFrame:
    """One row per series, regression and term; without a fit one row with its `note`."""
    found: list[dict[str, object]] = []
    for place, layer, frame in material.get(rows):
        scaled = {name: regress.standardised(frame[name].to_numpy(float)) for name in TERMS}
        constant = [TERMS[name] for name, values in scaled.items() if values is None]
        there = {name: values for name, values in scaled.items() if values is not None}
        own = frame[["language", "item", "right"]].assign(**there)
        terms = list(there) if ALIGNMENT in there else []
        fits = {
            LINEAR: regress.mixed(own, outcome="right", terms=terms, groups="language"),
            # What is the same in all items of a language is part of that language's own effect.
            LOGISTIC: regress.logistic(
                own, outcome="right", terms=[one for one in terms if one != OTHER_SCRIPT],
                effects="language", clusters="item",
            ),
        }  # fmt: skip
        for name, fit in fits.items():
            shared = {**place, "layer": layer, "regression": name, "n": fit.n}
            shared |= {"languages": fit.languages, "constant": ", ".join(constant)}
            note = fit.note
            if not note and not fit.terms:
                note = "nothing was fitted"
            if ALIGNMENT not in there and len(frame):
                note = "the alignment does not vary"
            found += [{**shared, **term._asdict(), "note": ""} for term in fit.terms]
            found += [] if fit.terms else [{**shared, "term": "", "note": note}]
    return pd.DataFrame(found, columns=COLUMNS)


def readings(material: Material) -> list[dict[str, object]]:
    """What the coefficient of alignment says, by series, or why there is none."""
    found = material.get(coefficients)
    said: list[dict[str, object]] = []
    for place, own in found.groupby(SERIES, sort=True, dropna=False) if len(found) else ():
        row: dict[str, object] = {"on": prose.on(dict(zip(SERIES, place, strict=True)))}
        for name in FITS:
            lines = own[own["regression"] == name]
            line = lines[lines["term"] == ALIGNMENT]
            key = "linear" if name == LINEAR else "logistic"
            row[key] = line.iloc[0].to_dict() if len(line) else None
            row[f"{key}_note"] = str(lines["note"].iloc[0])
        odds = row["logistic"]
        if isinstance(odds, dict):
            row["odds"] = [exp(odds[end]) for end in ("coefficient", "low", "high")]
            row["clear"] = bool(odds["p"] < LEVEL)
        row["layer"] = int(own["layer"].iloc[0])
        row["constant"] = str(own["constant"].iloc[0])
        said.append(row)
    return said


def _rows(one: Judged, layer: int) -> pd.DataFrame:
    """The items of one language that the pivot answers right."""
    cell = one.cell
    place = int(np.flatnonzero(cell.layers == layer)[0])
    frame = pd.DataFrame(
        {
            "language": cell.language, "item": cell.items, "right": one.own,
            ALIGNMENT: cell.margins[:, place].astype(float), "tokens": cell.tokens.astype(float),
            "fertility": cell.tokens / np.maximum(1, cell.pivot_tokens),
            "gold_longer": cell.gold_longer, "confidence": one.confidence,
            OTHER_SCRIPT: float(_script(cell.language) != _script(cell.pivot)),
        }
    )  # fmt: skip
    known = np.isfinite(frame[[*TERMS]].to_numpy(float)).all(axis=1)
    held: pd.DataFrame = frame[known & (one.pivot == 1) & ~np.isnan(one.own)]
    return held


def _script(language: str) -> str:
    """The script of a code such as `eng_Latn`."""
    return language.partition("_")[2]


def _shown(found: pd.DataFrame) -> pd.DataFrame:
    """The coefficients that there are, for people."""
    held = tables.with_label(found[found["term"] != ""])
    places = ["label", "benchmark", *varying(held)]
    held = held.assign(term=held["term"].map(TERMS))
    columns = [*places, "layer", "regression", "term", "coefficient", "low", "high", "p", "n"]
    return held[[*columns, "languages"]]


def _fitted(material: Material) -> pd.DataFrame:
    """Coefficients where any was fitted."""
    found = material.get(coefficients)
    return found if (found["term"] != "").any() else found.iloc[:0]


def _said(material: Material) -> Mapping[str, object] | None:
    """The sentences of the series."""
    found = material.get(readings)
    return {"rows": found} if found else None


REGRESSIONS = Exhibit(
    name="Regressions", title="does an item's alignment go with its answer?",
    empty=text("no_regression"),
    facts=lambda material: {"rows": material.get(readings)},
    parts=(
        Note(text=text("regressions_note")),
        Note(text=text("regressions_read"), facts=_said),
        Table(
            name="regressions", fill=_fitted, shown=_shown, caption=text("regressions"), most=40,
        ),
    ),
    files={"regressions_all": coefficients},
)  # fmt: skip

"""The numbers of the CLAS page's summary, warnings and checks; all are of held-out items.

Where the chosen strength is 0 nothing was changed: such series give no gain here, only a sentence.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from analysis.clas import frames
from analysis.layout import prose
from analysis.layout.material import Material
from analysis.layout.tables import several
from analysis.read import label
from analysis.results.answers import SERIES
from analysis.results.scaled import (
    ACCURACY,
    CLAS,
    F1,
    IN_ANCHOR,
    INTMU,
    OTHER_INTMU,
    RANDOM,
    SCHEMES,
)
from analysis.statistics.scores import FEW_LANGUAGES, LEVEL

text = partial(prose.Block, "clas.jinja")
Found = Mapping[str, object]
# Below this a category shares fewer neurons with itself, from other samples, than not.
UNSTABLE = 0.5
MOST = 4


def facts(material: Material) -> dict[str, object]:
    """Everything that the summary, the warnings and the methods say."""
    levels, lines = material.get(frames.levels), series_in_words(material)
    return {
        "models": _models(material),
        "benchmarks": sorted(set(material.get(frames.series)["benchmark"])),
        "languages": levels["language"].nunique(),
        "answered": len(levels) > 0,
        "lines": lines[:MOST],
        "left": max(0, len(lines) - MOST),
        "count": _counts(material),
        "unmoved": [prose.on(row) for row in material.get(frames.unmoved).to_dict("records")],
        "weak": [prose.on(row) for row in weak(material).to_dict("records")],
        "edge": _choices(material, "edge"),
        "flips": _choices(material, "flips"),
        "few": _few(material),
        "unstable": unstable(material),
        "anchor": _anchor(material),
        "switches": _switches(material),
        "bridge": [
            {"model": prose.model(row)} | row
            for row in material.get(frames.bridge).to_dict("records")
        ],
    }


def series_in_words(material: Material) -> list[Found]:
    """The gain of every series that was changed, beside random neurons and without its prior."""
    found = frames.metric_of(material.get(frames.moved_means))
    clas = found[found["scheme"] == CLAS]
    lines: list[Found] = []
    for row in clas.to_dict("records"):
        place = {name: row[name] for name in SERIES}
        random = _one(material.get(frames.chance), place, control=RANDOM, metric=row["metric"])
        prior = _one(material.get(frames.prior_means), place, quantity="corrected")
        lines.append(
            {
                "row": row, "where": _apart(material, row), "random": random, "prior": prior,
                "metric": frames.METRICS[row["metric"]],
            }
        )  # fmt: skip
    return lines


def _apart(material: Material, row: Mapping[Any, Any]) -> str:
    """What sets a series apart from others of its model and benchmark."""
    every = material.get(frames.series)
    names = ["model", "revision", "benchmark"]
    alike = every[(every[names] == [row[name] for name in names]).all(axis="columns")]
    found = [f"{name} {row[name]}" for name in several(alike, frames.CONDITIONS)]
    return ", ".join(found)


def _counts(material: Material) -> Found:
    """In how many series the gain is clear, beats random neurons, and if clear survives
    correction."""
    lines = series_in_words(material)
    clear = [one for one in lines if one["row"]["boot_low"] > 0]  # type: ignore[index]
    random = [one["random"] for one in lines if one["random"]]
    prior = [one["prior"] for one in clear if one["prior"]]
    return {
        "all": len(lines),
        "clear": len(clear),
        "drawn": len(random),
        "beaten": sum(one["p"] < LEVEL for one in random),  # type: ignore[index]
        "corrected": len(prior),
        "left": sum(one["low"] > 0 for one in prior),  # type: ignore[index]
    }


def weak(material: Material) -> pd.DataFrame:
    """The series of choices in which half of the languages or more are not above chance."""
    found = material.get(frames.levels)
    own = found[found["metric"] == ACCURACY]
    near = own.assign(near=~(own["p_above"] < LEVEL)).groupby(SERIES, dropna=False)["near"]
    shares = near.mean().reset_index() if len(own) else own.assign(near=0.0)
    return shares[shares["near"] >= 0.5]


def answered(material: Material, metrics: Sequence[str]) -> Found:
    """Whether such answers exist, and what else there is or lacks."""
    found = material.get(frames.levels)
    own = found[found["metric"].isin(metrics)]
    clas = material.get(frames.gains)
    clas = clas[(clas["scheme"] == CLAS) & clas["metric"].isin(metrics)]
    moved = clas[~clas["idle"]]
    return {
        "there": len(own) > 0, "choices": ACCURACY in metrics, "any": len(found) > 0,
        "clas": len(clas) > 0, "moved": len(moved) > 0,
        "intmu": INTMU in set(material.get(frames.gains)["scheme"]),
    }  # fmt: skip


def changed(material: Material) -> Found:
    """Whether anything was rescaled at all, and whether a strength other than 0 was chosen."""
    gains = material.get(frames.gains)
    clas = gains[gains["scheme"] == CLAS]
    states = material.table("scaled_states")
    return {
        "tuned": len(material.table("tuning")) > 0, "clas": len(clas) > 0,
        "moved": bool((~clas["idle"]).any()) if len(clas) else False, "states": len(states) > 0,
        "still": len(states) > 0 and not (states["shared"].ne(0) | states["specific"].ne(0)).any(),
        "choices": ACCURACY in set(gains["metric"]), "written": F1 in set(gains["metric"]),
        "schemes": sorted(set(gains["scheme"])),
    }  # fmt: skip


def idle(material: Material, *, metrics: Sequence[str]) -> Found | None:
    """The series with such answers whose chosen strength is 0."""
    found = material.get(frames.means)
    own = found[(found["scheme"] == CLAS) & found["idle"] & found["metric"].isin(metrics)]
    rows = own[["model", "revision", "benchmark"]].drop_duplicates().to_dict("records")
    return {"where": [prose.on(row) for row in rows]} if rows else None


def without_neurons(material: Material, *, metrics: Sequence[str]) -> Found | None:
    """The languages that Int-mu could not be run in, by series."""
    levels, gains = material.get(frames.levels), material.get(frames.gains)
    where = []
    for place, own in levels[levels["metric"].isin(metrics)].groupby(SERIES, dropna=False):
        named = dict(zip(SERIES, place, strict=True))
        ran = gains[(gains[SERIES] == list(place)).all(axis="columns")]
        ran = ran[ran["scheme"] == INTMU]
        lacking = sorted(set(own["language"]) - set(ran["language"]) - {str(named["pivot"])})
        if len(ran) and lacking:
            where.append(f"{prose.on(named)}: {', '.join(lacking)}")
    return {"where": where} if where else None


def refused(material: Material) -> Found:
    """Cells of Int-mu that were refused, with the reason."""
    errors = material.rows.errors
    own = errors[errors["intervention"].isin((INTMU, *OTHER_INTMU))]
    own = own[own["error"].str.startswith("Int-mu", na=False)]
    places = own[["model", "revision", "benchmark", "language"]].drop_duplicates()
    where = [f"{prose.on(row)}: {row['language']}" for row in places.to_dict("records")]
    return {"wrong": len(own) > 0, "count": len(own), "where": where}


def strength_of(material: Material, series: Mapping[str, object] | pd.Series) -> Found | None:
    """The chosen strength of a series, and whether it changes anything."""
    gains = material.get(frames.gains)
    place = [series[name] for name in SERIES]
    own = gains[(gains[SERIES] == place).all(axis="columns") & (gains["scheme"] == CLAS)]
    if own.empty:
        return None
    row = own.iloc[0]
    return {"shared": row["shared"], "specific": row["specific"], "idle": bool(row["idle"])}


def not_above_chance(material: Material) -> Found | None:
    """Plain accuracies that chance explains."""
    found = material.get(frames.levels)
    own = found[found["metric"] == ACCURACY]
    if own.empty:
        return None
    near = int((~(own["p_above"] < LEVEL)).sum())
    return {"wrong": near > 0, "near": near, "tested": len(own)}


def uneven(material: Material) -> Found | None:
    """Series whose languages differ in how many held-out items they have."""
    found = frames.metric_of(material.get(frames.levels))
    if found.empty:
        return None
    ends = found.groupby(SERIES, dropna=False)["n"].agg(["min", "max"]).reset_index()
    differ = ends[ends["min"] < ends["max"]].to_dict("records")
    where = [f"{prose.on(row)} {row['min']} to {row['max']}" for row in differ]
    return {"wrong": bool(where), "where": where}


def repeated(material: Material) -> Found | None:
    """Cells with more than one answer, of which one is shown."""
    shown = {one.key for one in material.get(frames.cells)}
    texts = material.table("generations")
    known = {one.key for one in material.answers if one.intervention in SCHEMES}
    known |= set(texts.loc[texts["intervention"].isin(SCHEMES), "key"])
    return {"wrong": len(known - shown) > 0, "count": len(known - shown)}


def cut(material: Material) -> Found | None:
    """Prompts that were cut to a model's context."""
    texts = material.table("generations")
    texts = texts[texts["intervention"].notna()]
    items = sum(one.truncated for one in material.answers if one.intervention)
    written = int(texts["truncated"].eq(True).sum())
    return {"wrong": bool(items or written), "items": items, "written": written}


def _models(material: Material) -> list[str]:
    """Every model of the store."""
    parts = [
        frame[["model", "revision"]]
        for frame in (material.get(frames.series), material.table("categories"))
    ]
    pairs = pd.concat(parts).drop_duplicates().sort_values(["model", "revision"])
    return [label(str(a), revision=str(b)) for a, b in pairs.itertuples(index=False, name=None)]


def _choices(material: Material, mark: str) -> list[str]:
    """The series whose chosen strength has a mark."""
    found = material.get(frames.choices)
    own = found[(found["way"] == CLAS) & found[mark].eq(True)]
    return [f"{prose.on(row)} (shared {row['shared']:+g}, specific {row['specific']:+g})"
            for row in own.to_dict("records")]  # fmt: skip


def _few(material: Material) -> list[str]:
    """Counts of languages that are too few for a claim about languages."""
    found = frames.metric_of(material.get(frames.means))
    own = found[found["scheme"] == CLAS]
    return [str(count) for count in sorted(set(own["n"])) if count < FEW_LANGUAGES]


def unstable(material: Material) -> list[str]:
    """The categories that two halves of the samples do not agree on."""
    found = material.get(frames.stability)
    halves = found[found["part"] == "half"]
    return [
        f"{name} of {prose.model(row)} ({row[column]:.2f})"
        for row in halves.to_dict("records")
        for name, column in (
            ("partial-shared neurons", "jaccard_partial_shared"),
            ("language-specific neurons", "jaccard_specific"),
        )
        if row[column] < UNSTABLE
    ]


def _anchor(material: Material) -> list[str]:
    """What rescaling the anchor's own items costs, where it is clear."""
    found = frames.metric_of(material.get(frames.moved))
    own = found[(found["scheme"] == IN_ANCHOR) & (found["p"] < LEVEL)]
    return [
        f"{prose.on(row)} {row['change']:+.1f} points ({row['low']:+.1f} to {row['high']:+.1f})"
        for row in own.to_dict("records")
    ]


def _switches(material: Material) -> list[str]:
    """Every set of switches in words."""
    found = set(material.get(frames.series)["switches"])
    found |= set() if found else set(material.table("categories")["switches"].dropna())
    lines = []
    for one in sorted(found):
        held = json.loads(one) if one else {}
        lines.append(", ".join(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in held.items()
        ))  # fmt: skip
    return lines


def _one(frame: pd.DataFrame, place: Mapping[str, object], **more: object) -> Found | None:
    """The one row at a place, None without one."""
    wanted = {**place, **more}
    own = frame[(frame[list(wanted)] == list(wanted.values())).all(axis="columns")]
    return {str(name): value for name, value in own.iloc[0].items()} if len(own) else None

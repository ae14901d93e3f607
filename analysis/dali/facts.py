"""The numbers of the DALI page's summary, warnings and checks."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from analysis.dali import alignment, frames, gap_frames, patch_frames
from analysis.dali.patch_figures import NAMES
from analysis.dali.text import FEW_FAILURES
from analysis.layout import prose
from analysis.layout.material import Material
from analysis.read import label
from analysis.results.answers import SERIES
from analysis.results.option_alignment import DALI
from analysis.results.patched import CONTROLS
from analysis.statistics.scores import FEW_LANGUAGES, LEVEL

Found = Mapping[str, object]


def facts(material: Material) -> dict[str, object]:
    """Everything that the summary, the warnings and the methods say."""
    places = _places(material)
    counts = _failures(material)
    return {
        "models": sorted({label(str(a), revision=str(b)) for a, b, *_ in places}),
        "benchmarks": sorted({str(place[2]) for place in places}),
        "languages": len({place[3] for place in places}),
        "aligned": _aligned(material),
        "gaps": _gaps(material),
        "answered_any": bool(material.get(frames.answered)),
        "patched": _patched(material),
        "weak": [prose.on(row) for row in _weak(material)],
        "few": _few(material),
        "few_failures": counts,
        "switches": _switches(material),
    }


def accuracies(material: Material) -> pd.DataFrame:
    """By series and language the accuracy, chance, and the one-sided p of being above it."""
    rows = []
    for one in material.get(frames.answered):
        known = one.own[~np.isnan(one.own)]
        hits, n = int(known.sum()), len(known)
        p = float(stats.binom.sf(hits - 1, n, one.chance)) if n else float("nan")
        rows.append({**one.place, "language": one.cell.language, "n": n,
                     "accuracy": hits / n if n else float("nan"), "chance": one.chance,
                     "pivot_accuracy": float(np.nanmean(one.pivot)), "p": p})  # fmt: skip
    return pd.DataFrame(rows)


def not_above_chance(material: Material) -> Found | None:
    """Accuracies that chance explains."""
    found = material.get(accuracies)
    if found.empty:
        return None
    near = int((~(found["p"] < LEVEL)).sum())
    return {"wrong": near > 0, "near": near, "tested": len(found)}


def cut(material: Material) -> Found:
    """Texts that were cut to a model's context."""
    texts = sum(one.truncated for one in material.get(frames.cells).kept)
    contexts = sum(one.truncated for one in material.get(patch_frames.cells).kept)
    return {"wrong": texts + contexts > 0, "texts": texts, "contexts": contexts}


def undefined(material: Material) -> Found | None:
    """Margins with a zero vector, which count as not aligned."""
    found = material.get(frames.cells).kept
    if not found:
        return None
    count = sum(one.undefined for one in found)
    return {"wrong": count > 0, "count": count,
            "of": sum(one.margins.size for one in found)}  # fmt: skip


def uneven(material: Material) -> Found | None:
    """Series whose languages differ in how many items they have."""
    found = material.get(frames.level_table)
    if found.empty:
        return None
    own = found[found["measure"] == DALI]
    ends = own.groupby(SERIES, dropna=False)["n"].agg(["min", "max"]).reset_index()
    differ = ends[ends["min"] < ends["max"]].to_dict("records")
    where = [f"{prose.on(row)} {row['min']} to {row['max']}" for row in differ]
    return {"wrong": bool(where), "where": where}


def repeated(material: Material) -> Found | None:
    """Cells with more than one answer, of which one is shown."""
    options, patches = material.get(frames.cells), material.get(patch_frames.cells)
    count = options.repeated + patches.repeated
    return {"wrong": count > 0, "count": count}


def unanswered(material: Material) -> Found | None:
    """Items of aligned cells without an answer in one of the languages."""
    found = material.get(frames.answered)
    if not found:
        return None
    lacking = sum(int(np.isnan(one.own + one.pivot).sum()) for one in found)
    return {"wrong": lacking > 0, "lacking": lacking,
            "of": sum(len(one.own) for one in found)}  # fmt: skip


def matching(row: Mapping[object, object], frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a series."""
    if frame.empty:
        return frame
    held = [frame[name] == row[name] for name in SERIES]
    return frame[np.logical_and.reduce(held)]


def _places(material: Material) -> set[tuple[object, ...]]:
    """Model, revision, benchmark and language of every cell."""
    cells = material.get(frames.cells).kept
    found: set[tuple[object, ...]] = {
        (one.model, one.revision, one.benchmark, one.language) for one in cells
    }
    for one in material.get(patch_frames.cells).kept:
        place = one.place
        found.add((place["model"], place["revision"], place["benchmark"], place["language"]))
    return found


def _aligned(material: Material) -> list[dict[str, object]]:
    """DALI over languages by series: at the best layers, by chance, and of another item."""
    found = material.get(alignment.rule_means)
    own = found[found["measure"] == DALI] if len(found) else found
    own = own.drop_duplicates([name for name in SERIES if name != "prompt"]) if len(own) else own
    return [{"on": prose.on(row), **row} for row in own.to_dict("records")]  # type: ignore[dict-item]


def _gaps(material: Material) -> list[dict[str, object]]:
    """By series how many languages have a gap, at the best layer and on held-out items."""
    found = material.get(gap_frames.gap_tests)
    rows: list[dict[str, object]] = []
    own = found[(found["measure"] == DALI) & found["p"].notna()] if len(found) else found
    for _, group in own.groupby(SERIES, sort=True, dropna=False) if len(own) else ():
        held = group[group["held_p"].notna()]
        rows.append({
            "on": prose.on(group.iloc[0].to_dict()), "of": len(group),
            "clear": int((group["p_bh"] < LEVEL).sum()),
            "permuted": int((group["p_permutation_bh"] < LEVEL).sum()),
            "mean": float(group["gap"].mean()), "held_of": len(held),
            "held_clear": int((held["held_p_bh"] < LEVEL).sum()),
        })  # fmt: skip
    return rows


def _patched(material: Material) -> list[dict[str, object]]:
    """By series, at the layer that is chosen on half of the items: corrections, and the symbol.

    Chosen is the layer where the matched patch exceeds one of the same symbol the most, or has the
    highest net correction where there is no such control.
    """
    found = material.get(patch_frames.TOGETHER["chosen"])
    rows: list[dict[str, object]] = []
    for _, group in found.groupby(SERIES, sort=True) if len(found) else ():
        beyond = group[group["rule"] == patch_frames.BEYOND]
        row = (beyond if len(beyond) else group).iloc[0].to_dict()
        if row["layer"] is None or row["layer"] != row["layer"]:
            continue
        said: dict[str, object] = {str(name): value for name, value in row.items()}
        said |= {"on": prose.on(row), "beyond": len(beyond) > 0, "layer": int(row["layer"])}
        said["symbols"] = _symbols(material, row, int(row["layer"]))
        said["controls"] = _controls(material, row, int(row["layer"]))
        rows.append(said)
    return rows


def _controls(
    material: Material, row: Mapping[object, object], layer: int
) -> list[dict[str, object]]:
    """What every control corrects at a layer, of all failures, and whether the matched patch
    corrects more (q < .05 over layers)."""
    rates = matching(row, material.get(patch_frames.TOGETHER["rates"]))
    tests = matching(row, material.get(patch_frames.TOGETHER["contrasts"]))
    if rates.empty or tests.empty:
        return []
    tests = tests[tests["layer"] == layer].set_index("control")
    there = rates[rates["layer"] == layer].set_index("intervention")["correction"]
    return [
        {"name": NAMES[name], "correction": float(there[name]),
         "clear": bool(tests["difference"][name] > 0 and tests["p_bh"][name] < LEVEL)}
        for name in CONTROLS
        if name in tests.index and name in there.index
    ]  # fmt: skip


def _symbols(
    material: Material, row: Mapping[object, object], layer: int
) -> dict[str, object] | None:
    """Both hit rates among failures with permuted options at a layer."""
    found = matching(row, material.get(patch_frames.TOGETHER["symbols"]))
    if found.empty:
        return None
    own = found[(found["items"] == "failures") & (found["layer"] == layer) & (found["n"] > 0)]
    return {str(name): value for name, value in own.iloc[0].items()} if len(own) else None


def _weak(material: Material) -> list[Mapping[object, object]]:
    """Series in which half of the languages or more are not above chance."""
    found = material.get(accuracies)
    rows: list[Mapping[object, object]] = []
    for _, group in found.groupby(SERIES, sort=True, dropna=False) if len(found) else ():
        if 2 * int((group["p"] < LEVEL).sum()) <= len(group):
            rows.append(group.iloc[0].to_dict())
    return rows


def _few(material: Material) -> list[str]:
    """Counts of languages that are too few for a claim about languages."""
    found = material.get(frames.correlations)
    counts = set(found["n"]) if len(found) else set()
    return [str(count) for count in sorted(counts) if count < FEW_LANGUAGES]


def _failures(material: Material) -> list[dict[str, object]]:
    """Series with languages of few failures, of alignment and of patching."""
    rows: list[dict[str, object]] = []
    for fill, column in (
        (gap_frames.gap_tests, "n_failure"), (patch_frames.SINGLE["chosen"], "failures"),
    ):  # fmt: skip
        found = material.get(fill)
        if found.empty:
            continue
        mark = "measure" if column == "n_failure" else "rule"
        own = found[found[mark] == (DALI if mark == "measure" else patch_frames.NET)]
        for _, group in own.groupby(SERIES, sort=True, dropna=False):
            few = int((group[column] < FEW_FAILURES).sum())
            row: dict[str, object] = {
                "on": prose.on(group.iloc[0].to_dict()), "few": few, "of": len(group),
                "none": int((group[column] == 0).sum()), "asked": str(group["prompt"].iloc[0]),
            }  # fmt: skip
            # Where both parts were asked alike, they have the same failures.
            if few and row not in rows:
                rows.append(row)
    return rows


def _switches(material: Material) -> list[str]:
    """Every set of switches in words."""
    held = {one.switches for one in material.get(frames.cells).kept}
    held |= {one.place["switches"] for one in material.get(patch_frames.cells).kept}
    lines = []
    for one in sorted(held):
        found = json.loads(one) if one else {}
        lines.append(", ".join(f"{name}={value}" for name, value in found.items()))
    return [line for line in lines if line]

"""The frames of patched answers: rates, controls and the layer chosen on held-out items.

At the last layer the state that is put in is all that the answer is read from, so a choice between
symbols is the source's own: `uninformative` marks it, and no best layer is looked for there.
"""

import json
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.dali import frames
from analysis.layout.material import Material
from analysis.results import patched, patched_effects
from analysis.results.answers import Bools
from analysis.results.patched import (
    CONTROLS,
    EVERY,
    KINDS,
    MATCHED,
    PERMUTED,
    SAME_SYMBOL,
    SERIES,
    Patched,
)

PLACE = [*SERIES, "language"]
# Kinds of patch that need options with symbols.
SYMBOLIC = frozenset((PERMUTED, SAME_SYMBOL, "other_symbol"))
# By what a layer is chosen.
NET, BEYOND = "net correction", "beyond the same symbol"


class Group(NamedTuple):
    """The patches of one series by kind: of one language, or of all of them together."""

    place: dict[str, Any]
    kinds: dict[str, Patched]

    @property
    def clustered(self) -> bool:
        """Whether items come once for each of several languages."""
        return bool(self.place["language"] == EVERY)


def cells(material: Material) -> patched.Cells:
    """Every cell of patched answers."""
    found = patched.cells(material.rows.sources)
    kept = [one for one in found.kept if material.has((one.place["model"], one.place["revision"]))]
    return found._replace(kept=kept)


def groups(material: Material) -> list[Group]:
    """Each language of a series, and behind them all of its languages together."""
    series: dict[tuple[str, ...], dict[str, dict[str, Patched]]] = {}
    for one in material.get(cells).kept:
        place = tuple(one.place[name] for name in SERIES)
        languages = series.setdefault(place, {})
        languages.setdefault(one.place["language"], {})[one.place["intervention"]] = one
    found = []
    for place, languages in series.items():
        named = dict(zip(SERIES, place, strict=True))
        found += [
            Group({**named, "language": language}, _in_order(kinds))
            for language, kinds in languages.items()
        ]
        every = {
            kind: patched.together([kinds[kind] for kinds in languages.values() if kind in kinds])
            for kind in KINDS
            if any(kind in kinds for kinds in languages.values())
        }
        found.append(Group({**named, "language": EVERY}, every))
    return found


def depths(material: Material) -> dict[tuple[str, str], int]:
    """The number of layers of each model: by the record of a run, or its deepest alignment."""
    found = {
        (one.model, one.revision): int(one.layers.max()) for one in material.get(frames.cells).kept
    }
    for run in material.rows.runs:
        models = run.get("models")
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict) and isinstance(model.get("layers"), int):
                found[str(model.get("name")), str(model.get("revision", "main"))] = model["layers"]
    return found


def rates(material: Material) -> pd.DataFrame:
    """Correction, damage, net and shift by language, kind of patch and layer."""
    parts = []
    for group in material.get(groups):
        for kind, one in group.kinds.items():
            found = patched_effects.rates(one, clustered=group.clustered)
            found["uninformative"] = last(material, group, one)
            parts.append(found.assign(**group.place, intervention=kind))
    return _stacked(parts, [*PLACE, "intervention"])


def symbols(material: Material) -> pd.DataFrame:
    """With the options in another order: the right option against the symbol, by layer."""
    parts = []
    for group in material.get(groups):
        if PERMUTED in group.kinds:
            one = group.kinds[PERMUTED]
            found = patched_effects.symbols(one, clustered=group.clustered)
            marked = last(material, group, one)
            found["uninformative"] = found["layer"].isin(one.layers[marked])
            parts.append(found.assign(**group.place))
    return _stacked(parts, PLACE)


def contrasts(material: Material) -> pd.DataFrame:
    """The matched patch less each control on the same failures; p is adjusted over layers."""
    parts = []
    for group in material.get(groups):
        for control in CONTROLS:
            if MATCHED in group.kinds and control in group.kinds:
                one = group.kinds[MATCHED]
                other = group.kinds[control]
                found = patched_effects.against(one, other, clustered=group.clustered)
                found["uninformative"] = found["layer"].isin(one.layers[last(material, group, one)])
                parts.append(found.assign(**group.place, control=control))
    found = _stacked(parts, [*PLACE, "control"])
    return patched_effects.adjusted(found, [*PLACE, "control"]) if len(found) else found


def chosen(material: Material) -> pd.DataFrame:
    """By language and rule of choice, the layer chosen on half of the items and its effect on the
    others: by net correction, and by the difference from a patch with the same symbol."""
    rows = []
    for group in material.get(groups):
        if MATCHED not in group.kinds:
            continue
        one = group.kinds[MATCHED]
        counts = {"failures": int(one.failed.sum()), "successes": int(one.succeeded.sum())}
        counts["pivot_wrong_too"] = int(one.neither.sum())
        free = ~last(material, group, one)
        rows.append(group.place | counts | {"rule": NET} | patched_effects.held_out(one, free))
        if control := group.kinds.get(SAME_SYMBOL):
            found = patched_effects.held_out(one, free, control=control)
            rows.append(group.place | counts | {"rule": BEYOND} | found)
    return pd.DataFrame(rows)


def together(material: Material, *, make: str) -> pd.DataFrame:
    """The rows of all languages together of `rates`, `symbols`, `contrasts` or `chosen`."""
    found = material.get(FRAMES[make])
    return found[found["language"] == EVERY] if len(found) else found


def by_language(material: Material, *, make: str) -> pd.DataFrame:
    """The rows of single languages."""
    found = material.get(FRAMES[make])
    return found[found["language"] != EVERY] if len(found) else found


def last(material: Material, group: Group, one: Patched) -> Bools:
    """Which layers say nothing [L]: behind the last block, where the source alone is read.

    That is so of options with symbols, which some kinds of patch need; without those kinds it is
    seen by the matched patch, all of whose choices are then the pivot's own.
    """
    depth = material.get(depths).get((str(group.place["model"]), str(group.place["revision"])))
    site = json.loads(str(group.place["switches"])).get("patch_site", "resid_post")
    found: Bools = one.layers == depth
    if site != "resid_post" or not found.any():
        return np.zeros(len(one.layers), bool)
    if SYMBOLIC.isdisjoint(group.kinds) and MATCHED in group.kinds:
        matched = group.kinds[MATCHED]
        chosen = matched.predictions[:, matched.layers == depth]
        return found & bool((chosen == matched.pivot_clean[:, None]).all())
    return found


FRAMES = {"rates": rates, "symbols": symbols, "contrasts": contrasts, "chosen": chosen}
TOGETHER = {name: partial(together, make=name) for name in FRAMES}
SINGLE = {name: partial(by_language, make=name) for name in FRAMES}


def _in_order(kinds: dict[str, Patched]) -> dict[str, Patched]:
    """Kinds of patch in the order they are shown in."""
    return {kind: kinds[kind] for kind in KINDS if kind in kinds}


def _stacked(parts: list[pd.DataFrame], places: list[str]) -> pd.DataFrame:
    """The parts below each other, where they stand first."""
    if not parts:
        return pd.DataFrame()
    found = pd.concat(parts, ignore_index=True)
    return found[[*places, *(name for name in found.columns if name not in places)]]

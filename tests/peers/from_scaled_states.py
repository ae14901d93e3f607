"""Kinds of numbers of states while neurons are rescaled: cosines, and what a picture is of.

Formulas: CLAS, Figures 2, 4 and 8. Imports nothing of ours.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plain
from compared import EXACT, Compared, Run, kind
from from_neurons import Array, artifact, check
from from_scaled import NOTHING, answered, asked, rescaled, strength

# Shapes: N items, T tokens, D width

COMPARED, PICTURED = 200, 40


class States(NamedTuple):
    """Mean activations of prompts [N, D], and how far each may be off, as a length."""

    all_ND: Array
    off_N: Array

    def mean(self) -> "States":
        """Their mean, as one."""
        return States(self.all_ND.mean(axis=0)[None], self.off_N.mean(keepdims=True))

    @property
    def lengths(self) -> Array:
        """The lengths [N]."""
        return np.linalg.norm(self.all_ND, axis=1)


def states(
    model: plain.Plain, prompts: Sequence[str], layer: int, site: str, changed: plain.Change
) -> States:
    """Means over tokens of the stream behind a block, or in front of its down projection."""
    found, off = [], []
    with model.changed(changed):
        for prompt in prompts:
            read = model.read(model.ids(prompt))
            value_TD = (read.stream_TD if site == "resid" else read.product_TF)[layer].double()
            found.append(value_TD.mean(dim=0).numpy())
            off.append(changed.growth * model.relative * float(value_TD.norm(dim=1).mean()))
    return States(np.stack(found), np.array(off))


def together(each: Sequence[States]) -> States:
    """The means of the same prompts over layers."""
    return States(*(np.mean(column, axis=0) for column in zip(*each, strict=True)))


def cosine(one: States, other: States) -> tuple[float, float]:
    """The mean cosine of pairs, and how far it may be off."""
    lengths_N = one.lengths * other.lengths
    cosine_N = (one.all_ND * other.all_ND).sum(axis=1) / lengths_N
    # Two directions that lie a turned by d move their cosine by at most sin(a) d + d^2.
    turn_N = one.off_N / one.lengths + other.off_N / other.lengths
    off_N = np.sqrt(np.clip(1 - cosine_N**2, 0, None)) * turn_N + turn_N**2
    return float(cosine_N.mean()), float(off_N.mean()) + EXACT


def prompts(run: Run, row: Any, language: str, *, most: int) -> tuple[list[str], list[list[str]]]:
    """Ids of the first items not tuned on that a language shares with the anchor; their prompts in
    the language, and in the anchor."""
    there = set(answered(run, row, row.pivot))
    ids = [id for id in answered(run, row, language) if id in there][:most]
    sides = [asked(run, row, one) for one in (language, row.pivot)]
    return ids, [[side[id].context for id in ids] for side in sides]


@kind
def scaled_states(run: Run, compared: Compared) -> None:
    """Cosines of a language's mean activations with the anchor's, before and after."""
    for row in run.rows("scaled_states"):
        check(row.switches)
        where = (row.model, row.benchmark, row.language, row.layer, row.site)
        model, about = run.model(row.model), artifact(run, row.model).about
        ids, sides = prompts(run, row, row.language, most=COMPARED)
        own = strength(run, row, "clas", row.language)
        compared.same((*where, "n"), row.n, len(ids))
        compared.same((*where, "strength"), (row.shared, row.specific), own)
        changes = {"before": NOTHING, "after": rescaled(run, row.model, *own)}
        layers = [row.layer] if row.layer else about["bridge"]
        anchor = together([states(model, sides[1], one, row.site, NOTHING) for one in layers])
        for name, changed in changes.items():
            found = together([states(model, sides[0], one, row.site, changed) for one in layers])
            for column, value in (
                (name, cosine(found, anchor)),
                (f"{name}_of_means", cosine(found.mean(), anchor.mean())),
            ):
                compared.number((*where, column), getattr(row, column), value[0], allowed=value[1])


@kind
def scaled_points(run: Run, compared: Compared) -> None:
    """Silhouettes and distances of languages in the space that a picture is of."""
    pictures = {(row.key, row.state): row for row in run.rows("scaled_points")}
    for (key, state), row in pictures.items():
        model = run.model(row.model)
        layer = max(1, len(model.blocks) - 1)
        stored = {
            (one.side, one.item): one for one in run.rows("scaled_points", key=key, state=state)
        }
        found: dict[tuple[str, str], Array] = {}
        off: list[Array] = []
        languages = dict.fromkeys(side for side, _ in stored)
        for language in languages:
            if language == row.pivot:
                continue
            own = strength(run, row, "clas", language)
            changed = rescaled(run, row.model, *own) if state == "after" else NOTHING
            ids, sides = prompts(run, row, language, most=PICTURED)
            for side, texts, how in (
                (language, sides[0], changed), (row.pivot, sides[1], NOTHING)
            ):  # fmt: skip
                told = states(model, texts, layer, "resid", how)
                found |= {(side, id): vector for id, vector in zip(ids, told.all_ND, strict=True)}
                off.append(told.off_N / told.lengths)
            compared.same((key, language, "strength"), (row.shared, row.specific), own)
        compared.same((key, state, "prompts"), sorted(stored), sorted(found))
        _picture(compared, (row.benchmark, state), stored, found, 2 * float(np.max(off)), row.pivot)


def _picture(
    compared: Compared,
    where: tuple[Any, ...],
    stored: dict[tuple[str, str], Any],
    found: dict[tuple[str, str], Array],
    turn: float,
    pivot: str,
) -> None:
    """Compare how languages lie apart, by cosine distance; directions may be turned by `turn`."""
    unit_ND = np.stack([found[place] for place in stored])
    side_N = np.array([side for side, _ in stored])
    means = {side: unit_ND[side_N == side].mean(axis=0) for side in dict.fromkeys(side_N)}
    unit_ND = unit_ND / np.linalg.norm(unit_ND, axis=1, keepdims=True)
    distance_NN = 1 - unit_ND @ unit_ND.T

    def off(distance: float) -> float:
        return math.sqrt(max(0.0, 2 * distance)) * turn + turn**2 + EXACT

    for place, ((side, item), row) in enumerate(stored.items()):
        near = {
            other: distance_NN[place, side_N == other].sum() / (side_N == other).sum()
            for other in means
            if other != side
        }
        inside = distance_NN[place, side_N == side].sum() / ((side_N == side).sum() - 1)
        outside = min(near.values())
        largest = max(inside, outside)
        own = (outside - inside) / largest
        compared.number(
            (*where, side, item, "silhouette"),
            row.silhouette,
            own,
            allowed=4 * off(largest) / largest,
        )
        mean_D, pivot_D = means[side], means[pivot]
        away = 1 - mean_D @ pivot_D / (np.linalg.norm(mean_D) * np.linalg.norm(pivot_D))
        compared.number((*where, side, item, "distance"), row.distance, away, allowed=off(away))

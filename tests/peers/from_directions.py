"""Kinds of numbers of directions: what a matched patch changes, beside a steering vector.

A steering vector is the mean change from the language's state to the pivot's (arXiv 2505.13141,
section 5), here over the half of the items that an item is not in. Halves follow from the SHA-256
of ids, and are drawn again here. Imports nothing of ours.
"""

from collections.abc import Collection
from typing import NamedTuple

import items
import numpy as np
import plain
from compared import Compared, Run, kind
from from_alignment import Matrix
from from_models import uncut
from from_patching import Asked, asked

# Shapes: D width


class Change(NamedTuple):
    """What is added to one state to have another [D], how long the two are together, and how often
    that is as long as the change: that often rounding weighs as much in it as in a state."""

    change_D: Matrix
    states: float

    @property
    def size(self) -> float:
        """How long it is."""
        return float(np.linalg.norm(self.change_D))


def change(there_D: Matrix, here_D: Matrix) -> Change:
    """What leads from one state to another."""
    return Change(there_D - here_D, float(np.linalg.norm(there_D) + np.linalg.norm(here_D)))


def mean(changes: Collection[Change]) -> Change:
    """The mean of several."""
    states = [one.states for one in changes]
    return Change(np.mean([one.change_D for one in changes], axis=0), float(np.mean(states)))


def of_others(changes: dict[str, Change]) -> dict[str, Change]:
    """By item the mean change of the items of the other half: in the order of the digests of 0 and
    their ids, the first are one half, one fewer if their number is odd."""
    order = sorted(changes, key=lambda id: items.digest(0, id))
    middle = len(order) // 2
    halves = order[:middle], order[middle:]
    first, second = (mean([changes[id] for id in half]) for half in halves)
    return {**dict.fromkeys(halves[0], second), **dict.fromkeys(halves[1], first)}


@kind
def directions(run: Run, compared: Compared) -> None:
    """Cosines of what a matched patch changes with the steering vector of other items."""
    for rows in run.cells("directions"):
        one = rows[0]
        model, (own, pivot) = run.model(one.model), run.sides(one)
        cell = (one.model, one.benchmark, one.language)
        compared.same((*cell, "items"), sorted(row.item for row in rows), sorted(own))
        compared.same((*cell, "layers"), len({tuple(row.layers) for row in rows}), 1)
        sides = {
            id: (
                asked(model, pivot[id].context, question.options),
                asked(model, question.context, question.options),
            )
            for id, question in own.items()
        }
        layers = {int(layer) for row in rows for layer in row.layers}
        changes = {layer: _changes(model, sides, layer) for layer in sorted(layers)}
        vectors = {layer: of_others(found) for layer, found in changes.items()}
        for row in rows:
            if row.item not in own:  # which `items` says
                continue
            where = (*cell, row.item)
            uncut(compared, where, row, model, max(side.longest for side in sides[row.item]))
            compared.same((*where, "cosines"), len(row.cosines), len(row.layers))
            for layer, stored in zip(row.layers, row.cosines, strict=False):
                ends = changes[layer][row.item], vectors[layer][row.item]
                _cosine(compared, (*where, int(layer)), stored, ends, model.relative)


def _changes(
    model: plain.Plain, sides: dict[str, tuple[Asked, Asked]], layer: int
) -> dict[str, Change]:
    """By item what leads from the state of the question's last token behind a block to that of the
    pivot's, one forward pass each."""
    return {
        id: change(*(model.read(side.ids).stream_TD[layer][-1].double().numpy() for side in both))
        for id, both in sides.items()
    }


def _cosine(
    compared: Compared,
    where: tuple[object, ...],
    stored: float,
    ends: tuple[Change, Change],
    relative: float,
) -> None:
    """Compare a cosine of two changes, unless one of them is no more than rounding."""
    off = [relative * one.states for one in ends]
    if any(one.size <= each for one, each in zip(ends, off, strict=True)):
        compared.undecided += 1
        return
    patch, vector = ends
    cosine = float(patch.change_D @ vector.change_D) / (patch.size * vector.size)
    allowed = off[0] / patch.size + off[1] / vector.size
    compared.number(where, stored, cosine, allowed=allowed)

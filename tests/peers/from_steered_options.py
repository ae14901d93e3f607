"""Kinds of numbers of steered options: DALI's margins with a steering vector added to every text.

The vector is that of other items, as from_directions.py makes it of the states of their options'
texts. One hooked pass of every text. Imports nothing of ours.
"""

from functools import cache
from typing import Any

import items
import numpy as np
import plain
import torch
from compared import Compared, Run, kind
from from_alignment import Matrix
from from_directions import Change, change, mean, of_others
from from_models import said, uncut
from from_option_alignment import Vectors, cosines, crossed, dali, listed, texts, units, vectors

# Shapes: J options, D width

Sides = dict[str, items.Question]


@cache
def state(model: plain.Plain, text: str, layer: int, pooling: str) -> Matrix:
    """What leaves a block, pooled over a text [D]."""
    return plain.pooled(model.read(model.ids(text)).stream_TD[layer], pooling)


@cache
def pushed(model: plain.Plain, text: str, layer: int, pooling: str, added: bytes) -> Vectors:
    """A text's vectors with another, [D] in fp32, added to what leaves a block: at the last token
    where that one alone is read, else at all of them."""
    vector_D = torch.frombuffer(bytearray(added), dtype=torch.float32)
    position = -1 if pooling == "last" else slice(None)
    with model.pushed(layer, vector_D=vector_D, position=position):
        return units(model, text, pooling)


def steering(
    model: plain.Plain, own: Sides, pivot: Sides, layer: int, pooling: str
) -> dict[str, Change]:
    """By item the steering vector: every other item counts alike, whatever its options."""

    def states(question: items.Question) -> list[Matrix]:
        return [state(model, text, layer, pooling) for text in texts(question)]

    return of_others({
        id: mean([change(*pair) for pair in zip(states(pivot[id]), states(own[id]), strict=True)])
        for id in own
    })  # fmt: skip


@kind
def steered_options(run: Run, compared: Compared) -> None:
    """Margins of DALI, plain and steered, by item from the steered layer on."""
    for rows in run.cells("steered_options"):
        one = rows[0]
        model, (own, pivot) = run.model(one.model), run.sides(one)
        cell = (one.model, one.benchmark, one.language, int(one.layer), one.coefficient)
        compared.same((*cell, "items"), sorted(row.item for row in rows), sorted(own))
        pooling = said(one.switches, "dali_pool", others={"xcopa_connectors"})
        layers = {int(row.layer) for row in rows}
        made = {layer: steering(model, own, pivot, layer, pooling) for layer in layers}
        for row in rows:
            if row.item not in own:  # which `items` says
                continue
            where, layer = (*cell, row.item), int(row.layer)
            question, there = own[row.item], pivot[row.item]
            _facts(compared, where, row, model, (question, there))
            plainly = cosines(model, texts(there), texts(question), pooling)[layer:]
            allowed = 4 * model.relative  # a difference of two cosines, of two vectors each
            listed(compared, (*where, "plain"), row.plain, list(map(dali, plainly)), allowed)
            vector = made[layer][row.item]
            added_D = (row.coefficient * vector.change_D).astype(np.float32)
            moved = crossed(
                [vectors(model, text, pooling) for text in texts(there)],
                [
                    pushed(model, text, layer, pooling, added_D.tobytes())
                    for text in texts(question)
                ],
            )[layer:]
            # Of a sum that is shorter than what is added up, rounding is a larger share.
            before = [state(model, text, layer, pooling) for text in texts(question)]
            times = max(
                (np.linalg.norm(state_D) + abs(row.coefficient) * vector.states)
                / np.linalg.norm(state_D + added_D)
                for state_D in before
            )
            allowed = 2 * model.relative * (1 + float(times))
            listed(compared, (*where, "steered"), row.steered, list(map(dali, moved)), allowed)


def _facts(
    compared: Compared,
    where: tuple[Any, ...],
    row: Any,
    model: plain.Plain,
    sides: tuple[items.Question, items.Question],
) -> None:
    """Compare what is known of a row before any state is read."""
    last = len(model.blocks)
    compared.same((*where, "layers"), list(row.layers), list(range(int(row.layer), last + 1)))
    compared.same((*where, "options"), row.options, len(sides[0].options))
    longest = max(len(model.ids(text)) for side in sides for text in texts(side))
    uncut(compared, where, row, model, longest)

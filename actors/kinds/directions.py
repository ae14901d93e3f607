"""Cells of directions: what matched patches change beside the steering vectors of other items."""

from collections.abc import Iterator

import torch
from torch import Tensor

from actors.answer import Found
from actors.kinds.patching import states_of
from actors.kinds.resources import Resources
from actors.measures.halves import halves, mean_of_others
from actors.model import LoadedModel
from studies.kinds.directions import DirectionGrid
from studies.patch_items import PatchSet
from studies.spec import Cell, Row
from studies.unit import Unit

# Shapes: I items, D width


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per item of every cell."""
    assert isinstance(unit.grid, DirectionGrid)
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, PatchSet)
        layers = unit.grid.layers_of(loaded.facts)
        found = rows_of(loaded, asked, layers=layers, cut=unit.allow_truncation)
        rows += [(cell, {**row, "prompt": asked.prompt}) for row in found]
    return Found(rows)


def rows_of(
    loaded: LoadedModel, asked: PatchSet, *, layers: tuple[int, ...], cut: bool
) -> Iterator[Row]:
    """Every item's cosines, by layer.

    Args:
        loaded: the model.
        asked: the questions; their matched sources are those of the pivot.
        layers: whose output is read, 1..L.
        cut: whether questions that are too long are cut, from the left.
    """
    ((_, matched),) = asked.sources
    own = [None] * len(asked.asked.items)
    there, here = (
        states_of(loaded, asked.asked, side, "resid_post", layers, cut=cut)
        for side in (matched, own)
    )
    first_I = halves([item.id for item in asked.asked.items])
    cosines = [
        _along(there.states[layer].double() - here.states[layer].double(), first_I)
        for layer in layers
    ]
    for place, item in enumerate(asked.asked.items):
        yield {
            "item": item.id,
            "layers": list(layers),
            "cosines": [float(one[place]) for one in cosines],
            "truncated": there.cut[place] or here.cut[place],
        }


def _along(change_ID: Tensor, first_I: Tensor) -> Tensor:
    """The cosine [I] of every change with the mean change of the other half; NaN of a zero one."""
    vector_ID = mean_of_others(change_ID, first_I)
    lengths_I = change_ID.norm(dim=1) * vector_ID.norm(dim=1)
    return torch.where(lengths_I > 0, (change_ID * vector_ID).sum(dim=1) / lengths_I, torch.nan)

"""Cells of steered options: DALI's margins with a steering vector added at the end of every text.

The vectors are made of all texts first; then the items are read a few at a time, plain and once
for every layer and coefficient.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading
from actors.intervention.setting import Intervention
from actors.kinds.option_alignment import Side, groups_of, readings_of, side_of
from actors.kinds.resources import Resources
from actors.measures import options
from actors.measures.halves import halves, mean_of_others
from actors.model import LoadedModel
from studies.kinds.steered_options import SteeredOptionGrid
from studies.option_texts import OptionItem, OptionTexts
from studies.spec import Cell, Pooling, Row
from studies.unit import Unit

# Shapes: I items, J options, L layers, D width


class _Asked(NamedTuple):
    """What the rows of one language are computed from: its vectors [I, D] by layer among it."""

    vectors: dict[int, Tensor]
    pooling: Pooling
    cut: bool


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per item of every cell."""
    assert isinstance(unit.grid, SteeredOptionGrid)
    embedding = unit.grid.embedding
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        asked = part.content
        assert isinstance(asked, OptionTexts)
        layers = sorted({cell.layer for cell in part.cells if cell.layer is not None})
        made = _Asked(
            _vectors(loaded, asked, layers, pooling=embedding.dali_pool, cut=unit.allow_truncation),
            embedding.dali_pool,
            unit.allow_truncation,
        )
        shared = {"prompt": asked.prompt, "switches": embedding.text()}
        for group in groups_of(asked.items):
            found = _rows(loaded, part.cells, asked, group, made)
            rows += [(cell, {**row, **shared}) for cell, row in found]
    return Found(rows)


def _vectors(
    loaded: LoadedModel, asked: OptionTexts, layers: list[int], *, pooling: Pooling, cut: bool
) -> dict[int, Tensor]:
    """By layer the steering vector [I, D] of every item, made of the half that it is not in.

    Items count alike, whatever their number of options.
    """
    readings = [
        Reading(site="resid_post", state="raw", pooling=pooling, layer=layer) for layer in layers
    ]
    order: list[int] = []
    parts: list[Tensor] = []
    for group in groups_of(asked.items):
        own, there = _sides(loaded, [asked.items[place] for place in group], readings, cut=cut)
        parts.append((there.states_IJLD.double() - own.states_IJLD.double()).mean(dim=1))
        order += group
    changes_ILD = torch.cat(parts)[torch.tensor(order).argsort()]
    first_I = halves([item.id for item in asked.items])
    return {
        layer: mean_of_others(changes_ILD[:, place], first_I).float()
        for place, layer in enumerate(layers)
    }


def _sides(
    loaded: LoadedModel, items: Sequence[OptionItem], readings: Sequence[Reading], *, cut: bool
) -> tuple[Side, Side]:
    """The texts of some items in their language and in the pivot."""
    own, there = (
        side_of(loaded, texts, items, readings, cut=cut)
        for texts in ([item.texts for item in items], [item.pivot_texts for item in items])
    )
    return own, there


def _rows(
    loaded: LoadedModel,
    cells: tuple[Cell, ...],
    asked: OptionTexts,
    group: list[int],
    made: _Asked,
) -> Iterator[tuple[Cell, Row]]:
    """The rows of some items: plain margins, and those of every layer and coefficient."""
    readings = readings_of(loaded.facts.layers, pooling=made.pooling)
    items = [asked.items[place] for place in group]
    own, there = _sides(loaded, items, readings, cut=made.cut)
    plain = _margins(own, there)
    for cell in cells:
        assert cell.layer is not None and cell.coefficient is not None
        read = readings[cell.layer :]
        vectors_ID = made.vectors[cell.layer][group]
        intervention = Intervention(
            site="resid_post",
            layer=cell.layer,
            operation="add",
            vector=vectors_ID.repeat_interleave(len(items[0].texts), dim=0),
            coefficient=cell.coefficient,
            where="last" if made.pooling == "last" else "all",
        )
        texts = [item.texts for item in items]
        changed = side_of(loaded, texts, items, read, cut=made.cut, setting=(intervention,))
        steered = _margins(
            changed, there._replace(states_IJLD=there.states_IJLD[:, :, cell.layer :])
        )
        for line, item in enumerate(items):
            yield (
                cell,
                {
                    "item": item.id,
                    "options": len(item.texts),
                    "layers": [reading.layer for reading in read],
                    "plain": plain[line][cell.layer :],
                    "steered": steered[line],
                    "truncated": own.cut[line] or there.cut[line],
                },
            )


def _margins(own: Side, there: Side) -> list[list[float]]:
    """The margin of DALI of every item [I], by layer [L]."""
    margins_LI = [
        options.dali(options.cosines(there.states_IJLD[:, :, place], own.states_IJLD[:, :, place]))
        for place in range(own.states_IJLD.shape[2])
    ]
    return torch.stack(margins_LI, dim=1).tolist()

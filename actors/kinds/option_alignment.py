"""Cells of option alignment: every option's text of an item, in a language and in the pivot.

Texts are read a few items at a time, and of their states only margins are kept (measures/
options.py). The likeliest wrong options are those of the model's own answers to the questions.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.intervention.setting import Setting
from actors.kinds.resources import Resources
from actors.measures import options
from actors.model import LoadedModel
from actors.prediction.score import score
from studies.draws import ordered
from studies.kinds.option_alignment import OptionGrid
from studies.option_texts import OptionItem, OptionTexts
from studies.spec import Cell, Pooling, Row
from studies.unit import Unit

# Shapes: I items, J options, L layers, D width

# Items whose states are held at a time; the control of mismatched items pairs within them.
ITEMS_AT_ONCE = 16


class Side(NamedTuple):
    """One side of some items: states [I, J, L, D], tokens with each option [I, J], and cuts."""

    states_IJLD: Tensor
    tokens: list[list[int]]
    cut: list[bool]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per item of every cell."""
    assert isinstance(unit.grid, OptionGrid)
    pooling = unit.grid.embedding.dali_pool
    switches = unit.grid.embedding.text()
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, OptionTexts)
        found = rows_of(loaded, asked, pooling=pooling, cut=unit.allow_truncation)
        rows += [(cell, {**row, "prompt": asked.prompt, "switches": switches}) for row in found]
    return Found(rows)


def rows_of(
    loaded: LoadedModel, asked: OptionTexts, *, pooling: Pooling, cut: bool
) -> Iterator[Row]:
    """Every item's margins, by layer.

    Args:
        loaded: the model.
        asked: the items.
        pooling: how a text's states become one vector.
        cut: whether texts that are too long are cut, from the right.
    """
    readings = readings_of(loaded.facts.layers, pooling=pooling)
    premises = _premises(loaded, asked, readings, cut=cut)
    likeliest, shortened = _likeliest(loaded, asked, cut=cut)
    for group in groups_of(asked.items):
        items = [asked.items[place] for place in group]
        own, there = (
            side_of(loaded, side, items, readings, cut=cut)
            for side in ([item.texts for item in items], [item.pivot_texts for item in items])
        )
        margins = _margins(own, there, items, [likeliest[place] for place in group])
        for line, place in enumerate(group):
            item = asked.items[place]
            yield {
                "item": item.id,
                "gold": item.gold,
                "options": len(item.texts),
                "layers": [reading.layer for reading in readings],
                **{name: values[line] for name, values in margins.items()},
                "mexa": premises[place],
                "tokens": own.tokens[line][item.gold],
                "pivot_tokens": there.tokens[line][item.gold],
                "gold_longer": _longer(own.tokens[line], item.gold),
                "truncated": own.cut[line] or there.cut[line] or item.id in shortened,
            }


def readings_of(last: int, *, pooling: Pooling) -> list[Reading]:
    """The residual stream after the embeddings and every block, the last behind the final norm."""
    found = [
        Reading(site="resid_post", state="raw", pooling=pooling, layer=layer)
        for layer in range(last)
    ]
    return [*found, Reading(site="final_norm", state="raw", pooling=pooling, layer=last)]


def groups_of(items: Sequence[OptionItem]) -> Iterator[list[int]]:
    """Places of items with as many options, a few at a time; one that is left joins the others."""
    by_count: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        by_count.setdefault(len(item.texts), []).append(place)
    for places in by_count.values():
        groups = [
            places[first : first + ITEMS_AT_ONCE] for first in range(0, len(places), ITEMS_AT_ONCE)
        ]
        if len(groups) > 1 and len(groups[-1]) == 1:
            alone = groups.pop()
            groups[-1] += alone
        yield from groups


def side_of(
    loaded: LoadedModel,
    texts: Sequence[Sequence[str]],
    items: Sequence[OptionItem],
    readings: Sequence[Reading],
    *,
    cut: bool,
    setting: Setting = (),
) -> Side:
    """The states of every option's text of some items, under interventions if any are given."""
    flat = [text for own in texts for text in own]
    whole = loaded.prompts(flat, chat=None)
    names = [f"item {item.id!r} with option {j}" for item in items for j in range(len(texts[0]))]
    encoded = loaded.encode(flat, allow_truncation=cut, names=names).sequences
    captured = capture(loaded, encoded, readings, setting=setting)
    states_NLD = torch.stack([captured.at(reading) for reading in readings], dim=1)
    count = len(texts[0])
    lengths = [len(ids) - len(loaded.prefix) for ids in whole]
    shorter = [len(ids) < len(all_) for ids, all_ in zip(encoded, whole, strict=True)]
    return Side(
        states_NLD.view(len(texts), count, *states_NLD.shape[1:]),
        [lengths[place * count : (place + 1) * count] for place in range(len(texts))],
        [any(shorter[place * count : (place + 1) * count]) for place in range(len(texts))],
    )


def _longer(tokens: Sequence[int], gold: int) -> float:
    """Tokens with the right option less the mean of those with a wrong one."""
    wrong = [count for place, count in enumerate(tokens) if place != gold]
    return tokens[gold] - sum(wrong) / len(wrong)


def _margins(
    own: Side, there: Side, items: Sequence[OptionItem], likeliest: Sequence[Sequence[int]]
) -> dict[str, list[list[float]]]:
    """By column, of every item its margin in every layer."""
    gold_I = torch.tensor([item.gold for item in items])
    count = len(items[0].texts)
    turned = torch.tensor([_turned(item, count) for item in items])
    found: dict[str, list[list[float]]] = {name: [[] for _ in items] for name in COLUMNS}
    for layer in range(own.states_IJLD.shape[2]):
        own_IJD, there_IJD = own.states_IJLD[:, :, layer], there.states_IJLD[:, :, layer]
        cross_IJJ = options.cosines(there_IJD, own_IJD)
        pivot_IJJ = options.cosines(there_IJD, there_IJD)
        own_IJJ = options.cosines(own_IJD, own_IJD)
        margins = {
            "dali": options.dali(cross_IJJ),
            "local": options.local(cross_IJJ),
            "gold_only": options.gold_only(cross_IJJ, gold_I),
            "strong": options.strong(cross_IJJ, pivot_IJJ, own_IJJ),
            "permuted": options.dali(
                cross_IJJ.gather(2, turned.unsqueeze(1).expand(-1, count, -1))
            ),
        }
        if len(items) > 1:  # half-way off, as neighbours may share their passage
            others_IJD = own_IJD.roll(-(len(items) // 2), dims=0)
            margins["mismatched"] = options.dali(options.cosines(there_IJD, others_IJD))
        for kept in (2, 3):
            if count > kept:
                chosen = [sorted(one[:kept]) for one in likeliest]
                three = [options.picked(one, chosen) for one in (cross_IJJ, pivot_IJJ, own_IJJ)]
                margins[f"dali_{kept}"] = options.dali(three[0])
                margins[f"strong_{kept}"] = options.strong(*three)
        for name, margin_I in margins.items():
            for line, margin in enumerate(margin_I.tolist()):
                found[name][line].append(margin)
    return found


COLUMNS = (
    *("dali", "local", "gold_only", "strong", "permuted", "mismatched"),
    *("dali_2", "strong_2", "dali_3", "strong_3"),
)


def _turned(item: OptionItem, count: int) -> list[int]:
    """An order of the options in which none keeps its place, drawn by the item's id."""
    names = ordered([f"{item.id} {place}" for place in range(count)], seed=0)
    order = [int(name.rpartition(" ")[2]) for name in names]
    turned = [0] * count
    for place, following in zip(order, [*order[1:], order[0]], strict=True):
        turned[place] = following
    return turned


def _premises(
    loaded: LoadedModel,
    asked: OptionTexts,
    readings: Sequence[Reading],
    *,
    cut: bool,
) -> list[list[float]]:
    """MEXA's margin of every item's question, by layer; none for a single item."""
    if len(asked.items) < 2:
        return [[] for _ in asked.items]
    names = [f"the question of item {item.id!r}" for item in asked.items]
    own, there = (
        loaded.encode(side, allow_truncation=cut, names=names).sequences
        for side in (
            [item.premise for item in asked.items],
            [item.pivot_premise for item in asked.items],
        )
    )
    pivots, languages = capture(loaded, there, readings), capture(loaded, own, readings)
    by_layer = [options.mexa(pivots.at(one), languages.at(one)).tolist() for one in readings]
    return [list(values) for values in zip(*by_layer, strict=True)]


def _likeliest(
    loaded: LoadedModel, asked: OptionTexts, *, cut: bool
) -> tuple[list[list[int]], set[str]]:
    """Of every item the right option, then the wrong ones from the likeliest on, and the items
    whose question was cut; where no item has more than two options, none is asked."""
    if max(len(item.texts) for item in asked.items) <= 2:
        return [[item.gold, 1 - item.gold] for item in asked.items], set()
    answers = score(
        loaded,
        asked.asked.items,
        normalise=asked.asked.normalise,
        allow_truncation=cut,
        variants=asked.asked.variants,
    )
    found = {item.id: answer for item, answer in zip(asked.asked.items, answers, strict=True)}
    likeliest = [
        [
            item.gold,
            *sorted(
                (place for place in range(len(item.texts)) if place != item.gold),
                key=lambda place, own=found[item.id].scores: -own[place],  # type: ignore[misc]
            ),
        ]
        for item in asked.items
    ]
    return likeliest, {id for id, answer in found.items() if answer.truncated}

"""Cells of patched answers: states of source prompts replace that of a question's last token.

A setting puts one kind of state in at one layer; all settings of a language are one sweep, which
runs every prompt once and branches at its last token (sweeping/last_token.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.intervention.setting import Intervention, Setting
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import Choice, EncodedItem, ask, choose
from actors.structure.sites import SiteName
from actors.sweeping.sweep import sweep
from studies.kinds.patching import PatchGrid
from studies.patch_items import PatchSet, PatchSource
from studies.spec import Cell, Row, digest
from studies.texts import ChoiceItem, ChoiceSet
from studies.unit import Part, Unit

# Shapes: P prompts, D width of the site

# States are held of this many items, for every layer and kind of patch.
ITEMS_AT_ONCE = 64


class PutIn(NamedTuple):
    """By layer the states [P, D] that are put in, and which of their prompts were cut."""

    states: dict[int, Tensor]
    cut: list[bool]


class _Answers(NamedTuple):
    """The choices of some questions, and which contexts were cut."""

    choices: list[Choice]
    cut: list[bool]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per item of every cell."""
    assert isinstance(unit.grid, PatchGrid)
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        rows += _language(loaded, part, unit.grid, cut=unit.allow_truncation)
    return Found(rows)


def _language(
    loaded: LoadedModel, part: Part, grid: PatchGrid, *, cut: bool
) -> Iterator[tuple[Cell, Row]]:
    """The rows of one language, some items at a time: what is put in is held for each of them."""
    asked = part.content
    assert isinstance(asked, PatchSet)
    for first in range(0, len(asked.asked.items), ITEMS_AT_ONCE):
        yield from _some(loaded, part, asked, grid, slice(first, first + ITEMS_AT_ONCE), cut=cut)


def _some(
    loaded: LoadedModel, part: Part, asked: PatchSet, grid: PatchGrid, which: slice, *, cut: bool
) -> Iterator[tuple[Cell, Row]]:
    """The rows of some items: their plain answers, and all patches in one sweep."""
    layers = grid.layers_of(loaded.facts)
    site, at = _where(grid.patching.patch_site, layers)
    own = replace(asked.asked, items=asked.asked.items[which])
    sources: dict[str, Sequence[PatchSource | None]] = {
        name: given[which] for name, given in asked.sources
    }
    put_in = _put_in(loaded, part, own, sources, site, at, seed=grid.seed, cut=cut)
    settings: list[Setting] = [()]
    for cell in part.cells:
        states = put_in[str(cell.intervention)].states
        settings += [(_patch(site, layer, states[layer]),) for layer in at]
    entries = _ask(loaded, own, cut=cut)
    swept = sweep(loaded, [entry.question for entry in entries], settings)
    clean, *patched = (_choices(own, logs) for logs in swept)
    there = replace(asked.pivot_asked, items=asked.pivot_asked.items[which])
    pivot = _plain(loaded, there, cut=cut)
    for turn, cell in enumerate(part.cells):
        by_layer = patched[turn * len(at) : (turn + 1) * len(at)]
        given = sources.get(str(cell.intervention))
        short = put_in[str(cell.intervention)].cut
        for place, item in enumerate(own.items):
            source = given[place] if given else None
            if given and source is None:
                continue
            yield (
                cell,
                {
                    "item": item.id,
                    "gold": item.gold,
                    "source_item": source and source.item,
                    "source_gold": source and source.gold,
                    "clean": clean[place].prediction,
                    "clean_margin": margin(clean[place], item.gold),
                    "pivot_clean": pivot.choices[place].prediction,
                    "pivot_clean_margin": margin(pivot.choices[place], item.gold),
                    "layers": list(layers),
                    "predictions": [one[place].prediction for one in by_layer],
                    "margins": [margin(one[place], item.gold) for one in by_layer],
                    "prompt": asked.prompt,
                    "truncated": entries[place].truncated or pivot.cut[place] or short[place],
                    "switches": grid.patching.text(),
                },
            )


def _where(patch_site: str, layers: Sequence[int]) -> tuple[SiteName, tuple[int, ...]]:
    """The site of this name, and its layers; in front of a block is behind the one before."""
    if patch_site == "resid_pre":
        return "resid_post", tuple(layer - 1 for layer in layers)
    sites: dict[str, SiteName] = {
        "resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "attn_out",
    }  # fmt: skip
    return sites[patch_site], tuple(layers)


def _put_in(
    loaded: LoadedModel,
    part: Part,
    asked: ChoiceSet,
    sources: Mapping[str, Sequence[PatchSource | None]],
    site: SiteName,
    layers: Sequence[int],
    *,
    seed: int,
    cut: bool,
) -> dict[str, PutIn]:
    """By kind of patch what is put in."""
    wanted = {str(cell.intervention) for cell in part.cells}
    read = wanted | {"matched"} if "noise" in wanted else wanted
    states = {
        name: states_of(loaded, asked, given, site, layers, cut=cut)
        for name, given in sources.items()
        if name in read
    }
    if "noise" in wanted:
        states["noise"] = _noise(
            states["matched"], ids=[item.id for item in asked.items], seed=seed
        )
    return states


def margin(choice: Choice, gold: int) -> float:
    """The right option's score minus that of the likeliest wrong one."""
    wrong = max(score for place, score in enumerate(choice.scores) if place != gold)
    return choice.scores[gold] - wrong


def _patch(site: SiteName, layer: int, vector_PD: Tensor) -> Intervention:
    """A state for every prompt, at its last token."""
    return Intervention(site=site, layer=layer, operation="replace", vector=vector_PD, where="last")


def states_of(
    loaded: LoadedModel,
    asked: ChoiceSet,
    sources: Sequence[PatchSource | None],
    site: SiteName,
    layers: Sequence[int],
    *,
    cut: bool,
) -> PutIn:
    """The state of every source's last token; where an item has no source, its own, which changes
    nothing and is not reported."""
    contexts = [
        item.context if source is None else source.context
        for item, source in zip(asked.items, sources, strict=True)
    ]
    # As the question itself is read: with the same options behind, and cut from the left.
    asking = [
        ChoiceItem(id=item.id, context=context, options=item.options, gold=0)
        for item, context in zip(asked.items, contexts, strict=True)
    ]
    entries = _ask(loaded, replace(asked, items=tuple(asking)), cut=cut)
    readings = {
        layer: Reading(site=site, state="raw", pooling="last", layer=layer) for layer in layers
    }
    prompts = [entry.question.prompt for entry in entries]
    captured = capture(loaded, prompts, readings.values())
    states = {layer: captured.at(reading) for layer, reading in readings.items()}
    return PutIn(states, [entry.truncated for entry in entries])


def _noise(matched: PutIn, *, ids: Sequence[str], seed: int) -> PutIn:
    """Random directions, each as long as the matched state that it stands for, drawn by the item's
    id, so that other items change nothing for it."""
    width = next(iter(matched.states.values())).shape[1]
    seeds = [int(digest([seed, id])[:15], 16) for id in ids]
    found = {}
    for layer, state_PD in matched.states.items():
        drawn = [
            torch.randn(width, generator=torch.Generator().manual_seed(one + layer)).double()
            for one in seeds
        ]
        random_PD = torch.stack(drawn)
        length_P1 = state_PD.double().norm(dim=1, keepdim=True)
        found[layer] = (random_PD * length_P1 / random_PD.norm(dim=1, keepdim=True)).float()
    return matched._replace(states=found)


def _ask(loaded: LoadedModel, asked: ChoiceSet, *, cut: bool) -> list[EncodedItem]:
    """Every question up to where its options differ by more than white space.

    A tokenizer that makes a token of its own of the space in " 0" would else have the digit read
    behind that token, and not behind the one whose state is replaced.
    """
    return [
        entry._replace(question=_with_space(loaded, entry.question))
        for entry in ask(loaded, asked.items, chat=asked.chat, allow_truncation=cut)
    ]


def _with_space(loaded: LoadedModel, question: Question) -> Question:
    """The question with the white space that its options begin with, where that is a token."""
    prompt, options = question
    while min(map(len, options)) > 1 and len({option[0] for option in options}) == 1:
        if loaded.tokenizer.decode([options[0][0]]).strip():
            break
        prompt = (*prompt, options[0][0])
        options = tuple(option[1:] for option in options)
    return Question(prompt, options)


def _plain(loaded: LoadedModel, asked: ChoiceSet, *, cut: bool) -> _Answers:
    """The plain model's answers."""
    entries = _ask(loaded, asked, cut=cut)
    (logs,) = sweep(loaded, [entry.question for entry in entries], [()])
    return _Answers(_choices(asked, logs), [entry.truncated for entry in entries])


def _choices(asked: ChoiceSet, logs: Sequence[Sequence[Sequence[float]]]) -> list[Choice]:
    """Choices from the log-probabilities of every item's options."""
    return [
        choose(item, own, normalise=asked.normalise, variants=asked.variants)
        for item, own in zip(asked.items, logs, strict=True)
    ]

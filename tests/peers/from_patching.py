"""Kinds of numbers of patched answers: a question with another prompt's state at its last token.

One pass of the whole text for every patch, with a hook that puts the state in. How sources and
directions are drawn follows from ids and the seed, and is written out here. Imports nothing of
ours.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import items
import pandas as pd
import plain
import torch
from compared import Compared, Run, kind
from from_models import said, uncut
from torch import Tensor

# Shapes: B rows, T tokens, D width

# The columns of a row's options, and that of the right one, from 1.
OPTIONS = {
    "belebele": (tuple(f"mc_answer{k}" for k in range(1, 5)), "correct_answer_num"),
    "xstorycloze": (("sentence_quiz1", "sentence_quiz2"), "answer_right_ending"),
}
# Those that a seed draws.
DRAWN = ("same_symbol", "other_symbol", "own_language", "noise")


class Asked(NamedTuple):
    """A question's tokens, those of each option behind them, and how many there are at most."""

    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    longest: int


class Patch(NamedTuple):
    """The state at the last of some tokens, at a site of a layer; with `noise`, a direction of that
    seed as long as that state."""

    site: str
    layer: int
    ids: tuple[int, ...]
    noise: int | None


class Answer(NamedTuple):
    """The scores of a question's options, and how far each may be off."""

    scores: tuple[float, ...]
    off: float


class Source(NamedTuple):
    """The item whose question is read, and the question."""

    item: str
    question: items.Question


@cache
def asked(model: plain.Plain, context: str, options: tuple[str, ...]) -> Asked:
    """A question up to where its options differ: a space that all begin with and that is a token of
    its own is the question's last one."""
    joined = [model.joined(context, option) for option in options]
    ids, start = joined[0]
    prompt, ends = ids[:start], [whole[start:] for whole, _ in joined]
    while all(len(end) > 1 and end[0] == ends[0][0] for end in ends) and model.blank(ends[0][0]):
        prompt, ends = [*prompt, ends[0][0]], [end[1:] for end in ends]
    longest = max(len(whole) for whole, _ in joined)
    return Asked(tuple(prompt), tuple(map(tuple, ends)), longest)


@contextmanager
def passing(
    model: plain.Plain, site: str, layer: int, change: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Change what passes a site of a block [B, T, D]."""

    def before(module: object, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(given[0]), *given[1:])

    def behind(module: object, given: object, out: Any) -> Any:
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    block = model.blocks[layer - 1]
    normed = hasattr(block, "post_feedforward_layernorm")  # what is added to the stream, as Gemma2
    modules = {
        "resid_post": block,
        "mlp_out": block.post_feedforward_layernorm if normed else block.mlp,
        "attn_out": block.post_attention_layernorm if normed else block.self_attn,
    }
    if site == "resid_pre":
        handle = block.register_forward_pre_hook(before)
    else:
        handle = modules[site].register_forward_hook(behind)
    with model.hooked([handle]):
        yield


@cache
def state(model: plain.Plain, patch: Patch) -> Tensor:
    """The state [D] that a patch puts in."""
    found: list[Tensor] = []

    def keep(value_BTD: Tensor) -> Tensor:
        found.append(value_BTD[0, -1].clone())
        return value_BTD

    with passing(model, patch.site, patch.layer, keep):
        model.logits(patch.ids)
    if patch.noise is None:
        return found[0]
    generator = torch.Generator().manual_seed(patch.noise)
    drawn_D = torch.randn(len(found[0]), generator=generator).double()
    state_D: Tensor = drawn_D * found[0].double().norm() / drawn_D.norm()
    return state_D.float()


@cache
def answer(model: plain.Plain, question: Asked, patch: Patch | None) -> Answer:
    """The options scored, with a state put in at the question's last token."""
    changed: AbstractContextManager[None] = nullcontext()
    if patch is not None:
        state_D, place = state(model, patch), len(question.ids) - 1

        def put(value_BTD: Tensor) -> Tensor:
            value_BTD = value_BTD.clone()
            value_BTD[:, place] = state_D
            return value_BTD

        changed = passing(model, patch.site, patch.layer, put)
    # An option's last token is only predicted, so that options of one token share a pass.
    with changed:
        passes = {
            end: model.logits(question.ids + end) for end in {one[:-1] for one in question.options}
        }
    scores, off = [], 0.0
    for option in question.options:
        logits_TV = passes[option[:-1]]
        scores.append(plain.summed(logits_TV, question.ids + option, len(question.ids)))
        off = max(off, model.allowed(logits_TV, tokens=len(option)))
    # A state that is put in has been rounded once before.
    return Answer(tuple(scores), off * (1 if patch is None else 2))


def turned(benchmark: str, id: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row whose options begin with another one, which the digest of its id says, and end with
    those before that."""
    columns, right = OPTIONS[benchmark]
    count = len(columns)
    places = 1 + int(items.digest(id), 16) % (count - 1)
    moved = {name: row[columns[(k + places) % count]] for k, name in enumerate(columns)}
    return {**row, **moved, right: (int(row[right]) - 1 - places) % count + 1}


def seed_of(run: Run, compared: Compared, rows: list[Any]) -> int | None:
    """The seed that drew the sources of a cell, None where none draws: one that was asked for, or
    the rows' own where the run's record does not tell those."""
    if rows[0].intervention not in DRAWN:
        return None
    stored = [int(row.seed) for row in rows if pd.notna(row.seed)]
    asked_for = run.seeds
    if asked_for is None:
        compared.note("run.json tells no seed, so that it is open whether those of rows were asked")
        asked_for = set(stored[:1]) or {0}
    return next((seed for seed in stored if seed in asked_for), min(asked_for))


def sources(run: Run, row: Any, seed: int | None) -> dict[str, Source | None]:
    """By item of the row's cell, the question whose state is put in, None where there is none."""
    (own, pivot), name = run.sides(row), row.intervention
    if name in ("matched", "noise"):  # which is as long as the matched state
        return {id: Source(id, question) for id, question in pivot.items()}
    if name == "permuted":
        turn = partial(turned, row.benchmark)
        moved = items.questions(run.data, row.benchmark, row.pivot, row.prompt, turn=turn)
        return {id: Source(id, moved[id]) for id in pivot}
    others = own if name == "own_language" else pivot
    order = sorted(others, key=lambda id: items.digest(seed, id))

    def fits(id: str, other: str) -> bool:
        same = own[id].gold == others[other].gold
        alike = len(own[id].options) == len(others[other].options)
        wanted = {"own_language": True, "same_symbol": same, "other_symbol": not same}[name]
        return other != id and alike and wanted

    found: dict[str, Source | None] = {}
    for id in own:
        place = order.index(id)
        following = [one for one in (*order[place:], *order[:place]) if fits(id, one)]
        found[id] = Source(following[0], others[following[0]]) if following else None
    return found


@kind
def patching(run: Run, compared: Compared) -> None:
    """Answers with states put in, plain ones of both languages, and whose states they are."""
    for rows in run.cells("patches"):
        one = rows[0]
        seed = seed_of(run, compared, rows)
        model, (own, pivot), given = run.model(one.model), run.sides(one), sources(run, one, seed)
        cell = (one.model, one.benchmark, one.language, one.intervention, seed)
        expected = sorted(id for id, source in given.items() if source)
        compared.same((*cell, "items"), sorted(row.item for row in rows), expected)
        for row in rows:
            where, source = (*cell, row.item), given[row.item]
            if source is None:  # a row that there should not be, which `items` says
                continue
            question, there = own[row.item], pivot[row.item]
            _facts(compared, where, row, question, source, seed)
            here, across, read = (
                asked(model, context, side.options)
                for context, side in (
                    (question.context, question), (there.context, there),
                    (source.question.context, question),
                )
            )  # fmt: skip
            uncut(compared, where, row, model, max(one.longest for one in (here, across, read)))
            clean, beyond = answer(model, here, None), answer(model, across, None)
            gold = question.gold
            _answer(compared, (*where, "clean"), row.clean, row.clean_margin, clean, gold)
            stored = (row.pivot_clean, row.pivot_clean_margin)
            _answer(compared, (*where, "pivot_clean"), *stored, beyond, gold)
            patched = zip(row.layers, row.predictions, row.margins, strict=True)
            for layer, prediction, margin in patched:
                patch = _patch(row, int(layer), read.ids, seed)
                found = answer(model, here, patch)
                _answer(compared, (*where, int(layer)), prediction, margin, found, gold)


def _patch(row: Any, layer: int, ids: tuple[int, ...], seed: int | None) -> Patch:
    """What is put in at a layer. A direction's seed is the digest of the cell's seed and the item's
    id, its first 15 digits, plus the layer of the stream or of what is added to it."""
    site = said(row.switches, "patch_site")
    if row.intervention != "noise":
        return Patch(site, layer, ids, None)
    behind = layer - 1 if site == "resid_pre" else layer
    return Patch(site, layer, ids, int(items.digest(seed, row.item)[:15], 16) + behind)


def _facts(
    compared: Compared,
    where: tuple[Any, ...],
    row: Any,
    question: items.Question,
    source: Source,
    seed: int | None,
) -> None:
    """Compare what is known of a row before any model."""
    noise = row.intervention == "noise"
    compared.number((*where, "seed"), row.seed, seed)
    compared.same((*where, "gold"), row.gold, question.gold)
    compared.same((*where, "source_item"), row.source_item, None if noise else source.item)
    gold = None if noise else source.question.gold
    compared.number((*where, "source_gold"), row.source_gold, gold)


def _answer(
    compared: Compared,
    where: tuple[Any, ...],
    prediction: int,
    margin: float,
    found: Answer,
    gold: int,
) -> None:
    """Compare a prediction and a margin, the difference of two scores."""
    wrong = max(score for place, score in enumerate(found.scores) if place != gold)
    allowed = 2 * found.off
    compared.number((*where, "margin"), margin, found.scores[gold] - wrong, allowed=allowed)
    first, second = sorted(found.scores, reverse=True)[:2]
    if first - second <= allowed:
        compared.undecided += 1
    else:
        compared.same((*where, "prediction"), int(prediction), found.scores.index(first))

"""The tasks whose speed is measured, each on random tokens in numbers that fit the device.

A task has a fast way, the plain pass over its prompts, and mostly an obvious way.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.extraction.neurons import statistics
from actors.intervention.setting import Intervention, Setting, Where
from actors.measures.alignment import align
from actors.model import LoadedModel
from actors.passes.batching import pad, plan
from actors.passes.tree_attention import size
from actors.prediction.generate import generate_tokens
from actors.prediction.predict import Question, lay_out
from actors.prediction.score import read_options
from actors.speed import naive
from actors.sweeping.sweep import sweep
from studies.measures import MEASURES
from studies.spec import POOLINGS

LAST_COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
ALL_COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
NAIVE_CELLS = 3


class Task(NamedTuple):
    """One thing to time: the fast way, the plain pass over its prompts, and the naive way.

    `unavoidable` is in tokens through all blocks; the naive way does `naive_share` of the work.
    `reads` are tokens whose logits cannot be avoided, where they are many; else 0.
    """

    fast: Callable[[], object]
    plain: Callable[[], object]
    naive: Callable[[], object] | None
    naive_share: float
    unavoidable: float
    tokens_per_pass: float
    reads: float = 0


def _random(loaded: LoadedModel, lengths: Sequence[int], *, seed: int = 0) -> list[list[int]]:
    """Sequences of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = len(loaded.sites.embedding_weight)
    return [
        torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in lengths
    ]


def _sentences(loaded: LoadedModel) -> list[list[int]]:
    """Short texts of 20 to 60 tokens, about one batch of them."""
    return _random(loaded, [20 + place % 41 for place in range(loaded.budget.tokens // 40)])


def _plain(loaded: LoadedModel, sequences: Sequence[Sequence[int]]) -> Callable[[], None]:
    """A batched pass without hooks and head, on the batches that the tasks form."""
    lengths = [len(sequence) for sequence in sequences]
    batches = plan(lengths, budget=loaded.budget.tokens)

    @torch.inference_mode()
    def run() -> None:
        for batch in batches:
            loaded.sites.base(input_ids=pad(sequences, batch).to(loaded.device), use_cache=False)

    return run


def _extract(loaded: LoadedModel) -> Task:
    """Every alignment measure, pooling and layer of parallel text, vectors and scores."""
    sequences = _sentences(loaded)
    count = len(sequences)
    last = len(loaded.sites.blocks)
    readings = [
        Reading(site=measure.site, state=measure.state, pooling=pooling, layer=layer)
        for measure in MEASURES.values()
        if measure.score == "mutual_nearest"
        for pooling in POOLINGS
        for layer in measure.layers(last)
    ]

    def fast() -> None:
        vectors = capture(loaded, sequences, readings)
        for reading in readings:
            first_ND, second_ND = vectors.at(reading).to(loaded.device)[: 2 * (count // 2)].chunk(2)
            align(first_ND, second_ND)

    few = sequences[: max(4, count // 20)]
    tokens = sum(len(sequence) for sequence in sequences)
    return Task(
        fast,
        _plain(loaded, sequences),
        lambda: [naive.vectors(loaded, ids) for ids in few],
        naive_share=sum(len(ids) for ids in few) / tokens,
        unavoidable=tokens,
        tokens_per_pass=min(loaded.budget.tokens, tokens),
    )


def _questions(loaded: LoadedModel, *, length: int, option: int, tokens: int) -> list[Question]:
    """Questions with four options of `option` tokens each, `tokens` in all prompts together."""
    length = min(length, loaded.facts.context - option)
    prompts = _random(loaded, [length] * max(2, tokens // length))
    options = _random(loaded, [option] * 4 * len(prompts), seed=1)
    return [
        Question(tuple(prompt), tuple(tuple(one) for one in options[4 * place : 4 * place + 4]))
        for place, prompt in enumerate(prompts)
    ]


def _ask(
    loaded: LoadedModel,
    *,
    option: int,
    fast: Callable[[LoadedModel, list[Question]], object],
    slow: Callable[[LoadedModel, Question], object],
) -> Task:
    """Four options of `option` tokens each of 300-token questions; the slow way does one."""
    questions = _questions(loaded, length=300, option=option, tokens=loaded.budget.tokens)
    tokens = sum(size(lay_out(question).row) for question in questions)
    return Task(
        lambda: fast(loaded, questions),
        _plain(loaded, [question.prompt for question in questions]),
        lambda: slow(loaded, questions[0]),
        naive_share=1 / len(questions),
        unavoidable=tokens,
        tokens_per_pass=tokens,
    )


def _neurons(loaded: LoadedModel) -> Task:
    """Mean, mean size and share active of every neuron over short texts."""
    sequences = _sentences(loaded)
    layers = range(1, len(loaded.sites.blocks) + 1)
    tokens = sum(len(sequence) for sequence in sequences)
    return Task(
        lambda: statistics(loaded, sequences, site="mlp_hidden", layers=layers, weight="sample"),
        _plain(loaded, sequences),
        None,
        naive_share=1,
        unavoidable=tokens,
        tokens_per_pass=min(loaded.budget.tokens, tokens),
    )


def _generate(loaded: LoadedModel) -> Task:
    """32 new tokens for short prompts, steered at all tokens; counted are the new ones."""
    prompts = _random(loaded, [16] * max(8, loaded.budget.tokens // 128))
    layer = max(1, len(loaded.sites.blocks) // 2)
    (setting,) = _steer(loaded, (layer,), (1.0,), "all")

    def run(few: Sequence[Sequence[int]]) -> Callable[[], object]:
        return lambda: generate_tokens(loaded, few, max_new_tokens=32, setting=setting)

    return Task(
        run(prompts),
        _plain(loaded, prompts),
        run(prompts[:1]),
        naive_share=1 / len(prompts),
        unavoidable=len(prompts) * 32,
        tokens_per_pass=len(prompts),
    )


def _steer(
    loaded: LoadedModel, layers: Sequence[int], coefficients: Sequence[float], where: Where
) -> list[Setting]:
    """One setting for every layer and coefficient."""
    width = loaded.sites.width("resid_post")
    vector_D = torch.randn(width, generator=torch.Generator().manual_seed(0)).to(loaded.device)
    return [
        (
            Intervention(
                site="resid_post",
                layer=layer,
                operation="add",
                vector=vector_D,
                coefficient=coefficient,
                where=where,
            ),
        )
        for layer in layers
        for coefficient in coefficients
    ]


def _sweep(
    loaded: LoadedModel,
    *,
    layers: Sequence[int],
    coefficients: Sequence[float],
    where: Where,
    length: int,
    tokens: int,
    option: int = 1,
) -> Task:
    """A steering sweep over layers and coefficients; answers are letters, or texts of so many
    tokens."""
    questions = _questions(loaded, length=length, option=option, tokens=tokens)
    settings = _steer(loaded, layers, coefficients, where)
    active = [setting for setting in settings if not all(one.idle for one in setting)]
    last, prompts, length = len(loaded.sites.blocks), len(questions), len(questions[0].prompt)
    after = sum(last - setting[0].layer for setting in active) / last
    inner = (option - 1) * len(questions[0].options)
    changed = 1 if where == "last" else length
    unavoidable = prompts * (length + inner + (changed + inner) * after)
    ids_BT = torch.tensor([question.prompt for question in questions], device=loaded.device)
    few = active[:: max(1, len(active) // NAIVE_CELLS)][:NAIVE_CELLS]
    return Task(
        lambda: sweep(loaded, questions, settings),
        _plain(loaded, [question.prompt for question in questions]),
        lambda: [naive.hooked(loaded, ids_BT, setting) for setting in few],
        naive_share=len(few) / len(settings),
        unavoidable=unavoidable,
        tokens_per_pass=prompts * length,
        # Behind the last block, a change of the last token leaves those after it as they are.
        reads=prompts * sum(1 + (inner if setting[0].layer < last else 0) for setting in active)
        + prompts * (1 + inner)
        if inner
        else 0,
    )


def _sweep_last(loaded: LoadedModel) -> Task:
    """Two layers x 11 coefficients at the last token of 256-token prompts."""
    last = len(loaded.sites.blocks)
    return _sweep(
        loaded,
        layers=(last // 3, last // 2),
        coefficients=LAST_COEFFICIENTS,
        where="last",
        length=256,
        tokens=loaded.budget.tokens,
    )


def _sweep_options(loaded: LoadedModel) -> Task:
    """Four layers x 11 coefficients at the last token of 164-token prompts, answers of 8 tokens."""
    last = len(loaded.sites.blocks)
    return _sweep(
        loaded,
        layers=sorted({max(1, round(last * part / 4)) for part in (1, 2, 3, 4)}),
        coefficients=LAST_COEFFICIENTS,
        where="last",
        length=164,
        tokens=loaded.budget.tokens,
        option=8,
    )


def _sweep_all(loaded: LoadedModel, *, first: float = 0.0) -> Task:
    """Nine coefficients at every token, at all layers after a share of them."""
    last = len(loaded.sites.blocks)
    return _sweep(
        loaded,
        layers=range(1 + round(first * last), last + 1),
        coefficients=ALL_COEFFICIENTS,
        where="all",
        length=128,
        tokens=loaded.budget.tokens // 2,
    )


TASKS: dict[str, Callable[[LoadedModel], Task]] = {
    "extract": _extract,
    "letters": lambda loaded: _ask(loaded, option=1, fast=read_options, slow=naive.answer),
    "options": lambda loaded: _ask(loaded, option=8, fast=read_options, slow=naive.answer),
    "lens": lambda loaded: _ask(loaded, option=8, fast=lens, slow=naive.latent),
    "neurons": _neurons,
    "generate": _generate,
    "sweep-last": _sweep_last,
    "sweep-options": _sweep_options,
    "sweep-all": _sweep_all,
    "sweep-last-third": lambda loaded: _sweep_all(loaded, first=2 / 3),
}

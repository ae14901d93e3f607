"""Measure every kind of task on one model: achieved, ceiling, a plain pass, the naive way.

A task is timed in turn with a plain batched pass over the same prompts and with the obvious way of
doing the task, so that ratios hold on a machine whose speed wanders. Speed is given in tokens per
second through all blocks: a sweep that runs half the blocks for a token counts half of one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from actors.alignment import align
from actors.batching import pad, plan
from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.extraction.neurons import statistics
from actors.intervention.intervene import Intervention, Setting, Where
from actors.intervention.sweep import sweep
from actors.measuring import naive
from actors.measuring.ceiling import Ceiling, count_weights, measure, seconds
from actors.measuring.equalities import Equality, equalities
from actors.model import LoadedModel
from actors.prediction.generate import generate_tokens
from actors.prediction.predict import Question
from actors.prediction.score import ask, read_options
from actors.structure.sites import watch_input
from studies.measures import MEASURES
from studies.spec import POOLINGS, ChoiceItem

LAST_COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
ALL_COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
NAIVE_CELLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one task achieved.

    Attributes:
        task: its name.
        achieved: tokens per second through all blocks.
        ceiling: tokens per second that this device cannot exceed.
        fraction: achieved over ceiling.
        naive_ratio: time of the naive way over time of the task; None where there is none.
        passes: time of the task over that of a plain batched pass over its prompts.
        blocks: token-blocks computed over those that cannot be avoided.
        per_block: time for a token-block over its time in the plain pass.
        seconds: time of the task.
        peak_bytes: most memory that was allocated on the GPU; 0 on a CPU.
    """

    task: str
    achieved: float
    ceiling: float
    fraction: float
    naive_ratio: float | None
    passes: float
    blocks: float
    per_block: float
    seconds: float
    peak_bytes: int


class Task(NamedTuple):
    """One thing to time: the fast way, the plain pass over its prompts, and the naive way.

    `unavoidable` is in tokens through all blocks; the naive way does `naive_share` of the work.
    """

    name: str
    fast: Callable[[], object]
    plain: Callable[[], object]
    naive: Callable[[], object] | None
    naive_share: float
    unavoidable: float
    tokens_per_pass: float


def bench(
    loaded: LoadedModel, *, rounds: int = 3, only: Sequence[str] = ()
) -> Iterator[Measurement]:
    """Measure the tasks, each as soon as it is done.

    Raises:
        ValueError: no task has a name in `only`.
    """
    for name in only:
        if name not in TASKS:
            raise ValueError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return _bench(loaded, rounds=rounds, only=only)


def _bench(loaded: LoadedModel, *, rounds: int, only: Sequence[str]) -> Iterator[Measurement]:
    dtype = next(loaded.model.parameters()).dtype
    ceiling = Ceiling(0, 0)
    for name, make in TASKS.items():
        if not only or name in only:
            # The best seen so far: other programs may slow one measurement, none makes it faster.
            ceiling = Ceiling(*map(max, ceiling, measure(loaded.device, dtype)))
            yield _measure(loaded, make(loaded)._replace(name=name), ceiling, rounds=rounds)


def _measure(loaded: LoadedModel, task: Task, ceiling: Ceiling, *, rounds: int) -> Measurement:
    """Time the three ways in turn, `rounds` times after a warm-up that counts the blocks."""
    device = loaded.device
    layers = len(loaded.sites.blocks)
    plain_tokens = _count(loaded, task.plain) / layers
    fast_tokens = _count(loaded, task.fast) / layers
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fast, passes, ratios = [], [], []
    for _ in range(rounds):
        plain = seconds(task.plain, device=device)
        fast.append(seconds(task.fast, device=device))
        passes.append(fast[-1] / plain)
        if task.naive is not None:
            ratios.append(seconds(task.naive, device=device) / task.naive_share / fast[-1])
    weights = count_weights(loaded.sites.blocks)
    top = ceiling.tokens(
        weights=weights,
        weight_bytes=weights * next(loaded.model.parameters()).element_size(),
        tokens_per_pass=task.tokens_per_pass,
    )
    achieved = task.unavoidable / median(fast)
    return Measurement(
        task=task.name,
        achieved=achieved,
        ceiling=top,
        fraction=achieved / top,
        naive_ratio=median(ratios) if ratios else None,
        passes=median(passes),
        blocks=fast_tokens / task.unavoidable,
        per_block=median(passes) * plain_tokens / fast_tokens,
        seconds=median(fast),
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    )


def _count(loaded: LoadedModel, work: Callable[[], object]) -> int:
    """Run `work` and count its token-blocks, where every block projects down."""
    counted = 0

    def count(value: Tensor) -> None:
        nonlocal counted
        counted += value.numel() // value.shape[-1]

    with ExitStack() as stack:
        for mlp in loaded.sites.mlps:
            stack.enter_context(watch_input(mlp.down, count))
        work()
    return counted


def _random(loaded: LoadedModel, lengths: Sequence[int], *, seed: int = 0) -> list[list[int]]:
    """Sequences of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = int(loaded.sites.embedding.weight.shape[0])  # type: ignore[index]
    return [
        torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in lengths
    ]


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
    """Every measure, pooling and layer of parallel text, vectors and scores."""
    count = loaded.budget.tokens // 40
    sequences = _random(loaded, [20 + place % 41 for place in range(count)])
    last = len(loaded.sites.blocks)
    readings = [
        Reading(site=measure.site, state=measure.state, pooling=pooling, layer=layer)
        for measure in MEASURES.values()
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
        "",
        fast,
        _plain(loaded, sequences),
        lambda: [naive.vectors(loaded, ids) for ids in few],
        sum(len(ids) for ids in few) / tokens,
        tokens,
        min(loaded.budget.tokens, tokens),
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


def _answer(loaded: LoadedModel, *, option: int) -> Task:
    """Four options of a 300-token question."""
    questions = _questions(loaded, length=300, option=option, tokens=loaded.budget.tokens)
    tokens = sum(len(question.prompt) + 4 * (option - 1) for question in questions)
    return Task(
        "",
        lambda: read_options(loaded, questions),
        _plain(loaded, [question.prompt for question in questions]),
        lambda: naive.answer(loaded, questions[0]),
        1 / len(questions),
        tokens,
        tokens,
    )


def _lens(loaded: LoadedModel) -> Task:
    """Four options of a 300-token question at every layer."""
    questions = _questions(loaded, length=300, option=8, tokens=loaded.budget.tokens)
    tokens = sum(len(question.prompt) + 4 * 7 for question in questions)
    layers = range(1, len(loaded.sites.blocks) + 1)
    return Task(
        "",
        lambda: lens(loaded, questions, layers=layers),
        _plain(loaded, [question.prompt for question in questions]),
        lambda: naive.latent(loaded, questions[0]),
        1 / len(questions),
        tokens,
        tokens,
    )


def _neurons(loaded: LoadedModel) -> Task:
    """Mean, mean size and share active of every neuron over short texts."""
    sequences = _random(loaded, [20 + place % 41 for place in range(loaded.budget.tokens // 40)])
    layers = range(1, len(loaded.sites.blocks) + 1)
    tokens = sum(len(sequence) for sequence in sequences)
    return Task(
        "",
        lambda: statistics(loaded, sequences, site="mlp_hidden", layers=layers, weight="sample"),
        _plain(loaded, sequences),
        None,
        1,
        tokens,
        min(loaded.budget.tokens, tokens),
    )


def _generate(loaded: LoadedModel) -> Task:
    """32 new tokens for short prompts, steered at all tokens; counted are the new ones."""
    prompts = _random(loaded, [16] * max(8, loaded.budget.tokens // 128))
    layer = max(1, len(loaded.sites.blocks) // 2)
    (setting,) = _steer(loaded, (layer,), (1.0,), "all")

    def run(few: Sequence[Sequence[int]]) -> Callable[[], object]:
        return lambda: generate_tokens(loaded, few, max_new_tokens=32, setting=setting)

    return Task(
        "",
        run(prompts),
        _plain(loaded, prompts),
        run(prompts[:1]),
        1 / len(prompts),
        len(prompts) * 32,
        len(prompts),
    )


def _steer(
    loaded: LoadedModel, layers: Sequence[int], coefficients: Sequence[float], where: Where
) -> list[Setting]:
    """One setting for every layer and coefficient."""
    width = int(loaded.sites.embedding.weight.shape[1])  # type: ignore[index]
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
) -> Task:
    """A steering sweep over layers and coefficients, answers read as letters."""
    questions = _questions(loaded, length=length, option=1, tokens=tokens)
    settings = _steer(loaded, layers, coefficients, where)
    active = [setting for setting in settings if not all(one.idle for one in setting)]
    last, prompts, length = len(loaded.sites.blocks), len(questions), len(questions[0].prompt)
    after = sum(last - setting[0].layer for setting in active) / last
    unavoidable = prompts * (length + (1 if where == "last" else length) * after)
    ids_BT = torch.tensor([question.prompt for question in questions], device=loaded.device)
    few = active[:: max(1, len(active) // NAIVE_CELLS)][:NAIVE_CELLS]
    return Task(
        "",
        lambda: sweep(loaded, questions, settings),
        _plain(loaded, [question.prompt for question in questions]),
        lambda: [naive.hooked(loaded, ids_BT, setting) for setting in few],
        len(few) / len(settings),
        unavoidable,
        prompts * length,
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


QUESTIONS = (
    "a",
    "The capital of France is",
    "Anna has twelve cats and one dog. How many animals live in her house?",
    "Das Wetter ist heute schön, aber morgen soll es den ganzen Tag regnen. Deshalb",
    "Столица России — это город",
    "सारा घर पर है और किताब पढ़ रही है। सारा कहाँ है?",
    "北京是中国的首都。中国的首都是哪里？",
    "تأكل آنا السمك كل يوم لأنها تعيش بالقرب من البحر.",
)
OPTIONS = (" A", " B", " yes", " no, not at all", " Paris")


def check(loaded: LoadedModel) -> Iterator[Equality]:
    """Compare the fast ways with the obvious one on a few questions in several languages."""
    items = [
        ChoiceItem(id=str(place), context=context, options=OPTIONS, gold=0)
        for place, context in enumerate(QUESTIONS)
    ]
    yield from equalities(loaded, [entry.question for entry in ask(loaded, items)])


TASKS: dict[str, Callable[[LoadedModel], Task]] = {
    "extract": _extract,
    "letters": lambda loaded: _answer(loaded, option=1),
    "options": lambda loaded: _answer(loaded, option=8),
    "lens": _lens,
    "neurons": _neurons,
    "generate": _generate,
    "sweep-last": _sweep_last,
    "sweep-all": _sweep_all,
    "sweep-last-third": lambda loaded: _sweep_all(loaded, first=2 / 3),
}

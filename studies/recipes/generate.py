"""Plain generation: what models write, as the baseline of everything that changes them.

Answers to benchmarks that are answered by writing, translations between any two languages of a
parallel text, and what follows prompts of one's own; greedily or drawn. Without a model or data
named, the embedded models answer the embedded questions.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal, get_args

from studies import generation_items, miniworld
from studies import options as opt
from studies.kinds.generation import GenerationGrid
from studies.options import Options
from studies.parallel_text import PARALLEL_TEXTS
from studies.spec import Engine
from studies.study import Study

NAME = "generate"
BENCHMARK, MINI_BENCHMARK, MINI_LIMIT = "xquad", "mini_xquad", 100
PIVOT = "eng_Latn"
PAIRS = 100
ENGINES = ("auto", *get_args(Engine))

NOT_READ = {
    "measures": "--measure",
    "poolings": "--pooling",
    "layers": "--layer",
    "language_pairs": "--pair",
    "parts": "--part",
    "paper": "--paper",
    "coefficients": "--coefficient",
    "controls": "--control",
    "sample": "--sample",
    "how": "--finetune",
    "switches": "a switch of alignment scores",
    "lens": "a switch of the logit lens (lens_norm, lens_head, softcap)",
    "steering": "a switch of steering (vec_norm, steer_pos)",
}


def study(options: Options) -> Study:
    """The study for any models and any mixture of questions, translations and own prompts.

    Raises:
        ValueError: an option that is unknown, or without effect on what is asked for.
    """
    _refuse_ignored(options)
    sampling = opt.sampling(options)
    return Study(
        name=NAME,
        models=opt.models(options, default=_default_models(options)),
        grids=tuple(_grids(options)),
        settings={
            "limit": _limit(options) or "all",
            "pairs": _pairs(options) or "all",
            "prompt": options.prompt or "default",
            "fewshot": "default" if options.fewshot is None else options.fewshot,
            "max_new_tokens": options.max_new_tokens or "default",
            "stop": list(options.stop) or "default",
            "dtype": options.dtype or "float32",
            **asdict(sampling),
            **options.asking.changed(),
        },
    )


def _grids(options: Options) -> Iterator[GenerationGrid]:
    for benchmark in _benchmarks(options):
        generation_items.check(benchmark)
        yield _grid(options, benchmark, task="question", limit=_limit(options))
    for dataset in options.parallels:
        if dataset not in PARALLEL_TEXTS:
            raise ValueError(
                f"unknown parallel text {dataset!r}: expected one of {', '.join(PARALLEL_TEXTS)}"
            )
        for pivot in options.pivots or (PIVOT,):
            yield _grid(options, dataset, task="translation", limit=_pairs(options), pivot=pivot)
    if options.prompts is not None:
        yield _grid(options, options.prompts, task="text", limit=options.limit)


def _grid(
    options: Options,
    name: str,
    *,
    task: Literal["question", "translation", "text"],
    limit: int | None,
    pivot: str = PIVOT,
) -> GenerationGrid:
    return GenerationGrid(
        benchmark=name,
        languages=options.languages or ("all",),
        task=task,
        pivot=pivot,
        limit=limit,
        shots=options.fewshot,
        prompt=options.prompt,
        asking=options.asking,
        max_new_tokens=options.max_new_tokens,
        stop=opt.stops(options),
        sampling=opt.sampling(options),
        engine=_engine(options),
    )


def _benchmarks(options: Options) -> tuple[str, ...]:
    """Those asked for; where nothing is to be written at all, one."""
    if options.benchmarks or options.parallels or options.prompts is not None:
        return options.benchmarks
    return (BENCHMARK,) if options.models else (MINI_BENCHMARK,)


def _default_models(options: Options) -> tuple[str, ...]:
    """The embedded models, where nothing but embedded texts or own prompts are named."""
    names = (*_benchmarks(options), *options.parallels)
    return miniworld.MODELS if all(name in miniworld.DATASETS for name in names) else ()


def _limit(options: Options) -> int | None:
    """All items, but for the first command somebody tries."""
    whole = options.models or options.benchmarks or options.parallels or options.prompts
    return options.limit or (None if whole else MINI_LIMIT)


def _pairs(options: Options) -> int | None:
    return None if options.all_pairs else options.pairs or PAIRS


def _engine(options: Options) -> Engine | Literal["auto"]:
    """The engine of this name."""
    if options.engine is None or options.engine == "auto":
        return "auto"
    for engine in get_args(Engine):
        if engine == options.engine:
            return engine  # type: ignore[no-any-return]
    raise ValueError(f"unknown engine {options.engine!r}: expected one of {', '.join(ENGINES)}")


def _refuse_ignored(options: Options) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    opt.refuse_unused(options, recipe=NAME, flags=NOT_READ)
    asks = bool(_benchmarks(options))
    without_text = {"pairs": "--pairs", "all_pairs": "--pairs", "pivots": "--pivot"}
    for name, flag in without_text.items():
        if getattr(options, name) and not options.parallels:
            raise ValueError(
                f"{flag} has no effect where nothing is translated: name a parallel text, such as "
                "--parallel flores200"
            )
    pivots = options.pivots or (PIVOT,)
    if options.parallels and len({*options.languages, *pivots}) == len(options.languages) == 1:
        raise ValueError(
            f"--language {pivots[0]} is the language translated from as well: name another with "
            "--language or --pivot"
        )
    if options.limit is not None and not asks and options.prompts is None:
        raise ValueError(
            f"--limit {options.limit} has no effect on translations: say how many with --pairs"
        )
    if options.prompt is not None and not asks:
        raise ValueError(
            f"--prompt {options.prompt} has no effect without a benchmark: name one, such as "
            f"--benchmark {BENCHMARK}"
        )
    if options.fewshot is not None and not asks and not options.parallels:
        raise ValueError(
            f"--fewshot {options.fewshot} has no effect on prompts from a file, which stand as "
            "they are: leave it out"
        )

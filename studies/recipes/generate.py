"""Plain generation: what models write, as the baseline of everything that changes them.

Answers to benchmarks that are answered by writing, translations between any two languages of a
parallel text, and what follows prompts of one's own; greedily or drawn. Without a model or data
named, the embedded models answer the embedded questions.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from studies import generation_items
from studies.flags import flag, shown, where_flag, writing_flag
from studies.kinds.generation import GenerationGrid
from studies.options import Common, ParallelOptions, WrittenOptions
from studies.spec import Engine
from studies.study import Study
from studies.texts import Sampling

NAME = "generate"
EXAMPLE = "--model Qwen/Qwen2.5-7B --benchmark xquad,mgsm --dtype bfloat16"
BENCHMARK, MINI_BENCHMARK, MINI_LIMIT = "xquad", "mini_xquad", 100
PIVOT = "eng_Latn"


@dataclass(frozen=True, kw_only=True)
class Options(WrittenOptions, ParallelOptions, Common):
    """What plain generation reads."""

    benchmarks: tuple[str, ...] = shown("xquad, where nothing else is to be written")
    fewshot: int | None = flag(
        "Examples before each prompt, such as --fewshot 2.", shown="translation 4, else 0"
    )
    prompts: str | None = flag(
        "Prompts of your own, such as --prompts mine.jsonl (id, prompt) or mine.txt."
    )
    temperature: float = writing_flag(
        "How texts are drawn, such as --temperature 0.7; 0 takes the most probable token.",
        default=0.0,
    )
    top_p: float | None = writing_flag(
        "Draw from the most probable tokens that together reach this, such as --top-p 0.9.",
        shown="1",
    )
    n: int = writing_flag("Texts drawn for every prompt, such as --n 4.", default=1, least=1)
    seeds: tuple[int, ...] = writing_flag(
        "Seed of the draw, such as --seed 1.", "--seed", default=(), shown="0"
    )
    max_new_tokens: int | None = writing_flag(
        "Tokens of a text at most, such as --max-new-tokens 64.", shown="the prompt's", least=1
    )
    engine: Literal["auto"] | Engine = where_flag(
        "What writes, such as --engine hf; auto is vllm where it can, else hf.", default="auto"
    )


def study(options: Options) -> Study:
    """The study for any models and any mixture of questions, translations and own prompts.

    Raises:
        ValueError: an option that is unknown, or without effect on what is asked for.
    """
    _refuse_ignored(options)
    sampling = _sampling(options)
    return Study(
        name=NAME,
        models=options.models_for((*_benchmarks(options), *options.parallels)),
        grids=tuple(_grids(options)),
        settings={
            "limit": _limit(options) or "all",
            "pairs": options.pair_count or "all",
            "prompt": options.prompt or "default",
            "fewshot": "default" if options.fewshot is None else options.fewshot,
            "max_new_tokens": options.max_new_tokens or "default",
            "stop": list(options.stop) or "default",
            "dtype": options.dtype,
            **asdict(sampling),
            **options.asking.changed(),
        },
    )


def _grids(options: Options) -> Iterator[GenerationGrid]:
    for benchmark in _benchmarks(options):
        generation_items.check(benchmark)
        yield _grid(options, benchmark, task="question", limit=_limit(options))
    for dataset in options.parallels:
        for pivot in options.pivots or (PIVOT,):
            yield _grid(options, dataset, task="translation", limit=options.pair_count, pivot=pivot)
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
        languages=options.chosen_languages,
        task=task,
        pivot=pivot,
        limit=limit,
        shots=options.fewshot,
        prompt=options.prompt,
        asking=options.asking,
        max_new_tokens=options.max_new_tokens,
        stop=options.stops,
        sampling=_sampling(options),
        engine=options.engine,
    )


def _benchmarks(options: Options) -> tuple[str, ...]:
    """Those asked for; where nothing is to be written at all, one."""
    if options.benchmarks or options.parallels or options.prompts is not None:
        return options.benchmarks
    return (BENCHMARK,) if options.models else (MINI_BENCHMARK,)


def _limit(options: Options) -> int | None:
    """All items, but for the first command somebody tries."""
    whole = options.models or options.benchmarks or options.parallels or options.prompts
    return options.limit or (None if whole else MINI_LIMIT)


def _sampling(options: Options) -> Sampling:
    """How tokens are drawn.

    Raises:
        ValueError: nothing can be drawn so, or a setting has no effect at temperature 0.
    """
    if len(options.seeds) > 1:
        raise ValueError(
            f"{len(options.seeds)} seeds: texts are drawn with one; ask for several texts of every "
            "prompt with --n, or run the study once for each seed"
        )
    for name, given in (("--top-p", options.top_p is not None), ("--seed", bool(options.seeds))):
        if given and options.temperature == 0:
            raise ValueError(f"{name} has no effect at temperature 0: add --temperature 1")
    return Sampling(
        temperature=options.temperature,
        top_p=1.0 if options.top_p is None else options.top_p,
        seed=options.seeds[0] if options.seeds else 0,
        n=options.n,
    )


def _refuse_ignored(options: Options) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    asks = bool(_benchmarks(options))
    without_text = {"pairs": "--pairs", "pivots": "--pivot"}
    for name, given in without_text.items():
        if getattr(options, name) and not options.parallels:
            raise ValueError(
                f"{given} has no effect where nothing is translated: name a parallel text, such as "
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

"""CLAS: which neurons serve which languages, and does rescaling them help beyond chance?

Source: "CLAS: Cross-Lingual Activation Steering" as docs/studies/clas.md describes it. Its parts:
the categories of neurons (`neurons`), answers and states with neurons rescaled in a few late layers
(`steering`), and what the paper does not set beside them (`controls`).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from studies.benchmarks import BENCHMARKS
from studies.flags import flag, shown
from studies.kinds.categories import CategoriesGrid
from studies.kinds.scaled import CONTROLS, DRAWS, Control, ScalingGrid
from studies.neuron_options import Rescaling, Sorting, Strength, strength
from studies.open_prompts import OPEN
from studies.options import Common, WrittenOptions, refuse_harness, refuse_without_part
from studies.study import Grid, Study

NAME = "clas"
EXAMPLE = "--model Qwen/Qwen2.5-7B-Instruct --benchmark xnli --dtype bfloat16"
PIVOT = "eng_Latn"
PROMPT = "digit"
PAPER_BENCHMARKS = ("xnli", "xquad")
MINI_BENCHMARKS = ("mini_xnli", "mini_xquad")
SAMPLED, MINI_SAMPLED = "xquad", "mini_xquad"
SAMPLES = 100
# Items to choose a strength on (section 3), and of the embedded benchmarks, which have 300.
TUNING, MINI_TUNING = 200, 100
# The ranges of the paper's Figure 5; the steps are not printed.
ALPHAS = tuple(float(alpha) for alpha in range(-8, 3))
WRITTEN_ALPHAS = tuple(float(alpha) for alpha in range(-4, 5))
BETA, GAMMA = 0.4, 0.2
# One of the two alone, at alpha 1 (Figure 6).
DOSES = (0.2, 0.4, 0.6)


@dataclass(frozen=True, kw_only=True)
class Options(WrittenOptions, Common):
    """What the CLAS study reads."""

    benchmarks: tuple[str, ...] = shown("xnli, xquad; without --model embedded ones")
    parts: tuple[str, ...] = flag(
        "Parts of the study, such as --part neurons,steering (babelscope list parts).",
        "--part",
        default=(),
        shown="all",
        known=lambda: PARTS,
    )
    sampled: str | None = flag(
        "Data set over whose texts neurons are sorted, such as --sampled flores200.",
        shown="xquad; without --model embedded questions",
    )
    samples: int = flag("How many of its texts, such as --samples 200.", default=SAMPLES, least=8)
    bridge: tuple[int, ...] = flag(
        "Layers whose neurons are rescaled, 1..L, such as --bridge 25,26. Repeatable.",
        "--bridge",
        default=(),
        shown="by a rule",
    )
    alphas: tuple[float, ...] = flag(
        "Strengths to choose from, 0 among them, such as --alpha=-2,-1,0,1. Repeatable.",
        "--alpha",
        default=(),
        shown="-8 to 2; written answers -4 to 4",
    )
    beta: float = flag(
        "Share of alpha for neurons of several languages, such as --beta 0.2.", default=BETA
    )
    gamma: float = flag(
        "Share of alpha for neurons of one language, such as --gamma 0.1.", default=GAMMA
    )
    tuning: int | None = flag(
        "Items that alpha is chosen on and none is reported of, such as --tuning 100.",
        shown="200; embedded ones 100",
        least=1,
    )
    seed: int = flag("Seed of the draw of those items, such as --seed 1.", default=0)
    controls: tuple[Control, ...] = flag(
        "Controls of rescaling, such as --control random. Repeatable.",
        "--control",
        default=(),
        shown="all",
    )
    draws: int = flag("Draws of random neurons, such as --draws 40.", default=DRAWS, least=1)
    sorting: Sorting = flag("", "--switch", default=Sorting())
    rescaling: Rescaling = flag("", "--switch", default=Rescaling())


def study(options: Options) -> Study:
    """The study for any models and benchmarks whose items are parallel across languages.

    Raises:
        ValueError: an option that is unknown, or without effect on the parts asked for.
    """
    parts = tuple(part for part in PARTS if not options.parts or part in options.parts)
    _refuse_ignored(options, parts)
    grids = [grid for part in parts for grid in PARTS[part](options)]
    if "steering" in parts and "controls" in parts:
        # One pass answers all that is asked of a prompt, so controls ride along.
        grids = [grid for grid in grids if not isinstance(grid, ScalingGrid) or grid.controls]
    return Study(
        name=NAME,
        models=options.models_for((*_benchmarks(options), _sampled(options))),
        grids=tuple(grids),
        settings={
            "limit": options.limit or "all",
            "prompt": options.prompt or "default",
            "sampled": _sampled(options),
            "samples": options.samples,
            "bridge": list(options.bridge) or "rule",
            "alphas": list(options.alphas) or "default",
            "beta": options.beta,
            "gamma": options.gamma,
            "tuning": _tuning(options),
            "seed": options.seed,
            "draws": options.draws,
            "dtype": options.dtype,
            **options.asking.settings(),
            **asdict(options.sorting),
            **asdict(options.rescaling),
        },
    )


def _neurons(options: Options) -> Iterator[Grid]:
    """Figure 1."""
    yield CategoriesGrid(**_sorted(options))


def _steering(options: Options) -> Iterator[Grid]:
    """Tables 1 to 3, Figures 2 to 8."""
    for benchmark in _benchmarks(options):
        yield _scaled(options, benchmark)


def _controls(options: Options) -> Iterator[Grid]:
    """Is it more than chance, a shift of the label prior, or the choice of alpha? (Not printed.)"""
    for benchmark in _benchmarks(options):
        yield _scaled(options, benchmark, controls=options.controls or CONTROLS)


PARTS: dict[str, Callable[[Options], Iterator[Grid]]] = {
    "neurons": _neurons,
    "steering": _steering,
    "controls": _controls,
}


def _sorted(options: Options) -> dict[str, Any]:
    """What all grids sort neurons by."""
    return {
        "languages": options.with_pivots(PIVOT),
        "pivot": _pivot(options),
        "sampled": _sampled(options),
        "samples": options.samples,
        "bridge": options.bridge,
        "sorting": options.sorting,
    }


def _scaled(options: Options, benchmark: str, *, controls: tuple[Control, ...] = ()) -> ScalingGrid:
    written = benchmark in OPEN
    strengths, doses = _strengths(options, written=written)
    prompts = {} if written or benchmark not in BENCHMARKS else BENCHMARKS[benchmark].prompts
    return ScalingGrid(
        **_sorted(options),
        benchmark=benchmark,
        limit=options.limit,
        prompt=options.prompt or (PROMPT if PROMPT in prompts else None),
        asking=options.asking,
        stop=options.stops if written else None,
        strengths=strengths,
        doses=doses,
        tuning=_tuning(options),
        seed=options.seed,
        draws=options.draws,
        controls=controls,
        rescaling=options.rescaling,
    )


def _strengths(
    options: Options, *, written: bool
) -> tuple[tuple[Strength, ...], tuple[Strength, ...]]:
    """The strengths to choose from, and those of beta or gamma alone; equal ones are one.

    Raises:
        ValueError: no alpha is 0, so that doing nothing could not be chosen.
    """
    alphas = options.alphas or (WRITTEN_ALPHAS if written else ALPHAS)
    if 0.0 not in alphas:
        raise ValueError(
            f"--alpha {', '.join(f'{alpha:g}' for alpha in alphas)} has no 0: add it, so that "
            "leaving the neurons as they are can be chosen too"
        )
    chosen = (strength(alpha, beta=options.beta, gamma=options.gamma) for alpha in alphas)
    doses = [strength(1.0, beta=dose, gamma=0.0) for dose in DOSES]
    doses += [strength(1.0, beta=0.0, gamma=dose) for dose in DOSES]
    return tuple(dict.fromkeys(chosen)), () if written else tuple(doses)


def _benchmarks(options: Options) -> tuple[str, ...]:
    return options.benchmarks or (PAPER_BENCHMARKS if options.models else MINI_BENCHMARKS)


def _embedded(options: Options) -> bool:
    return all(name in MINI_BENCHMARKS for name in _benchmarks(options))


def _sampled(options: Options) -> str:
    return options.sampled or (MINI_SAMPLED if _embedded(options) else SAMPLED)


def _tuning(options: Options) -> int:
    return options.tuning or (MINI_TUNING if _embedded(options) else TUNING)


def _pivot(options: Options) -> str:
    return options.one_pivot(PIVOT, role="leaves one anchor as it is")


def _refuse_ignored(options: Options, parts: tuple[str, ...]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    refuse_harness(_benchmarks(options), other=PAPER_BENCHMARKS[0])
    steered = {
        **{name: f"--{name}" for name in ("beta", "gamma", "tuning", "seed", "stop", "limit")},
        "alphas": "--alpha",
        "benchmarks": "--benchmark",
        "prompt": "--prompt",
        "rescaling": "a switch of rescaling ("
        + ", ".join(item.name for item in fields(Rescaling))
        + ")",
    }
    needed = {name: (given, "steering") for name, given in steered.items()}
    needed |= {"controls": ("--control", "controls"), "draws": ("--draws", "controls")}
    there = {*parts, *(["steering"] if "controls" in parts else [])}
    refuse_without_part(options, needed, parts=there)
    if options.stop and not any(name in OPEN for name in _benchmarks(options)):
        raise ValueError("--stop has no effect, as no answer is written: add --benchmark xquad")

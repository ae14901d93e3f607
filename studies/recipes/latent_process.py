"""The latent process: does a model answer alike in all languages, and what happens on the way.

Source: "Language-Specific Latent Process Hinders Cross-Lingual Performance" (arXiv 2505.13141).
Its parts: what is answered (`output`), how probable the options' texts are at every layer
(`latent`), how states of parallel questions lie to each other (`states`), and what comes of pushing
them toward English (`steering`, with `controls`, which the paper has not).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from studies.benchmarks import BENCHMARKS, OWN
from studies.draws import Questions
from studies.flags import flag, shown
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.kinds.latent import LatentGrid
from studies.kinds.steering import CONTROLS, Control, SteeringGrid
from studies.layers import Layers
from studies.options import Common, PaperOptions, refuse_harness, refuse_without_part
from studies.prompt_options import Lens, Steering
from studies.study import Grid, Study

NAME = "latent-process"
EXAMPLE = "--model google/gemma-2-2b-it --benchmark belebele --part output --dtype bfloat16"
PIVOT = "eng_Latn"
PROMPT = "latent"
PAPER_BENCHMARKS = ("belebele", "mmmlu", "m_hellaswag")
MINI_BENCHMARKS = ("mini_belebele", "mini_mmlu")
COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
# Away from the pivot and toward it, as Figure 8 has it; controls run at the second.
ENDS = (-2.0, 2.0)
SAMPLE = 50
# Questions whose states are compared: more than are pictured, as a similarity of few is biased.
COMPARED = 200
SIMILARITIES = ("cka", "cosine", "cosine_centred")


@dataclass(frozen=True, kw_only=True)
class Options(PaperOptions, Common):
    """What the latent-process study reads."""

    benchmarks: tuple[str, ...] = shown("belebele; without --model embedded ones")
    prompt: str = PROMPT
    layers: tuple[int, ...] = shown("every fourth; coefficients are swept in two of them")
    parts: tuple[str, ...] = flag(
        "Parts of the study, such as --part output,steering (babelscope list parts).",
        "--part",
        default=(),
        shown="all",
        known=lambda: PARTS,
    )
    coefficients: tuple[float, ...] = flag(
        "How far to steer, such as --coefficient=-2,2. Repeatable.",
        "--coefficient",
        default=COEFFICIENTS,
    )
    controls: tuple[Control, ...] = flag(
        "Controls of steering, such as --control random. Repeatable.",
        "--control",
        default=(),
        shown="all that apply",
    )
    sample: int = flag(
        "Questions drawn for vectors and pictures, such as --sample 30.", default=SAMPLE, least=2
    )
    seeds: tuple[int, ...] = flag(
        "Seeds of that draw; several, such as --seed 0,1,2, show its spread.",
        "--seed",
        default=(0,),
    )
    lens: Lens = flag("", "--switch", default=Lens())
    steering: Steering = flag("", "--switch", default=Steering())


def study(options: Options) -> Study:
    """The study for any models and any benchmarks whose items are parallel across languages.

    Raises:
        ValueError: an option that is unknown, or without effect on the parts asked for.
    """
    parts = _parts(options)
    _refuse_ignored(options, parts)
    return Study(
        name=NAME,
        models=options.models_for(_benchmarks(options)),
        grids=tuple(grid for part in parts for grid in PARTS[part](options)),
        settings={
            "limit": options.limit or "all",
            "prompt": options.prompt,
            "sample": options.sample,
            "dtype": options.dtype,
            **options.asking.settings(),
            **asdict(options.lens),
            **asdict(options.steering),
        },
    )


def _output(options: Options) -> Iterator[Grid]:
    """Table 1, Figure 1."""
    for benchmark in _benchmarks(options):
        yield ChoiceGrid(
            benchmark=benchmark,
            languages=options.with_pivots(_pivot(options)),
            limit=options.limit,
            prompt=options.prompt,
            asking=options.asking,
            parallel=True,
        )


def _latent(options: Options) -> Iterator[Grid]:
    """Figure 2, Table 2."""
    for benchmark in _benchmarks(options):
        yield LatentGrid(
            benchmark=benchmark,
            languages=options.with_pivots(_pivot(options)),
            pivot=_pivot(options),
            limit=options.limit,
            prompt=options.prompt,
            asking=options.asking,
            layers=options.layers or "analysed",
            lens=options.lens,
        )


def _states(options: Options) -> Iterator[Grid]:
    """Figures 3 and 6, and the similarities of the paper's later version."""
    for benchmark in _benchmarks(options):
        for together in (True, False):
            yield AlignmentGrid(
                table="points" if together else "alignment",
                dataset=f"questions/{benchmark}",
                languages=options.chosen_languages,
                pivot=_pivot(options),
                pairs=None,
                measures=("cosine",) if together else SIMILARITIES,
                poolings=("last",),
                layers=options.layers or "analysed",
                switches=options.switches,
                method="pca" if together else None,
                together=together,
                questions=Questions(
                    benchmark=benchmark,
                    prompt=options.prompt,
                    asking=options.asking,
                    limit=options.limit,
                    sample=options.sample if together else COMPARED,
                    seed=options.seeds[0],
                ),
            )


def _steering(options: Options) -> Iterator[Grid]:
    """Figures 4, 5 and 7 to 11: coefficients in a few layers, and both directions in many."""
    controls = "controls" in _parts(options)
    for benchmark in _benchmarks(options):
        if not options.layers:
            yield _steered(options, benchmark, layers="swept")
        # One pass answers all that is asked of a prompt, so controls ride along.
        ends = tuple(end for end in ENDS if end in options.coefficients)
        yield _steered(
            options,
            benchmark,
            layers=options.layers or "analysed",
            coefficients=None if options.layers else ends,
            controls=controls,
        )


def _controls(options: Options) -> Iterator[Grid]:
    """What a push does that is not the one toward the pivot (no figure of the paper)."""
    if "steering" not in _parts(options):
        for benchmark in _benchmarks(options):
            layers: Layers = options.layers or "analysed"
            yield _steered(options, benchmark, layers=layers, coefficients=(), controls=True)


def _steered(
    options: Options,
    benchmark: str,
    *,
    layers: Layers,
    coefficients: tuple[float, ...] | None = None,
    controls: bool = False,
) -> SteeringGrid:
    given = options.coefficients
    others = [name for name in _benchmarks(options) if name != benchmark]
    return SteeringGrid(
        benchmark=benchmark,
        languages=options.chosen_languages,
        pivot=_pivot(options),
        limit=options.limit,
        prompt=options.prompt,
        asking=options.asking,
        layers=layers,
        coefficients=given if coefficients is None else coefficients,
        seeds=options.seeds,
        sample=options.sample,
        controls=_those_that_apply(options, benchmark, others=others) if controls else (),
        control_coefficients=_control_coefficients(given),
        others=tuple(others),
        strict=bool(options.controls),
        steering=options.steering,
    )


PARTS: dict[str, Callable[[Options], Iterator[Grid]]] = {
    "output": _output,
    "latent": _latent,
    "states": _states,
    "steering": _steering,
    "controls": _controls,
}


def _control_coefficients(given: tuple[float, ...]) -> tuple[float, ...]:
    """The one coefficient of controls: 2 where it is run, else the largest of those that are."""
    return (ENDS[1],) if ENDS[1] in given else (max(given),)


def _those_that_apply(
    options: Options, benchmark: str, *, others: list[str]
) -> tuple[Control, ...]:
    """The controls asked for, or all that this benchmark and prompt allow."""
    if "orthogonal" in options.controls and not _has_letters(options, benchmark):
        raise ValueError(
            f"the control orthogonal needs options that are letters, and {benchmark} is asked with "
            f"the prompt {options.prompt}: add --prompt {PROMPT}, or leave it out"
        )
    if options.controls:
        return tuple(name for name in CONTROLS if name in options.controls)
    return tuple(
        name
        for name in CONTROLS
        if (others or name != "wrong_dataset")
        and (_has_letters(options, benchmark) or name != "orthogonal")
        and (len(options.languages) != 1 or name != "wrong_language")
    )


def _has_letters(options: Options, benchmark: str) -> bool:
    """Whether the options are answered by letter."""
    prompt = BENCHMARKS.get(benchmark, OWN).prompts.get(options.prompt)
    return prompt is not None and prompt.symbolic


def _parts(options: Options) -> tuple[str, ...]:
    """The parts asked for, in their order."""
    return tuple(part for part in PARTS if not options.parts or part in options.parts)


def _benchmarks(options: Options) -> tuple[str, ...]:
    if options.benchmarks:
        return options.benchmarks
    if options.paper:
        return PAPER_BENCHMARKS
    return PAPER_BENCHMARKS[:1] if options.models else MINI_BENCHMARKS


def _pivot(options: Options) -> str:
    return options.one_pivot(PIVOT, role="steers toward one language")


def _refuse_ignored(options: Options, parts: tuple[str, ...]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    refuse_harness(_benchmarks(options), other=PAPER_BENCHMARKS[0])
    needed = {
        "coefficients": ("--coefficient", "steering"),
        "controls": ("--control", "controls"),
        "steering": ("a switch of steering (vec_norm, steer_pos)", "steering"),
        "lens": ("a switch of the logit lens (lens_norm, lens_head, softcap)", "latent"),
    }
    refuse_without_part(options, needed, parts=parts)

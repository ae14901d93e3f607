"""DALI: do single answers transfer from English, and does their alignment say so?

Source: "DALI", the instance-level alignment of options, as docs/studies/dali.md describes it. Its
parts: which options lie nearest to their own translations (`alignment`), which answers are right in
both languages (`answers`), and what becomes of wrong answers when states of the same English
question are put in (`patching`), with the controls that such a claim needs. `steering` asks what
steering vectors have to do with both.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from studies.flags import flag, shown
from studies.kinds.choices import ChoiceGrid
from studies.kinds.directions import DirectionGrid
from studies.kinds.option_alignment import Embedding, OptionGrid
from studies.kinds.patching import PatchGrid, Patching
from studies.kinds.steered_options import SteeredOptionGrid
from studies.options import Common, refuse_harness, refuse_without_part
from studies.patch_items import PATCHES, Patch
from studies.study import Grid, Study

NAME = "dali"
EXAMPLE = "--model meta-llama/Llama-3.1-8B --benchmark xstorycloze --dtype bfloat16"
PIVOT = "eng_Latn"
PAPER_BENCHMARKS = ("belebele", "xstorycloze", "xcopa")
MINI_BENCHMARKS = ("mini_belebele", "mini_xstorycloze")


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """What the DALI study reads."""

    benchmarks: tuple[str, ...] = shown("belebele, xstorycloze, xcopa; without --model embedded")
    parts: tuple[str, ...] = flag(
        "Parts of the study, such as --part alignment,answers (babelscope list parts).",
        "--part",
        default=(),
        shown="all",
        known=lambda: PARTS,
    )
    layers: tuple[int, ...] = flag(
        "Layers to put states in, and to steer in, 1..L, such as --layer 8,16. Repeatable.",
        "--layer",
        default=(),
        shown="all to put states in, the middle one to steer in",
    )
    patches: tuple[Patch, ...] = flag(
        "Whose states are put in, such as --patch matched,permuted. Repeatable.",
        "--patch",
        default=PATCHES,
    )
    seed: int = flag("Seed of the order of other questions, such as --seed 1.", default=0)
    coefficients: tuple[float, ...] = flag(
        "How far options are steered toward the pivot, such as --coefficient 1,2. Repeatable.",
        "--coefficient",
        default=(1.0,),
    )
    embedding: Embedding = flag("", "--switch", default=Embedding())
    patching: Patching = flag("", "--switch", default=Patching())


def study(options: Options) -> Study:
    """The study for any models and benchmarks whose items are parallel across languages.

    Raises:
        ValueError: an option that is unknown, or without effect on the parts asked for.
    """
    parts = tuple(part for part in PARTS if not options.parts or part in options.parts)
    _refuse_ignored(options, parts)
    return Study(
        name=NAME,
        models=options.models_for(_benchmarks(options)),
        grids=tuple(grid for part in parts for grid in PARTS[part](options)),
        settings={
            "limit": options.limit or "all",
            "prompt": options.prompt or "default",
            "seed": options.seed,
            "dtype": options.dtype,
            **options.asking.settings(),
            **asdict(options.embedding),
            **asdict(options.patching),
        },
    )


def _alignment(options: Options) -> Iterator[Grid]:
    """DALI, its strong form and MEXA of single items, layer by layer."""
    for where in _beside_pivot(options):
        yield OptionGrid(**where, embedding=options.embedding)


def _answers(options: Options) -> Iterator[Grid]:
    """Which answers are right in both languages."""
    for benchmark in _benchmarks(options):
        yield ChoiceGrid(
            benchmark=benchmark,
            languages=options.with_pivots(_pivot(options)),
            limit=options.limit,
            prompt=options.prompt,
            asking=options.asking,
            parallel=True,
        )


def _patching(options: Options) -> Iterator[Grid]:
    """Wrong answers with states of the same question in the pivot, and controls."""
    for where in _beside_pivot(options):
        yield PatchGrid(
            **where,
            prompt=options.prompt,
            asking=options.asking,
            layers=options.layers or None,
            patches=options.patches,
            seed=options.seed,
            patching=options.patching,
        )


def _steering(options: Options) -> Iterator[Grid]:
    """What steering does to the options' alignment, and whether patches point along its vectors."""
    for where in _beside_pivot(options):
        yield SteeredOptionGrid(
            **where,
            embedding=options.embedding,
            layers=options.layers,
            coefficients=options.coefficients,
        )
        yield DirectionGrid(
            **where,
            prompt=options.prompt,
            asking=options.asking,
            layers=options.layers or None,
        )


PARTS: dict[str, Callable[[Options], Iterator[Grid]]] = {
    "alignment": _alignment,
    "answers": _answers,
    "patching": _patching,
    "steering": _steering,
}


def _beside_pivot(options: Options) -> Iterator[dict[str, Any]]:
    """Each benchmark with the languages to compare with the pivot."""
    pivot = _pivot(options)
    for benchmark in _benchmarks(options):
        languages = options.with_pivots(pivot)
        yield {"benchmark": benchmark, "languages": languages, "pivot": pivot,
               "limit": options.limit}  # fmt: skip


def _benchmarks(options: Options) -> tuple[str, ...]:
    return options.benchmarks or (PAPER_BENCHMARKS if options.models else MINI_BENCHMARKS)


def _pivot(options: Options) -> str:
    return options.one_pivot(PIVOT, role="compares with one language")


def _refuse_ignored(options: Options, parts: tuple[str, ...]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    if 0 in options.coefficients:
        raise ValueError("--coefficient 0 is the plain model, which every row has: leave it out")
    refuse_harness(_benchmarks(options), other=PAPER_BENCHMARKS[0])
    needed = {
        "layers": ("--layer", "patching", "steering"),
        "coefficients": ("--coefficient", "steering"),
        "patches": ("--patch", "patching"),
        "seed": ("--seed", "patching"),
        "patching": ("a switch of patching (patch_site)", "patching"),
        "embedding": (
            "a switch of alignment (dali_pool, xcopa_connectors)",
            "alignment",
            "steering",
        ),
    }
    refuse_without_part(options, needed, parts=parts)
    for name, given in (("prompt", "--prompt"), ("asking", "a switch of prompts")):
        if getattr(options, name) != getattr(Options(), name) and parts == ("alignment",):
            raise ValueError(
                f"{given} has no effect without the parts answers, patching and steering: add one "
                "of them"
            )
    connectors = options.embedding.xcopa_connectors
    if connectors != Embedding().xcopa_connectors and "xcopa" not in _benchmarks(options):
        raise ValueError(f"xcopa_connectors={connectors} has no effect: add --benchmark xcopa")

"""DALI: do single answers transfer from English, and does their alignment say so?

Source: "DALI", the instance-level alignment of options, as docs/studies/dali.md describes it. Its
parts: which options lie nearest to their own translations (`alignment`), which answers are right in
both languages (`answers`), and what becomes of wrong answers when states of the same English
question are put in (`patching`), with the controls that such a claim needs.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from studies.flags import flag, shown
from studies.kinds.choices import ChoiceGrid
from studies.kinds.option_alignment import Embedding, OptionGrid
from studies.kinds.patching import PatchGrid, Patching
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
        "Layers to put states in, 1..L, such as --layer 8,16. Repeatable.",
        "--layer",
        default=(),
        shown="all",
    )
    patches: tuple[Patch, ...] = flag(
        "Whose states are put in, such as --patch matched,permuted. Repeatable.",
        "--patch",
        default=PATCHES,
    )
    seed: int = flag("Seed of the order of other questions, such as --seed 1.", default=0)
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
    for benchmark in _benchmarks(options):
        yield OptionGrid(
            benchmark=benchmark,
            languages=options.with_pivots(_pivot(options)),
            pivot=_pivot(options),
            limit=options.limit,
            embedding=options.embedding,
        )


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
    for benchmark in _benchmarks(options):
        yield PatchGrid(
            benchmark=benchmark,
            languages=options.with_pivots(_pivot(options)),
            pivot=_pivot(options),
            limit=options.limit,
            prompt=options.prompt,
            asking=options.asking,
            layers=options.layers or None,
            patches=options.patches,
            seed=options.seed,
            patching=options.patching,
        )


PARTS: dict[str, Callable[[Options], Iterator[Grid]]] = {
    "alignment": _alignment,
    "answers": _answers,
    "patching": _patching,
}


def _benchmarks(options: Options) -> tuple[str, ...]:
    return options.benchmarks or (PAPER_BENCHMARKS if options.models else MINI_BENCHMARKS)


def _pivot(options: Options) -> str:
    return options.one_pivot(PIVOT, role="compares with one language")


def _refuse_ignored(options: Options, parts: tuple[str, ...]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    refuse_harness(_benchmarks(options), other=PAPER_BENCHMARKS[0])
    needed = {
        "layers": ("--layer", "patching"),
        "patches": ("--patch", "patching"),
        "seed": ("--seed", "patching"),
        "patching": ("a switch of patching (patch_site)", "patching"),
        "embedding": ("a switch of alignment (dali_pool, xcopa_connectors)", "alignment"),
    }
    refuse_without_part(options, needed, parts=parts)
    for name, given in (("prompt", "--prompt"), ("asking", "a switch of prompts")):
        if getattr(options, name) != getattr(Options(), name) and parts == ("alignment",):
            raise ValueError(
                f"{given} has no effect without the parts answers and patching: add one of them"
            )
    connectors = options.embedding.xcopa_connectors
    if connectors != Embedding().xcopa_connectors and "xcopa" not in _benchmarks(options):
        raise ValueError(f"xcopa_connectors={connectors} has no effect: add --benchmark xcopa")

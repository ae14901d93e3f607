"""NeuronXA: how well parallel sentences agree inside a model, against its accuracy by language.

Source: "From Neurons to Semantics" (ACL 2025, arXiv 2507.14900); MEXA, CKA, SVCCA and ANC are its
baselines. The study has parts, each with the tables or figures it fills; `paper` asks for all that
the paper shows. The main result is the cross-model table: Pearson's r over languages between each
score and each benchmark's accuracy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from studies.flags import flag, shown
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.kinds.generation import GenerationGrid
from studies.kinds.training import TransferGrid
from studies.measures import MEASURES, NEURONXA
from studies.options import Common, PaperOptions, ParallelOptions, known_languages
from studies.spec import POOLINGS, Pooling
from studies.study import Grid, Study
from studies.texts import FineTuning
from studies.values import listed, once

EXAMPLE = "--model ./llama --model ./qwen --benchmark belebele --language all --out runs/first"
PIVOT = "eng_Latn"
PICTURED = "zho_Hans"
RETRIEVING = ("mexa", "nasca")
TRANSFERRED = "xnli"
FACTS = ("bmlama53", "bmlama17")

# Every sentence of Tatoeba is paired with English alone.
PAPER_PIVOTS = {"flores200": (PIVOT, "fra_Latn", "ita_Latn", "deu_Latn"), "tatoeba": (PIVOT,)}
PAPER_BENCHMARKS = ("harness/m_arc", "harness/m_mmlu", "harness/belebele", "bmlama53")
PAPER_PAIRS = (
    *((PIVOT, "deu_Latn"), ("ita_Latn", "fra_Latn"), ("deu_Latn", "fra_Latn")),
    *(("fra_Latn", "zho_Hans"), ("deu_Latn", "szl_Latn"), ("fra_Latn", "pan_Guru")),
    *(("ita_Latn", "bjn_Latn"), ("ita_Latn", "uig_Arab"), ("azj_Latn", "tuk_Latn")),
    *(("hun_Latn", "ydd_Hebr"), ("guj_Gujr", "bjn_Latn"), ("kaz_Cyrl", "tat_Cyrl")),
)
PAPER_PARTS = ("scores", "retrieval", "pairs", "picture", "robustness", "transfer")
USUAL_PARTS = ("scores", "picture")


def pairs_of_languages(texts: Sequence[str], flag: str) -> tuple[tuple[str, str], ...]:
    """Pairs of two languages, such as deu_Latn:fra_Latn."""

    def two(text: str) -> tuple[str, str]:
        first, colon, second = text.partition(":")
        if not (first and colon and second) or first == second:
            raise ValueError(f"{flag} {text}: expected two languages, such as deu_Latn:fra_Latn")
        known_languages((first, second), flag)
        return first, second

    return once([two(text) for text in listed(texts, flag)], flag)


@dataclass(frozen=True, kw_only=True)
class Options(PaperOptions, ParallelOptions, Common):
    """What NeuronXA reads."""

    parallels: tuple[str, ...] = shown("flores200")
    measures: tuple[str, ...] = flag(
        "Alignment scores, such as --measure nasca,mexa (babelscope list measures).",
        "--measure",
        default=NEURONXA,
        known=lambda: MEASURES,
    )
    poolings: tuple[Pooling, ...] = flag(
        "How the tokens of a sentence become one vector, such as --pooling last.",
        "--pooling",
        default=POOLINGS,
    )
    parts: tuple[str, ...] = flag(
        "Parts of the study, such as --part scores,retrieval (babelscope list parts).",
        "--part",
        default=(),
        shown="scores, picture",
        known=lambda: PARTS,
    )
    language_pairs: tuple[tuple[str, str], ...] = flag(
        "Two languages to compare, such as --pair deu_Latn:fra_Latn. Repeatable.",
        "--pair",
        default=(),
        read=pairs_of_languages,
    )
    fewshot: int | None = flag(
        "Examples before each question of a harness task, such as --fewshot 3.", shown="5"
    )
    how: FineTuning = flag(
        "How the part transfer trains its adapter, such as --finetune rank=16. Repeatable.",
        "--finetune",
        default=FineTuning(),
        noun="setting",
    )


def study(options: Options) -> Study:
    """The study for any models; without benchmarks it yields the alignment scores alone.

    Raises:
        ValueError: an option that is unknown, or without effect on the parts asked for.
    """
    if options.paper:
        options = _as_in_the_paper(options)
    parts = _parts(options)
    _refuse_ignored(options, parts)
    grids = [grid for part in parts for grid in PARTS[part](options)]
    return Study(
        name="neuronxa",
        models=options.named_models(),
        grids=(*grids, *_choices(options)),
        settings={
            "pairs": options.pair_count or "all",
            "limit": options.limit or "all",
            "prompt": options.prompt or "default",
            "fewshot": 5 if options.fewshot is None else options.fewshot,
            "dtype": options.dtype,
            **asdict(options.switches),
            **options.asking.changed(),
            **({"fine_tuning": asdict(options.how)} if "transfer" in parts else {}),
        },
    )


def _scores(options: Options) -> Iterator[Grid]:
    """Tables 3, 4, 6 to 11, Figures 2 and 3."""
    for dataset, pivot in _texts(options):
        yield _alignment(options, dataset, pivot)


def _retrieval(options: Options) -> Iterator[Grid]:
    """Tables 1 and 5: among all pairs there are."""
    for dataset, pivot in _texts(options):
        measures = _those(options, RETRIEVING, part="retrieval")
        yield _alignment(
            options, dataset, pivot, pairs=None, measures=measures, poolings=_weighted(options)
        )


def _language_pairs(options: Options) -> Iterator[Grid]:
    """Table 2: languages compared with each other."""
    asked = options.language_pairs
    for first in dict.fromkeys(pair[0] for pair in asked):
        others = tuple(second for one, second in asked if one == first)
        yield _alignment(
            options, _datasets(options)[0], first, languages=others, poolings=_weighted(options)
        )


def _picture(options: Options) -> Iterator[Grid]:
    """Figure 1: pairs of one language in two dimensions, at the middle layer."""
    languages = options.chosen_languages
    first = (PICTURED,) if PICTURED in languages or "all" in languages else ()
    for dataset, pivot in list(_texts(options))[-1:]:
        yield _alignment(
            options,
            dataset,
            pivot,
            table="points",
            languages=tuple(dict.fromkeys((*first, *languages))),
            measures=tuple(name for name in RETRIEVING if name in options.measures)
            or options.measures[:1],
            poolings=_weighted(options),
            layers=options.layers[:1] or None,
            method="tsne",
        )


def _robustness(options: Options) -> Iterator[Grid]:
    """Chance, sampling, hubs and duplicates (no table of the paper)."""
    nearest = tuple(name for name in MEASURES if MEASURES[name].score == "mutual_nearest")
    for dataset, pivot in _texts(options):
        measures = _those(options, nearest, part="robustness")
        yield _alignment(
            options,
            dataset,
            pivot,
            table="robustness",
            measures=measures,
            poolings=_weighted(options),
        )


def _alignment(options: Options, dataset: str, pivot: str, **changes: Any) -> AlignmentGrid:
    """A grid as the options ask for it, but for the changes of a part."""
    usual: dict[str, Any] = {
        "languages": options.chosen_languages,
        "pairs": options.pair_count,
        "measures": options.measures,
        "poolings": _poolings(options),
        "layers": options.layers or None,
        "switches": options.switches,
    }
    return AlignmentGrid(dataset=dataset, pivot=pivot, **usual | changes)


def _transfer(options: Options) -> Iterator[Grid]:
    """Table 3: fine-tuned on one language, asked in the others."""
    mini = _datasets(options) == ("miniworld",)
    benchmark = f"mini_{TRANSFERRED}" if mini else TRANSFERRED
    learned = [(benchmark, f"{benchmark}_train")]
    if options.switches.clka_mode == "finetune_en_then_rank":
        # The facts themselves are learned in one language: what is asked is whether others know.
        learned += [(name, name) for name in FACTS if name in options.benchmarks]
    for asked, train in learned:
        yield TransferGrid(
            benchmark=asked,
            train=train,
            train_language=(*options.pivots, PIVOT)[0],
            languages=options.with_pivots(PIVOT),
            limit=options.limit,
            how=options.how,
        )


def _translation(options: Options) -> Iterator[Grid]:
    """Figure 4: what checkpoints translate."""
    for dataset, pivot in _texts(options):
        yield GenerationGrid(
            benchmark=dataset,
            task="translation",
            languages=options.chosen_languages,
            pivot=pivot,
            limit=options.pair_count,
        )


PARTS: dict[str, Callable[[Options], Iterator[Grid]]] = {
    "scores": _scores,
    "retrieval": _retrieval,
    "pairs": _language_pairs,
    "picture": _picture,
    "robustness": _robustness,
    "transfer": _transfer,
    "translation": _translation,
}


def _choices(options: Options) -> Iterator[ChoiceGrid]:
    """The benchmarks that scores are to be correlated with."""
    learned = options.switches.clka_mode == "finetune_en_then_rank"
    for benchmark in options.benchmarks:
        if learned and benchmark in FACTS:
            continue
        harness = benchmark.startswith("harness/")
        shots = None if options.fewshot is None else f"{options.fewshot}-shot"
        yield ChoiceGrid(
            benchmark=benchmark,
            languages=options.with_pivots(PIVOT),
            limit=options.limit,
            prompt=shots if harness else options.prompt,
            asking=options.asking,
        )


def _as_in_the_paper(options: Options) -> Options:
    """All that the paper shows, where the options leave it open."""
    parts = options.parts or PAPER_PARTS
    pairs = PAPER_PAIRS if "pairs" in parts else ()
    return replace(
        options,
        parallels=options.parallels or tuple(PAPER_PIVOTS),
        benchmarks=options.benchmarks or PAPER_BENCHMARKS,
        language_pairs=options.language_pairs or pairs,
        parts=parts,
    )


def _parts(options: Options) -> tuple[str, ...]:
    """The parts asked for, in their order."""
    if "pairs" in options.parts and not options.language_pairs:
        raise ValueError("the part pairs needs pairs of languages: --pair deu_Latn:fra_Latn")
    asked = options.parts or (*USUAL_PARTS, *(("pairs",) if options.language_pairs else ()))
    return tuple(part for part in PARTS if part in asked)


def _datasets(options: Options) -> tuple[str, ...]:
    return options.parallels or ("flores200",)


def _texts(options: Options) -> Iterator[tuple[str, str]]:
    """Every parallel text with every pivot."""
    for dataset in _datasets(options):
        pivots = PAPER_PIVOTS.get(dataset, (PIVOT,)) if options.paper else (PIVOT,)
        yield from ((dataset, pivot) for pivot in options.pivots or pivots)


def _those(options: Options, able: tuple[str, ...], *, part: str) -> tuple[str, ...]:
    """The measures asked for among those that a part is about."""
    found = tuple(name for name in able if name in options.measures)
    if not found:
        raise ValueError(
            f"the part {part} is about {', '.join(able)}: ask for one of them with --measure, or "
            "leave the part out"
        )
    return found


def _poolings(options: Options) -> tuple[Pooling, ...]:
    """The poolings asked for, in the order of all."""
    return tuple(pooling for pooling in POOLINGS if pooling in options.poolings)


def _weighted(options: Options) -> tuple[Pooling, ...]:
    """The paper's pooling, or the first of those asked for."""
    asked = _poolings(options)
    return ("weighted",) if "weighted" in asked else asked[:1]


def _refuse_ignored(options: Options, parts: tuple[str, ...]) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    harness = any(name.startswith("harness/") for name in options.benchmarks)
    own = any(not name.startswith("harness/") for name in options.benchmarks)
    if options.limit is not None and not options.benchmarks and "transfer" not in parts:
        raise ValueError(f"--limit {options.limit} has no effect without --benchmark: name one")
    if options.asking != type(options.asking)() and not own:
        raise ValueError(
            "a switch of how questions are put has no effect without --benchmark: name one that "
            "is not the harness's"
        )
    if options.prompt is not None and not own:
        raise ValueError(
            f"--prompt {options.prompt} has no effect without --benchmark: name one that is not "
            "the harness's"
        )
    if options.fewshot is not None and not harness:
        raise ValueError(
            f"--fewshot {options.fewshot} has no effect without a benchmark of the harness: name "
            "one, such as --benchmark harness/m_arc"
        )
    if options.language_pairs and "pairs" not in parts:
        raise ValueError("--pair has no effect without the part pairs: add --part pairs")
    learns = options.switches.clka_mode == "finetune_en_then_rank"
    if learns and not ("transfer" in parts and set(FACTS) & set(options.benchmarks)):
        raise ValueError(
            "switch clka_mode=finetune_en_then_rank has no effect without the part transfer and a "
            f"benchmark of facts: add --part transfer --benchmark {FACTS[0]}"
        )
    if options.how != type(options.how)() and "transfer" not in parts:
        raise ValueError("--finetune has no effect without the part transfer: add --part transfer")
    if options.switches.seed and options.switches.pair_ids == "first":
        raise ValueError(
            f"switch seed={options.switches.seed} has no effect with pair_ids=first: add "
            "--switch pair_ids=random"
        )

"""NeuronXA: how well parallel sentences agree inside a model, against its accuracy by language.

Source: "From Neurons to Semantics" (ACL 2025, arXiv 2507.14900), sections 2 and 3; MEXA is its
baseline. The result is the cross-model table: Pearson's r over languages between each score and
each benchmark's accuracy.
"""

from dataclasses import asdict

from studies import options as opt
from studies.measures import MEASURES
from studies.options import Options
from studies.spec import AlignmentGrid, ChoiceGrid, Study


def study(options: Options) -> Study:
    """The study for any models; without benchmarks it yields the alignment scores alone."""
    _refuse_ignored(options)
    pivot = options.pivot or "eng_Latn"
    languages = options.languages or ("all",)
    pairs = None if options.all_pairs else options.pairs or 100
    alignment = AlignmentGrid(
        dataset=options.parallel or "flores200",
        languages=languages,
        pivot=pivot,
        pairs=pairs,
        measures=options.measures or tuple(MEASURES),
        poolings=opt.poolings(options.poolings),
        layers=options.layers or None,
        switches=options.switches,
    )
    with_pivot = languages if "all" in languages else tuple(dict.fromkeys((pivot, *languages)))
    choices = tuple(
        ChoiceGrid(
            benchmark=benchmark,
            languages=with_pivot,
            limit=options.limit,
            prompt=options.prompt,
        )
        for benchmark in options.benchmarks
    )
    return Study(
        name="neuronxa",
        models=opt.models(options),
        grids=(alignment, *choices),
        settings={
            "pairs": pairs or "all",
            "limit": options.limit or "all",
            "prompt": options.prompt or "default",
            "dtype": options.dtype or "float32",
            **asdict(options.switches),
        },
    )


def _refuse_ignored(options: Options) -> None:
    """A setting without effect is a misunderstanding: say so before anything runs."""
    for flag, value in (("--limit", options.limit), ("--prompt", options.prompt)):
        if value is not None and not options.benchmarks:
            raise ValueError(f"{flag} {value} has no effect without --benchmark: name one")
    if options.switches.seed and options.switches.pair_ids == "first":
        raise ValueError(
            f"switch seed={options.switches.seed} has no effect with pair_ids=first: add "
            "--switch pair_ids=random"
        )

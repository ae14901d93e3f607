"""Read a grid of accuracy: one part for each language that the benchmark has."""

from orchestrator.draft import Draft, characters, those_there
from studies import benchmarks
from studies.cells import choice_cell
from studies.parallel_items import check_parallel
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import ChoiceGrid


def choices(
    draft: Draft, grid: ChoiceGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of a benchmark; a language it lacks is a note, as scores exist without it.

    Raises:
        ValueError: the benchmark does not exist, or its items are to be parallel and are not.
    """
    there = benchmarks.languages(grid.benchmark, source=source)
    sets = [
        benchmarks.load(
            grid.benchmark,
            language=language,
            source=source,
            limit=grid.limit,
            prompt=grid.prompt,
            asking=grid.asking,
        )
        for language in those_there(draft, grid.languages, there=there, benchmark=grid.benchmark)
    ]
    for asked in sets:
        fingerprint = draft.read(asked, name=f"items {grid.benchmark}/{asked.language}")
        size = characters(asked)
        for model in models:
            cell = choice_cell(asked, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=asked,
                grid=grid,
                characters=size,
            )
    counts = {len(asked.items) for asked in sets}
    dropped = check_parallel(sets) if grid.parallel and sets else 0
    if dropped:
        draft.notes.append(
            f"{grid.benchmark}: {dropped} items are not there in every language; two languages are "
            "compared on the items that both have"
        )
    elif len(counts) > 1:
        draft.notes.append(
            f"{grid.benchmark} has {min(counts)} to {max(counts)} items by language: each accuracy "
            "is over the language's own items"
        )

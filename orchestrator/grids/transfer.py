"""Read a grid of transfer: an adapter, and the answers that are given with it."""

from dataclasses import replace

from orchestrator.draft import Draft, characters, those_there
from studies import benchmarks
from studies.cells import choice_cell, training_cell
from studies.contents import Example, TrainingSet
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import TransferGrid

# A pass that trains takes about three times what one that reads takes, for every epoch.
TRAINING_COST = 3


def transfer(
    draft: Draft, grid: TransferGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add an adapter's part, where somebody needs it, and those of the languages it answers in."""
    lessons = _lessons(grid, source=source)
    learned = draft.read(lessons, name=f"training {grid.train}/{grid.train_language}")
    there = benchmarks.languages(grid.benchmark, source=source)
    asked = [
        replace(
            benchmarks.load(
                grid.benchmark,
                language=language,
                source=source,
                limit=grid.limit,
                prompt=lessons.prompt,
            ),
            benchmark=f"transfer/{grid.benchmark}",
        )
        for language in those_there(draft, grid.languages, there=there, benchmark=grid.benchmark)
    ]
    fingerprints = [
        draft.read(choices, name=f"items {choices.benchmark}/{choices.language}")
        for choices in asked
    ]
    for model in models:
        adapter = training_cell(lessons, model=model, fingerprint=learned)
        cells = [
            choice_cell(choices, model=model, fingerprint=fingerprint, adapter=adapter.key)
            for choices, fingerprint in zip(asked, fingerprints, strict=True)
        ]
        taken = not all(draft.ledger.there(cell.key) for cell in cells)
        if taken or draft.ledger.there(adapter.key):
            tokens = sum(len(each.context) + len(each.answer) for each in lessons.examples)
            draft.add(
                draft.ledger.those_missing(adapter),
                model=model,
                content=lessons,
                grid=grid,
                characters=TRAINING_COST * grid.how.epochs * tokens,
            )
        for choices, cell in zip(asked, cells, strict=True):
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=choices,
                grid=grid,
                characters=characters(choices),
                needs=(adapter.key,),
            )


def _lessons(grid: TransferGrid, *, source: Source) -> TrainingSet:
    """The questions to learn from, with their right answers."""
    choices = benchmarks.load(
        grid.train,
        language=grid.train_language,
        source=source,
        limit=grid.how.examples,
        prompt=grid.prompt,
    )
    return TrainingSet(
        benchmark=grid.train,
        language=grid.train_language,
        prompt=choices.prompt,
        examples=tuple(
            Example(context=item.context, answer=item.options[item.gold]) for item in choices.items
        ),
        how=grid.how,
        commit=choices.commit,
    )

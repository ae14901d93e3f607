"""Read a grid of translations: one part for each language that is translated into."""

from orchestrator.draft import Draft, named
from studies import parallel_text, translation
from studies.cells import text_cell
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import TranslationGrid

# Writing a token takes a pass of its own, if a cheap one.
WRITING_COST = 4


def translations(
    draft: Draft, grid: TranslationGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of translations into every language but the one translated from."""
    there = parallel_text.languages(grid.dataset, source=source)
    for language in named(grid.languages, there=there):
        if language == grid.pivot:
            continue
        bitext = parallel_text.load(
            grid.dataset,
            language=language,
            pivot=grid.pivot,
            pairs=None if grid.pairs is None else grid.pairs + grid.shots,
            source=source,
        )
        asked = translation.translations(
            bitext, shots=grid.shots, max_new_tokens=grid.max_new_tokens
        )
        name = f"translations {grid.dataset}/{language}-{grid.pivot}"
        fingerprint = draft.read(asked, name=name)
        written = WRITING_COST * sum(len(item.references[0]) for item in asked.items)
        characters = written + sum(len(item.prompt) for item in asked.items)
        for model in models:
            cell = text_cell(asked, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=asked,
                grid=grid,
                characters=characters,
            )

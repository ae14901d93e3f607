"""Read a grid of option texts at layers: one part for each language that the benchmark has."""

from orchestrator.draft import Draft, need_pivot, those_there
from studies import benchmarks, latent_items
from studies.cells import latent_cells
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import LatentGrid


def latent(
    draft: Draft, grid: LatentGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of a benchmark's option texts, those of the pivot itself among them.

    Raises:
        ValueError: the benchmark does not exist, or a language and the pivot are not parallel.
    """
    there = benchmarks.languages(grid.benchmark, source=source)
    need_pivot(
        grid.benchmark, grid.pivot, there=there, role="the language of the other option texts"
    )
    for language in those_there(draft, grid.languages, there=there, benchmark=grid.benchmark):
        found = latent_items.latent_set(
            grid.benchmark,
            language=language,
            pivot=grid.pivot,
            source=source,
            limit=grid.limit,
            prompt=grid.prompt,
            asking=grid.asking,
            seed=grid.seed,
        )
        asked = found.set
        if found.alone:
            draft.notes.append(
                f"{grid.benchmark} in {language}: {found.alone} items are left out of the latent "
                "part, as no other has as many options to be exchanged with"
            )
        fingerprint = draft.read(asked, name=f"options {grid.benchmark}/{language}-{grid.pivot}")
        characters = sum(
            len(item.context) + 2 * sum(map(len, (*item.native, *item.pivot)))
            for item in asked.items
        )
        for model in models:
            cells = latent_cells(grid, asked, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(*cells),
                model=model,
                content=asked,
                grid=grid,
                characters=characters,
            )

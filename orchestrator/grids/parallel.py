"""Read a grid over parallel text: one part for each language, or one picture of them all."""

from orchestrator.draft import Draft, named, those_there
from studies import parallel_text, question_texts
from studies.cells import alignment_cells
from studies.rows import Source
from studies.spec import Bitext, ModelFacts, digest
from studies.study import AlignmentGrid

EVERY = "all"


def parallel(
    draft: Draft, grid: AlignmentGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of a grid over parallel text.

    Raises:
        ValueError: the texts do not exist, or there is no language beside the pivot.
    """
    chosen = _languages(draft, grid, source=source)
    if not chosen:
        raise ValueError(
            f"no language to compare with the pivot {grid.pivot!r} in {grid.dataset}: name at "
            "least one other language with --language, or all"
        )
    if grid.together:
        _together(draft, grid, chosen, models=models, source=source)
        return
    for language in chosen[:1] if grid.table == "points" else chosen:
        bitext = _bitext(grid, language, source=source)
        fingerprint = draft.read(bitext, name=_pin(grid, language))
        characters = sum(map(len, bitext.texts))
        for model in models:
            cells = alignment_cells(
                grid,
                model=model,
                bitext=bitext,
                fingerprint=fingerprint,
                wanted=draft.ledger.missing,
            )
            draft.add(cells, model=model, content=bitext, grid=grid, characters=characters)


def _together(
    draft: Draft,
    grid: AlignmentGrid,
    chosen: list[str],
    *,
    models: tuple[ModelFacts, ...],
    source: Source,
) -> None:
    """Add the one part of a picture of all languages."""
    bitexts = [_bitext(grid, language, source=source) for language in chosen]
    prints = [
        draft.read(bitext, name=_pin(grid, language))
        for language, bitext in zip(chosen, bitexts, strict=True)
    ]
    whole = Bitext(
        dataset=grid.dataset, language=EVERY, pivot=grid.pivot, ids=(), pivot_texts=(), texts=()
    )
    characters = sum(len(text) for bitext in bitexts for text in bitext.texts)
    for model in models:
        cells = alignment_cells(
            grid,
            model=model,
            bitext=whole,
            fingerprint=digest(prints),
            wanted=draft.ledger.missing,
        )
        draft.add(
            cells,
            model=model,
            content=bitexts[0],
            beside=tuple(bitexts[1:]),
            grid=grid,
            characters=characters,
        )


def _languages(draft: Draft, grid: AlignmentGrid, *, source: Source) -> list[str]:
    """The languages to compare with the pivot, in the order they are asked for."""
    if grid.questions:
        there = question_texts.languages(grid.questions, source=source)
        name = grid.questions.benchmark
        meant = those_there(draft, grid.languages, there=there, benchmark=name)
    else:
        there = parallel_text.languages(grid.dataset, source=source)
        meant = list(named(grid.languages, there=there))
    if grid.table == "points":
        first = [language for language in grid.languages if language in there]
        meant = list(dict.fromkeys((*first, *meant)))
    return [language for language in meant if language != grid.pivot]


def _bitext(grid: AlignmentGrid, language: str, *, source: Source) -> Bitext:
    if grid.questions:
        return question_texts.bitext(
            grid.questions, language=language, pivot=grid.pivot, source=source
        )
    return parallel_text.load(
        grid.dataset,
        language=language,
        pivot=grid.pivot,
        pairs=grid.pairs,
        pair_ids=grid.switches.pair_ids,
        seed=grid.switches.seed,
        source=source,
    )


def _pin(grid: AlignmentGrid, language: str) -> str:
    return f"text {grid.dataset}/{language}-{grid.pivot}"

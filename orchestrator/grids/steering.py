"""Read a grid of steered answers: vectors first, then the answers that take them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from orchestrator.draft import Draft, need_pivot, those_there
from studies import benchmarks, steering_items
from studies.cells import steered_cells, vector_cell
from studies.contents import VectorSet
from studies.draws import Draw, draw
from studies.rows import Source
from studies.spec import ModelFacts, Taken
from studies.study import STEER, SteeringGrid

# What one steered answer costs beside the pass of its prompt, in characters: a few tokens.
ANSWER_CHARACTERS = 12


class _Vectors(NamedTuple):
    """A set of pairs, and its fingerprint."""

    asked: VectorSet
    fingerprint: str


def steering(
    draft: Draft, grid: SteeringGrid, *, models: tuple[ModelFacts, ...], source: Source
) -> None:
    """Add the parts of vectors and of the answers, one of each for every language and draw.

    Raises:
        ValueError: the benchmark or the pivot does not exist, nothing is left to answer, or a
            control lacks what it needs.
    """
    there = benchmarks.languages(grid.benchmark, source=source)
    need_pivot(grid.benchmark, grid.pivot, there=there, role="the language to steer toward")
    meant = those_there(draft, grid.languages, there=there, benchmark=grid.benchmark)
    chosen = [language for language in meant if language != grid.pivot]
    if not chosen:
        raise ValueError(
            f"no language to steer toward {grid.pivot!r} in {grid.benchmark}: name at least one "
            "other with --language, or all"
        )
    if "wrong_language" in grid.controls and len(chosen) < 2:
        lack = (
            f"the control wrong_language needs two languages beside {grid.pivot!r} in "
            f"{grid.benchmark}, and {chosen[0]!r} is the only one"
        )
        if grid.strict:
            raise ValueError(f"{lack}: name another, or leave the control out")
        draft.notes.append(f"{lack}: it is left out")
        grid = replace(
            grid, controls=tuple(name for name in grid.controls if name != "wrong_language")
        )
    for seed in grid.seeds:
        _draw(draft, grid, chosen, seed=seed, models=models, source=source)


def _draw(
    draft: Draft,
    grid: SteeringGrid,
    chosen: Sequence[str],
    *,
    seed: int,
    models: tuple[ModelFacts, ...],
    source: Source,
) -> None:
    """Add the parts of one draw of items."""
    own = {language: _pairs(draft, grid, language, seed=seed, source=source) for language in chosen}
    halves = None
    others: dict[str, _Vectors] = {}
    if "halves" in grid.controls:
        halves = _pairs(draft, grid, grid.pivot, seed=seed, source=source)
    if "wrong_dataset" in grid.controls:
        others = _of_others(draft, grid, chosen, seed=seed, source=source)
    everyone = [*own.values(), *([halves] if halves else []), *others.values()]
    for model in models:
        for each in everyone:
            cell = vector_cell(each.asked, model=model, fingerprint=each.fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=each.asked,
                grid=grid,
                characters=sum(map(len, (*each.asked.toward, *each.asked.away))),
            )
    for place, language in enumerate((grid.pivot, *chosen)):
        sources: dict[str, _Vectors] = {}
        if place:
            sources[STEER] = own[language]
            neighbour = chosen[place % len(chosen)]
            given = {
                "random": own[language],
                "orthogonal": own[language],
                "wrong_language": own[neighbour],
                "wrong_dataset": others.get(language),
                "halves": halves,
            }
            sources |= {name: found for name in grid.controls if (found := given[name])}
        _answers(draft, grid, language, sources, seed=seed, models=models, source=source)


def _answers(
    draft: Draft,
    grid: SteeringGrid,
    language: str,
    sources: dict[str, _Vectors],
    *,
    seed: int,
    models: tuple[ModelFacts, ...],
    source: Source,
) -> None:
    """Add the part of one language's answers, with the vectors that its interventions take."""
    drawn = _drawn(grid, grid.benchmark, language, seed=seed, source=source)
    asked = steering_items.held_out(drawn)
    name = f"held out {grid.benchmark}/{language}-{grid.pivot} {grid.sample}/{seed}"
    fingerprint = draft.read(asked, name=name)
    contexts = sum(len(item.context) for item in asked.items)
    for model in models:
        vectors = {
            intervention: vector_cell(found.asked, model=model, fingerprint=found.fingerprint).key
            for intervention, found in sources.items()
        }
        cells = tuple(
            steered_cells(grid, asked, model=model, vectors=vectors, fingerprint=fingerprint)
        )
        draft.add(
            draft.ledger.those_missing(*cells),
            model=model,
            content=asked,
            grid=grid,
            characters=contexts + ANSWER_CHARACTERS * len(cells) * len(asked.items),
            needs=tuple(dict.fromkeys(vectors.values())),
            taken=tuple(
                Taken(language=language, seed=seed, intervention=intervention, key=key)
                for intervention, key in vectors.items()
            ),
        )


def _pairs(
    draft: Draft,
    grid: SteeringGrid,
    language: str,
    *,
    seed: int,
    source: Source,
    benchmark: str | None = None,
) -> _Vectors:
    """The pairs that a language's vectors are made from."""
    name = benchmark or grid.benchmark
    asked = steering_items.vector_set(_drawn(grid, name, language, seed=seed, source=source))
    pin = f"vectors {name}/{language}-{grid.pivot} {grid.sample}/{seed}"
    return _Vectors(asked, draft.read(asked, name=pin))


def _drawn(grid: SteeringGrid, benchmark: str, language: str, *, seed: int, source: Source) -> Draw:
    """What a seed draws of a benchmark for one language."""
    return draw(
        benchmark,
        language=language,
        pivot=grid.pivot,
        source=source,
        limit=grid.limit,
        prompt=grid.prompt,
        asking=grid.asking,
        sample=grid.sample,
        seed=seed,
    )


def _of_others(
    draft: Draft, grid: SteeringGrid, chosen: Sequence[str], *, seed: int, source: Source
) -> dict[str, _Vectors]:
    """For every language the vectors of the first other benchmark that has it and the pivot.

    Raises:
        ValueError: none has any, and the control is not to be left out.
    """
    found: dict[str, _Vectors] = {}
    for benchmark in grid.others:
        there = benchmarks.languages(benchmark, source=source)
        if grid.pivot in there:
            new = (language for language in chosen if language in there and language not in found)
            found |= {
                language: _pairs(
                    draft, grid, language, seed=seed, source=source, benchmark=benchmark
                )
                for language in new
            }
    lacking = [language for language in chosen if language not in found]
    if not found and grid.strict:
        raise ValueError(
            f"the control wrong_dataset of {grid.benchmark} needs vectors of another benchmark "
            f"with {grid.pivot} and one of its languages: name one with --benchmark, or leave the "
            "control out"
        )
    if lacking:
        note = (
            f"no other benchmark has {grid.pivot} and {', '.join(lacking[:6])}"
            f"{f' and {len(lacking) - 6} more' if lacking[6:] else ''}: the control wrong_dataset "
            f"of {grid.benchmark} is left out there"
        )
        if note not in draft.notes:
            draft.notes.append(note)
    return found

"""Units made by hand: of drafts with all their cells, or of cells beside their content."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from studies.content import Content
from studies.kinds.alignment import AlignmentGrid
from studies.spec import Cell, ModelFacts
from studies.study import Draft, Grid
from studies.texts import Bitext
from studies.unit import Part, Unit


def of_drafts(grid: Grid, *drafts: Draft, study: str = "test", **given: Any) -> Unit:
    """A unit of every cell that the drafts have."""
    parts = [
        Part(
            cells=tuple(cell for cells in one.cells for cell in cells),
            content=one.content,
            characters=one.characters,
            taken=one.taken,
        )
        for one in drafts
    ]
    model, kind = drafts[0].model, drafts[0].kind
    return Unit(study=study, model=model, kind=kind, grid=grid, parts=tuple(parts), **given)


def of_bitexts(grid: AlignmentGrid, model: ModelFacts, *bitexts: Bitext, **given: Any) -> Unit:
    """A unit of every cell that a grid has on some texts."""
    return of_drafts(grid, *(grid.draft(text, model=model) for text in bitexts), **given)


def of_cells(
    kind: str,
    grid: Grid,
    model: ModelFacts,
    *parts: tuple[Iterable[Cell], Content | None],
    characters: int = 1,
    taken: Mapping[str, str] = {},
    study: str = "test",
    **given: Any,
) -> Unit:
    """A unit of these cells, each beside its content; `characters` are those of the first part."""
    made = [
        Part(
            cells=tuple(cells),
            content=content,  # type: ignore[arg-type]  # of no importance to who schedules
            characters=0 if number else characters,
            taken=taken,
        )
        for number, (cells, content) in enumerate(parts)
    ]
    return Unit(study=study, model=model, kind=kind, grid=grid, parts=tuple(made), **given)


def with_cells(unit: Unit, cells: Iterable[Cell]) -> Unit:
    """The unit of one part with other cells."""
    (part,) = unit.parts
    return replace(unit, parts=(replace(part, cells=tuple(cells)),))

"""Pack missing cells into units: of a size that is worth a message, makers before takers.

How a unit is packed shows in no value, only in how often a worker is spoken to and how many files
there are. Where the cells came from, and which worker takes a unit, is unknown here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from studies.contents import GenerationSet, TrainingSet
from studies.spec import (
    AlignmentWork,
    Bitext,
    Cell,
    ChoiceSet,
    ChoiceWork,
    GenerationWork,
    ModelFacts,
    TrainingWork,
    Unit,
    Work,
)
from studies.study import AlignmentGrid, Grid

Content = Bitext | ChoiceSet | GenerationSet | TrainingSet
# Checks of one score; and a picture has a point for every sentence of both languages.
CHECKS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Missing cells of one model that share their prompts, with the text they are computed from.

    `needs` are the keys of the cells whose results they take, such as a steering vector.
    """

    model: ModelFacts
    cells: tuple[Cell, ...]
    content: Content
    grid: Grid
    characters: int
    needs: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that the cells will fill."""
        content, table = self.content, self.cells[0].table
        each = 1
        if isinstance(content, ChoiceSet | GenerationSet):
            each = len(content.items)
        elif isinstance(content, Bitext) and table != "alignment":
            each = CHECKS if table == "robustness" else 2 * len(content.ids)
        return each * len(self.cells)


def possible(parts: Sequence[Part], *, failed: Collection[str]) -> list[Part]:
    """The parts without those that take a result which failed before, at whatever remove."""
    lost = {need for part in parts for need in part.needs if need in failed}
    found = []
    for part in parts:
        if lost and lost.intersection(part.needs):
            lost.update(cell.key for cell in part.cells)
        else:
            found.append(part)
    return found


def pack(parts: Sequence[Part], *, size: int, study: str, allow_truncation: bool) -> Iterator[Unit]:
    """Units of parts that share model, grid and table, each of about `size` characters.

    A part stands after those whose results it takes, and so do the units: none needs what a later
    one makes, or what it makes itself. The texts of one language are never divided, so no value
    depends on the packing.
    """
    models: dict[str, int] = {}
    placed = []
    for part, depth in zip(parts, _depths(parts), strict=True):
        model = models.setdefault(part.model.label, len(models))
        placed.append(((depth, model), part))
    placed.sort(key=lambda entry: entry[0])
    for _, together in groupby(placed, key=lambda entry: (entry[0], *_kind(entry[1]))):
        group: list[Part] = []
        characters = 0
        for _, part in together:
            group.append(part)
            characters += part.characters
            if characters >= size:
                yield _unit(group, study=study, allow_truncation=allow_truncation)
                group, characters = [], 0
        if group:
            yield _unit(group, study=study, allow_truncation=allow_truncation)


def _kind(part: Part) -> tuple[int, str]:
    """What the parts of one unit share beside their model."""
    return id(part.grid), part.cells[0].table


def _depths(parts: Sequence[Part]) -> list[int]:
    """For every part, how many steps of making lie before it: 0 where it takes no result."""
    taken = {need for part in parts for need in part.needs}
    made: dict[str, int] = {}
    there: set[str] = set()
    depths = []
    for part in parts:
        depth = 1 + max((made[need] for need in part.needs if need in made), default=-1)
        there.update(need for need in part.needs if need not in made)
        own = taken.intersection(cell.key for cell in part.cells) if taken else set()
        assert there.isdisjoint(own), "a part stands after those whose results it takes"
        made.update(dict.fromkeys(own, depth))
        depths.append(depth)
    return depths


def _unit(group: list[Part], *, study: str, allow_truncation: bool) -> Unit:
    """One unit of the grouped parts."""
    work = _work(group)
    return Unit(
        study=study,
        model=group[0].model,
        cells=tuple(cell for part in group for cell in part.cells),
        work=work,
        characters=sum(part.characters for part in group),
        allow_truncation=allow_truncation,
        needs=tuple(dict.fromkeys(need for part in group for need in part.needs)),
    )


def _work(group: list[Part]) -> Work:
    """The texts of parts of one kind."""
    grid = group[0].grid
    contents = [part.content for part in group]
    if isinstance(grid, AlignmentGrid):
        return AlignmentWork(
            bitexts=tuple(content for content in contents if isinstance(content, Bitext)),
            switches=grid.switches,
            pairs=grid.pairs,
            method=grid.method,
            seed=grid.seed,
        )
    if group[0].cells[0].table == "training":
        lessons = (content for content in contents if isinstance(content, TrainingSet))
        return TrainingWork(sets=tuple(lessons))
    if group[0].cells[0].table == "generations":
        prompts = (content for content in contents if isinstance(content, GenerationSet))
        return GenerationWork(sets=tuple(prompts))
    # The parts of one grid and model answer with one adapter, if with any.
    (adapter,) = {part.needs for part in group}
    return ChoiceWork(
        sets=tuple(content for content in contents if isinstance(content, ChoiceSet)),
        adapter=adapter[0] if adapter else "",
    )

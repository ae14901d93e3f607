"""Pack missing cells into units: of a size that is worth a message, makers before takers.

How a unit is packed shows in no value, only in how often a worker is spoken to and how many files
there are. Where the cells came from, and which worker takes a unit, is unknown here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from studies.contents import GenerationSet, LatentSet, TrainingSet, VectorSet
from studies.spec import (
    AlignmentWork,
    Bitext,
    Cell,
    ChoiceSet,
    ChoiceWork,
    GenerationWork,
    LatentWork,
    ModelFacts,
    SteeringWork,
    Taken,
    TrainingWork,
    Unit,
    VectorWork,
    Work,
)
from studies.study import AlignmentGrid, Grid, LatentGrid, SteeringGrid

Content = Bitext | ChoiceSet | GenerationSet | TrainingSet | LatentSet | VectorSet
T = TypeVar("T")
# Checks of one score; and a picture has a point for every sentence of both languages.
CHECKS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Missing cells of one model that share their prompts, with the text they are computed from.

    `beside` are further texts that the same cells read. `needs` are the keys of the cells whose
    results they take, such as a steering vector, and `taken` says what each is taken for.
    """

    model: ModelFacts
    cells: tuple[Cell, ...]
    content: Content
    grid: Grid
    characters: int
    beside: tuple[Content, ...] = ()
    needs: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()

    @property
    def contents(self) -> tuple[Content, ...]:
        """All texts that the cells read."""
        return (self.content, *self.beside)

    @property
    def rows(self) -> int:
        """Rows that the cells will fill."""
        content, table = self.content, self.cells[0].table
        each = 1
        if isinstance(content, ChoiceSet | LatentSet):
            each = len(content.items)
        elif isinstance(content, GenerationSet):
            each = len(content.items) * content.sampling.n
        elif isinstance(content, VectorSet):
            each = self.model.layers
        elif isinstance(content, Bitext) and table == "robustness":
            each = CHECKS
        elif isinstance(content, Bitext) and table == "points":
            each = len(content.ids) * (1 + len(self.contents))
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
    contents = [content for part in group for content in part.contents]
    if isinstance(grid, AlignmentGrid):
        return AlignmentWork(
            bitexts=_those(contents, Bitext),
            switches=grid.switches,
            pairs=grid.questions.sample if grid.questions else grid.pairs,
            method=grid.method,
            seed=grid.seed,
            together=grid.together,
        )
    if isinstance(grid, LatentGrid):
        return LatentWork(sets=_those(contents, LatentSet), lens=grid.lens)
    table = group[0].cells[0].table
    if table == "vectors":
        return VectorWork(sets=_those(contents, VectorSet))
    if isinstance(grid, SteeringGrid):
        return SteeringWork(
            sets=_those(contents, ChoiceSet),
            taken=tuple(taken for part in group for taken in part.taken),
            steering=grid.steering,
            pivot=grid.pivot,
        )
    if table == "training":
        return TrainingWork(sets=_those(contents, TrainingSet))
    if table == "generations":
        return GenerationWork(sets=_those(contents, GenerationSet))
    # The parts of one grid and model answer with one adapter, if with any.
    (adapter,) = {part.needs for part in group}
    return ChoiceWork(sets=_those(contents, ChoiceSet), adapter=adapter[0] if adapter else "")


def _those(contents: Sequence[Content], kind: type[T]) -> tuple[T, ...]:
    """The contents of one kind, which all parts of a unit have."""
    found = tuple(content for content in contents if isinstance(content, kind))
    assert len(found) == len(contents), "the parts of a unit are of one kind"
    return found

"""Pack missing cells into units: of a size that is worth a message, makers before takers.

How a unit is packed shows in no value, only in how often a worker is spoken to and how many files
there are.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence, Set
from itertools import groupby
from typing import NamedTuple

from studies.spec import Cell
from studies.study import Draft, Grid
from studies.unit import Part, Unit


class Missing(NamedTuple):
    """The cells of a draft that are to be computed."""

    grid: Grid
    draft: Draft
    cells: tuple[Cell, ...]


class Ledger:
    """Which cells are there, failed or to be computed.

    Grids may overlap, and cells share what they take: a key counts, and is computed, where it is
    entered first. A cell is only made where it is missing.
    """

    def __init__(self, done: Collection[str], failed: Collection[str]) -> None:
        """Nothing is entered; `done` are the keys that are there, `failed` those given up."""
        self.totals = Counter[str]()
        self.done = Counter[str]()
        self._done = done if isinstance(done, Set) else frozenset(done)
        self._failed = failed if isinstance(failed, Set) else frozenset(failed)
        self._seen: set[str] = set()

    def holds(self, key: str) -> bool:
        """Whether a key's cell is done."""
        return key in self._done

    def missing(self, draft: Draft) -> tuple[Cell, ...]:
        """Enter all cells of a draft, and return those that are to be computed."""
        missing: list[Cell] = []
        new = done = 0
        for cells in draft.cells:
            wanted = []
            for point, key in cells.keyed():
                if key in self._seen:
                    continue
                self._seen.add(key)
                new += 1
                if key in self._done:
                    done += 1
                elif key not in self._failed:
                    wanted.append((point, key))
            missing += cells.made(wanted)
        self.totals[draft.model.label] += new
        self.done[draft.model.label] += done
        return tuple(missing)


def possible(found: Sequence[Missing], *, failed: Collection[str]) -> list[Missing]:
    """What is missing without what takes a result that failed before, at whatever remove."""
    lost = {key for one in found for key in one.draft.taken.values() if key in failed}
    kept = []
    for one in found:
        if lost and lost.intersection(one.draft.taken.values()):
            lost.update(cell.key for cell in one.cells)
        else:
            kept.append(one)
    return kept


def pack(
    found: Sequence[Missing], *, size: int, study: str, allow_truncation: bool
) -> Iterator[Unit]:
    """Units of parts that share model, grid and kind, each of about `size` characters.

    A part stands after those whose results it takes, and so do the units: none needs what a later
    one makes, or what it makes itself. The texts of one language are never divided, so no value
    depends on the packing.
    """
    models: dict[str, int] = {}
    placed = []
    for one, depth in zip(found, _depths(found), strict=True):
        model = models.setdefault(one.draft.model.label, len(models))
        placed.append(((depth, model, id(one.grid), one.draft.kind), one))
    # Grids keep their order within a model: the sort is stable, and looks at no grid.
    placed.sort(key=lambda entry: entry[0][:2])
    for _, together in groupby(placed, key=lambda entry: entry[0]):
        group: list[Missing] = []
        characters = 0
        for _, one in together:
            group.append(one)
            characters += one.draft.characters
            if characters >= size:
                yield _unit(group, study=study, allow_truncation=allow_truncation)
                group, characters = [], 0
        if group:
            yield _unit(group, study=study, allow_truncation=allow_truncation)


def _depths(found: Sequence[Missing]) -> list[int]:
    """For every part, how many steps of making lie before it: 0 where it takes no result."""
    taken = {key for one in found for key in one.draft.taken.values()}
    made: dict[str, int] = {}
    there: set[str] = set()
    depths = []
    for one in found:
        needs = one.draft.taken.values()
        depth = 1 + max((made[key] for key in needs if key in made), default=-1)
        there.update(key for key in needs if key not in made)
        own = taken.intersection(cell.key for cell in one.cells) if taken else set()
        assert there.isdisjoint(own), "a part stands after those whose results it takes"
        made.update(dict.fromkeys(own, depth))
        depths.append(depth)
    return depths


def _unit(group: Sequence[Missing], *, study: str, allow_truncation: bool) -> Unit:
    """One unit of the grouped parts."""
    first = group[0]
    return Unit(
        study=study,
        model=first.draft.model,
        kind=first.draft.kind,
        grid=first.grid,
        parts=tuple(
            Part(
                cells=one.cells,
                content=one.draft.content,
                characters=one.draft.characters,
                taken=one.draft.taken,
            )
            for one in group
        ),
        allow_truncation=allow_truncation,
    )

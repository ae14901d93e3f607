"""What is scheduled: units of parts, each with the cells that are computed from one content."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from studies.content import Content
from studies.spec import Cell, ModelFacts, digest
from studies.study import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Cells with the content that they are computed from: what is never divided.

    `characters` is the size that cost is estimated from. `taken` are the results of other cells
    that these take: what each is taken for, such as an intervention, and the key it lies under.
    """

    cells: tuple[Cell, ...]
    content: Content
    characters: int
    taken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Parts of one kind that share a model and run in one actor call: the unit of scheduling.

    It carries its texts, so a worker needs no access to the planner's files. `kind` names the
    modules studies/kinds/KIND.py and actors/kinds/KIND.py; `grid` is what the parts were made for.
    """

    study: str
    model: ModelFacts
    kind: str
    grid: Grid
    parts: tuple[Part, ...]
    allow_truncation: bool = False

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of all parts."""
        return tuple(cell for part in self.parts for cell in part.cells)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The keys of cells whose results these take.

        A plan lists the units that make them first; a key that none of them makes is there already.
        """
        return tuple(dict.fromkeys(key for part in self.parts for key in part.taken.values()))

    @cached_property
    def characters(self) -> int:
        """The size that cost is estimated from."""
        return sum(part.characters for part in self.parts)

    @property
    def id(self) -> str:
        """Digest of the cells' keys: the name of the unit's shard."""
        return digest([cell.key for cell in self.cells])[:32]

    @property
    def table(self) -> str:
        """The one table that this unit's rows belong to."""
        return self.cells[0].table

    def without(self, keys: Collection[str]) -> "Unit":
        """The unit without the cells of these keys, and without parts that have no other."""
        kept = (
            replace(part, cells=tuple(cell for cell in part.cells if cell.key not in keys))
            for part in self.parts
        )
        return replace(self, parts=tuple(part for part in kept if part.cells))

"""What a study asks: a name, models, and grids of cells over texts, layers and measures.

A grid names its axes. Which cells it comes to follows from the models and the texts there are, and
each kind of grid says so itself, in studies/kinds/.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studies.content import Content, OfDataset
from studies.inputs import Inputs
from studies.prompt_options import Asking
from studies.spec import Cells, Model, ModelFacts, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A part before it is known which of its cells are missing.

    Attributes:
        kind: what computes the cells: studies/kinds/KIND.py and actors/kinds/KIND.py.
        model: whose cells.
        content: what they are computed from.
        cells: all of them, in their order.
        characters: the size that cost is estimated from.
        rows: the rows of each cell.
        taken: the keys of the cells whose results they take, by what each is taken for; drafts of
            those cells come before.
    """

    kind: str
    model: ModelFacts
    content: Content
    cells: tuple[Cells, ...]
    characters: int
    rows: int = 1
    taken: Mapping[str, str] = field(default_factory=dict)


def cells_of(
    content: Content, *, model: ModelFacts, table: str, made: Iterable[object], **columns: Any
) -> Cells:
    """The cells of a model on a content, all in one scope.

    Args:
        content: what they are computed from: its data set, language, pivot and seed are theirs.
        model: whose cells.
        table: the table of their rows.
        made: what their answers depend on beside the two, such as a version.
        columns: other fields of `Cells`, and those that are not the content's own.
    """
    names = ("dataset", "benchmark", "language", "pivot", "seed")
    own: dict[str, Any] = {name: getattr(content, name, None) for name in names}
    scope = digest([model.identity, content.fingerprint, *made])
    return Cells(
        table=table, model=model.name, revision=model.revision, scope=scope, **own | columns
    )


def one_cell(
    kind: str,
    content: Content,
    *,
    model: ModelFacts,
    table: str,
    made: Iterable[object],
    named: Mapping[str, str] | None = None,
    **fields: Any,
) -> Draft:
    """A draft of one cell; `named` are columns that its content does not name, and `fields` are
    those of `Draft` that do not follow from the others."""
    cells = (cells_of(content, model=model, table=table, made=made, **named or {}),)
    size = {"characters": content.characters}
    return Draft(kind=kind, model=model, content=content, cells=cells, **size | fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid(OfDataset, ABC):
    """Cells over axes that are named. `languages` may be `("all",)`."""

    languages: tuple[str, ...]

    @property
    def asked_with(self) -> Asking | None:
        """How questions are put to a model, None where there are none."""
        return getattr(self, "asking", None)

    @abstractmethod
    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """Read the texts and say which cells they make.

        Raises:
            ValueError: anything in the grid that does not exist or does not fit together.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A name, models and grids. `settings` are the choices that must stay the same for a run."""

    name: str
    models: tuple[Model, ...]
    grids: tuple[Grid, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

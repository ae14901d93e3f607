"""What a unit comes to; without torch, so that whoever keeps the answers can import it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from studies.kinds import tables
from studies.spec import Cell, Row
from studies.tables import COORDINATES
from studies.unit import Unit


class Found(NamedTuple):
    """What a kind found for the cells of a unit.

    Attributes:
        rows: each with its cell, and without the cell's coordinates.
        artifacts: safetensors content that other cells take, by the key of the cell that made it.
        refused: of cells that this model has nothing for, by key, why; the others have rows.
    """

    rows: Iterable[tuple[Cell, Row]]
    artifacts: Mapping[str, bytes] = {}
    refused: Mapping[str, str] = {}


class Answer(NamedTuple):
    """The same with whole rows: what is kept in the table, and under artifacts/ in a run."""

    rows: list[Row]
    artifacts: Mapping[str, bytes] = {}
    refused: Mapping[str, str] = {}


def answer_of(unit: Unit, found: Found) -> Answer:
    """Whole rows, in the order of the unit's cells: every column of a cell that the table has.

    A kind may give such a column itself, as vectors do, whose cells have no layer and rows do.

    Raises:
        ValueError: a row has other columns than its table.
    """
    columns = tables()[unit.table].types
    shared = [name for name in COORDINATES if name in columns]
    place = {cell.key: number for number, cell in enumerate(unit.cells)}
    rows = []
    for cell, row in found.rows:
        whole = {"study": unit.study, **{name: getattr(cell, name) for name in shared}, **row}
        if whole.keys() != columns.keys():
            wrong = sorted(whole.keys() ^ columns.keys())[0]
            has = "gives" if wrong in whole else "lacks"
            raise ValueError(
                f"actors/kinds/{unit.kind}.py {has} the column {wrong!r}, unlike the table "
                f"{unit.table!r} as studies/kinds declares it"
            )
        rows.append({name: whole[name] for name in columns})
    rows.sort(key=lambda row: place[str(row["key"])])
    return Answer(rows, found.artifacts, found.refused)


class EngineDiedError(RuntimeError):
    """An engine failed in the middle of a unit: it takes no other, and the unit wants a fresh one.

    What was asked is not to blame, as far as can be told.
    """

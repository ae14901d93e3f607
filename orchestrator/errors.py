"""The cells that have no rows, and why."""

from dataclasses import dataclass

from studies.spec import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellError:
    """Why a cell has no rows."""

    cell: Cell
    attempts: int
    error: str
    traceback: str

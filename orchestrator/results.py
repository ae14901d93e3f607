"""Give the store the rows of units and the errors of cells: it knows tables, but no cell."""

from collections.abc import Iterable, Mapping, Sequence

from analysis.storage.record import Record
from orchestrator.errors import CellError
from orchestrator.storage.store import Store
from studies.spec import Row
from studies.tables import ERRORS
from studies.unit import Unit


def keep(store: Store, unit: Unit, rows: Sequence[Row]) -> str:
    """Keep the rows of one unit, all or nothing; returns the shard's name in the store.

    Raises:
        WrongRowsError: the rows do not fit the table, or are not exactly those of the unit's cells.
        LeaseLostError: another run has taken the store.
    """
    return store.write(
        unit.table,
        rows,
        name=unit.id,
        keys={cell.key for cell in unit.cells},
        belongs=_part_of(store.record, unit) if store.record else None,
    )


def keep_errors(store: Store, errors: Iterable[CellError]) -> None:
    """Keep the errors of cells that were given up."""
    store.write_errors([error_row(error) for error in errors])


def error_row(error: CellError) -> Row:
    """A failed cell as a row."""
    row: Row = {name: getattr(error.cell, name, None) for name in ERRORS.types}
    row.update(attempts=error.attempts, error=error.error, traceback=error.traceback)
    return row


def _part_of(record: Record, unit: Unit) -> Record:
    """Of a run's record what bears on the rows of a unit: what its shard says of itself."""
    model = f"model {unit.model.label}"
    texts = {f"{cell.dataset or cell.benchmark}/{cell.language}" for cell in unit.cells}
    pins = record.get("pins") or {}
    assert isinstance(pins, Mapping)
    kept = {
        name: value
        for name, value in pins.items()
        if name == model or any(text in name for text in texts)
    }
    return {**record, "pins": kept}

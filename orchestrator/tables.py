"""The schema of every table, and the check that rows fit it (docs/tables.md says what they mean).

Files and folders are unknown here.
"""

from collections.abc import Sequence

import pyarrow as pa

from orchestrator.schedule import CellError
from studies.spec import Row, Unit

_COORDINATES = [("study", pa.string()), ("model", pa.string()), ("revision", pa.string())]

SCHEMAS: dict[str, pa.Schema] = {
    "alignment": pa.schema(
        [
            *_COORDINATES,
            ("dataset", pa.string()),
            ("language", pa.string()),
            ("pivot", pa.string()),
            ("measure", pa.string()),
            ("pooling", pa.string()),
            ("layer", pa.int32()),
            ("n", pa.int32()),
            ("value", pa.float64()),
            ("ties", pa.int32()),
            ("p_null", pa.float64()),
            ("key", pa.string()),
            ("switches", pa.string()),
            ("truncated", pa.int32()),
        ]
    ),
    "items": pa.schema(
        [
            *_COORDINATES,
            ("benchmark", pa.string()),
            ("language", pa.string()),
            ("item", pa.string()),
            ("intervention", pa.string()),
            ("layer", pa.int32()),
            ("coefficient", pa.float64()),
            ("gold", pa.int32()),
            ("prediction", pa.int32()),
            ("correct", pa.bool_()),
            ("scores", pa.list_(pa.float64())),
            ("ranks", pa.list_(pa.float64())),
            ("key", pa.string()),
            ("prompt", pa.string()),
            ("truncated", pa.bool_()),
        ]
    ),
}

ERRORS = pa.schema(
    [
        ("key", pa.string()),
        ("table", pa.string()),
        *_COORDINATES[1:],
        ("dataset", pa.string()),
        ("benchmark", pa.string()),
        ("language", pa.string()),
        ("pivot", pa.string()),
        ("measure", pa.string()),
        ("pooling", pa.string()),
        ("layer", pa.int32()),
        ("intervention", pa.string()),
        ("coefficient", pa.float64()),
        ("attempts", pa.int32()),
        ("error", pa.string()),
        ("traceback", pa.string()),
    ]
)


def check(unit: Unit, rows: Sequence[Row]) -> None:
    """Rows and cells must match one to one in key, and every row must have every column.

    Raises:
        ValueError: they do not.
    """
    columns = set(SCHEMAS[unit.table].names)
    for row in rows:
        if row.keys() != columns:
            wrong = sorted(row.keys() ^ columns)
            raise ValueError(f"a row of table {unit.table!r} differs in column {wrong[0]!r}")
    expected = {cell.key for cell in unit.cells}
    found = {str(row["key"]) for row in rows}
    if expected != found:
        raise ValueError(
            f"{len(expected - found)} of {len(expected)} cells of a unit came back without a row, "
            f"and {len(found - expected)} rows belong to no cell of it"
        )


def error_row(error: CellError) -> Row:
    """A failed cell as a row."""
    row: Row = {name: getattr(error.cell, name, None) for name in ERRORS.names}
    row.update(attempts=error.attempts, error=error.error, traceback=error.traceback)
    return row

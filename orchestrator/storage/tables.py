"""Check that rows fit their table, and put them in its types."""

from collections.abc import Sequence

import pyarrow as pa

from orchestrator.scheduling.schedule import CellError
from studies import tables as declared
from studies.kinds import tables
from studies.spec import Row, Unit

SCHEMAS = {name: table.schema() for name, table in tables().items()}
# The columns whose values together belong to one row: what makes a repeated row a repetition.
IDENTITY = {name: table.identity for name, table in tables().items()}
# Columns without which a shard says nothing. Others may be missing: an older version had none.
NEEDED = ("key", "model", "revision")
ERRORS = declared.ERRORS.schema()


class WrongRowsError(ValueError):
    """Rows that are not those of their unit, or do not fit their table."""


def check(unit: Unit, rows: Sequence[Row]) -> None:
    """Rows and cells must match one to one in key, and every row must have every column.

    Raises:
        WrongRowsError: they do not.
    """
    columns = set(SCHEMAS[unit.table].names)
    for row in rows:
        if row.keys() != columns:
            wrong = sorted(row.keys() ^ columns)
            raise WrongRowsError(f"a row of table {unit.table!r} differs in column {wrong[0]!r}")
    expected = {cell.key for cell in unit.cells}
    found = {str(row["key"]) for row in rows}
    if expected != found:
        raise WrongRowsError(
            f"{len(expected - found)} of {len(expected)} cells of a unit came back without a row, "
            f"and {len(found - expected)} rows belong to no cell of it"
        )
    one = IDENTITY[unit.table]
    repeated = len(rows) - len({tuple(row[name] for name in one) for row in rows})
    if repeated:
        raise WrongRowsError(f"{repeated} rows of a unit repeat another's {' and '.join(one)}")


def to_arrow(rows: Sequence[Row], *, table: str) -> pa.Table:
    """Rows in the types of their table.

    Raises:
        WrongRowsError: a value is of another type, or would lose its fraction.
    """
    schema = SCHEMAS[table]
    for name in (field.name for field in schema if pa.types.is_integer(field.type)):
        for row in rows:
            value = row[name]
            if isinstance(value, float) and not value.is_integer():
                raise WrongRowsError(f"table {table!r} takes whole numbers in {name!r}: {value}")
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise WrongRowsError(f"a row does not fit table {table!r}: {error}") from error


def mismatch(table: str, found: pa.Schema) -> str:
    """How a file's columns differ from its table's, empty where it can be read.

    A column may be missing, as in files of an older version; none may be strange or of another
    type. Of a table that is not known here the key is all that is asked.
    """
    schema = ERRORS if table == "errors" else SCHEMAS.get(table, pa.schema([("key", pa.string())]))
    if found.equals(schema):
        return ""
    known = table == "errors" or table in SCHEMAS
    for name in NEEDED if known else ("key",):
        if name not in found.names:
            return f"it has no column {name!r}"
    for field in found:
        expected = schema.field(field.name).type if field.name in schema.names else None
        if known and expected is None:
            return f"it has a column {field.name!r}, which table {table!r} has not"
        if expected is not None and _plain(field.type) != expected:
            return f"its column {field.name!r} is {field.type}, not {expected}"
    return ""


def _plain(found: pa.DataType) -> pa.DataType:
    """A type without the dictionary it may be read with."""
    return found.value_type if pa.types.is_dictionary(found) else found


def error_row(error: CellError) -> Row:
    """A failed cell as a row."""
    row: Row = {name: getattr(error.cell, name, None) for name in ERRORS.names}
    row.update(attempts=error.attempts, error=error.error, traceback=error.traceback)
    return row

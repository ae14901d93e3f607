"""The schema of every table, and the check that rows fit it (docs/tables.md says what they mean).

Files and folders are unknown here.
"""

from collections.abc import Sequence

import pyarrow as pa

from orchestrator.scheduling.schedule import CellError
from studies.spec import Row, Unit

_COORDINATES = [("study", pa.string()), ("model", pa.string()), ("revision", pa.string())]

_PARALLEL = [
    *_COORDINATES,
    ("dataset", pa.string()),
    ("language", pa.string()),
    ("pivot", pa.string()),
    ("measure", pa.string()),
    ("pooling", pa.string()),
    ("layer", pa.int32()),
]
_ASKED = [*_COORDINATES, ("benchmark", pa.string()), ("language", pa.string())]
_CHANGED = [
    ("item", pa.string()),
    ("intervention", pa.string()),
    ("layer", pa.int32()),
    ("coefficient", pa.float64()),
]
# What is kept of the option texts in one language: log-probability and length of each.
_LATENT = (
    ("_logp", pa.list_(pa.float64())),
    ("_tokens", pa.list_(pa.int32())),
    ("_characters", pa.list_(pa.int32())),
    ("_bytes", pa.list_(pa.int32())),
)

SCHEMAS: dict[str, pa.Schema] = {
    "alignment": pa.schema(
        [
            *_PARALLEL,
            ("n", pa.int32()),
            ("pairs", pa.string()),
            ("duplicates", pa.int32()),
            ("tokens", pa.int32()),
            ("pivot_tokens", pa.int32()),
            ("truncated", pa.int32()),
            ("value", pa.float64()),
            ("ties", pa.int32()),
            ("p_null", pa.float64()),
            ("forward", pa.float64()),
            ("backward", pa.float64()),
            ("margin", pa.float64()),
            ("constant", pa.int32()),
            ("key", pa.string()),
            ("switches", pa.string()),
        ]
    ),
    "robustness": pa.schema(
        [
            *_PARALLEL,
            ("pairs", pa.string()),
            ("n", pa.int32()),
            ("check", pa.string()),
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p", pa.float64()),
            ("samples", pa.int32()),
            ("key", pa.string()),
            ("switches", pa.string()),
        ]
    ),
    "points": pa.schema(
        [
            *_PARALLEL,
            ("method", pa.string()),
            ("item", pa.string()),
            ("side", pa.string()),
            ("x", pa.float64()),
            ("y", pa.float64()),
            ("key", pa.string()),
            ("switches", pa.string()),
        ]
    ),
    "items": pa.schema(
        [
            *_ASKED,
            *_CHANGED,
            ("gold", pa.int32()),
            ("prediction", pa.int32()),
            ("correct", pa.bool_()),
            ("correct_norm", pa.bool_()),
            ("scores", pa.list_(pa.float64())),
            ("ranks", pa.list_(pa.float64())),
            ("mass", pa.float64()),
            ("other_mass", pa.float64()),
            ("option_start", pa.string()),
            ("key", pa.string()),
            ("prompt", pa.string()),
            ("truncated", pa.bool_()),
            ("pivot", pa.string()),
            ("seed", pa.int32()),
            ("switches", pa.string()),
        ]
    ),
    "generations": pa.schema(
        [
            *_ASKED,
            ("pivot", pa.string()),
            *_CHANGED,
            ("prompt", pa.string()),
            ("engine", pa.string()),
            ("output", pa.string()),
            ("thought", pa.string()),
            ("in_thought", pa.bool_()),
            ("references", pa.list_(pa.string())),
            ("source", pa.string()),
            ("tokens", pa.int32()),
            ("stopped", pa.bool_()),
            ("truncated", pa.bool_()),
            ("key", pa.string()),
            ("sample", pa.int32()),
            ("task", pa.string()),
            ("settings", pa.string()),
            ("exact", pa.float64()),
            ("f1", pa.float64()),
            ("f1_mixed", pa.float64()),
            ("chrf", pa.float64()),
            ("bleu", pa.float64()),
            ("answer", pa.string()),
            ("written_language", pa.string()),
            ("written_script", pa.string()),
            ("repetition", pa.float64()),
        ]
    ),
    "training": pa.schema(
        [
            *_ASKED,
            ("prompt", pa.string()),
            ("n", pa.int32()),
            ("losses", pa.list_(pa.float64())),
            ("settings", pa.string()),
            ("key", pa.string()),
        ]
    ),
    "lens": pa.schema(
        [
            *_ASKED,
            ("pivot", pa.string()),
            ("measure", pa.string()),
            ("layer", pa.int32()),
            ("item", pa.string()),
            ("gold", pa.int32()),
            *((f"{side}{part}", kind) for side in ("native", "pivot") for part, kind in _LATENT),
            ("prompt", pa.string()),
            ("truncated", pa.bool_()),
            ("key", pa.string()),
            ("switches", pa.string()),
        ]
    ),
    "vectors": pa.schema(
        [
            *_ASKED,
            ("pivot", pa.string()),
            ("prompt", pa.string()),
            ("seed", pa.int32()),
            ("layer", pa.int32()),
            ("n", pa.int32()),
            ("norm", pa.float64()),
            ("resid_norm", pa.float64()),
            ("reliability", pa.float64()),
            ("key", pa.string()),
        ]
    ),
}

# The columns whose values together belong to one row: what makes a repeated row a repetition.
IDENTITY: dict[str, tuple[str, ...]] = {
    "alignment": ("key",),
    "robustness": ("key", "check"),
    "points": ("key", "item", "side"),
    "items": ("key", "item"),
    "generations": ("key", "item", "sample"),
    "training": ("key",),
    "lens": ("key", "item"),
    "vectors": ("key", "layer"),
}
# Columns without which a shard says nothing. Others may be missing: an older version had none.
NEEDED = ("key", "model", "revision")

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

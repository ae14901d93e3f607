"""A table as the store is told of it: its columns, and what tells one row from another."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

Row = Mapping[str, object]
# Columns without which a shard says nothing. Others may be missing: an older version had none.
NEEDED = ("key", "model", "revision")


class WrongRowsError(ValueError):
    """Rows that are not those of the cells they were computed for, or do not fit their table."""


class Table(NamedTuple):
    """A table of the store; `identity` are the columns whose values together belong to one row.

    Of a table without an identity only the column `key` is known.
    """

    name: str
    schema: pa.Schema = pa.schema([("key", pa.string())])
    identity: tuple[str, ...] = ()

    def check(self, rows: Sequence[Row], *, keys: Collection[str]) -> None:
        """Every key must have a row, every row one of the keys and all columns, and none repeats.

        Raises:
            WrongRowsError: they do not.
        """
        columns = set(self.schema.names)
        for row in rows:
            if row.keys() != columns:
                wrong = min(row.keys() ^ columns)
                raise WrongRowsError(f"a row of table {self.name!r} differs in column {wrong!r}")
        expected, found = set(keys), {str(row["key"]) for row in rows}
        if expected != found:
            raise WrongRowsError(
                f"{len(expected - found)} of {len(expected)} cells of a unit came back without a "
                f"row, and {len(found - expected)} rows belong to no cell of it"
            )
        repeated = len(rows) - len({tuple(row[name] for name in self.identity) for row in rows})
        if repeated:
            one = " and ".join(self.identity)
            raise WrongRowsError(f"{repeated} rows of a unit repeat another's {one}")

    def to_arrow(self, rows: Sequence[Row]) -> pa.Table:
        """Rows in the types of the table.

        Raises:
            WrongRowsError: a value is of another type, or would lose its fraction.
        """
        for name in (field.name for field in self.schema if pa.types.is_integer(field.type)):
            for row in rows:
                value = row[name]
                if isinstance(value, float) and not value.is_integer():
                    raise WrongRowsError(
                        f"table {self.name!r} takes whole numbers in {name!r}: {value}"
                    )
        try:
            return pa.Table.from_pylist(list(rows), schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise WrongRowsError(f"a row does not fit table {self.name!r}: {error}") from error

    def mismatch(self, found: pa.Schema) -> str:
        """How a file's columns differ from the table's, empty where it can be read.

        A column may be missing, as in files of an older version; none may be strange or of another
        type.
        """
        if found.equals(self.schema):
            return ""
        for name in NEEDED if self.identity else ("key",):
            if name not in found.names:
                return f"it has no column {name!r}"
        for field in found:
            known = field.name in self.schema.names
            if self.identity and not known:
                return f"it has a column {field.name!r}, which table {self.name!r} has not"
            if known and _plain(field.type) != (expected := self.schema.field(field.name).type):
                return f"its column {field.name!r} is {field.type}, not {expected}"
        return ""


def _plain(found: pa.DataType) -> pa.DataType:
    """A type without the dictionary it may be read with."""
    return found.value_type if pa.types.is_dictionary(found) else found

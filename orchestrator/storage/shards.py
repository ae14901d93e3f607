"""Parquet shards: written with their schema, read by some columns, judged damaged or sound.

The one idea: reading is the check. A shard that does not open, or whose columns are not those of
its table, is named with the reason and left out, so that its cells count as missing. Who moves it
where is unknown here.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.places import Entry, Place, StorageError
from orchestrator.storage.tables import IDENTITY, mismatch

TABLES = "tables"
ERRORS_FILE = "errors.parquet"
ERRORS_FOLDER = "errors"
ROW_GROUP = 100_000
REPLACES = b"babelscope.replaces"


class Found(NamedTuple):
    """The rows of a sound shard, in the columns asked for."""

    entry: Entry
    rows: pa.Table


class Damage(NamedTuple):
    """A shard that cannot be used, and why."""

    entry: Entry
    reason: str


class _WrongColumnsError(ValueError):
    """A Parquet file of another table, or of none of ours."""


def encode(rows: pa.Table, *, replaces: Sequence[str] = ()) -> pa.Buffer:
    """A table as the bytes of a shard; `replaces` names the shards whose rows it holds.

    One unit's rows are packed lightly: of so few bytes zstd takes three times the time and saves
    nothing. What is merged is packed well.
    """
    if replaces:
        rows = rows.replace_schema_metadata({REPLACES: json.dumps(sorted(replaces))})
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd" if replaces else "snappy",
        row_group_size=ROW_GROUP,
        write_page_checksum=True,
    )
    return sink.getvalue()


def replaced(place: Place, entry: Entry) -> list[str]:
    """The names of the shards whose rows this one holds; none where it cannot be read."""
    try:
        with place.opened(entry) as source:
            metadata = pq.read_schema(source).metadata or {}
    except (FileNotFoundError, pa.ArrowException):
        return []
    return list(json.loads(metadata.get(REPLACES, b"[]")))


def table_of(entry: Entry) -> str:
    """The table that a shard belongs to, by where it lies; `errors` are the failed cells."""
    top, _, rest = entry.name.partition("/")
    return rest.partition("/")[0] if top == TABLES else "errors"


def listed(place: Place) -> list[Entry]:
    """The shards of all tables."""
    return [entry for entry in place.entries(TABLES) if _is_shard(entry)]


def error_files(place: Place) -> list[Entry]:
    """The file of failed cells, and the shards that were added since it was made, in time order."""
    whole = place.entry(ERRORS_FILE)
    added = [e for e in place.entries(ERRORS_FOLDER) if e.name.endswith(".parquet")]
    return ([whole] if whole else []) + added


def scan(
    place: Place, list_entries: Callable[[], list[Entry]], *, columns: Sequence[str]
) -> Iterator[Found | Damage]:
    """Some columns of every shard; a row may come more than once, and none is missed."""
    found = place.gather(list_entries, read=lambda entry: load(place, entry, columns=columns))
    return (shard for _, shard in found)


def load(place: Place, entry: Entry, *, columns: Sequence[str] | None = None) -> Found | Damage:
    """One shard: some columns, each combination of values once, or all of it.

    Pages carry checksums, so what is read is what was written. The verdict falls on bytes in
    memory: no connection that breaks makes a shard look damaged.

    Raises:
        FileNotFoundError: the shard vanished.
        StorageError: the object store does not answer.
    """
    try:
        with place.opened(entry) as source:
            return Found(entry, _rows(source, table_of(entry), columns))
    except (FileNotFoundError, StorageError):
        raise
    except (pa.ArrowException, OSError, _WrongColumnsError):
        content = place.read(entry.name)
    try:
        return Found(entry, _rows(pa.BufferReader(content), table_of(entry), columns))
    except (pa.ArrowException, OSError, _WrongColumnsError) as error:
        return Damage(entry, str(error).splitlines()[0].rstrip(". "))


def _rows(source: pa.NativeFile, table: str, columns: Sequence[str] | None) -> pa.Table:
    """The rows of an open shard.

    Raises:
        _WrongColumnsError: the columns are not those of the table.
    """
    repeats = columns is not None and IDENTITY.get(table, ()) not in (("key",), ())
    file = pq.ParquetFile(
        source,
        read_dictionary=columns if repeats else None,
        pre_buffer=True,
        page_checksum_verification=True,
    )
    reason = mismatch(table, file.schema_arrow)
    if reason:
        raise _WrongColumnsError(reason)
    if not repeats:
        return file.read(columns=columns, use_threads=False)
    plain = pa.schema([(name, pa.string()) for name in columns or ()])
    groups = (
        file.read_row_group(number, columns=list(plain.names), use_threads=False)
        for number in range(file.num_row_groups)
    )
    # One row for each combination: a cell has many items, and keys are asked for, not items.
    once = [
        group.unify_dictionaries().group_by(plain.names, use_threads=False).aggregate([])
        for group in groups
    ]
    return pa.concat_tables(
        [plain.empty_table(), *(part.select(plain.names).cast(plain) for part in once)]
    )


def _is_shard(entry: Entry) -> bool:
    """Whether a file below `tables/` is a shard of a table."""
    return entry.name.endswith(".parquet") and entry.name.count("/") == 2

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

from analysis import seal
from analysis.places import WHOLE_BYTES, Entry, Place, StorageError
from analysis.record import BELONGS, Record, stranger
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
    """A shard that cannot be used, and why: damaged, or sound but of another run (`foreign`)."""

    entry: Entry
    reason: str
    foreign: bool = False


class _WrongColumnsError(ValueError):
    """A Parquet file of another table, or of none of ours."""


class _ForeignError(ValueError):
    """A shard of another run."""


# What reading a damaged file may raise; a name that is no text any more is a plain ValueError.
BROKEN = (pa.ArrowException, OSError, ValueError)


def encode(rows: pa.Table, *, replaces: Sequence[str] = (), belongs: Record | None = None) -> bytes:
    """A table as the bytes of a shard; `replaces` names the shards whose rows it holds.

    `belongs` says which study it is of, from what settings and pins: of another run's it is told
    by that wherever it is copied.

    One unit's rows are packed lightly: of so few bytes zstd takes three times the time and saves
    nothing. What is merged is packed well.
    """
    metadata: dict[bytes, bytes] = {seal.NAME: seal.BLANK}
    if replaces:
        metadata[REPLACES] = json.dumps(sorted(replaces)).encode()
    if belongs:
        metadata[BELONGS] = json.dumps(belongs, ensure_ascii=False).encode()
    rows = rows.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd" if replaces else "snappy",
        row_group_size=ROW_GROUP,
        write_page_checksum=True,
    )
    return seal.seal(sink.getvalue().to_pybytes())


def replaced(place: Place, entry: Entry) -> list[str]:
    """The names of the shards whose rows this one holds; none where it cannot be read."""
    try:
        with place.opened(entry) as source:
            metadata = pq.read_schema(source).metadata or {}
            return list(json.loads(metadata.get(REPLACES, b"[]")))
    except StorageError:
        raise
    except BROKEN:
        return []


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
    place: Place,
    list_entries: Callable[[], list[Entry]],
    *,
    columns: Sequence[str],
    record: Record | None,
    whole: bool = False,
) -> Iterator[Found | Damage]:
    """Some columns of every shard; a row may come more than once, and none is missed.

    `record` is the run's own: shards of another run are not its. `whole` as in `load`.
    """
    found = place.gather(
        list_entries,
        read=lambda entry: load(place, entry, columns=columns, record=record, whole=whole),
    )
    return (shard for _, shard in found)


def load(
    place: Place,
    entry: Entry,
    *,
    columns: Sequence[str] | None = None,
    record: Record | None = None,
    whole: bool = False,
) -> Found | Damage:
    """One shard: some columns, each combination of values once, or all of it.

    What is fetched whole is held against its seal, so that no flipped bit passes; of a large shard
    only the pages that are read are checked, unless `whole` asks for all. The verdict falls on
    bytes in memory: no connection that breaks makes a shard look damaged.

    Raises:
        FileNotFoundError: the shard vanished.
        StorageError: it cannot be reached, which says nothing about what it holds.
    """
    if entry.bytes > WHOLE_BYTES and columns is not None and not whole:
        try:
            with place.opened(entry) as source:
                return Found(entry, _rows(source, table_of(entry), columns, record))
        except (FileNotFoundError, StorageError):
            raise
        except BROKEN:
            pass
    content = place.read(entry.name)
    sealed = seal.intact(content)
    if sealed is False:
        return Damage(entry, "its bytes are not those that were written")
    source = pa.BufferReader(content)
    try:
        if whole and not sealed:
            _rows(source, table_of(entry), None, record)
        return Found(entry, _rows(source, table_of(entry), columns, record))
    except _ForeignError as error:
        return Damage(entry, str(error), foreign=True)
    except BROKEN as error:
        return Damage(entry, (str(error) or type(error).__name__).splitlines()[0].rstrip(". "))


def _rows(
    source: pa.NativeFile, table: str, columns: Sequence[str] | None, record: Record | None
) -> pa.Table:
    """The rows of an open shard.

    Raises:
        _WrongColumnsError: the columns are not those of the table.
        _ForeignError: it is of another run.
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
    if foreign := stranger(file, record):
        raise _ForeignError(foreign)
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

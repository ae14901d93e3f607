"""Make few large shards out of many small ones, while others read.

The one idea: new first, then away with the old, and a new name every time. So each row stands in a
complete shard at every moment; a reader that sees both drops what repeats, and a kill between the
two leaves repetitions that the next start removes: the new shard says which ones it replaces. That
a shard is deleted only after its rows stand in one of a new name keeps rows safe even where two
compact at once. Who may compact, and when, is unknown here.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from analysis.places import Entry, StorageError
from analysis.record import Record
from orchestrator.storage.files import Files
from orchestrator.storage.shards import (
    ERRORS_FILE,
    TABLES,
    Damage,
    Found,
    encode,
    error_files,
    listed,
    load,
    replaced,
    table_of,
)
from orchestrator.storage.tables import ERRORS, IDENTITY, SCHEMAS

# Shards larger than this are left as they are.
SMALL_BYTES = 8_000_000
# Rows in memory for one large shard, before compression; and files read at a time.
BATCH_BYTES = 256_000_000
READ_BYTES = 16_000_000
READ_FILES = 256
# Between the new shards and the removal of the old ones: longer than it takes to list a folder,
# so that no listing misses both.
SETTLE_SECONDS = 1.0
PREFIX = "compact-"

SetAside = Callable[[Damage], None]


def compact(
    files: Files, *, min_shards: int, set_aside: SetAside, record: Record | None = None
) -> int:
    """Merge the small shards of every table that has at least `min_shards`; returns how many.

    `record` is the run's own: all that is merged is its.
    """
    merged: list[str] = []
    for table, entries in small(files, min_shards=min_shards).items():
        for batch in _batches(files, entries, set_aside=set_aside, record=record):
            _write_whole(files, table, batch, record=record)
            merged += [found.entry.name for found in batch]
    if merged:
        time.sleep(SETTLE_SECONDS)
        files.delete_all(merged)
    return len(merged)


def small(files: Files, *, min_shards: int) -> dict[str, list[Entry]]:
    """The small shards of every table that has many."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in listed(files):
        if entry.bytes < SMALL_BYTES and table_of(entry) in SCHEMAS:
            found[table_of(entry)].append(entry)
    return {
        table: entries for table, entries in found.items() if len(entries) >= max(min_shards, 2)
    }


def merged_already(files: Files) -> dict[str, set[str]]:
    """By each merged shard the shards that it replaces and that are still there."""
    entries = listed(files)
    there = {entry.name for entry in entries}
    merged = [entry for entry in entries if entry.name.rpartition("/")[2].startswith(PREFIX)]
    left = {entry.name: there & set(replaced(files, entry)) for entry in merged}
    return {name: names for name, names in left.items() if names}


def finish(files: Files, *, set_aside: SetAside, record: Record | None = None) -> int:
    """Remove what a compaction that was killed had merged already; returns how many shards."""
    done: set[str] = set()
    for name, left in merged_already(files).items():
        entry = files.entry(name)
        found = load(files, entry, record=record) if entry else None
        if isinstance(found, Found):
            done |= left
        elif found:
            set_aside(found)
    files.delete_all(sorted(done))
    return len(done)


def fold_errors(
    files: Files,
    *,
    forget: Collection[str] = (),
    set_aside: SetAside,
    record: Record | None = None,
) -> None:
    """Make one `errors.parquet` of all error rows: of each key the last, and none to `forget`."""
    entries = error_files(files)
    if not forget and all(entry.name == ERRORS_FILE for entry in entries):
        return
    parts = []
    for entry in entries:
        found = load(files, entry, record=record)
        if isinstance(found, Damage):
            set_aside(found)
        else:
            parts.append(found.rows)
    rows = _once(parts, schema=ERRORS, by=("key",), keep="max")
    if forget:
        rows = rows.filter(pc.invert(pc.is_in(rows["key"], pa.array(list(forget), pa.string()))))
    if entries:
        files.put(ERRORS_FILE, encode(rows, belongs=record))
        files.delete_all(entry.name for entry in entries if entry.name != ERRORS_FILE)


def _batches(
    files: Files, entries: Sequence[Entry], *, set_aside: SetAside, record: Record | None
) -> Iterator[list[Found]]:
    """Sound shards, read in full, in lots that fit into memory."""
    batch: list[Found] = []
    size = 0
    with ThreadPoolExecutor(2 if files.is_local else 32) as threads:
        for part in _parts(entries):
            for found in threads.map(lambda entry: _load(files, entry, record), part):
                if isinstance(found, Damage):
                    set_aside(found)
                if not isinstance(found, Found):
                    continue
                batch.append(found)
                size += found.rows.nbytes
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
    if batch:
        yield batch


def _load(files: Files, entry: Entry, record: Record | None) -> Found | Damage | None:
    """All of a shard, None where somebody has removed it."""
    try:
        return load(files, entry, record=record)
    except FileNotFoundError:
        return None


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Files to be read at a time."""
    part: list[Entry] = []
    for entry in entries:
        if len(part) == READ_FILES or sum(one.bytes for one in part) + entry.bytes > READ_BYTES:
            yield part
            part = []
        part.append(entry)
    if part:
        yield part


def _write_whole(
    files: Files, table: str, batch: Sequence[Found], *, record: Record | None
) -> None:
    """One large shard of many, read again before it counts."""
    rows = _once(
        [found.rows for found in batch], schema=SCHEMAS[table], by=IDENTITY[table], keep="min"
    )
    name = f"{TABLES}/{table}/{PREFIX}{uuid.uuid4().hex}.parquet"
    replaces = [found.entry.name for found in batch]
    files.put(name, encode(rows, replaces=replaces, belongs=record))
    entry = files.entry(name)
    again = load(files, entry, columns=["key"], whole=True) if entry else None
    if not isinstance(again, Found):
        raise StorageError(f"{files.text(name)} is not what was written: look at the disk")


def _once(
    parts: Sequence[pa.Table], *, schema: pa.Schema, by: Sequence[str], keep: str
) -> pa.Table:
    """Rows of several shards in the schema of today; of repeated ones the first or the last.

    A number that an older version did not write counts as 0.
    """
    rows = pa.concat_tables([schema.empty_table(), *parts], promote_options="default")
    rows = rows.select(schema.names).cast(schema)
    names = {name: _known(rows[name]) for name in by}
    numbered = pa.table(names).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    kept = numbered.group_by(list(by), use_threads=False).aggregate([("row", keep)])
    return rows if kept.num_rows == rows.num_rows else rows.take(kept[f"row_{keep}"].sort())


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of which nothing is missing where it is a number."""
    return pc.fill_null(column, 0) if pa.types.is_integer(column.type) else column

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

from analysis.places import Entry
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


def compact(files: Files, *, min_shards: int, set_aside: SetAside) -> int:
    """Merge the small shards of every table that has at least `min_shards`; returns how many."""
    small: dict[str, list[Entry]] = defaultdict(list)
    for entry in listed(files):
        if entry.bytes < SMALL_BYTES and table_of(entry) in SCHEMAS:
            small[table_of(entry)].append(entry)
    merged: list[str] = []
    for table, entries in small.items():
        if len(entries) < max(min_shards, 2):
            continue
        for batch in _batches(files, entries, set_aside=set_aside):
            _write_whole(files, table, batch)
            merged += [found.entry.name for found in batch]
    if merged:
        time.sleep(SETTLE_SECONDS)
        files.delete_all(merged)
    return len(merged)


def finish(files: Files, *, set_aside: SetAside) -> int:
    """Remove what a compaction that was killed had merged already; returns how many shards."""
    entries = listed(files)
    there = {entry.name for entry in entries}
    done: set[str] = set()
    for entry in entries:
        if not entry.name.rpartition("/")[2].startswith(PREFIX):
            continue
        left = there & set(replaced(files, entry))
        found = load(files, entry) if left else None
        if isinstance(found, Found):
            done |= left
        elif found:
            set_aside(found)
    files.delete_all(sorted(done))
    return len(done)


def fold_errors(files: Files, *, forget: Collection[str] = (), set_aside: SetAside) -> None:
    """Make one `errors.parquet` of all error rows: of each key the last, and none to `forget`."""
    entries = error_files(files)
    if not forget and all(entry.name == ERRORS_FILE for entry in entries):
        return
    parts = []
    for entry in entries:
        found = load(files, entry)
        if isinstance(found, Damage):
            set_aside(found)
        else:
            parts.append(found.rows)
    rows = _once(parts, schema=ERRORS, by=("key",), keep="max")
    if forget:
        rows = rows.filter(pc.invert(pc.is_in(rows["key"], pa.array(list(forget), pa.string()))))
    if entries:
        files.put(ERRORS_FILE, encode(rows))
        files.delete_all(entry.name for entry in entries if entry.name != ERRORS_FILE)


def _batches(
    files: Files, entries: Sequence[Entry], *, set_aside: SetAside
) -> Iterator[list[Found]]:
    """Sound shards, read in full, in lots that fit into memory."""
    batch: list[Found] = []
    size = 0
    with ThreadPoolExecutor(2 if files.is_local else 32) as threads:
        for part in _parts(entries):
            for found in threads.map(lambda entry: _load(files, entry), part):
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


def _load(files: Files, entry: Entry) -> Found | Damage | None:
    """All of a shard, None where somebody has removed it."""
    try:
        return load(files, entry)
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


def _write_whole(files: Files, table: str, batch: Sequence[Found]) -> None:
    """One large shard of many, read again before it counts."""
    rows = _once(
        [found.rows for found in batch], schema=SCHEMAS[table], by=IDENTITY[table], keep="min"
    )
    name = f"{TABLES}/{table}/{PREFIX}{uuid.uuid4().hex}.parquet"
    files.put(name, encode(rows, replaces=[found.entry.name for found in batch]))
    entry = files.entry(name)
    again = load(files, entry, columns=["key"]) if entry else None
    if not isinstance(again, Found):
        raise OSError(f"{files.text(name)} is not what was written: look at the disk")


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

"""Make few large shards out of many small ones, while others read.

The new shard is written first, under a name never used before, and the old ones are removed after
it. So each row is in a complete shard at every moment; a reader that sees both drops what repeats,
and a kill between the two leaves repetitions that the next start removes: the new shard says which
ones it replaces. As no shard is deleted before its rows are in another, rows are safe even where
two compact at once.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from analysis.storage.folder import Entry, StorageError
from analysis.storage.record import ERRORS_FILE, TABLES
from orchestrator.storage.schema import Table
from orchestrator.storage.shards import ERRORS, Damage, Shards, SoundShard

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


def compact(shards: Shards, *, min_shards: int) -> int:
    """Merge the small shards of every table that has at least `min_shards`; returns how many."""
    merged: list[str] = []
    for name, entries in small(shards, min_shards=min_shards).items():
        for batch in _batches(shards, entries):
            _write_whole(shards, shards.tables[name], batch)
            merged += [found.entry.name for found in batch]
    if merged:
        time.sleep(SETTLE_SECONDS)
        shards.files.delete_all(merged)
    return len(merged)


def small(shards: Shards, *, min_shards: int) -> dict[str, list[Entry]]:
    """The small shards of every table that has many."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in shards.listed():
        name = shards.table(entry).name
        if entry.bytes < SMALL_BYTES and name in shards.tables and name != ERRORS:
            found[name].append(entry)
    return {name: entries for name, entries in found.items() if len(entries) >= max(min_shards, 2)}


def merged_already(shards: Shards) -> dict[str, set[str]]:
    """By each merged shard the shards that it replaces and that are still there."""
    entries = shards.listed()
    there = {entry.name for entry in entries}
    merged = [entry for entry in entries if entry.name.rpartition("/")[2].startswith(PREFIX)]
    left = {entry.name: there & set(shards.replaced(entry)) for entry in merged}
    return {name: names for name, names in left.items() if names}


def finish(shards: Shards) -> int:
    """Remove what a compaction that was killed had merged already; returns how many shards."""
    done: set[str] = set()
    for name, left in merged_already(shards).items():
        entry = shards.files.entry(name)
        found = shards.load(entry) if entry else None
        if isinstance(found, SoundShard):
            done |= left
        elif found:
            shards.meet(found)
    shards.files.delete_all(sorted(done))
    return len(done)


def fold_errors(shards: Shards, *, forget: Collection[str] = ()) -> None:
    """Make one `errors.parquet` of all error rows: of each key the last, and none to `forget`."""
    entries = shards.errors()
    if not forget and all(entry.name == ERRORS_FILE for entry in entries):
        return
    parts = []
    for entry in entries:
        found = shards.load(entry)
        if isinstance(found, Damage):
            shards.meet(found)
        else:
            parts.append(found.rows)
    rows = _once(parts, table=shards.tables[ERRORS], keep="max")
    if forget:
        rows = rows.filter(pc.invert(pc.is_in(rows["key"], pa.array(list(forget), pa.string()))))
    if entries:
        shards.write(ERRORS_FILE, rows, belongs=shards.record)
        shards.files.delete_all(entry.name for entry in entries if entry.name != ERRORS_FILE)


def _batches(shards: Shards, entries: Sequence[Entry]) -> Iterator[list[SoundShard]]:
    """Sound shards, read in full, in lots that fit into memory."""
    batch: list[SoundShard] = []
    size = 0
    with ThreadPoolExecutor(2 if shards.files.is_local else 32) as threads:
        for part in _parts(entries):
            for found in threads.map(lambda entry: _load(shards, entry), part):
                if isinstance(found, Damage):
                    shards.meet(found)
                if not isinstance(found, SoundShard):
                    continue
                batch.append(found)
                size += found.rows.nbytes
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
    if batch:
        yield batch


def _load(shards: Shards, entry: Entry) -> SoundShard | Damage | None:
    """All of a shard, None where somebody has removed it."""
    try:
        return shards.load(entry)
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


def _write_whole(shards: Shards, table: Table, batch: Sequence[SoundShard]) -> None:
    """One large shard of many, read again before it counts."""
    rows = _once([found.rows for found in batch], table=table, keep="min")
    name = f"{TABLES}/{table.name}/{PREFIX}{uuid.uuid4().hex}.parquet"
    replaces = [found.entry.name for found in batch]
    shards.write(name, rows, replaces=replaces, belongs=shards.record)
    entry = shards.files.entry(name)
    again = shards.load(entry, columns=["key"], whole=True) if entry else None
    if not isinstance(again, SoundShard):
        where = shards.files.text(name)
        raise StorageError(f"{where} is not what was written: look at the disk")


def _once(parts: Sequence[pa.Table], *, table: Table, keep: str) -> pa.Table:
    """Rows of several shards in the schema of today; of repeated ones the first or the last.

    A number that an older version did not write counts as 0.
    """
    rows = pa.concat_tables([table.schema.empty_table(), *parts], promote_options="default")
    rows = rows.select(table.schema.names).cast(table.schema)
    names = {name: _known(rows[name]) for name in table.identity}
    numbered = pa.table(names).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    kept = numbered.group_by(list(names), use_threads=False).aggregate([("row", keep)])
    return rows if kept.num_rows == rows.num_rows else rows.take(kept[f"row_{keep}"].sort())


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of which nothing is missing where it is a number."""
    return pc.fill_null(column, 0) if pa.types.is_integer(column.type) else column

"""The Parquet files of a store: written with their schema, read by some columns, judged.

Reading is the check. A shard that does not open, whose columns are not those of its table, or that
another run wrote is named with the reason and left out, so that its cells count as missing; whoever
holds the store moves it to `quarantine/`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.storage import seal
from analysis.storage.folder import WHOLE_BYTES, Entry, StorageError
from analysis.storage.record import BELONGS, TABLES, Record, error_files, parquet, stranger
from orchestrator.storage.files import Files
from orchestrator.storage.schema import Table

QUARANTINE = "quarantine"
ERRORS = "errors"
ROW_GROUP = 100_000
REPLACES = b"babelscope.replaces"


class SoundShard(NamedTuple):
    """The rows of a sound shard, in the columns asked for."""

    entry: Entry
    rows: pa.Table


class Damage(NamedTuple):
    """A shard that cannot be used, and why: damaged, or sound but of another run (`foreign`)."""

    entry: Entry
    reason: str
    foreign: bool = False

    def __str__(self) -> str:
        """What it is and what becomes of its rows, for people."""
        if self.foreign:
            return f"{self.reason}: its rows are not counted"
        return f"is damaged ({self.reason}): its cells are computed again"


class SetAside(NamedTuple):
    """A shard in `quarantine/`: its table, its rows as far as they can be counted, and why it is
    of another run; it is damaged where that is empty.
    """

    table: str
    rows: int
    foreign: str


class _ForeignError(ValueError):
    """A shard of another run."""


# What reading a damaged file may raise: a name that is no text any more is a plain ValueError, one
# that is another than in the file's schema a KeyError.
BROKEN = (pa.ArrowException, OSError, ValueError, LookupError)


class Shards:
    """The shards of one store, whose tables are those given; `errors` is that of failed cells.

    `record` is the run's own: a shard that names another study, settings or pins is not counted.
    `owned` says that the store is held by this process, so that damaged shards may be moved.
    """

    def __init__(self, files: Files, tables: Mapping[str, Table]) -> None:
        """Nothing is read before it is asked for."""
        self.files = files
        self.tables = tables
        self.record: Record | None = None
        self.owned = False
        self.damaged: dict[Entry, Damage] = {}

    def table(self, entry: Entry) -> Table:
        """The table that a shard belongs to, by where it lies."""
        top, _, rest = entry.name.partition("/")
        name = rest.partition("/")[0] if top == TABLES else ERRORS
        return self.tables.get(name, Table(name))

    def listed(self) -> list[Entry]:
        """The shards of all tables."""
        return [
            entry for entry in parquet(self.files.entries(TABLES)) if entry.name.count("/") == 2
        ]

    def errors(self) -> list[Entry]:
        """The file of failed cells, and those added since it was made, in time order."""
        return error_files(self.files)

    def write(
        self, name: str, rows: pa.Table, *, replaces: Sequence[str] = (), belongs: Record | None
    ) -> None:
        """Put a shard: `replaces` names the shards whose rows it holds, `belongs` says which study
        it is of, from what settings and pins, wherever it is copied.
        """
        self.files.put(name, _encoded(rows, replaces=replaces, belongs=belongs))

    def replaced(self, entry: Entry) -> list[str]:
        """The names of the shards whose rows this one holds; none where it cannot be read."""
        try:
            with self.files.opened(entry) as source:
                metadata = pq.read_schema(source).metadata or {}
                found = json.loads(metadata.get(REPLACES, b"[]"))
        except StorageError:
            raise
        except (*BROKEN, RecursionError):
            return []
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    def scan(
        self,
        list_entries: Callable[[], list[Entry]],
        *,
        columns: Sequence[str],
        whole: bool = False,
    ) -> Iterator[pa.Table]:
        """Some columns of every sound shard; a row may come more than once, and none is missed.

        The others are noted, and set aside where the store is ours. `whole` as in `load`.
        """
        for _, found in self.files.gather(
            list_entries, read=lambda entry: self.load(entry, columns=columns, whole=whole)
        ):
            if isinstance(found, Damage):
                self.meet(found)
            else:
                yield found.rows

    def load(
        self, entry: Entry, *, columns: Sequence[str] | None = None, whole: bool = False
    ) -> SoundShard | Damage:
        """One shard: some columns, each combination of values once, or all of it.

        What is fetched whole is held against its seal, so that no flipped bit passes; of a large
        shard only the pages that are read are checked, unless `whole` asks for all. A shard counts
        as damaged only by its bytes in memory: no connection that breaks makes it look so.

        Raises:
            FileNotFoundError: the shard vanished.
            StorageError: it cannot be reached, which says nothing about what it holds.
        """
        table = self.table(entry)
        if entry.bytes > WHOLE_BYTES and columns is not None and not whole:
            try:
                with self.files.opened(entry) as source:
                    return SoundShard(entry, _rows(source, table, columns, self.record))
            except (FileNotFoundError, StorageError):
                raise
            except _ForeignError as error:
                return Damage(entry, str(error), foreign=True)
            except BROKEN:
                pass  # all its bytes are looked at below
        content = self.files.read(entry.name)
        sealed = seal.intact(content)
        if sealed is False:
            return Damage(entry, "its bytes are not those that were written")
        source = pa.BufferReader(content)
        try:
            if whole and not sealed:
                _rows(source, table, None, self.record)
            return SoundShard(entry, _rows(source, table, columns, self.record))
        except _ForeignError as error:
            return Damage(entry, str(error), foreign=True)
        except BROKEN as error:
            return Damage(entry, (str(error) or type(error).__name__).splitlines()[0].rstrip(". "))

    def meet(self, damage: Damage) -> None:
        """Note a shard that cannot be used; set it aside where the store is ours."""
        self.damaged[damage.entry] = damage
        if self.owned:
            self._set_aside(damage.entry)

    def set_damaged_aside(self) -> None:
        """Move what was noted before the store was ours, unless it was mended meanwhile."""
        for noted in self.damaged:
            entry = self.files.entry(noted.name)
            if entry and isinstance(self.load(entry, columns=["key"], whole=True), Damage):
                self._set_aside(entry)

    def aside(self) -> list[SetAside]:
        """What lies in `quarantine/`."""
        found = self.files.gather(
            lambda: parquet(self.files.entries(QUARANTINE)), read=self._look_aside
        )
        return [one for _, one in found]

    def _look_aside(self, entry: Entry) -> SetAside:
        """What a shard in `quarantine/` says of itself."""
        table = entry.name.split("/")[1]
        try:
            with self.files.opened(entry) as source:
                file = pq.ParquetFile(source)
                return SetAside(table, file.metadata.num_rows, stranger(file, self.record))
        except (FileNotFoundError, StorageError):
            raise
        except BROKEN:
            return SetAside(table, 0, "")

    def _set_aside(self, entry: Entry) -> None:
        """Move a shard to `quarantine/`; the time in its name keeps all that ever bore it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        name = entry.name.rpartition("/")[2]
        with suppress(FileNotFoundError):
            self.files.move(entry.name, f"{QUARANTINE}/{self.table(entry).name}/{stamp}-{name}")


def _encoded(rows: pa.Table, *, replaces: Sequence[str], belongs: Record | None) -> bytes:
    """A table as the bytes of a shard.

    One unit's rows are packed lightly: of so few bytes zstd takes three times the time and saves
    nothing. What is merged is packed well.
    """
    metadata: dict[bytes, bytes] = {seal.NAME: seal.BLANK}
    if replaces:
        metadata[REPLACES] = json.dumps(sorted(replaces)).encode()
    if belongs:
        metadata[BELONGS] = json.dumps(belongs, ensure_ascii=False).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata(metadata),
        sink,
        compression="zstd" if replaces else "snappy",
        row_group_size=ROW_GROUP,
        write_page_checksum=True,
    )
    return seal.seal(sink.getvalue().to_pybytes())


def _rows(
    source: pa.NativeFile, table: Table, columns: Sequence[str] | None, record: Record | None
) -> pa.Table:
    """The rows of an open shard.

    Raises:
        ValueError: the columns are not those of the table.
        _ForeignError: it is of another run.
    """
    repeats = columns is not None and table.identity not in (("key",), ())
    file = pq.ParquetFile(
        source,
        read_dictionary=columns if repeats else None,
        pre_buffer=True,
        page_checksum_verification=True,
    )
    if reason := table.mismatch(file.schema_arrow):
        raise ValueError(reason)
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

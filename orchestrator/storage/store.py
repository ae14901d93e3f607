"""Keep every cell's rows once, on any file system, as Parquet shards whose presence means done.

The one idea: whatever is there is whole, so a run that was killed anywhere is continued by the same
command. A shard holds the rows of one unit, or of many after compaction; one run writes at a time,
and any number read meanwhile. What a row means is unknown here: only its schema is.
"""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from analysis.places import Entry, StorageError
from analysis.record import NAME as RUN_FILE
from analysis.record import Record
from orchestrator.scheduling.schedule import CellError
from orchestrator.storage import compact as compaction
from orchestrator.storage import manifest, tables
from orchestrator.storage.artifacts import FOLDER as ARTIFACTS
from orchestrator.storage.artifacts import Artifacts
from orchestrator.storage.files import Files
from orchestrator.storage.lease import FOLDER as LEASES
from orchestrator.storage.lease import Lease, holder
from orchestrator.storage.shards import (
    ERRORS_FILE,
    ERRORS_FOLDER,
    TABLES,
    Damage,
    encode,
    error_files,
    listed,
    load,
    scan,
    table_of,
)
from studies.spec import Row, Unit, label

LOCK = "run.lock"
STATUS = "status.json"
QUARANTINE = "quarantine"
MIN_SHARDS = 100
# Folders that only the holder of the lock writes to.
OWN = (TABLES, ERRORS_FOLDER, ARTIFACTS)
_CELL = ("key", "model", "revision")


class Store:
    """The folder of one run: `run.json`, `tables/`, `errors.parquet`, `artifacts/`."""

    def __init__(self, root: Path | str) -> None:
        """Name the folder or `s3://` address; nothing is read or written before it is asked for."""
        self.files = Files(root)
        self._artifacts = Artifacts(self.files)
        self._damaged: dict[Entry, str] = {}
        self._record: Record | None = None
        self._lease: Lease | None = None

    @property
    def address(self) -> str:
        """Where the store lies, as people read it."""
        return self.files.address

    @property
    def where(self) -> str:
        """Where the store lies, with all that opens it (`analysis.read` takes it); not for show."""
        return self.files.where

    @property
    def root(self) -> Path:
        """The folder of a store on this machine; one elsewhere has only an `address`.

        Raises:
            ValueError: the store lies in an object store.
        """
        return self.files.local

    @property
    def manifest_path(self) -> Path:
        """The study as planned, with its provenance."""
        return self.root / RUN_FILE

    @property
    def errors_path(self) -> Path:
        """The failed cells, complete whenever no run goes on."""
        return self.root / ERRORS_FILE

    @property
    def errors_address(self) -> str:
        """Where the failed cells lie, as people read it."""
        return self.files.text(ERRORS_FILE)

    @property
    def quarantined(self) -> list[str]:
        """A sentence for each shard met so far that is damaged or another run's: its cells are not
        counted.

        The file is moved to `quarantine/` by whoever holds the lock, at the latest when it is
        taken, and is never deleted.
        """
        return [
            f"{self.files.text(entry.name)} {reason}, and the file is kept in {QUARANTINE}/"
            for entry, reason in self._damaged.items()
        ]

    def manifest(self) -> dict[str, object] | None:
        """What `run.json` says, or None for a folder that no run has used.

        Raises:
            ValueError: the folder is something other than a run's, or a newer version wrote it.
        """
        return manifest.read(self.files)

    def write_manifest(self, content: Mapping[str, object]) -> None:
        """Put `run.json` in place of the one before; shards written later say that they are its."""
        manifest.write(self.files, content)
        self._record = manifest.essence(self.files)

    def admit(
        self, study: str, *, settings: Mapping[str, object], pins: Mapping[str, object]
    ) -> None:
        """Refuse a study whose rows must not lie beside those already here.

        Raises:
            ValueError: the folder holds another study, other settings, or other texts or weights
                under the same names.
        """
        manifest.admit(self.files, study, settings=settings, pins=pins)

    def check_room(self, needed: int) -> None:
        """Refuse a place that cannot be written, or a disk with fewer free bytes than `needed`."""
        self.files.check_room(needed)

    def keys(self, *, verify: bool = False) -> set[str]:
        """The keys of all cells that are done; `quarantined` then tells of damaged shards.

        Large shards are read in part; with `verify` every byte of them, and of the artifacts, is
        checked. A cell whose artifact is damaged is not done.
        """
        found: set[str] = set()
        for rows in self._scan(lambda: listed(self.files), columns=["key"], whole=verify):
            found.update(rows["key"].to_pylist())
        if verify:
            made = self._artifacts.keys()
            found -= made - self._artifacts.sound(made)
        return found

    def failed(self) -> set[str]:
        """The keys of all cells that have an error row."""
        found: set[str] = set()
        for rows in self._scan(lambda: error_files(self.files), columns=["key"]):
            found.update(rows["key"].to_pylist())
        return found

    def count_by_model(self) -> tuple[Counter[str], Counter[str]]:
        """Cells done and cells failed, by model as people read it."""
        done = self._cells(lambda: listed(self.files))
        failed = self._cells(lambda: error_files(self.files))
        answered = pc.is_in(failed["key"], done["key"].combine_chunks())
        return _by_model(done), _by_model(failed.filter(pc.invert(answered)))

    def write(self, unit: Unit, rows: Sequence[Row]) -> str:
        """Keep the rows of one unit, all or nothing; returns the shard's name in the store.

        Raises:
            WrongRowsError: rows that do not fit the schema, or not exactly those of the unit's
                cells.
            LeaseLostError: another run has taken the store.
        """
        tables.check(unit, rows)
        name = f"{TABLES}/{unit.table}/{unit.id}.parquet"
        belongs = manifest.part_of(self._record, unit) if self._record else None
        self.files.put(name, encode(tables.to_arrow(rows, table=unit.table), belongs=belongs))
        return name

    def write_errors(self, errors: Iterable[CellError], *, forget: Iterable[str] = ()) -> None:
        """Add failed cells, and drop those whose keys are in `forget`.

        Additions are small files in `errors/`; they become `errors.parquet` when the lock is let
        go, so that a million failures do not rewrite a growing file a million times.
        """
        new = [tables.error_row(error) for error in errors]
        if new:
            name = f"{ERRORS_FOLDER}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
            rows = pa.Table.from_pylist(new, schema=tables.ERRORS)
            self.files.put(name, encode(rows, belongs=self._record))
        dropped = set(forget) - {row["key"] for row in new}
        if dropped:
            self._fold(forget=dropped)

    def compact(self, *, min_shards: int = MIN_SHARDS) -> int:
        """Merge the small shards of tables that have at least `min_shards`; returns how many.

        Readers need not stop. Outside of `lock` it takes the lock for itself.
        """
        with nullcontext() if self._lease else self.lock():
            self._fold()
            return compaction.compact(
                self.files, min_shards=min_shards, set_aside=self._meet, record=self._record
            )

    def untidy(self) -> bool:
        """Whether a run that was killed left something that the next lock removes or merges.

        Not while another run writes here: what is half-done then is its own.
        """
        if self._damaged or self.files.leftovers(OWN, shared=(LEASES,)):
            return self.holder() is None
        begun = compaction.merged_already(self.files) or compaction.small(
            self.files, min_shards=MIN_SHARDS
        )
        left = begun or self.files.entries(LEASES) or self.files.entries(ERRORS_FOLDER)
        return bool(left) and self.holder() is None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for this run alone, among all machines (lease.py says how).

        What killed writers left is removed first, and damaged shards are set aside; errors are
        gathered in one file last.

        Raises:
            ValueError: another run holds it, or a newer version wrote it.
        """
        self.manifest()
        self._record = manifest.essence(self.files)
        with self.files.held(LOCK) as free:
            if not free:
                who = holder(self.files) or "another process of this machine"
                raise ValueError(
                    f"{self.address} is in use by {who}: wait for it, or choose another --out"
                )
            lease = Lease(Files(self.where))
            lease.acquire()
            self._lease, self.files.guard = lease, lease.check
            try:
                self._tidy()
                yield
                self._fold()
            except BaseException:
                # What went wrong matters more than errors left in many files.
                with suppress(OSError, ValueError):
                    self._fold()
                raise
            finally:
                self._lease, self.files.guard = None, lambda: None
                lease.release()

    def holder(self) -> str | None:
        """Who runs in this store now, as far as a reader can tell."""
        found = holder(self.files)
        return str(found) if found else None

    def write_status(self, status: Mapping[str, object]) -> None:
        """Say how far the run is, for other shells and machines: small, and whole at any time."""
        content = json.dumps(dict(status), ensure_ascii=False).encode()
        self.files.put(STATUS, content, durable=False)

    def read_status(self) -> dict[str, object] | None:
        """What the run last said, None where it said nothing.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            content = json.loads(self.files.read(STATUS))
        except FileNotFoundError:
            return None
        except StorageError:
            raise
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.files.text(STATUS)} is damaged: it is no JSON") from error
        if not isinstance(content, dict):
            raise ValueError(f"{self.files.text(STATUS)} is damaged: it is no JSON object")
        return content

    def write_artifact(self, key: str, data: bytes) -> None:
        """Keep a tensor file that others need, under the key of the cell that made it."""
        self._artifacts.write(key, data)

    def read_artifact(self, key: str) -> bytes:
        """The bytes of an artifact.

        Raises:
            ValueError: there is none of this key.
        """
        return self._artifacts.read(key)

    def has_artifact(self, key: str) -> bool:
        """Whether there is an artifact of this key."""
        return self._artifacts.there(key)

    def artifacts(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of the keys that have an artifact."""
        return self._artifacts.some(keys)

    def artifact_keys(self) -> set[str]:
        """The keys of all artifacts."""
        return self._artifacts.keys()

    def sound_artifacts(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have an artifact whose bytes are those that were written."""
        return self._artifacts.sound(keys)

    def copy_in(self, folder: Path, *, to: str) -> None:
        """Put a folder of this machine, such as a report, under a name in the store."""
        self.files.copy_in(folder, to=to)

    def _scan(
        self,
        list_entries: Callable[[], list[Entry]],
        *,
        columns: Collection[str],
        whole: bool = False,
    ) -> Iterator[pa.Table]:
        """Some columns of every sound shard; damaged ones and other runs' are noted."""
        record = manifest.essence(self.files)
        for found in scan(
            self.files, list_entries, columns=list(columns), record=record, whole=whole
        ):
            if isinstance(found, Damage):
                self._meet(found)
            else:
                yield found.rows

    def _cells(self, list_entries: Callable[[], list[Entry]]) -> pa.Table:
        """Key, model and revision of every cell, once."""
        plain = pa.schema([(name, pa.string()) for name in _CELL])
        parts = [rows.cast(plain) for rows in self._scan(list_entries, columns=_CELL)]
        whole = pa.concat_tables([plain.empty_table(), *parts])
        return whole.group_by(list(_CELL)).aggregate([])

    def _meet(self, damage: Damage) -> None:
        """Note a shard that is damaged or of another run; set it aside where the store is ours."""
        self._damaged[damage.entry] = (
            f"{damage.reason}: its rows are not counted"
            if damage.foreign
            else f"is damaged ({damage.reason}): its cells are computed again"
        )
        if self._lease:
            self._set_aside(damage.entry)

    def _set_aside(self, entry: Entry) -> None:
        """Move a shard to `quarantine/`; the time in its name keeps all that ever bore it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        name = entry.name.rpartition("/")[2]
        with suppress(FileNotFoundError):
            self.files.move(entry.name, f"{QUARANTINE}/{table_of(entry)}/{stamp}-{name}")

    def _tidy(self) -> None:
        """Bring the store into order, with the lock taken."""
        self.files.clear_leftovers(OWN, shared=(LEASES,))
        for noted in self._damaged:
            entry = self.files.entry(noted.name)
            again = entry and load(
                self.files, entry, columns=["key"], record=self._record, whole=True
            )
            if entry and isinstance(again, Damage):
                self._set_aside(entry)
        compaction.finish(self.files, set_aside=self._meet, record=self._record)

    def _fold(self, *, forget: Collection[str] = ()) -> None:
        """Gather the errors in one file."""
        compaction.fold_errors(self.files, forget=forget, set_aside=self._meet, record=self._record)


def _by_model(cells: pa.Table) -> Counter[str]:
    """How many cells each model has."""
    counts: Counter[str] = Counter()
    by_name = cells.group_by(["model", "revision"]).aggregate([("key", "count")])
    for row in by_name.to_pylist():
        counts[label(row["model"], revision=row["revision"])] += row["key_count"]
    return counts

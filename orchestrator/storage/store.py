"""Keep every cell's rows once, on any file system, as Parquet shards whose presence means done.

A shard holds the rows of one unit, or of many after compaction. Whatever is there is whole, so a
run that was killed anywhere is continued by the same command; one run writes at a time, and any
number read meanwhile. The store knows a table by its columns alone: its caller names the tables.
"""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from analysis.storage.folder import Entry, StorageError
from analysis.storage.record import ERRORS_FOLDER, NAME, TABLES, Record
from orchestrator.storage import compaction, manifest
from orchestrator.storage.artifacts import FOLDER as ARTIFACTS
from orchestrator.storage.artifacts import Artifacts
from orchestrator.storage.files import Files
from orchestrator.storage.lease import FOLDER as LEASES
from orchestrator.storage.lease import Lease, holder, refusal
from orchestrator.storage.manifest import LOCK, STATUS
from orchestrator.storage.schema import NEEDED, Row, Table
from orchestrator.storage.shards import ERRORS, QUARANTINE, Shards
from orchestrator.storage.tables import ALL_TABLES
from studies.spec import label

MIN_SHARDS = 100
# Folders that only the holder of the lock writes to.
OWN = (TABLES, ERRORS_FOLDER, ARTIFACTS)


class Store:
    """The folder of one run: `run.json`, `tables/`, `errors.parquet`, `artifacts/`."""

    def __init__(self, root: Path | str, *, tables: Mapping[str, Table] = ALL_TABLES) -> None:
        """Name the folder or `s3://` address; nothing is read or written before it is asked for.

        `tables` are the tables that are written and merged, by name; `errors` is that of failed
        cells. A shard of any other table is kept, and the keys in it count.
        """
        self.files = Files(root)
        self._shards = Shards(self.files, tables)
        self.artifact_files = Artifacts(self.files)
        self._lease: Lease | None = None

    @property
    def address(self) -> str:
        """Where the store lies, as people read it."""
        return self.files.address

    @property
    def quarantined(self) -> list[str]:
        """A sentence for each shard met so far that is damaged or another run's: its cells are not
        counted.

        The file is moved to `quarantine/` by whoever holds the lock, at the latest when it is
        taken, and is never deleted.
        """
        return [
            f"{self.files.text(entry.name)} {damage}, and the file is kept in {QUARANTINE}/"
            for entry, damage in self._shards.damaged.items()
        ]

    @property
    def aside(self) -> str:
        """What lies in `quarantine/` and what to do with it, empty where nothing does."""
        self._shards.record = manifest.kept_essence(self.files)
        found = self._shards.aside()
        reasons = list(dict.fromkeys(one.foreign for one in found if one.foreign))
        damaged = sum(not one.foreign for one in found)
        parts = []
        if damaged:
            parts.append(f"{damaged:,} damaged file(s), whose cells are computed again")
        if reasons:
            more = f", and {len(reasons) - 1:,} other reasons" if len(reasons) > 1 else ""
            parts.append(
                f"{len(found) - damaged:,} file(s) of another run ({reasons[0]}{more}), to be "
                "moved to tables/ of that run"
            )
        if not parts:
            return ""
        rows = sum(one.rows for one in found)
        tables = ", ".join(dict.fromkeys(one.table for one in found))
        return (
            f"{self.files.text(QUARANTINE)}/ holds {' and '.join(parts)}: {rows:,} readable rows "
            f"of {tables}, not counted here; delete what is not needed"
        )

    def manifest(self) -> dict[str, object] | None:
        """What `run.json` says, or None for a folder that no run has used.

        Raises:
            ValueError: the folder is something other than a run's, or a newer version wrote it.
        """
        return manifest.read(self.files)

    def recorded(self) -> dict[str, object]:
        """What `run.json` says.

        Raises:
            ValueError: there is none, or as for `manifest`.
        """
        found = self.manifest()
        if found is None:
            raise ValueError(f"{self.address} is not a run folder: it holds no {NAME}")
        return found

    @property
    def record(self) -> Record | None:
        """Study, settings and pins of the run as last read or written, None before."""
        return self._shards.record

    def write_manifest(self, content: Mapping[str, object]) -> None:
        """Put `run.json` in place of the one before; shards written later say that they are its."""
        self._shards.record = manifest.write(self.files, content)

    def admit(
        self, study: str, *, settings: Mapping[str, object], pins: Mapping[str, object]
    ) -> None:
        """Refuse a study whose rows must not lie beside those already here.

        Raises:
            ValueError: the folder holds another study, other settings, or other texts or weights
                under the same names.
        """
        manifest.admit(self.files, study, settings=settings, pins=pins)

    def keys(self, *, verify: bool = False) -> set[str]:
        """The keys of all cells that are done; `quarantined` then tells of damaged shards.

        Large shards are read in part; with `verify` every byte of them, and of the artifacts, is
        checked. A cell whose artifact is damaged is not done.
        """
        found: set[str] = set()
        for rows in self._scan(self._shards.listed, columns=["key"], whole=verify):
            found.update(rows["key"].to_pylist())
        if verify:
            made = self.artifact_files.keys()
            found -= made - self.artifact_files.sound(made)
        return found

    def failed(self) -> set[str]:
        """The keys of all cells that have an error row."""
        found: set[str] = set()
        for rows in self._scan(self._shards.errors, columns=["key"]):
            found.update(rows["key"].to_pylist())
        return found

    def count_by_model(self) -> tuple[Counter[str], Counter[str]]:
        """Cells done and cells failed, by model as people read it."""
        done = self._cells(self._shards.listed)
        failed = self._cells(self._shards.errors)
        answered = pc.is_in(failed["key"], done["key"].combine_chunks())
        return _by_model(done), _by_model(failed.filter(pc.invert(answered)))

    def write(
        self,
        table: str,
        rows: Sequence[Row],
        *,
        name: str,
        keys: Collection[str],
        belongs: Record | None = None,
    ) -> str:
        """Keep some rows of a table as one shard, all or nothing; returns its name in the store.

        Args:
            table: the name of the table.
            rows: every one with all columns of the table.
            name: what the shard is called, in place of any other of that name.
            keys: the keys that the rows must have, one at least for each.
            belongs: what the rows were computed from, of the run's record.

        Raises:
            WrongRowsError: rows that do not fit the table, or not exactly those of the keys.
            LeaseLostError: another run has taken the store.
        """
        told = self._shards.tables[table]
        told.check(rows, keys=keys)
        path = f"{TABLES}/{table}/{name}.parquet"
        self._shards.write(path, told.to_arrow(rows), belongs=belongs)
        return path

    def write_errors(self, rows: Iterable[Row], *, forget: Iterable[str] = ()) -> None:
        """Add rows of failed cells, and drop those whose keys are in `forget`.

        Additions are small files in `errors/`; they become `errors.parquet` when the lock is let
        go, so that a million failures do not rewrite a growing file a million times.
        """
        new = list(rows)
        if new:
            name = f"{ERRORS_FOLDER}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
            told = self._shards.tables[ERRORS].to_arrow(new)
            self._shards.write(name, told, belongs=self.record)
        dropped = set(forget) - {str(row["key"]) for row in new}
        if dropped:
            compaction.fold_errors(self._shards, forget=dropped)

    def compact(self, *, min_shards: int = MIN_SHARDS) -> int:
        """Merge the small shards of tables that have at least `min_shards`; returns how many.

        Readers need not stop. Outside of `lock` it takes the lock for itself.
        """
        with nullcontext() if self._lease else self.lock():
            compaction.fold_errors(self._shards)
            return compaction.compact(self._shards, min_shards=min_shards)

    def untidy(self) -> bool:
        """Whether a run that was killed left something that the next lock removes or merges.

        Not while another run writes here: what is half-done then is its own.
        """
        left = (
            self._shards.damaged
            or self.files.leftovers(OWN, shared=(LEASES,))
            or compaction.merged_already(self._shards)
            or compaction.small(self._shards, min_shards=MIN_SHARDS)
            or self.files.entries(LEASES)
            or self.files.entries(ERRORS_FOLDER)
        )
        return bool(left) and self.holder() is None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for this run alone, among all machines (lease.py says how).

        What killed writers left is removed first, and damaged shards are set aside; errors are
        gathered in one file last.

        Raises:
            ValueError: another run holds it, or a newer version wrote it.
        """
        found = self.manifest()
        self._shards.record = None if found is None else manifest.essence(found)
        with self.files.held(LOCK) as free:
            if not free:
                who = holder(self.files) or "another process of this machine"
                raise ValueError(refusal(self.files, who))
            lease = Lease(Files(self.files.where))
            lease.acquire()
            self._lease, self.files.guard = lease, lease.check
            self._shards.owned = True
            try:
                self.files.delete_all(self.files.leftovers(OWN, shared=(LEASES,)))
                self._shards.set_damaged_aside()
                compaction.finish(self._shards)
                yield
                compaction.fold_errors(self._shards)
            except BaseException:
                # What went wrong matters more than errors left in many files.
                with suppress(OSError, ValueError):
                    compaction.fold_errors(self._shards)
                raise
            finally:
                self._lease, self.files.guard = None, lambda: None
                self._shards.owned = False
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
        self.artifact_files.write(key, data)

    def artifacts(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of the keys that have an artifact."""
        return self.artifact_files.some(keys)

    def artifacts_by_model(self) -> dict[tuple[str, str, str], set[str]]:
        """The keys of all artifacts, by the table of the cells that made them, model and revision.

        Of what no row belongs to nothing is said.
        """
        left = self.artifact_files.keys()
        found: dict[tuple[str, str, str], set[str]] = {}
        for table in self._shards.tables if left else ():
            rows = self._cells(
                lambda table=table: [  # type: ignore[misc]  # bound now
                    one for one in self._shards.listed() if self._shards.table(one).name == table
                ]
            )
            own = rows.filter(pc.is_in(rows["key"], pa.array(sorted(left), pa.string())))
            for row in own.to_pylist():
                found.setdefault((table, row["model"], row["revision"]), set()).add(row["key"])
            left -= set(own["key"].to_pylist())
        return found

    def drop_artifacts(self, keys: Iterable[str]) -> None:
        """Delete some artifacts; the store is locked. Their cells stay done, and are computed again
        only if cells that are asked for later take them.
        """
        assert self._lease is not None
        for key in keys:
            self.artifact_files.delete(key)

    def _scan(
        self,
        list_entries: Callable[[], list[Entry]],
        *,
        columns: Sequence[str],
        whole: bool = False,
    ) -> Iterator[pa.Table]:
        """Some columns of every sound shard of the run that is there now."""
        self._shards.record = manifest.kept_essence(self.files)
        return self._shards.scan(list_entries, columns=columns, whole=whole)

    def _cells(self, list_entries: Callable[[], list[Entry]]) -> pa.Table:
        """Key, model and revision of every cell, once."""
        plain = pa.schema([(name, pa.string()) for name in NEEDED])
        parts = [rows.cast(plain) for rows in self._scan(list_entries, columns=list(NEEDED))]
        whole = pa.concat_tables([plain.empty_table(), *parts])
        return whole.group_by(list(NEEDED)).aggregate([])


def _by_model(cells: pa.Table) -> Counter[str]:
    """How many cells each model has."""
    counts: Counter[str] = Counter()
    by_name = cells.group_by(["model", "revision"]).aggregate([("key", "count")])
    for row in by_name.to_pylist():
        counts[label(row["model"], revision=row["revision"])] += row["key_count"]
    return counts

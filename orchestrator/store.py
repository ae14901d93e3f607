"""Keep every cell's rows once, as Parquet shards whose presence means done.

A shard holds the rows of one unit; it is written aside and renamed, so a reader never sees half of
one and a killed run leaves none behind. What a row means is unknown here: only its schema is.
"""

import errno
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.schedule import CellError
from orchestrator.tables import ERRORS, SCHEMAS, check, error_row
from studies.spec import Row, Unit, label

VERSION = 1
LOCK = "run.lock"


class Store:
    """The folder of one run: `run.json`, `tables/`, `errors.parquet`."""

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is read or written before it is asked for."""
        self.root = root

    @property
    def manifest_path(self) -> Path:
        """The study as planned, with its provenance."""
        return self.root / "run.json"

    @property
    def errors_path(self) -> Path:
        """The failed cells."""
        return self.root / "errors.parquet"

    def manifest(self) -> dict[str, object] | None:
        """What `run.json` says, or None for a folder that no run has used.

        Raises:
            ValueError: the folder is something other than a run's, or a newer version wrote it.
        """
        if not self.manifest_path.is_file():
            strangers = [name for name in self._names() if name not in (LOCK, "tables")]
            if strangers:
                found = min(strangers)
                raise ValueError(
                    f"{self.root} is not a run folder (it holds {found!r} and no run.json): "
                    "choose another --out"
                )
            return None
        try:
            content = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{self.manifest_path} is not valid JSON: restore it, or choose another --out"
            ) from error
        version = content.get("version", 0)
        if version > VERSION:
            raise ValueError(
                f"{self.root} was written by a newer Babelscope (store version {version}, this one "
                f"knows {VERSION}): update, or choose another --out"
            )
        return dict(content)

    def admit(
        self, study: str, *, settings: Mapping[str, object], pins: Mapping[str, object]
    ) -> None:
        """Refuse a study whose rows must not lie beside those already here.

        Raises:
            ValueError: the folder holds another study, other settings, or other texts or weights
                under the same names.
        """
        manifest = self.manifest()
        if manifest is None:
            return
        if manifest["study"] != study:
            raise ValueError(
                f"{self.root} holds the study {manifest['study']!r}, this is {study!r}: choose "
                "another --out"
            )
        for name, kept, given in _differences(manifest["settings"], settings):
            raise ValueError(
                f"{self.root} was run with {name} {kept}, this run has {given}: choose another "
                "--out, or go back to the same"
            )
        for name, _, _ in _differences(manifest["pins"], pins):
            raise ValueError(
                f"{self.root} was computed from another {name} than this run would read: choose "
                "another --out, or go back to the same"
            )

    def keys(self) -> set[str]:
        """The keys of all cells that are done."""
        found: set[str] = set()
        for shard in self._shards():
            found.update(_read(shard, columns=["key"]).column("key").to_pylist())
        return found

    def failed(self) -> set[str]:
        """The keys of all cells that have an error row."""
        if not self.errors_path.is_file():
            return set()
        return set(_read(self.errors_path, columns=["key"]).column("key").to_pylist())

    def count_by_model(self) -> tuple[Counter[str], Counter[str]]:
        """Cells done and cells failed, by model as people read it."""
        columns = ["key", "model", "revision"]
        done = {
            tuple(row.values()) for path in self._shards() for row in _rows(path, columns=columns)
        }
        failed: set[tuple[object, ...]] = set()
        if self.errors_path.is_file():
            failed = {tuple(row.values()) for row in _rows(self.errors_path, columns=columns)}
        return _by_model(done), _by_model(failed - done)

    def write(self, unit: Unit, rows: Sequence[Row]) -> Path:
        """Keep the rows of one unit, all or nothing.

        Raises:
            ValueError: rows that do not fit the schema, or not exactly those of the unit's cells.
        """
        check(unit, rows)
        folder = self.root / "tables" / unit.table
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{unit.id}.parquet"
        _write(path, pa.Table.from_pylist(list(rows), schema=SCHEMAS[unit.table]))
        return path

    def write_errors(self, errors: Iterable[CellError], *, forget: Iterable[str] = ()) -> None:
        """Add failed cells to `errors.parquet`, and drop those whose keys are in `forget`."""
        new = [error_row(error) for error in errors]
        dropped = {*forget, *(row["key"] for row in new)}
        kept: list[Row] = []
        if self.errors_path.is_file():
            old = _read(self.errors_path).to_pylist()
            kept = [row for row in old if row["key"] not in dropped]
        if new or len(kept) or self.errors_path.is_file():
            _write(self.errors_path, pa.Table.from_pylist([*kept, *new], schema=ERRORS))

    def write_manifest(self, content: Mapping[str, object]) -> None:
        """Write `run.json` aside and rename it."""
        self.root.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": VERSION, **content}, indent=1, ensure_ascii=False)
        with _aside(self.manifest_path) as beside:
            beside.write_text(text, encoding="utf-8")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process alone; the system lets go of it when the process ends.

        Raises:
            ValueError: another process on this machine is running in this folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LOCK).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                file.seek(0)
                raise ValueError(
                    f"{self.root} is in use by process {file.read().strip() or '?'}: wait for it, "
                    "or choose another --out"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _names(self) -> list[str]:
        """What lies in the folder, leftovers of killed writes aside."""
        if not self.root.exists():
            return []
        if not self.root.is_dir():
            raise ValueError(f"--out {self.root} is a file: choose a folder")
        return [child.name for child in self.root.iterdir() if not child.name.startswith(".")]

    def _shards(self) -> list[Path]:
        """All shards of all tables; leftovers of killed writes have other names."""
        return sorted((self.root / "tables").glob("*/*.parquet"))


def _differences(kept: object, given: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    """Name, kept value and given value wherever both have one and they differ."""
    assert isinstance(kept, dict)
    for name, value in given.items():
        if name in kept and kept[name] != value:
            yield name, kept[name], value


def _rows(path: Path, *, columns: list[str]) -> list[Row]:
    """Some columns of a file, distinct rows only."""
    table = _read(path, columns=columns).group_by(columns).aggregate([])
    return list(table.select(columns).to_pylist())


def _by_model(cells: Iterable[tuple[object, ...]]) -> Counter[str]:
    """How many cells each model has, from (key, model, revision)."""
    return Counter(label(str(model), revision=str(revision)) for _, model, revision in cells)


def _read(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file.

    Raises:
        ValueError: the file is not readable Parquet.
    """
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise ValueError(
            f"{path} is damaged ({str(error).splitlines()[0]}): delete it and run the same command "
            "again, which computes its cells anew"
        ) from error


def _write(path: Path, table: pa.Table) -> None:
    """Write one Parquet file aside and rename it."""
    with _aside(path) as beside:
        pq.write_table(table, beside, compression="zstd")


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` on success and vanishes on failure."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

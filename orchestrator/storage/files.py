"""Write, move and remove the files of a store, on any file system (read: analysis/storage/).

A file appears whole or not at all. On this machine it is written aside, synced to the disk and
renamed; an object store's put is atomic by itself.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from analysis.storage.folder import Folder

# What a killed writer leaves beside the name it meant; nothing else that is hidden is ours.
LEFTOVER = re.compile(
    r"^\.(?:[^/]+\.(?:parquet|json|html|safetensors|sha256)\.[0-9a-f]+|[0-9a-f]{32})$"
)
OLD_SECONDS = 3600.0
HELD = (errno.EAGAIN, errno.EACCES)


class Files(Folder):
    """A folder to write to. Names are relative to it, with `/` between their parts."""

    def __init__(self, where: Path | str) -> None:
        """Take a path or a URI; `guard` is called before anything changes, and may forbid it."""
        super().__init__(where)
        self.guard: Callable[[], None] = lambda: None

    def put(self, name: str, content: bytes | pa.Buffer, *, durable: bool = True) -> None:
        """Write a file, whole or not at all, in place of any other of that name.

        What is `durable` survives a crash of the machine; the rest at least that of the process.
        """
        self.guard()
        if self.is_local:
            self._rename_in(Path(self.path(name)), content, durable=durable)
            return
        with self._in_words(), self.system.open_output_stream(self.path(name)) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone already is no failure."""
        self.guard()
        with suppress(FileNotFoundError), self._or_vanished(name):
            self.system.delete_file(self.path(name))

    def delete_all(self, names: Iterable[str]) -> None:
        """Remove many files, several at a time."""
        with ThreadPoolExecutor(2 if self.is_local else 32) as threads:
            list(threads.map(self.delete, names))

    def move(self, name: str, to: str) -> None:
        """Give a file another name.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        self.guard()
        if self.is_local:
            _make(Path(self.path(to)).parent)
        with self._or_vanished(name):
            self.system.move(self.path(name), self.path(to))

    def copy_in(self, folder: Path, *, to: str) -> None:
        """Put every file of a folder of this machine under a name here."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{to}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def leftovers(self, folders: Iterable[str], *, shared: Iterable[str] = ()) -> list[str]:
        """What killed writers left in some folders, and directly here; in `shared` folders others
        may be writing now, so only what is old. Of a put that was cut off an object store lists
        nothing; there only probes (`check_room`) are left.
        """
        here = [name for name in self.children() if self.is_local and LEFTOVER.match(name)]
        ours = [entry.name for folder in folders for entry in self.entries(folder, hidden=True)]
        left = [entry for folder in shared for entry in self.entries(folder, hidden=True)]
        oldest = time.time() - OLD_SECONDS
        old = [e.name for e in left if e.modified is not None and e.modified < oldest]
        return [name for name in here + ours + old if LEFTOVER.match(name.rpartition("/")[2])]

    def check_room(self, needed: int) -> None:
        """Refuse a place that cannot be written, or a disk too full; leaves nothing behind.

        Raises:
            OSError: this machine's file system refuses.
            ValueError: too little space is free, or the object store refuses.
        """
        if not self.is_local:
            probe = f"leases/.{uuid.uuid4().hex}"
            self.put(probe, b"")
            self.delete(probe)
            return
        there = next(p for p in (self.local, *self.local.absolute().parents) if p.is_dir())
        try:
            with tempfile.TemporaryFile(dir=there):
                free = shutil.disk_usage(there).free
        except OSError as error:
            error.filename = str(self.local)  # not the name of what was only tried
            raise
        if free < needed:
            raise ValueError(
                f"{there} has {free / 1e6:.1f} MB free and the study needs about "
                f"{needed / 1e6:.1f} MB: free some space, or choose another --out"
            )

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Hold a system lock on a file of this machine while the context is open.

        Yields False where another process holds it, and True where it is ours or where the file
        system knows no locks (an object store, some network file systems).
        """
        if not self.is_local:
            yield True
            return
        self.local.mkdir(parents=True, exist_ok=True)
        with (self.local / name).open("a+") as file:
            free = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                free = error.errno not in HELD
            yield free

    def _rename_in(self, path: Path, content: bytes | pa.Buffer, *, durable: bool) -> None:
        """Write beside the name, then take the name."""
        _make(path.parent)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with aside.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        if durable:
            _sync_folder(path.parent)


def _make(folder: Path) -> None:
    """Make a folder, and those that it is in.

    Raises:
        OSError: it cannot be made; NotADirectoryError where it is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if folder.is_symlink():
            raise
        text = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, text, str(folder)) from None


def _sync_folder(folder: Path) -> None:
    """Make a rename last; file systems that cannot are as good as they get."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

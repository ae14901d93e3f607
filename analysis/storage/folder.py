"""Where a run lies, for reading: a folder on this machine, or in an object store (`s3://...`).

Readers take no lock. A file appears whole, and one that vanishes has its rows in a newer file by
then; so a listing that brings nothing new means that everything was read.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypeVar

import pyarrow as pa
from pyarrow import fs

from analysis.storage import buckets

Value = TypeVar("Value")
# Files up to this size are fetched whole, in one request; of larger ones only what is wanted.
WHOLE_BYTES = 4_000_000
SLICE = 512
LISTINGS = 100
# Of a longer name only the beginning is shown.
SHOWN = 200


class Entry(NamedTuple):
    """A file below a folder: its name from there, its size, and when the file system says it came.

    `modified` is in seconds of the file system's own clock, None where it keeps no times.
    """

    name: str
    bytes: int
    modified: float | None


class StorageError(OSError, ValueError):
    """An object store refused or did not answer; the text is a sentence for the user."""


class Folder:
    """A folder that may lie anywhere. Nothing is touched before it is asked for."""

    def __init__(self, where: Path | str) -> None:
        """Take a path or an address such as `s3://bucket/run?endpoint_override=host:port`.

        Raises:
            ValueError: it is neither.
        """
        self._bucket, folder = buckets.parse(str(where))
        self._local = Path(folder)
        self.is_local = self._bucket is None
        # The whole address, for programs: it may hold a password.
        self.where = self._bucket.where if self._bucket else folder
        # No password and no endpoint in what people read.
        self.address = self._bucket.address if self._bucket else str(self._local)

    @property
    def local(self) -> Path:
        """The folder, which must be one of this machine."""
        if not self.is_local:
            raise ValueError(f"{self.address} is no folder of this machine: name one")
        return self._local

    @property
    def identity(self) -> str:
        """The same for all names of one folder."""
        if self._bucket is None:
            return os.path.realpath(self._local)
        return f"{self.address} {self._bucket.options.get('endpoint_override', '')}"

    @property
    def name(self) -> str:
        """The last part of the address."""
        where = os.path.realpath(self.local) if self.is_local else self.address
        return PurePosixPath(where).name

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        """The file system and the folder in it."""
        if self._bucket is None:
            return fs.LocalFileSystem(), str(self.local.absolute())
        with self._in_words():
            return self._bucket.open()

    @property
    def system(self) -> fs.FileSystem:
        """The file system."""
        return self._opened[0]

    def path(self, name: str) -> str:
        """The name as the file system knows it."""
        folder = self._opened[1]
        return f"{folder}/{name}" if name else folder

    def text(self, name: str) -> str:
        """The name as people read it."""
        return f"{self.address}/{name}"

    def entries(self, folder: str, *, hidden: bool = False) -> list[Entry]:
        """All files below a folder, sorted by name; those still being written are `hidden`."""
        return sorted(
            Entry(self._name(info), info.size, _seconds(info))
            for info in self._infos(folder, recursive=True)
            if info.type == fs.FileType.File and _hidden(self._name(info)) == hidden
        )

    def entry(self, name: str) -> Entry | None:
        """One file, or None where there is none."""
        with self._in_words():
            info = self.system.get_file_info(self.path(name))
        found = info.type == fs.FileType.File
        return Entry(name, info.size, _seconds(info)) if found else None

    def kind(self) -> Literal["folder", "file", "nothing"]:
        """What lies here; in an object store every name is that of a folder."""
        if not self.is_local:
            return "folder"
        try:
            with self._in_words():
                return "folder" if stat.S_ISDIR(self.local.stat().st_mode) else "file"
        except FileNotFoundError:
            return "nothing"

    def children(self) -> list[str]:
        """The names of what lies directly here, hidden ones among them."""
        return sorted(self._name(info) for info in self._infos("", recursive=False))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none, or it vanished under our eyes.
            StorageError: it cannot be read, or is a pipe or device that might never end.
        """
        if self.is_local:
            with self._in_words():
                regular = stat.S_ISREG((self.local / name).stat().st_mode)
            if not regular:
                raise StorageError(f"{self.text(name)} is no regular file: look at what it is")
        with self._or_vanished(name), self.system.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[pa.NativeFile]:
        """A listed file for reading in parts; small ones are fetched whole."""
        if entry.bytes <= WHOLE_BYTES:
            yield pa.BufferReader(self.read(entry.name))
            return
        with self._or_vanished(entry.name):
            file = self.system.open_input_file(self.path(entry.name))
        try:
            with file:
                yield file
        except OSError as error:
            if self.is_local or isinstance(error, FileNotFoundError):
                raise
            if self.entry(entry.name) is None:
                raise FileNotFoundError(self.text(entry.name)) from error
            if "AWS Error" in str(error):
                raise self._refused(error) from error
            raise

    def gather(
        self, list_entries: Callable[[], list[Entry]], *, read: Callable[[Entry], Value]
    ) -> Iterator[tuple[Entry, Value]]:
        """Read every listed file once, though files may be merged into new ones meanwhile.

        A file that vanishes before it is read has its rows in a newer one, so the listing is
        repeated until it brings nothing new. Rows may come twice, but none is missed.
        """
        seen: set[Entry] = set()
        with ThreadPoolExecutor(4 if self.is_local else 32) as threads:
            for _ in range(LISTINGS):
                new = [entry for entry in list_entries() if entry not in seen]
                if not new:
                    return
                for start in range(0, len(new), SLICE):
                    part = new[start : start + SLICE]
                    for entry, found in zip(
                        part, threads.map(lambda e: _unless_vanished(read, e), part), strict=True
                    ):
                        if found is not None:
                            seen.add(entry)
                            yield entry, found[0]
        raise ValueError(
            f"{self.text(new[0].name)} is listed but cannot be read: look at the folder's rights"
        )

    def _infos(self, folder: str, *, recursive: bool) -> list[fs.FileInfo]:
        """What lies in a folder; nothing where there is no such folder."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True, recursive=recursive)
        with self._in_words():
            try:
                return list(self.system.get_file_info(selector))
            except NotADirectoryError as error:
                raise StorageError(
                    f"{self.text(folder)} is a file where a folder is expected: move it away"
                ) from error

    def _name(self, info: fs.FileInfo) -> str:
        """A path of the file system as a name from here."""
        try:
            return str(info.path)[len(self._opened[1]) :].strip("/")
        except UnicodeDecodeError as error:
            name = error.object.rpartition(b"/")[2]
            raise StorageError(
                f"{self.address} holds a file whose name is no Unicode text, {name!r}: rename it"
            ) from error

    @contextmanager
    def _or_vanished(self, name: str) -> Iterator[None]:
        """Object stores report a file that has just been deleted in many ways: here in one."""
        try:
            with self._in_words():
                yield
        except StorageError as error:
            if self.entry(name) is not None:
                raise
            raise FileNotFoundError(self.text(name)) from error

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn an object store's refusals into one sentence for the user."""
        try:
            yield
        except FileNotFoundError:
            raise
        except NotADirectoryError as error:
            raise FileNotFoundError(str(error)) from error
        except StorageError:
            raise
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        """What the file system or object store answered, as a sentence."""
        if self.is_local:
            why = os.strerror(error.errno) if error.errno else _first_line(error)
            found = re.search(r"'([^']+)'", str(error))
            where = found[1] if found else self.address
            where = where if len(where) <= SHOWN else f"{where[:SHOWN]}..."
            return StorageError(
                f"{where} cannot be used ({why}): check the path and your rights to it, or name "
                "another"
            )
        return StorageError(
            f"{self.address} cannot be used ({_first_line(error)}): check the address, the access "
            "keys, the region and AWS_ENDPOINT_URL"
        )


def _unless_vanished(read: Callable[[Entry], Value], entry: Entry) -> tuple[Value] | None:
    """What `read` makes of a file, or None where it is gone."""
    try:
        return (read(entry),)
    except FileNotFoundError:
        return None


def _hidden(name: str) -> bool:
    """Whether a name is a leftover or a file that is still being written."""
    return name.rpartition("/")[2].startswith(".")


def _seconds(info: fs.FileInfo) -> float | None:
    """When a file was written."""
    return None if info.mtime_ns is None else info.mtime_ns / 1e9


def _first_line(error: Exception) -> str:
    """The gist of an Arrow error, without request ids."""
    return str(error).splitlines()[0].partition(" (Request ID")[0].rstrip(". ")

"""Where a run lies, for reading: a folder on this machine, or in an object store (`s3://...`).

The one idea: readers take no lock. A file appears whole, and one that vanishes has its rows in a
newer file by then; so a listing that brings nothing new means that everything was read. This file
knows no table and no column.
"""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

Value = TypeVar("Value")
SCHEME = re.compile(r"^([a-z][a-z0-9+]+):/")
ENDPOINT = re.compile(r"^(?:(https?):/+)?([^/]*)")
S3_OPTIONS = ("endpoint_override", "region", "scheme")
# Files up to this size are fetched whole, in one request; of larger ones only what is wanted.
WHOLE_BYTES = 4_000_000
SLICE = 512
LISTINGS = 100


class Entry(NamedTuple):
    """A file below a place: its name from there, its size, and when the file system says it came.

    `modified` is in seconds of the file system's own clock, None where it keeps no times.
    """

    name: str
    bytes: int
    modified: float | None


class StorageError(OSError, ValueError):
    """An object store refused or did not answer; the text is a sentence for the user."""


class Place:
    """A folder that may lie anywhere. Nothing is touched before it is asked for."""

    def __init__(self, where: Path | str) -> None:
        """Take a path, or a URI such as `s3://bucket/run?endpoint_override=host:port`."""
        text = str(where)
        scheme = SCHEME.match(text)
        self.is_local = scheme is None or scheme[1] == "file"
        if scheme and self.is_local:
            text = "/" + unquote(text.removeprefix("file:")).lstrip("/")
        elif scheme and "://" not in text[: scheme.end() + 1]:
            # A Path has folded the two slashes of a URI into one.
            text = f"{scheme[1]}://{text[scheme.end() :]}"
        # The whole address, for programs: it may hold a password.
        self.where = text
        self._uri = "" if self.is_local else text
        self._local = Path(text)
        # No password and no endpoint in what people read.
        parts = urlsplit(self._uri)
        remote = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self.address = str(self._local) if self.is_local else remote

    @property
    def local(self) -> Path:
        """The folder, which must be one of this machine."""
        if not self.is_local:
            raise ValueError(f"{self.address} is no folder of this machine: name one")
        return self._local

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.local.resolve().name if self.is_local else PurePosixPath(self.address).name

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        """The file system and the folder in it."""
        if self.is_local:
            return fs.LocalFileSystem(), str(self.local.absolute())
        with self._in_words():
            if self._uri.startswith("s3://"):
                return _s3(self._uri)
            try:
                system, folder = fs.FileSystem.from_uri(self._uri)
            except pa.ArrowInvalid as error:
                raise ValueError(
                    f"{self.address} is no place for runs ({_first_line(error)}): expected a "
                    "folder or an address such as s3://bucket/folder"
                ) from error
        return system, folder.rstrip("/")

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
            if info.type == fs.FileType.File and _hidden(info.path) == hidden
        )

    def entry(self, name: str) -> Entry | None:
        """One file, or None where there is none."""
        with self._in_words():
            info = self.system.get_file_info(self.path(name))
        found = info.type == fs.FileType.File
        return Entry(name, info.size, _seconds(info)) if found else None

    def children(self) -> list[str]:
        """The names of what lies directly here, hidden ones left out."""
        names = (self._name(info) for info in self._infos("", recursive=False))
        return sorted(name for name in names if not _hidden(name))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none, or it vanished under our eyes.
        """
        with self._or_vanished(name), self.system.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[pa.NativeFile]:
        """A listed file for reading in places; small ones are fetched whole."""
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
            return list(self.system.get_file_info(selector))

    def _name(self, info: fs.FileInfo) -> str:
        """A path of the file system as a name from here."""
        return str(info.path)[len(self._opened[1]) :].strip("/")

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
        except OSError as error:
            if self.is_local or isinstance(error, StorageError):
                raise
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        """What an object store answered, as a sentence."""
        return StorageError(
            f"{self.address} cannot be used ({_first_line(error)}): check the address, the access "
            "keys, the region and AWS_ENDPOINT_URL"
        )


def _s3(uri: str) -> tuple[fs.FileSystem, str]:
    """The S3 file system of a URI, the usual AWS_* variables filling in what it leaves open.

    Small files are put in one request, which is atomic and leaves nothing where it is cut off.
    """
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query))
    for name in options.keys() - set(S3_OPTIONS):
        raise ValueError(f"unknown option {name!r} in {uri}: expected {', '.join(S3_OPTIONS)}")
    if not parts.hostname:
        raise ValueError(f"{uri} names no bucket: expected s3://bucket/folder")
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    endpoint = ENDPOINT.match(options.get("endpoint_override") or named)
    scheme, host = endpoint.groups() if endpoint else (None, "")
    bucket = parts.netloc.rpartition("@")[2]
    region = options.get("region") or os.environ.get("AWS_REGION")
    region = region or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if host else fs.resolve_s3_region(bucket)
    system = fs.S3FileSystem(
        access_key=unquote(parts.username) if parts.username else None,
        secret_key=unquote(parts.password) if parts.password else None,
        region=region,
        scheme=options.get("scheme") or scheme or "https",
        endpoint_override=host or None,
        allow_delayed_open=True,
        background_writes=False,
    )
    return system, f"{bucket}{parts.path}".rstrip("/")


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

"""Hash a file, and remember the hash of a large one as long as nothing says that it has changed.

A note is believed where path, device, inode, size and both times are what they were, and so are the
header of the safetensors file and a sample of every tensor in it: archives and object stores give
other weights the same size and time. Weights that differ in a few numbers alone, behind all that,
are only seen by reading the file, which BABELSCOPE_HASH_IN_FULL=1 asks for: then each process reads
a file once.
"""

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from studies.models.cache import recall, remember

IN_FULL = "BABELSCOPE_HASH_IN_FULL"

# Files below this are hashed as soon as looked up.
REMEMBERED_BYTES = 16 << 20
# From the middle of every tensor: what lies at its ends may be rows that training never touches.
SAMPLE_BYTES = 64
# A file that changed just now may change again within the same tick of its file system's clock.
SETTLED_SECONDS = 2.0

# What a file that only looks like safetensors makes its header's readers raise.
NO_HEADER = (AttributeError, KeyError, RecursionError, TypeError, ValueError, struct.error)

F = TypeVar("F", bound=Callable[..., Any])

# Hashes that this process has taken in full, by mark.
_taken_in_full: dict[str, str] = {}


class Stamp(NamedTuple):
    """What a file system tells of a file's content: it changes with that, where all is well."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int


def file_hash(path: Path) -> str:
    """sha256 of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        if path.stat().st_size < REMEMBERED_BYTES:
            return _read(path)
        mark = _mark(path)
        settled = stamp(path) is not None
        known = _taken_in_full.get(mark) if in_full() else recall("hashes", mark)
        if known and settled:
            return known
        result = _read(path)
        if settled and _mark(path) == mark:
            remember("hashes", mark, result)
            if in_full():
                _taken_in_full[mark] = result
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    return result


def in_full() -> bool:
    """Whether hashes are taken of whole files, whatever is remembered."""
    return os.environ.get(IN_FULL, "0") not in ("", "0")


def stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None where it may change without one: it did so just now, or is not
    there to be looked at."""
    try:
        found = path.stat()
        settled = time.time() - found.st_ctime > SETTLED_SECONDS
        return _stamp(path, found) if settled else None
    except OSError:
        return None


def per_file(*, most: int | None = None) -> Callable[[F], F]:
    """Keep what a function returns for a file until the file's stamp changes; errors are not kept.

    Args:
        most: how many files are kept, None for all.
    """

    def decorate(function: F) -> F:
        kept: dict[tuple[Hashable, ...], Any] = {}

        @wraps(function)
        def looked_up(path: Path, *args: Hashable) -> Any:
            seen = stamp(path)
            if seen is None:
                return function(path, *args)
            if (seen, *args) in kept:
                return kept[seen, *args]
            if most is not None and len(kept) >= most:
                kept.pop(next(iter(kept)))
            found = kept[seen, *args] = function(path, *args)
            return found

        return cast(F, looked_up)

    return decorate


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path, found: os.stat_result) -> Stamp:
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return Stamp(str(path.resolve()), found.st_dev, found.st_ino, found.st_size, *times)


def _mark(path: Path) -> str:
    """What a file looks like without reading it."""
    found = path.stat()
    sample = hashlib.sha256(repr(tuple(_stamp(path, found))).encode())
    with path.open("rb") as file, suppress(*NO_HEADER):
        (length,) = struct.unpack("<Q", file.read(8))
        if length <= found.st_size - 8:
            header = file.read(length)
            sample.update(header)
            for name, entry in json.loads(header).items():
                if name != "__metadata__":
                    start, end = entry["data_offsets"]
                    file.seek(8 + length + (start + end - min(SAMPLE_BYTES, end - start)) // 2)
                    sample.update(file.read(min(SAMPLE_BYTES, end - start)))
    return sample.hexdigest()

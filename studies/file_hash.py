"""Hash a file, and remember the hash of a large one as long as nothing says that it has changed.

A note is believed where path, device, inode, size and both times are what they were, and so are the
header of the safetensors file and a sample of every tensor in it: archives and object stores give
other weights the same size and time. Weights that differ in a few numbers alone, behind all that,
are only seen by reading the file, which BABELSCOPE_HASH_IN_FULL=1 asks for.
"""

import hashlib
import json
import os
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

IN_FULL = "BABELSCOPE_HASH_IN_FULL"

# Files below this are hashed as soon as looked up.
REMEMBERED_BYTES = 16 << 20
# From the middle of every tensor: what lies at its ends may be rows that training never touches.
SAMPLE_BYTES = 64
# A file that changed just now may change again within the same tick of its file system's clock.
SETTLED_SECONDS = 2.0


def file_hash(path: Path) -> str:
    """sha256 of a file."""
    before = path.stat()
    if before.st_size < REMEMBERED_BYTES:
        return _read(path)
    mark = _mark(path, before)
    note = _note(mark)
    settled = time.time() - before.st_ctime > SETTLED_SECONDS
    if note and settled and not in_full() and (known := _recall(note, mark)):
        return known
    result = _read(path)
    if note and settled and _mark(path, path.stat()) == mark:
        _remember(note, mark, result)
    return result


def in_full() -> bool:
    """Whether hashes are taken of whole files, whatever is remembered."""
    return os.environ.get(IN_FULL, "0") not in ("", "0")


def cache_folder() -> Path | None:
    """Where this user's programs keep what they can make again; None without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # no home
        return (Path(given) if given else Path.home() / ".cache") / "babelscope"
    return None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark(path: Path, stat: os.stat_result) -> str:
    """What a file looks like without reading it."""
    times = (stat.st_mtime_ns, stat.st_ctime_ns)
    place = (str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, *times)
    sample = hashlib.sha256(repr(place).encode())
    with path.open("rb") as file, suppress(struct.error, ValueError, KeyError, TypeError):
        (length,) = struct.unpack("<Q", file.read(8))
        if length <= stat.st_size - 8:
            header = file.read(length)
            sample.update(header)
            for name, entry in json.loads(header).items():
                if name != "__metadata__":
                    start, end = entry["data_offsets"]
                    file.seek(8 + length + (start + end - min(SAMPLE_BYTES, end - start)) // 2)
                    sample.update(file.read(min(SAMPLE_BYTES, end - start)))
    return sample.hexdigest()


def _note(mark: str) -> Path | None:
    folder = cache_folder()
    return folder and folder / "hashes" / mark[:32]


def _recall(note: Path, mark: str) -> str | None:
    """The hash in a note, unless it is damaged."""
    with suppress(OSError, ValueError):
        known, _, seal = note.read_text(encoding="ascii").partition(" ")
        if seal == _seal(mark, known):
            return known
    return None


def _remember(note: Path, mark: str, result: str) -> None:
    """Write a note beside its place and move it there, so that no reader sees half of one."""
    aside = None
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False) as file:
            aside = file.name
            file.write(f"{result} {_seal(mark, result)}")
        os.replace(aside, note)
    except OSError:  # a read-only home costs a hash per run, not the run
        if aside is not None:
            with suppress(OSError):
                os.unlink(aside)


def _seal(mark: str, result: str) -> str:
    """Tells a note of this very file from a damaged one."""
    return hashlib.sha256(f"{mark} {result}".encode()).hexdigest()

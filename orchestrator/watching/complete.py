"""Whether the folder of a checkpoint holds a whole model, from its listing and a few headers.

Nothing here can be fooled by a writer that is still at work: configuration and index must parse,
every file that the index names must be there, and a weight file must be as long as its own header
says. That nothing changes any more is for two looks to find out (loop.py).
"""

import json
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple

from studies.models.config import ADAPTER_CONFIG, CONFIG, read_config, read_json
from studies.models.files import (
    MORE_CHAT_TEMPLATES,
    SMALL_FILES,
    has_vocabulary,
    tokenizer_files,
)
from studies.models.weights import INDEX, LFS, SINGLE, UNREAD, weight_map
from studies.spec import digest

WEIGHTS = "*.safetensors"
CODE = "*.py"
# A header of a thousand experts has some tens of megabytes.
MOST_HEADER_BYTES = 1 << 28
# What no answer depends on though its name is that of weights or code.
SMALL = tuple(name for name in SMALL_FILES if "/" not in name)


class File(NamedTuple):
    """A file of a checkpoint, and what tells that it has changed."""

    name: str
    size: int
    modified: int


class Seen(NamedTuple):
    """What a folder holds of a model.

    Attributes:
        files: those that bear on it, by name.
        fingerprint: a digest of them.
        modified: when the newest of the weights was written, in seconds since 1970.
    """

    files: tuple[File, ...]
    fingerprint: str
    modified: float | None


def seen(folder: Path, *, everything: bool = False, code: bool = False) -> Seen:
    """The files in a folder that bear on the model in it.

    Args:
        folder: the checkpoint.
        everything: all files, also below it: what is to be converted may be anything.
        code: the model's own Python code too, which is run.

    Raises:
        OSError: it cannot be listed.
    """
    found = sorted(_below(folder) if everything else _of_model(folder, code=code))
    heavy = [file for file in found if file.name.endswith(".safetensors")] or found
    newest = max((file.modified for file in heavy), default=None)
    marks = [list(file) for file in found]
    return Seen(tuple(found), digest(marks), None if newest is None else newest / 1e9)


def lacking(folder: Path, names: Sequence[str], *, code: bool = False) -> str:
    """Why a folder is no whole model yet, empty where it is one.

    Args:
        folder: the checkpoint.
        names: the files in it that bear on the model.
        code: its own Python code is run, and may bring its own tokenizer.

    Raises:
        OSError: a file cannot be read.
    """
    if CONFIG not in names:
        adapter = ADAPTER_CONFIG in names
        return (
            "it holds an adapter and no model: merge it first, by --convert" if adapter
            else f"no {CONFIG} yet"
        )  # fmt: skip
    try:
        config = read_config(folder)
        weights, wrong = _weights(folder, names)
        if not wrong and not (code and config.get("auto_map")):
            tokenizer = tokenizer_files(folder)
            wrong = "" if has_vocabulary(tokenizer) else "no tokenizer yet"
            for name in tokenizer if not wrong else ():
                if name.endswith(".json"):
                    read_json(folder / name)
    except ValueError as error:  # half a file does not parse
        return f"not whole yet: {error}"
    return wrong or next(filter(None, (_cut_short(folder / name) for name in weights)), "")


def lacking_by_names(names: Iterable[str], *, code: bool) -> str:
    """The same of a model on the hub, from the names of its files; what an index names is not
    known from them.
    """
    there = set(names)
    if CONFIG not in there:
        return f"no {CONFIG} yet"
    if SINGLE not in there and INDEX not in there:
        return f"no {SINGLE} and no {INDEX} yet{_unread(there)}"
    if not code and not has_vocabulary(tuple(there)):
        return "no tokenizer yet"
    return ""


def lacking_parts(named: Iterable[str], names: Iterable[str]) -> str:
    """What of the weight files that an index names is missing."""
    wanted = set(named)
    missing = sorted(wanted - set(names))
    return f"{missing[0]} is missing ({len(missing)} of {len(wanted)} files)" if missing else ""


def _weights(folder: Path, names: Sequence[str]) -> tuple[Sequence[str], str]:
    """The weight files of a folder, and why they are not all there."""
    if SINGLE in names:
        return (SINGLE,), ""
    if INDEX in names:
        wanted = sorted(set(weight_map(folder / INDEX).values()))
        return wanted, lacking_parts(wanted, names)
    there = os.listdir(folder)
    return (), f"no {SINGLE} and no {INDEX} yet{_unread(there)}"


def _unread(names: Iterable[str]) -> str:
    others = sorted(name for name in names if _matcher(UNREAD).fullmatch(name))
    return f" (found {others[0]}, which is not read: see --convert)" if others else ""


def _cut_short(path: Path) -> str:
    """Why a safetensors file is not whole, empty where it is as long as its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(len(LFS))
        if begin == LFS:
            return f"{path.name} is only a pointer of git-lfs: run `git lfs pull` there"
        with suppress(struct.error, ValueError, KeyError, TypeError, AttributeError):
            (length,) = struct.unpack("<Q", begin[:8])
            if 8 + length <= size and length <= MOST_HEADER_BYTES:
                file.seek(8)
                entries = json.loads(file.read(length))
                ends = [
                    entry["data_offsets"][1]
                    for name, entry in entries.items()
                    if name != "__metadata__"
                ]
                if 8 + length + max(ends, default=0) == size:
                    return ""
    return f"{path.name} is not whole yet"


_MATCHERS: dict[tuple[str, ...], "re.Pattern[str]"] = {}


def _matcher(patterns: tuple[str, ...]) -> "re.Pattern[str]":
    """All patterns as one, as thousands of names are asked."""
    if patterns not in _MATCHERS:
        _MATCHERS[patterns] = re.compile("|".join(map(translate, patterns)))
    return _MATCHERS[patterns]


def _of_model(folder: Path, *, code: bool) -> Iterator[File]:
    """The files directly in a folder, and its further chat templates."""
    wanted = _matcher((*SMALL, WEIGHTS, *((CODE,) if code else ())))
    more = False
    with os.scandir(folder) as entries:
        for entry in entries:
            more = more or entry.name == MORE_CHAT_TEMPLATES
            if wanted.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # a writer's own, just renamed
                    found = entry.stat()
                    yield File(entry.name, found.st_size, found.st_mtime_ns)
    if more:
        templates = folder / MORE_CHAT_TEMPLATES
        yield from (
            File(f"{MORE_CHAT_TEMPLATES}/{file.name}", file.size, file.modified)
            for file in _below(templates)
        )


def _below(folder: Path) -> Iterator[File]:
    """Every file in a folder and below it."""
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = os.path.join(parent, name)
            with suppress(FileNotFoundError):
                found = os.stat(path)
                yield File(os.path.relpath(path, folder), found.st_size, found.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise error

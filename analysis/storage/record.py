"""What a run's folder holds: the names of its files, its record `run.json`, and what is not its.

A run that is continued and one that is reported are read by the same rules: the same bytes are its
record, and the same shards are another run's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.storage.folder import Entry, Folder
from analysis.storage.redact import redact

NAME = "run.json"
EXAMPLES = "examples.json"
TABLES = "tables"
# The failed cells: one file, and while a run goes on a folder of those that were added to it.
ERRORS_FILE = "errors.parquet"
ERRORS_FOLDER = "errors"
# The newest version of a store that is understood.
# 2: failed cells may lie in errors/ too, and shards may be merged. 1 is read as it is.
VERSION = 2
PARTS: dict[str, type] = {
    "study": str,
    "settings": dict,
    "pins": dict,
    "cells": dict,
    "commits": dict,
    "running": dict,
    "provenance": dict,
    "models": list,
    "notes": list,
    "launches": list,
}
# Where a shard says what run it is of.
BELONGS = b"babelscope.run"
# The record of a run, or of the unit of a run that a shard holds: study, settings and pins.
Record = Mapping[str, object]


def parse(content: bytes, *, where: str) -> dict[str, object]:
    """The record in a `run.json`; `where` is the file as people read it.

    Raises:
        ValueError: it is damaged, of another program, or of a newer version.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where} is not valid JSON: restore it, or name another folder"
        ) from error
    version = found.get("version") if isinstance(found, dict) else None
    if type(version) is not int or ("study" not in found and version <= VERSION):
        raise ValueError(
            f"{where} is not the record of a run (it holds no version and study): another program "
            "wrote it, or it is damaged; restore it, or name another folder"
        )
    if version > VERSION:
        raise ValueError(
            f"{where} was written by a newer Babelscope (store version {version}, this one knows "
            f"{VERSION}): update, or name another folder"
        )
    for name, kind in PARTS.items():
        if name in found and not isinstance(found[name], kind):
            raise ValueError(
                f"{where} is damaged: its {name!r} is no {kind.__name__}; restore it, or name "
                "another folder"
            )
    if any(type(count) is not int for count in found.get("cells", {}).values()):
        raise ValueError(f"{where} is damaged: 'cells' are no numbers; restore it")
    # An older version kept what was typed as it was.
    launch = found.get("provenance", {})
    if isinstance(launch.get("arguments"), list):
        launch["arguments"] = [redact(str(argument)) for argument in launch["arguments"]]
    return dict(found)


def error_files(run: Folder) -> list[Entry]:
    """The file of failed cells, and those added since it was made, in time order."""
    whole = run.entry(ERRORS_FILE)
    return ([whole] if whole else []) + parquet(run.entries(ERRORS_FOLDER))


def parquet(entries: Iterable[Entry]) -> list[Entry]:
    """The Parquet files among some files."""
    return [entry for entry in entries if entry.name.endswith(".parquet")]


def clash(record: Record, other: Record) -> str:
    """Why the rows of the first must not lie beside those of the other, empty where they may.

    Each may say more than the other: what only one says is no reason.
    """
    if record["study"] != other["study"]:
        return f"holds the study {record['study']!r}, this is {other['study']!r}"
    for name, kept, given in _differences(record, other, part="settings"):
        return f"was run with {name} {kept}, this run has {given}"
    for name, _, _ in _differences(record, other, part="pins"):
        return f"was computed from another {name} than this run"
    return ""


def stranger(file: pq.ParquetFile, record: Record | None) -> str:
    """Why a shard is of another run than the one it lies in, empty where it is not known to be.

    What an older version wrote says it by its rows alone.

    Raises:
        pa.ArrowInvalid: what it says of its run cannot be read, as with a damaged file.
    """
    said = (file.metadata.metadata or {}).get(BELONGS)
    if record is None:
        return ""
    if said is not None:
        return clash(_said(said), record)
    if "study" not in file.schema_arrow.names:
        return ""
    studies = pc.unique(file.read(columns=["study"], use_threads=False)["study"]).to_pylist()
    others = [clash({"study": study}, record) for study in studies if study is not None]
    return next(filter(None, others), "")


def _said(content: bytes) -> Record:
    """The part of a run's record that a shard holds."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not (
        isinstance(found, dict)
        and isinstance(found.get("study"), str)
        and all(isinstance(found.get(name, {}), dict) for name in ("settings", "pins"))
    ):
        raise pa.ArrowInvalid("it does not say of which run it is")
    return found


def _differences(
    record: Record, other: Record, *, part: str
) -> Iterator[tuple[str, object, object]]:
    """Name, kept value and given value wherever both have one and they differ."""
    kept, given = record.get(part) or {}, other.get(part) or {}
    assert isinstance(kept, Mapping) and isinstance(given, Mapping)
    for name, value in given.items():
        if name in kept and kept[name] != value:
            yield name, kept[name], value

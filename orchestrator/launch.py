"""Refuse or prepare a run: what speaks against it, and what is written down before it begins.

How its cells are computed is in `loop.py`.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from orchestrator import provenance
from orchestrator.plan import Plan
from orchestrator.storage.store import Store
from orchestrator.study_file import NAME

# Measured on studies of some thousand cells: compressed rows, and what a shard costs by itself.
ROW_BYTES = 80
SHARD_BYTES = 6000
# Weights that one GPU of a machine yet to be started is taken to hold.
GPU_BYTES = 60_000_000_000
_CONTINUE = "free some space and run the same command again, which continues"
_OTHER = "choose another --out"
# What is wrong, and what to do where it is wrong with the run's folder.
REFUSALS = {
    errno.ENOSPC: ("the disk is full", _CONTINUE),
    errno.EDQUOT: ("the disk quota is used up", _CONTINUE),
    errno.EACCES: ("no permission to write there", _OTHER),
    errno.EPERM: ("no permission to write there", _OTHER),
    errno.EROFS: ("the file system is read-only", _OTHER),
    errno.ENOTDIR: ("a part of the path is a file", _OTHER),
    errno.ENOENT: ("the folder cannot be created there", _OTHER),
    errno.EEXIST: ("a link there leads nowhere", f"mend it, or {_OTHER}"),
    errno.ENAMETOOLONG: ("its name is too long", _OTHER),
    errno.ELOOP: ("its symbolic links lead in a circle", _OTHER),
}


def result_bytes(plan: Plan) -> int:
    """About what the plan's rows will take on disk."""
    return plan.rows * ROW_BYTES + len(plan.units) * SHARD_BYTES


def complete(
    build: Callable[[Set[str]], Plan],
    *,
    done: Set[str],
    store: Store,
    tell: Callable[[str], None],
) -> Plan:
    """The plan that `build` makes of the keys that are done, every need of its units met.

    A cell whose rows are there but whose artifact is gone or damaged is not done for those that
    take it.
    """
    plan = build(done)
    while plan.there and (lost := plan.there - store.artifact_files.sound(plan.there)):
        tell(
            f"{len(lost)} artifacts that other cells take are missing or damaged in "
            f"{store.address}: the cells that make them are computed again"
        )
        done = done - lost
        plan = build(done)
    return plan


def refuse(plan: Plan, *, store: Store, allow_truncation: bool = False) -> None:
    """Everything that speaks against running in this folder, before anything is written.

    Raises:
        ValueError: another study lies there, the place cannot be written, the disk is too full, or
            texts would be cut without having been allowed to.
    """
    if plan.too_long and not allow_truncation:
        worst = max(plan.too_long, key=lambda item: item.longest)
        texts = sum(item.texts for item in plan.too_long)
        raise ValueError(
            f"{texts:,} texts are longer than the model's context (longest: {worst.longest:,} "
            f"tokens in {worst.text}/{worst.language}, {worst.model} takes {worst.context:,}): "
            "add --allow-truncation to cut them, or leave these data out"
        )
    store.admit(plan.study.name, settings=dict(plan.study.settings), pins=plan.pins)
    with writing(store.address):
        store.files.check_room(result_bytes(plan))


def wanted(plan: Plan, *, device: str, workers: int | None) -> list[float]:
    """How many GPUs each worker would take if every model had one worker: what a cluster that
    starts machines on demand is asked for."""
    models = {unit.model for unit in plan.units}
    each = [
        0.0 if device == "cpu" else float(-(-model.bytes // GPU_BYTES) or 1) for model in models
    ]
    return sorted(each, reverse=True)[:workers]


def prepare(
    plan: Plan, *, store: Store, study_file: str = "", arguments: list[str] | None = None
) -> None:
    """Write down what is to be run, with its provenance and its study file, before it runs.

    `arguments` are the command's, where they are not those of this process.
    """
    before = store.manifest() or {}
    launches = before.get("launches")
    store.write_manifest(
        {
            "study": plan.study.name,
            "settings": dict(plan.study.settings),
            "models": _merged(before.get("models"), [asdict(model) for model in plan.models]),
            "cells": {**_mapping(before.get("cells")), **plan.totals},
            "notes": list(plan.notes),
            "pins": {**_mapping(before.get("pins")), **plan.pins},
            "commits": {**_mapping(before.get("commits")), **plan.commits},
            "provenance": provenance.capture(arguments),
            "running": _mapping(before.get("running")),
            "launches": [
                *(launches if isinstance(launches, list) else []),
                {"cells": plan.cells, "missing": plan.missing},
            ],
        }
    )
    if study_file:
        store.files.put(NAME, study_file.encode("utf-8", "surrogateescape"))


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Turn the file system's refusals at `place` into one sentence for the user.

    What was refused elsewhere meanwhile, such as in a cache or a temporary folder, is named itself.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ValueError) or error.errno is None:
            raise
        wrong, do = REFUSALS.get(error.errno, (os.strerror(error.errno), _OTHER))
        refused = error.filename
        if isinstance(refused, str | os.PathLike) and not _inside(Path(refused), place):
            raise ValueError(
                f"cannot use {refused}, which is no part of {place}: {wrong}: run the same command "
                "again once that is mended"
            ) from error
        raise ValueError(f"cannot write {place}: {wrong}: {do}") from error


def _inside(path: Path, place: Path | str) -> bool:
    """Whether a path lies in a folder, or is on the way to it; an address elsewhere is no path."""
    if "://" in str(place):
        return False
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(place))
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def notes(manifest: Mapping[str, object]) -> list[str]:
    """What a run's plan had to say for people."""
    found = manifest.get("notes")
    return [str(note) for note in found] if isinstance(found, list) else []


def _mapping(value: object) -> dict[str, object]:
    """A JSON object, or an empty one."""
    return dict(value) if isinstance(value, dict) else {}


def _merged(before: object, now: list[dict[str, object]]) -> list[dict[str, object]]:
    """The models of earlier launches and of this one, each once."""
    kept = {str([entry["name"], entry["revision"]]): entry for entry in now}
    for entry in before if isinstance(before, list) else []:
        kept.setdefault(str([entry["name"], entry["revision"]]), entry)
    return list(kept.values())

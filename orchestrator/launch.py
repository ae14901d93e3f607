"""The loop that joins plan, schedule, cluster and store.

Every event of a worker is answered at once: rows are kept, failures are scheduled again or
recorded, and the worker gets its next unit. How progress is shown is the caller's business.
"""

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestrator import provenance
from orchestrator.cluster import Cluster, Event
from orchestrator.plan import Plan
from orchestrator.schedule import Schedule
from orchestrator.store import Store
from studies.spec import Unit, label

# Measured on studies of some thousand cells: compressed rows, and what a shard costs by itself.
ROW_BYTES = 80
SHARD_BYTES = 6000
POLL_SECONDS = 1.0
_CONTINUE = "free some space and run the same command again, which continues"
REFUSALS = {
    errno.ENOSPC: f"the disk is full: {_CONTINUE}",
    errno.EDQUOT: f"the disk quota is used up: {_CONTINUE}",
    errno.EACCES: "no permission to write there: choose another --out",
    errno.EPERM: "no permission to write there: choose another --out",
    errno.EROFS: "the file system is read-only: choose another --out",
    errno.ENOTDIR: "a part of the path is a file: choose another --out",
    errno.ENOENT: "the folder cannot be created there: choose another --out",
}


class Watcher(Protocol):
    """Whoever wants to see the work go on."""

    def started(self, workers: int) -> None:
        """Work begins."""

    def loading(self, worker: int, model: str) -> None:
        """A worker loads a model."""

    def kept(self, model: str, *, cells: int, failed: int) -> None:
        """Cells of a model are done, or given up."""


class Outcome(NamedTuple):
    """What a run did. `errors` are the cells given up, by their error line."""

    cells: int
    failed: int
    units: int
    seconds: float
    errors: dict[str, int]


def result_bytes(plan: Plan) -> int:
    """About what the plan's rows will take on disk."""
    return plan.rows * ROW_BYTES + len(plan.units) * SHARD_BYTES


def refuse(plan: Plan, *, store: Store) -> None:
    """Everything that speaks against running in this folder, before anything is written.

    Raises:
        ValueError: another study lies there, the place cannot be written, or the disk is too full.
    """
    store.admit(plan.study.name, settings=dict(plan.study.settings), pins=plan.pins)
    there = next(path for path in (store.root, *store.root.absolute().parents) if path.is_dir())
    with writing(store.root), tempfile.TemporaryFile(dir=there):
        free, needed = shutil.disk_usage(there).free, result_bytes(plan)
    if free < needed:
        raise ValueError(
            f"{there} has {free / 1e6:.1f} MB free and the study needs about "
            f"{needed / 1e6:.1f} MB: free some space, or choose another --out"
        )


def prepare(plan: Plan, *, store: Store) -> None:
    """Write down what is to be run, with its provenance, before it runs."""
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
            "provenance": provenance.capture(),
            "running": _mapping(before.get("running")),
            "launches": [
                *(launches if isinstance(launches, list) else []),
                {"cells": plan.cells, "missing": plan.missing},
            ],
        }
    )


def run(plan: Plan, *, store: Store, cluster: Cluster, watcher: Watcher) -> Outcome:
    """Compute the plan's units and keep their rows; a failed cell never stops the others."""
    return _Loop(plan, store=store, cluster=cluster, watcher=watcher).run()


class _Loop:
    """One run: the schedule, and which unit waits for its model on which worker."""

    def __init__(self, plan: Plan, *, store: Store, cluster: Cluster, watcher: Watcher) -> None:
        self._plan = plan
        self._store = store
        self._cluster = cluster
        self._watcher = watcher
        self._schedule = Schedule(plan.units, workers=cluster.workers)
        self._idle = set(range(cluster.workers))
        self._waiting: dict[int, Unit] = {}
        self._cells = 0

    def run(self) -> Outcome:
        """Assign, wait, answer, until nothing is left."""
        started = time.monotonic()
        self._watcher.started(self._cluster.workers)
        with writing(self._store.root):
            while not self._schedule.finished:
                self._assign()
                event = self._cluster.wait(seconds=POLL_SECONDS)
                if event is not None:
                    self._answer(event)
        errors: dict[str, int] = {}
        for given_up in self._schedule.errors:
            errors[given_up.error] = errors.get(given_up.error, 0) + 1
        return Outcome(
            cells=self._cells,
            failed=len(self._schedule.errors),
            units=len(self._plan.units),
            seconds=time.monotonic() - started,
            errors=errors,
        )

    def _assign(self) -> None:
        """Give every idle worker its next unit."""
        for worker in sorted(self._idle):
            assignment = self._schedule.next(worker)
            if assignment is None:
                continue
            self._idle.remove(worker)
            unit = assignment.unit
            if assignment.load:
                self._watcher.loading(worker, unit.model.label)
                self._waiting[worker] = unit
                self._cluster.open(worker, unit.model)
            else:
                self._cluster.submit(worker, unit)

    def _answer(self, event: Event) -> None:
        """Take note of what a worker reports."""
        if event.kind == "open":
            self._note(event)
            self._cluster.submit(event.worker, self._waiting.pop(event.worker))
            return
        self._idle.add(event.worker)
        if event.kind == "done":
            self._keep(event)
        else:
            self._give_back(event)

    def _note(self, event: Event) -> None:
        """Write down how a model runs: numbers may depend on its attention backend."""
        manifest = self._store.manifest() or {}
        model = self._schedule.running(event.worker).model
        running = {**_mapping(manifest.get("running")), model.label: dict(event.about)}
        self._store.write_manifest({**manifest, "running": running})

    def _keep(self, event: Event) -> None:
        """Write a unit's rows; rows that do not fit the table are the unit's failure."""
        unit = self._schedule.running(event.worker)
        try:
            self._store.write(unit, event.rows)
        except ValueError as error:
            self._give_back(event._replace(kind="unit_failed", error=str(error)))
            return
        self._schedule.done(event.worker)
        self._cells += len(unit.cells)
        self._watcher.kept(unit.model.label, cells=len(unit.cells), failed=0)

    def _give_back(self, event: Event) -> None:
        """Schedule failed work again, or record its cells as failed."""
        if event.gone:
            self._schedule.lost(event.worker)
        self._waiting.pop(event.worker, None)
        fail = self._schedule.model_failed if event.kind == "open_failed" else self._schedule.failed
        given_up = fail(event.worker, error=event.error, traceback=event.traceback)
        if given_up:
            self._store.write_errors(given_up)
            cell = given_up[0].cell
            model = label(cell.model, revision=cell.revision)
            self._watcher.kept(model, cells=0, failed=len(given_up))


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn the file system's refusals below `root` into one sentence for the user."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise ValueError(f"cannot write {root}: {REFUSALS[error.errno]}") from error


def _mapping(value: object) -> dict[str, object]:
    """A JSON object, or an empty one."""
    return dict(value) if isinstance(value, dict) else {}


def _merged(before: object, now: list[dict[str, object]]) -> list[dict[str, object]]:
    """The models of earlier launches and of this one, each once."""
    kept = {str([entry["name"], entry["revision"]]): entry for entry in now}
    for entry in before if isinstance(before, list) else []:
        kept.setdefault(str([entry["name"], entry["revision"]]), entry)
    return list(kept.values())

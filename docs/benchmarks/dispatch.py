"""Time the orchestrator's own work for each unit, where the units themselves are nothing.

    python docs/benchmarks/dispatch.py [--units 2000] [--workers 1 2 4] [--rounds 3]

Workers answer at once with the rows of their unit: made-up ones in this process, and real Ray
actors in processes of their own. Plan, schedule, store (synced to the disk), status files, and for
Ray everything between the loop and the actors' processes, are the real ones. What is printed are
rows for docs/benchmarks/, each the round of median speed: units per second, then for each unit the
wall time in which the driver did not wait for an answer, and the processor time of its process,
Ray's own threads among it.
"""

import argparse
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from actors.answer import Answer
from orchestrator.cluster import RayCluster
from orchestrator.loop import Loop
from orchestrator.plan import Plan
from orchestrator.scheduling.actions import Node
from orchestrator.scheduling.cost import Cost
from orchestrator.showing.viewers import FileViewer
from orchestrator.signals import Wish
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from orchestrator.workers.events import Event
from orchestrator.workers.gpus import GpuUse
from orchestrator.workers.session import Session
from orchestrator.workers.worker import Order, Worker
from studies.kinds.choices import ChoiceGrid
from studies.spec import Cell, ModelFacts, Row
from studies.study import Study
from studies.texts import ChoiceSet
from studies.unit import Part, Unit


class Idle(Worker):
    """A process that loads nothing and answers every unit at once."""

    def load(self, order: Order) -> Mapping[str, object]:
        """Nothing to load."""
        return {"process": os.getpid(), "node": order.node, "gpus": order.gpus}

    def run(self, unit: Unit, _keys: Sequence[str], *_artifacts: bytes) -> Answer:
        """The rows are there."""
        return Answer([_row(cell) for cell in unit.cells])


class Clock:
    """Wall, processor and waiting seconds since the first unit was sent."""

    def __init__(self) -> None:
        """Not running."""
        self.running = False
        self.waited = 0.0

    def start(self) -> None:
        """Run from now on, if it does not run yet."""
        if not self.running:
            self.running, self.waited = True, 0.0
            self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float, float]:
        """Wall, processor, waiting."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return wall, processor, self.waited


class Waiting:
    """A session that says how long its user waits for answers."""

    def __init__(self, session: Session, clock: Clock) -> None:
        """In front of a session."""
        self._session, self._clock = session, clock

    def __getattr__(self, name: str) -> object:
        """All else is the session's."""
        return getattr(self._session, name)

    def first(self, calls: Sequence[object], *, seconds: float) -> Sequence[object]:
        """As the session's."""
        began = time.perf_counter()
        try:
            return self._session.first(calls, seconds=seconds)
        finally:
            self._clock.waited += time.perf_counter() - began


class Real(RayCluster):
    """Ray on this machine, with idle workers in processes of their own."""

    def __init__(self, workers: int) -> None:
        """Start it with a core for each worker, as Ray counts them, whatever this machine has."""
        os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": workers})
        super().__init__("local", device="cpu", worker=Idle)
        self.clock = Clock()
        self._session = cast("Session", Waiting(self._session, self.clock))

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
        """With the first unit the clock starts."""
        self.clock.start()
        super().submit(worker, unit, artifacts)


class Instant:
    """A cluster whose workers are done before they begin."""

    def __init__(self, workers: int) -> None:
        """So many cores, each a worker."""
        self.clock = Clock()
        self._workers = workers
        self._events: deque[Event] = deque()

    def nodes(self) -> tuple[Node, ...]:
        """One machine."""
        return (Node("here", 0, self._workers),)

    def need(self, gpus: Sequence[float]) -> None:
        """Nothing starts on demand."""

    def growing(self) -> bool:
        """No machine is coming."""
        return False

    def open(self, worker: int, model: ModelFacts, *, node: str, gpus: float) -> None:  # noqa: ARG002
        """The model is there."""
        self._events.append(Event(worker, "open"))

    def prefetch(self, model: ModelFacts, *, node: str) -> None:
        """Nothing to bring."""

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:  # noqa: ARG002
        """The rows are there."""
        self.clock.start()
        self._events.append(Event(worker, "done", [_row(cell) for cell in unit.cells]))

    def kill(self, worker: int) -> None:
        """Nothing holds anything."""

    def wait(self, *, seconds: float) -> Event | None:  # noqa: ARG002
        """The next event."""
        return self._events.popleft() if self._events else None

    def usage(self) -> Mapping[str, tuple[GpuUse, ...]]:
        """No GPU."""
        return {}

    def close(self) -> None:
        """Nothing to end."""


def _row(cell: Cell) -> Row:
    row: Row = dict.fromkeys(ALL_TABLES["items"].schema.names)
    known = {"study": "s", "model": cell.model, "revision": "main", "key": cell.key, "item": "1"}
    known |= {"benchmark": "b", "language": cell.language, "prompt": "p"}
    empty = {"gold": 0, "prediction": 0, "correct": True, "scores": [0.0], "ranks": [1.0]}
    return {**row, **known, **empty, "truncated": False}


def plan(units: int) -> Plan:
    """A study of one-cell units of one model."""
    model = ModelFacts(
        name="m", revision="main", folder="", weights="w", tokenizer="t", dtype="float32",
        layers=1, width=1, neurons=1, context=1, bytes=1,
    )  # fmt: skip
    made = []
    for number in range(units):
        cell = Cell(
            table="items", model="m", revision="main", language="eng_Latn", scope=str(number)
        )
        content = ChoiceSet(benchmark="b", language="eng_Latn", prompt="p", items=())
        part = Part(cells=(cell,), content=content, characters=100)
        grid = ChoiceGrid(benchmark="b", languages=("eng_Latn",))
        made.append(Unit(study="s", model=model, kind="choices", grid=grid, parts=(part,)))
    return Plan(
        study=Study(name="s", models=(), grids=()),
        models=(model,),
        units=tuple(made),
        totals={"m": units},
        done=0,
        failed=0,
        rows=units,
        characters=100 * units,
        notes=(),
        pins={},
        commits={},
    )


class Measured(NamedTuple):
    """Units per second; milliseconds for each unit: the driver's own, and of its processor."""

    speed: float
    own: float
    processor: float


def measure(planned: Plan, *, cluster: Instant | Real, workers: int) -> Measured:
    """Run the plan on a cluster, which is closed."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = Store(Path(folder) / "run")
        with store.lock():
            store.write_manifest({"study": "s", "settings": {}, "pins": {}, "cells": {}})
            outcome = Loop(
                planned,
                store=store,
                cluster=cluster,
                viewer=FileViewer(store),
                wish=Wish(),
                cost=Cost(device="cpu"),
                workers=workers,
            ).run()
            wall, processor, waited = cluster.clock.read()
    cluster.close()
    units = len(planned.units)
    assert outcome.cells == units, outcome.errors
    return Measured(units / wall, 1000 * (wall - waited) / units, 1000 * processor / units)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    planned = plan(arguments.units)
    for workers in arguments.workers:
        kinds = (Instant, Real)
        rounds = [
            [measure(planned, cluster=kind(workers), workers=workers) for kind in kinds]
            for _ in range(arguments.rounds)
        ]
        for kind, found in zip(kinds, zip(*rounds, strict=True), strict=True):
            speed, own, processor = sorted(found)[len(found) // 2]
            print(
                f"| {workers} | {kind.__name__} | {speed:,.0f} | {own:.2f} | {processor:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

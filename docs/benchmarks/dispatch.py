"""Time the orchestrator's own work for each unit, where the units themselves are nothing.

    python docs/benchmarks/dispatch.py [--units 2000] [--workers 1 2 4]

Workers are made up and answer at once with the rows of their unit; plan, schedule, store (synced
to the disk) and status files are the real ones. What is printed are rows for docs/benchmarks/.
"""

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.loop import Loop
from orchestrator.plan import Plan
from orchestrator.scheduling.actions import Node
from orchestrator.scheduling.cost import Cost
from orchestrator.showing.viewers import FileViewer
from orchestrator.stop import Wish
from orchestrator.storage.store import Store
from orchestrator.storage.tables import SCHEMAS
from orchestrator.workers.events import Event
from orchestrator.workers.gpus import GpuUse
from studies.spec import Cell, ChoiceSet, ChoiceWork, ModelFacts, Row, Study, Unit


class Instant:
    """A cluster whose workers are done before they begin."""

    def __init__(self, workers: int) -> None:
        """So many cores, each a worker."""
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

    def submit(self, worker: int, unit: Unit) -> None:
        """The rows are there."""
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
    row: Row = dict.fromkeys(SCHEMAS["items"].names)
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
        work = ChoiceWork(sets=(content,))
        made.append(Unit(study="s", model=model, cells=(cell,), work=work, characters=100))
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    planned = plan(arguments.units)
    for workers in arguments.workers:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            store = Store(Path(folder) / "run")
            with store.lock():
                store.write_manifest({"study": "s", "settings": {}, "pins": {}, "cells": {}})
                loop = Loop(
                    planned,
                    store=store,
                    cluster=Instant(workers),
                    viewer=FileViewer(store),
                    wish=Wish(),
                    cost=Cost(device="cpu"),
                )
                began = time.perf_counter()
                outcome = loop.run()
                seconds = time.perf_counter() - began
            assert outcome.cells == arguments.units
            print(
                f"{workers} workers: {arguments.units / seconds:,.0f} units/s, "
                f"{1000 * seconds / arguments.units:.2f} ms per unit"
            )


if __name__ == "__main__":
    main()

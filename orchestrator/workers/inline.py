"""A cluster in this very process: no Ray, no subprocess, errors where they happen.

What is noted by `open` and `submit` is done when the loop waits, one thing after the other.
"""

import socket
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from actors.answer import EngineDiedError
from orchestrator.scheduling.actions import Node
from orchestrator.workers.events import Event, Kind, done, summary
from orchestrator.workers.gpus import GpuUse, read_gpus, visible_gpus
from orchestrator.workers.worker import about, load
from studies.spec import ModelFacts
from studies.unit import Unit


@runtime_checkable
class Closing(Protocol):
    """What is to be closed when it is of no further use."""

    def close(self) -> None:
        """Free what it holds."""


class _Task(NamedTuple):
    """A unit, and the artifacts it needs."""

    unit: Unit
    artifacts: Mapping[str, bytes]


class InlineCluster:
    """One node that does one thing at a time, on the device it was given."""

    def __init__(self, *, device: str) -> None:
        """Remember the device; models are loaded when they are asked for."""
        self._device = device
        self._name = socket.gethostname()
        self._actors: dict[int, Any] = {}
        self._todo: deque[tuple[int, ModelFacts | _Task]] = deque()

    def nodes(self) -> tuple[Node, ...]:
        """This machine, as one place: the device says which of its GPUs are used, and how."""
        gpus = 0 if self._device == "cpu" else min(1, visible_gpus())
        return (Node(self._name, gpus=gpus, cpus=1),)

    def need(self, gpus: Sequence[float]) -> None:
        """Nothing: there is this process and no other."""

    def growing(self) -> bool:
        """Never."""
        return False

    def open(
        self,
        worker: int,
        model: ModelFacts,
        *,
        node: str,  # noqa: ARG002  # there is one
        gpus: float,  # noqa: ARG002  # the device says which
    ) -> None:
        """Note the model; `wait` loads it."""
        self.kill(worker)
        self._todo.append((worker, model))

    def prefetch(self, model: ModelFacts, *, node: str) -> None:
        """Nothing: one thing is done at a time, and loading reads what it needs."""

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
        """Note the unit; `wait` computes it."""
        self._todo.append((worker, _Task(unit, artifacts)))

    def kill(self, worker: int) -> None:
        """Forget the worker's model and what it has yet to do."""
        self._release(worker)
        self._todo = deque(entry for entry in self._todo if entry[0] != worker)

    def wait(self, *, seconds: float) -> Event | None:  # noqa: ARG002  # never idle
        """Do the next thing noted and say how it went."""
        if not self._todo:
            return None
        worker, task = self._todo.popleft()
        try:
            if isinstance(task, _Task):
                return done(worker, self._actors[worker].run(*task))
            self._actors[worker] = load(task, device=self._device, threads=None)
            return Event(worker, "open", about=about(self._actors[worker]))
        except Exception as error:  # the boundary of a unit: whatever it was becomes an error row
            kind: Kind = "unit_failed" if isinstance(task, _Task) else "open_failed"
            trace = traceback.format_exc()
            gone = isinstance(error, EngineDiedError)
            if gone:
                self.kill(worker)
            return Event(worker, kind, error=summary(error), traceback=trace, gone=gone)

    def ask(self, worker: int, method: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What a method of the worker's model returns."""
        return getattr(self._actors[worker], method)(*given, **named)

    def usage(self) -> Mapping[str, tuple[GpuUse, ...]]:
        """The GPUs of this machine."""
        return {self._name: found} if (found := read_gpus()) else {}

    def close(self) -> None:
        """Let go of every model."""
        for worker in list(self._actors):
            self._release(worker)
        self._todo.clear()

    def _release(self, worker: int) -> None:
        """Forget the worker's model; an engine holds on to its memory until it is closed."""
        actor = self._actors.pop(worker, None)
        if isinstance(actor, Closing):
            actor.close()

"""Decide which worker takes which unit next: a pure state machine without clock or processes.

An idle worker first takes units of the model it holds; it changes model only when none is left.
A unit that fails is tried once more, by another worker where there is one, then split by language
until the failing cells stand alone and are given up. Ray and files are unknown here.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from studies.spec import AlignmentWork, Cell, ChoiceWork, ModelFacts, Unit

ATTEMPTS = 2
# Another copy of a model that is loaded somewhere pays from about this many waiting units on.
JOINING_UNITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CellError:
    """Why a cell has no rows."""

    cell: Cell
    attempts: int
    error: str
    traceback: str


class Assignment(NamedTuple):
    """A unit for a worker; `load` says whether the worker must load the unit's model first."""

    unit: Unit
    load: bool


@dataclass(slots=True)
class _Job:
    """A unit with its history."""

    unit: Unit
    attempts: int = 0
    failed_on: set[int] = field(default_factory=set)


class Schedule:
    """Which unit is where. Workers are numbers from 0."""

    def __init__(self, units: Iterable[Unit], *, workers: int) -> None:
        """Queue the units; largest first within a model, so that no long one is left to the end."""
        self.workers = workers
        self.errors: list[CellError] = []
        self._queues: dict[ModelFacts, deque[_Job]] = {}
        self._holds: dict[int, ModelFacts] = {}
        self._running: dict[int, _Job] = {}
        self._load_failures: dict[ModelFacts, int] = {}
        for unit in sorted(units, key=lambda unit: -unit.characters):
            self._queues.setdefault(unit.model, deque()).append(_Job(unit))

    @property
    def finished(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._running and not any(self._queues.values())

    def next(self, worker: int) -> Assignment | None:
        """What an idle worker should do now; None where only others' work is left."""
        assert worker not in self._running, f"worker {worker} is busy"
        model = self._choose(worker)
        if model is None:
            return None
        queue = self._queues[model]
        job = next((job for job in queue if worker not in job.failed_on), queue[0])
        if worker in job.failed_on and self._other_may_take(job, worker):
            return None
        queue.remove(job)
        load = self._holds.get(worker) != model
        self._holds[worker] = model
        self._running[worker] = job
        return Assignment(job.unit, load)

    def running(self, worker: int) -> Unit:
        """The unit a worker is at."""
        return self._running[worker].unit

    def done(self, worker: int) -> Unit:
        """The worker's unit is computed and kept."""
        return self._running.pop(worker).unit

    def lost(self, worker: int) -> None:
        """The worker no longer holds a model: its process is gone."""
        self._holds.pop(worker, None)

    def failed(self, worker: int, *, error: str, traceback: str) -> list[CellError]:
        """The worker's unit raised; returns the cells that are given up by this."""
        job = self._running.pop(worker)
        job.attempts += 1
        job.failed_on.add(worker)
        queue = self._queues[job.unit.model]
        if job.attempts < ATTEMPTS:
            queue.appendleft(job)
            return []
        halves = split(job.unit)
        if len(halves) > 1:
            queue.extendleft(_Job(half) for half in halves)
            return []
        return self._give_up([job.unit], attempts=job.attempts, error=error, traceback=traceback)

    def model_failed(self, worker: int, *, error: str, traceback: str) -> list[CellError]:
        """The worker could not load its model; at the second time, all its units are given up."""
        self.lost(worker)
        model = self._running[worker].unit.model
        self._load_failures[model] = self._load_failures.get(model, 0) + 1
        job = self._running.pop(worker)
        queue = self._queues[model]
        if self._load_failures[model] < ATTEMPTS:
            queue.appendleft(job)
            return []
        units = [job.unit, *(waiting.unit for waiting in queue)]
        queue.clear()
        return self._give_up(units, attempts=ATTEMPTS, error=error, traceback=traceback)

    def _choose(self, worker: int) -> ModelFacts | None:
        """The model to work on: the one held, else one nobody holds, else the one most behind."""
        waiting = {model: queue for model, queue in self._queues.items() if queue}
        if not waiting:
            return None
        held = self._holds.get(worker)
        if held in waiting:
            return held
        holders = Counter(model for other, model in self._holds.items() if other != worker)
        paying = {
            model: queue
            for model, queue in waiting.items()
            if len(queue) >= JOINING_UNITS * holders[model]
            or any(job.failed_on and worker not in job.failed_on for job in queue)
        }

        def behind(model: ModelFacts) -> tuple[int, float]:
            work = sum(job.unit.characters for job in paying[model]) * max(1, model.bytes)
            return (-holders[model], work / (1 + holders[model]))

        return max(paying, key=behind, default=None)

    def _other_may_take(self, job: _Job, worker: int) -> bool:
        """Whether another worker has yet to try the job: idle or busy, it will be asked."""
        return any(other not in job.failed_on for other in range(self.workers) if other != worker)

    def _give_up(
        self, units: list[Unit], *, attempts: int, error: str, traceback: str
    ) -> list[CellError]:
        """Record every cell of the units as failed."""
        given_up = [
            CellError(cell=cell, attempts=attempts, error=error, traceback=traceback)
            for unit in units
            for cell in unit.cells
        ]
        self.errors += given_up
        return given_up


def split(unit: Unit) -> tuple[Unit, ...]:
    """The unit in two halves by language; a single language's cells share their prompts and stay.

    The halves hold the same cells in all, each with the texts it needs.
    """
    work = unit.work
    contents = work.bitexts if isinstance(work, AlignmentWork) else work.sets
    if len(contents) < 2:
        return (unit,)
    middle = len(contents) // 2
    halves = []
    for part in (contents[:middle], contents[middle:]):
        languages = {content.language for content in part}
        if isinstance(work, AlignmentWork):
            half: AlignmentWork | ChoiceWork = replace(
                work, bitexts=tuple(b for b in work.bitexts if b.language in languages)
            )
        else:
            half = replace(work, sets=tuple(s for s in work.sets if s.language in languages))
        cells = tuple(cell for cell in unit.cells if cell.language in languages)
        characters = max(1, unit.characters * len(part) // len(contents))
        halves.append(replace(unit, cells=cells, work=half, characters=characters))
    return tuple(halves)

"""The units that are left to do: one queue for each model, and which units wait for which cells.

A unit is ready once the cells it needs are done; ready units go longest first, and what others
wait for counts with all that waits for it.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.scheduling.cost import Cost
from studies.spec import Cell, ModelFacts
from studies.unit import Unit


@dataclass(slots=True, eq=False)
class Job:
    """A unit to compute, and its history.

    Attributes:
        weight: seconds by the stated rate.
        rank: the same of the longest chain of units, each needing the one before, from here on.
        unmet: how many cells it still waits for.
        failed_in: the worker that failed at it; `failed_on`, the devices that worker was on.
        half: whether it is part of a unit that failed.
    """

    unit: Unit
    queue: "Queue"
    order: int
    weight: float
    rank: float
    unmet: int = 0
    attempts: int = 0
    failed_in: int | None = None
    failed_on: frozenset[tuple[str, int]] = frozenset()
    half: bool = False

    def __lt__(self, other: "Job") -> bool:
        """Longest first, then as they came."""
        return (-self.rank, self.order) < (-other.rank, other.order)


@dataclass(slots=True, eq=False)
class Queue:
    """The jobs of one model: `ready` ones, `retries` of failed ones, and `blocked` ones, which
    wait for cells. `failed_loads` are the nodes where the model could not be loaded since it last
    was.

    `waiting` and `left` are sums of stated seconds by kind of unit: of what may run now, and of
    all that is not done, which are `unfinished` jobs.
    """

    model: ModelFacts
    order: int
    ready: list[Job] = field(default_factory=list)
    retries: list[Job] = field(default_factory=list)
    blocked: set[Job] = field(default_factory=set)
    waiting: dict[str, float] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    failed_loads: list[str] = field(default_factory=list)
    unfinished: int = 0

    @property
    def runnable(self) -> int:
        """How many jobs may run now."""
        return len(self.ready) + len(self.retries)

    def push(self, job: Job) -> None:
        """The job may run."""
        if job.failed_in is None:
            heapq.heappush(self.ready, job)
        else:
            self.retries.append(job)
        _add(self.waiting, job, 1)

    def first(self, may_take: Callable[[Job], bool] | None = None) -> Job | None:
        """The longest job that may run, of the failed ones only those that `may_take` allows."""
        return min((*self.ready[:1], *filter(may_take, self.retries)), default=None)

    def pop(self, job: Job) -> None:
        """The job, which `first` has named, begins to run."""
        if job.failed_in is None:
            heapq.heappop(self.ready)
        else:
            self.retries.remove(job)
        _add(self.waiting, job, -1)
        if not self.runnable:
            self.waiting.clear()  # nothing, whatever the roundings

    def clear(self) -> list[Job]:
        """Take out all jobs but those that run."""
        jobs = sorted([*self.ready, *self.retries, *self.blocked])
        self.ready, self.retries, self.blocked = [], [], set()
        self.waiting.clear()
        return jobs


class Queues:
    """The queues of all models, in the order of the plan, and which jobs wait for which cells."""

    def __init__(self, units: Iterable[Unit], *, cost: Cost, done: Collection[str]) -> None:
        """Queue the units; `done` are keys of cells that are there."""
        self._cost = cost
        self.by_model: dict[ModelFacts, Queue] = {}
        self.unfinished = 0
        self._orders = 0
        self._waiters: dict[str, list[Job]] = {}
        done = frozenset(done)
        jobs = [self._job(unit) for unit in units]
        for job in jobs:
            unmet = {key for key in job.unit.needs if key not in done}
            job.unmet = len(unmet)
            for key in unmet:
                self._waiters.setdefault(key, []).append(job)
        self._orphans = self._rank(jobs) if self._waiters else []
        for job in jobs:
            if job.unmet:
                job.queue.blocked.add(job)
            else:
                job.queue.push(job)

    def __iter__(self) -> Iterator[Queue]:
        """The queue of every model that is not done."""
        return (queue for queue in self.by_model.values() if queue.unfinished)

    def seconds(self, queue: Queue, sums: dict[str, float]) -> float:
        """Estimated seconds of the queue's `waiting` or `left` jobs."""
        factor = self._cost.factor
        return sum(weight * factor(queue.model, kind) for kind, weight in sums.items())

    def finish(self, job: Job) -> bool:
        """The job is done; whether this lets others run."""
        self._leave(job)
        released = False
        for waiter, _ in self._waiting_for(job, take=True):
            waiter.unmet -= 1
            if not waiter.unmet and waiter in waiter.queue.blocked:
                waiter.queue.blocked.remove(waiter)
                waiter.queue.push(waiter)
                released = True
        return released

    def replace(self, job: Job, units: Iterable[Unit]) -> None:
        """The job is split into these units."""
        self._leave(job)
        for unit in units:
            part = self._job(unit)
            part.half = True
            part.queue.push(part)

    def abandon(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Cell | None]]:
        """Give up jobs that are in no queue any more, and all that need them: each with the cell
        that it needed and will not get.
        """
        doomed: list[tuple[Job, Cell | None]] = [(job, None) for job in jobs]
        for job, cause in doomed:  # grows while it is read
            self._leave(job)
            yield job, cause
            for waiter, cell in self._waiting_for(job, take=True):
                if waiter in waiter.queue.blocked:
                    waiter.queue.blocked.remove(waiter)
                    doomed.append((waiter, cell))

    @property
    def orphans(self) -> list[Job]:
        """Jobs that need cells which nothing makes."""
        return [job for job in self._orphans if job in job.queue.blocked]

    def take_orphans(self) -> list[Job]:
        """Take the orphans out of their queues."""
        orphans = self.orphans
        for job in orphans:
            job.queue.blocked.remove(job)
        return orphans

    def unmet(self, job: Job) -> str:
        """The key of a cell that the job needs and that is not there."""
        return next(key for key in job.unit.needs if job in self._waiters.get(key, ()))

    def _job(self, unit: Unit) -> Job:
        """A job for the unit, counted among what is left."""
        queue = self.by_model.get(unit.model)
        if queue is None:
            queue = self.by_model[unit.model] = Queue(unit.model, len(self.by_model))
        weight = self._cost.stated(unit)
        job = Job(unit, queue, self._orders, weight=weight, rank=weight)
        self._orders += 1
        self.unfinished += 1
        queue.unfinished += 1
        _add(queue.left, job, 1)
        return job

    def _leave(self, job: Job) -> None:
        """The job is no longer among what is left."""
        self.unfinished -= 1
        job.queue.unfinished -= 1
        _add(job.queue.left, job, -1)

    def _waiting_for(self, job: Job, *, take: bool = False) -> Iterator[tuple[Job, Cell]]:
        """The jobs that need a cell of this one, once for each cell; `take` forgets them."""
        get = self._waiters.pop if take else self._waiters.get
        for cell in job.unit.cells if self._waiters else ():
            for waiter in get(cell.key, ()):
                yield waiter, cell

    def _rank(self, jobs: list[Job]) -> list[Job]:
        """Rank every job by the longest chain that waits for it; returns those that nothing can
        free.
        """
        unmet = {job: job.unmet for job in jobs}
        free = [job for job in jobs if not job.unmet]
        for job in free:  # grows while it is read: an order in which they could run
            for waiter, _ in self._waiting_for(job):
                unmet[waiter] -= 1
                if not unmet[waiter]:
                    free.append(waiter)
        for job in reversed(free):
            job.rank += max((waiter.rank for waiter, _ in self._waiting_for(job)), default=0.0)
        return [job for job in jobs if unmet[job]]


def _add(sums: dict[str, float], job: Job, times: int) -> None:
    sums[job.unit.kind] = sums.get(job.unit.kind, 0.0) + times * job.weight

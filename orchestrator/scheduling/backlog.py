"""What is left to do: every model's units in the order they should run, and what waits for what.

A job is a unit with its history. It waits until the cells it needs are done, then for a worker of
its model, longest first; what others wait for counts with all that waits. Workers are only numbers
here, and machines unknown.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.placement import Spot
from studies.spec import Cell, ModelFacts, Unit


@dataclass(slots=True, eq=False)
class Job:
    """A unit with its history.

    `weight` are the stated seconds, `rank` those of the longest chain that begins here; `tried`
    says which worker failed at it, and `spot` where; `half` that it is part of a unit that failed.
    """

    unit: Unit
    queue: "Queue"
    order: int
    weight: float
    rank: float
    attempts: int = 0
    tried: int | None = None
    spot: Spot | None = None
    half: bool = False
    missing: int = 0

    def __lt__(self, other: "Job") -> bool:
        """Longest first, then as they came."""
        return (-self.rank, self.order) < (-other.rank, other.order)


@dataclass(slots=True, eq=False)
class Queue:
    """The jobs of one model: `ready` ones, those to be tried `again` by who failed, `later` ones.

    The sums of stated seconds, by kind of work, make the model's seconds cheap to ask for.
    """

    model: ModelFacts
    order: int
    awake: set["Queue"]
    ready: list[Job] = field(default_factory=list)
    again: dict[int, list[Job]] = field(default_factory=dict)
    later: set[Job] = field(default_factory=set)
    waiting: int = 0
    waiting_weight: dict[str, float] = field(default_factory=dict)
    left_weight: dict[str, float] = field(default_factory=dict)

    def push(self, job: Job) -> None:
        """The job may run."""
        heap = self.ready if job.tried is None else self.again.setdefault(job.tried, [])
        heapq.heappush(heap, job)
        self._count(job, 1)
        self.awake.add(self)

    def best(self, refused: Collection[int]) -> Job | None:
        """The longest job that may run, not counting what these workers have failed at."""
        heaps = [heap for tried, heap in self.again.items() if tried not in refused]
        if self.ready:
            heaps.append(self.ready)
        return min((heap[0] for heap in heaps), default=None)

    def pop(self, job: Job) -> None:
        """The job, which `best` has named, begins to run."""
        heap = self.ready if job.tried is None else self.again[job.tried]
        assert heap[0] is job
        heapq.heappop(heap)
        if not heap and job.tried is not None:
            del self.again[job.tried]
        self._count(job, -1)

    def anywhere(self) -> None:
        """What has failed in one spot may be tried there again: no other can be had."""
        for jobs in self.again.values():
            for job in jobs:
                job.spot = None

    def clear(self) -> list[Job]:
        """Take out everything that waits."""
        jobs = [*self.ready, *(job for heap in self.again.values() for job in heap), *self.later]
        self.ready, self.again, self.later, self.waiting = [], {}, set(), 0
        self.waiting_weight.clear()
        return sorted(jobs)

    def added(self, job: Job, *, times: int = 1) -> None:
        """The job counts, or no longer counts, among what is left of the model."""
        kind = job.unit.kind
        self.left_weight[kind] = self.left_weight.get(kind, 0.0) + times * job.weight

    def _count(self, job: Job, times: int) -> None:
        """Keep the sums; an empty queue sums to nothing, whatever the roundings."""
        kind = job.unit.kind
        self.waiting += times
        self.waiting_weight[kind] = self.waiting_weight.get(kind, 0.0) + times * job.weight
        if not self.waiting:
            self.waiting_weight.clear()


class Backlog:
    """All queues, and which jobs wait for which cells.

    `unfinished` counts the jobs that wait or run; `awake` are queues that had nothing that may run
    and now have.
    """

    def __init__(self, units: Iterable[Unit], *, cost: Cost, done: Collection[str]) -> None:
        """Queue the units; `orphans` need cells that nothing makes."""
        self._cost = cost
        self.by_model: dict[ModelFacts, Queue] = {}
        self.orphans: list[Job] = []
        self.unfinished = 0
        self._waiters: dict[str, list[Job]] = {}
        self._orders = 0
        self.awake: set[Queue] = set()
        done = frozenset(done)
        jobs = [self._job(unit) for unit in units]
        for job in jobs:
            needs = {key for key in job.unit.needs if key not in done}
            job.missing = len(needs)
            for key in needs:
                self._waiters.setdefault(key, []).append(job)
        if self._waiters:
            self._rank(jobs)
        for job in jobs:
            if job.missing:
                job.queue.later.add(job)
            else:
                job.queue.push(job)

    @property
    def queues(self) -> Iterator[Queue]:
        """The queues, in the order of the plan's models."""
        return iter(self.by_model.values())

    def longest(self, queue: Queue) -> float:
        """Seconds of the longest chain of jobs that begins with what may run."""
        best = queue.best(())
        return best.rank * self._cost.factor(queue.model, best.unit.kind) if best else 0.0

    def seconds(self, queue: Queue, *, left: bool = False) -> float:
        """Estimated seconds of what waits and may run; `left`: of all that is not done."""
        weights = queue.left_weight if left else queue.waiting_weight
        model, factor = queue.model, self._cost.factor
        return sum(weight * factor(model, kind) for kind, weight in weights.items())

    def finish(self, job: Job) -> bool:
        """The job is done; whether this lets others run."""
        self._leave(job)
        released = False
        for cell in job.unit.cells if self._waiters else ():
            for waiter in self._waiters.pop(cell.key, ()):
                waiter.missing -= 1
                if not waiter.missing and waiter in waiter.queue.later:
                    waiter.queue.later.remove(waiter)
                    waiter.queue.push(waiter)
                    released = True
        return released

    def replace(self, job: Job, units: Iterable[Unit]) -> None:
        """The job is taken apart."""
        self._leave(job)
        for unit in units:
            part = self._job(unit)
            part.half = True
            part.queue.push(part)

    def abandon(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Cell | None]]:
        """Give up jobs, which no longer wait, and whatever needs them, with the cell it needs."""
        doomed: deque[tuple[Job, Cell | None]] = deque((job, None) for job in jobs)
        while doomed:
            job, cause = doomed.popleft()
            self._leave(job)
            yield job, cause
            for cell in job.unit.cells if self._waiters else ():
                for waiter in self._waiters.pop(cell.key, ()):
                    if waiter in waiter.queue.later:
                        waiter.queue.later.remove(waiter)
                        doomed.append((waiter, cell))

    def missing(self, job: Job) -> str:
        """The key of a cell that the job needs and that is not there."""
        return next(key for key in job.unit.needs if job in self._waiters.get(key, ()))

    def _job(self, unit: Unit) -> Job:
        """A job for a unit, counted in its queue."""
        queue = self.by_model.get(unit.model)
        if queue is None:
            queue = Queue(unit.model, len(self.by_model), self.awake)
            self.by_model[unit.model] = queue
        weight = self._cost.stated(unit)
        job = Job(unit, queue, order=self._orders, weight=weight, rank=weight)
        self._orders += 1
        queue.added(job)
        self.unfinished += 1
        return job

    def _leave(self, job: Job) -> None:
        """The job is no longer among what is left to do."""
        job.queue.added(job, times=-1)
        self.unfinished -= 1

    def _rank(self, jobs: list[Job]) -> None:
        """Let every job carry the longest chain of what waits for it, and find the orphans."""
        missing = {job: job.missing for job in jobs}
        free = [job for job in jobs if not job.missing]
        for job in free:  # grows while it is read: the order in which they could run
            for waiter in self._waiting_for(job):
                missing[waiter] -= 1
                if not missing[waiter]:
                    free.append(waiter)
        for job in reversed(free):
            longest = max((waiter.rank for waiter in self._waiting_for(job)), default=0.0)
            job.rank = job.weight + longest
        self.orphans = [job for job in jobs if missing[job]]

    def _waiting_for(self, job: Job) -> Iterator[Job]:
        """The jobs that need a cell of this one, once per cell."""
        for cell in job.unit.cells:
            yield from self._waiters.get(cell.key, ())

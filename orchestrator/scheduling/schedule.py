"""Decide which worker runs which unit, and which model is loaded where: a pure state machine.

Events go in, actions come out; the clock is an argument and nothing here waits. An idle worker
first takes units of the model it holds. Capacity goes to the model that would be done last, where
that saves more seconds than loading costs (`Openings`). A unit that fails is tried once more in
another process, then cut by language until what fails stands alone. Ray and files are unknown here.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.scheduling.actions import Action, Close, Fetch, Node, Submit
from orchestrator.scheduling.backlog import Backlog, Job
from orchestrator.scheduling.cost import PATIENCE_SECONDS, Cost
from orchestrator.scheduling.fleet import Fleet, Worker
from orchestrator.scheduling.openings import LOAD_ATTEMPTS, Openings
from orchestrator.scheduling.placement import Places
from orchestrator.scheduling.split import split
from orchestrator.scheduling.stuck import Stuck, stuck, take
from studies.spec import Cell, ModelFacts, Unit

ATTEMPTS = 2
# A process that fails so many different units in a row may be what is broken.
FAILURES_IN_A_ROW = 2
# Looking for a better use of the machines is worth it after so many finished units, at the latest.
REVIEW = 16
# What was too slow once is given more time.
DEADLINE_GROWTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CellError:
    """Why a cell has no rows."""

    cell: Cell
    attempts: int
    error: str
    traceback: str


class _Check(NamedTuple):
    """When to look whether a worker is still at what it began at a time; never before its time."""

    at: float
    worker: int
    since: float


class Schedule:
    """Which unit is where.

    A worker's number is never given out again: it is one process. Every method but `actions` and
    `overdue` tells of an event; after each, `actions` says once what is to be done about it.
    """

    def __init__(
        self,
        units: Iterable[Unit],
        *,
        nodes: Iterable[Node],
        cost: Cost,
        done: Collection[str] = (),
        workers: int | None = None,
    ) -> None:
        """Queue the units.

        Args:
            units: what is to be computed.
            nodes: the machines there are now.
            cost: estimates, which this run corrects.
            done: keys of cells whose results are there already.
            workers: at most so many processes at once; None: as capacity allows.
        """
        self.errors: list[CellError] = []
        self._cost = cost
        self._places = Places(nodes, workers=workers)
        # Stays for this run, as queues are ordered by it; what is measured corrects it.
        cost.device = "gpu" if self._places.has_gpus or not self._places.nodes else "cpu"
        self._backlog = Backlog(units, cost=cost, done=done)
        self._fleet = Fleet(self._places)
        self._openings = Openings(self._backlog, self._fleet, cost=cost)
        self._closing: list[int] = []
        self._awake: set[int] = set()
        self._checks: list[_Check] = []
        self._review_in = 0
        self._stuck: list[Stuck] | None = None

    @property
    def finished(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._backlog.unfinished

    def running(self, worker: int) -> Unit | None:
        """The unit a worker is at; None if it is at none, or gone."""
        held = self._fleet.workers.get(worker)
        return held.job.unit if held and held.job else None

    def model_of(self, worker: int) -> ModelFacts:
        """The model a worker holds or loads."""
        return self._fleet.workers[worker].queue.model

    def actions(self, *, now: float) -> list[Action]:
        """Everything that should be done now, once: a second call without an event adds nothing."""
        actions: list[Action] = []
        for number in sorted(self._closing):
            actions.append(Close(number))
            self._fleet.forget(self._fleet.workers[number])
        self._closing.clear()
        if self._review_in <= 0:
            self._awake |= self._fleet.idle
        for number in sorted(self._awake):
            actions += self._submit(self._fleet.workers[number], now=now)
        self._awake.clear()
        if self._review_in <= 0:
            self._review_in = REVIEW
            for chosen in self._openings.choose(now=now):
                if isinstance(chosen, Fetch):
                    actions.append(chosen)
                    continue
                actions += [Close(number) for number in chosen.closed]
                actions.append(chosen.action)
                self._check_later(self._fleet.workers[chosen.action.worker], now=now)
        return actions

    def opened(self, worker: int, *, now: float, bytes: int = 0) -> None:
        """The worker has loaded its model, which took so many bytes of GPU memory (0: unknown)."""
        held = self._opening(worker)
        model = held.queue.model
        self._openings.loaded(model)
        self._cost.learned_load(model, now - held.since, head_start=held.head_start)
        if bytes and held.spot.gpus:
            self._cost.learned_bytes(model, bytes, most=self._places.usable(held.spot))
            self._places.grow(worker, self._cost.bytes(model))
        self._fleet.rest(held)
        self._awake.add(worker)
        self._changed()

    def done(self, worker: int, *, now: float) -> Unit:
        """The worker's unit is computed and kept."""
        held = self._fleet.workers[worker]
        job, crowd = self._fleet.end(held)
        held.failures = 0
        self._cost.learn(job.unit, (now - held.since) / crowd)
        if self._backlog.finish(job):
            self._review_in = 0
        self._awake.add(worker)
        self._review_in -= 1
        return job.unit

    def refused(self, unit: Unit, reasons: Mapping[str, str]) -> list[CellError]:
        """Of a unit that is computed, the cells that its model has nothing for, by key."""
        given_up = [
            CellError(cell=cell, attempts=1, error=reasons[cell.key], traceback="")
            for cell in unit.cells
            if cell.key in reasons
        ]
        self.errors += given_up
        return given_up

    def failed(
        self, worker: int, *, error: str, traceback: str, gone: bool = False
    ) -> list[CellError]:
        """The worker's unit raised, and its process died too if `gone`.

        Returns the cells given up by this.
        """
        held = self._fleet.workers[worker]
        job, _ = self._fleet.end(held)
        held.failures += 1
        if gone:
            self._fleet.forget(held)
        elif held.failures >= FAILURES_IN_A_ROW:
            self._close(held)
        self._changed()
        job.attempts += 1
        halves = split(job.unit)
        if job.attempts < ATTEMPTS and not (job.half and len(halves) > 1):
            job.tried, job.spot = worker, held.spot
            job.queue.push(job)
            return []
        if len(halves) > 1:
            self._backlog.replace(job, halves)
            return []
        return self._give_up([job], attempts=job.attempts, error=error, traceback=traceback)

    def open_failed(
        self, worker: int, *, error: str, traceback: str, gone: bool = False
    ) -> list[CellError]:
        """The worker could not load its model, and its process died too if `gone`.

        Returns the cells given up by this: at the second time all of the model's that wait, unless
        another worker holds it.
        """
        held = self._opening(worker)
        failures = self._openings.failed(held)
        if gone:
            self._fleet.forget(held)
        else:
            self._close(held)
        self._changed()
        if failures < LOAD_ATTEMPTS or self._fleet.holders[held.queue]:
            return []
        jobs = held.queue.clear()
        return self._give_up(jobs, attempts=failures, error=error, traceback=traceback)

    def overdue(self, *, now: float) -> list[int]:
        """Workers whose unit or load has passed its deadline, by the estimates of now.

        Tell `failed` of one that is `running` something, and `open_failed` of another.
        """
        late, checks = [], []
        while self._checks and self._checks[0].at <= now:
            check = heapq.heappop(self._checks)
            held = self._fleet.workers.get(check.worker)
            if held is None or held.state not in ("opening", "busy") or held.since != check.since:
                continue
            deadline = held.since + self._deadline(held)
            if now > deadline:
                late.append(held.number)
            checks.append(check._replace(at=max(now, min(deadline, now + PATIENCE_SECONDS))))
        for check in checks:
            heapq.heappush(self._checks, check)
        return sorted(late)

    def joined(self, node: Node) -> None:
        """A machine is there."""
        self._places.join(node)
        self._openings.machines_changed()
        self._changed()

    def left(self, name: str) -> list[int]:
        """A machine is gone; returns the workers lost with it.

        Their units go back, and this does not count as an attempt.
        """
        lost = self._places.leave(name)
        self._fleet.near.leave(name)
        self._openings.machines_changed()
        for number in lost:
            held = self._fleet.workers[number]
            if held.job:
                job, _ = self._fleet.end(held)
                job.queue.push(job)
            self._fleet.forget(held)
        self._closing = [number for number in self._closing if number not in lost]
        self._awake.difference_update(lost)
        self._changed()
        return lost

    def stuck(self) -> str | None:
        """Why units wait that no machine can ever take, in one sentence; None if there are none."""
        return "; ".join(found.reason for found in self._find_stuck()) or None

    def give_up_stuck(self) -> list[CellError]:
        """Give up the units that are stuck; returns their cells."""
        given_up = []
        for found in self._find_stuck():
            given_up += self._give_up(take(found), attempts=0, error=found.reason, traceback="")
        self._changed()
        return given_up

    def _submit(self, held: Worker, *, now: float) -> list[Submit]:
        """The next unit of the worker's model, if there is one it may take."""
        job = self._fleet.next_job(held, cost=self._cost)
        if job is None:
            self._review_in = 0
            return []
        job.queue.pop(job)
        self._fleet.begin(held, job, now=now)
        self._check_later(held, now=now)
        if self._openings.ahead.nears_end(job.queue):
            self._review_in = 0
        return [Submit(held.number, job.unit, self._deadline(held))]

    def _check_later(self, held: Worker, *, now: float) -> None:
        """Look in good time whether what the worker has begun is overdue."""
        heapq.heappush(self._checks, _Check(now + PATIENCE_SECONDS, held.number, now))

    def _deadline(self, held: Worker) -> float:
        """Seconds until the worker's job or load is taken for hung; a job may have to share the GPU
        with others.
        """
        if held.job is None:
            attempts = self._openings.failures(held.queue.model)
            seconds = self._cost.load_deadline(held.queue.model, near=held.head_start > 0)
        else:
            attempts = held.job.attempts
            seconds = self._cost.deadline(held.job.unit) / held.hands
        return seconds * float(DEADLINE_GROWTH**attempts)

    def _opening(self, worker: int) -> Worker:
        """The worker, which is loading."""
        held = self._fleet.workers[worker]
        assert held.state == "opening", f"worker {worker} is {held.state}"
        return held

    def _close(self, held: Worker) -> None:
        """End the worker with the next actions."""
        self._fleet.retire(held)
        self._closing.append(held.number)

    def _changed(self) -> None:
        """Something happened that may change what is best."""
        self._review_in = 0
        self._stuck = None

    def _find_stuck(self) -> list[Stuck]:
        """What is stuck, looked for once after each change."""
        if self._stuck is None:
            self._stuck = list(stuck(self._backlog, self._places, cost=self._cost))
        return self._stuck

    def _give_up(
        self, jobs: Iterable[Job], *, attempts: int, error: str, traceback: str
    ) -> list[CellError]:
        """Record every cell of the jobs as failed, and of whatever needs them."""
        given_up = []
        for job, cause in self._backlog.abandon(jobs):
            tries = 0 if cause else max(attempts, job.attempts)
            why = f"needs {_named(cause)}, which failed: {error}" if cause else error
            given_up += [
                CellError(cell=cell, attempts=tries, error=why, traceback=traceback)
                for cell in job.unit.cells
            ]
        self.errors += given_up
        return given_up


def _named(cell: Cell) -> str:
    """A cell as an error names it."""
    what = cell.measure or cell.benchmark or cell.table
    return f"{what} {cell.language} (key {cell.key[:12]})"

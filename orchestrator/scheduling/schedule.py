"""Decide which worker runs which unit, and which model is loaded where: a pure state machine.

Events go in, actions come out; the clock is an argument and nothing here waits. An idle worker
takes the longest unit of the model it holds; which model is loaded next is `Placement`'s decision.
A unit that fails is tried once more in another process, then split by language until what fails
stands alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from orchestrator.errors import CellError
from orchestrator.scheduling.actions import Action, Close, Node, Submit
from orchestrator.scheduling.cost import PATIENCE_SECONDS, Cost
from orchestrator.scheduling.placement import LOAD_ATTEMPTS, Placement
from orchestrator.scheduling.pool import GPU_COUNTS, NOWHERE, USABLE, Pool, Worker
from orchestrator.scheduling.queue import Job, Queue, Queues
from orchestrator.scheduling.split import split
from studies.spec import Cell, ModelFacts
from studies.unit import Unit

ATTEMPTS = 2
# A process that fails so many different units in a row may be what is broken.
FAILURES_IN_A_ROW = 2
# Looking for a better use of the machines is worth it after so many finished units, at the latest.
REVIEW = 16
# What was too slow once is given more time.
DEADLINE_GROWTH = 2


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
        """Queue the units: `done` are keys of cells that are there, `workers` the most processes at
        once (None: as capacity allows). `cost` are estimates, which this run corrects.
        """
        self.errors: list[CellError] = []
        self._cost = cost
        self._pool = Pool(nodes, workers=workers)
        # Stays for this run, as queues are ordered by it; what is measured corrects it.
        cost.device = "gpu" if self._pool.has_gpus or not self._pool.nodes else "cpu"
        self._queues = Queues(units, cost=cost, done=done)
        self._placement = Placement(self._queues, self._pool, cost=cost)
        self._awake: set[int] = set()
        self._review_in = 0

    @property
    def finished(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._queues.unfinished

    def running(self, worker: int) -> Unit | None:
        """The unit a worker is at; None if it is at none, or gone."""
        held = self._pool.workers.get(worker)
        return held.job.unit if held and held.job else None

    def model_of(self, worker: int) -> ModelFacts:
        """The model a worker holds or loads."""
        return self._pool.workers[worker].queue.model

    def actions(self, *, now: float) -> list[Action]:
        """Everything that should be done now, once: a second call without an event adds nothing."""
        numbers = self._pool.workers if self._review_in <= 0 else self._awake
        actions = self._close_or_submit(sorted(numbers), now=now)
        self._awake.clear()
        if self._review_in <= 0:
            actions += self._placement.choose(now=now)
            if not self._pool.active:
                # What can only run where it has failed does so when nothing else is left to do.
                for queue in self._queues:
                    for job in queue.retries:
                        job.failed_on = NOWHERE
                actions += self._close_or_submit(sorted(self._pool.workers), now=now)
                actions += self._placement.choose(now=now, forced=not self._pool.active)
            self._review_in = REVIEW
        return actions

    def opened(self, worker: int, *, now: float, bytes: int = 0) -> None:
        """The worker has loaded its model, which took so many bytes of GPU memory (0: unknown)."""
        held = self._pool.workers[worker]
        assert held.state == "loading", f"worker {worker} is {held.state}"
        model = held.queue.model
        held.queue.failed_loads.clear()
        self._cost.learned_load(model, now - held.since)
        if bytes and self._pool.has_gpus:
            self._cost.learned_bytes(model, bytes, most=self._pool.usable_bytes(held.slot))
            self._pool.grow(held, self._cost.bytes(model))
        held.state = "idle"
        self._review_in = 0

    def done(self, worker: int, *, now: float) -> Unit:
        """The worker's unit is computed and kept."""
        held = self._pool.workers[worker]
        job = self._pool.end(held)
        held.failures = 0
        self._cost.learn(job.unit, (now - held.since) * held.share)
        self._awake.add(worker)
        self._review_in = 0 if self._queues.finish(job) else self._review_in - 1
        return job.unit

    def refused(self, unit: Unit, reasons: Mapping[str, str]) -> list[CellError]:
        """Of a unit that is computed, the cells that its model has nothing for, by key."""
        errors = [
            CellError(cell=cell, attempts=1, error=reasons[cell.key], traceback="")
            for cell in (unit.cells if reasons else ())
            if cell.key in reasons
        ]
        self.errors += errors
        return errors

    def failed(
        self, worker: int, *, error: str, traceback: str, gone: bool = False
    ) -> list[CellError]:
        """The worker's unit raised, and its process died too if `gone`.

        Returns the cells given up by this.
        """
        held = self._pool.workers[worker]
        job = self._pool.end(held)
        held.failures += 1
        if gone:
            self._pool.forget(held)
        elif held.failures >= FAILURES_IN_A_ROW:
            self._pool.retire(held)
        self._review_in = 0
        job.attempts += 1
        halves = split(job.unit)
        if job.attempts < ATTEMPTS and not (job.half and len(halves) > 1):
            job.failed_in, job.failed_on = worker, self._pool.devices_of(held.slot)
            job.queue.push(job)
            return []
        if len(halves) > 1:
            self._queues.replace(job, halves)
            return []
        return self._give_up([job], attempts=job.attempts, error=error, traceback=traceback)

    def open_failed(
        self, worker: int, *, error: str, traceback: str, gone: bool = False
    ) -> list[CellError]:
        """The worker could not load its model, and its process died too if `gone`.

        Returns the cells given up by this: at the second time all of the model's that wait, unless
        another worker holds it.
        """
        held = self._pool.workers[worker]
        assert held.state == "loading", f"worker {worker} is {held.state}"
        held.queue.failed_loads.append(held.slot.node)
        if gone:
            self._pool.forget(held)
        else:
            self._pool.retire(held)
        self._review_in = 0
        failures = len(held.queue.failed_loads)
        if failures < LOAD_ATTEMPTS or self._pool.holders[held.queue]:
            return []
        jobs = held.queue.clear()
        return self._give_up(jobs, attempts=failures, error=error, traceback=traceback)

    def overdue(self, *, now: float) -> list[int]:
        """Workers whose unit or load has passed its deadline, by the estimates of now.

        Tell `failed` of one that is `running` something, and `open_failed` of another.
        """
        late = []
        for held in self._pool.workers.values():
            if now >= held.look_at and held.state in ("loading", "busy"):
                deadline = held.since + self._deadline(held)
                held.look_at = min(deadline, now + PATIENCE_SECONDS)
                if now > deadline:
                    late.append(held.number)
        return late

    def joined(self, node: Node) -> None:
        """A machine is there."""
        self._pool.join(node)
        self._review_in = 0

    def left(self, name: str) -> list[int]:
        """A machine is gone; returns the workers lost with it.

        Their units go back, and this does not count as an attempt.
        """
        lost = self._pool.leave(name)
        self._placement.node_left(name)
        for held in lost:
            if held.job:
                held.queue.push(self._pool.end(held))
            self._pool.forget(held)
            self._awake.discard(held.number)
        self._review_in = 0
        return [held.number for held in lost]

    def stuck(self) -> str | None:
        """Why units wait that no machine can ever take, in one sentence; None if there are none."""
        return "; ".join(reason for reason, _ in self._find_stuck()) or None

    def give_up_stuck(self) -> list[CellError]:
        """Give up the units that are stuck; returns their cells."""
        errors = []
        for reason, queue in list(self._find_stuck()):
            jobs = queue.clear() if queue else self._queues.take_orphans()
            errors += self._give_up(jobs, attempts=0, error=reason, traceback="")
        self._review_in = 0
        return errors

    def _close_or_submit(self, workers: Iterable[int], *, now: float) -> list[Action]:
        """Close those of the workers that are to be closed; the idle ones take a unit."""
        actions: list[Action] = []
        for held in map(self._pool.workers.__getitem__, workers):
            if held.state == "closing":
                actions.append(Close(held.number))
                self._pool.forget(held)
            elif held.state == "idle" and (submit := self._submit(held, now=now)):
                actions.append(submit)
        return actions

    def _submit(self, held: Worker, *, now: float) -> Submit | None:
        """The next unit of the worker's model, if there is one it may take."""
        job = held.queue.first(lambda job: self._placement.may_take(held, job))
        if job is None:
            self._review_in = 0
            return None
        held.queue.pop(job)
        held.state, held.job, held.since = "busy", job, now
        deadline = self._deadline(held)
        held.look_at = now + min(deadline, PATIENCE_SECONDS)
        return Submit(held.number, job.unit, deadline)

    def _deadline(self, held: Worker) -> float:
        """Seconds until the worker's job or load is taken for hung; a job may have to share the GPU
        with others.
        """
        if held.job is None:
            attempts = len(held.queue.failed_loads)
            seconds = self._cost.load_deadline(held.queue.model)
        else:
            attempts = held.job.attempts
            seconds = self._cost.deadline(held.job.unit) / held.share
        return seconds * float(DEADLINE_GROWTH**attempts)

    def _find_stuck(self) -> Iterator[tuple[str, Queue | None]]:
        """Why the queue of a model that fits nowhere is stuck, and units without a queue of their
        own, which need cells that nothing makes.
        """
        for queue in self._queues:
            needed = self._cost.bytes(queue.model)
            if (queue.runnable or queue.blocked) and not self._pool.nodes_for(needed):
                yield _too_large(queue.model, needed, self._pool), queue
        if orphans := self._queues.orphans:
            missing = self._queues.unmet(orphans[0])
            count = f"{len(orphans)} units need" if len(orphans) > 1 else "a unit needs"
            reason = (
                f"{count} results that are neither there nor planned (the first: key "
                f"{missing[:12]}): compute those cells first, with --retry-errors if they have "
                "failed"
            )
            yield reason, None

    def _give_up(
        self, jobs: Iterable[Job], *, attempts: int, error: str, traceback: str
    ) -> list[CellError]:
        """Record every cell of the jobs as failed, and of whatever needs them."""
        errors = []
        for job, cause in self._queues.abandon(jobs):
            tries = 0 if cause else max(attempts, job.attempts)
            why = f"needs {_named(cause)}, which failed: {error}" if cause else error
            errors += [
                CellError(cell=cell, attempts=tries, error=why, traceback=traceback)
                for cell in job.unit.cells
            ]
        self.errors += errors
        return errors


def _named(cell: Cell) -> str:
    """A cell as an error names it."""
    what = cell.measure or cell.benchmark or cell.table
    return f"{what} {cell.language} (key {cell.key[:12]})"


def _too_large(model: ModelFacts, needed: int, pool: Pool) -> str:
    """What the model needs, what there is, and what would fit."""
    label = model.label
    if not pool.nodes:
        return f"model {label!r} waits and no machine is left in the cluster: add one"
    nodes = [node for node in pool.nodes.values() if node.gpus]
    if not nodes:
        return f"model {label!r} waits for a GPU and the machines left have none: add one that has"
    largest = max(nodes, key=lambda node: node.gpus * node.gpu_bytes)
    gigabytes = largest.gpu_bytes / 1e9
    each = needed / USABLE
    fits = " or ".join(f"{count} of {each / count / 1e9:.0f} GB" for count in GPU_COUNTS[:3])
    return (
        f"model {label!r} needs {needed / 1e9:.0f} GB of GPU memory on one machine and the largest "
        f"has {largest.gpus} of {gigabytes:.0f} GB: it would fit on {fits}, or in a smaller "
        "--dtype or --quantise"
    )

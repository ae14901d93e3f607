"""The workers there are: which model each holds, in which spot, and what it does there.

Which worker should exist is decided elsewhere; here it is only known, and kept within what the
machines hold.
"""

from dataclasses import dataclass
from typing import Literal

from orchestrator.scheduling.actions import Open
from orchestrator.scheduling.backlog import Job, Queue
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.near import Near
from orchestrator.scheduling.placement import PARTS, Places, Spot

State = Literal["opening", "idle", "busy", "closing"]


@dataclass(slots=True, eq=False)
class Worker:
    """A process that holds one model. `since` is when it began what it does.

    `crowd` is how many units ran on its GPU when its own began, `failures` how many failed in a
    row, and `head_start` how many seconds before it its node had begun to read the model's files.
    """

    number: int
    queue: Queue
    spot: Spot
    since: float
    state: State = "opening"
    job: Job | None = None
    crowd: int = 1
    failures: int = 0
    head_start: float = 0.0

    @property
    def hands(self) -> float:
        """What part of a worker it is: one that shares its GPU gets a part of its time."""
        return self.spot.parts / PARTS if self.spot.gpus else 1.0


class Fleet:
    """All workers, by number, by state and by the model they hold."""

    def __init__(self, places: Places) -> None:
        """Nobody is there yet."""
        self.places = places
        self.workers: dict[int, Worker] = {}
        self.holders: dict[Queue, set[int]] = {}
        self.idle: set[int] = set()
        self.near = Near()
        self.active = 0
        self._next = 0
        self._on_gpu: dict[tuple[str, int], int] = {}

    def open(self, queue: Queue, spot: Spot, *, now: float) -> Open:
        """A worker of a number never used before begins to load the queue's model."""
        head_start = self.near.begin(queue.model, spot.node, now=now)
        worker = Worker(self._next, queue, spot, since=now, head_start=head_start)
        self._next += 1
        self.workers[worker.number] = worker
        self.holders.setdefault(queue, set()).add(worker.number)
        self.places.take(worker.number, spot)
        self.active += 1
        return Open(worker.number, queue.model, spot.node, spot.share)

    def rest(self, worker: Worker) -> None:
        """The worker has nothing to do."""
        if worker.state in ("opening", "busy"):
            self.active -= 1
        worker.state = "idle"
        self.idle.add(worker.number)

    def begin(self, worker: Worker, job: Job, *, now: float) -> None:
        """The worker is at the job."""
        assert worker.state == "idle", f"worker {worker.number} is {worker.state}"
        self.idle.discard(worker.number)
        self.active += 1
        worker.state, worker.job, worker.since = "busy", job, now
        worker.crowd = self._crowd(worker, 1)

    def end(self, worker: Worker) -> tuple[Job, float]:
        """The worker is no longer at its job; also how many units shared its GPU on average."""
        job = worker.job
        assert job is not None, f"worker {worker.number} is {worker.state}"
        crowd = (worker.crowd + self._crowd(worker, 0)) / 2
        self._crowd(worker, -1)
        worker.job = None
        self.rest(worker)
        return job, crowd

    def retire(self, worker: Worker) -> None:
        """The worker is to be closed: it takes nothing more, but is still where it is."""
        self.rest(worker)
        self.idle.discard(worker.number)
        worker.state = "closing"
        self.holders[worker.queue].discard(worker.number)

    def forget(self, worker: Worker) -> None:
        """The worker is gone; its spot is free."""
        assert worker.job is None, f"worker {worker.number} is busy"
        self.retire(worker)
        del self.workers[worker.number]
        if worker.number in self.places.spots:
            self.places.release(worker.number)

    def may_take(self, worker: Worker, job: Job, *, cost: Cost) -> bool:
        """Whether the worker may try a job that has failed: another process, and other GPUs.

        Where there are no others that the model could be on, another process will do.
        """
        if job.tried is None or job.spot is None:
            return True
        if job.tried == worker.number:
            return False
        if not worker.spot.touches(job.spot):
            return True
        return not self.places.elsewhere(cost.bytes(worker.queue.model), job.spot)

    def next_job(self, worker: Worker, *, cost: Cost) -> Job | None:
        """The first job of the worker's model that it may take."""
        queue = worker.queue
        refused = [
            tried
            for tried, jobs in queue.again.items()
            if not self.may_take(worker, jobs[0], cost=cost)
        ]
        return queue.best(refused)

    def _crowd(self, worker: Worker, change: int) -> int:
        """How many units run on the worker's GPU, after a change."""
        if len(worker.spot.gpus) != 1:
            return 1
        key = (worker.spot.node, worker.spot.gpus[0])
        self._on_gpu[key] = self._on_gpu.get(key, 0) + change
        return self._on_gpu[key]

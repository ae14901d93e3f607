"""Decide which model is to be loaded where next, and who has to leave for it.

Capacity goes to the model that would be done last. A first copy is always worth its load; another
one pays where the model's waiting seconds, over the workers it has, exceed the seconds of a load. A
model whose whole work is less than one GPU's share of all work gets that part of a GPU.

A model that has to wait for a spot has its files fetched meanwhile to where it should find one
(`Ahead`).
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.scheduling.actions import Fetch, Open
from orchestrator.scheduling.ahead import Ahead
from orchestrator.scheduling.backlog import Backlog, Job, Queue
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.fleet import Fleet, Worker
from orchestrator.scheduling.newcomers import Newcomers
from orchestrator.scheduling.placement import Found, Places, Spot, Wish, most_sharing
from studies.spec import ModelFacts

# A model that failed to load so often, on another node if there is one, is not tried again.
LOAD_ATTEMPTS = 2
# A model should be done so many of its longest waiting units before the others: a straggler among
# long units would keep everybody waiting at the end, one among short ones hardly. Ten times slower,
# by an estimate that was half of what it should be, makes twenty.
TAIL = 20.0
# What a running unit takes in all, over what it has taken so far, once that is beyond its estimate.
YET_TO_RUN = 1.5
# A unit within so many times its estimate is expected to end soon.
SOON = 2.0
# Of the models that nobody has held yet, so many of each size are looked at: the longest.
AHEAD = 4


class Opening(NamedTuple):
    """A worker to open, after these have been closed."""

    action: Open
    closed: tuple[int, ...]


class Candidate(NamedTuple):
    """A model that another worker would help, most urgent first.

    `gain` are the seconds until the model is done as things are; `avoid` the spot where the job
    that calls for the worker has failed, `fresh` that any new process will do for it.
    """

    spread: int
    urgency: float
    order: int
    queue: Queue
    gain: float
    avoid: Spot | None
    fresh: bool


class Openings:
    """Where models are loaded next."""

    def __init__(self, backlog: Backlog, fleet: Fleet, *, cost: Cost) -> None:
        """Look at what waits, who is there, and what things cost."""
        self._backlog = backlog
        self._fleet = fleet
        self._cost = cost
        self._failures: dict[ModelFacts, list[str]] = {}
        self._slower: dict[Queue, float] = {}
        self._share = 0.0
        self._newcomers = Newcomers(fleet.places, cost=cost)
        self._known: dict[Queue, None] = {}
        self.ahead = Ahead(backlog, fleet, cost=cost)

    @property
    def _places(self) -> Places:
        return self._fleet.places

    def machines_changed(self) -> None:
        """Machines have come or gone."""
        self._newcomers.sort_again()

    def failures(self, model: ModelFacts) -> int:
        """How often the model could not be loaded, since it last was."""
        return len(self._failures.get(model, ()))

    def loaded(self, model: ModelFacts) -> None:
        """The model can be loaded after all."""
        self._failures.pop(model, None)

    def failed(self, worker: Worker) -> int:
        """The worker's model could not be loaded; how often that is now."""
        model = worker.queue.model
        self._failures.setdefault(model, []).append(worker.spot.node)
        return self.failures(model)

    def choose(self, *, now: float) -> Iterator[Opening | Fetch]:
        """Open what pays, most urgent first, until nothing more pays or fits; fetch what will pay
        next.
        """
        full = self._places.full and not self._fleet.idle
        ending = self.ahead.ending()
        if full and not ending:
            return
        self._slower = self._slowness(now)
        self._sort_in()
        self._share = self._fair_share()
        seen = {**self._known, **dict.fromkeys(self._newcomers.first(AHEAD, without=()))}
        heap = [one for queue in seen if (one := self._candidate(queue))]
        heapq.heapify(heap)
        held: set[tuple[str, int]] = set()
        while heap:
            candidate = heapq.heappop(heap)
            queue = candidate.queue
            more = []
            found = None if full else self._find(candidate, held=held)
            if found:
                for number in found.evicted:
                    self._fleet.forget(self._fleet.workers[number])
                yield Opening(self._fleet.open(queue, found.spot, now=now), found.evicted)
                more.append(queue)
            else:
                node = self.ahead.node(queue, self._wish(queue), ending=ending, held=held)
                if node and self.ahead.begin(queue.model, node, now=now):
                    yield Fetch(node, queue.model)
                held.update(self._gather(candidate, held=held, now=now))
                if not node:
                    continue
            if queue in self._newcomers:
                more += self._newcomers.first(1, without=seen)
                if found:
                    self._newcomers.remove(queue)
                    self._known[queue] = None
            for other in more:
                seen[other] = None
                again = self._candidate(other)
                if again:
                    heapq.heappush(heap, again)

    def _sort_in(self) -> None:
        """Look after the queues where something may run now, and no longer after empty ones."""
        for queue in sorted(self._backlog.awake, key=lambda queue: queue.order):
            if queue in self._fleet.holders or queue.model in self._failures:
                self._newcomers.remove(queue)
                self._known[queue] = None
            elif queue not in self._newcomers:
                self._newcomers.add(queue)
        self._backlog.awake.clear()
        for queue in [queue for queue in self._known if not queue.waiting and not queue.later]:
            if not self._fleet.holders.get(queue):
                del self._known[queue]

    def _candidate(self, queue: Queue) -> Candidate | None:
        """The model, if another worker would help it."""
        if not queue.waiting:
            return None
        model, workers = queue.model, self._fleet.holders.get(queue, ())
        load = self._cost.load_seconds(model)
        gpus = self._places.gpus_of(self._cost.bytes(model))
        stranded = self._stranded(queue)
        waiting = self._seconds(queue)
        tail = TAIL * self._backlog.longest(queue)
        if not workers:
            left = max(self._seconds(queue, left=True), self._backlog.longest(queue))
            avoid = stranded.spot if stranded else None
            return Candidate(-gpus, -(left + load + tail), queue.order, queue, left, avoid, True)
        if stranded:
            seconds = self._cost.seconds(stranded.unit)
            return Candidate(-1, -seconds, queue.order, queue, seconds, stranded.spot, True)
        coming = sum(self._fleet.workers[number].state == "opening" for number in workers)
        gain = waiting / len(workers)
        if gain <= load or queue.waiting <= coming or self.failures(model) >= LOAD_ATTEMPTS:
            return None
        # Done early in any case: models that wait for their first copy go before.
        early = gain + tail < self._share
        return Candidate(0 if early else -1, -(gain + tail), queue.order, queue, gain, None, False)

    def _stranded(self, queue: Queue) -> Job | None:
        """A failed job that none of the model's workers may take, not even when they are free."""
        workers = [self._fleet.workers[number] for number in self._fleet.holders.get(queue, ())]
        for jobs in queue.again.values():
            if not any(self._fleet.may_take(w, jobs[0], cost=self._cost) for w in workers):
                return jobs[0]
        return None

    def _find(self, candidate: Candidate, *, held: set[tuple[str, int]]) -> Found | None:
        """A spot for the candidate: as much of a GPU as it can use, else as little as it needs."""
        queue = candidate.queue
        bytes = self._cost.bytes(queue.model)
        elsewhere = candidate.avoid and self._places.elsewhere(bytes, candidate.avoid)
        must = not self._fleet.active
        avoid = candidate.avoid if elsewhere else None
        first = self._wish(queue, avoid=avoid)
        for evictable in self._evictable(candidate, must=must):
            for sharing in dict.fromkeys((first.most, most_sharing(queue.model))):
                wish = first._replace(most=sharing)
                found = self._places.find(wish, evictable=evictable, held=held)
                if found is None and avoid and (queue.ready or must):
                    found = self._places.find(
                        wish._replace(avoid=None), evictable=evictable, held=held
                    )
                    if found and must:
                        queue.anywhere()
                if found:
                    return found
        return None

    def _evictable(self, candidate: Candidate, *, must: bool) -> Iterator[list[int]]:
        """Idle workers who may leave: at first those with no work to come, then whom it pays."""
        done, others = [], []
        load = self._cost.load_seconds(candidate.queue.model)
        for number in sorted(self._fleet.idle):
            queue = self._fleet.workers[number].queue
            if queue is candidate.queue:
                if candidate.fresh:
                    done.append(number)
            elif not queue.waiting and not queue.later:
                done.append(number)
            elif must or candidate.gain > load + self._cost.load_seconds(queue.model):
                others.append(number)
        yield done
        if others:
            yield done + others

    def _wish(self, queue: Queue, *, avoid: Spot | None = None) -> Wish:
        """What the model asks of a spot: as much of a GPU as its work is of a GPU's share."""
        model = queue.model
        work = self._seconds(queue, left=True)
        most = most_sharing(model)
        if work:
            most = max(1, min(most, int(self._share / work)))
        return Wish(
            bytes=self._cost.bytes(model),
            most=most,
            avoid=avoid,
            refused=self._refused(model),
            near=self._fleet.near.nodes(model),
        )

    def _gather(
        self, candidate: Candidate, *, held: set[tuple[str, int]], now: float
    ) -> set[tuple[str, int]]:
        """GPUs to keep free for a model that is spread over several, until the last one is.

        Only GPUs that will be free soon: workers on them are idle, or at the last unit of a model.
        """
        queue = candidate.queue
        bytes = self._cost.bytes(queue.model)
        if self._places.gpus_of(bytes) < 2:
            return set()
        soon = [
            worker.number
            for worker in self._fleet.workers.values()
            if worker.job
            and not worker.queue.waiting
            and now - worker.since <= SOON * self._cost.seconds(worker.job.unit)
        ]
        *_, idle = self._evictable(candidate, must=False)
        wish = Wish(bytes=bytes, refused=self._refused(queue.model))
        found = self._places.find(wish, evictable=idle + soon, held=held)
        return {(found.spot.node, gpu) for gpu in found.spot.gpus} if found else set()

    def _seconds(self, queue: Queue, *, left: bool = False) -> float:
        """Seconds of what waits, or of all that is left, as what now runs lets expect."""
        return self._backlog.seconds(queue, left=left) * self._slower.get(queue, 1.0)

    def _slowness(self, now: float) -> dict[Queue, float]:
        """By how much each model is slower than its finished units say.

        Those that finish first are the fast ones, so the ones still running count too: each for
        its estimate, or half as long again as it has taken so far.
        """
        running: dict[Queue, list[float]] = {}
        for worker in self._fleet.workers.values():
            if worker.job:
                estimate = self._cost.seconds(worker.job.unit) * worker.crowd
                ratio = max(1.0, YET_TO_RUN * (now - worker.since) / estimate)
                running.setdefault(worker.queue, []).append(ratio)
        slower = {}
        for queue, ratios in running.items():
            known = 1 + self._cost.measurements(queue.model)
            slower[queue] = (known + sum(ratios)) / (known + len(ratios))
        return slower

    def _refused(self, model: ModelFacts) -> frozenset[str]:
        """Nodes where the model could not be loaded, if there are others."""
        names = frozenset(self._failures.get(model, ()))
        if names and self._places.other_node(self._cost.bytes(model), names):
            return names
        return frozenset()

    def _fair_share(self) -> float:
        """Seconds that each GPU has to work if all that is left is spread evenly."""
        total = self._newcomers.weight * self._cost.common_factor() + sum(
            self._seconds(queue, left=True) * self._places.gpus_of(self._cost.bytes(queue.model))
            for queue in self._known
        )
        return total / max(1, self._places.devices())

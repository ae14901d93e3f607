"""Decide which model is loaded where next, which workers leave for it, and what to prefetch.

The model that would be done last comes first, models on several GPUs before others. A first copy is
always worth its load; another one is where the model's waiting seconds, over the workers it has,
exceed the seconds of a load. A model whose whole work is less than one GPU's share of all work gets
that part of a GPU. Models that wait for a slot have their files fetched meanwhile, one for each GPU
of a node where nothing loads, and are loaded there if they can.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.scheduling.actions import Action, Close, Prefetch
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.pool import MOST_SHARING, NOWHERE, Device, Found, Pool, Worker
from orchestrator.scheduling.queue import Job, Queue, Queues
from studies.spec import ModelFacts

# A model that failed to load so often, on another node if there is one, is not tried again.
LOAD_ATTEMPTS = 2
# A model should be done so many of its longest waiting units before the others: a straggler among
# long units would keep everybody waiting at the end, one among short ones hardly. Ten times slower,
# by an estimate that was half of what it should be, makes twenty.
TAIL = 20.0
# A unit within so many times its estimate is expected to end soon.
SOON = 2.0
# Smaller files are read or downloaded soon enough when they are needed.
PREFETCH_BYTES = 1e9


class Candidate(NamedTuple):
    """A model that another worker would help, most urgent first; `spread` is minus its GPUs.

    `gain` are the seconds until the model is done as things are. Where a failed unit calls for the
    worker, `avoid` are the devices on which it failed; `fresh`: any new process will do for it.
    """

    spread: int
    urgency: float
    order: int
    queue: Queue
    gain: float
    avoid: frozenset[Device] = NOWHERE
    fresh: bool = True


class Placement:
    """Where models are loaded next."""

    def __init__(self, queues: Queues, pool: Pool, *, cost: Cost) -> None:
        """Decide by what waits, who is there, and what things cost."""
        self._queues, self._pool, self._cost = queues, pool, cost
        self._prefetched: dict[Queue, str] = {}
        self._share = 0.0

    def node_left(self, name: str) -> None:
        """A node is gone, and with it the files that were brought there."""
        self._prefetched = {q: node for q, node in self._prefetched.items() if node != name}

    def may_take(self, worker: Worker, job: Job) -> bool:
        """Whether the worker may try a job that has failed: another process, and other devices.

        Where there are no others that the model could be on, another process will do.
        """
        if job.failed_in == worker.number:
            return False
        node = worker.slot.node
        touches = any((node, number) in job.failed_on for number in worker.slot.devices)
        return not touches or not self._elsewhere(job.queue.model, job.failed_on)

    def choose(self, *, now: float, forced: bool = False) -> Iterator[Action]:
        """Open what pays, most urgent first, until nothing more pays or fits; then prefetch.

        `forced`: nothing runs, so any worker may leave.
        """
        if self._pool.crowded and not self._prefetch_room():
            return
        # Seconds that each GPU has to work if all that is left is spread evenly.
        gpus_of, bytes = self._pool.gpus_of, self._cost.bytes
        work = (self._queues.seconds(q, q.left) * gpus_of(bytes(q.model)) for q in self._queues)
        self._share = sum(work) / max(1, len(self._pool.devices(self._pool.nodes)))
        heap = [one for queue in self._queues if (one := self._candidate(queue))]
        heapq.heapify(heap)
        reserved, waiting = NOWHERE, []
        while heap and not self._pool.crowded:
            candidate = heapq.heappop(heap)
            queue = candidate.queue
            found = self._find(candidate, reserved, forced=forced)
            if not found:
                waiting.append(candidate)
                reserved |= self._reserve(candidate, reserved, now=now)
                continue
            if other := self._brought_to(found.slot.node, heap, instead_of=candidate):
                heap.remove(other)
                heap += candidate, other._replace(urgency=candidate.urgency - 1)
                heapq.heapify(heap)
                continue
            self._prefetched.pop(queue, None)
            for worker in found.evicted:
                self._pool.forget(worker)
                yield Close(worker.number)
            yield self._pool.open(queue, found.slot, now=now)
            if again := self._candidate(queue):
                heapq.heappush(heap, again)
        yield from self._prefetch(sorted([*waiting, *heap]))

    def _brought_to(
        self, node: str, others: Iterable[Candidate], *, instead_of: Candidate
    ) -> Candidate | None:
        """The first model as large whose files were brought to the node, where the candidate's were
        brought to another.
        """
        if self._prefetched.get(instead_of.queue, node) == node:
            return None
        here = (one for one in others if self._prefetched.get(one.queue) == node)
        return min((one for one in here if one.spread == instead_of.spread), default=None)

    def _prefetch_room(self) -> dict[str, int]:
        """How many models more may be prefetched to each node."""
        loading = {one.slot.node for one in self._pool.workers.values() if one.state == "loading"}
        waiting = Counter(n for q, n in self._prefetched.items() if q.runnable or q.blocked)
        rooms = {n.name: max(1, n.gpus) - waiting[n.name] for n in self._pool.nodes.values()}
        return {node: room for node, room in rooms.items() if room > 0 and node not in loading}

    def _prefetch(self, candidates: Iterable[Candidate]) -> Iterator[Prefetch]:
        """Have the files of models that were never loaded brought to where there is room."""
        room = self._prefetch_room()
        for queue in (candidate.queue for candidate in candidates):
            new = queue not in self._pool.holders and queue not in self._prefetched
            if room and new and queue.model.bytes >= PREFETCH_BYTES:
                nodes = room.keys() & self._pool.nodes_for(self._cost.bytes(queue.model))
                if nodes:
                    node = max(sorted(nodes), key=room.__getitem__)
                    room = {n: left - (n == node) for n, left in room.items() if left > (n == node)}
                    self._prefetched[queue] = node
                    yield Prefetch(node, queue.model)

    def _candidate(self, queue: Queue) -> Candidate | None:
        """The model, if another worker would help it."""
        first = queue.first()
        if first is None:
            return None
        model = queue.model
        load = self._cost.load_seconds(model)
        longest = first.rank * self._cost.factor(model, first.unit.kind)
        tail = TAIL * longest
        holders = self._pool.holders.get(queue)
        if not holders:
            left = max(self._queues.seconds(queue, queue.left), longest)
            gpus = self._pool.gpus_of(self._cost.bytes(model))
            avoid = NOWHERE if queue.ready else first.failed_on
            return Candidate(-gpus, -(left + load + tail), queue.order, queue, left, avoid)
        for job in queue.retries:
            if not any(self.may_take(worker, job) for worker in holders.values()):
                gain = job.weight * self._cost.factor(model, job.unit.kind)
                return Candidate(-1, -gain, queue.order, queue, gain, job.failed_on)
        loading = sum(worker.state == "loading" for worker in holders.values())
        gain = self._queues.seconds(queue, queue.waiting) / len(holders)
        if gain <= load or queue.runnable <= loading or len(queue.failed_loads) >= LOAD_ATTEMPTS:
            return None
        # Done early in any case: models that wait for their first copy go before.
        spread = 0 if gain + tail < self._share else -1
        return Candidate(spread, -(gain + tail), queue.order, queue, gain, fresh=False)

    def _find(
        self, candidate: Candidate, reserved: frozenset[Device], *, forced: bool
    ) -> Found | None:
        """A slot for the candidate: as much of a GPU as it can use, else as little as it needs."""
        queue, model = candidate.queue, candidate.queue.model
        avoid = candidate.avoid if self._elsewhere(model, candidate.avoid) else NOWHERE
        most = 1 if model.engine == "vllm" else MOST_SHARING  # which takes its GPU's memory whole
        work = self._queues.seconds(queue, queue.left)
        shared = max(1, min(most, int(self._share / work))) if work else most
        evictable = self._evictable(candidate, forced=forced)
        near = {worker.slot.node for worker in self._pool.holders.get(queue, {}).values()}
        near |= {self._prefetched[queue]} if queue in self._prefetched else set()
        for sharing in dict.fromkeys((shared, most, 1)):
            found = self._pool.find(
                self._cost.bytes(model),
                sharing=sharing,
                evictable=evictable,
                without=reserved | avoid | self._refused(queue),
                near=near,
            )
            if found:
                return found
        return None

    def _evictable(self, candidate: Candidate, *, forced: bool = False) -> list[Worker]:
        """Idle workers who may leave: whose model waits for nothing, or for less than it pays."""
        load = self._cost.load_seconds
        return [
            worker
            for worker in self._pool.idle
            if candidate.fresh or worker.queue is not candidate.queue
            if forced
            or not worker.queue.blocked
            or candidate.gain > load(candidate.queue.model) + load(worker.queue.model)
        ]

    def _reserve(
        self, candidate: Candidate, reserved: frozenset[Device], *, now: float
    ) -> frozenset[Device]:
        """GPUs to keep free for a model that is spread over several, until the last one is.

        Only GPUs that will be free soon: workers on them are idle, or at the last unit of a model.
        """
        bytes = self._cost.bytes(candidate.queue.model)
        if self._pool.gpus_of(bytes) < 2:
            return NOWHERE
        soon = (
            worker
            for worker in self._pool.workers.values()
            if worker.job and not worker.queue.runnable
            if now - worker.since <= SOON * self._cost.seconds(worker.job.unit)
        )
        evictable = [*self._evictable(candidate), *soon]
        without = reserved | self._refused(candidate.queue)
        found = self._pool.find(bytes, evictable=evictable, without=without)
        return self._pool.devices_of(found.slot) if found else NOWHERE

    def _refused(self, queue: Queue) -> frozenset[Device]:
        """The nodes where the model could not be loaded, if there are others for it."""
        devices = frozenset(self._pool.devices(queue.failed_loads))
        return devices if self._elsewhere(queue.model, devices) else NOWHERE

    def _elsewhere(self, model: ModelFacts, devices: frozenset[Device]) -> bool:
        """Whether the model could be somewhere besides these devices."""
        return bool(self._pool.nodes_for(self._cost.bytes(model), without=devices))

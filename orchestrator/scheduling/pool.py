"""The machines' GPUs, or cores where there are none, and the workers that occupy them.

A model takes whole GPUs of one node, 1, 2, 4 or 8, or an equal part of one that it shares. Parts
are assigned as Ray does, to the fullest GPU that still has room, so that both find the same room.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.scheduling.actions import Node, Open
from orchestrator.scheduling.queue import Job, Queue

# The parts of one GPU: a cluster counts no finer.
PARTS = 10_000
# The rest of a GPU's memory is the driver's, and a margin.
USABLE = 0.97
# So many processes share a GPU at most. A model that takes more than this part of its memory keeps
# it busy by itself: two of those share one, so that one computes while the other loads.
MOST_SHARING = 4
SMALL = 1 / 16
GPU_COUNTS = (1, 2, 4, 8)

# A GPU or a core: its node, and its number there.
Device = tuple[str, int]
NOWHERE: frozenset[Device] = frozenset()


class Slot(NamedTuple):
    """Devices of a node, and how many parts of each."""

    node: str
    devices: tuple[int, ...]
    parts: int


class Found(NamedTuple):
    """A slot for a worker, and the workers that have to leave first."""

    slot: Slot
    evicted: "tuple[Worker, ...]"


@dataclass(slots=True, eq=False)
class Worker:
    """A process that holds one model; `since` is when it began what it does, and `failures` are
    the units that failed in a row. It was granted parts of its slot, which may have grown since;
    whether it is overdue need not be asked before `look_at`.
    """

    number: int
    queue: Queue
    slot: Slot
    granted: int
    since: float
    state: Literal["loading", "idle", "busy", "closing"] = "loading"
    job: Job | None = None
    failures: int = 0
    look_at: float = 0.0

    @property
    def share(self) -> float:
        """Its part of each of its GPUs, and of their time while the other parts compute too."""
        return self.slot.parts / PARTS


class Pool:
    """Nodes, workers by number and by model. Cores count only while no node has ever had a GPU."""

    def __init__(self, nodes: Iterable[Node], *, workers: int | None) -> None:
        """No worker is there yet, and never more than `workers` will be."""
        self.nodes: dict[str, Node] = {}
        self.workers: dict[int, Worker] = {}
        self.holders: dict[Queue, dict[int, Worker]] = {}
        self.has_gpus = False
        self._limit = workers
        self._free: dict[str, list[int]] = {}
        self._ungranted: dict[str, list[int]] = {}
        self._gpus_of: dict[int, int] = {}
        self._opened = 0
        for node in nodes:
            self.join(node)

    def join(self, node: Node) -> None:
        """A node is there; joining again as the same changes nothing."""
        if self.nodes.get(node.name) == node:
            return
        assert node.name not in self.nodes, f"another node {node.name!r} is there already"
        self.nodes[node.name] = node
        self.has_gpus = self.has_gpus or node.gpus > 0
        self._free[node.name] = [PARTS] * (node.gpus or max(1, node.cpus))
        self._ungranted[node.name] = list(self._free[node.name])
        self._gpus_of.clear()

    def leave(self, name: str) -> list[Worker]:
        """A node is gone; returns its workers, yet to be forgotten."""
        self.nodes.pop(name, None)
        self._gpus_of.clear()
        return [worker for worker in self.workers.values() if worker.slot.node == name]

    def open(self, queue: Queue, slot: Slot, *, now: float) -> Open:
        """A worker of a number never used before begins to load the queue's model."""
        worker = Worker(self._opened, queue, slot, slot.parts, since=now)
        self._opened += 1
        self.workers[worker.number] = worker
        self.holders.setdefault(queue, {})[worker.number] = worker
        self._take(self._free, slot, slot.parts)
        self._take(self._ungranted, slot, slot.parts)
        gpus = len(slot.devices) * worker.share if self.nodes[slot.node].gpus else 0.0
        return Open(worker.number, queue.model, slot.node, gpus)

    def end(self, worker: Worker) -> Job:
        """The worker is no longer at its job."""
        job = worker.job
        assert job is not None, f"worker {worker.number} is {worker.state}"
        worker.state, worker.job = "idle", None
        return job

    def retire(self, worker: Worker) -> None:
        """The worker is to be closed: it takes nothing more, but is still where it is."""
        assert worker.job is None, f"worker {worker.number} is busy"
        worker.state = "closing"
        self.holders[worker.queue].pop(worker.number, None)

    def forget(self, worker: Worker) -> None:
        """The worker is gone."""
        self.retire(worker)
        del self.workers[worker.number]
        self._take(self._free, worker.slot, -worker.slot.parts)
        self._take(self._ungranted, worker.slot, -worker.granted)

    def grow(self, worker: Worker, bytes: int) -> None:
        """The worker was found to take so many bytes: keep others off what it has too little of."""
        slot, gpu_bytes = worker.slot, self.nodes[worker.slot.node].gpu_bytes
        if len(slot.devices) == 1 and gpu_bytes:
            lacks = PARTS // _sharing(bytes, gpu_bytes=gpu_bytes) - slot.parts
            more = max(0, min(lacks, self._free[slot.node][slot.devices[0]]))
            self._take(self._free, slot, more)
            worker.slot = slot._replace(parts=slot.parts + more)

    @property
    def idle(self) -> list[Worker]:
        """The workers that have loaded and have nothing to do."""
        return [worker for worker in self.workers.values() if worker.state == "idle"]

    @property
    def active(self) -> bool:
        """Whether any worker loads or computes."""
        return any(worker.state in ("loading", "busy") for worker in self.workers.values())

    @property
    def crowded(self) -> bool:
        """Whether no worker can come, nor any leave for it."""
        if any(worker.state == "idle" for worker in self.workers.values()):
            return False
        if self._limit is not None and len(self.workers) >= self._limit:
            return True
        least = PARTS // MOST_SHARING
        return all(self._free[node][number] < least for node, number in self.devices(self.nodes))

    def devices(self, nodes: Collection[str]) -> list[Device]:
        """All GPUs of some nodes, or all cores where no node has any."""
        return [
            (node.name, number)
            for node in self.nodes.values()
            if (node.gpus or not self.has_gpus) and node.name in nodes
            for number in range(len(self._free[node.name]))
        ]

    def devices_of(self, slot: Slot) -> frozenset[Device]:
        """The slot's GPUs, or all cores of its node: a process there may be on any."""
        if not self.has_gpus:
            return frozenset(self.devices([slot.node]))
        return frozenset((slot.node, number) for number in slot.devices)

    def usable_bytes(self, slot: Slot) -> int:
        """The memory a model may take on whole GPUs of the slot; 0 if unknown."""
        return int(len(slot.devices) * self.nodes[slot.node].gpu_bytes * USABLE)

    def gpus_of(self, bytes: int) -> int:
        """The fewest GPUs (or cores) that such a model takes; 1 if it fits nowhere."""
        if bytes not in self._gpus_of:
            sizes = [self._size(node, bytes, 1) for node in self.nodes.values()]
            self._gpus_of[bytes] = min((size[0] for size in sizes if size), default=1)
        return self._gpus_of[bytes]

    def nodes_for(self, bytes: int, *, without: Collection[Device] = NOWHERE) -> list[str]:
        """Nodes that could take such a model if nothing else were there, but for some devices."""
        taken = Counter(node for node, _ in without)
        sizes = [(name, self._size(node, bytes, 1)) for name, node in self.nodes.items()]
        return [n for n, size in sizes if size and len(self._free[n]) - taken[n] >= size[0]]

    def find(
        self,
        bytes: int,
        *,
        sharing: int = 1,
        evictable: Sequence[Worker],
        without: Collection[Device],
        near: Collection[str] = (),
    ) -> Found | None:
        """The best slot: with nobody leaving, on the fullest GPU and node that have room, or on the
        emptiest node of cores.

        Args:
            bytes: memory that the model needs.
            sharing: how many workers at most may share the GPU, where memory allows.
            evictable: who may have to leave, in the order in which they should.
            without: devices that are not wanted, or kept for another.
            near: nodes that are taken where others are no better.
        """
        at_limit = self._limit is not None and len(self.workers) >= self._limit
        if at_limit and not evictable:
            return None
        best: tuple[tuple[float, ...], Found] | None = None
        for order, node in enumerate(self.nodes.values()):
            size = self._size(node, bytes, sharing)
            found = size and self._find_on(node.name, *size, evictable, without)
            if not found:
                continue
            if at_limit and not found.evicted:
                found = found._replace(evicted=(evictable[0],))
            free = self._free[node.name]
            # Least room is best, as in a suitcase.
            tight = (max(free[number] for number in found.slot.devices), free.count(PARTS))
            gpu, rest = tight if self.has_gpus else (-sum(free) / len(free), 0)
            key = (len(found.evicted), gpu, node.name not in near, rest, order)
            if best is None or key < best[0]:
                best = (key, found)
        return best[1] if best else None

    def _find_on(
        self,
        node: str,
        count: int,
        parts: int,
        evictable: Sequence[Worker],
        without: Collection[Device],
    ) -> Found | None:
        """The best slot on one node: so many devices, and so many parts of each."""
        free = self._free[node]
        leaving = [worker for worker in evictable if worker.slot.node == node]
        room = list(free)
        for worker in leaving:
            for number in worker.slot.devices:
                room[number] += worker.slot.parts
        fit = [n for n, have in enumerate(room) if have >= parts and (node, n) not in without]
        if len(fit) < count:
            return None
        fit.sort(key=lambda n: (free[n] < parts, free[n], n))
        slot = Slot(node, tuple(sorted(fit[:count])), parts)
        have = {number: free[number] for number in slot.devices}
        evicted = []
        for worker in leaving:
            if any(have.get(number, parts) < parts for number in worker.slot.devices):
                evicted.append(worker)
                for number in worker.slot.devices:
                    have[number] = have.get(number, 0) + worker.slot.parts
        # Ray chooses for itself, by what it has granted: it must come to the same devices.
        ungranted = dict(enumerate(self._ungranted[node]))
        for worker in evicted:
            for number in worker.slot.devices:
                ungranted[number] += worker.granted
        fit = [number for number, have in ungranted.items() if have >= parts]
        fit.sort(key=lambda n: (ungranted[n], n))
        return Found(slot, tuple(evicted)) if set(fit[:count]) == set(slot.devices) else None

    def _size(self, node: Node, bytes: int, sharing: int) -> tuple[int, int] | None:
        """How many devices of the node such a model takes, and how many parts of each."""
        if not node.gpus:
            return None if self.has_gpus else (1, PARTS)
        count = gpus_for(bytes, gpu_bytes=node.gpu_bytes)
        if count is None or count > node.gpus:
            return None
        if count > 1 or sharing <= 1:
            return count, PARTS
        # Every process keeps a core busy beside the GPU.
        most = min(sharing, max(1, node.cpus // node.gpus))
        return 1, PARTS // min(most, _sharing(bytes, gpu_bytes=node.gpu_bytes))

    @staticmethod
    def _take(free: dict[str, list[int]], slot: Slot, parts: int) -> None:
        for number in slot.devices:
            free[slot.node][number] -= parts
            assert 0 <= free[slot.node][number] <= PARTS, f"{slot} does not fit"


def gpus_for(bytes: int, *, gpu_bytes: int) -> int | None:
    """How many whole GPUs hold so many bytes: the fewest of 1, 2, 4, 8; None if none do.

    GPUs of unknown memory (0) are taken to hold any model.
    """
    if not gpu_bytes:
        return 1
    return next((count for count in GPU_COUNTS if bytes <= count * gpu_bytes * USABLE), None)


def _sharing(bytes: int, *, gpu_bytes: int) -> int:
    """How many workers that need so many bytes each should share one GPU at most."""
    most = MOST_SHARING if bytes <= gpu_bytes * SMALL else 2
    return max(1, min(most, int(gpu_bytes * USABLE) // max(1, bytes)))

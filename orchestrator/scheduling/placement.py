"""Which GPUs and cores are free, and where a model fits: a book of spots, in bytes and parts.

A model takes whole GPUs of one node, 1, 2, 4 or 8, or an equal part of one that it shares. The book
assigns parts as Ray does, to the fullest GPU that still has room, so that both find the same room.
What runs in a spot, and whether it should, is unknown here.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from orchestrator.scheduling.actions import Node
from studies.spec import ModelFacts

# The parts of one GPU: a cluster counts no finer.
PARTS = 10_000
# The rest of a GPU's memory is the driver's, and a margin.
USABLE = 0.97
# So many processes share a GPU at most. A model that takes more than this part of its memory keeps
# it busy by itself: two of those share one, so that one computes while the other loads.
MOST_SHARING = 4
SMALL = 1 / 16
GPU_COUNTS = (1, 2, 4, 8)


def most_sharing(model: ModelFacts) -> int:
    """How many workers of the model's kind may share one GPU: vLLM takes its memory whole."""
    return 1 if model.engine == "vllm" else MOST_SHARING


class Spot(NamedTuple):
    """GPUs of a node, by their places in the book, and how much of each; none of them on a CPU."""

    node: str
    gpus: tuple[int, ...]
    parts: int

    @property
    def share(self) -> float:
        """How many GPUs that is, as a cluster asks for them."""
        return len(self.gpus) * self.parts / PARTS

    def touches(self, other: "Spot") -> bool:
        """Whether two spots have a GPU in common, or are the same CPU node."""
        if self.node != other.node:
            return False
        return not self.gpus or not other.gpus or not set(self.gpus).isdisjoint(other.gpus)


class Found(NamedTuple):
    """A spot, and the workers that have to leave first."""

    spot: Spot
    evicted: tuple[int, ...]


class Wish(NamedTuple):
    """What is asked of a spot.

    Attributes:
        bytes: memory that the model needs.
        most: how many workers at most may share the GPU, where memory allows.
        avoid: a spot whose GPUs (or CPU node) are not wanted.
        refused: nodes that are not wanted.
        near: nodes that have the model's files, which are taken where others are no better.
    """

    bytes: int
    most: int = 1
    avoid: Spot | None = None
    refused: Collection[str] = ()
    near: Collection[str] = ()


class Places:
    """The nodes, and who is where. CPU nodes count only while no node has ever had a GPU."""

    def __init__(self, nodes: Iterable[Node], *, workers: int | None) -> None:
        """Open the book; at most `workers` processes are in it at a time."""
        self.nodes: dict[str, Node] = {}
        self.spots: dict[int, Spot] = {}
        self.has_gpus = False
        self._most = workers
        self._kinds: list[Node] = []
        self._free: dict[str, list[int]] = {}
        self._count: dict[str, int] = {}
        for node in nodes:
            self.join(node)

    def join(self, node: Node) -> None:
        """A node is there; joining again as the same changes nothing."""
        if self.nodes.get(node.name) == node:
            return
        assert node.name not in self.nodes, f"another node {node.name!r} is there already"
        self.nodes[node.name] = node
        self.has_gpus = self.has_gpus or node.gpus > 0
        self._free[node.name] = [PARTS] * node.gpus
        self._count[node.name] = 0
        self._sort()

    def leave(self, name: str) -> list[int]:
        """A node is gone; returns who was on it."""
        self.nodes.pop(name, None)
        lost = [worker for worker, spot in self.spots.items() if spot.node == name]
        for worker in lost:
            del self.spots[worker]
        self._sort()
        return lost

    def take(self, worker: int, spot: Spot) -> None:
        """The worker is in the spot."""
        self.spots[worker] = spot
        self._count[spot.node] += 1
        for gpu in spot.gpus:
            self._free[spot.node][gpu] -= spot.parts
            assert self._free[spot.node][gpu] >= 0, f"too much on GPU {gpu} of {spot.node}"

    def grow(self, worker: int, bytes: int) -> None:
        """The worker was found to take so many bytes: keep others off what it has too little of."""
        spot = self.spots[worker]
        gpu_bytes = self.nodes[spot.node].gpu_bytes
        if len(spot.gpus) != 1 or not gpu_bytes:
            return
        (gpu,) = spot.gpus
        free = self._free[spot.node]
        parts = PARTS // sharing(bytes, gpu_bytes=gpu_bytes)
        more = max(0, min(parts - spot.parts, free[gpu]))
        free[gpu] -= more
        self.spots[worker] = spot._replace(parts=spot.parts + more)

    def release(self, worker: int) -> None:
        """The worker's spot is free."""
        spot = self.spots.pop(worker)
        self._count[spot.node] -= 1
        for gpu in spot.gpus:
            self._free[spot.node][gpu] += spot.parts

    def devices(self) -> int:
        """GPUs in all, or cores where no node has any: what work is divided by."""
        if self.has_gpus:
            return sum(node.gpus for node in self.nodes.values())
        return sum(_processes(node) for node in self.nodes.values())

    def gpus_of(self, bytes: int) -> int:
        """GPUs (or cores) that a worker of such a model keeps busy; 1 if it fits nowhere."""
        if not self.has_gpus:
            return 1
        return min(
            (s.gpus for node in self._kinds if (s := self._shape(node, Wish(bytes)))), default=1
        )

    def size(self, bytes: int, *, most: int = MOST_SHARING) -> tuple[int, int]:
        """What such a model needs: so many GPUs, or one that so many of them, `most`, can share."""
        shapes = [self._shape(node, Wish(bytes, most=most)) for node in self._kinds]
        return min(
            ((shape.gpus or 1, PARTS // (shape.parts or PARTS)) for shape in shapes if shape),
            default=(1, 1),
        )

    def fits(self, bytes: int) -> bool:
        """Whether some node could take such a model if it were empty."""
        return any(self._shape(node, Wish(bytes)) for node in self._kinds)

    def elsewhere(self, bytes: int, spot: Spot) -> bool:
        """Whether such a model could be on GPUs (or a CPU node) that the spot does not touch."""
        for node in self.nodes.values():
            shape = self._shape(node, Wish(bytes))
            taken = len(spot.gpus) if node.name == spot.node else 0
            same_cpu = node.name == spot.node and not spot.gpus
            if shape and not same_cpu and node.gpus - taken >= shape.gpus:
                return True
        return False

    def other_node(self, bytes: int, names: Collection[str]) -> bool:
        """Whether such a model fits a node besides these."""
        return any(
            self._shape(node, Wish(bytes)) for node in self.nodes.values() if node.name not in names
        )

    def usable(self, spot: Spot) -> int:
        """The memory a model may take on whole GPUs of the spot; 0 if unknown."""
        return int(len(spot.gpus) * self.nodes[spot.node].gpu_bytes * USABLE)

    @property
    def full(self) -> bool:
        """Whether nothing at all can be added without somebody leaving."""
        if self._most is not None and len(self.spots) >= self._most:
            return True
        if not self.has_gpus:
            return all(self._count[n.name] >= _processes(n) for n in self.nodes.values())
        return not any(
            parts >= PARTS // MOST_SHARING for n in self.nodes for parts in self._free[n]
        )

    def find(
        self, wish: Wish, *, evictable: Collection[int], held: Collection[tuple[str, int]] = ()
    ) -> Found | None:
        """The best spot: with nobody leaving, on the fullest GPU and node that have room.

        Args:
            wish: what is asked.
            evictable: who may have to leave, in the order in which they should.
            held: GPUs that are kept for another.
        """
        capped = self._most is not None and len(self.spots) >= self._most
        best: tuple[tuple[float, ...], Found] | None = None
        for order, node in enumerate(self.nodes.values()):
            shape = None if node.name in wish.refused else self._shape(node, wish)
            if shape is None:
                continue
            leaving = [worker for worker in evictable if self.spots[worker].node == node.name]
            found = self._on(node, shape, wish=wish, leaving=leaving, held=held)
            if found is None:
                continue
            if capped and not found.evicted:
                if not evictable:
                    continue
                found = found._replace(evicted=(next(iter(evictable)),))
            gpu, rest = self._tightness(found.spot)
            key = (len(found.evicted), gpu, node.name not in wish.near, rest, order)
            if best is None or key < best[0]:
                best = (key, found)
        return best[1] if best else None

    def _sort(self) -> None:
        """Keep one node of each kind: what holds for it holds for all of them."""
        self._kinds = list({(n.gpus, n.gpu_bytes): n for n in self.nodes.values()}.values())

    def _shape(self, node: Node, wish: Wish) -> "_Shape | None":
        """How a model lies on a node, None where it does not fit."""
        if not node.gpus:
            return None if self.has_gpus else _Shape(0, 0)
        count = gpus_for(wish.bytes, gpu_bytes=node.gpu_bytes)
        if count is None or count > node.gpus:
            return None
        if count > 1 or wish.most <= 1:
            return _Shape(count, PARTS)
        return _Shape(1, PARTS // min(wish.most, sharing(wish.bytes, gpu_bytes=node.gpu_bytes)))

    def _on(
        self,
        node: Node,
        shape: "_Shape",
        *,
        wish: Wish,
        leaving: list[int],
        held: Collection[tuple[str, int]],
    ) -> Found | None:
        """The best spot on one node."""
        crowded = self._count[node.name] >= _processes(node)
        if crowded and not leaving:
            return None
        avoid = wish.avoid if wish.avoid and wish.avoid.node == node.name else None
        if not shape.gpus:
            if avoid:
                return None
            return Found(Spot(node.name, (), 0), (leaving[0],) if crowded else ())
        free = self._free[node.name]
        room = list(free)
        for worker in leaving:
            for gpu in self.spots[worker].gpus:
                room[gpu] += self.spots[worker].parts
        fit = [
            gpu
            for gpu in range(node.gpus)
            if room[gpu] >= shape.parts
            and not (avoid and gpu in avoid.gpus)
            and (node.name, gpu) not in held
        ]
        if len(fit) < shape.gpus:
            return None
        fit.sort(key=lambda gpu: (free[gpu] < shape.parts, free[gpu], gpu))
        spot = Spot(node.name, tuple(sorted(fit[: shape.gpus])), shape.parts)
        evicted = self._evicted(spot, leaving)
        if crowded and not evicted:
            evicted = (leaving[0],)
        return Found(spot, evicted)

    def _evicted(self, spot: Spot, leaving: list[int]) -> tuple[int, ...]:
        """Who has to leave for the spot, no more than needed."""
        free = {gpu: self._free[spot.node][gpu] for gpu in spot.gpus}
        evicted = []
        for worker in leaving:
            theirs = self.spots[worker]
            if any(free.get(gpu, spot.parts) < spot.parts for gpu in theirs.gpus):
                evicted.append(worker)
                for gpu in theirs.gpus:
                    free[gpu] = free.get(gpu, 0) + theirs.parts
        return tuple(evicted)

    def _tightness(self, spot: Spot) -> tuple[float, float]:
        """How much room would be left on the GPUs and on the node: least is best, as in a suitcase.

        Among CPU nodes the emptiest is best.
        """
        if not spot.gpus:
            return (self._count[spot.node] / _processes(self.nodes[spot.node]), 0)
        free = self._free[spot.node]
        return (max(0, max(free[gpu] for gpu in spot.gpus)), sum(part == PARTS for part in free))


class _Shape(NamedTuple):
    """How many GPUs, and how much of each."""

    gpus: int
    parts: int


def gpus_for(bytes: int, *, gpu_bytes: int) -> int | None:
    """How many whole GPUs hold so many bytes: the fewest of 1, 2, 4, 8; None if none do.

    GPUs of unknown memory (0) are taken to hold any model.
    """
    if not gpu_bytes:
        return 1
    return next((count for count in GPU_COUNTS if bytes <= count * gpu_bytes * USABLE), None)


def sharing(bytes: int, *, gpu_bytes: int) -> int:
    """How many workers that need so many bytes each should share one GPU at most."""
    most = MOST_SHARING if bytes <= gpu_bytes * SMALL else 2
    return max(1, min(most, int(gpu_bytes * USABLE) // max(1, bytes)))


def _processes(node: Node) -> int:
    """How many workers a node runs at most: one per core, and one for each GPU at any rate."""
    return max(1, node.cpus, node.gpus)

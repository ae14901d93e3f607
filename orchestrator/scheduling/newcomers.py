"""The models that no worker has held yet, longest first, among those that need as much of a GPU.

Nothing is known of them but what was stated, so their order never changes, and a study of a
thousand checkpoints costs no more to look through than one of ten.
"""

import heapq
from collections.abc import Collection, Iterator

from orchestrator.scheduling.backlog import Queue
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.placement import Places, most_sharing

Size = tuple[int, int]


class Newcomers:
    """Queues by size: GPUs that their model is spread over, or how many of it fit one."""

    def __init__(self, places: Places, *, cost: Cost) -> None:
        """There are none yet."""
        self._places, self._cost = places, cost
        self._sizes: dict[Queue, Size] = {}
        self._heaps: dict[Size, list[tuple[float, int, Queue]]] = {}
        self._weights: dict[Queue, float] = {}
        self.weight = 0.0

    def __contains__(self, queue: Queue) -> bool:
        """Whether it is one of them."""
        return queue in self._sizes

    def add(self, queue: Queue) -> None:
        """A model's first unit may run."""
        bytes = self._cost.bytes(queue.model)
        size = self._places.size(bytes, most=most_sharing(queue.model))
        weight = sum(queue.left_weight.values())
        self._sizes[queue] = size
        self._weights[queue] = weight * size[0]
        self.weight += weight * size[0]
        heapq.heappush(self._heaps.setdefault(size, []), (-weight, queue.order, queue))

    def remove(self, queue: Queue) -> None:
        """The model has met a worker, or is given up."""
        if self._sizes.pop(queue, None):
            self.weight -= self._weights.pop(queue)

    def first(self, count: int, *, without: Collection[Queue]) -> Iterator[Queue]:
        """The first few of every size."""
        for size, heap in self._heaps.items():
            kept, left = [], count
            while heap and left:
                entry = heapq.heappop(heap)
                queue = entry[-1]
                if self._sizes.get(queue) != size:
                    continue
                kept.append(entry)
                if queue not in without and queue.waiting:
                    left -= 1
                    yield queue
            for entry in kept:
                heapq.heappush(heap, entry)

    def sort_again(self) -> None:
        """Machines have come or gone: sizes may be others."""
        queues = list(self._sizes)
        self._sizes.clear()
        self._weights.clear()
        self._heaps.clear()
        self.weight = 0.0
        for queue in queues:
            self.add(queue)

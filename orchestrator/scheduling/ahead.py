"""Decide where a model that has to wait for a spot will find one, and have its files fetched there.

The rule: a worker is near its end when what waits for its model takes each of the model's workers
no longer than fetching the files of the model that comes next. The unit it is at is not counted:
files that come a little early do no harm. Nothing is promised: what is opened is decided anew
when a spot is free.
"""

from collections.abc import Collection

from orchestrator.scheduling.backlog import Backlog, Queue
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.fleet import Fleet
from orchestrator.scheduling.placement import Wish
from studies.spec import ModelFacts

# A fetch that takes less than so many seconds is not worth a message.
WORTH_SECONDS = 5.0


class Ahead:
    """Which workers near their end, and which model comes next where they are."""

    def __init__(self, backlog: Backlog, fleet: Fleet, *, cost: Cost) -> None:
        """Look at what waits, who is there, and what things cost."""
        self._backlog, self._fleet, self._cost = backlog, fleet, cost
        self._largest = max(backlog.by_model, key=lambda model: model.bytes, default=None)
        self._longest = self._longest_fetch()
        self._near_end: set[Queue] = set()

    def nears_end(self, queue: Queue) -> bool:
        """Whether the model's workers have just come near their end, or nothing waits any more:
        when to look what comes next.
        """
        if queue.later or self._each(queue) > self._longest:
            self._near_end.discard(queue)
            return False
        new = queue not in self._near_end
        self._near_end.add(queue)
        return new or not queue.waiting

    def ending(self) -> dict[int, float]:
        """Busy workers that may be near their end, and the seconds that wait for each, least first:
        near enough for the model that takes longest to fetch.
        """
        longest = self._longest = self._longest_fetch()
        if longest < 0:
            return {}
        found: dict[int, float] = {}
        workers = self._fleet.workers.values()
        for queue in dict.fromkeys(worker.queue for worker in workers if worker.job):
            seconds = self._each(queue)
            if seconds <= longest and not queue.later:
                busy = (n for n in self._fleet.holders[queue] if self._fleet.workers[n].job)
                found.update(dict.fromkeys(sorted(busy), seconds))
        return dict(sorted(found.items(), key=lambda entry: entry[1]))

    def node(
        self,
        queue: Queue,
        wish: Wish,
        *,
        ending: dict[int, float],
        held: Collection[tuple[str, int]],
    ) -> str | None:
        """Where the model should find its spot; the workers that have to leave it are taken out of
        `ending`, so that each is followed by one model.
        """
        fetch = self._cost.fetch_seconds(queue.model)
        workers = self._fleet.workers
        soon = [
            number
            for number, seconds in ending.items()
            if seconds <= fetch and workers[number].queue is not queue
        ]
        found = self._fleet.places.find(wish, evictable=soon, held=held) if soon else None
        if found is None:
            return None
        for number in found.evicted:
            del ending[number]
        return found.spot.node

    def begin(self, model: ModelFacts, node: str, *, now: float) -> bool:
        """Whether the model's files are to be fetched to the node, which is then taken as begun:
        where that takes long, and the node has never read them.
        """
        near = self._fleet.near
        if node in near.nodes(model) or self._cost.fetch_seconds(model) < WORTH_SECONDS:
            return False
        near.begin(model, node, now=now)
        return True

    def _longest_fetch(self) -> float:
        """Seconds that the files of the largest model take to fetch; -1 where that is no matter."""
        seconds = self._cost.fetch_seconds(self._largest) if self._largest else 0.0
        return seconds if seconds >= WORTH_SECONDS else -1.0

    def _each(self, queue: Queue) -> float:
        """Seconds of what waits for the model, for each of its workers."""
        return self._backlog.seconds(queue) / max(1, len(self._fleet.holders.get(queue, ())))

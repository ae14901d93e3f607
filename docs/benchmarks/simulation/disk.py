"""What a simulated node reads models from: reads that go on at the same time share its rate.

A read alone is as fast as where its files lie; all reads together are no faster than the node. A
model that was read once stays near, in the node's memory.
"""

from studies.spec import ModelFacts


class Disk:
    """The models that a node reads or has read."""

    def __init__(self, bytes_per_second: float) -> None:
        """Nothing is read yet."""
        self._most = bytes_per_second
        self._left: dict[ModelFacts, float] = {}
        self._rates: dict[ModelFacts, float] = {}
        self._there: set[ModelFacts] = set()
        self._now = 0.0

    def has(self, model: ModelFacts) -> bool:
        """Whether the model has been read."""
        return model in self._there

    def read(self, model: ModelFacts, seconds: float, *, now: float) -> None:
        """Begin to read the model, which takes so many seconds alone, unless that has begun."""
        self.advance(now=now)
        if model not in self._there and model not in self._left:
            self._left[model], self._rates[model] = seconds, model.bytes / seconds

    def advance(self, *, now: float) -> bool:
        """Let the time pass, no further than `next`; whether another model has been read by now."""
        passed = (now - self._now) / self._slower()
        self._now = now
        self._left = {model: left - passed for model, left in self._left.items()}
        read = [model for model, left in self._left.items() if left < 1e-6]
        for model in read:
            del self._left[model]
        self._there.update(read)
        return bool(read)

    def next(self) -> float | None:
        """When the next model will have been read, if no other begins before."""
        if not self._left:
            return None
        return self._now + min(self._left.values()) * self._slower()

    def _slower(self) -> float:
        """By how much each read is slower than alone."""
        return max(1.0, sum(self._rates[model] for model in self._left) / self._most)

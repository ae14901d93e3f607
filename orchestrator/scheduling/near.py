"""Which model's files are near which node: loaded there once, or being fetched for what comes next.

A system keeps in memory what it has read while there is room, so a model that is loaded a second
time on a node is not read again. Nothing is decided here.
"""

from collections.abc import Collection

from studies.spec import ModelFacts


class Near:
    """Since when each model's files are near a node, or on their way there."""

    def __init__(self) -> None:
        """Everything is far away."""
        self._since: dict[ModelFacts, dict[str, float]] = {}

    def begin(self, model: ModelFacts, node: str, *, now: float) -> float:
        """The node reads the files unless it has begun before; returns how many seconds ago."""
        return now - self._since.setdefault(model, {}).setdefault(node, now)

    def nodes(self, model: ModelFacts) -> Collection[str]:
        """The nodes that have the files, or soon will."""
        return self._since.get(model, {}).keys()

    def leave(self, node: str) -> None:
        """The node is gone, and what it had with it."""
        for nodes in self._since.values():
            nodes.pop(node, None)

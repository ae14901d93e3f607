"""A model that a person holds on a cluster: its methods are called here and run there.

The methods are those of `ModelActor` (actors/model_actor.py); arguments and results are sent.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from orchestrator.scheduling.actions import Node
from orchestrator.workers.events import Cluster
from orchestrator.workers.worker import METHODS
from studies.models.facts import facts
from studies.spec import Model
from studies.values import at_revision

# Weights take this much more on a GPU while they work.
HEADROOM = 1.3


class AnsweringCluster(Cluster, Protocol):
    """A cluster whose workers answer a person too."""

    def ask(self, worker: int, method: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What a method of the worker's model returns."""


class Pinned:
    """A loaded model somewhere on a cluster; `with` or `close` ends it and frees its memory."""

    def __init__(self, model: str | Model, *, connect: Callable[[], AnsweringCluster]) -> None:
        """Read the model's facts, reach the cluster, wait until the model is loaded."""
        if isinstance(model, str):
            identifier, revision = at_revision(model)
            model = Model(id=identifier, revision=revision)
        found = facts(model)
        self._cluster = connect()
        try:
            gpus = _gpus(self._cluster.nodes(), weights=found.bytes)
            self._cluster.need([gpus])
            while not self._cluster.nodes():
                self._cluster.wait(seconds=1)
            self._cluster.open(0, found, node="", gpus=gpus)
            self.about = self._opened()
        except BaseException:
            self._cluster.close()
            raise

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the model there."""
        if name not in METHODS:
            raise AttributeError(f"a pinned model has no {name!r}: it has {', '.join(METHODS)}")
        return lambda *given, **named: self._cluster.ask(0, name, given, named)

    def __dir__(self) -> list[str]:
        """What a notebook completes."""
        return [*super().__dir__(), *METHODS]

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the model."""
        self.close()

    def close(self) -> None:
        """End the model's process and let go of the cluster."""
        self._cluster.close()

    def _opened(self) -> Mapping[str, object]:
        """How the model runs, once it is loaded."""
        while True:
            event = self._cluster.wait(seconds=1)
            if event is not None and event.kind == "open":
                return event.about
            if event is not None and event.kind == "open_failed":
                raise ValueError(event.error)


def _gpus(nodes: Sequence[Node], *, weights: int) -> float:
    """As many GPUs as the weights need: none where there are none, one where sizes are unknown."""
    sizes = [node.gpu_bytes for node in nodes if node.gpus]
    if not sizes:
        return 0
    return max(1, math.ceil(HEADROOM * weights / max(sizes))) if max(sizes) else 1

"""What a cluster is to the run's loop: its verbs, and what happens on it.

This is all that the loop and the clusters share.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from actors.answer import Answer
from orchestrator.scheduling.actions import Node
from orchestrator.workers.gpus import GpuUse
from studies.spec import ModelFacts, Row
from studies.unit import Unit

Kind = Literal["open", "done", "open_failed", "unit_failed", "joined", "left"]


class Event(NamedTuple):
    """What happened: a worker's model is `open`, its unit is `done`, or either failed; or a node
    joined or left.

    After `open_failed` the worker is no more; after `unit_failed` it still holds its model, unless
    it is `gone`: its process died, by itself or for want of memory. With a node that `left`, all
    its workers are gone without an event of their own. `about` describes an open model. Events of
    nodes have no worker (-1). `artifacts` are what the cells of a unit that is done have made for
    others, by their key; `refused` says why some of its cells have no rows.
    """

    worker: int
    kind: Kind
    rows: list[Row] = []  # noqa: RUF012  # never changed in place
    error: str = ""
    traceback: str = ""
    gone: bool = False
    about: Mapping[str, object] = {}
    node: Node | None = None
    artifacts: Mapping[str, bytes] = {}
    refused: Mapping[str, str] = {}


def done(worker: int, answer: Answer) -> Event:
    """A worker's unit is answered."""
    artifacts, refused = answer.artifacts, answer.refused
    return Event(worker, "done", answer.rows, artifacts=artifacts, refused=refused)


class Cluster(Protocol):
    """Workers that each hold at most one model and do one thing at a time."""

    def nodes(self) -> tuple[Node, ...]:
        """The machines on which workers may be opened now; later ones come as `joined`."""

    def need(self, gpus: Sequence[float]) -> None:
        """Say how many GPUs the workers to come will take, one number for each; a cluster that
        starts its machines on demand then starts them. Nothing where machines are fixed.
        """

    def growing(self) -> bool:
        """Whether machines that were asked for may still come: False where all are fixed, or where
        they have had time enough.
        """

    def open(self, worker: int, model: ModelFacts, *, node: str, gpus: float) -> None:
        """Begin to load a model in a new worker, which ends whatever went by its number."""

    def prefetch(self, model: ModelFacts, *, node: str) -> None:
        """Begin to bring a model's files to a node, in the background: nothing is answered,
        and what fails shows when the model is loaded.
        """

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
        """Begin a unit on a worker that holds the unit's model; `artifacts` are what the cells it
        needs have made, by their key.
        """

    def kill(self, worker: int) -> None:
        """End a worker, whatever it is at; no event tells of it."""

    def wait(self, *, seconds: float) -> Event | None:
        """The next event, or None after `seconds` without one.

        Raises:
            ValueError: the cluster itself is lost, or has had no machine to work on for long.
        """

    def usage(self) -> Mapping[str, tuple[GpuUse, ...]]:
        """How busy and full the GPUs of each node were when last seen; never waits."""

    def close(self) -> None:
        """End all workers and let go of the cluster."""


def summary(error: BaseException) -> str:
    """An exception as one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__

"""The machines of a cluster, and what is to be done on them.

A worker is a number that the schedule gives out: one process that holds one model on some of one
node's GPUs, or on a core where it takes none.
"""

from typing import NamedTuple

from studies.spec import ModelFacts
from studies.unit import Unit


class Node(NamedTuple):
    """A machine of the cluster. `gpu_bytes` is the memory of one of its GPUs, 0 if unknown."""

    name: str
    gpus: int
    cpus: int
    gpu_bytes: int = 0


class Open(NamedTuple):
    """Start a worker on a node and load a model there. `gpus` is 0 for a CPU worker, a fraction
    where models share a GPU, and a whole number where a model is spread over several."""

    worker: int
    model: ModelFacts
    node: str
    gpus: float


class Prefetch(NamedTuple):
    """Bring a model's files to a node, off the hub and into memory, before it is loaded there; one
    that fails is left for the load to meet."""

    node: str
    model: ModelFacts


class Submit(NamedTuple):
    """Send a unit to a worker that has loaded its model; hung if not done after `seconds`."""

    worker: int
    unit: Unit
    seconds: float


class Close(NamedTuple):
    """End a worker; its memory is free again once its process has ended."""

    worker: int


Action = Open | Prefetch | Submit | Close

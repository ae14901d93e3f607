"""The words between schedule, loop and cluster: machines, and what is to be done on them.

A worker is a number that the schedule gives out: one process that holds one model on some of one
node's GPUs, or on a core where it takes none. Nothing is decided or done here.
"""

from typing import NamedTuple

from studies.spec import ModelFacts, Unit


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


class Fetch(NamedTuple):
    """Bring a model's files near to a node, in the background: nothing is answered, and a fetch
    that fails shows when the model is loaded."""

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


Action = Open | Fetch | Submit | Close

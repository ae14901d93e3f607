"""Which machines a cluster has, as nodes with names of their own: who came, who went.

A pure record of what the cluster lists and what a look at each machine found.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.scheduling.actions import Node
from orchestrator.workers.gpus import GpuUse
from orchestrator.workers.worker import Look


class Listed(NamedTuple):
    """A machine as the cluster lists it, under an id that is never given twice."""

    id: str
    host: str
    gpus: int
    cpus: int


class Machines:
    """The nodes that may be worked on, by name.

    A machine counts once it has been looked at. Its name is its host's, with the beginning of its
    id where the host has more than one, or came back.
    """

    def __init__(self, *, device: str) -> None:
        """No machine yet; the device says which kind is wanted."""
        self._device = device
        self._gpus_only = device == "cuda"
        self._names: dict[str, str] = {}
        self._known: dict[str, Listed] = {}
        self._nodes: dict[str, Node] = {}
        self._uses: dict[str, tuple[GpuUse, ...]] = {}
        self.faults: dict[str, str] = {}

    def arrived(self, listing: Iterable[Listed]) -> list[Listed]:
        """Machines to look at: those not seen before that could do some work."""
        new = [there for there in listing if there.id not in self._known]
        self._known |= {there.id: there for there in new}
        return [there for there in new if there.gpus or there.cpus]

    def departed(self, listing: Iterable[Listed]) -> list[Node]:
        """Nodes that are no longer listed."""
        gone = self._known.keys() - {there.id for there in listing}
        for machine in gone:
            self.faults.pop(self.name(machine), None)
            del self._known[machine]
            self._uses.pop(machine, None)
        return [self._nodes.pop(machine) for machine in sorted(gone) if machine in self._nodes]

    def looked_at(self, machine: str, look: Look) -> Node | None:
        """Take note of a look; returns the node if by this it may be worked on."""
        listed = self._known.get(machine)
        if listed is None:
            return None
        self._uses[machine] = look.gpus
        if machine in self._nodes:
            return None
        name = self.name(machine)
        if look.lacks:
            self.fault(machine, f"lacks {', '.join(look.lacks)}: install babelscope there")
            return None
        gpus = 0 if self._device == "cpu" else listed.gpus
        size = min((gpu.bytes for gpu in look.gpus), default=0) if gpus else 0
        if gpus or (listed.cpus and not self._gpus_only):
            self._nodes[machine] = Node(name, gpus=gpus, cpus=listed.cpus, gpu_bytes=size)
        return self._nodes.get(machine)

    def settle(self) -> None:
        """All that are there at first are known: beside machines with a GPU, one without, such as
        the head, is not worked on from now on.
        """
        self._gpus_only = self._gpus_only or any(node.gpus for node in self._nodes.values())
        if self._gpus_only:
            self._nodes = {machine: node for machine, node in self._nodes.items() if node.gpus}

    def fault(self, machine: str, reason: str) -> None:
        """Take note of why a machine cannot be worked on."""
        self.faults[self.name(machine)] = reason

    def nodes(self) -> tuple[Node, ...]:
        """Where to work, by name."""
        return tuple(sorted(self._nodes.values(), key=lambda node: node.name))

    def id(self, name: str) -> str | None:
        """The id of a node that may be worked on."""
        return next((machine for machine, node in self._nodes.items() if node.name == name), None)

    def ids(self) -> tuple[str, ...]:
        """The ids of all nodes that may be worked on."""
        return tuple(self._nodes)

    def uses(self) -> Mapping[str, tuple[GpuUse, ...]]:
        """How busy the GPUs of each node were when last looked at."""
        return {
            node.name: self._uses[machine]
            for machine, node in self._nodes.items()
            if self._uses.get(machine)
        }

    def name(self, machine: str) -> str:
        """The name of a machine that is listed, the same from first to last."""
        if machine not in self._names:
            host = self._known[machine].host
            taken = host in self._names.values()
            self._names[machine] = f"{host}-{machine[:8]}" if taken else host
        return self._names[machine]

    def told(self) -> str:
        """What there is, for a sentence that says what is missing."""
        if not self._known:
            return "no machine"
        return "; ".join(
            f"{self.name(there.id)}: {there.gpus} GPUs, {there.cpus} CPUs"
            + (f", {reason}" if (reason := self.faults.get(self.name(there.id))) else "")
            for there in self._known.values()
        )


def listed(entry: Mapping[str, Any]) -> Listed:
    """A machine from Ray's own listing."""
    resources = entry["Resources"]
    return Listed(
        id=entry["NodeID"],
        host=entry["NodeManagerHostname"] or entry["NodeManagerAddress"],
        gpus=int(resources.get("GPU", 0)),
        cpus=int(resources.get("CPU", 0)),
    )

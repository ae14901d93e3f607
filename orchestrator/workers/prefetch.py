"""Bring a model's files to a machine before it is loaded there: off the hub, into memory.

A head start and nothing more: a load without it does the same by itself. So whatever fails here is
left for the load to meet, which says it in words and is counted.
"""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.workers.session import Session
from orchestrator.workers.worker import found_here, studies_folder
from studies.models import adapter
from studies.models.folder import fetched
from studies.models.weights import weight_files
from studies.spec import ModelFacts

BLOCK_BYTES = 16 << 20


class Prefetches:
    """What is being fetched where: one model at a time on each machine, in the order asked for."""

    def __init__(self, session: Session) -> None:
        """Nothing yet."""
        self._session = session
        self._running: dict[Any, str] = {}
        self._asked: dict[str, deque[ModelFacts]] = {}

    @property
    def calls(self) -> Iterable[Any]:
        """What is under way; `answered` is to hear of each that is."""
        return self._running

    def ask(self, model: ModelFacts, machine: str) -> None:
        """Fetch a model on a machine once those before it are there."""
        asked = self._asked.setdefault(machine, deque())
        if model not in asked:
            asked.append(model)
            if len(asked) == 1:
                self._begin(machine)

    def answered(self, call: Any) -> None:
        """A call has ended, well or not: the next begins. On a machine that is gone all end so."""
        machine = self._running.pop(call)
        self._asked[machine].popleft()
        if self._asked[machine]:
            self._begin(machine)

    def end(self) -> None:
        """Break off what is under way: a download goes on from there when it is next asked for."""
        for call in self._running:
            self._session.cancel(call)
        self._running.clear()
        self._asked.clear()

    def _begin(self, machine: str) -> None:
        model = self._asked[machine][0]
        call = self._session.task(prefetch, machine, model, studies_folder())
        self._running[call] = machine


def prefetch(model: ModelFacts, origin: str) -> int:
    """Have a model's files on this machine and, where there is room, its weights in memory.

    Returns:
        The bytes that were read: 0 where they are more than half of the memory available.
    """
    model = found_here(model, origin=origin, node="")
    weights = weight_files(fetched(model))
    if model.adapter:
        folder = adapter.opened(model.adapter, model.adapter_commit)
        weights.append(folder / adapter.WEIGHTS)
    total = sum(file.stat().st_size for file in weights)
    return sum(map(_read, weights)) if total <= _available() / 2 else 0


def _read(file: Path) -> int:
    """Read a file to its end, so that the system holds it in memory; returns its bytes."""
    block = bytearray(BLOCK_BYTES)
    read = 0
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            read += count
    return read


def _available() -> int:
    """Memory that programs may still take, in bytes; 0 where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    sizes = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((int(kibibytes) * 1024 for _, kibibytes, _ in sizes), 0)

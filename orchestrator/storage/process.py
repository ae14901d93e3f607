"""Which process is this, and does another still run: as far as one machine can tell.

A process number alone says nothing, since numbers are used again and every container counts its
own; with the machine's boot, the container and the start time it names one process.
"""

import getpass
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
# The parts of /proc/N/stat after the name in brackets: the state comes first, the start time (in
# ticks since boot) twentieth (proc(5)).
STATE, BORN = 0, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process: who started it and where, for people; the rest tells it from every other.

    `machine` is empty and `born` 0 where the system does not say.
    """

    user: str
    host: str
    number: int
    machine: str
    born: int


@cache
def _machine() -> str:
    """The boot of this machine and the container in it, empty where the system does not say."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def here() -> Process:
    """This process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"user {os.getuid()}"
    state = _state(os.getpid())
    return Process(
        user=user,
        host=socket.gethostname(),
        number=os.getpid(),
        machine=_machine(),
        born=int(state[BORN]) if state else 0,
    )


def running(process: Process) -> bool | None:
    """Whether a process runs; None for one of another machine or container."""
    if not process.machine or process.machine != _machine():
        return None
    state = _state(process.number)
    return bool(state) and int(state[BORN]) == process.born and state[STATE] not in ("Z", "X")


def _state(number: int) -> list[str]:
    """What the system says of a process, nothing where there is none."""
    try:
        text = (PROC / str(number) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()

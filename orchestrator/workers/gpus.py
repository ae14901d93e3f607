"""How many GPUs a machine has, how large and how busy they are, as its driver tells.

Read without torch and without taking memory of a GPU; a machine that does not tell has none.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 1024 * 1024
QUERY = "utilization.gpu,memory.used,memory.total"


class GpuUse(NamedTuple):
    """One GPU: the share of time it was `busy`, and its memory."""

    busy: float
    used_bytes: int
    bytes: int


def read_gpus() -> tuple[GpuUse, ...]:
    """The GPUs of this machine as `nvidia-smi` sees them; none where there is no such program."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(answer.stdout)


def parse(text: str) -> tuple[GpuUse, ...]:
    """GPUs from the lines of `nvidia-smi`; what a GPU does not tell counts as 0."""
    found = []
    for line in text.splitlines():
        busy, used, total = (_number(part) for part in line.split(","))
        found.append(GpuUse(busy / 100, int(used * MEBIBYTE), int(total * MEBIBYTE)))
    return tuple(found)


def visible_gpus() -> int:
    """GPUs this process may use, as the driver's files and CUDA_VISIBLE_DEVICES tell."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _number(text: str) -> float:
    """A number of `nvidia-smi`, which writes [N/A] for what it cannot say."""
    try:
        return float(text)
    except ValueError:
        return 0.0

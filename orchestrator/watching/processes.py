"""Run a command beside the watch, show what it says, and end it with the watch (guard.py)."""

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from analysis.storage.redact import redact
from orchestrator.signals import GRACE_SECONDS, Wish
from orchestrator.watching import guard

POLL_SECONDS = 0.1
# Longer than a run takes to end by itself when it is told to.
LATE_SECONDS = GRACE_SECONDS + 10.0
LINES = 50
ROOT = Path(__file__).parents[2]
# The command line of this very code, whatever is installed or lies in the working directory.
BABELSCOPE = (
    *(sys.executable, "-P", "-c"),
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    "from orchestrator.__main__ import main; main()",
)  # fmt: skip


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        status: its exit status; 128 and the signal where one ended it.
        lines: the last lines it wrote to its standard error.
        output: what it wrote to its standard output, where that was asked for.
        interrupted: it was ended because the watch is to end.
        late: it was ended because its time was over.
    """

    status: int
    lines: tuple[str, ...]
    output: str = ""
    interrupted: bool = False
    late: bool = False

    @property
    def sentence(self) -> str:
        """Why it failed, in its own last words."""
        said = [line for line in self.lines if line.strip()]
        errors = [line for line in said if line.startswith("error: ")]
        if errors:
            return errors[-1].removeprefix("error: ")
        if self.status > guard.BY_SIGNAL:
            number = self.status - guard.BY_SIGNAL
            memory = ", as happens when memory runs out" if number == signal.SIGKILL else ""
            return f"its process was ended by signal {number}{memory}"
        last = redact(said[-1].strip()) if said else "it said nothing"
        return f"it ended with status {self.status}: {last}"


def run(
    command: Sequence[str],
    *,
    wish: Wish | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = float("inf"),
    keep_output: bool = False,
) -> Ended:
    """Run a command until it ends; one that somebody wants ended is told so, and later killed.

    Args:
        command: its words.
        wish: says when the watch is to end.
        environment: all its variables, None for those of this process.
        seconds: the time it has.
        keep_output: hand back its standard output; else it is shown.
    """
    started = subprocess.Popen(
        [sys.executable, "-P", "-S", "-E", guard.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if keep_output else None,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        start_new_session=True,  # a Ctrl-C is this process's to hand on
        text=True,
        errors="replace",
    )
    lines: deque[str] = deque(maxlen=LINES)
    output: list[str] = []
    readers = [threading.Thread(target=_show, args=(started.stderr, lines), daemon=True)]
    if keep_output:
        assert started.stdout is not None
        reading = started.stdout
        readers.append(threading.Thread(target=lambda: output.append(reading.read()), daemon=True))
    for reader in readers:
        reader.start()
    told = late = False
    left, end = seconds, float("inf")
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                started.wait(POLL_SECONDS)
                break
            left, end = left - POLL_SECONDS, end - POLL_SECONDS
            if wish is not None and wish.asked and not told:
                told, end = True, LATE_SECONDS
                started.terminate()
            if left <= 0 or end <= 0:
                late = late or left <= 0
                _close(started)
    finally:
        _close(started)
    for reader in readers:
        reader.join(POLL_SECONDS if late else 5.0)
    return Ended(started.wait(), tuple(lines), "".join(output), told, late)


def _close(started: "subprocess.Popen[str]") -> None:
    """Let go of the other end, upon which a command that still runs is killed."""
    if started.stdin is not None:
        with suppress(OSError):
            started.stdin.close()


def _show(stream: IO[str] | None, kept: "deque[str]") -> None:
    """Hand on what is written, line by line."""
    assert stream is not None
    for line in stream:
        kept.append(line.rstrip("\n"))
        sys.stderr.write(line)
        sys.stderr.flush()

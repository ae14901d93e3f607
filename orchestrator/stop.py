"""Turn Ctrl-C and SIGTERM into a wish to stop: running units may finish, unless asked twice.

Outside the main thread, and where a signal is ignored on purpose, nothing is changed.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A machine that is taken away says so by SIGTERM and is gone some 30 seconds later.
GRACE_SECONDS = 20.0


class Wish:
    """Whether somebody wants the run to end, and until when running units may go on."""

    def __init__(self) -> None:
        """Nobody wants anything yet."""
        self.asked = False
        self._until = float("inf")

    @property
    def overdue(self) -> bool:
        """Whether running units have had their time."""
        return time.monotonic() > self._until

    def ask(self, *, seconds: float = float("inf")) -> None:
        """Ask for the end; running units have so many seconds."""
        self.asked = True
        self._until = min(self._until, time.monotonic() + seconds)


@contextmanager
def listening() -> Iterator[Wish]:
    """A wish that the signals of this process fill in while the context is open.

    Raises:
        KeyboardInterrupt: a signal came when one had come before.
    """
    wish = Wish()

    def heard(number: int, _frame: FrameType | None) -> None:
        if wish.asked:
            raise KeyboardInterrupt
        wish.ask(seconds=GRACE_SECONDS if number == signal.SIGTERM else float("inf"))

    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, heard)
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Turn Ctrl-C, SIGTERM and SIGHUP into a wish to stop: running units may finish, if asked once.

Where no units run, a signal ends the command at once. Outside the main thread, and where a signal
is ignored on purpose, nothing is changed.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

# A machine that is taken away says so by SIGTERM and is gone some 30 seconds later.
GRACE_SECONDS = 20.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):  # no error, and no KeyboardInterrupt, which typer takes
    """Somebody wants the command to end now."""


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

    Who ends a whole job (SLURM, `ray job stop`) sends each process a SIGTERM, and a parent may hand
    on its own, so a second one is the same wish, until its time is over.

    Raises:
        Interrupted: a Ctrl-C came when a signal had come before, or any when their time was over.
    """
    wish = Wish()

    def heard(number: int, _frame: FrameType | None) -> None:
        if wish.asked and (number == signal.SIGINT or wish.overdue):
            raise Interrupted
        wish.ask(seconds=float("inf") if number == signal.SIGINT else GRACE_SECONDS)

    with _handled(heard):
        yield wish


@contextmanager
def at_once() -> Iterator[None]:
    """Whatever is being done, a signal ends it.

    Raises:
        Interrupted: one came.
    """

    def heard(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    with _handled(heard):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """No SIGTERM now: it waits for the end of the context, and for the handlers of its beginning,
    whatever was done to them meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        _set(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _handled(heard: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have the signals heard, where this thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        _set({n: heard for n, handler in before.items() if handler is not signal.SIG_IGN})
        yield
    finally:
        _set(before)


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:  # None: not set by Python
            signal.signal(number, handler)

"""When to look: an interval, a line of cron, or once; and a clock that may be put back.

Waiting is measured by a clock that only grows, also while the machine sleeps. The wall clock says
where the next time of a cron line lies, and what people read: put forward it makes a look come at
once, put back it changes no wait that has begun.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cronsim import CronSim, CronSimError

from studies.values import quoted

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhd])+")
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
LEAST_SECONDS = 1.0
MOST_SECONDS = 366 * UNITS["d"]
# A wall clock that is put back by no more than this meets the same minute of cron again.
SAME_SECONDS = 3600.0
# This clock runs on while the machine sleeps, where the system has one that does.
GROWING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The time, as told by two clocks."""

    def now(self) -> float:
        """Seconds since 1970 by the wall clock, which may be put forward or back."""

    def elapsed(self) -> float:
        """Seconds that only grow."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def elapsed(self) -> float:
        """Seconds that only grow."""
        return time.clock_gettime(GROWING)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When to look: exactly one of the two, or neither for once.

    Attributes:
        every: seconds from the beginning of one look to that of the next.
        cron: five fields: minute, hour, day of the month, month, day of the week, in local time.
    """

    every: float | None = None
    cron: str | None = None

    @property
    def once(self) -> bool:
        """Whether there is no next look."""
        return self.every is None and self.cron is None


class Schedule:
    """When the next look is due."""

    def __init__(self, when: When, *, clock: Clock) -> None:
        """The first look is due at once."""
        self._when, self._clock = when, clock
        self._deadline = clock.elapsed()
        self._target = clock.now()

    def began(self) -> None:
        """A look begins now, so the next is planned."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        if self._when.once:
            self._deadline = self._target = float("inf")
            return
        if self._when.every is not None:
            self._deadline, self._target = elapsed + self._when.every, now + self._when.every
            return
        assert self._when.cron is not None
        # One slot is met once, even where a clock was put back a little between the two.
        after = self._target if 0 <= self._target - now <= SAME_SECONDS else now
        self._target = following(self._when.cron, after=after)
        self._deadline = elapsed + self._target - now

    @property
    def due(self) -> bool:
        """Whether it is time, by either clock."""
        by_wall = self._when.cron is not None and self._clock.now() >= self._target
        return by_wall or self._clock.elapsed() >= self._deadline

    @property
    def seconds_left(self) -> float:
        """How long until the next look; infinite where there is none."""
        return max(0.0, self._deadline - self._clock.elapsed())


def following(line: str, *, after: float) -> float:
    """The next time that a line of cron names behind a moment, both in seconds since 1970.

    Raises:
        ValueError: it names none in the next 50 years.
    """
    try:
        return next(CronSim(line, datetime.fromtimestamp(after))).timestamp()
    except StopIteration:
        raise ValueError(
            f"--cron {quoted(line)} names no moment in the next 50 years: expected one that comes, "
            "such as '0 */6 * * *'"
        ) from None


def seconds_read(texts: Sequence[str], flag: str) -> str:
    """An interval as typed, such as 6h, 90s or 1h30m, once it can be read."""
    span(texts[-1], flag)
    return texts[-1]


def span(text: str, flag: str) -> float:
    """An interval in seconds.

    Raises:
        ValueError: it is none, has no unit, or is shorter than a second or longer than a year.
    """
    expected = "expected a number with its unit, such as 90s, 30m, 6h, 1h30m or 1d"
    if not SPAN.fullmatch(text):
        raise ValueError(f"{flag} {quoted(text)}: {expected}")
    found = sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
    if not LEAST_SECONDS <= found <= MOST_SECONDS:
        raise ValueError(f"{flag} {quoted(text)}: {expected}, from 1s to 366d")
    return found


def cron_read(texts: Sequence[str], flag: str) -> str:
    """A line of cron as typed, once it can be read.

    Raises:
        ValueError: it has not five fields, or one of them names nothing.
    """
    line = " ".join(texts[-1].split())
    fields = len(line.split(" "))
    try:
        if fields != 5:
            raise CronSimError(f"it has {fields} field{'s' if fields > 1 else ''}")
        CronSim(line, datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValueError(
            f"{flag} {quoted(texts[-1])} cannot be read ({str(error)[:1].lower()}"
            f"{str(error)[1:]}): expected five fields (minute, hour, day, month, day of the week), "
            "such as '0 */6 * * *'"
        ) from error
    following(line, after=time.time())
    return line


def iso(seconds: float) -> str:
    """A moment in UTC as ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def moment(text: str) -> float:
    """Seconds since 1970 of such a text.

    Raises:
        ValueError: it is none.
    """
    return datetime.fromisoformat(text).timestamp()


def local(seconds: float) -> str:
    """A moment by this machine's clock, for people."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")

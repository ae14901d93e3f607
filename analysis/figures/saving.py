"""The figures of a page as files: many of them in several processes, few in this one."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from loky import cpu_count, get_reusable_executor
from loky.process_executor import BrokenProcessPool
from matplotlib.figure import Figure

from analysis.figures import drawing

# Below so many, a process that has to start first does not make up for its start.
WORTH_PROCESSES = 24
# A process has its own copy of all libraries in memory, and a page has other work as well.
MOST_PROCESSES = 8
# Figures wait for a process, each with everything that it draws.
WAITING = 2
WATCH_SECONDS = 0.5


class Saved(NamedTuple):
    """A drawing as SVG with its letters as text, and the letters that no installed font has."""

    svg: str
    lacking: frozenset[str]


def save_all(figures: Iterable[tuple[Figure, Path]], *, count: int) -> Iterator[Saved]:
    """Save `count` figures, each under its stem; what `drawing.save` makes of each, in order.

    Figures are made here, one by one, and drawn by as many processes as there are cores.
    """
    processes = min(MOST_PROCESSES, cpu_count())
    if count < WORTH_PROCESSES or processes < 2:
        yield from (_saved(figure, stem) for figure, stem in figures)
        return
    waiting: deque[tuple[Figure, Path, Future[Saved] | None]] = deque()
    for figure, stem in figures:
        waiting.append((figure, stem, _begun(figure, stem, processes=processes)))
        if len(waiting) > WAITING * processes:
            yield _ended(*waiting.popleft())
    while waiting:
        yield _ended(*waiting.popleft())


def _pool(processes: int) -> Any:
    """The processes that draw, always asked for alike: loky ends those that were asked for
    otherwise, and waits for them."""
    return get_reusable_executor(
        max_workers=processes, initializer=_end_with, initargs=(os.getpid(),)
    )


def _begun(figure: Figure, stem: Path, *, processes: int) -> "Future[Saved] | None":
    """A figure on its way to a process; None where no process takes any."""
    try:
        return _pool(processes).submit(_saved, figure, stem)  # type: ignore[no-any-return]
    except (BrokenProcessPool, OSError):
        return None


def _ended(figure: Figure, stem: Path, drawing_of: "Future[Saved] | None") -> Saved:
    """What came of it; what a process that was killed leaves is drawn here."""
    try:
        if drawing_of is not None:
            return drawing_of.result()
    except BrokenProcessPool:
        pass
    return _saved(figure, stem)


def _end_with(parent: int) -> None:
    """Let this process end soon after the one that started it, which may be killed at any moment:
    it would wait for the rest of a figure for ever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _saved(figure: Figure, stem: Path) -> Saved:
    """One figure saved, in whatever process."""
    lacking: set[str] = set()
    return Saved(drawing.save(figure, stem=stem, lacking=lacking), frozenset(lacking))

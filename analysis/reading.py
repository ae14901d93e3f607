"""Which tables of rows a computation reads, found out while it runs.

What a page shows leads to its rows by this: whoever reads rows notes their table here, and a frame
that was computed before notes again what it was computed from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The table `items` without the answers under an intervention.
PLAIN_ITEMS = "items of the plain model"
# What the frames of `read.Rows` are read from.
FRAMES = {
    "alignment": ("alignment",),
    "items": (PLAIN_ITEMS,),
    "generations": ("generations",),
    "points": ("points",),
    "robustness": ("robustness",),
    "vectors": ("vectors",),
}
_OPEN: ContextVar[tuple[set[str], ...]] = ContextVar("_OPEN", default=())


@contextmanager
def watched() -> Iterator[set[str]]:
    """A set that fills with the names of the tables that are read inside the block."""
    found: set[str] = set()
    before = _OPEN.set((*_OPEN.get(), found))
    try:
        yield found
    finally:
        _OPEN.reset(before)


def note(*tables: str) -> None:
    """Tell every open block that these tables are read."""
    for found in _OPEN.get():
        found.update(tables)

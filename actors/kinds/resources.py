"""What a unit finds beside its model: artifacts of other cells, and the pivots' vectors."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from actors.extraction.capture import Reading, Vectors


class LanguageVectors(NamedTuple):
    """The vectors of one language's texts, their tokens, and how many texts were cut."""

    vectors: Vectors
    tokens: int
    truncated: int


class PivotCache:
    """The pivot's vectors, kept from one unit to the next; the least recently used goes first.

    They are what every language is compared with, and the largest thing an actor holds.
    """

    def __init__(self, *, size: int = 1) -> None:
        """Keep the vectors of `size` pivot texts."""
        self._size = size
        self._held: OrderedDict[str, LanguageVectors] = OrderedDict()

    def get(
        self, key: str, readings: set[Reading], compute: Callable[[], LanguageVectors]
    ) -> LanguageVectors:
        """The vectors held under `key` if they have all `readings`, else those of `compute`."""
        held = self._held.pop(key, None)
        if held is None or not readings <= held.vectors.readings.keys():
            while len(self._held) >= self._size:
                self._held.popitem(last=False)
            held = compute()
        self._held[key] = held
        return held


class Resources(NamedTuple):
    """What the cells that a unit needs have made, by their key, and vectors of units before it."""

    artifacts: Mapping[str, bytes]
    pivots: PivotCache

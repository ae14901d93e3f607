"""What a unit finds beside its model: artifacts of other cells, and the pivots' vectors."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from actors.extraction.capture import Reading, Vectors


class LanguageVectors(NamedTuple):
    """The vectors of one language's texts, their tokens, and how many texts were cut."""

    vectors: Vectors
    tokens: int
    truncated: int


class PivotCache:
    """One pivot's vectors, kept from one unit to the next.

    They are what every language is compared with, and the largest thing an actor holds.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._key = ""
        self._held: LanguageVectors | None = None

    def get(
        self, key: str, readings: set[Reading], compute: Callable[[], LanguageVectors]
    ) -> LanguageVectors:
        """The vectors held under `key` if they have all `readings`, else those of `compute`."""
        held = self._held if key == self._key else None
        if held is None or not readings <= held.vectors.readings.keys():
            self._held = None  # there is no room for two
            held = compute()
        self._key, self._held = key, held
        return held


class Resources(NamedTuple):
    """What the cells that a unit needs have made, by their key, and vectors of units before it."""

    artifacts: Mapping[str, bytes]
    pivots: PivotCache

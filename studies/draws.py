"""Draws: which items of a benchmark a seed takes, in every language the same.

An item's place in a draw follows from its own id and the seed alone, so that another language, or
an item elsewhere, changes nothing for it. Drawn are items of the pivot; a language has those of
them that it holds too.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from studies import benchmarks, harness
from studies.prompt_options import Asking
from studies.rows import Source
from studies.spec import digest
from studies.texts import ChoiceItem, ChoiceSet

SMALLEST = 2  # one pair has no mean to speak of

Files = tuple[tuple[str, int, int], ...]

# Languages kept after they were read: every seed asks for each again, and their sets share items.
KEPT = 128


class Pair(NamedTuple):
    """A question in the pivot and in another language."""

    pivot: ChoiceItem
    own: ChoiceItem


class Draw(NamedTuple):
    """All items of a language and of its pivot, and the ids that a seed drew."""

    own: ChoiceSet
    pivot: ChoiceSet
    ids: frozenset[str]
    seed: int

    def pairs(self) -> tuple[Pair, ...]:
        """The drawn questions that the language has too, in the pivot's order.

        One with other options or another right answer there is not the same question.

        Raises:
            ValueError: there are fewer than 2.
        """
        table = {item.id: item for item in self.own.items}
        found = tuple(
            Pair(item, table[item.id])
            for item in self.pivot.items
            if item.id in self.ids and item.id in table and _same(item, table[item.id])
        )
        if len(found) < SMALLEST:
            raise ValueError(
                f"{self.own.benchmark}: of the {len(self.ids)} items drawn in "
                f"{self.pivot.language}, {self.own.language} has {len(found)} with as many options "
                f"and the same right answer; expected at least {SMALLEST}: draw more with a larger "
                "sample, or leave this language out"
            )
        return found


def draw(
    benchmark: str,
    *,
    language: str,
    pivot: str,
    source: Source,
    limit: int | None,
    prompt: str | None,
    asking: Asking,
    sample: int,
    seed: int,
) -> Draw:
    """The items of a language and its pivot, and which of them a seed takes.

    Args:
        limit: look at the first rows only, in both languages; None looks at all.
        prompt: the name of one of the benchmark's prompts; None is its default.
        sample: how many of the pivot's items to take; all of them, if there are fewer.

    Raises:
        ValueError: `sample` is not at least 1, or the benchmark cannot be loaded.
    """
    files = _files(benchmark, source=source)
    own, its_pivot = (
        _kept(benchmark, name, source, limit, prompt, asking, files) for name in (language, pivot)
    )
    ids = drawn((item.id for item in its_pivot.items), sample=sample, seed=seed)
    return Draw(own, its_pivot, ids, seed)


def drawn(ids: Iterable[str], *, sample: int, seed: int) -> frozenset[str]:
    """The first `sample` ids in the order of a seed; all of them, if there are fewer.

    Raises:
        ValueError: `sample` is not at least 1.
    """
    if sample < 1:
        raise ValueError(f"sample is {sample}, expected at least 1 item to draw")
    return frozenset(ordered(ids, seed=seed)[:sample])


def ordered(ids: Iterable[str], *, seed: int) -> list[str]:
    """The ids in the order of a seed: that of the digest of [seed, id]."""
    return sorted(ids, key=lambda id: digest([seed, id]))


def _same(one: ChoiceItem, other: ChoiceItem) -> bool:
    return len(one.options) == len(other.options) and one.gold == other.gold


@lru_cache(maxsize=KEPT)
def _kept(
    benchmark: str,
    language: str,
    source: Source,
    limit: int | None,
    prompt: str | None,
    asking: Asking,
    _unchanged: Files,
) -> ChoiceSet:
    """The items as they were read, for as long as the files are the same."""
    return benchmarks.load(
        benchmark, language=language, source=source, limit=limit, prompt=prompt, asking=asking
    )


def _files(benchmark: str, *, source: Source) -> Files:
    """Name, time and size of every file of a benchmark; nothing where it is not in files."""
    if source.data_root is None:
        return ()
    folder = source.data_root / benchmark.removeprefix(harness.PREFIX).partition("@")[0]
    states = ((path, path.stat()) for path in sorted(folder.rglob("*")))
    return tuple((str(path), state.st_mtime_ns, state.st_size) for path, state in states)

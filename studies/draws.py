"""Draws: which items of a benchmark a seed takes, in every language the same.

An item's place in a draw follows from its own id and the seed alone, so that another language, or
an item elsewhere, changes nothing for it. Drawn are items of the pivot; a language has those of
them that it holds too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from studies import benchmarks, harness
from studies.prompt_options import Asking
from studies.rows import Source
from studies.spec import digest
from studies.texts import Bitext, ChoiceItem, ChoiceSet

SMALLEST = 2  # one pair has no mean to speak of

Files = tuple[tuple[str, int, int], ...]

# Languages kept after they were read: every seed asks for each again, and their sets share items.
KEPT = 128


Sides = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """A benchmark's questions in a prompt, and how many of the pivot's a seed draws.

    `limit` looks at the first rows only, in every language; `prompt` None is the benchmark's own.
    """

    benchmark: str
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    limit: int | None = None
    sample: int = 50
    seed: int = 0


class Draw(NamedTuple):
    """All items of a language and of its pivot, and the ids that a seed drew."""

    own: ChoiceSet
    pivot: ChoiceSet
    ids: frozenset[str]
    seed: int

    def sides(self) -> Sides:
        """Ids, the pivot's prompts and the language's: the drawn questions that it has too.

        They are in the pivot's order. One with other options or another right answer there is not
        the same question.

        Raises:
            ValueError: there are fewer than 2.
        """
        table = {item.id: item for item in self.own.items}
        found = [
            (item.id, item.context, table[item.id].context)
            for item in self.pivot.items
            if item.id in self.ids and item.id in table and _same(item, table[item.id])
        ]
        if len(found) < SMALLEST:
            raise ValueError(
                f"{self.own.benchmark}: of the {len(self.ids)} items drawn in "
                f"{self.pivot.language}, {self.own.language} has {len(found)} with as many options "
                f"and the same right answer; expected at least {SMALLEST}: draw more with a larger "
                "sample, or leave this language out"
            )
        ids, toward, away = zip(*found, strict=True)
        return ids, toward, away

    def bitext(self) -> Bitext:
        """The drawn questions as parallel text, whose states at the last token are compared as
        those of parallel sentences are (arXiv 2505.13141, Figure 3 and its later version).
        """
        ids, pivot_texts, texts = self.sides()
        return Bitext(
            dataset=f"questions/{self.own.benchmark}",
            language=self.own.language,
            pivot=self.pivot.language,
            ids=ids,
            pivot_texts=pivot_texts,
            texts=texts,
            commit=self.own.commit,
            chat=self.own.chat,
        )


def draw(questions: Questions, *, language: str, pivot: str, source: Source) -> Draw:
    """The items of a language and its pivot, and which of them the seed takes.

    Raises:
        ValueError: `sample` is not at least 1, or the benchmark cannot be loaded.
    """
    everything = replace(questions, sample=0, seed=0)
    files = _files(questions.benchmark, source=source)
    own, its_pivot = (_kept(everything, name, source, files) for name in (language, pivot))
    ids = (item.id for item in its_pivot.items)
    taken = drawn(ids, sample=questions.sample, seed=questions.seed)
    return Draw(own, its_pivot, taken, questions.seed)


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
def _kept(asked: Questions, language: str, source: Source, _unchanged: Files) -> ChoiceSet:
    """The items as they were read, for as long as the files are the same."""
    return benchmarks.load(
        asked.benchmark,
        language=language,
        source=source,
        limit=asked.limit,
        prompt=asked.prompt,
        asking=asked.asking,
    )


def _files(benchmark: str, *, source: Source) -> Files:
    """Name, time and size of every file of a benchmark; nothing where it is not in files."""
    if source.data_root is None:
        return ()
    folder = source.data_root / benchmark.removeprefix(harness.PREFIX).partition("@")[0]
    states = ((path, path.stat()) for path in sorted(folder.rglob("*")))
    return tuple((str(path), state.st_mtime_ns, state.st_size) for path, state in states)

"""Samples: the same texts in every language, over which the activity of neurons is measured.

They are the contexts and questions of a benchmark that is answered by writing, as in the CLAS
paper, or the sentences of a parallel text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from studies import benchmarks, generation_items, parallel_text
from studies.content import Content
from studies.parallel_text import PARALLEL_TEXTS
from studies.rows import Source

StatText = Literal["context", "context_question", "full_prompt"]
DEFAULT_TEXT: StatText = "context_question"
# Statistics are kept in blocks of a quarter of the samples: halves, and half and twice as many
# samples, are made of blocks.
BLOCKS = 4
LEAST = 8


@dataclass(frozen=True, kw_only=True)
class Samples(Content):
    """Texts of one language; text i says the same in every language, and `ids[i]` names it.

    The first `size` of them are what neurons are sorted by; where there are more, they are twice as
    many, and say what becomes of the categories then.
    """

    dataset: str
    language: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    size: int
    commit: str = ""

    pivot = None
    prompt = ""
    chat = None

    @property
    def identity(self) -> list[object]:
        """Texts, ids, and how many of them count."""
        return [self.ids, self.texts, self.size, self.commit]

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and last (exclusive) place of every block: four of the `size` samples, and four of
        the others if there are any."""
        count = BLOCKS * (2 if len(self.ids) > self.size else 1)
        ends = [place * self.size // BLOCKS for place in range(count + 1)]
        return tuple(pairwise(ends))

    def inputs(self) -> Iterator[str]:
        """The texts."""
        yield from self.texts

    def shown(self) -> list[dict[str, Any]]:
        """Every text."""
        return [{"id": id, "text": text} for id, text in zip(self.ids, self.texts, strict=True)]


def languages(dataset: str, *, source: Source) -> tuple[str, ...]:
    """The languages of a data set of samples.

    Raises:
        ValueError: it has no texts that are the same in all languages.
    """
    if dataset in PARALLEL_TEXTS:
        if PARALLEL_TEXTS[dataset].pivot is not None:
            raise ValueError(
                f"{dataset} pairs every language with sentences of its own, so no text is there in "
                "all languages: take another parallel text, such as flores200, or xquad"
            )
        return parallel_text.languages(dataset, source=source)
    generation_items.check(dataset)
    return benchmarks.languages(dataset, source=source)


def load(
    dataset: str,
    *,
    languages: Sequence[str],
    source: Source,
    size: int,
    text: StatText = DEFAULT_TEXT,
) -> tuple[Samples, ...]:
    """The samples of every language, in the order of the first one's rows.

    Raises:
        ValueError: fewer than `size` texts are there in all languages, or the text is of another
            kind than asked for.
    """
    if size < LEAST:
        raise ValueError(f"{size} samples are too few to sort neurons by: ask for at least {LEAST}")
    if dataset in PARALLEL_TEXTS:
        found, commits = _sentences(dataset, languages, source=source, text=text)
    else:
        found, commits = _questions(dataset, languages, source=source, text=text)
    ids = [id for id in found[0] if all(id in own for own in found)]
    if len(ids) < size:
        raise ValueError(
            f"{dataset}: {len(ids)} texts are there in all of {len(languages)} languages, {size} "
            f"were asked for: ask for at most {len(ids)} with --samples, or for fewer languages"
        )
    taken = tuple(ids[: 2 * size if len(ids) >= 2 * size else size])
    return tuple(
        Samples(
            dataset=dataset,
            language=language,
            ids=taken,
            texts=tuple(own[id] for id in taken),
            size=size,
            commit=commit,
        )
        for language, own, commit in zip(languages, found, commits, strict=True)
    )


_Found = tuple[list[dict[str, str]], list[str]]


def _sentences(dataset: str, languages: Sequence[str], *, source: Source, text: StatText) -> _Found:
    """The sentences of a parallel text by id, language by language."""
    if text != DEFAULT_TEXT:
        raise ValueError(
            f"stat_text={text} has no effect on {dataset}, which has sentences alone: leave it out"
        )
    first, *rest = languages
    pairs = [
        parallel_text.load(dataset, language=one, pivot=first, source=source, pairs=None)
        for one in rest
    ]
    sides = [pairs[0].pivot_texts, *(pair.texts for pair in pairs)]
    found = [dict(zip(pairs[0].ids, side, strict=True)) for side in sides]
    return found, [pairs[0].commit, *(pair.commit for pair in pairs)]


def _questions(dataset: str, languages: Sequence[str], *, source: Source, text: StatText) -> _Found:
    """What a benchmark's questions are asked about, by id, language by language."""
    assert text in get_args(StatText)
    found, commits = [], []
    for language in languages:
        if text == "full_prompt":
            asked = generation_items.question_set(dataset, language=language, source=source)
            found.append({item.id: item.prompt for item in asked.items})
            commits.append(asked.commit)
            continue
        rows = benchmarks.open_questions(dataset, language=language, source=source)
        found.append(
            {
                row.id: "\n".join(
                    row.question.fields[name]
                    for name in ("context", "question")
                    if name in row.question.fields and name in text.split("_")
                )
                for row in rows
            }
        )
        commits.append(rows[0].commit)
    if not all(next(iter(own.values())) for own in found):
        raise ValueError(
            f"stat_text={text}: the questions of {dataset} have no context; use "
            "stat_text=full_prompt, or other samples such as --sampled xquad"
        )
    return found, commits

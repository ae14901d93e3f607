"""Parallel text: the same sentences in a language and in its pivot, matched by id.

To add a data set, add an entry (and its address in addresses.py). Sentences are stripped and
otherwise left as they are: no template, no instruction.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from studies import rows
from studies.rows import Rows, Source
from studies.texts import Bitext
from studies.values import unknown

Pairs = int | Literal["all"] | None
SMALLEST = 2  # one pair is every other pair's nearest neighbour: its score says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelText:
    """Which columns hold the sentence and its id. No `id` column in the rows: the row number.

    With `pivot_text`, every row carries both sides, and `pivot` is the only language on that side;
    the pivot's sentences then differ from language to language.
    """

    text: str
    id: str = "id"
    pivot_text: str | None = None
    pivot: str | None = None


PARALLEL_TEXTS: dict[str, ParallelText] = {
    "flores200": ParallelText(text="sentence"),
    "sib200": ParallelText(text="text", id="index_id"),
    "tatoeba": ParallelText(text="sentence1", pivot_text="sentence2", pivot="eng_Latn"),
    "miniworld": ParallelText(text="sentence"),
}


def languages(dataset: str, *, source: Source) -> tuple[str, ...]:
    """All languages of a parallel text, sorted, the pivot among them where it has rows."""
    _entry(dataset)
    return rows.languages(dataset, source=source)


def load(
    dataset: str,
    *,
    language: str,
    source: Source,
    pivot: str = "eng_Latn",
    pairs: Pairs = 100,
    pair_ids: Literal["first", "random"] = "first",
    seed: int = 0,
) -> Bitext:
    """The sentences of one language beside those of the pivot.

    Args:
        pairs: how many; None or "all" takes every pair there is.
        pair_ids: the `first` ones, or `random` ones drawn with `seed`: the same for all languages
            whose rows have the same ids, and in the order of the rows.

    Raises:
        ValueError: the two sides are not parallel, too short, or shorter than `pairs`.
    """
    entry = _entry(dataset)
    if language == pivot:
        raise ValueError(f"{dataset}: {language} is its own pivot: leave it out of the languages")
    if entry.pivot is not None and pivot != entry.pivot:
        raise ValueError(
            f"{dataset} pairs every language with {entry.pivot} sentences of its own, so "
            f"pivot {pivot!r} has no counterpart: use {entry.pivot} or another data set"
        )
    columns = [entry.text, *([entry.pivot_text] if entry.pivot_text else [])]
    here = rows.read(dataset, language=language, source=source, columns=columns)
    there = here
    if entry.pivot_text is None:
        there = rows.read(dataset, language=pivot, source=source, columns=columns)
    places = _positions(here, column=entry.id)
    pivot_places = _positions(there, column=entry.id)
    if places.keys() != pivot_places.keys():
        raise ValueError(_not_parallel(dataset, (language, pivot), places, pivot_places))
    count = _count(pairs, there=len(pivot_places), where=f"{dataset} {language}")
    ids = list(pivot_places)
    if pair_ids == "random":
        ids = [ids[place] for place in sorted(Random(seed).sample(range(len(ids)), count))]
    taken = tuple(ids[:count])
    column = entry.pivot_text or entry.text
    return Bitext(
        dataset=dataset,
        language=language,
        pivot=pivot,
        ids=taken,
        pivot_texts=tuple(_text(there, pivot_places[id], id=id, column=column) for id in taken),
        texts=tuple(_text(here, places[id], id=id, column=entry.text) for id in taken),
        commit=here.commit,
    )


def _count(pairs: Pairs, *, there: int, where: str) -> int:
    """How many of the pairs there are to take."""
    wanted = there if pairs in (None, "all") else int(pairs or 0)
    if min(wanted, there) < SMALLEST:
        raise ValueError(
            f"{where}: n = {min(wanted, there)} pairs; a score needs at least {SMALLEST}, because "
            "a sentence is compared with the others"
        )
    if wanted > there:
        raise ValueError(
            f"{where} has {there} pairs, {wanted} were asked for: ask for at most {there}, or for "
            "all"
        )
    return wanted


def _positions(found: Rows, *, column: str) -> dict[str, int]:
    """Row position of every id, in the order of the rows."""
    positions: dict[str, int] = {}
    for position, row in enumerate(found.rows):
        numbered = {column: position + 1} | row
        id = rows.checked_id(numbered, column, where=found.where(position))
        if id in positions:
            raise ValueError(
                f"{found.where(position)}: id {id!r} was already used in "
                f"{found.places[positions[id]]}: every pair needs an id of its own"
            )
        positions[id] = position
    return positions


def _not_parallel(
    dataset: str, languages: tuple[str, str], here: dict[str, int], there: dict[str, int]
) -> str:
    language, pivot = languages
    differing = [id for id in [*there, *here] if (id in here) != (id in there)]
    lacking = language if differing[0] in there else pivot
    return (
        f"{dataset}: {language} ({len(here)} sentences) and {pivot} ({len(there)}) are not "
        f"parallel: {len(differing)} ids are on one side only, first {differing[0]!r}, which "
        f"{lacking} lacks; give both languages the same rows"
    )


def _text(found: Rows, position: int, *, id: str, column: str) -> str:
    text = found.rows[position][column]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            f"{found.where(position)} (id {id!r}): {column} is {text!r}, expected a sentence"
        )
    return text.strip()


def _entry(dataset: str) -> ParallelText:
    if dataset not in PARALLEL_TEXTS:
        raise unknown("parallel text", dataset, known=PARALLEL_TEXTS)
    return PARALLEL_TEXTS[dataset]

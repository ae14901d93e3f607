"""Items that several languages of one benchmark share, so that a comparison is of like with like.

Translated benchmarks drop rows language by language, so items are matched by id, never by
position.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from studies.row_parsers import Parts
from studies.texts import ChoiceItem, ChoiceSet


class CommonItems(NamedTuple):
    """Sets over the same ids in one order, and what was left out for that.

    `lacking` says for every language how many of all ids it does not have.
    """

    sets: tuple[ChoiceSet, ...]
    dropped: int
    lacking: dict[str, int]


def common_items(sets: Sequence[ChoiceSet]) -> CommonItems:
    """The items that all languages share, in the order of the first, and the count left out.

    Raises:
        ValueError: nothing is shared, or one id means different things in two languages.
    """
    tables = [{item.id: item for item in each.items} for each in sets]
    every = set().union(*tables)
    shared = [id for id in (tables[0] if tables else {}) if all(id in table for table in tables)]
    if not shared:
        names = ", ".join(each.language for each in sets)
        raise ValueError(f"no item id is shared by all of {names or 'no languages'}")
    for id in shared:
        first = tables[0][id]
        for each, table in zip(sets[1:], tables[1:], strict=True):
            check_same(first, table[id], id=id, languages=(sets[0].language, each.language))
    restricted = tuple(
        replace(each, items=tuple(table[id] for id in shared))
        for each, table in zip(sets, tables, strict=True)
    )
    lacking = {
        each.language: len(every) - len(table) for each, table in zip(sets, tables, strict=True)
    }
    return CommonItems(restricted, len(every) - len(shared), lacking)


def check_parallel(sets: Sequence[ChoiceSet]) -> int:
    """How many of all ids some language lacks, after a check of those that several have.

    Raises:
        ValueError: one id means different things in two languages.
    """
    first: dict[str, tuple[ChoiceItem, str]] = {}
    counts: Counter[str] = Counter()
    for each in sets:
        for item in each.items:
            counts[item.id] += 1
            one, language = first.setdefault(item.id, (item, each.language))
            check_same(one, item, id=item.id, languages=(language, each.language))
    return sum(count < len(sets) for count in counts.values())


def check_same(
    one: ChoiceItem | Parts, other: ChoiceItem | Parts, *, id: str, languages: tuple[str, str]
) -> None:
    """Refuse an item that has other options or another right answer in another language.

    Raises:
        ValueError: it has; the sentence names item and languages.
    """
    if len(one.options) != len(other.options):
        raise ValueError(
            f"item {id!r} has {len(one.options)} options in {languages[0]} and "
            f"{len(other.options)} in {languages[1]}: drop it, or mend the rows"
        )
    if one.gold != other.gold:
        raise ValueError(
            f"item {id!r} has right answer {one.gold + 1} in {languages[0]} and "
            f"{other.gold + 1} in {languages[1]}: drop it, or mend the rows"
        )

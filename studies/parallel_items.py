"""Items that several languages of one benchmark share, so that a comparison is of like with like.

Translated benchmarks drop rows language by language, so items are matched by id, never by
position.
"""

from collections import Counter
from collections.abc import Sequence

from studies.row_parsers import RawQuestion
from studies.texts import ChoiceItem, ChoiceSet


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
    one: ChoiceItem | RawQuestion,
    other: ChoiceItem | RawQuestion,
    *,
    id: str,
    languages: tuple[str, str],
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
            f"{other.gold + 1} in {languages[1]}, as if its options stood in another order: drop "
            "it, or mend the rows"
        )

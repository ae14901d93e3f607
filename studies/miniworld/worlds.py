"""Draw small sets of facts and say which split each belongs to; it knows no language.

A world is what one item tells: an unordered set of facts. Its hash alone decides the split, so a
set of facts that any test item tells is told by no training text of any kind, in any language or
order. Single facts are shared by the splits, as words are; only their combinations are not.
Things that stand early in the lexicon are drawn more often, as common words are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from random import Random
from typing import Literal, TypeVar

from studies.miniworld.grammar import Fact
from studies.miniworld.lexicon import RELATIONS, Relation, concepts, people

Drawn = TypeVar("Drawn")
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
PARTS = 16


def split_of(facts: Iterable[Fact]) -> Split:
    """The split of a set of facts: one part in eight is test, one in sixteen dev."""
    told = "\n".join(sorted(f"{fact.subject} {fact.relation} {fact.thing}" for fact in facts))
    part = hashlib.sha256(told.encode()).digest()[0] % PARTS
    return "test" if part < 2 else "dev" if part == 2 else "train"


@cache
def _weights(number: int) -> list[float]:
    """How often things are drawn by their rank; the commonest about six times the rarest of 18."""
    return [1 / (rank + 4) for rank in range(number)]


def pick(random: Random, things: Sequence[Drawn], *, number: int) -> list[Drawn]:
    """Different things, common ones more often, in any order."""
    left, weights = list(things), list(_weights(len(things)))
    picked: list[Drawn] = []
    while len(picked) < number:
        (place,) = random.choices(range(len(left)), weights=weights)
        picked.append(left.pop(place))
        weights.pop(place)
    return picked


def things_of(random: Random, relation: Relation, *, number: int) -> list[str]:
    """Different things of one relation, common ones more often."""
    return pick(random, concepts(relation), number=number)


def _facts(
    random: Random, relations: Sequence[Relation], *, subjects: Sequence[str]
) -> tuple[Fact, ...]:
    """A fact for each relation and subject; no thing of a relation twice."""
    things = {
        relation: things_of(random, relation, number=relations.count(relation))
        for relation in dict.fromkeys(relations)
    }
    return tuple(
        Fact(subject=subject, relation=relation, thing=things[relation].pop())
        for subject, relation in zip(subjects, relations, strict=True)
    )


def one_relation(random: Random, *, relation: Relation, number: int) -> tuple[Fact, ...]:
    """Different people, each with a different thing of one relation."""
    return _facts(random, [relation] * number, subjects=random.sample(people(), number))


def any_relations(random: Random, *, number: int) -> tuple[Fact, ...]:
    """Different people, each with a thing of any relation."""
    relations = random.choices(RELATIONS, k=number)
    return _facts(random, relations, subjects=random.sample(people(), number))


def passage(random: Random, *, number: int, alike: int = 2) -> tuple[Fact, ...]:
    """Different people, `alike` of them with different things of one relation, in any order.

    So a question about one of these asks whose thing it is, not which thing is told of.
    """
    first, *others = random.sample(RELATIONS, number - alike + 1)
    relations = [*[first] * alike, *others]
    random.shuffle(relations)
    return _facts(random, relations, subjects=random.sample(people(), number))


def shared_relation(facts: tuple[Fact, ...]) -> tuple[int, ...]:
    """Where the facts stand whose relation another fact has, too."""
    relations = [fact.relation for fact in facts]
    return tuple(place for place, relation in enumerate(relations) if relations.count(relation) > 1)


def whereabouts(random: Random) -> tuple[Fact, ...]:
    """Where two people are, and one more fact about each."""
    subjects = random.sample(people(), 2)
    relation = random.choice([name for name in RELATIONS if name != "place"])
    first, second = _facts(random, ["place", "place"], subjects=subjects)
    more = _facts(random, [relation, relation], subjects=subjects)
    return (first, more[0], second, more[1])

"""Draw small sets of facts and say which split each belongs to; it knows no language.

A world is what one item tells: an unordered set of facts. Its hash alone decides the split, so a
set of facts that any test item tells is told by no training text of any kind, in any language or
order. Single facts are shared by the splits, as words are; only their combinations are not.
"""

import hashlib
from collections.abc import Iterable
from random import Random
from typing import Literal

from studies.miniworld.grammar import Fact
from studies.miniworld.lexicon import RELATIONS, Relation, concepts, people

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
PARTS = 16


def split_of(facts: Iterable[Fact]) -> Split:
    """The split of a set of facts: one part in eight is test, one in sixteen dev."""
    told = "\n".join(sorted(f"{fact.person} {fact.relation} {fact.thing}" for fact in facts))
    part = hashlib.sha256(told.encode()).digest()[0] % PARTS
    return "test" if part < 2 else "dev" if part == 2 else "train"


def one_relation(random: Random, *, relation: Relation, number: int) -> tuple[Fact, ...]:
    """Different people, each with a different thing of one relation."""
    return tuple(
        Fact(person=person, relation=relation, thing=thing)
        for person, thing in zip(
            random.sample(people(), number),
            random.sample(concepts(relation), number),
            strict=True,
        )
    )


def mixed_relations(random: Random, *, number: int) -> tuple[Fact, ...]:
    """Different people, each with a thing of a relation that nobody else has."""
    return tuple(
        Fact(person=person, relation=relation, thing=random.choice(concepts(relation)))
        for person, relation in zip(
            random.sample(people(), number), random.sample(RELATIONS, number), strict=True
        )
    )


def two_anythings(random: Random) -> tuple[Fact, ...]:
    """Two people with one fact each, of any relations."""
    return tuple(
        Fact(person=person, relation=relation, thing=random.choice(concepts(relation)))
        for person, relation in zip(
            random.sample(people(), 2), random.choices(RELATIONS, k=2), strict=True
        )
    )


def whereabouts(random: Random) -> tuple[Fact, ...]:
    """Where two people are, and one more fact about each."""
    places = one_relation(random, relation="place", number=2)
    relation = random.choice([name for name in RELATIONS if name != "place"])
    things = random.sample(concepts(relation), 2)
    more = tuple(
        Fact(person=place.person, relation=relation, thing=thing)
        for place, thing in zip(places, things, strict=True)
    )
    return (places[0], more[0], places[1], more[1])

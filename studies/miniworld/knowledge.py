"""What holds in the miniworld whatever a text tells: countries, their capitals and continents.

A fact of knowledge is the same in every item and language; only training text tells it. So a
question of knowledge asks what a model has stored, where a passage asks what it has just read.
"""

from functools import cache

from studies.miniworld.grammar import Fact
from studies.miniworld.lexicon import KNOWN_RELATIONS, KnownRelation, concepts, continents


def known(country: str, *, relation: KnownRelation) -> Fact:
    """The fact that holds for a country (for `country`: the country that its capital is in)."""
    thing = continents()[country] if relation == "continent" else country
    return Fact(subject=country, relation=relation, thing=thing)


@cache
def knowledge() -> tuple[Fact, ...]:
    """All facts of knowledge, those of the best known countries first."""
    return tuple(
        known(country, relation=relation)
        for country in concepts("country")
        for relation in KNOWN_RELATIONS
    )

"""Turn facts into sentences and questions; it knows word order, not which facts are asked about.

A fact is a subject, a relation and a thing; its meaning is free of language. The patterns keep each
language's own order: verb in the middle (English), at the end (Hindi, Turkish), first (Arabic),
and no spaces (Chinese). Simplified on purpose: present tense only, singular people only, colours
only as names of colours, one way to say each thing, Arabic without vowel signs, no negation. Only
Arabic and Hindi verbs agree, with the gender of the person. Every word and pattern was checked
against dictionaries and parallel text (README.md), and none by a native speaker.
"""

from dataclasses import dataclass
from functools import cache

from studies.miniworld.lexicon import KNOWN_RELATIONS, Relation, gender, pattern, word


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that holds in the miniworld, in no language. Order: subject, relation, thing."""

    subject: str
    relation: Relation
    thing: str


@cache
def thing(concept: str, *, relation: Relation, language: str) -> str:
    """The words for a thing as they stand in its sentence, and so also the answer to a question."""
    return word(concept, kind=relation, language=language)


def _fill(name: str, fact: Fact, *, language: str) -> str:
    words: dict[str, str] = {
        fact.relation: thing(fact.thing, relation=fact.relation, language=language)
    }
    if fact.relation in KNOWN_RELATIONS:
        form = pattern(name, language=language)
        for kind in ("country", "country_of", "country_is", "capital"):
            words[kind] = word(fact.subject, kind=kind, language=language)
    else:
        form = pattern(name, person=fact.subject, language=language)
        words["thing"] = words[fact.relation]
        words["person"] = word(fact.subject, kind=gender(fact.subject), language=language)
        words["possessor"] = word(fact.subject, kind="possessor", language=language)
    return form.format(**words)


def _capital(text: str) -> str:
    # Title case, not upper case: Georgian has upper-case letters that no sentence begins with.
    return text[0].title() + text[1:]


def _close(clause: str, *, language: str) -> str:
    return pattern("stop", language=language).format(clause=_capital(clause))


@cache
def sentence(fact: Fact, *, language: str) -> str:
    """One fact as one sentence."""
    return _close(_fill(fact.relation, fact, language=language), language=language)


@cache
def capital_of(fact: Fact, *, language: str) -> str:
    """A fact about a capital told the other way round: Tokyo is the capital of Japan."""
    assert fact.relation == "capital", fact
    return _close(_fill("capital_of", fact, language=language), language=language)


@cache
def still(fact: Fact, *, language: str) -> str:
    """The sentence that says that somebody is still where the fact puts them."""
    assert fact.relation == "place", fact
    return _close(_fill("still_place", fact, language=language), language=language)


def two_facts(first: Fact, second: Fact, *, language: str) -> str:
    """Two facts as one sentence with "and"."""
    joined = pattern("and", language=language).format(
        first=_fill(first.relation, first, language=language),
        second=_fill(second.relation, second, language=language),
    )
    return _close(joined, language=language)


@cache
def question(fact: Fact, *, language: str) -> str:
    """The question whose answer is the thing of the fact."""
    return _capital(_fill(f"ask_{fact.relation}", fact, language=language))


def passage(facts: tuple[Fact, ...], *, language: str) -> str:
    """Facts as sentences one after the other, without spaces between them in Chinese."""
    return gap(language).join(sentence(fact, language=language) for fact in facts)


def gap(language: str) -> str:
    """What stands between two sentences of a language."""
    return "" if language == "zho_Hans" else " "

"""Read the hand-written word table of the miniworld; it knows words, not how they make sentences.

`lexicon.tsv` has one row per concept and one column per language, so that a speaker of a language
can review one column. `patterns.tsv` has the same columns for sentence patterns. A word stands in
the form its pattern needs: German animals in the accusative, Turkish ones with the possessive
ending, places as whole phrases ("in the garden"). It knows nothing of models or benchmarks.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Gender = Literal["woman", "man"]
PersonRelation = Literal["animal", "object", "place", "food", "colour", "drink", "clothes"]
KnownRelation = Literal["capital", "country", "continent"]
Relation = PersonRelation | KnownRelation

FOLDER = Path(__file__).parent
RELATIONS: tuple[PersonRelation, ...] = get_args(PersonRelation)
KNOWN_RELATIONS: tuple[KnownRelation, ...] = get_args(KnownRelation)

# English has most of the text and each next language about two thirds of the one before it.
LANGUAGES: tuple[str, ...] = (
    "eng_Latn",
    "zho_Hans",
    "spa_Latn",
    "rus_Cyrl",
    "deu_Latn",
    "fra_Latn",
    "arb_Arab",
    "hin_Deva",
    "tur_Latn",
    "ell_Grek",
    "swh_Latn",
    "kat_Geor",
)
RAREST_OVER_MOST_FREQUENT = 0.01


def _geometric_shares(languages: tuple[str, ...]) -> dict[str, float]:
    ratio = RAREST_OVER_MOST_FREQUENT ** (1 / (len(languages) - 1))
    weights = [ratio**rank for rank in range(len(languages))]
    return {
        language: weight / sum(weights) for language, weight in zip(languages, weights, strict=True)
    }


EXPOSURE: dict[str, float] = _geometric_shares(LANGUAGES)


@cache
def _table(file_name: str) -> Mapping[tuple[str, str], Mapping[str, str]]:
    with (FOLDER / file_name).open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(reader)
        return {(row[0], row[1]): dict(zip(header[2:], row[2:], strict=True)) for row in reader}


def _entry(file_name: str, key: tuple[str, str], *, language: str) -> str:
    if language not in EXPOSURE:
        raise ValueError(f"miniworld has no language {language!r}; it has {', '.join(LANGUAGES)}")
    return _table(file_name)[key][language]


@cache
def concepts(kind: str) -> tuple[str, ...]:
    """The concepts of one kind ("woman", "animal", ...), in the order of the table."""
    return tuple(concept for row_kind, concept in _table("lexicon.tsv") if row_kind == kind)


@cache
def people() -> tuple[str, ...]:
    """Everybody who lives in the miniworld."""
    return concepts("woman") + concepts("man")


@cache
def continents() -> Mapping[str, str]:
    """The continent of each country."""
    with (FOLDER / "continents.tsv").open(encoding="utf-8", newline="") as lines:
        return {row["country"]: row["continent"] for row in csv.DictReader(lines, delimiter="\t")}


@cache
def gender(person: str) -> Gender:
    """The grammatical gender of a person, which Arabic and Hindi verbs agree with."""
    return "woman" if person in concepts("woman") else "man"


def word(concept: str, *, kind: str, language: str) -> str:
    """The word or phrase for a concept of a kind in a language."""
    return _entry("lexicon.tsv", (kind, concept), language=language)


def pattern(name: str, *, person: str | None = None, language: str) -> str:
    """The sentence pattern `name`, in the form that agrees with `person` where there are two."""
    if (name, "any") in _table("patterns.tsv"):
        return _entry("patterns.tsv", (name, "any"), language=language)
    assert person is not None, f"pattern {name} agrees with a person"
    return _entry("patterns.tsv", (name, gender(person)), language=language)

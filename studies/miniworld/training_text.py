"""The graded text the miniworld models are trained on; it knows the prompts, not the tokens.

Every document is drawn from one seeded stream: a kind (plain text, the same in several languages,
or one of the prompts the models are later asked with) and a language, by exposure. Half of the text
says the same thing twice or more in different languages: that is what makes languages align. Only
worlds of the train split are told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from studies.miniworld import grammar
from studies.miniworld.benchmarks import claim_about, draw_reading
from studies.miniworld.choices import LETTERS, VERDICTS, inference_question, letter_prompt
from studies.miniworld.grammar import Fact
from studies.miniworld.lexicon import EXPOSURE, LANGUAGES, RELATIONS, concepts
from studies.miniworld.worlds import (
    Split,
    mixed_relations,
    one_relation,
    split_of,
    two_anythings,
    whereabouts,
)

Drawn = TypeVar("Drawn")
PASSAGE_FACTS = (1, 2, 2, 3)
RETOLD_FACTS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a document; `is_answer` marks what follows from the text before it."""

    text: str
    is_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One training text: its kind, and its pieces in order."""

    kind: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole document as the models read it."""
        return "".join(segment.text for segment in self.segments)


def told(text: str) -> Segment:
    """A piece that nothing before it settles."""
    return Segment(text=text, is_answer=False)


def answer(text: str) -> Segment:
    """A piece that the text before it settles."""
    return Segment(text=text, is_answer=True)


def _language(random: Random) -> str:
    return random.choices(LANGUAGES, weights=list(EXPOSURE.values()))[0]


def _languages(random: Random, first: str, number: int) -> tuple[str, ...]:
    """`first` and others, each drawn by exposure, none twice, in any order."""
    chosen = [first]
    while len(chosen) < number:
        other = _language(random)
        if other not in chosen:
            chosen.append(other)
    random.shuffle(chosen)
    return tuple(chosen)


def _in_split(
    draw: Callable[[], Drawn], facts: Callable[[Drawn], tuple[Fact, ...]], *, split: Split
) -> Drawn:
    while True:
        drawn = draw()
        if split_of(facts(drawn)) == split:
            return drawn


def _some_facts(
    random: Random, *, split: Split, numbers: tuple[int, ...] = PASSAGE_FACTS
) -> tuple[Fact, ...]:
    number = random.choice(numbers)
    return _in_split(
        lambda: mixed_relations(random, number=number),
        lambda facts: facts,
        split=split,
    )


def plain(random: Random, *, split: Split, language: str) -> Document:
    """One sentence in one language."""
    facts = _in_split(lambda: two_anythings(random), lambda facts: facts, split=split)
    text = grammar.two_facts(*facts, language=language)
    return Document(kind="plain", segments=(told(text),))


def translation(random: Random, *, split: Split, language: str) -> Document:
    """One sentence in one language, and on the next line the same in another."""
    facts = _in_split(lambda: two_anythings(random), lambda facts: facts, split=split)
    first, second = (
        grammar.two_facts(*facts, language=other) for other in _languages(random, language, 2)
    )
    return Document(kind="translation", segments=(told(first), answer("\n" + second)))


def parallel(random: Random, *, split: Split, language: str) -> Document:
    """One short sentence, line by line in several languages."""
    (fact,) = _in_split(lambda: mixed_relations(random, number=1), lambda facts: facts, split=split)
    first, *others = (
        grammar.sentence(fact, language=other) for other in _languages(random, language, 4)
    )
    return Document(
        kind="parallel", segments=(told(first), *(answer("\n" + other) for other in others))
    )


def dictionary(random: Random, *, split: Split, language: str) -> Document:  # noqa: ARG001
    """Words for one thing in several languages, a few things in turn: words have no split."""
    chosen = _languages(random, language, 4)
    segments = []
    for relation in random.sample(RELATIONS, 3):
        concept = random.choice(concepts(relation))
        words = [grammar.thing(concept, relation=relation, language=other) for other in chosen]
        segments += [told(words[0]), *(answer(f" = {word}") for word in words[1:]), told("\n")]
    return Document(kind="dictionary", segments=tuple(segments))


def reading(random: Random, *, split: Split, language: str) -> Document:
    """A passage and, in any order, a question and its answer for everybody in it."""
    facts = _some_facts(random, split=split)
    segments = [told(grammar.passage(facts, language=language))]
    for fact in random.sample(facts, len(facts)):
        segments.append(told(" " + grammar.question(fact, language=language)))
        thing = grammar.thing(fact.thing, relation=fact.relation, language=language)
        segments.append(answer(" " + thing))
    return Document(kind="reading", segments=tuple(segments))


def retelling(random: Random, *, split: Split, language: str) -> Document:
    """A passage, and its sentences again in another order."""
    facts = _some_facts(random, split=split, numbers=RETOLD_FACTS)
    segments = [told(grammar.passage(facts, language=language))]
    for fact in random.sample(facts, len(facts)):
        sentence = grammar.sentence(fact, language=language)
        segments.append(answer(grammar.gap(language) + sentence))
    return Document(kind="retelling", segments=tuple(segments))


def span(random: Random, *, split: Split, language: str) -> Document:
    """The same, asked as a question on its own line."""
    facts = _some_facts(random, split=split)
    segments = [told(grammar.passage(facts, language=language) + "\n")]
    for fact in random.sample(facts, len(facts)):
        asked = grammar.question(fact, language=language)
        thing = grammar.thing(fact.thing, relation=fact.relation, language=language)
        segments += [told(f"Question: {asked}\nAnswer:"), answer(f" {thing}\n")]
    return Document(kind="span", segments=tuple(segments))


def letter(random: Random, *, split: Split, language: str) -> Document:
    """A reading question with lettered options, answered with the letter."""
    item = _in_split(
        lambda: draw_reading(random, number=random.randrange(4)),
        lambda item: item.facts,
        split=split,
    )
    prompt = letter_prompt(item.row(0, language=language))
    return Document(
        kind="letter",
        segments=(told(prompt), answer(f" {LETTERS[item.gold]}")),
    )


def inference(random: Random, *, split: Split, language: str) -> Document:
    """A premise, and three claims with their verdicts."""
    facts = _in_split(
        lambda: one_relation(random, relation="place", number=2),
        lambda facts: facts,
        split=split,
    )
    segments = [told(grammar.passage(facts, language=language))]
    for label in random.choices(range(3), k=3):
        claim = claim_about(facts, label=label, random=random)
        asked = inference_question(grammar.sentence(claim, language=language))
        segments += [told(asked), answer(f" {VERDICTS[label]}")]
    return Document(kind="inference", segments=tuple(segments))


def story(random: Random, *, split: Split, language: str) -> Document:
    """Four sentences, and the right ending for each of the two people."""
    facts = _in_split(lambda: whereabouts(random), lambda facts: facts, split=split)
    sentences = [grammar.sentence(fact, language=language) for fact in facts]
    endings = [
        answer(" " + grammar.still(place, language=language))
        for place in random.sample((facts[0], facts[2]), 2)
    ]
    segments = (told(" ".join(sentences)), *endings)
    return Document(kind="story", segments=segments)


KINDS: dict[Callable[..., Document], float] = {
    parallel: 0.28,
    reading: 0.22,
    translation: 0.12,
    dictionary: 0.10,
    span: 0.06,
    inference: 0.06,
    story: 0.06,
    retelling: 0.04,
    plain: 0.03,
    letter: 0.03,
}


# The first documents teach to look back, in English; it costs rare languages nothing.
OPENING_DOCUMENTS = 4_000
OPENING: dict[Callable[..., Document], float] = {reading: 0.5, retelling: 0.5}


def documents(
    *, seed: int, split: Split = "train", skip_opening: bool = False
) -> Iterator[Document]:
    """The endless stream of documents of a seed: the opening, then all kinds and languages."""
    random = Random(f"miniworld training {seed} {split}")
    told = OPENING_DOCUMENTS if skip_opening else 0
    while True:
        opening = told < OPENING_DOCUMENTS
        shares = OPENING if opening else KINDS
        kind = random.choices(list(shares), weights=list(shares.values()))[0]
        language = LANGUAGES[0] if opening else _language(random)
        yield kind(random, split=split, language=language)
        told += 1

"""The six miniworld data sets as items without language, each written out as a row on request.

Every item is a small set of facts and a question about it, drawn once from a seed; `row` says it
in one language. So items are parallel by construction: same id, meaning and right answer in every
language. Columns are those of FLORES, Belebele, Global-MMLU, XNLI, XStoryCloze and XQuAD. Nothing
here knows prompts or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from studies.miniworld import grammar
from studies.miniworld.grammar import Fact
from studies.miniworld.knowledge import knowledge
from studies.miniworld.lexicon import KNOWN_RELATIONS, concepts, people
from studies.miniworld.worlds import (
    SPLITS,
    Split,
    any_relations,
    one_relation,
    passage,
    pick,
    shared_relation,
    split_of,
    whereabouts,
)

PASSAGE_FACTS = 3

Row = dict[str, object]


class Item(Protocol):
    """One item in no language: what it tells, and how to say it."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the item tells, from which its split follows."""
        ...

    def row(self, number: int, *, language: str) -> Row:
        """The item in one language, with the columns of the real data set."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """Two facts in one sentence, for parallel text."""

    facts: tuple[Fact, ...]

    def row(self, number: int, *, language: str) -> Row:
        """The sentence as a row of parallel text."""
        return {"id": number, "sentence": grammar.two_facts(*self.facts, language=language)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Three people, and four things of one kind of which two are told of, one of them asked for."""

    facts: tuple[Fact, ...]
    asked: int
    options: tuple[str, ...]

    @property
    def gold(self) -> int:
        """Where the right option stands, from 0."""
        return self.options.index(self.facts[self.asked].thing)

    def row(self, number: int, *, language: str) -> Row:
        """The question as a row of Belebele."""
        fact = self.facts[self.asked]
        answers = {
            f"mc_answer{place}": grammar.thing(option, relation=fact.relation, language=language)
            for place, option in enumerate(self.options, start=1)
        }
        return {
            "id": number,
            "link": f"https://miniworld.invalid/reading/{number}",
            "question_number": 1,
            "flores_passage": grammar.passage(self.facts, language=language),
            "question": grammar.question(fact, language=language),
            **answers,
            "correct_answer_num": str(self.gold + 1),
            "dialect": language,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """A question about a country, with four things that its answer could be."""

    fact: Fact
    options: tuple[str, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the options claim; one of it holds."""
        return tuple(replace(self.fact, thing=option) for option in self.options)

    @property
    def gold(self) -> int:
        """Where the right option stands, from 0."""
        return self.options.index(self.fact.thing)

    def row(self, number: int, *, language: str) -> Row:
        """The question as a row of Global-MMLU."""
        relation = self.fact.relation
        answers = {
            f"option_{letter}": grammar.thing(option, relation=relation, language=language)
            for letter, option in zip("abcd", self.options, strict=True)
        }
        return {
            "sample_id": f"miniworld/{number}",
            "subject": relation,
            "question": grammar.question(self.fact, language=language),
            **answers,
            "answer": "ABCD"[self.gold],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A premise and a claim that follows (0), that nothing is said of (1) or that is false (2)."""

    facts: tuple[Fact, ...]
    claim: Fact
    label: int

    def row(self, number: int, *, language: str) -> Row:
        """The claim as a row of XNLI."""
        return {
            "id": number,
            "premise": grammar.passage(self.facts, language=language),
            "hypothesis": grammar.sentence(self.claim, language=language),
            "label": self.label,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Four sentences about two people; the wrong ending puts one of them where nobody was."""

    facts: tuple[Fact, ...]
    right: Fact
    wrong: Fact
    gold: int

    def row(self, number: int, *, language: str) -> Row:
        """The story as a row of XStoryCloze."""
        endings = [grammar.still(fact, language=language) for fact in (self.right, self.wrong)]
        if self.gold == 1:
            endings.reverse()
        sentences = {
            f"input_sentence_{place}": grammar.sentence(fact, language=language)
            for place, fact in enumerate(self.facts, start=1)
        }
        return {
            "id": number,
            "story_id": f"miniworld-{number}",
            **sentences,
            "sentence_quiz1": endings[0],
            "sentence_quiz2": endings[1],
            "answer_right_ending": self.gold + 1,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A short text and a question whose answer is a span of it."""

    facts: tuple[Fact, ...]
    asked: int

    def row(self, number: int, *, language: str) -> Row:
        """The question as a row of XQuAD."""
        fact = self.facts[self.asked]
        context = grammar.passage(self.facts, language=language)
        answer = grammar.thing(fact.thing, relation=fact.relation, language=language)
        told = grammar.sentence(fact, language=language)
        # The thing stands after the person, whose name may contain the same letters.
        start = context.index(told) + told.rindex(answer)
        return {
            "id": f"miniworld-{number}",
            "context": context,
            "question": grammar.question(fact, language=language),
            "answers": {"text": [answer], "answer_start": [start]},
        }


def draw_sentence(random: Random, *, number: int) -> Sentence:  # noqa: ARG001
    """Two people and a fact about each; there is no right answer for `number` to place."""
    return Sentence(facts=any_relations(random, number=2))


def draw_reading(random: Random, *, number: int) -> Reading:
    """A reading question whose right answer stands at option `number` modulo four.

    The other thing of its kind in the passage is always an option, so a reader who does not tie
    things to people is right half the time.
    """
    facts = passage(random, number=PASSAGE_FACTS)
    asked = random.choice(shared_relation(facts))
    return question_about(facts, asked=asked, random=random, at=number % 4)


def question_about(facts: tuple[Fact, ...], *, asked: int, random: Random, at: int) -> Reading:
    """A question about one of the facts, with the right option at a place and what is like it."""
    right, relation = facts[asked].thing, facts[asked].relation
    told = [fact.thing for fact in facts if fact.relation == relation]
    rest = [thing for thing in concepts(relation) if thing not in told]
    wrong = [thing for thing in told if thing != right]
    wrong += pick(random, rest, number=3 - len(wrong))
    random.shuffle(wrong)
    return Reading(facts=facts, asked=asked, options=placed(right, wrong, at=at))


def placed(right: str, wrong: Sequence[str], *, at: int) -> tuple[str, ...]:
    """The options with the right one at its place."""
    return (*wrong[:at], right, *wrong[at:])


def draw_knowledge(random: Random, *, number: int) -> Knowledge:
    """A question of knowledge whose right answer stands at option `number` modulo four.

    The options are drawn before the right one of them, so none is likelier without the question.
    """
    relation = random.choice(KNOWN_RELATIONS)
    options = pick(random, concepts(relation), number=4)
    random.shuffle(options)
    subjects = [
        fact
        for fact in knowledge()
        if (fact.relation, fact.thing) == (relation, options[number % 4])
    ]
    (fact,) = pick(random, subjects, number=1)
    return Knowledge(fact=fact, options=tuple(options))


def claim_about(facts: tuple[Fact, ...], *, label: int, random: Random) -> Fact:
    """A claim that follows (0), that nothing is said of (1) or that is false (2)."""
    here = random.choice(facts)
    if label == 0:
        return here
    if label == 2:
        absent = [thing for thing in concepts(here.relation) if thing != here.thing]
        return Fact(subject=here.subject, relation=here.relation, thing=random.choice(absent))
    told = {fact.subject for fact in facts}
    stranger = random.choice([person for person in people() if person not in told])
    return Fact(subject=stranger, relation=here.relation, thing=here.thing)


def draw_inference(random: Random, *, number: int) -> Inference:
    """A claim about where somebody is, with label `number` modulo three."""
    facts = one_relation(random, relation="place", number=2)
    label = number % 3
    claim = claim_about(facts, label=label, random=random)
    return Inference(facts=facts, claim=claim, label=label)


def draw_story(random: Random, *, number: int) -> Story:
    """A story whose right ending is the first for even numbers."""
    facts = whereabouts(random)
    here, there = random.sample((facts[0], facts[2]), 2)
    absent = [place for place in concepts("place") if place not in (here.thing, there.thing)]
    wrong = Fact(subject=here.subject, relation="place", thing=random.choice(absent))
    return Story(facts=facts, right=here, wrong=wrong, gold=number % 2)


def draw_span(random: Random, *, number: int) -> Span:
    """A question about one of two people whose facts are of a kind."""
    facts = passage(random, number=PASSAGE_FACTS)
    return Span(facts=facts, asked=shared_relation(facts)[number % 2])


class Draw(Protocol):
    """Draws one item; `number` fixes where the right answer stands, so that places balance."""

    def __call__(self, random: Random, *, number: int) -> Item:
        """Draw an item."""
        ...


DRAWS: dict[str, Draw] = {
    "miniworld": draw_sentence,
    "mini_belebele": draw_reading,
    "mini_mmlu": draw_knowledge,
    "mini_xnli": draw_inference,
    "mini_xstorycloze": draw_story,
    "mini_xquad": draw_span,
}
ITEMS = 300


def items(dataset: str, *, split: Split) -> list[Item]:
    """The items of one data set and split, in no language; the same on every call."""
    if dataset not in DRAWS:
        raise ValueError(f"miniworld has no data set {dataset!r}; it has {', '.join(DRAWS)}")
    if split not in SPLITS:
        raise ValueError(f"miniworld has no split {split!r}; it has {', '.join(SPLITS)}")
    random = Random(f"miniworld {dataset} {split}")
    drawn: list[Item] = []
    seen: set[frozenset[Fact]] = set()
    while len(drawn) < ITEMS:
        item = draw_in_split(random, draw=DRAWS[dataset], number=len(drawn), split=split)
        if frozenset(item.facts) not in seen:
            seen.add(frozenset(item.facts))
            drawn.append(item)
    return drawn


def draw_in_split(random: Random, *, draw: Draw, number: int, split: Split) -> Item:
    """The first item drawn whose facts belong to the split."""
    while True:
        item = draw(random, number=number)
        if split_of(item.facts) == split:
            return item


def rows(dataset: str, *, language: str, split: Split = "test") -> list[Row]:
    """The rows of one data set in one language, with the columns of the real data set."""
    return [
        item.row(number, language=language)
        for number, item in enumerate(items(dataset, split=split))
    ]

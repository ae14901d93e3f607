"""Writes the texts the miniworld models are trained on, a method for each kind.

Much of the text says the same thing twice or more in different languages: that is what makes
languages align. Questions are put in the prompts of the benchmarks. Only worlds of one split are
told; the models that ship have read those of the train split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from actors.training.miniworld.document import Document, Segment, answer, quiz, told
from actors.training.miniworld.questions import ask
from studies.miniworld import grammar
from studies.miniworld.benchmarks import (
    Inference,
    claim_about,
    draw_in_split,
    draw_knowledge,
    draw_story,
    question_about,
)
from studies.miniworld.grammar import Fact
from studies.miniworld.knowledge import knowledge
from studies.miniworld.lexicon import (
    EXPOSURE,
    LANGUAGES,
    RELATIONS,
    PersonRelation,
    gender,
    people,
    word,
)
from studies.miniworld.worlds import (
    Split,
    any_relations,
    one_relation,
    passage,
    pick,
    split_of,
    things_of,
)
from studies.open_prompts import OPEN, put
from studies.prompts import LETTERS

# How many people a passage tells of, and how many of them have things of one kind.
Passages = tuple[tuple[int, int], ...]


def _person(fact: Fact, *, language: str) -> str:
    return word(fact.subject, kind=gender(fact.subject), language=language)


def _thing(fact: Fact, *, language: str) -> str:
    return grammar.thing(fact.thing, relation=fact.relation, language=language)


def _note(fact: Fact, *, language: str) -> tuple[str, str]:
    """A line that says whose a thing is, in two parts: whose, and what."""
    return f"{_person(fact, language=language)}:", f" {_thing(fact, language=language)}\n"


def _listed(facts: Sequence[Fact], *, language: str) -> list[str]:
    """Their things as lettered lines."""
    things = (_thing(fact, language=language) for fact in facts)
    return [f"{letter}: {thing}\n" for letter, thing in zip(LETTERS, things, strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes documents of one split: a method for each kind, each given the document's language."""

    random: Random
    split: Split
    passages: Passages

    def write(self, kind: str, *, language: str) -> Document:
        """One document of a kind, in a language and, where several are compared, in others."""
        segments: Sequence[Segment] = getattr(self, kind)(language)
        return Document(kind=kind, segments=tuple(segments))

    def language(self) -> str:
        """A language, by exposure."""
        return self.random.choices(LANGUAGES, weights=list(EXPOSURE.values()))[0]

    def _languages(self, first: str, number: int) -> list[str]:
        """`first` and others, each drawn by exposure, none twice, in any order."""
        chosen = [first]
        while len(chosen) < number:
            other = self.language()
            if other not in chosen:
                chosen.append(other)
        self.random.shuffle(chosen)
        return chosen

    def _shuffled(self, facts: Sequence[Fact]) -> list[Fact]:
        return self.random.sample(facts, len(facts))

    def _of_split(self, draw: Callable[[], tuple[Fact, ...]]) -> tuple[Fact, ...]:
        """What is drawn first that belongs to the split."""
        while split_of(facts := draw()) != self.split:
            pass
        return facts

    def _any(self, number: int) -> tuple[Fact, ...]:
        return self._of_split(lambda: any_relations(self.random, number=number))

    def _passage(self) -> tuple[Fact, ...]:
        number, alike = self.random.choice(self.passages)
        return self._of_split(lambda: passage(self.random, number=number, alike=alike))

    def _alike(self, relation: PersonRelation, *, number: int) -> tuple[Fact, ...]:
        return self._of_split(lambda: one_relation(self.random, relation=relation, number=number))

    def translation(self, language: str) -> list[Segment]:
        """One sentence, line by line in two or three languages."""
        facts = self._any(2)
        first, *others = (
            grammar.two_facts(*facts, language=other)
            for other in self._languages(language, self.random.choice((2, 3)))
        )
        return [told(first), *(answer(f"\n{other}") for other in others)]

    def parallel(self, language: str) -> list[Segment]:
        """One short sentence, line by line in several languages."""
        (fact,) = self._any(1)
        first, *others = (
            grammar.sentence(fact, language=other) for other in self._languages(language, 4)
        )
        return [told(first), *(answer(f"\n{other}") for other in others)]

    def dictionary(self, language: str) -> list[Segment]:
        """Words for one thing in several languages, a few things in turn: words have no split."""
        chosen = self._languages(language, 4)
        segments = []
        for relation in self.random.sample(RELATIONS, 3):
            (concept,) = things_of(self.random, relation, number=1)
            words = [grammar.thing(concept, relation=relation, language=each) for each in chosen]
            segments += [told(words[0]), *(answer(f" = {word}") for word in words[1:]), told("\n")]
        return segments

    def tale(self, language: str) -> list[Segment]:
        """What is known of one country, told in one or two languages: knowledge has no split."""
        (fact,) = pick(self.random, knowledge(), number=1)
        turned = fact.relation == "capital" and self.random.random() < 0.5
        telling = grammar.capital_of if turned else grammar.sentence
        languages = self._languages(language, self.random.choice((1, 2)))
        first, *others = (telling(fact, language=each) for each in languages)
        return [answer(first), *(answer(f"\n{other}") for other in others)]

    def recital(self, language: str) -> list[Segment]:
        """A list of people and things, three times over: what came after a word comes again."""
        residents = self.random.sample(people(), self.random.randint(2, 4))
        words = [word(person, kind=gender(person), language=language) for person in residents]
        for relation in self.random.choices(RELATIONS, k=self.random.randint(2, 6)):
            (concept,) = things_of(self.random, relation, number=1)
            words.append(grammar.thing(concept, relation=relation, language=language))
        self.random.shuffle(words)
        line = " ".join(dict.fromkeys(words))
        return [told(line), answer(f" {line}"), answer(f" {line}")]

    def notes(self, language: str) -> list[Segment]:
        """People and their things, line by line, and lines of it again."""
        lines = [_note(fact, language=language) for fact in self._passage()]
        segments = [told(person + thing) for person, thing in lines]
        for person, thing in self.random.choices(lines, k=2 * len(lines)):
            segments += [told(person), answer(thing)]
        return segments

    def index(self, language: str) -> list[Segment]:
        """Lettered things of one kind, and things with their letters, some of them again."""
        relation = self.random.choice(RELATIONS)
        concepts = things_of(self.random, relation, number=self.random.choice((2, 3, 4, 4, 4)))
        things = [grammar.thing(each, relation=relation, language=language) for each in concepts]
        lettered = list(zip(LETTERS, things, strict=False))
        segments = [told("".join(f"{letter}: {thing}\n" for letter, thing in lettered))]
        for letter, thing in self.random.choices(lettered, k=2 * len(things)):
            segments += [told(f"{thing}:"), answer(f" {letter}\n")]
        return segments

    def matching(self, language: str) -> list[Segment]:
        """Who has what, a lettered list of it, and for everybody the letter of his or her thing."""
        return self._matching(language, between=False)

    def carrying(self, language: str) -> list[Segment]:
        """The same with a list between a question and its answer: the question is carried over."""
        return self._matching(language, between=True)

    def _matching(self, language: str, *, between: bool) -> list[Segment]:
        relation = self.random.choice(RELATIONS)
        facts = self._alike(relation, number=self.random.choice((2, 2, 3)))
        if self.random.random() < 0.7:
            about = "".join("".join(_note(fact, language=language)) for fact in facts)
        else:
            about = f"P: {grammar.passage(facts, language=language)}\n"
        options = self._shuffled(facts)
        before = not between or self.random.random() < 0.5
        listed = _listed(options, language=language)
        segments = [told(about + "".join(listed) if before else about)]
        named = self.random.random() < 0.7
        for fact in self._shuffled(facts):
            whose = (_person if named else grammar.question)(fact, language=language)
            if not between:
                asked = f"{whose}:" if named else f"Q: {whose}\nAnswer:"
            else:
                if before:  # the list again, or its beginning
                    shown = listed[: self.random.randint(0, len(facts))]
                else:
                    options = self._shuffled(facts)
                    shown = _listed(options, language=language)
                asked = f"Q: {whose}\n{''.join(shown)}Answer:"
            segments += [told(asked), answer(f" {LETTERS[options.index(fact)]}\n")]
        return segments

    def retelling(self, language: str) -> list[Segment]:
        """A passage, and its sentences again in another order."""
        facts, gap = self._passage(), grammar.gap(language)
        again = (grammar.sentence(fact, language=language) for fact in self._shuffled(facts))
        return [
            told(grammar.passage(facts, language=language)),
            *(answer(gap + sentence) for sentence in again),
        ]

    def span(self, language: str) -> list[Segment]:
        """A passage, and questions whose answers are spans of it, some of them again."""
        facts = self._passage()
        about = grammar.passage(facts, language=language)
        (prompt,) = OPEN["mini_xquad"].values()
        segments: list[Segment] = []
        for fact in self.random.choices(facts, k=2 * len(facts)):
            fields = {"context": about, "question": grammar.question(fact, language=language)}
            asked = put(prompt, language=language, fields=fields).prompt
            thing = _thing(fact, language=language)
            segments += [
                told(asked.removeprefix(f"{about}\n") if segments else asked),
                answer(prompt.answer.format(answer=thing) + prompt.stop[0]),
            ]
        return segments

    def reading(self, language: str) -> tuple[Segment, ...]:
        """A passage and, in any order, a question and its answer for everybody in it."""
        return self._reading(prompt="cloze", language=language)

    def reading_across(self, language: str) -> tuple[Segment, ...]:
        """The same, with the passage in another language than its questions and answers."""
        told_in, asked_in = self._languages(language, 2)
        return self._reading(prompt="cloze", language=asked_in, told_in=told_in)

    def reading_letters(self, language: str) -> tuple[Segment, ...]:
        """The same with lettered options, answered with the letter."""
        prompt = self.random.choice(("letter", "latent"))
        return self._reading(prompt=prompt, language=language, judged=self._judged())

    def _judged(self) -> bool:
        """Whether a verdict follows every option: what letters stand for is learned by it."""
        return self.random.random() < 0.5

    def _reading(
        self, *, prompt: str, language: str, told_in: str = "", judged: bool = False
    ) -> tuple[Segment, ...]:
        facts = self._passage()
        asked = [
            ask(
                question_about(facts, asked=place, random=self.random, at=self.random.randrange(4)),
                dataset="mini_belebele",
                prompt=prompt,
                language=language,
                told_in=told_in,
                judged=judged,
            )
            for place in self.random.sample(range(len(facts)), len(facts))
        ]
        about = grammar.passage(facts, language=told_in or language)
        return quiz(asked, about=about)

    def knowledge_answers(self, language: str) -> tuple[Segment, ...]:
        """A question of knowledge and its answer."""
        return self._knowledge(prompt="cloze", language=language)

    def knowledge_letters(self, language: str) -> tuple[Segment, ...]:
        """A question of knowledge with lettered options, answered with the letter."""
        prompt = self.random.choice(("letter", "latent"))
        return self._knowledge(prompt=prompt, language=language, judged=self._judged())

    def _knowledge(
        self, *, prompt: str, language: str, judged: bool = False
    ) -> tuple[Segment, ...]:
        item = draw_in_split(
            self.random, draw=draw_knowledge, number=self.random.randrange(4), split=self.split
        )
        asked = ask(item, dataset="mini_mmlu", prompt=prompt, language=language, judged=judged)
        return quiz([asked])

    def inference(self, language: str) -> tuple[Segment, ...]:
        """A premise, and claims with their verdicts."""
        return self._inference(prompt="labels", language=language)

    def inference_digits(self, language: str) -> tuple[Segment, ...]:
        """A premise, and claims with their verdicts as digits."""
        return self._inference(prompt="digit", language=language)

    def _inference(self, *, prompt: str, language: str) -> tuple[Segment, ...]:
        number = self.random.choice((1, 2, 2))
        facts = self._alike("place", number=number)
        asked = []
        for label in self.random.choices(range(3), k=4):
            claim = claim_about(facts, label=label, random=self.random)
            item = Inference(facts=facts, claim=claim, label=label)
            asked.append(ask(item, dataset="mini_xnli", prompt=prompt, language=language))
        about = grammar.passage(facts, language=language)
        return quiz(asked, about=about)

    def story(self, language: str) -> tuple[Segment, ...]:
        """Four sentences, and how they go on, in one of the prompts that ask for it."""
        item = draw_in_split(
            self.random, draw=draw_story, number=self.random.randrange(2), split=self.split
        )
        prompt = self.random.choice(("cloze", "cloze", "latent", "digit"))
        judged = prompt != "cloze" and self._judged()
        asked = ask(
            item, dataset="mini_xstorycloze", prompt=prompt, language=language, judged=judged
        )
        return quiz([asked])

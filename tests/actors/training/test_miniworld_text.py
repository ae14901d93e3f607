"""What the miniworld models are trained on: the benchmarks' own prompts, and no test item."""

from collections import Counter
from itertools import islice

import pytest

from actors.training.miniworld.curriculum import CURRICULUM, EVERYTHING, documents
from actors.training.miniworld.skills import SKILLS, skill
from studies.benchmarks import load
from studies.miniworld import LANGUAGES, rows
from studies.rows import Source

DOCUMENTS = 20_000


@pytest.mark.parametrize("name", SKILLS)
def test_skills_are_asked_for_as_studies_ask(name: str) -> None:
    dataset, prompt = SKILLS[name]
    for language in LANGUAGES:
        found = load(dataset, language=language, source=Source(), prompt=prompt).items
        asked = skill(name, language=language, split="test", number=len(found))
        assert [(each.context, each.options, each.gold) for each in asked] == [
            (item.context, item.options, item.gold) for item in found
        ]


def test_training_text_tells_no_test_item_in_any_language() -> None:
    texts = {
        str(row[column])
        for dataset, column in (
            ("miniworld", "sentence"), ("mini_belebele", "flores_passage"),
            ("mini_xnli", "premise"), ("mini_xquad", "context"),
        )
        for language in LANGUAGES
        for row in rows(dataset, language=language)
    }  # fmt: skip
    contexts = {
        item.context
        for dataset, prompt in SKILLS.values()
        if (dataset, prompt) != ("mini_mmlu", "cloze")  # without options, it is the fact itself
        for language in LANGUAGES
        for item in load(dataset, language=language, source=Source(), prompt=prompt).items
    }
    for document in islice(documents(seed=0, curriculum=[EVERYTHING]), DOCUMENTS):
        lines = set(document.text.split("\n"))
        assert not {line.removeprefix("P: ") for line in lines} & texts, document
        assert document.segments[0].text not in contexts, document


def test_every_kind_of_text_is_written_and_shares_add_up() -> None:
    found = islice(documents(seed=0, curriculum=[EVERYTHING]), DOCUMENTS)
    kinds = Counter(document.kind for document in found)
    assert set(kinds) == set(EVERYTHING.kinds)
    for stage in CURRICULUM:
        assert sum(stage.kinds.values()) == pytest.approx(1.0)


def test_the_first_stages_are_english_and_the_last_is_endless() -> None:
    *first, last = CURRICULUM
    assert all(stage.english and stage.documents for stage in first)
    assert not last.english and last.documents is None


def test_a_verdict_stands_behind_every_option_or_none() -> None:
    """And the right option alone is called true."""
    seen = set()
    for document in islice(documents(seed=0, curriculum=[EVERYTHING]), DOCUMENTS):
        if document.kind not in ("reading_letters", "knowledge_letters"):
            continue
        answers = [segment.text for segment in document.segments if segment.is_answer]
        verdicts = [text for text in answers if text in (" True", " False")]
        letters = [text for text in answers if text.strip() in "ABCD"]
        assert len(verdicts) in (0, 4 * len(letters))
        for number, letter in enumerate(letters):
            own = verdicts[4 * number : 4 * number + 4]
            assert not own or own.index(" True") == "ABCD".index(letter.strip())
        seen.add(bool(verdicts))
    assert seen == {True, False}


def test_the_stream_is_the_same_on_every_call() -> None:
    first, second = (list(islice(documents(seed=3), 50)) for _ in range(2))
    assert first == second
    assert first != list(islice(documents(seed=4), 50))

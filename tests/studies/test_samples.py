"""Samples: the same texts in every language, in the first one's order, enough of them."""

import pytest

from studies import samples
from studies.rows import Source

SOURCE = Source()
THREE = ("eng_Latn", "deu_Latn", "rus_Cyrl")


def load(dataset: str = "mini_xquad", **given: object) -> tuple[samples.Samples, ...]:
    wanted = {"languages": THREE, "source": SOURCE, "size": 20} | given
    return samples.load(dataset, **wanted)  # type: ignore[arg-type]


def test_the_same_ids_in_every_language_and_twice_as_many_where_there_are() -> None:
    found = load()
    assert [one.language for one in found] == list(THREE)
    assert len({one.ids for one in found}) == 1 and len(found[0].ids) == 40
    assert len({one.texts for one in found}) == 3
    assert len(found[0].blocks) == 8 and found[0].blocks[3][1] == 20
    (most, *_) = load(size=200)  # of 300
    assert len(most.ids) == 200 and len(most.blocks) == 4


def test_what_of_a_question_is_read() -> None:
    context, both, prompt = (
        load(text=text)[1].texts[0] for text in ("context", "context_question", "full_prompt")
    )
    assert both.startswith(context + "\n") and both.endswith("?")
    assert prompt.startswith(context) and "Question:" in prompt


def test_parallel_text_has_sentences_alone() -> None:
    found = load("miniworld")
    assert len({one.ids for one in found}) == 1 and found[0].texts[0] != found[1].texts[0]
    with pytest.raises(ValueError, match="stat_text=context has no effect on miniworld"):
        load("miniworld", text="context")


def test_what_cannot_be_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="300 texts are there in all of 3 languages, 301 were"):
        load(size=301)
    with pytest.raises(ValueError, match="7 samples are too few"):
        load(size=7)
    with pytest.raises(ValueError, match="tatoeba pairs every language with sentences of its own"):
        samples.languages("tatoeba", source=SOURCE)
    with pytest.raises(ValueError, match="mini_xnli is answered by choosing"):
        samples.languages("mini_xnli", source=SOURCE)


def test_size_and_texts_bear_identity() -> None:
    one, other = load()[0], load(size=10)[0]
    assert one.ids[:20] == other.ids and one.fingerprint != other.fingerprint
    assert load()[0].fingerprint == one.fingerprint
    assert load(text="context")[0].fingerprint != one.fingerprint

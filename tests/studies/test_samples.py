"""Samples: the same texts in every language, in the first one's order, enough of them."""

from pathlib import Path

import pytest

from studies import samples
from studies.generation_items import question_set
from studies.rows import Source
from tests.makers.world import write_lines

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


def spans(root: Path, language: str, ids: list[int]) -> None:
    """Questions about contexts, whose ids are in this order."""
    rows = [
        {
            "id": f"q{number}",
            "context": f"{language} context {number}",
            "question": f"{language} question {number}?",
            "answers": {"text": [str(number)], "answer_start": [0]},
        }
        for number in ids
    ]
    write_lines(root / "xquad" / f"{language}.jsonl", rows)  # type: ignore[arg-type]


def test_texts_are_in_the_first_ones_order_and_those_that_all_have(tmp_path: Path) -> None:
    spans(tmp_path, "en", [*range(12, 0, -1), 20])
    spans(tmp_path, "de", [30, *range(1, 13)])
    spans(tmp_path, "ru", [3, 1, 2, *range(4, 12), 20])  # lacks 12
    given = {"languages": THREE, "source": Source(data_root=tmp_path)}
    found = samples.load("xquad", size=8, **given)  # type: ignore[arg-type]
    shared = [*range(11, 0, -1)][:8]
    for one, code in zip(found, ("en", "de", "ru"), strict=True):
        assert one.ids == tuple(f"q{number}" for number in shared) and one.size == 8
        assert one.texts == tuple(f"{code} context {n}\n{code} question {n}?" for n in shared)
    german = ("deu_Latn", "eng_Latn", "rus_Cyrl")
    (first, *_) = samples.load("xquad", size=8, **given | {"languages": german})  # type: ignore[arg-type]
    assert first.ids == tuple(f"q{number}" for number in range(1, 9))
    with pytest.raises(ValueError, match="11 texts are there in all of 3 languages, 12 were asked"):
        samples.load("xquad", size=12, **given)  # type: ignore[arg-type]


def test_a_prompt_is_read_as_it_is_asked() -> None:
    asked = question_set("mini_xquad", language="deu_Latn", source=SOURCE)
    prompts = {item.id: item.prompt for item in asked.items}
    (_, german, _) = load(text="full_prompt")
    assert [prompts[id] for id in german.ids] == list(german.texts)


def test_questions_without_a_context_have_none_to_read(tmp_path: Path) -> None:
    problems = [{"id": k, "question": f"{k} + 1?", "answer_number": str(k + 1)} for k in range(9)]
    for code in ("en", "de", "ru"):
        write_lines(tmp_path / "mgsm" / f"{code}.jsonl", problems)  # type: ignore[arg-type]
    given = {"languages": THREE, "source": Source(data_root=tmp_path), "size": 8}
    (one, *_) = samples.load("mgsm", **given)  # type: ignore[arg-type]
    assert one.texts[3] == "3 + 1?"
    with pytest.raises(
        ValueError, match="stat_text=context: the questions of mgsm have no context"
    ):
        samples.load("mgsm", text="context", **given)  # type: ignore[arg-type]


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
    most, half = load(size=300)[0], load(size=150)[0]
    assert most.texts == half.texts and most.fingerprint != half.fingerprint

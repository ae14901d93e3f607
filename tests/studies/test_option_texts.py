"""Texts of options in a language and its pivot: as the DALI paper's, parallel, and of whose key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies import option_texts
from studies.inputs import Inputs
from studies.kinds.option_alignment import Embedding, OptionGrid, draft
from studies.option_texts import Loaded
from studies.rows import Source
from studies.spec import Row
from tests.makers.stored import MODEL
from tests.studies.test_benchmarks import SAMPLES, STORY, write

DEU, ENG = "deu_Latn", "eng_Latn"


def load(source: Source, benchmark: str = "m_arc", **more: Any) -> Loaded:
    return option_texts.load(benchmark, source=source, **{"language": DEU, "pivot": ENG, **more})


def rows(language: str, *ids: str, gold: str = "B") -> list[Row]:
    options = {f"option_{k}": f"{language} {k}" for k in "abcd"}
    return [
        {"id": id, "instruction": f"{language} {id}?", **options, "option_e": None, "answer": gold}
        for id in ids
    ]


def both(root: Path, own: list[Row], pivot: list[Row], *, benchmark: str = "m_arc") -> Source:
    write(root, f"{benchmark}/{ENG}.jsonl", pivot)
    return write(root, f"{benchmark}/{DEU}.jsonl", own)


def test_a_reading_question_with_each_of_its_answers(tmp_path: Path) -> None:
    german: Row = {
        **SAMPLES["belebele"],
        "flores_passage": "Anna isst Reis.",
        "question": "Was isst sie?",
        **{
            f"mc_answer{place}": text
            for place, text in enumerate(("Reis", "Ei", "Obst", "Brot"), 1)
        },
    }
    source = both(tmp_path, [german], [SAMPLES["belebele"]], benchmark="belebele")
    found, dropped = load(source, "belebele")
    (one,) = found.items
    assert (dropped, found.prompt, one.gold) == (0, "cloze", 0)
    assert one.texts == tuple(
        f"Anna isst Reis. Was isst sie? {answer}" for answer in ("Reis", "Ei", "Obst", "Brot")
    )
    assert one.pivot_texts[3] == "Anna eats rice. What does Anna eat? {bread}"
    assert (one.premise, one.pivot_premise) == (
        "Anna isst Reis. Was isst sie?",
        "Anna eats rice. What does Anna eat?",
    )
    # The likeliest wrong options are those of the question with letters.
    assert found.asked.prompt == "letter"
    assert found.asked.items[0].options == (" A", " B", " C", " D")
    assert found.asked.items[0].context.startswith(
        "P: Anna isst Reis.\nQ: Was isst sie?\nA: Reis\n"
    )


def test_a_story_with_each_of_its_endings(tmp_path: Path) -> None:
    source = both(tmp_path, [STORY], [STORY], benchmark="xstorycloze")
    (one,) = load(source, "xstorycloze").texts.items
    assert one.texts == one.pivot_texts
    assert one.texts == (
        "Part 1. Part 2. Part 3. Part 4. Sad end.",
        "Part 1. Part 2. Part 3. Part 4. Good end.",
    )
    assert one.premise == one.pivot_premise == "Part 1. Part 2. Part 3. Part 4."


WRAPPED: Row = {
    "idx": 0,
    "premise": "The object was wrapped in bubble wrap.",
    "choice1": "It was gentle.",
    "choice2": "It was small.",
    "question": "cause",
    "label": 0,
}
IN_OTHERS: dict[str, tuple[str, str, str]] = {
    "est_Latn": ("Ese oli mullikilesse mässitud.", "See oli õrn.", "See oli väike."),
    "zho_Hans": ("该物品用气泡包装纸包着。", "它很易碎。", "它很小。"),
    "tha_Thai": ("สิ่งของถูกห่อไว้ในพลาสติก", "มันบอบบาง", "มันเล็ก"),
}


def cause_or_effect(root: Path, language: str, question: str) -> Source:
    """The same item as a cause or an effect, whichever the Thai row says itself."""
    texts = dict(zip(("premise", "choice1", "choice2"), IN_OTHERS[language], strict=True))
    asks: Row = {"question": question, "question_en": question}
    write(root, f"xcopa/{ENG}.jsonl", [{**WRAPPED, **asks}])
    own: Row = {**WRAPPED, **texts, **asks}
    if language == "tha_Thai":
        own["question"] = "effect"
    return write(root, f"xcopa/{language}.jsonl", [own])


def test_a_cause_with_each_of_its_choices(tmp_path: Path) -> None:
    source = cause_or_effect(tmp_path, "est_Latn", "cause")
    (one,) = load(source, "xcopa", language="est_Latn").texts.items
    assert one.pivot_texts == (
        "The object was wrapped in bubble wrap because it was gentle.",
        "The object was wrapped in bubble wrap because it was small.",
    )
    assert one.texts == (
        "Ese oli mullikilesse mässitud sest see oli õrn.",
        "Ese oli mullikilesse mässitud sest see oli väike.",
    )
    assert one.premise == "Ese oli mullikilesse mässitud."
    assert one.pivot_premise == "The object was wrapped in bubble wrap."


CONNECTED = {
    # language, question: the connectors that are right, and those of the released inputs
    ("est_Latn", "cause"): ("sest", "because", "sest", "because"),
    ("est_Latn", "effect"): ("seetõttu", "therefore", "seetõttu", "because"),
    ("zho_Hans", "cause"): ("因为", "because", "因为", "because"),
    ("zho_Hans", "effect"): ("所以", "therefore", "因为", "because"),
    ("tha_Thai", "cause"): ("เพราะ", "because", "ดังนั้น", "because"),
    ("tha_Thai", "effect"): ("ดังนั้น", "therefore", "ดังนั้น", "because"),
}


@pytest.mark.parametrize(("language", "question"), CONNECTED)
def test_connectors_are_the_right_ones_or_those_of_the_released_inputs(
    tmp_path: Path, language: str, question: str
) -> None:
    """What is wrong there: every English one, the Chinese of effects, the Thai of causes."""
    source = cause_or_effect(tmp_path, language, question)
    own, pivot, released, released_pivot = CONNECTED[language, question]
    premise, first, _ = IN_OTHERS[language]
    own_row = own
    if language == "tha_Thai":
        own_row = "ดังนั้น"
    ways = {None: (own, pivot), "released": (released, released_pivot), "own": (own_row, pivot)}
    for given, connectors in ways.items():
        found = load(source, "xcopa", language=language, prompt=given).texts
        assert found.prompt == (given or "connector")
        (one,) = found.items
        option = first[0].lower() + first[1:]
        assert one.texts[0] == f"{premise.rstrip('.。')} {connectors[0]} {option}"
        assert one.pivot_texts[0].split(" wrap ")[1] == f"{connectors[1]} it was gentle."
        assert (one.premise, one.pivot_premise) == (premise, WRAPPED["premise"])


def test_items_are_those_of_both_in_the_languages_order(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "c", "a", "x", "b"), rows(ENG, "a", "b", "y", "z", "c"))
    found, dropped = load(source)
    assert [one.id for one in found.items] == ["c", "a", "b"]
    assert [one.id for one in found.asked.items] == ["c", "a", "b"]
    assert dropped == 3
    assert found.items[1].texts[0] == "Question: deu_Latn a?\nAnswer: deu_Latn a"
    assert found.items[1].pivot_texts[2] == "Question: eng_Latn a?\nAnswer: eng_Latn c"
    few, left = load(source, limit=2)
    assert ([one.id for one in few.items], left) == (["a"], 2)
    with pytest.raises(ValueError, match="m_arc: deu_Latn and eng_Latn share no item: raise the"):
        load(source, limit=1)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"option_d": None}, "item 'b' has 3 options in deu_Latn and 4 in eng_Latn: drop it, or"),
        (
            {"answer": "C"},
            "item 'b' has right answer 3 in deu_Latn and 2 in eng_Latn, as if its",
        ),
    ],
)
def test_items_that_are_not_the_same_are_refused(
    tmp_path: Path, own: dict[str, object], message: str
) -> None:
    source = both(tmp_path, [*rows(DEU, "a"), {**rows(DEU, "b")[0], **own}], rows(ENG, "a", "b"))
    with pytest.raises(ValueError, match=message) as found:
        load(source)
    assert "\n" not in str(found.value)


def test_benchmarks_without_texts_to_compare_are_refused(tmp_path: Path) -> None:
    fact = SAMPLES["bmlama17"]
    source = both(tmp_path, [fact], [fact], benchmark="bmlama17")
    with pytest.raises(ValueError, match="bmlama17 puts no question before its options, so"):
        load(source, "bmlama17")
    with pytest.raises(ValueError, match="mgsm is answered by generating text"):
        load(source, "mgsm")
    single = {"question": "Why?", "options": ["so"], "answer": 0}
    source = both(tmp_path, [single], [single], benchmark="mine")
    with pytest.raises(
        ValueError, match=r"deu_Latn\.jsonl, line 1: 1 options, expected at least 2"
    ):
        load(source, "mine")


def grid(benchmark: str = "m_arc", **more: Any) -> OptionGrid:
    return OptionGrid(**{"benchmark": benchmark, "languages": ("all",), **more})


def test_options_of_one_text_and_items_left_out_are_remarked(tmp_path: Path) -> None:
    alike = {**rows(DEU, "b")[0], "option_c": "deu_Latn a"}
    source = both(tmp_path, [*rows(DEU, "a"), alike], rows(ENG, "a", "b", "c"))
    inputs = Inputs(source=source)
    (made,) = grid().drafts([MODEL], inputs)
    assert inputs.notes == [
        "m_arc: 1 items are not there in both deu_Latn and eng_Latn, and are left out"
    ]
    assert source.sentences() == [
        "m_arc: 1 items have options of the same text, which no model can tell apart (deu_Latn 1)"
    ]
    assert (made.kind, made.rows, len(made.cells)) == ("option_alignment", 2, 1)
    assert inputs.languages == {DEU, ENG}


def key_of(source: Source, benchmark: str = "m_arc", **more: Any) -> str:
    """The key of the one cell of the German texts."""
    how = Embedding(**{name: more.pop(name) for name in ("dali_pool",) if name in more})
    found = draft(load(source, benchmark, **more).texts, model=MODEL, embedding=how)
    (cells,) = found.cells
    return next(iter(cells)).key


def test_keys_follow_from_texts_and_from_what_is_compared(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "a", "b"))
    key = key_of(source)
    assert key == key_of(source, limit=2) == key_of(source, dali_pool="last")
    others = [key_of(source, dali_pool="weighted"), key_of(source, limit=1)]
    # A row more in another language, or an item that the language lacks, changes nothing.
    write(tmp_path, "m_arc/fra_Latn.jsonl", rows("fra_Latn", "a"))
    assert key == key_of(both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "a", "b", "c")))
    changed = (
        (rows(DEU, "a", "b"), [*rows(ENG, "a"), {**rows(ENG, "b")[0], "option_a": "other"}]),
        ([*rows(DEU, "a"), {**rows(DEU, "b")[0], "instruction": "Other?"}], rows(ENG, "a", "b")),
        (rows(DEU, "a", "b", gold="A"), rows(ENG, "a", "b", gold="A")),
    )
    others += [key_of(both(tmp_path, *sides)) for sides in changed]
    assert len({key, *others}) == 6
    thai = cause_or_effect(tmp_path, "tha_Thai", "cause")
    plain, released = (
        key_of(thai, "xcopa", language="tha_Thai", prompt=one) for one in (None, "released")
    )
    assert plain != released


def test_the_benchmark_alone_has_released_connectors(tmp_path: Path) -> None:
    """The switch is of XCOPA: the others beside it keep their texts, and their keys."""
    source = both(tmp_path, rows(DEU, "a"), rows(ENG, "a"))
    cause_or_effect(tmp_path, "est_Latn", "effect")
    how = Embedding(xcopa_connectors="released")
    keys = {}
    for benchmark in ("m_arc", "xcopa"):
        for embedding in (Embedding(), how):
            one = grid(benchmark, embedding=embedding)
            (made,) = one.drafts([MODEL], Inputs(source=source))
            keys.setdefault(benchmark, []).append(next(iter(made.cells[0])).key)
    assert keys["m_arc"][0] == keys["m_arc"][1]
    assert keys["xcopa"][0] != keys["xcopa"][1]


def test_every_text_is_seen_by_who_asks(tmp_path: Path) -> None:
    source = both(tmp_path, rows(DEU, "a", "b"), rows(ENG, "a", "b"))
    found = load(source).texts
    seen = [*found.inputs()]
    first = found.items[0]
    assert {first.premise, first.pivot_premise, *first.texts, *first.pivot_texts} < {*seen}
    assert len(seen) == 2 * (2 + 4 + 4) + 2
    assert found.characters == sum(map(len, seen))
    assert [one["id"] for one in found.shown()] == ["a", "b"]
    assert found.fingerprint != replace(found, items=found.items[::-1]).fingerprint


def test_the_real_benchmarks_have_their_texts(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    for benchmark, language, count in (
        ("belebele", DEU, 500),
        ("xstorycloze", "spa_Latn", 300),
        ("xcopa", "tha_Thai", 500),
    ):
        found, dropped = load(source, benchmark, language=language)
        assert (len(found.items), dropped) == (count, 0)
        assert all(one.premise != one.pivot_premise for one in found.items)
    released = load(source, "xcopa", language="tha_Thai", prompt="released").texts
    assert all(" ดังนั้น " in text for one in released.items for text in one.texts)
    assert all(" because " in text for one in released.items for text in one.pivot_texts)
    english = load(source, "xcopa", language="est_Latn").texts.items[0]
    assert english.pivot_texts[0] == "The item was packaged in bubble wrap because it was fragile."

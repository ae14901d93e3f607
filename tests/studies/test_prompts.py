"""Prompts: the one of the latent-process paper, and how switches of asking change what is put."""

from dataclasses import replace
from pathlib import Path

import pytest

from studies import benchmarks
from studies.benchmarks import BENCHMARKS
from studies.prompt_options import Asking, Chat
from studies.prompts import INSTRUCTION, connector
from studies.row_parsers import RawQuestion
from studies.rows import Source
from studies.spec import Row
from studies.texts import ChoiceSet
from tests.studies.test_benchmarks import KNOWLEDGE, SAMPLES, write

ASKED = "Question: Two and two?\nA: 3\nB: 4\nC: 5\nD: 6\nAnswer:"
LETTERS = (" A", " B", " C", " D")
BARE = ("A", "B", "C", "D")


def put(
    root: Path, benchmark: str = "m_mmlu", *, prompt: str | None = "latent", **switches: object
) -> ChoiceSet:
    row: Row = SAMPLES[benchmark]
    source = write(root, f"{benchmark}/eng_Latn.jsonl", [row])
    asking = Asking(**switches)
    return benchmarks.load(
        benchmark, language="eng_Latn", source=source, prompt=prompt, asking=asking
    )


LATENT = {
    "belebele": "Anna eats rice.\nQuestion: What does Anna eat?\n"
    "A: rice\nB: cheese\nC: fruit\nD: {bread}\nAnswer:",
    "global_mmlu_lite": ASKED,
    "m_arc": ASKED,
    "m_mmlu": ASKED,
    "mmmlu": ASKED,
    "m_hellaswag": "Question: He falls.\nA: a\nB: b\nC: c\nD: d\nAnswer:",
    "xstorycloze": "Question: Part 1. Part 2. Part 3. Part 4.\nA: Sad end.\nB: Good end.\nAnswer:",
}


@pytest.mark.parametrize("benchmark", LATENT)
def test_the_prompt_of_the_latent_process_paper(tmp_path: Path, benchmark: str) -> None:
    found = put(tmp_path, benchmark)
    assert found.prompt == "latent"
    assert found.items[0].context == (
        "Given the following question and answer choices, output the letter corresponding to the "
        "correct answer.\n" + LATENT[benchmark]
    )
    assert found.items[0].options == LETTERS[: len(found.items[0].options)]


def test_the_prompt_of_the_paper_is_nobodys_default() -> None:
    having = [name for name, entry in BENCHMARKS.items() if "latent" in entry.prompts]
    assert {*LATENT, "mini_belebele", "mini_xstorycloze"} <= {*having}
    assert all([*BENCHMARKS[name].prompts][-1] == "latent" for name in having)
    usual = {name: next(iter(BENCHMARKS[name].prompts)) for name in having}
    letters = {"belebele", "belebele_seahelm", "global_mmlu_lite", "m_mmlu", "mmmlu"}
    letters |= {"mini_belebele", "mini_mmlu"}
    assert {name for name, prompt in usual.items() if prompt == "letter"} == letters
    assert {usual[name] for name in having if name not in letters} == {"cloze"}


def test_the_usual_asking_changes_nothing(tmp_path: Path) -> None:
    found = put(tmp_path)
    assert (found.prompt, found.variants, found.chat) == ("latent", 1, None)
    assert found.fingerprint == ("3a9510e469451398a60fe716fe4501d5be6a5b902b4b0affb3d9cf76a7eb420a")


def test_instruction_and_separator_change_the_prompt_of_the_paper(tmp_path: Path) -> None:
    plain = put(tmp_path, instruction=False)
    assert (plain.prompt, plain.items[0].context) == ("latent, instruction=false", ASKED)
    spaced = put(tmp_path, prompt_sep="space")
    assert spaced.prompt == "latent, prompt_sep=space"
    assert spaced.items[0].context == (INSTRUCTION + ASKED).replace("\n", " ")
    both = put(tmp_path, instruction=False, prompt_sep="space")
    assert both.items[0].context == ASKED.replace("\n", " ")
    assert both.items[0].options == LETTERS


def test_line_breaks_of_the_texts_stay(tmp_path: Path) -> None:
    row = {**KNOWLEDGE, "instruction": "Two\nand two?"}
    source = write(tmp_path, "m_mmlu/eng_Latn.jsonl", [row])
    found = benchmarks.load(
        "m_mmlu",
        language="eng_Latn",
        source=source,
        prompt="latent",
        asking=Asking(prompt_sep="space"),
    )
    assert " Question: Two\nand two? A: 3 B: 4" in found.items[0].context


@pytest.mark.parametrize("prompt", ["latent", "letter"])
def test_letters_with_and_without_a_space(tmp_path: Path, prompt: str) -> None:
    usual = put(tmp_path, prompt=prompt)
    bare = put(tmp_path, prompt=prompt, letter_token="nospace")
    assert (bare.items[0].options, bare.variants) == (BARE, 1)
    both = put(tmp_path, prompt=prompt, letter_token="logsumexp_both")
    assert (both.items[0].options, both.variants) == (LETTERS + BARE, 2)
    assert both.prompt == f"{prompt}, letter_token=logsumexp_both"
    assert {each.items[0].context for each in (usual, bare, both)} == {usual.items[0].context}
    assert {each.items[0].gold for each in (usual, bare, both)} == {1}
    assert len({each.fingerprint for each in (usual, bare, both)}) == 3


def test_a_chat_template_takes_any_prompt(tmp_path: Path) -> None:
    found = put(tmp_path, prompt="cloze", chat_template=True)
    assert (found.chat, found.prompt) == (Chat(), "cloze, chat_template")
    assert found.items == put(tmp_path, prompt="cloze").items
    told = put(tmp_path, chat_template=True, system="Be brief.")
    assert told.chat == Chat(system="Be brief.")
    assert told.prompt == "latent, chat_template, system=Be brief."


@pytest.mark.parametrize(
    ("benchmark", "prompt", "switches", "message"),
    [
        (
            "m_arc",
            None,
            {"instruction": False},
            "instruction=false has no effect on the prompt 'cloze': it is for the prompt 'latent'",
        ),
        (
            "belebele",
            "letter",
            {"prompt_sep": "space"},
            "prompt_sep=space has no effect on the prompt 'letter'",
        ),
        (
            "xnli",
            None,
            {"letter_token": "nospace"},
            "letter_token=nospace has no effect on the prompt 'labels', whose options are texts",
        ),
        (
            "bmlama17",
            None,
            {"letter_token": "logsumexp_both"},
            "letter_token=logsumexp_both has no effect on the prompt 'sentence'",
        ),
        ("belebele", "latent", {"system": "Hi"}, "system='Hi' has no effect without the chat"),
    ],
)
def test_a_switch_without_effect_is_refused(
    tmp_path: Path, benchmark: str, prompt: str | None, switches: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        put(tmp_path, benchmark, prompt=prompt, **switches)


DIGITS = {
    "xcopa": "Based on the premise and two choices, select the choice that is the most likely "
    "cause of the premise.\nPremise: The man fell.\n0. it was dark.\n1. he sang.\n",
    "xstorycloze": "Based on the story and two choices, select the choice that is the most likely "
    "continuation of the story.\nStory: Part 1. Part 2. Part 3. Part 4.\n0. Sad end.\n"
    "1. Good end.\n",
}


@pytest.mark.parametrize("benchmark", DIGITS)
def test_the_digits_of_the_dali_paper(tmp_path: Path, benchmark: str) -> None:
    """Its prompts end in a space, which belongs to the digit here."""
    found = put(tmp_path, benchmark, prompt="digit").items[0]
    assert found.context == DIGITS[benchmark] + "The correct choice number is:"
    assert found.options == (" 0", " 1")
    bare = put(tmp_path, benchmark, prompt="digit", letter_token="nospace").items[0]
    assert (bare.context, bare.options) == (found.context, ("0", "1"))


@pytest.mark.parametrize(
    ("language", "own", "asks", "word"),
    [
        ("eng_Latn", "effect", "effect", "because"),
        ("zho_Hans", "effect", "effect", "因为"),
        ("tha_Thai", "effect", "cause", "ดังนั้น"),
        ("est_Latn", "effect", "effect", "seetõttu"),
        ("est_Latn", "cause", "cause", "sest"),
        # What a row says itself is wrong in some, and was released so.
        ("ita_Latn", "cause", "effect", "perché"),
    ],
)
def test_connectors_of_the_released_inputs(
    tmp_path: Path, language: str, own: str, asks: str, word: str
) -> None:
    row: Row = {**SAMPLES["xcopa"], "question": own, "question_en": asks}
    source = write(tmp_path, f"xcopa/{language}.jsonl", [row])
    found = benchmarks.load("xcopa", language=language, source=source, prompt="released")
    assert found.items[0].context == f"The man fell {word}"
    for prompt, question in (("connector", asks), ("own", own)):
        right = benchmarks.load("xcopa", language=language, source=source, prompt=prompt)
        assert right.items[0].context == f"The man fell {connector(language, question=question)}"


def test_the_first_prompts_of_texts_and_of_symbols() -> None:
    texts, symbols = (
        {name: ask(name, source=Source()) for name in ("belebele", "xcopa", "xstorycloze", "m_arc")}
        for ask in (benchmarks.text_prompt, benchmarks.symbol_prompt)
    )
    assert texts == {
        "belebele": "cloze", "xcopa": "connector", "xstorycloze": "cloze", "m_arc": "cloze",
    }  # fmt: skip
    assert symbols == {
        "belebele": "letter", "xcopa": "digit", "xstorycloze": "digit", "m_arc": "letter",
    }  # fmt: skip
    assert benchmarks.symbol_prompt("bmlama17", source=Source()) is None
    for ask in (benchmarks.text_prompt, benchmarks.symbol_prompt):
        with pytest.raises(ValueError, match="xquad is answered by generating text"):
            ask("xquad", source=Source())
        with pytest.raises(ValueError, match="unknown benchmark 'riddles'"):
            ask("riddles", source=Source())


def test_without_a_prompt_of_texts_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BENCHMARKS["xcopa"]
    monkeypatch.setitem(
        BENCHMARKS, "xcopa", replace(entry, prompts={"digit": entry.prompts["digit"]})
    )
    with pytest.raises(
        ValueError, match="xcopa has no prompt whose options are texts, only digit:"
    ):
        benchmarks.text_prompt("xcopa", source=Source())


def test_a_question_can_be_changed_before_it_is_put(tmp_path: Path) -> None:
    source = write(tmp_path, "m_mmlu/eng_Latn.jsonl", [KNOWLEDGE, {**KNOWLEDGE, "id": "q/2"}])

    def turned(id: str, question: RawQuestion) -> RawQuestion:
        if id != "q/2":
            return question
        return replace(question, options=question.options[::-1], gold=3 - question.gold)

    plain, changed = (
        benchmarks.load("m_mmlu", language="eng_Latn", source=source, change=change)
        for change in (None, turned)
    )
    assert changed.items[0] == plain.items[0]
    assert "\nA. 6\nB. 5\nC. 4\nD. 3\nAnswer:" in changed.items[1].context
    assert (plain.items[1].gold, changed.items[1].gold) == (1, 2)

    def emptied(_id: str, question: RawQuestion) -> RawQuestion:
        return replace(question, options=question.options[:1])

    with pytest.raises(ValueError, match="line 1: 1 options, expected at least 2"):
        benchmarks.load("m_mmlu", language="eng_Latn", source=source, change=emptied)


def test_the_harness_asks_in_its_own_way() -> None:
    with pytest.raises(ValueError, match=r"harness/m_arc is asked in .* not as 'usual, instruct"):
        benchmarks.load(
            "harness/m_arc",
            language="deu_Latn",
            source=Source(),
            asking=Asking(instruction=False),
        )
    with pytest.raises(ValueError, match="harness/m_arc shows questions and options in"):
        benchmarks.raw_questions("harness/m_arc", language="deu_Latn", source=Source())

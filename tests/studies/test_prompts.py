"""Prompts: the one of the latent-process paper, and how switches of asking change what is put."""

from pathlib import Path

import pytest

from studies import benchmarks
from studies.benchmarks import BENCHMARKS
from studies.prompt_options import Asking, Chat
from studies.prompts import INSTRUCTION
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

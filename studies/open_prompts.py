"""Prompts of questions that are answered by writing: data, with where an answer ends.

`harness` has each language's own words (question_words.csv), as lm-evaluation-harness's tasks
xquad_* and mgsm_direct_* do, `english` English ones, as its mlqa_* do.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from studies.prompt_options import Asking
from studies.prompts import USUAL, refuse_without_template
from studies.texts import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPrompt:
    """One way to put a question that is answered by writing, and where an answer ends.

    Attributes:
        task: how the answer is scored.
        text: a template over `question`, `context` where there is one, and, with `words`, the
            language's own `context_word`, `question_word` and `answer_word`.
        answer: what follows the prompt in an example; a blank line follows that.
        words: the benchmark whose words are taken from question_words.csv, "" for none.
        max_new_tokens: the most tokens of an answer, unless asked otherwise.
        stop: what ends an answer, unless asked otherwise: templates like `text`.
    """

    task: Task
    text: str
    answer: str = " {answer}"
    words: str = ""
    max_new_tokens: int
    stop: tuple[str, ...] = ()


class FilledPrompt(NamedTuple):
    """A question as a model sees it; `context` is where its context stands, if it has one."""

    prompt: str
    context: tuple[int, int] | None


def put(prompt: OpenPrompt, *, language: str, fields: Mapping[str, str]) -> FilledPrompt:
    """Fill in a prompt that is answered by writing, with a question and its context, if any.

    Raises:
        ValueError: the prompt takes the language's own words, and none are known.
    """
    values = {**question_words(prompt, language=language), "question": fields["question"]}
    context = fields.get("context", "")
    before, asks, behind = prompt.text.partition("{context}")
    head = before.format(**values)
    if not asks:
        return FilledPrompt(head, None)
    start = len(head)
    return FilledPrompt(head + context + behind.format(**values), (start, start + len(context)))


def question_words(prompt: OpenPrompt, *, language: str) -> dict[str, str]:
    """The language's own words for what stands in a prompt, none where the prompt takes none.

    Raises:
        ValueError: none are known in this language.
    """
    if not prompt.words:
        return {}
    table = _question_words()
    if (prompt.words, language) not in table:
        known = sorted(code for benchmark, code in table if benchmark == prompt.words)
        raise ValueError(
            f"no words for the questions of {prompt.words} in {language!r}: known in "
            f"{', '.join(known)}; take the prompt {ENGLISH!r}, or add a row to "
            "studies/question_words.csv"
        )
    row = table[prompt.words, language]
    return {f"{name}_word": row[name] for name in ("context", "question", "answer")}


def answer_words(language: str) -> tuple[str, ...]:
    """What announces an answer in a language, and in English, without colons."""
    rows = _question_words()
    found = [row["answer"] for (_, code), row in rows.items() if code in (language, "eng_Latn")]
    return tuple(dict.fromkeys(word.rstrip(": ：") for word in found))


def refuse_unwritten(asking: Asking) -> None:
    """Raise for a switch of how questions are put that changes nothing in what is written.

    Raises:
        ValueError: there is one; only the chat template and its system prompt have an effect.
    """
    for switch in ("instruction", "prompt_sep", "letter_token"):
        value = getattr(asking, switch)
        if value != getattr(USUAL, switch):
            raise ValueError(
                f"{switch}={str(value).lower()} has no effect on what is answered by writing: "
                "leave it out"
            )
    refuse_without_template(asking)


@cache
def _question_words() -> dict[tuple[str, str], dict[str, str]]:
    text = (files("studies") / "question_words.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {(row["benchmark"], row["language"]): row for row in rows}


ENGLISH = "english"
# The CLAS paper's setting: 32 tokens, and no end before.
SPAN_TOKENS = 32
SPAN = {
    "harness": OpenPrompt(
        task="span",
        text="{context_word} {context}\n\n{question_word} {question}\n\n{answer_word}",
        words="xquad",
        max_new_tokens=SPAN_TOKENS,
    ),
    ENGLISH: OpenPrompt(
        task="span",
        text="Context: {context}\n\nQuestion: {question}\n\nAnswer:",
        max_new_tokens=SPAN_TOKENS,
    ),
}
# As in miniworld's training text.
MINI_SPAN = {
    "question": OpenPrompt(
        task="span",
        text="{context}\nQuestion: {question}\nAnswer:",
        max_new_tokens=SPAN_TOKENS,
        stop=("\n",),
    )
}
PROBLEM = {
    "harness": OpenPrompt(
        task="number",
        text="{question_word} {question}\n{answer_word}",
        answer="{answer}",
        words="mgsm",
        max_new_tokens=256,
        stop=("{question_word}",),
    ),
    ENGLISH: OpenPrompt(
        task="number",
        text="Question: {question}\nAnswer:",
        answer="{answer}",
        max_new_tokens=256,
        stop=("Question:",),
    ),
}
OPEN: dict[str, dict[str, OpenPrompt]] = {
    "xquad": SPAN,
    "mgsm": PROBLEM,
    "mini_xquad": MINI_SPAN,
}

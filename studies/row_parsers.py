"""Readings: what a row of each kind of benchmark asks, offers and holds to be right.

One function and one tuple of columns per kind of row, with the column names of the Hugging Face
data sets. The text is stripped and otherwise as the row has it. How a question is put to a model
is in prompts.py; which data set has which kind of row is in benchmarks.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from studies.prompts import LETTERS, lower_first, without_period
from studies.spec import Row

MASK = "<mask>"
READING = (
    *("flores_passage", "question", "mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4"),
    "correct_answer_num",
)
SCIENCE = ("instruction", "option_a", "option_b", "option_c", "answer")  # d and e may be null
INSTRUCTION = ("instruction", "option_a", "option_b", "option_c", "option_d", "answer")
QUESTION = ("question", "option_a", "option_b", "option_c", "option_d", "answer")
EXAM = ("Question", "A", "B", "C", "D", "Answer")
ENDING = ("ctx", "endings", "label")
STORY = (
    *("input_sentence_1", "input_sentence_2", "input_sentence_3", "input_sentence_4"),
    *("sentence_quiz1", "sentence_quiz2", "answer_right_ending"),
)
CAUSE_OR_EFFECT = ("premise", "choice1", "choice2", "question", "label")
INFERENCE = ("premise", "hypothesis", "label")
FACTS = ("Prompt", "Ans", "Candidate Ans")
SPANS = ("context", "question", "answers")
ARITHMETIC = ("question", "answer_number")
OWN = ("question", "options", "answer")  # context may stand beside them
VERDICTS = ("True", "Neither", "False")  # XNLI: 0 entailment, 1 neutral, 2 contradiction


@dataclass(frozen=True, slots=True, kw_only=True)
class RawQuestion:
    """A question before any prompt: the fields of templates, the options, the right one from 0.

    Of a question answered by writing, the options are the answers that count as right.
    """

    fields: dict[str, str]
    options: tuple[str, ...]
    gold: int


def reading(row: Row) -> RawQuestion:
    """Belebele: a passage, a question and four answers, the right one numbered from 1."""
    return RawQuestion(
        fields={name: _text(row, name) for name in ("flores_passage", "question")},
        options=tuple(_text(row, f"mc_answer{number}") for number in range(1, 5)),
        gold=_number(row, "correct_answer_num") - 1,
    )


def instruction(row: Row) -> RawQuestion:
    """m_arc, m_mmlu: an instruction, three to five options, the right one by its letter."""
    return _lettered(row, asks="instruction", options=_offered(row))


def question(row: Row) -> RawQuestion:
    """Global-MMLU: a question, four options, the right one by its letter."""
    return _lettered(row, asks="question", options=_offered(row))


def exam(row: Row) -> RawQuestion:
    """MMMLU: a question and its options under A to D, the right one by its letter."""
    return _lettered(row, asks="Question", options=EXAM[1:5], answer=EXAM[5])


def ending(row: Row) -> RawQuestion:
    """m_hellaswag: an opening and its endings, the right one numbered from 0.

    In one Chinese row every ending is a record of its text by language.
    """
    endings = row["endings"]
    if not isinstance(endings, list):
        raise ValueError(f"endings is {endings!r}, expected a list of texts")
    texts = [each.get("zh") if isinstance(each, dict) else each for each in endings]
    return RawQuestion(
        fields={"opening": _text(row, "ctx")},
        options=tuple(_stated(text, f"ending {k}") for k, text in enumerate(texts, start=1)),
        gold=_number(row, "label"),
    )


def story(row: Row) -> RawQuestion:
    """XStoryCloze: four sentences and two endings, the right one numbered from 1."""
    return RawQuestion(
        fields={f"sentence_{k}": _text(row, f"input_sentence_{k}") for k in range(1, 5)},
        options=(_text(row, "sentence_quiz1"), _text(row, "sentence_quiz2")),
        gold=_number(row, "answer_right_ending") - 1,
    )


def cause_or_effect(row: Row) -> RawQuestion:
    """XCOPA: a premise and two causes or two effects; `question_en` wins over `question`.

    `opening` is the premise without its final full stop, `cut` without its last character;
    `question_own` is what the row itself says, which is wrong in some languages.
    """
    premise = _text(row, "premise")
    asks = "question_en" if row.get("question_en") else "question"
    return RawQuestion(
        fields={
            "premise": premise,
            "opening": without_period(premise),
            "cut": premise[:-1],
            "question": _text(row, asks),
            "question_own": _text(row, "question"),
        },
        options=(lower_first(_text(row, "choice1")), lower_first(_text(row, "choice2"))),
        gold=_number(row, "label"),
    )


def inference(row: Row) -> RawQuestion:
    """XNLI: does the premise entail the hypothesis; the options are the three verdicts."""
    return RawQuestion(
        fields={name: _text(row, name) for name in ("premise", "hypothesis")},
        options=VERDICTS,
        gold=_number(row, "label"),
    )


def own(row: Row) -> RawQuestion:
    """A benchmark of one's own: a question, its options, and the right one numbered from 0.

    A context, where the row has one, stands above the question.
    """
    options = row["options"]
    if not isinstance(options, list):
        raise ValueError(f"options is {options!r}, expected a list of texts")
    context = f"{_text(row, 'context')}\n" if row.get("context") is not None else ""
    return RawQuestion(
        fields={"question": context + _text(row, "question")},
        options=tuple(_stated(text, f"option {k}") for k, text in enumerate(options, start=1)),
        gold=_number(row, "answer"),
    )


def fact(row: Row) -> RawQuestion | None:
    """BMLAMA: a sentence with a mask; every option is the whole sentence, the mask filled.

    A few rows have one candidate only, in all languages: they ask nothing.
    """
    sentence, answer = _text(row, "Prompt"), _text(row, "Ans")
    candidates = _text(row, "Candidate Ans").split(", ")
    if MASK not in sentence:
        raise ValueError(f"no {MASK} in Prompt {sentence!r}")
    if answer not in candidates:
        raise ValueError(
            f"answer {answer!r} is not among its {len(candidates)} candidates: "
            "drop this row in every language"
        )
    if len(candidates) == 1:
        return None
    return RawQuestion(
        fields={},
        options=tuple(sentence.replace(MASK, candidate.strip()) for candidate in candidates),
        gold=candidates.index(answer),
    )


def span(row: Row) -> RawQuestion:
    """XQuAD: a context, a question and the spans that answer it."""
    answers = row["answers"]
    texts = answers.get("text") if isinstance(answers, dict) else None
    if not isinstance(texts, list) or not texts:
        raise ValueError(f"answers is {answers!r}, expected {{'text': [...]}} with an answer")
    spans = (_stated(text, f"answer {k}") for k, text in enumerate(texts, start=1))
    return RawQuestion(
        fields={name: _text(row, name) for name in ("context", "question")},
        options=tuple(dict.fromkeys(spans)),
        gold=0,
    )


def arithmetic(row: Row) -> RawQuestion:
    """MGSM: a problem and the number that solves it."""
    answer = str(row["answer_number"]).strip()
    if isinstance(row["answer_number"], bool) or not re.fullmatch(r"-?\d[\d,]*(\.\d+)?", answer):
        raise ValueError(f"answer_number is {row['answer_number']!r}, expected a number")
    return RawQuestion(fields={"question": _text(row, "question")}, options=(answer,), gold=0)


def _offered(row: Row) -> list[str]:
    """The columns of the options that a row has: three to five."""
    names = [f"option_{letter}" for letter in "abcd"] + ["option_e"] * bool(row.get("option_e"))
    offered = list(takewhile(lambda name: row.get(name) is not None, names))
    if rest := [name for name in names[len(offered) :] if row.get(name) is not None]:
        raise ValueError(f"{names[len(offered)]} is a null before {rest[0]}, expected a text")
    return offered


def _lettered(
    row: Row, *, asks: str, options: Sequence[str], answer: str = "answer"
) -> RawQuestion:
    texts = tuple(_text(row, name) for name in options)
    letter = _text(row, answer).upper()
    if len(letter) != 1 or letter not in LETTERS[: len(texts)]:
        raise ValueError(
            f"{answer} is {letter!r}, outside the {len(texts)} options "
            f"A to {LETTERS[len(texts) - 1]}"
        )
    return RawQuestion(
        fields={"question": _text(row, asks)}, options=texts, gold=LETTERS.index(letter)
    )


def _text(row: Row, column: str) -> str:
    return _stated(row[column], column)


def _stated(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r}, expected a text")
    return value.strip()


def _number(row: Row, column: str) -> int:
    """A whole number, which some data sets write as a string."""
    value = row[column]
    if isinstance(value, bool) or not str(value).strip().lstrip("-").isdecimal():
        raise ValueError(f"{column} is {value!r}, expected a whole number")
    return int(str(value))

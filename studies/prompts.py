"""Prompts: how a question becomes a context and the continuations a model ranks.

A prompt is data: `str.format` templates over the fields of a question. `{choices}` is all options
written one after the other with `choice`, `{letter}` is A, B, C ...; `option` makes the
continuation, whose leading space belongs to it. What scores the continuations is unknown here.
Texts come stripped. Templates are those of lm-evaluation-harness (2026); `latent` is Table 3 of
the latent-process paper.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from studies.spec import Normalise

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FINAL_PERIODS = ".。．｡"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One way to put a question. All of it bears identity, through the rendered text.

    `normalise` says how an option's log-probability becomes its score (see `ChoiceSet`).
    """

    context: str
    option: str
    choice: str = ""
    normalise: Normalise = "sum"


class Rendered(NamedTuple):
    """What the model sees: a context and one continuation per option."""

    context: str
    options: tuple[str, ...]


def render(
    prompt: Prompt, *, fields: Mapping[str, str], options: tuple[str, ...], language: str
) -> Rendered:
    """Fill in a prompt. Connectors are looked up only where a template asks for one."""
    values = dict(fields)
    if "{connector}" in prompt.context:
        values["connector"] = connector(language, question=fields["question"])
    if len(options) > len(LETTERS) and "{letter}" in prompt.option:
        raise ValueError(f"{len(options)} options, but letters for {len(LETTERS)}: use a cloze")
    letters = [*LETTERS, *map(str, range(len(LETTERS), len(options)))]
    lettered = list(zip(letters, options, strict=False))
    values["choices"] = "".join(
        prompt.choice.format(letter=letter, option=option) for letter, option in lettered
    )
    return Rendered(
        context=prompt.context.format(**values),
        options=tuple(
            prompt.option.format(letter=letter, option=option, **fields)
            for letter, option in lettered
        ),
    )


def connector(language: str, *, question: str) -> str:
    """The word that joins a premise to its cause or effect, as the harness has it.

    Raises:
        ValueError: the language or the kind of question has none.
    """
    table = _connectors()
    if language not in table:
        raise ValueError(
            f"no connectors for {language!r}: known for {', '.join(sorted(table))}; "
            "add a row to studies/connectors.csv"
        )
    if question not in ("cause", "effect"):
        raise ValueError(f"question is {question!r}, expected 'cause' or 'effect'")
    return table[language][question]


def without_period(text: str) -> str:
    """The text less one final full stop, if it has one; Tamil and Thai premises have none."""
    text = text.strip()
    return text[:-1] if text[-1:] in FINAL_PERIODS else text


def lower_first(text: str) -> str:
    """The text with its first letter in lower case."""
    text = text.strip()
    return text[:1].lower() + text[1:]


@cache
def _connectors() -> dict[str, dict[str, str]]:
    text = (files("studies") / "connectors.csv").read_text(encoding="utf-8")
    return {row["language"]: row for row in csv.DictReader(text.splitlines())}


INSTRUCTION = (
    "Given the following question and answer choices, output the letter corresponding to the "
    "correct answer.\n"
)
CLOZE = " {option}"
LETTER = " {letter}"

READING_LETTER = Prompt(
    context="P: {flores_passage}\nQ: {question}\n{choices}Answer:",
    choice="{letter}: {option}\n",
    option=LETTER,
)
READING_CLOZE = Prompt(context="{flores_passage} {question}", option=CLOZE)
READING_LATENT = Prompt(
    context=INSTRUCTION + "{flores_passage}\nQuestion: {question}\n{choices}Answer:",
    choice="{letter}: {option}\n",
    option=LETTER,
)
READING = {"letter": READING_LETTER, "cloze": READING_CLOZE, "latent": READING_LATENT}
MINI_READING = {"cloze": READING_CLOZE, "letter": READING_LETTER, "latent": READING_LATENT}

KNOWLEDGE = {
    "letter": Prompt(
        context="{question}\n{choices}Answer:", choice="{letter}. {option}\n", option=LETTER
    ),
    "cloze": Prompt(context="Question: {question}\nAnswer:", option=CLOZE),
    "latent": Prompt(
        context=INSTRUCTION + "Question: {question}\n{choices}Answer:",
        choice="{letter}: {option}\n",
        option=LETTER,
    ),
}
SCIENCE = {"cloze": KNOWLEDGE["cloze"], "letter": KNOWLEDGE["letter"]}

CAUSE_OR_EFFECT = {
    "connector": Prompt(context="{opening} {connector}", option=CLOZE),
    # The harness drops the last character of every premise, a letter in Tamil and Thai.
    "harness": Prompt(context="{cut} {connector}", option=CLOZE),
}
STORY = {
    "cloze": Prompt(context="{sentence_1} {sentence_2} {sentence_3} {sentence_4}", option=CLOZE)
}
INFERENCE = {
    "labels": Prompt(
        context="{premise}\nQuestion: {hypothesis} True, False, or Neither?\nAnswer:",
        option=CLOZE,
    )
}
# BMLAMA ranks candidates by the mean cross-entropy of the whole sentence (arXiv 2310.10378), over
# all tokens but the first of the text: BOS, where the tokenizer puts one. Without BOS it is the
# sentence's own first token, which candidates share, as no sentence begins with the mask. (Its
# authors give BLOOM a BOS by hand; here BLOOM has none.)
WHOLE_SENTENCE = {
    "sentence": Prompt(context="", option="{option}", normalise="token"),
}

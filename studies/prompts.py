"""Prompts: how a question becomes a context and the continuations a model ranks.

A prompt is data: `str.format` templates over the fields of a question. `{choices}` is all options
written one after the other with `choice`, `{letter}` is A, B, C ..., `{digit}` 0, 1, 2 ...;
`option` makes the continuation, whose leading space belongs to it.
Texts come stripped. Templates are those of lm-evaluation-harness (2026); `latent` is Table 3 of
the latent-process paper, `digit` over two choices is what the DALI paper's code asks.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from studies.prompt_options import Asking
from studies.texts import Normalise

USUAL = Asking()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FINAL_PERIODS = ".。．｡"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One way to put a question. All of it bears identity, through the rendered text.

    `normalise` says how an option's log-probability becomes its score (see `ChoiceSet`). With
    `also`, every option is written a second way as well.
    """

    context: str
    option: str
    choice: str = ""
    normalise: Normalise = "sum"
    also: str = ""

    @property
    def symbolic(self) -> bool:
        """Whether an answer is a letter or a digit that stands for an option."""
        return self.option.strip() in (BARE_LETTER, BARE_DIGIT)

    @property
    def listing(self) -> bool:
        """Whether the context shows all options, in their order."""
        return "{choices}" in self.context

    @property
    def variants(self) -> int:
        """In how many ways every option is written."""
        return 2 if self.also else 1


class Rendered(NamedTuple):
    """What the model sees: a context and a continuation per option; then all the second way."""

    context: str
    options: tuple[str, ...]


def switched(prompt: Prompt, *, name: str, asking: Asking) -> Prompt:
    """The prompt of that name as the switches of `asking` make it.

    Raises:
        ValueError: a switch that is not the usual one has no effect on this prompt.
    """
    _refuse_ignored(prompt, name=name, asking=asking)
    if not asking.instruction:
        prompt = replace(prompt, context=prompt.context.removeprefix(INSTRUCTION))
    if asking.prompt_sep == "space":
        context, choice = prompt.context.replace("\n", " "), prompt.choice.replace("\n", " ")
        prompt = replace(prompt, context=context, choice=choice)
    if asking.start == "nospace":
        prompt = replace(prompt, option=prompt.option.removeprefix(" "))
    if asking.start == "logsumexp_both":
        prompt = replace(prompt, also=prompt.option.removeprefix(" "))
    return prompt


def _refuse_ignored(prompt: Prompt, *, name: str, asking: Asking) -> None:
    """Raise for the first switch that changes nothing here, with what it is for."""
    for switch in ("instruction", "prompt_sep"):
        value = getattr(asking, switch)
        if value != getattr(USUAL, switch) and name != LATENT:
            raise ValueError(
                f"{switch}={str(value).lower()} has no effect on the prompt {name!r}: it is for "
                f"the prompt {LATENT!r}"
            )
    begins = prompt.option.startswith(" ") and (prompt.symbolic or asking.chat_template)
    if asking.start != Asking(chat_template=asking.chat_template).start and not begins:
        raise ValueError(
            f"letter_token={asking.letter_token} has no effect on the prompt {name!r}, whose "
            "options are texts: it is for prompts whose options are letters, such as 'letter' and "
            f"{LATENT!r}, and under a chat template for texts that follow a space"
        )
    refuse_without_template(asking)


def refuse_without_template(asking: Asking) -> None:
    """Raise for a system prompt or arguments without the template that has a place for them."""
    given = [*([("system", asking.system)] if asking.system else []), *asking.arguments]
    if given and not asking.chat_template:
        name, value = given[0]
        raise ValueError(
            f"{name}={value!r} has no effect without the chat template: add "
            "--switch chat_template=true, or leave it out"
        )


def render(
    prompt: Prompt, *, fields: Mapping[str, str], options: tuple[str, ...], language: str
) -> Rendered:
    """Fill in a prompt. Connectors are looked up only where a template asks for one."""
    values = dict(fields)
    if "{connector}" in prompt.context:
        values["connector"] = connector(language, question=fields["question"])
    if "{own_connector}" in prompt.context:
        values["own_connector"] = connector(language, question=fields["question_own"])
    if "{released_connector}" in prompt.context:
        asks = RELEASED_QUESTIONS.get(language, fields["question_own"])
        values["released_connector"] = connector(language, question=asks)
    if len(options) > len(LETTERS) and "{letter}" in prompt.option:
        raise ValueError(f"{len(options)} options, but letters for {len(LETTERS)}: use a cloze")
    letters = [*LETTERS, *map(str, range(len(LETTERS), len(options)))]
    numbered = [
        {"letter": letter, "digit": str(digit), "option": option}
        for digit, (letter, option) in enumerate(zip(letters, options, strict=False))
    ]
    values["choices"] = "".join(prompt.choice.format(**each) for each in numbered)
    ways = (prompt.option, prompt.also) if prompt.also else (prompt.option,)
    return Rendered(
        context=prompt.context.format(**values),
        options=tuple(way.format(**each, **fields) for way in ways for each in numbered),
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
BARE_LETTER = "{letter}"
DIGIT = " {digit}"
BARE_DIGIT = "{digit}"
LATENT = "latent"


def _latent(asks: str) -> Prompt:
    """The latent-process paper's prompt around what is asked."""
    return Prompt(
        context=INSTRUCTION + asks + "\n{choices}Answer:",
        choice="{letter}: {option}\n",
        option=LETTER,
    )


READING_LETTER = Prompt(
    context="P: {flores_passage}\nQ: {question}\n{choices}Answer:",
    choice="{letter}: {option}\n",
    option=LETTER,
)
READING_CLOZE = Prompt(context="{flores_passage} {question}", option=CLOZE)
READING_LATENT = _latent("{flores_passage}\nQuestion: {question}")
READING = {"letter": READING_LETTER, "cloze": READING_CLOZE, LATENT: READING_LATENT}

KNOWLEDGE = {
    "letter": Prompt(
        context="{question}\n{choices}Answer:", choice="{letter}. {option}\n", option=LETTER
    ),
    "cloze": Prompt(context="Question: {question}\nAnswer:", option=CLOZE),
    LATENT: _latent("Question: {question}"),
}
SCIENCE = {name: KNOWLEDGE[name] for name in ("cloze", "letter", LATENT)}

CAUSE_OR_EFFECT = {
    "connector": Prompt(context="{opening} {connector}", option=CLOZE),
    # The harness drops the last character of every premise, a letter in Tamil and Thai.
    "harness": Prompt(context="{cut} {connector}", option=CLOZE),
    # By what each language's rows say themselves, which is wrong in some.
    "own": Prompt(context="{opening} {own_connector}", option=CLOZE),
    # As in the DALI paper's released inputs, whose connectors are wrong in three languages.
    "released": Prompt(context="{opening} {released_connector}", option=CLOZE),
    "digit": Prompt(
        context="Based on the premise and two choices, select the choice that is the most likely "
        "{question} of the premise.\nPremise: {premise}\n{choices}The correct choice number is:",
        choice="{digit}. {option}\n",
        option=DIGIT,
    ),
}
RELEASED_QUESTIONS = {"eng_Latn": "cause", "zho_Hans": "cause", "tha_Thai": "effect"}
STORY_SO_FAR = "{sentence_1} {sentence_2} {sentence_3} {sentence_4}"
STORY = {
    "cloze": Prompt(context=STORY_SO_FAR, option=CLOZE),
    "digit": Prompt(
        context="Based on the story and two choices, select the choice that is the most likely "
        "continuation of the story.\nStory: " + STORY_SO_FAR + "\n{choices}"
        "The correct choice number is:",
        choice="{digit}. {option}\n",
        option=DIGIT,
    ),
    LATENT: _latent("Question: " + STORY_SO_FAR),
}
ENDING = {
    "cloze": Prompt(context="{opening}", option=CLOZE),
    LATENT: _latent("Question: {opening}"),
}
INFERENCE = {
    "labels": Prompt(
        context="{premise}\nQuestion: {hypothesis} True, False, or Neither?\nAnswer:",
        option=CLOZE,
    ),
    # The CLAS paper asks for these numbers; its words are unpublished.
    "digit": Prompt(
        context="Does the premise entail the hypothesis? Answer with one number: 0 for "
        "entailment, 1 for neutral, 2 for contradiction.\nPremise: {premise}\n"
        "Hypothesis: {hypothesis}\nAnswer:",
        option=DIGIT,
    ),
}
# BMLAMA ranks candidates by the mean cross-entropy of the whole sentence (arXiv 2310.10378), over
# all tokens but the first of the text: BOS, where the tokenizer puts one. Without BOS it is the
# sentence's own first token, which candidates share, as no sentence begins with the mask. (Its
# authors give BLOOM a BOS by hand; here BLOOM has none.)
WHOLE_SENTENCE = {
    "sentence": Prompt(context="", option="{option}", normalise="token"),
}

"""Score the options of multiple-choice items: log-probability of each option given its context.

The options of an item share its context: they are branches of one row, and where every option is a
single token the last position's logits hold every answer.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp

from actors.errors import OVERFLOW
from actors.model import LoadedModel, too_long
from actors.passes.batching import Batch, distinct
from actors.passes.tree_attention import attention, pack, size
from actors.prediction.predict import Question, lay_out, log_probabilities, take_apart
from studies.prompt_options import Chat
from studies.texts import ChoiceItem, Normalise


class Choice(NamedTuple):
    """The model's answer to one item. Rank 1 is most probable; equal scores share their rank.

    `prediction` is the option of the highest score, `prediction_norm` that of the highest
    log-probability per character, whatever the scores are (lm-evaluation-harness's acc_norm). Of
    equal ones it is the first.

    `mass` is the probability of all options together, as they were asked, and `other_mass` that of
    the same ones begun the other way, with a space or without: where it is the larger one, the
    model would have answered otherwise. An option that another one begins with counts twice.
    `start` is the white space that options begin with.
    """

    scores: tuple[float, ...]
    ranks: tuple[float, ...]
    prediction: int
    truncated: bool
    prediction_norm: int = 0
    mass: float | None = None
    other_mass: float | None = None
    start: str = ""


class EncodedItem(NamedTuple):
    """One item as token ids, whether its context was cut, and what its options begin with."""

    question: Question
    truncated: bool
    start: str = ""


def score(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    *,
    normalise: Normalise = "sum",
    allow_truncation: bool = False,
    chat: Chat | None = None,
    variants: int = 1,
) -> list[Choice]:
    """Rank every item's options by log-probability.

    Args:
        loaded: the model.
        items: what to answer.
        normalise: `sum` over an option's tokens, or that divided by its number of tokens
            (`token`) or of characters (`character`).
        allow_truncation: cut contexts that are too long, from the left.
        chat: as in `ask`.
        variants: as in `choose`.

    Raises:
        ValueError: as `ask` and `choose` do.
    """
    begun = loaded.begun(items, chat=chat)
    asked = _ask(loaded, begun, chat=chat, allow_truncation=allow_truncation)
    if chat is not None and variants == 1:
        other = [replace(item, options=_otherwise(item)) for item in begun]
        questions = _tokenise(loaded, other, chat=chat)
        pairs = zip(asked, questions, strict=True)
        asked = [_beside(entry, one.options, loaded.facts.context) for entry, one in pairs]
    logs = read_options(loaded, [entry.question for entry in asked])
    return [
        choose(
            item,
            own[: len(item.options)],
            normalise=normalise,
            truncated=entry.truncated,
            variants=variants,
            start=entry.start,
            other=own[len(item.options) :],
        )
        for item, entry, own in zip(begun, asked, logs, strict=True)
    ]


def _otherwise(item: ChoiceItem) -> tuple[str, ...]:
    """The options begun the other way: without their white space, or with a space."""
    return tuple(
        option.lstrip() if option[:1].isspace() else f" {option}" for option in item.options
    )


def _beside(entry: EncodedItem, other: Sequence[tuple[int, ...]], context: int) -> EncodedItem:
    """A question with its options begun the other way behind its own, a check, where they fit."""
    prompt, options = entry.question.prompt, entry.question.options
    if not all(other) or len(prompt) + max(map(len, other)) > context:
        return entry
    return entry._replace(question=Question(prompt, (*options, *other)))


def ask(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    *,
    chat: Chat | None = None,
    allow_truncation: bool = False,
) -> list[EncodedItem]:
    """Every item as token ids that fit the context.

    `chat` says how contexts are put in the chat template, each a user's turn that the options
    answer, and what these then begin with; None leaves them as they are.

    Raises:
        ValueError: an option has no token to score, an item exceeds the model's context, or the
            tokenizer has no such chat template.
    """
    begun = loaded.begun(items, chat=chat)
    return _ask(loaded, begun, chat=chat, allow_truncation=allow_truncation)


def _ask(
    loaded: LoadedModel, items: Sequence[ChoiceItem], *, chat: Chat | None, allow_truncation: bool
) -> list[EncodedItem]:
    """Items whose options begin as they are to, as `ask` has them."""
    asked = [
        _fit(loaded, item, question, chat=chat, allow_truncation=allow_truncation)
        for item, question in zip(items, _tokenise(loaded, items, chat=chat), strict=True)
    ]
    for item, entry in zip(items, asked, strict=True):
        # Without anything before it a text's first token cannot be predicted.
        needed = 1 if entry.question.prompt else 2
        for place, option in enumerate(entry.question.options):
            if len(option) < needed:
                raise ValueError(
                    f"item {item.id!r}: option {place} ({item.options[place]!r}) has no token "
                    "that can be scored; expected at least one after the context"
                )
    return asked


def read_options(loaded: LoadedModel, questions: Sequence[Question]) -> list[list[list[float]]]:
    """For every question and option, the log-probabilities of the option's tokens, plain model."""
    apart = take_apart(loaded, questions)
    if apart is None:
        return _read_whole(loaded, questions)
    return apart.join(_read_whole(loaded, apart.questions), questions=len(questions))


def _read_whole(loaded: LoadedModel, questions: Sequence[Question]) -> list[list[list[float]]]:
    """The same, with each question in a row of its own."""
    unique = distinct([_flat(question) for question in questions])
    first_of = {twin: place for place, twin in reversed(list(enumerate(unique.twins)))}
    todo = [questions[first_of[twin]] for twin in range(len(unique.sequences))]
    layouts = [lay_out(question) for question in todo]
    found: list[list[list[float]]] = [[] for _ in todo]

    @torch.inference_mode()
    def compute(batch: Batch) -> None:
        packed = pack([layouts[row].row for row in batch.rows], device=loaded.device)
        with attention(loaded.sites, packed):
            output = loaded.sites.base(**packed.inputs, use_cache=False)
        reads = [layouts[row].reads for row in batch.rows]
        logs = log_probabilities(loaded.sites.logits, output.last_hidden_state, reads)
        for row, values in zip(batch.rows, logs, strict=True):
            found[row] = layouts[row].by_option(values)

    rows = [layout.row for layout in layouts]
    loaded.budget.run([size(row) for row in rows], compute, groups=loaded.groups(rows))
    return [found[twin] for twin in unique.twins]


def _flat(question: Question) -> list[int]:
    """The question as one list of numbers: equal questions have equal lists."""
    flat = [len(question.prompt), *question.prompt]
    for option in question.options:
        flat += [len(option), *option]
    return flat


def _tokenise(
    loaded: LoadedModel, items: Sequence[ChoiceItem], *, chat: Chat | None
) -> list[Question]:
    """Context and options apart, cut at a boundary that the tokens have too.

    The joint text is used where the context's tokens begin it; otherwise the option is tokenised
    by itself, so that no token of the context changes from option to option.
    """
    texts = loaded.in_chat([item.context for item in items], chat=chat)
    pairs = list(zip(items, texts, strict=True))
    contexts = loaded.tokenise(texts)
    joint = iter(
        loaded.tokenise([text + option for item, text in pairs for option in item.options])
    )
    questions = []
    for item, context in zip(items, contexts, strict=True):
        options = []
        for option in item.options:
            whole = next(joint)
            if whole[: len(context)] == context and len(whole) > len(context):
                options.append(tuple(whole[len(context) :]))
            else:
                alone = _tokenise_alone(loaded, option, context=context, whole=whole)
                options.append(tuple(alone))
        prompt = loaded.begin(context, chat=chat)
        questions.append(Question(tuple(prompt), tuple(options)))
    return questions


def _tokenise_alone(
    loaded: LoadedModel, option: str, *, context: list[int], whole: list[int]
) -> list[int]:
    """The option's tokens such that, after the context's, they read as the joint text does.

    Some tokenizers put a space before every text, so that " yes" by itself would get two.
    """
    readings = loaded.tokenise([option, option.removeprefix(" ")])
    text = loaded.tokenizer.decode(whole)
    for ids in readings:
        if ids and loaded.tokenizer.decode([*context, *ids]) == text:
            return ids
    return readings[0]


def _fit(
    loaded: LoadedModel,
    item: ChoiceItem,
    question: Question,
    *,
    chat: Chat | None,
    allow_truncation: bool,
) -> EncodedItem:
    """Cut the context from the left, behind the prefix, until the longest option fits.

    A chat template is not cut: its beginning says who speaks.
    """
    longest = max(len(option) for option in question.options)
    found, context = len(question.prompt) + longest, loaded.facts.context
    first = item.options[0]
    start = first[: len(first) - len(first.lstrip())]
    if found <= context:
        return EncodedItem(question, truncated=False, start=start)
    if chat is not None:
        raise ValueError(too_long(f"item {item.id!r}", found, context=context, chat=chat))
    prefix = len(loaded.prefix)
    kept = context - longest - prefix
    if not allow_truncation or kept < 0:
        cut = "" if kept >= 0 else ", an option alone too long to be cut"
        raise ValueError(too_long(f"item {item.id!r}{cut}", found, context=context))
    prompt = question.prompt
    shortened = prompt[:prefix] + prompt[len(prompt) - kept :]
    return EncodedItem(Question(shortened, question.options), truncated=True, start=start)


def choose(
    item: ChoiceItem,
    logs: Sequence[Sequence[float]],
    *,
    normalise: Normalise,
    truncated: bool = False,
    variants: int = 1,
    start: str = "",
    other: Sequence[Sequence[float]] = (),
) -> Choice:
    """Scores, ranks and prediction from the log-probabilities of every continuation's tokens.

    `other` are those of the options begun the other way, where they are known.

    Where there are `variants`, an item's continuations are all its options in the first variant,
    then all in the next, and an option's score is the log-probability of any of its variants.

    Raises:
        ValueError: a score is not finite, or variants cannot be put together.
    """
    if variants > 1:
        _check_variants(item, normalise=normalise, variants=variants)
    totals = [sum(option) for option in logs]
    lengths = [max(1, len(option.strip())) for option in item.options]
    by_character = [total / length for total, length in zip(totals, lengths, strict=True)]
    scores = totals
    if normalise == "token":
        scores = [total / len(option) for total, option in zip(totals, logs, strict=True)]
    elif normalise == "character":
        scores = by_character
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"item {item.id!r}: scores {scores} are not finite: {OVERFLOW}")
    scores, by_character = _together(scores, variants), _together(by_character, variants)
    return Choice(
        scores=tuple(scores),
        ranks=tuple(_rank(value, scores) for value in scores),
        prediction=scores.index(max(scores)),
        truncated=truncated,
        prediction_norm=by_character.index(max(by_character)),
        mass=_mass(item.options, totals),
        other_mass=_mass(item.options, [sum(option) for option in other]) if other else None,
        start=start,
    )


def _mass(options: Sequence[str], totals: Sequence[float]) -> float:
    """The summed probability of all options, each text once."""
    return math.fsum(math.exp(total) for total in dict(zip(options, totals, strict=True)).values())


def _rank(value: float, scores: Sequence[float]) -> float:
    """1 for the highest; equal scores share the mean of their ranks. Faster than scipy for few."""
    above, equal = sum(other > value for other in scores), scores.count(value)
    return above + (equal + 1) / 2


def _check_variants(item: ChoiceItem, *, normalise: Normalise, variants: int) -> None:
    if normalise != "sum":
        raise ValueError(
            f"options in {variants} variants were to be normalised by {normalise!r}: only the sum "
            "of an option's log-probabilities is that of a text, so use 'sum'"
        )
    if len(item.options) % variants:
        raise ValueError(
            f"item {item.id!r} has {len(item.options)} continuations: expected as many in each of "
            f"{variants} variants"
        )


def _together(values: list[float], variants: int) -> list[float]:
    """The logarithm of the summed probabilities of every option's variants."""
    if variants == 1:
        return values
    options = len(values) // variants
    return [float(value) for value in logsumexp(np.reshape(values, (variants, options)), axis=0)]

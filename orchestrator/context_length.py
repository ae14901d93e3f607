"""Count the texts that are longer than a model's context, before anything runs.

A text is only tokenised where its bytes leave room for doubt, so that this costs nothing for
models with a long context, and once for all models that share tokenizer and context.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from studies.content import Content
from studies.models.tokenizer import count_tokens
from studies.spec import ModelFacts

# A tokenizer never makes more tokens than bytes, but for normalisation that expands a character
# and for the special tokens it adds.
TOKENS_PER_BYTE = 2
SPECIAL_TOKENS = 8

# Texts tokenised at a time: a tokenizer's own notes on a text are many times its size.
TEXTS_AT_ONCE = 256


class TooLong(NamedTuple):
    """Texts of one data set, the `text`, and language that do not fit into a model's context."""

    model: str
    text: str
    language: str
    texts: int
    longest: int
    context: int


def too_long(contents: Sequence[tuple[ModelFacts, Content]]) -> Iterator[TooLong]:
    """The texts that do not fit, per model, data set and language.

    What is asked several times, such as items that are also read at layers, is told where most of
    it does not fit.
    """
    # By id: the sequence holds every content, and hashing one takes longer than measuring it.
    longest: dict[int, int] = {}
    counted: dict[tuple[int, str, int], list[int]] = {}
    found: dict[tuple[str, str, str], TooLong] = {}
    for model, content in contents:
        if id(content) not in longest:
            longest[id(content)] = content.longest()
        if not _may_exceed(longest[id(content)], model.context - content.written):
            continue
        same = (id(content), model.tokenizer, model.context)
        if same not in counted:
            counted[same] = _beyond(model, content)
        if counted[same]:
            place = (model.label, content.dataset_name, content.language)
            told = TooLong(
                *place,
                texts=len(counted[same]),
                longest=max(counted[same]) + content.written,
                context=model.context,
            )
            if place not in found or found[place].texts < told.texts:
                found[place] = told
    yield from found.values()


def _beyond(model: ModelFacts, content: Content) -> list[int]:
    """The numbers of tokens of the texts that are longer than the context.

    What is to be written has to fit behind a text.
    """
    room = model.context - content.written
    doubtful = sorted({text for text in content.inputs() if _may_exceed(len(text.encode()), room)})
    counts: list[int] = []
    for start in range(0, len(doubtful), TEXTS_AT_ONCE):
        counts += count_tokens(model, doubtful[start : start + TEXTS_AT_ONCE]) or []
    return [count for count in counts if count > room]


def _may_exceed(size: int, context: int) -> bool:
    """Whether so many bytes of UTF-8 leave open that a text has more tokens than the context."""
    return TOKENS_PER_BYTE * size + SPECIAL_TOKENS > context

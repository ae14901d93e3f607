"""Count the texts that are longer than a model's context, before anything runs.

A text is only tokenised where its bytes leave room for doubt, so that this costs nothing for
models with a long context, and once for all models that share tokenizer and context. What is done
with such texts is decided elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.pack import Content
from studies.contents import GenerationSet, LatentSet, TrainingSet, VectorSet
from studies.model_files import count_tokens
from studies.spec import Bitext, ModelFacts

# A tokenizer never makes more tokens than bytes, but for normalisation that expands a character
# and for the special tokens it adds.
TOKENS_PER_BYTE = 2
SPECIAL_TOKENS = 8

# Texts tokenised at a time: a tokenizer's own notes on a text are many times its size.
TEXTS_AT_ONCE = 256


class TooLong(NamedTuple):
    """Texts of one data set and language that do not fit into a model's context."""

    model: str
    source: str
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
            longest[id(content)] = _longest(content)
        if not _may_exceed(longest[id(content)], _room(model, content)):
            continue
        same = (id(content), model.tokenizer, model.context)
        if same not in counted:
            counted[same] = _beyond(model, content)
        if counted[same]:
            source = content.dataset if isinstance(content, Bitext) else content.benchmark
            place = (model.label, source, content.language)
            told = TooLong(
                *place,
                texts=len(counted[same]),
                longest=max(counted[same]) + _written(content),
                context=model.context,
            )
            if place not in found or found[place].texts < told.texts:
                found[place] = told
    yield from found.values()


def _beyond(model: ModelFacts, content: Content) -> list[int]:
    """The numbers of tokens of the texts that are longer than the context."""
    room = _room(model, content)
    found = {text for text in _texts(content) if _may_exceed(_size(text), room)}
    doubtful = sorted(found)
    counts: list[int] = []
    for start in range(0, len(doubtful), TEXTS_AT_ONCE):
        counts += count_tokens(model, doubtful[start : start + TEXTS_AT_ONCE]) or []
    return [count for count in counts if count > room]


def _room(model: ModelFacts, content: Content) -> int:
    """The tokens that a text may have: what is to be written has to fit behind it."""
    return model.context - _written(content)


def _written(content: Content) -> int:
    """The tokens that are written behind each text at most."""
    return content.max_new_tokens if isinstance(content, GenerationSet) else 0


def _texts(content: Content) -> Iterator[str]:
    """Every text as the model would read it."""
    if isinstance(content, Bitext):
        yield from content.texts
        yield from content.pivot_texts
    elif isinstance(content, GenerationSet):
        yield from (item.prompt for item in content.items)
    elif isinstance(content, TrainingSet):
        yield from (example.context + example.answer for example in content.examples)
    elif isinstance(content, VectorSet):
        yield from content.toward
        yield from content.away
    elif isinstance(content, LatentSet):
        for one in content.items:
            yield from (one.context + option for option in (*one.native, *one.pivot))
    else:
        for item in content.items:
            yield from (item.context + option for option in item.options)


def _longest(content: Content) -> int:
    """The size of the longest text; a question is not copied for each of its options."""
    if isinstance(content, Bitext):
        return max(map(_size, (*content.texts, *content.pivot_texts)), default=0)
    if isinstance(content, GenerationSet | TrainingSet | VectorSet | LatentSet):
        return max(map(_size, _texts(content)), default=0)
    options = (max(map(_size, item.options), default=0) for item in content.items)
    sizes = (
        _size(item.context) + longest for item, longest in zip(content.items, options, strict=True)
    )
    return max(sizes, default=0)


def _size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text.encode())


def _may_exceed(size: int, context: int) -> bool:
    """Whether the size alone leaves open that a text has more tokens than the context."""
    return TOKENS_PER_BYTE * size + SPECIAL_TOKENS > context

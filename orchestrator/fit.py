"""Count the texts that are longer than a model's context, before anything runs.

A text is only tokenised where its bytes leave room for doubt, so that this costs nothing for
models with a long context. What is done with such texts is decided elsewhere.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from studies.model_files import count_tokens
from studies.spec import Bitext, ChoiceSet, ModelFacts

# A tokenizer never makes more tokens than bytes, but for normalisation that expands a character
# and for the special tokens it adds.
TOKENS_PER_BYTE = 2
SPECIAL_TOKENS = 8


class TooLong(NamedTuple):
    """Texts of one data set and language that do not fit into a model's context."""

    model: str
    source: str
    language: str
    texts: int
    longest: int
    context: int


def too_long(contents: Iterable[tuple[ModelFacts, Bitext | ChoiceSet]]) -> Iterator[TooLong]:
    """The texts that do not fit, per model, data set and language."""
    for model, content in contents:
        doubtful = [text for text in set(_texts(content)) if _may_exceed(text, model.context)]
        counts = count_tokens(model, doubtful) if doubtful else []
        beyond = [count for count in counts or () if count > model.context]
        if beyond:
            source = content.dataset if isinstance(content, Bitext) else content.benchmark
            yield TooLong(
                model=model.label,
                source=source,
                language=content.language,
                texts=len(beyond),
                longest=max(beyond),
                context=model.context,
            )


def _texts(content: Bitext | ChoiceSet) -> Iterator[str]:
    """Every text as the model would read it."""
    if isinstance(content, Bitext):
        yield from content.texts
        yield from content.pivot_texts
    else:
        for item in content.items:
            yield from (item.context + option for option in item.options)


def _may_exceed(text: str, context: int) -> bool:
    """Whether the text's size alone leaves open that it has more tokens than the context."""
    return TOKENS_PER_BYTE * len(text.encode()) + SPECIAL_TOKENS > context

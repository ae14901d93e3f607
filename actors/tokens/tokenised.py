"""A model's tokenizer, and how it turns texts into token ids: all of a model that has no weights.

Whatever could silently change an answer is refused or written down: a tokenizer's own prefix, and
texts that exceed the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from actors.tokens.chat import beginning, user_turns
from studies.prompt_options import Chat
from studies.spec import ModelFacts
from studies.texts import ChoiceItem


class EncodedTexts(NamedTuple):
    """Token ids of texts, prefix included, and how many texts were cut to the model's context."""

    sequences: list[list[int]]
    truncated: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenisedModel:
    """What is known of a model, its tokenizer, and how that begins every text.

    `prefix` is what the tokenizer puts before every text by itself (a BOS, mostly). What it may
    put after a text is never used. `vocabulary` is how many rows the embedding has, which may be
    more or fewer than the tokenizer has tokens. `notes` are what people should know of the
    tokenizer.
    """

    facts: ModelFacts
    tokenizer: PreTrainedTokenizerBase
    prefix: tuple[int, ...]
    vocabulary: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a model that no text can begin with its tokenizer's prefix."""
        self.embedded([list(self.prefix)])

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text, without prefix.

        Raises:
            ValueError: one of them is beyond the embedding.
        """
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return self.embedded([list(ids) for ids in encoded["input_ids"]])

    def embedded(self, sequences: list[list[int]]) -> list[list[int]]:
        """The token ids, once it is sure that the embedding has a row for each: a GPU that is
        asked for another one is lost to its process.

        Raises:
            ValueError: it has not.
        """
        beyond = max((max(ids) for ids in sequences if ids), default=0)
        if beyond < self.vocabulary:
            return sequences
        token = self.tokenizer.convert_ids_to_tokens(beyond)
        raise ValueError(
            f"a text has the token {token!r} with id {beyond}, and the embedding of model "
            f"{self.facts.label!r} has {self.vocabulary} rows: the tokenizer is not the one of "
            "these weights, or has more tokens; leave such texts out, or take the right tokenizer"
        )

    def in_chat(self, texts: Sequence[str], *, chat: Chat | None) -> list[str]:
        """Every text as a user's turn of the chat template; without `chat` they stay as they are.

        Raises:
            ValueError: the tokenizer has no chat template, or one that takes no such turns.
        """
        if chat is None:
            return list(texts)
        return user_turns(self.tokenizer, texts, chat=chat, name=self.facts.label)

    def begun(self, items: Sequence[ChoiceItem], *, chat: Chat | None) -> list[ChoiceItem]:
        """Items whose options begin as their template wants it, if `chat` leaves that open.

        Raises:
            ValueError: as `in_chat` does.
        """
        if chat is None or chat.start != "auto":
            return list(items)
        start = beginning(self.tokenizer, chat=chat, name=self.facts.label)
        return [
            replace(item, options=tuple(start + one.removeprefix(" ") for one in item.options))
            for item in items
        ]

    def begin(self, ids: Sequence[int], *, chat: Chat | None) -> list[int]:
        """A text's token ids behind the prefix, which a chat template may have written itself."""
        written = chat is not None and tuple(ids[: len(self.prefix)]) == self.prefix
        return list(ids) if written else [*self.prefix, *ids]

    def prompts(self, texts: Sequence[str], *, chat: Chat | None) -> list[list[int]]:
        """Token ids of every text, prefix included, under a chat template or as they are.

        Args:
            texts: what is asked.
            chat: how they are put in the chat template; None for no template.

        Raises:
            ValueError: as `in_chat` does.
        """
        return [self.begin(ids, chat=chat) for ids in self.tokenise(self.in_chat(texts, chat=chat))]

    def encode(
        self,
        texts: Sequence[str],
        *,
        allow_truncation: bool,
        chat: Chat | None = None,
        names: Sequence[str] = (),
    ) -> EncodedTexts:
        """Token ids of every text as the model reads it; too long ones are cut from the right.

        Args:
            texts: what is read.
            allow_truncation: whether a text may be cut.
            chat: how they are put in the chat template; None for no template.
            names: what messages call the texts; by default their numbers.

        Raises:
            ValueError: a text has no token, or is longer than the context and may not be cut, as
                none is under a chat template; or there is no such template.
        """
        sequences = self.prompts(texts, chat=chat)
        context = self.facts.context
        truncated = 0
        for place, sequence in enumerate(sequences):
            what = names[place] if names else f"text {place}"
            if not sequence:
                raise ValueError(f"{what} ({texts[place]!r}) has no token: leave it out")
            if len(sequence) > context:
                if not allow_truncation or chat is not None:
                    raise ValueError(too_long(what, len(sequence), context=context, chat=chat))
                del sequence[context:]
                truncated += 1
        return EncodedTexts(sequences=sequences, truncated=truncated)


def too_long(what: str, tokens: int, *, context: int, chat: Chat | None = None) -> str:
    """The sentence that says a text exceeds the context; under a chat template none is cut."""
    if chat is not None:
        return (
            f"{what} has {tokens} tokens in its chat template and the model's context is {context}:"
            " shorten it, as a template that is cut says something else, or ask without "
            "chat_template"
        )
    return (
        f"{what} has {tokens} tokens and the model's context is {context}: choose a model with a "
        "longer context, or pass --allow-truncation to cut it"
    )


def prefix_of(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The special tokens that the tokenizer puts before every text."""
    text = "a b"
    plain = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    full = list(tokenizer(text)["input_ids"])
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return tuple(full[:start])
    raise ValueError(
        f"the tokenizer turns {text!r} into {plain} alone and {full} with special tokens; expected "
        "the second to contain the first, so its prefix cannot be told from the text"
    )


def ends_of(
    config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, *, more: Sequence[int]
) -> list[int]:
    """Every token that a model's files name as the end of a text; chat models have several.

    Args:
        config: its configuration, which may have that of its text part nested.
        tokenizer: its tokenizer.
        more: those that its generation settings name, which are left out of the loader's folder.
    """
    found = set(more)
    for source in (config, config.get_text_config(), tokenizer):
        given = getattr(source, "eos_token_id", None)
        if given is not None:
            found.update(given if isinstance(given, list | tuple) else [given])
    return sorted(found)

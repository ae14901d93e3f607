"""A model's tokenizer by its files: token counts and the chat template, without torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studies.models.config import read_json, readable
from studies.models.files import (
    ADDED_TOKENS,
    CHAT_TEMPLATE,
    MORE_CHAT_TEMPLATES,
    SPECIAL_TOKENS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    VOCABULARY,
)
from studies.models.folder import tokenizer_folder
from studies.models.hashing import per_file
from studies.spec import ModelFacts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# JSON that loaders read beside a tokenizer's own file.
SETTINGS = (TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS, VOCABULARY)


def refuse_broken_tokenizer(folder: Path) -> None:
    """Raise ValueError for a tokenizer, its settings or a chat template that does not parse."""
    for name in SETTINGS:
        if (folder / name).is_file():
            read_json(folder / name)
    if (folder / TOKENIZER).is_file():
        read_tokenizer(folder / TOKENIZER)
    for path in (folder / CHAT_TEMPLATE, *sorted((folder / MORE_CHAT_TEMPLATES).glob("*.jinja"))):
        if path.is_file():
            _read_template(path)


@per_file(most=16)
def read_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer of a tokenizer.json, without its own truncation and padding.

    Raises:
        ValueError: it is none.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} is not a tokenizer ({error}): copy it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def count_tokens(model: ModelFacts, texts: Sequence[str]) -> list[int] | None:
    """Tokens per text, special tokens included, or None where only the model's loader can tell."""
    path = tokenizer_folder(model) / TOKENIZER
    if not path.is_file():
        return None
    encodings = read_tokenizer(path).encode_batch(list(texts))
    return [len(encoding.ids) for encoding in encodings]


def may_chat(model: ModelFacts) -> bool:
    """Whether there is a chat template among a model's files."""
    return bool(_chat_template(model))


def may_read(model: ModelFacts, argument: str) -> bool:
    """Whether a model's chat template reads an argument."""
    return re.search(rf"\b{re.escape(argument)}\b", _chat_template(model)) is not None


def _chat_template(model: ModelFacts) -> str:
    """The template that transformers takes of a model's files, "" for none.

    A file of its own wins over the tokenizer's settings, which may name several.
    """
    folder = tokenizer_folder(model)
    alone, settings = folder / CHAT_TEMPLATE, folder / TOKENIZER_CONFIG
    if alone.is_file():
        return _read_template(alone)
    found = read_json(settings).get("chat_template") if settings.is_file() else None
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def _read_template(path: Path) -> str:
    """The text of a file with a chat template."""
    try:
        with readable(str(path)):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}): copy it again") from error

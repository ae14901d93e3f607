"""What every kind of text that cells are computed from can say of itself.

Every field of a content bears identity through its fingerprint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from studies.prompt_options import Chat
from studies.spec import digest


class OfDataset:
    """What is of one data set, which a field `benchmark` or `dataset` names."""

    __slots__ = ()

    @property
    def dataset_name(self) -> str:
        """The benchmark or parallel text."""
        name: str = getattr(self, "benchmark", "") or getattr(self, "dataset", "")
        return name


class Content(OfDataset):
    """Texts of one benchmark or parallel text in one language, as models read them.

    Attributes:
        language: the texts' language.
        pivot: the language they are compared with or translated from, None without one.
        prompt: the name of the prompt that they were put in, "" for none.
        chat: how they are put in the model's chat template, None without it.
        commit: the data set's commit on the hub, "" for local files.
    """

    language: str
    pivot: str | None
    prompt: str
    chat: Chat | None
    commit: str

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all that bears identity, whatever file it came from."""
        return digest(self.identity)

    @property
    def identity(self) -> list[object]:
        """All that bears identity, as JSON takes it."""
        raise NotImplementedError

    @cached_property
    def characters(self) -> int:
        """The size that cost is estimated from."""
        return sum(map(len, self.inputs()))

    @property
    def contents(self) -> "tuple[Content, ...]":
        """The contents of one language each that this consists of."""
        return (self,)

    @property
    def written(self) -> int:
        """Tokens that are written behind each text at most."""
        return 0

    def inputs(self) -> Iterator[str]:
        """Every text that a model reads, before any chat template."""
        raise NotImplementedError

    def longest(self) -> int:
        """The size of the longest text, in bytes of UTF-8."""
        return max((len(text.encode()) for text in self.inputs()), default=0)

    def shown(self) -> list[dict[str, Any]]:
        """Every item as plain values for a reader: its id, text, options, right answer."""
        raise NotImplementedError


Own = TypeVar("Own", bound=Content, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Together(Content, Generic[Own]):
    """Contents of several languages that one cell is computed from, each of which bears identity.

    `language` is `all`; the pivot and the chat template are those that all of them have.
    """

    parts: tuple[Own, ...]
    language: str = "all"

    @property
    def contents(self) -> tuple[Content, ...]:
        """Those of every language."""
        return self.parts

    @property
    def dataset_name(self) -> str:
        """The benchmark or parallel text of all of them."""
        return self.parts[0].dataset_name

    @property
    def prompt(self) -> str:  # type: ignore[override]
        """The prompt of all of them."""
        return self.parts[0].prompt

    @property
    def pivot(self) -> str | None:  # type: ignore[override]
        """The pivot of all of them."""
        return self.parts[0].pivot

    @property
    def chat(self) -> Chat | None:  # type: ignore[override]
        """How all of them are put in the model's chat template."""
        (chat,) = {part.chat for part in self.parts}
        return chat

    @property
    def identity(self) -> list[object]:
        """The fingerprints."""
        return [part.fingerprint for part in self.parts]

    @cached_property
    def characters(self) -> int:
        """Those of all of them."""
        return sum(part.characters for part in self.parts)

    def inputs(self) -> Iterator[str]:
        """The texts of all of them."""
        for part in self.parts:
            yield from part.inputs()

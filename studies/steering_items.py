"""Items for steering: those that vectors are made from, and those that are answered with them.

Which items are drawn depends on benchmark, pivot, sample and seed alone, so that no item that a
vector was made from is answered in any language (arXiv 2505.13141, section 5).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from studies.content import Content
from studies.draws import SMALLEST, Draw, Sides, ordered
from studies.prompt_options import Chat
from studies.texts import ChoiceSet


@dataclass(frozen=True, kw_only=True)
class VectorSet(Content):
    """Pairs of prompts whose states differ by what a steering vector is: toward minus away.

    `language` is the one steered away from and `pivot` the one steered to; `seed` is that of the
    draw of the pairs. Where both are one language, the sides are halves of its prompts: a control.
    """

    benchmark: str
    language: str
    pivot: str
    prompt: str
    seed: int
    ids: tuple[str, ...]
    toward: tuple[str, ...]
    away: tuple[str, ...]
    chat: Chat | None = None
    commit: str = ""

    @property
    def identity(self) -> list[object]:
        """The prompts and their ids."""
        chat = self.chat and self.chat.identity
        return [self.prompt, self.ids, self.toward, self.away, chat, self.commit]

    def inputs(self) -> Iterator[str]:
        """The prompts of both sides."""
        yield from self.toward
        yield from self.away

    def shown(self) -> list[dict[str, Any]]:
        """Every pair."""
        three = zip(self.ids, self.away, self.toward, strict=True)
        return [{"id": one, "text": away, "beside": toward} for one, away, toward in three]


def vector_set(found: Draw) -> VectorSet:
    """The pairs of prompts of one draw, in the pivot's order, with the pivot's as those toward it.

    Where both are one language, the first half of its drawn prompts, in the order of the seed,
    stands against the second; one too many is left out, and an id is that of both.

    Raises:
        ValueError: there are fewer than 2 pairs.
    """
    own, pivot = found.own, found.pivot
    ids, toward, away = _halves(found) if own.language == pivot.language else found.sides()
    return VectorSet(
        benchmark=own.benchmark,
        language=own.language,
        pivot=pivot.language,
        prompt=own.prompt,
        seed=found.seed,
        ids=ids,
        toward=toward,
        away=away,
        chat=own.chat,
        commit=own.commit,
    )


def held_out(found: Draw) -> ChoiceSet:
    """The items of a language that a draw leaves, in the language's order.

    Raises:
        ValueError: nothing is left.
    """
    own, pivot = found.own, found.pivot
    left = tuple(item for item in own.items if item.id not in found.ids)
    if not left:
        raise ValueError(
            f"{own.benchmark}: the draw takes {len(found.ids)} of the {len(pivot.items)} items of "
            f"{pivot.language}, and {own.language} has none beside them to answer: draw fewer with "
            "a smaller sample, or raise the limit"
        )
    return replace(own, items=left, seed=found.seed)


def _halves(found: Draw) -> Sides:
    """Ids, the prompts of the first half and those of the second."""
    contexts = {item.id: item.context for item in found.pivot.items}
    ids = ordered(found.ids, seed=found.seed)
    size = len(ids) // 2
    if size < SMALLEST:
        raise ValueError(
            f"{found.own.benchmark}: {len(ids)} items are drawn in {found.own.language}, too few "
            f"for two halves of at least {SMALLEST}: draw more with a larger sample"
        )
    first, second = ids[:size], ids[size : 2 * size]
    return (
        tuple(f"{one} | {other}" for one, other in zip(first, second, strict=True)),
        tuple(contexts[id] for id in first),
        tuple(contexts[id] for id in second),
    )

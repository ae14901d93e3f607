"""Items whose option texts are read at every layer: in the question's language and in the pivot.

Both follow the same question in its own language (arXiv 2505.13141, section 4, equation 7).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from studies import benchmarks
from studies.content import Content
from studies.draws import ordered
from studies.parallel_items import check_same
from studies.prompt_options import Asking, Chat
from studies.prompts import USUAL
from studies.row_parsers import RawQuestion
from studies.rows import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentItem:
    """A question in one language, and the texts of its options in that language and the pivot.

    Texts are continuations of the context: their leading space belongs to them.
    """

    id: str
    context: str
    native: tuple[str, ...]
    pivot: tuple[str, ...]
    gold: int


@dataclass(frozen=True, kw_only=True)
class LatentSet(Content):
    """Questions of one benchmark in one language, whose option texts are read at every layer.

    `order` is a control: question i is also read with the option texts of question `order[i]`,
    which is never i. `chat` says how prompts are put in the model's chat template, None without it.
    """

    benchmark: str
    language: str
    pivot: str
    prompt: str
    items: tuple[LatentItem, ...]
    order: tuple[int, ...]
    chat: Chat | None = None
    commit: str = ""

    @property
    def identity(self) -> list[object]:
        """Contexts and option texts; the control's order is its own cells'."""
        items = [[one.id, one.context, one.native, one.pivot, one.gold] for one in self.items]
        chat = self.chat and self.chat.identity
        return [self.prompt, items, chat, self.commit]

    @cached_property
    def characters(self) -> int:
        """Those of all contexts, and of their options in both languages, own and another's."""
        return sum(
            len(one.context) + 2 * sum(map(len, (*one.native, *one.pivot))) for one in self.items
        )

    def inputs(self) -> Iterator[str]:
        """Every context with each option in both languages."""
        for one in self.items:
            yield from (one.context + option for option in (*one.native, *one.pivot))

    def shown(self) -> list[dict[str, Any]]:
        """Every question."""
        return [
            {"id": one.id, "text": one.context, "gold": one.gold}
            | {"options": [*one.native, *one.pivot]}
            for one in self.items
        ]


class LatentItems(NamedTuple):
    """A set, and how many items were left out for it.

    `dropped` are those that the language or the pivot lacks; `alone` those whose number of options
    no other item has, so that the control finds none for them.
    """

    set: LatentSet
    dropped: int
    alone: int


def latent_set(
    benchmark: str,
    *,
    language: str,
    pivot: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
    asking: Asking = USUAL,
    seed: int = 0,
) -> LatentItems:
    """The items that a language and the pivot have, in the language's order.

    Args:
        limit: look at the first rows only, in both languages; None looks at all.
        prompt: the name of one of the benchmark's prompts; None is its default.
        seed: that of the control's order.

    Raises:
        ValueError: an item has other options or another right answer in the pivot, fewer than 2
            are left, or the benchmark cannot be loaded.
    """
    shown = benchmarks.load(
        benchmark, language=language, source=source, limit=limit, prompt=prompt, asking=asking
    )
    own = benchmarks.raw_questions(benchmark, language=language, source=source, limit=limit)
    its_pivot = (
        own
        if language == pivot
        else benchmarks.raw_questions(benchmark, language=pivot, source=source, limit=limit)
    )
    contexts = {item.id: item.context for item in shown.items}
    shared = {id: each for id, each in own.items() if id in its_pivot}
    for id, each in shared.items():
        check_same(each, its_pivot[id], id=id, languages=(language, pivot))
    following = _following(shared, seed=seed)
    ids = [id for id in shared if id in following]
    if not ids:
        raise ValueError(
            f"{benchmark}: {language} and {pivot} share {len(shared)} items, and none of them has "
            "as many options as another; expected at least 2 that have: raise the limit, or leave "
            "this language out"
        )
    place = {id: number for number, id in enumerate(ids)}
    found = LatentSet(
        benchmark=benchmark,
        language=language,
        pivot=pivot,
        prompt=shown.prompt,
        items=tuple(
            LatentItem(
                id=id,
                context=contexts[id],
                native=_continuations(own[id], asking),
                pivot=_continuations(its_pivot[id], asking),
                gold=own[id].gold,
            )
            for id in ids
        ),
        order=tuple(place[following[id]] for id in ids),
        # A text has one probability here: of the ways to begin it, the one that the template wants.
        chat=replace(shown.chat, start="auto") if shown.variants > 1 and shown.chat else shown.chat,
        commit=shown.commit,
    )
    dropped = len(own.keys() ^ its_pivot.keys())
    return LatentItems(found, dropped=dropped, alone=len(shared) - len(ids))


def _continuations(question: RawQuestion, asking: Asking) -> tuple[str, ...]:
    """The options' texts; without a chat template they follow a space, as letters may not."""
    bare = asking.chat_template and asking.start == "nospace"
    options = question.options
    return options if bare else tuple(f" {option}" for option in options)


def _following(items: dict[str, RawQuestion], *, seed: int) -> dict[str, str]:
    """For every item the next in the order of the seed, among those with as many options.

    The last is followed by the first, so no item by itself; one that is alone has none.
    """
    groups: dict[int, list[str]] = {}
    for id in ordered(items, seed=seed):
        groups.setdefault(len(items[id].options), []).append(id)
    return {
        id: other
        for group in groups.values()
        if len(group) > 1
        for id, other in zip(group, [*group[1:], group[0]], strict=True)
    }

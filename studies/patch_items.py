"""Items to patch: questions of a language with the prompts whose states replace their own.

The same question in the pivot's language, and the controls that a claim about concepts needs: if
what is carried over is the answer's concept, the right option of the *target* should follow; if it
is the next token, the symbol of the *source*.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from studies import benchmarks
from studies.content import Content
from studies.draws import ordered
from studies.parallel_items import check_same
from studies.prompt_options import Asking, Chat
from studies.prompts import USUAL
from studies.row_parsers import RawQuestion
from studies.rows import Source
from studies.spec import digest
from studies.texts import ChoiceItem, ChoiceSet

# `matched`: the same question in the pivot. `permuted`: the same with its options in another order,
# so that the right one has another symbol. `same_symbol`, `other_symbol`: another question of the
# pivot, whose right option has the same or another symbol. `own_language`: another question in the
# item's own language. `noise`: a random direction as long as the matched state.
Patch = Literal["matched", "permuted", "same_symbol", "other_symbol", "own_language", "noise"]
PATCHES: tuple[Patch, ...] = get_args(Patch)
# Those that a seed has drawn.
DRAWN = frozenset[Patch](("same_symbol", "other_symbol", "own_language", "noise"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSource:
    """The prompt whose state an item takes: that of which item, and which option is right there."""

    item: str
    context: str
    gold: int


@dataclass(frozen=True, kw_only=True)
class PatchSet(Content):
    """The questions of one language, and for every kind of patch a source for each of them.

    An item has no source of a kind where None stands; a kind of which no item has one is left out.
    `pivot_asked` are the same questions in the pivot, whose answers say what could be transferred
    at all.
    """

    benchmark: str
    language: str
    pivot: str
    asked: ChoiceSet
    pivot_asked: ChoiceSet
    sources: tuple[tuple[Patch, tuple[PatchSource | None, ...]], ...]
    commit: str = ""

    def of(self, patch: Patch) -> "PatchSet":
        """The same with the sources of one kind of patch alone; noise is as long as the matched."""
        wanted = "matched" if patch == "noise" else patch
        return replace(self, sources=tuple(one for one in self.sources if one[0] == wanted))

    @property
    def prompt(self) -> str:  # type: ignore[override]
        """The prompt of the questions."""
        return self.asked.prompt

    @property
    def chat(self) -> Chat | None:  # type: ignore[override]
        """How questions are put in the chat template."""
        return self.asked.chat

    @property
    def identity(self) -> list[object]:
        """Questions of both languages, and all sources."""
        made = [
            [name, [one and [one.item, one.context, one.gold] for one in own]]
            for name, own in self.sources
        ]
        return [self.asked.fingerprint, self.pivot_asked.fingerprint, made]

    def inputs(self) -> Iterator[str]:
        """The questions, those of the pivot, and the sources."""
        yield from self.asked.inputs()
        yield from self.pivot_asked.inputs()
        for _, own in self.sources:
            yield from (one.context for one in own if one is not None)

    def shown(self) -> list[dict[str, Any]]:
        """Every question."""
        return self.asked.shown()


class Loaded(NamedTuple):
    """The questions, and how many items one of the sides lacks."""

    asked: PatchSet
    dropped: int


def load(
    benchmark: str,
    *,
    language: str,
    pivot: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
    asking: Asking = USUAL,
    seed: int = 0,
) -> Loaded:
    """The items that a language and the pivot have, in the language's order.

    Args:
        limit: look at the first rows only, in both languages.
        prompt: the name of one of the benchmark's prompts; None is the first with symbols, or its
            default one where it has none.
        asking: how the prompt is put.
        seed: of the order that other questions are taken in.

    Raises:
        ValueError: nothing stands before the options, no item is shared, or one has other options
            or another right answer.
    """
    name = prompt or benchmarks.symbol_prompt(benchmark, source=source)
    name = name or benchmarks.text_prompt(benchmark, source=source)
    template = benchmarks.template_of(benchmark, prompt=name, source=source)
    if not template.context:
        raise ValueError(
            f"{benchmark} puts no question before its options, so there is no token whose state "
            "could be replaced: choose another benchmark"
        )
    where: dict[str, Any] = {
        "source": source, "limit": limit, "prompt": name, "asking": asking,
    }  # fmt: skip
    own, there = (benchmarks.load(benchmark, language=one, **where) for one in (language, pivot))
    table = {item.id: item for item in there.items}
    kept = tuple(item for item in own.items if item.id in table)
    if not kept:
        raise ValueError(
            f"{benchmark}: {language} and {pivot} share no item: raise the limit, or leave the "
            "language out"
        )
    for item in kept:
        check_same(item, table[item.id], id=item.id, languages=(language, pivot))
    pivots = tuple(table[item.id] for item in kept)
    sources: dict[Patch, list[PatchSource | None]] = {
        "matched": [_source(item) for item in pivots],
        "own_language": _others(kept, kept, same=None, seed=seed),
    }
    if template.symbolic and template.listing:
        turned = benchmarks.load(benchmark, language=pivot, change=_turned, **where)
        permuted = {item.id: item for item in turned.items}
        sources["permuted"] = [_source(permuted[item.id]) for item in kept]
    if template.symbolic:
        sources["same_symbol"] = _others(kept, pivots, same=True, seed=seed)
        sources["other_symbol"] = _others(kept, pivots, same=False, seed=seed)
    made = PatchSet(
        benchmark=benchmark,
        language=language,
        pivot=pivot,
        asked=replace(own, items=kept),
        pivot_asked=replace(there, items=pivots),
        sources=tuple(
            (name, tuple(sources[name])) for name in PATCHES if any(sources.get(name, ()))
        ),
        commit=own.commit,
    )
    return Loaded(made, dropped=len(own.items) + len(there.items) - 2 * len(kept))


def _turned(id: str, question: RawQuestion) -> RawQuestion:
    """The question with its options turned by at least one place, how far by its id."""
    count = len(question.options)
    shift = 1 + int(digest([id]), 16) % (count - 1)
    options = tuple(question.options[(place + shift) % count] for place in range(count))
    return replace(question, options=options, gold=(question.gold - shift) % count)


def _source(item: ChoiceItem) -> PatchSource:
    return PatchSource(item=item.id, context=item.context, gold=item.gold)


def _others(
    items: Sequence[ChoiceItem], others: Sequence[ChoiceItem], *, same: bool | None, seed: int
) -> list[PatchSource | None]:
    """For each item the next of the others, in the order of the seed, with as many options, and
    with the same right option (or another; None: whichever); None where there is none."""
    table = {item.id: item for item in others}
    order = [table[id] for id in ordered(table, seed=seed)]
    places = {item.id: place for place, item in enumerate(order)}

    def fits(item: ChoiceItem, other: ChoiceItem) -> bool:
        alike = len(item.options) == len(other.options) and item.id != other.id
        return alike and (same is None or (other.gold == item.gold) == same)

    found: list[PatchSource | None] = []
    for item in items:
        start = places[item.id] + 1
        following = (order[(start + step) % len(order)] for step in range(len(order)))
        found.append(next((_source(one) for one in following if fits(item, one)), None))
    return found

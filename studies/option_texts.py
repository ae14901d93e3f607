"""Option texts: what a question says with each of its options, in a language and in the pivot.

DALI asks whether every option lies nearer to its own translation than to that of any other option
of the same item (section 1.4 of docs/studies/dali.md); MEXA_T asks the same of whole questions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from studies import benchmarks
from studies.content import Content
from studies.parallel_items import check_same
from studies.rows import Source
from studies.texts import ChoiceItem, ChoiceSet


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionItem:
    """One item on both sides: its premise, and its text with every option in turn."""

    id: str
    gold: int
    premise: str
    pivot_premise: str
    texts: tuple[str, ...]
    pivot_texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OptionTexts(Content):
    """The items that a language and its pivot have; `asked` are the same items as questions, by
    whose answers the likeliest wrong options are found."""

    benchmark: str
    language: str
    pivot: str
    prompt: str
    items: tuple[OptionItem, ...]
    asked: ChoiceSet
    commit: str = ""

    chat = None

    @property
    def identity(self) -> list[object]:
        """The texts of both sides, and the questions."""
        items = [
            [one.id, one.gold, one.premise, one.pivot_premise, one.texts, one.pivot_texts]
            for one in self.items
        ]
        return [self.prompt, items, self.asked.fingerprint, self.commit]

    @cached_property
    def characters(self) -> int:
        """Those of all texts of both sides."""
        return sum(map(len, self.inputs()))

    def inputs(self) -> Iterator[str]:
        """The texts and premises of both sides, and the questions."""
        for one in self.items:
            yield from (one.premise, one.pivot_premise, *one.texts, *one.pivot_texts)
        yield from (item.context for item in self.asked.items)

    def shown(self) -> list[dict[str, Any]]:
        """Every item."""
        return [
            {"id": one.id, "text": one.premise, "gold": one.gold}
            | {"options": [*one.texts, *one.pivot_texts]}
            for one in self.items
        ]


class Loaded(NamedTuple):
    """The texts, and how many items one of the sides lacks."""

    texts: OptionTexts
    dropped: int


def load(
    benchmark: str,
    *,
    language: str,
    pivot: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
) -> Loaded:
    """The items that a language and its pivot have, in the language's order.

    Args:
        limit: look at the first rows only, in both languages; None looks at all.
        prompt: how premise and option are joined; None is the benchmark's own way with texts.

    Raises:
        ValueError: nothing stands before the options, no item is shared, or one has other options
            or another right answer.
    """
    name = prompt or benchmarks.text_prompt(benchmark, source=source)
    if not benchmarks.template_of(benchmark, prompt=name, source=source).context:
        raise ValueError(
            f"{benchmark} puts no question before its options, so there is nothing that MEXA could "
            "compare: choose another benchmark"
        )
    plain = benchmarks.symbol_prompt(benchmark, source=source)
    own, there = (
        benchmarks.load(benchmark, language=one, source=source, limit=limit, prompt=name)
        for one in (language, pivot)
    )
    asked = benchmarks.load(benchmark, language=language, source=source, limit=limit, prompt=plain)
    premises, pivot_premises = (
        _premises(benchmark, language=one, source=source, limit=limit) for one in (language, pivot)
    )
    table = {item.id: item for item in there.items}
    shared = [item for item in own.items if item.id in table]
    if not shared:
        raise ValueError(
            f"{benchmark}: {language} and {pivot} share no item: raise the limit, or leave the "
            "language out"
        )
    for item in shared:
        check_same(item, table[item.id], id=item.id, languages=(language, pivot))
    ids = {item.id for item in shared}
    found = OptionTexts(
        benchmark=benchmark,
        language=language,
        pivot=pivot,
        prompt=name,
        items=tuple(
            OptionItem(
                id=item.id,
                gold=item.gold,
                premise=premises.get(item.id) or item.context,
                pivot_premise=pivot_premises.get(item.id) or table[item.id].context,
                texts=_texts(item),
                pivot_texts=_texts(table[item.id]),
            )
            for item in shared
        ),
        asked=_only(asked, ids),
        commit=own.commit,
    )
    return Loaded(found, dropped=len(own.items) + len(there.items) - 2 * len(shared))


def _texts(item: ChoiceItem) -> tuple[str, ...]:
    return tuple(item.context + option for option in item.options)


def _premises(
    benchmark: str, *, language: str, source: Source, limit: int | None
) -> dict[str, str]:
    """XCOPA's premises whole, whose contexts end in a connector; elsewhere the context is one."""
    if benchmarks.BENCHMARKS.get(benchmark) is not benchmarks.BENCHMARKS["xcopa"]:
        return {}
    raw = benchmarks.raw_questions(benchmark, language=language, source=source, limit=limit)
    return {id: each.fields["premise"] for id, each in raw.items()}


def _only(asked: ChoiceSet, ids: set[str]) -> ChoiceSet:
    return replace(asked, items=tuple(item for item in asked.items if item.id in ids))

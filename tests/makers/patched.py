"""Questions with sources of every kind of patch, made by hand, and the rows of their patches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from actors.model import LoadedModel
from actors.work import run_unit
from studies.kinds import patching
from studies.kinds.patching import PatchGrid, Patching
from studies.patch_items import Patch, PatchSet, PatchSource
from studies.spec import Row
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers.stored import check
from tests.makers.units import of_drafts

GRID = PatchGrid(benchmark="mini", languages=("deu_Latn",), seed=7)
LETTERS = (" A", " B", " C", " D")
DIGITS = (" 0", " 1")
Sources = Mapping[Patch, Sequence[PatchSource | None]]


def item(id: str, context: str, *options: str, gold: int = 0) -> ChoiceItem:
    return ChoiceItem(id=id, context=context, options=options, gold=gold)


# Letters of one token, texts of many, and digits behind a space of its own; contexts of other
# lengths than their sources.
GERMAN = (
    item("a", "Wer? Anna.\nA: x\nB: y\nAntwort:", *LETTERS, gold=2),
    item("b", "Рыба живёт", " в море", " в лесу", " A"),
    item("c", "Antwort", " B", " C", gold=1),
    item("d", "Welche Zahl ist es?", *DIGITS, gold=1),
)
ENGLISH = (
    item("a", "Who was it? Anna was.\nA: x\nB: y\nAnswer:", *LETTERS, gold=2),
    item("b", "Fish live", " in the sea", " in the woods", " A"),
    item("c", "And what is the answer?", " B", " C", gold=1),
    item("d", "Is it this number?", *DIGITS, gold=1),
)


def source(id: str, context: str, gold: int) -> PatchSource:
    return PatchSource(item=id, context=context, gold=gold)


SOURCES: Sources = {
    "matched": [source(one.id, one.context, one.gold) for one in ENGLISH],
    "permuted": [
        source("a", "Who was it? Anna was.\nA: y\nB: x\nAnswer:", 1),
        source("b", "The fish live", 2),
        source("c", "What is it?", 0),
        source("d", "It is a number?", 0),
    ],
    "same_symbol": [source("x", "Other?", 2), None, None, None],
    "other_symbol": [source("y", "Where?", 0), source("z", "Why not?", 1), None, None],
    "own_language": [
        source("b", GERMAN[1].context, 0),
        source("a", GERMAN[0].context, 2),
        None,
        source("c", GERMAN[2].context, 1),
    ],
}


def patch_set(
    own: Sequence[ChoiceItem] = GERMAN,
    pivot: Sequence[ChoiceItem] = ENGLISH,
    sources: Sources = SOURCES,
) -> PatchSet:
    asked, there = (
        ChoiceSet(benchmark="mini", language=code, prompt="letter", items=tuple(items))
        for code, items in (("deu_Latn", own), ("eng_Latn", pivot))
    )
    return PatchSet(
        benchmark="mini",
        language="deu_Latn",
        pivot="eng_Latn",
        asked=asked,
        pivot_asked=there,
        sources=tuple((name, tuple(given)) for name, given in sources.items()),
    )


def only(asked: PatchSet, *places: int) -> PatchSet:
    """The set with some of its items alone."""

    def some(of: ChoiceSet) -> ChoiceSet:
        return replace(of, items=tuple(of.items[place] for place in places))

    kept = [(name, tuple(given[one] for one in places)) for name, given in asked.sources]
    sources = tuple((name, given) for name, given in kept if any(given))
    return replace(
        asked, asked=some(asked.asked), pivot_asked=some(asked.pivot_asked), sources=sources
    )


def rows_of(
    loaded: LoadedModel,
    asked: PatchSet,
    *,
    site: str = "resid_post",
    cut: bool = False,
    **more: object,
) -> list[Row]:
    grid = replace(GRID, patching=Patching(patch_site=site), **more)  # type: ignore[arg-type]
    draft = patching.draft(grid, asked, model=loaded.facts)
    unit = of_drafts(grid, draft, study="s", allow_truncation=cut)
    rows = run_unit(loaded, unit).rows
    check(unit, rows)
    assert {row["switches"] for row in rows} == {grid.patching.text()}
    return rows


def by_item(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(str(row["intervention"]), str(row["item"])): row for row in rows}


def each(row: Row) -> Iterator[tuple[int, object, object]]:
    """Layer, prediction and margin."""
    layers, predictions, margins = (row[name] for name in ("layers", "predictions", "margins"))
    assert isinstance(layers, list) and isinstance(predictions, list)
    assert isinstance(margins, list)
    yield from zip(layers, predictions, margins, strict=True)

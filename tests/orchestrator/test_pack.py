"""Packing: makers before takers, whatever they are made of; what failed takes its takers along."""

import random
from dataclasses import replace

import pytest

from orchestrator.pack import Missing, pack, possible
from studies.kinds.alignment import AlignmentGrid
from studies.spec import Cell, ModelFacts, digest
from studies.study import Draft
from studies.texts import Bitext
from studies.unit import Unit

MODEL = ModelFacts(
    name="a",
    revision="main",
    folder="/a",
    weights="a",
    tokenizer="t",
    dtype="float32",
    layers=2,
    width=8,
    neurons=16,
    context=64,
    bytes=1000,
)
GRID = AlignmentGrid(dataset="flores200", languages=("all",))


def part(
    name: str, *, model: str = "a", needs: tuple[str, ...] = (), cells: int = 2, characters: int = 9
) -> Missing:
    """Cells as a recipe makes them: the scope of one digests the keys of those it takes."""
    bitext = Bitext(
        dataset="flores200",
        language=name,
        pivot="eng_Latn",
        ids=("1",),
        pivot_texts=("one",),
        texts=(name,),
    )
    made = tuple(
        Cell(
            table="alignment",
            model=model,
            revision="main",
            language=name,
            layer=layer,
            scope=digest([model, bitext.fingerprint, *needs]),
        )
        for layer in range(cells)
    )
    facts = replace(MODEL, name=model, weights=model)
    taken = {key: key for key in needs}
    draft = Draft(
        kind="alignment", model=facts, content=bitext, cells=(), characters=characters, taken=taken
    )
    return Missing(GRID, draft, made)


def packed(parts: list[Missing], *, size: int = 20) -> list[Unit]:
    return list(pack(parts, size=size, study="s", allow_truncation=False))


def makers_come_first(units: list[Unit]) -> None:
    """What a unit needs is made before it, or by no unit at all."""
    every = {cell.key for unit in units for cell in unit.cells}
    before: set[str] = set()
    for unit in units:
        assert {need for need in unit.needs if need in every} <= before
        before |= {cell.key for cell in unit.cells}


def test_units_take_what_earlier_units_make():
    vector = part("vector", cells=1)
    there = digest("a vector of an earlier run")
    key = vector.cells[0].key
    takers = [part(f"taker {n}", needs=(key, there)) for n in range(5)]
    units = packed([vector, *takers, part("plain")])
    assert [len(unit.cells) for unit in units] == [3, 6, 4]
    assert [unit.needs for unit in units] == [(), (key, there), (key, there)]
    makers_come_first(units)


def test_another_vector_is_another_answer_and_the_same_vector_the_same():
    first, second = (part(name).cells[0].key for name in ("one", "other"))
    taker = part("taker", needs=(first,))
    assert taker.cells[0].key == part("taker", needs=(first,)).cells[0].key
    assert taker.cells[0].key != part("taker", needs=(second,)).cells[0].key


@pytest.mark.parametrize("seed", range(20))
def test_any_chain_of_needs_over_any_models_is_in_order(seed: int):
    source = random.Random(seed)
    parts: list[Missing] = []
    for number in range(60):
        cells = [cell.key for each in parts for cell in each.cells]
        needs = source.sample(cells, k=min(len(cells), source.choice((0, 0, 0, 1, 3))))
        parts.append(
            part(
                f"part {number}",
                model=source.choice("abc"),
                needs=tuple(needs),
                characters=source.randint(1, 30),
            )
        )
    units = packed(parts, size=source.choice((1, 20, 1000)))
    makers_come_first(units)
    keys = [cell.key for unit in units for cell in unit.cells]
    assert sorted(keys) == sorted(cell.key for each in parts for cell in each.cells)
    for unit in units:
        assert len({cell.model for cell in unit.cells}) == 1
        for one in unit.parts:
            assert {one.content.language} == {cell.language for cell in one.cells}


def test_a_taker_that_stands_before_its_maker_is_our_mistake():
    maker = part("maker")
    with pytest.raises(AssertionError, match="after those whose results it takes"):
        packed([part("taker", needs=(maker.cells[0].key,)), maker])


def test_what_failed_takes_its_takers_along_and_nothing_else():
    failed = digest("a vector that could not be made")
    first = part("first", needs=(failed,))
    second = part("second", needs=(first.cells[1].key,))
    plain, other = part("plain"), part("other", needs=(digest("there"),))
    parts = [first, plain, second, other]
    assert possible(parts, failed={failed}) == [plain, other]
    assert possible(parts, failed=set()) == parts


def test_units_are_as_large_as_asked_for_and_no_text_is_divided():
    parts = [part(f"part {n}", characters=7) for n in range(9)] + [part("long", characters=500)]
    assert [unit.characters for unit in packed(parts, size=20)] == [21, 21, 21, 500]
    assert [unit.characters for unit in packed(parts, size=1)] == [7] * 9 + [500]
    assert len(packed(parts, size=10**9)) == 1

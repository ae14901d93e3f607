"""Latent rows equal the slow twin, are the model's own answer at the last layer, and keep order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from actors.model import LoadedModel
from actors.work import run_unit
from studies.kinds import latent
from studies.kinds.latent import LatentGrid
from studies.latent_items import LatentItem, LatentSet
from studies.prompt_options import Lens, text
from studies.spec import Cell, Row
from studies.unit import Unit
from tests.makers import oracle, tiny
from tests.makers.rounding import TINY
from tests.makers.stored import check
from tests.makers.units import of_drafts, with_cells

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")

# Options of one token and of many, one text the same in both languages, three options and two.
ITEMS = (
    LatentItem(
        id="a",
        context="Wo ist Anna? Sie ist",
        native=(" im Haus", " im Garten", " A"),
        pivot=(" at home", " in the garden", " A"),
        gold=1,
    ),
    LatentItem(
        id="b",
        context="Рыба живёт",
        native=(" в море", " в лесу"),
        pivot=(" in the sea", " in the woods"),
        gold=0,
    ),
    LatentItem(id="c", context="Answer:", native=(" B", " C"), pivot=(" B", " D"), gold=0),
)
ASKED = LatentSet(
    benchmark="mini",
    language="deu_Latn",
    pivot="eng_Latn",
    prompt="cloze",
    items=ITEMS,
    order=(1, 2, 0),
)
GRID = LatentGrid(benchmark="mini", languages=("deu_Latn",))


def unit_of(
    loaded: LoadedModel, *sets: LatentSet, how: Lens | None = None, cut: bool = False
) -> Unit:
    grid = replace(GRID, lens=how or Lens())
    drafts = [latent.draft(grid, asked, model=loaded.facts) for asked in sets or (ASKED,)]
    return of_drafts(grid, *drafts, study="s", allow_truncation=cut)


def rows_of(loaded: LoadedModel, unit: Unit) -> list[Row]:
    rows = run_unit(loaded, unit).rows
    check(unit, rows)
    return rows


def sums(row: Row, side: str) -> list[float]:
    found = row[f"{side}_logp"]
    assert isinstance(found, list)
    return found


def slow(
    loaded: LoadedModel, item: LatentItem, options: Sequence[str], layer: int, how: Lens
) -> list[float]:
    """Every option by a pass of its own."""
    context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
    return [
        sum(
            oracle.latent_log_probabilities(
                loaded.model,
                context,
                ids,
                layer=layer,
                norm=how.lens_norm,
                head=how.lens_head,
                softcap=how.softcap,
            )
        )
        for ids in loaded.tokenise(options)
    ]


@pytest.mark.parametrize(
    "how", [Lens(), Lens(lens_norm="none", lens_head="input_embedding", softcap=False)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_equals_the_slow_twin(family: str, how: Lens) -> None:
    loaded = tiny.loaded(family)
    unit = unit_of(loaded, how=how)
    rows = iter(rows_of(loaded, unit))
    for cell in unit.cells:
        for place, item in enumerate(ITEMS):
            row = next(rows)
            read = item if cell.measure == "latent" else ITEMS[ASKED.order[place]]
            assert (row["key"], row["layer"], row["item"]) == (cell.key, cell.layer, item.id)
            assert (row["gold"], row["switches"]) == (item.gold, text(how))
            for side, options in (("native", read.native), ("pivot", read.pivot)):
                expected = slow(loaded, item, options, int(str(cell.layer)), how)
                assert sums(row, side) == pytest.approx(expected, rel=TINY, abs=TINY)
                tokens = [len(ids) for ids in loaded.tokenise(options)]
                assert row[f"{side}_tokens"] == tokens
                bare = [option[1:] for option in options]
                assert row[f"{side}_characters"] == [len(one) for one in bare]
                assert row[f"{side}_bytes"] == [len(one.encode("utf-8")) for one in bare]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer_is_the_models_own_answer(family: str) -> None:
    """Oracle 11 of the methods: a sum of token log-probabilities of a plain forward."""
    loaded = tiny.loaded(family)
    for row in rows_of(loaded, unit_of(loaded)):
        if (row["layer"], row["measure"]) != (loaded.facts.layers, "latent"):
            continue
        item = next(one for one in ITEMS if one.id == row["item"])
        context = [*loaded.prefix, *loaded.tokenise([item.context])[0]]
        for side, options in (("native", item.native), ("pivot", item.pivot)):
            plain = [
                sum(oracle.option_log_probabilities(loaded.model, context, ids))
                for ids in loaded.tokenise(options)
            ]
            assert sums(row, side) == pytest.approx(plain, rel=TINY, abs=TINY)


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_texts_are_equally_probable_and_sides_turn_the_sign(family: str) -> None:
    """Oracle 12: log-ratio 0 where both languages say the same, and antisymmetric."""
    loaded = tiny.loaded(family)
    turned = tuple(replace(one, native=one.pivot, pivot=one.native) for one in ITEMS)
    same = tuple(replace(one, pivot=one.native) for one in ITEMS)
    here, there, copy = (
        rows_of(loaded, unit_of(loaded, replace(ASKED, items=items)))
        for items in (ITEMS, turned, same)
    )
    differ = 0
    for row, other, equal in zip(here, there, copy, strict=True):
        assert sums(row, "native") == pytest.approx(sums(other, "pivot"), rel=TINY, abs=TINY)
        assert sums(row, "pivot") == pytest.approx(sums(other, "native"), rel=TINY, abs=TINY)
        assert sums(equal, "native") == sums(equal, "pivot")
        differ += sums(row, "native") != sums(row, "pivot")
    assert differ > len(here) / 2


def test_cells_asked_for_alone_have_the_values_that_they_have_together() -> None:
    loaded = tiny.loaded("llama")
    unit = unit_of(loaded)
    together = {(row["key"], row["item"]): row for row in rows_of(loaded, unit)}

    def few(cells: tuple[Cell, ...]) -> None:
        rows = rows_of(loaded, with_cells(unit, cells))
        assert [row["key"] for row in rows[:: len(ITEMS)]] == [cell.key for cell in cells]
        for row in rows:
            other = together[row["key"], row["item"]]
            for side in ("native", "pivot"):
                assert sums(row, side) == pytest.approx(sums(other, side), rel=TINY, abs=TINY)

    for measure in ("latent", "latent_shuffled"):
        few(tuple(cell for cell in unit.cells if cell.measure == measure))
    few((unit.cells[4], unit.cells[0]))


def test_a_control_that_is_not_asked_for_is_not_read() -> None:
    loaded = tiny.loaded("llama")
    unit = unit_of(loaded)
    seen: list[int] = []
    handle = loaded.sites.blocks[0].register_forward_pre_hook(
        lambda _module, args: seen.append(args[0].shape[1])
    )
    try:
        rows_of(loaded, unit)
        own = tuple(cell for cell in unit.cells if cell.measure == "latent")
        rows_of(loaded, with_cells(unit, own))
    finally:
        handle.remove()
    assert len(seen) == 2 and seen[1] < seen[0]


def test_two_languages_and_a_context_that_is_cut() -> None:
    loaded = tiny.loaded("llama")
    other = replace(
        ASKED, language="rus_Cyrl", items=(replace(ITEMS[1], context="a" * 300), *ITEMS[:1])
    )
    other = replace(other, order=(1, 0))
    unit = unit_of(loaded, ASKED, other)
    with pytest.raises(
        ValueError, match=r"item 'b' has 3\d\d tokens and the model's context is 256"
    ):
        run_unit(loaded, unit)
    rows = rows_of(loaded, replace(unit, allow_truncation=True))
    assert {(row["language"], row["item"]) for row in rows if row["truncated"]} == {
        ("rus_Cyrl", "b")
    }
    # What is cut off does not depend on whether the control, whose texts are longer, is asked for.
    few = unit_of(loaded, other, cut=True)
    cell = few.cells[0]
    alone = rows_of(loaded, with_cells(few, [cell]))
    again = next(row for row in rows if row["key"] == cell.key)
    assert sums(alone[0], "native") == pytest.approx(sums(again, "native"), abs=TINY)


def test_what_cannot_be_read_is_refused() -> None:
    loaded = tiny.loaded("llama")
    silent = replace(ASKED, items=(replace(ITEMS[0], pivot=(" at home", "", " A")), *ITEMS[1:]))
    with pytest.raises(
        ValueError, match=r"item 'a': option 4 \(''\) has no token that can be scor"
    ):
        run_unit(loaded, unit_of(loaded, silent))
    with pytest.raises(ValueError, match="layer 4 cannot be taken in model 'tiny/llama': expected"):
        latent.draft(replace(GRID, layers=(4,)), ASKED, model=loaded.facts)
    beyond = with_cells(unit_of(loaded), [replace(unit_of(loaded).cells[0], layer=4)])
    with pytest.raises(ValueError, match="'resid_post' does not exist at layer 4"):
        run_unit(loaded, beyond)

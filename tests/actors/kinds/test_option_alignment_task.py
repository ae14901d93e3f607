"""Margins of options equal the slow twin, on texts read one by one, whatever stands beside them."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.model import LoadedModel
from actors.passes.batching import TokenBudget
from actors.work import run_unit
from studies.kinds import option_alignment
from studies.kinds.option_alignment import Embedding, OptionGrid
from studies.option_texts import OptionItem, OptionTexts
from studies.spec import Row
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers import oracle, tiny
from tests.makers.oracle_options import (
    slow_dali,
    slow_gold_only,
    slow_local,
    slow_mexa,
    slow_strong,
    table,
)
from tests.makers.rounding import of_model
from tests.makers.stored import check
from tests.makers.units import of_drafts

pytestmark = pytest.mark.numeric

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2")
POOLINGS = ("last", "weighted")
GRID = OptionGrid(benchmark="mini", languages=("deu_Latn",))
LETTERS = (" A", " B", " C", " D")
ALPHABET = "abcdefghij klmnoprstuvä猫т"


def translated(text: str, *, by: random.Random) -> str:
    """The text with some of its letters others: near enough to be found by some models."""
    return "".join(by.choice(ALPHABET) if by.random() < 0.4 else one for one in text)


def item(number: int, *, count: int, gold: int) -> OptionItem:
    """An item of made-up texts, short ones and long ones."""
    by = random.Random(number)
    pivot = ["".join(by.choices(ALPHABET, k=by.randint(4, 40))) for _ in range(count + 1)]
    premise, *texts = (translated(text, by=by) for text in pivot)
    return OptionItem(
        id=f"item {number}",
        gold=gold,
        premise=premise,
        pivot_premise=pivot[0],
        texts=tuple(texts),
        pivot_texts=tuple(pivot[1:]),
    )


ITEMS = (
    item(0, count=4, gold=2),
    item(1, count=2, gold=1),
    item(2, count=4, gold=0),
    item(3, count=3, gold=1),
    item(4, count=4, gold=3),
    item(5, count=2, gold=0),
)


def texts_of(*items: OptionItem) -> OptionTexts:
    asked = ChoiceSet(
        benchmark="mini",
        language="deu_Latn",
        prompt="letter",
        items=tuple(
            ChoiceItem(
                id=one.id,
                context=f"{one.premise}\nAnswer:",
                options=LETTERS[: len(one.texts)],
                gold=one.gold,
            )
            for one in items
        ),
    )
    return OptionTexts(
        benchmark="mini",
        language="deu_Latn",
        pivot="eng_Latn",
        prompt="cloze",
        items=items,
        asked=asked,
    )


def rows_of(
    loaded: LoadedModel, asked: OptionTexts, *, pooling: str = "last", cut: bool = False
) -> dict[str, Row]:
    how = Embedding(dali_pool=pooling)  # type: ignore[arg-type]
    draft = option_alignment.draft(asked, model=loaded.facts, embedding=how)
    unit = of_drafts(replace(GRID, embedding=how), draft, study="s", allow_truncation=cut)
    rows = run_unit(loaded, unit).rows
    check(unit, rows)
    assert sorted(str(row["item"]) for row in rows) == sorted(one.id for one in asked.items)
    assert {row["switches"] for row in rows} == {how.text()}
    return {str(row["item"]): row for row in rows}


def ids_of(loaded: LoadedModel, text: str) -> list[int]:
    return [*loaded.prefix, *loaded.tokenise([text])[0]]


def states(loaded: LoadedModel, ids: Sequence[int], *, pooling: str = "last") -> list[Tensor]:
    """One text's vector [D] in every layer, by a plain pass; the last is behind the final norm."""
    with torch.no_grad():
        output = loaded.model(
            input_ids=torch.tensor([list(ids)]), use_cache=False, output_hidden_states=True
        )
    found = output.hidden_states
    assert len(found) == loaded.facts.layers + 1
    return [oracle.pool(one[0].float(), state="raw", pooling=pooling) for one in found]


def slow_rows(
    loaded: LoadedModel, group: Sequence[OptionItem], *, pooling: str
) -> dict[str, dict[str, list[float]]]:
    """Every margin of items that are read together, which have as many options."""
    read = {
        text: states(loaded, ids_of(loaded, text), pooling=pooling)
        for one in group
        for text in (*one.texts, *one.pivot_texts)
    }
    found: dict[str, dict[str, list[float]]] = {}
    for place, one in enumerate(group):
        likely = likeliest(loaded, one)
        other = group[(place + len(group) // 2) % len(group)]
        columns: dict[str, list[float]] = {}
        for layer in range(loaded.facts.layers + 1):
            own, there, strange = (
                [read[text][layer] for text in texts]
                for texts in (one.texts, one.pivot_texts, other.texts)
            )
            cross, pivot, native = table(there, own), table(there, there), table(own, own)
            margins = {
                "dali": slow_dali(cross),
                "local": slow_local(cross),
                "gold_only": slow_gold_only(cross, one.gold),
                "strong": slow_strong(cross, pivot, native),
            }
            if len(group) > 1:
                margins["mismatched"] = slow_dali(table(there, strange))
            for kept in (2, 3):
                if len(one.texts) > kept:
                    chosen = [one.gold, *likely[: kept - 1]]
                    smaller = [
                        table([left[j] for j in chosen], [right[j] for j in chosen])
                        for left, right in ((there, own), (there, there), (own, own))
                    ]
                    margins[f"dali_{kept}"] = slow_dali(smaller[0])
                    margins[f"strong_{kept}"] = slow_strong(*smaller)
            for name, value in margins.items():
                columns.setdefault(name, []).append(value)
        found[one.id] = columns
    return found


def likeliest(loaded: LoadedModel, one: OptionItem) -> list[int]:
    """The wrong options from the likeliest on, each letter by a pass of its own."""
    context = ids_of(loaded, f"{one.premise}\nAnswer:")
    scores = [
        sum(oracle.option_log_probabilities(loaded.model, context, ids))
        for ids in loaded.tokenise(LETTERS[: len(one.texts)])
    ]
    wrong = [place for place in range(len(scores)) if place != one.gold]
    return sorted(wrong, key=lambda place: -scores[place])


def near(loaded: LoadedModel, expected: Sequence[float]) -> Any:
    """A margin is a difference of two cosines, and each is of two vectors."""
    return pytest.approx(list(expected), rel=0, abs=4 * of_model(loaded))


BY_COUNT = [[one for one in ITEMS if len(one.texts) == count] for count in (4, 2, 3)]
MARGINS = ("dali", "local", "gold_only", "strong", "mismatched")
REDUCED = ("dali_2", "strong_2", "dali_3", "strong_3")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_margin_equals_the_slow_twin(family: str, pooling: str) -> None:
    loaded = tiny.loaded(family)
    rows = rows_of(loaded, texts_of(*ITEMS), pooling=pooling)
    premises = [
        [states(loaded, ids_of(loaded, text), pooling=pooling) for text in side]
        for side in ([one.pivot_premise for one in ITEMS], [one.premise for one in ITEMS])
    ]
    for group in BY_COUNT:
        for id, expected in slow_rows(loaded, group, pooling=pooling).items():
            row = rows[id]
            for name in (*MARGINS, *REDUCED):
                assert row[name] == near(loaded, expected.get(name, [])), (id, name)
            place = next(place for place, one in enumerate(ITEMS) if one.id == id)
            for layer in range(loaded.facts.layers + 1):
                cross = table(*[[one[layer] for one in side] for side in premises])
                found = row["mexa"][layer]  # type: ignore[index]
                assert [found] == near(loaded, [slow_mexa(cross, place)])
            one = ITEMS[place]
            assert (row["gold"], row["options"]) == (one.gold, len(one.texts))
            assert row["layers"] == list(range(loaded.facts.layers + 1))
            for name, texts in (("tokens", one.texts), ("pivot_tokens", one.pivot_texts)):
                assert row[name] == len(loaded.tokenise([texts[one.gold]])[0])
            lengths = [len(ids_of(loaded, text)) for text in one.texts]
            right = lengths.pop(one.gold)
            assert row["gold_longer"] == right - sum(lengths) / len(lengths)
            assert (row["truncated"], row["prompt"], row["pivot"]) == (False, "cloze", "eng_Latn")
    # One item alone has as many options as no other: nothing else to be paired with.
    assert rows["item 3"]["mismatched"] == []
    assert rows["item 1"]["dali_2"] == rows["item 3"]["dali_3"] == []
    signs = {name: {v > 0 for row in rows.values() for v in row[name]} for name in ("dali", "mexa")}  # type: ignore[union-attr]
    assert signs == {"dali": {True, False}, "mexa": {True, False}}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_wrong_options_that_stay_are_the_models_likeliest(family: str) -> None:
    """Not the first ones, and other ones than by another model: the twin tells them apart."""
    loaded = tiny.loaded(family)
    four = BY_COUNT[0]
    orders = [likeliest(loaded, one) for one in four]
    assert any(order != sorted(order) for order in orders)
    rows = rows_of(loaded, texts_of(*four), pooling="weighted")
    for one, order in zip(four, orders, strict=True):
        own, there = (
            [states(loaded, ids_of(loaded, text), pooling="weighted")[-1] for text in side]
            for side in (one.texts, one.pivot_texts)
        )
        by_wrong = {
            place: slow_dali(
                table(*[[side[j] for j in (one.gold, place)] for side in (there, own)])
            )
            for place in order
        }
        values = sorted(by_wrong.values())
        assert min(b - a for a, b in itertools.pairwise(values)) > 20 * of_model(loaded)
        found = rows[one.id]["dali_2"][-1]  # type: ignore[index]
        assert min(by_wrong, key=lambda place: abs(by_wrong[place] - found)) == order[0]


def orders_like(loaded: LoadedModel, one: OptionItem, row: Row) -> set[tuple[int, ...]]:
    """The orders of the language's options in which its pairs have the margins of the control."""
    there, own = (
        [states(loaded, ids_of(loaded, text), pooling="weighted") for text in side]
        for side in (one.pivot_texts, one.texts)
    )
    layers = [
        table(*sides)
        for sides in zip(zip(*there, strict=True), zip(*own, strict=True), strict=True)
    ]
    found = set()
    for order in itertools.permutations(range(len(own))):
        turned = [[[values[k] for k in order] for values in cross] for cross in layers]
        if row["permuted"] == near(loaded, [slow_dali(cross) for cross in turned]):
            found.add(order)
    return found


def test_the_permuted_control_moves_every_option() -> None:
    """In an order that is the item's own, whatever the model: only one explains all margins."""
    every = {
        family: rows_of(tiny.loaded(family), texts_of(*ITEMS), pooling="weighted")
        for family in FAMILIES
    }
    chosen: dict[str, tuple[int, ...]] = {}
    for one in ITEMS:
        (chosen[one.id],) = set.intersection(
            *(orders_like(tiny.loaded(family), one, rows[one.id]) for family, rows in every.items())
        )
        assert all(place != other for place, other in enumerate(chosen[one.id]))
    assert len({chosen[one.id] for one in BY_COUNT[0]}) > 1, "each item has an order of its own"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_margins_do_not_depend_on_batches_and_other_items(family: str, pooling: str) -> None:
    """Except `mexa` and `mismatched`, which compare with other items."""
    loaded = tiny.loaded(family)
    together = rows_of(loaded, texts_of(*ITEMS), pooling=pooling)
    small = replace(loaded, budget=TokenBudget(1, loaded.budget.positions))
    alone = {
        one.id: rows_of(loaded, texts_of(one), pooling=pooling)[one.id] for one in reversed(ITEMS)
    }
    each = rows_of(small, texts_of(*reversed(ITEMS)), pooling=pooling)
    few = rows_of(loaded, texts_of(ITEMS[4], ITEMS[0]), pooling=pooling)
    for one in ITEMS:
        row = together[one.id]
        for name in ("dali", "local", "gold_only", "strong", "permuted", *REDUCED):
            for other in (alone, each):
                assert other[one.id][name] == near(loaded, row[name]), name  # type: ignore[arg-type]
        assert each[one.id]["mexa"] == near(loaded, row["mexa"])  # type: ignore[arg-type]
        assert alone[one.id]["mexa"] == alone[one.id]["mismatched"] == []
    for name in ("mexa", "mismatched"):
        values = [together["item 0"][name], few["item 0"][name]]
        assert values[0] != near(loaded, values[1]), f"{name} is of the items beside it"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "groups"), [(2, (2,)), (16, (16,)), (17, (17,)), (19, (16, 3)), (33, (16, 17))]
)
def test_items_are_paired_half_way_off_within_those_read_at_a_time(
    number: int, groups: tuple[int, ...]
) -> None:
    """One that would be left alone joins the others."""
    loaded = tiny.loaded("llama")
    items = [item(place, count=2, gold=place % 2) for place in range(number)]
    rows = rows_of(loaded, texts_of(*items))
    start = 0
    for size in groups:
        slow = slow_rows(loaded, items[start : start + size], pooling="last")
        for id, expected in slow.items():
            assert rows[id]["mismatched"] == near(loaded, expected["mismatched"])
            assert rows[id]["dali"] == near(loaded, expected["dali"])
        start += size
    assert start == number == len(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_of_the_pivot_is_aligned_wherever_states_differ(family: str) -> None:
    """Oracle 5 of the methods, down to where they cannot differ: at an equal last token's
    embedding."""
    loaded = tiny.loaded(family)
    items = [
        replace(
            one,
            texts=tuple(text + "!" for text in one.pivot_texts),
            pivot_texts=tuple(text + "!" for text in one.pivot_texts),
            premise=one.pivot_premise + "!",
            pivot_premise=one.pivot_premise + "!",
        )
        for one in ITEMS
    ]
    for row in rows_of(loaded, texts_of(*items)).values():
        for name in ("dali", "local", "strong", "mexa"):
            first, *rest = row[name]  # type: ignore[misc]
            assert first == 0.0, f"{name}: every text ends alike"
            assert all(value > 0 for value in rest), name
    repeated = [replace(items[0], texts=items[0].texts[:1] * 4, pivot_texts=items[0].texts[:1] * 4)]
    repeated += [replace(items[0], id="again"), items[1]]
    rows = rows_of(loaded, texts_of(*repeated))
    for name in ("dali", "local", "strong"):
        assert not any(rows["item 0"][name]), name  # type: ignore[arg-type]
        assert all(value > 0 for value in rows["again"][name][1:])  # type: ignore[index]
    for id, aligned in (("item 0", False), ("again", False), ("item 1", True)):
        assert {value > 0 for value in rows[id]["mexa"][1:]} == {aligned}  # type: ignore[index]


def test_what_is_cut_is_said() -> None:
    loaded = tiny.loaded("llama")
    long = replace(ITEMS[1], texts=("a" * 300 + "b", ITEMS[1].texts[1]))
    items = texts_of(ITEMS[5], long)
    with pytest.raises(ValueError, match="item 'item 1' with option 0 has 302 tokens and the"):
        rows_of(loaded, items)
    rows = rows_of(loaded, items, cut=True)
    assert {id: row["truncated"] for id, row in rows.items()} == {"item 5": False, "item 1": True}
    same = replace(ITEMS[1], texts=("a" * 255, ITEMS[1].texts[1]))
    assert rows["item 1"]["dali"] == rows_of(loaded, texts_of(ITEMS[5], same))["item 1"]["dali"]
    pivot = replace(ITEMS[1], pivot_texts=(ITEMS[1].pivot_texts[0], "a" * 300))
    assert rows_of(loaded, texts_of(pivot), cut=True)["item 1"]["truncated"]
    # The question by whose answers options are taken is longer than any of the texts.
    asked = texts_of(ITEMS[0], ITEMS[2], ITEMS[5])
    first, *rest = asked.asked.items
    more = replace(first, context="a" * 300 + first.context)
    asked = replace(asked, asked=replace(asked.asked, items=(more, *rest)))
    with pytest.raises(ValueError, match=r"item 'item 0' has 3\d\d tokens and the model's context"):
        rows_of(loaded, asked)
    rows = rows_of(loaded, asked, cut=True)
    assert [row["truncated"] for row in rows.values()] == [True, False, False]


def test_of_two_options_no_question_is_asked() -> None:
    """So one that is too long, and costs a pass, is of no account."""
    loaded = tiny.loaded("llama")
    asked = texts_of(ITEMS[1], ITEMS[5])
    endless = tuple(replace(one, context="a" * 300) for one in asked.asked.items)
    found = rows_of(loaded, replace(asked, asked=replace(asked.asked, items=endless)))
    plain = rows_of(loaded, asked)
    for id, row in plain.items():
        assert {**found[id], "key": ""} == {**row, "key": ""}

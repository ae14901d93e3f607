"""Patches of a model whose layers are known say where the concept is, and where but a symbol.

The state behind block 2 of the planted model holds the answer's concept in a code that its
languages share, that behind block 3 its symbol too (tests/makers/planted_concept.py).
"""

import pytest

from studies.patch_items import PatchSet, PatchSource
from studies.spec import Row
from tests.makers import planted_concept as planted
from tests.makers.patched import each, item, patch_set, rows_of, source
from tests.makers.planted_concept import (
    CONCEPT,
    CONCEPTS,
    LAYERS,
    ORDERS,
    OTHER,
    PIVOT,
    SILENT,
    SYMBOL,
    SYMBOLS,
    Order,
    question,
    understood,
)

KINDS = ("matched", "permuted", "same_symbol", "other_symbol", "own_language")
Question = tuple[str, int, Order]

# Every concept under every order of the options.
ASKED = {f"{c}{''.join(map(str, order))}": (c, order) for c in range(CONCEPTS) for order in ORDERS}


def symbol(one: Question) -> int:
    """The symbol that the plain model answers with."""
    language, concept, order = one
    return order.index(understood(language, concept))


def gold(concept: int, order: Order) -> int:
    return order.index(concept)


def turned(order: Order) -> Order:
    return (*order[1:], order[0])


def questions_read(kind: str, id: str) -> tuple[str, Question] | None:
    """The id and the question whose state an item takes."""
    concept, order = ASKED[id]
    if kind == "matched":
        return id, (PIVOT, concept, order)
    if kind == "permuted":
        return id, (PIVOT, concept, turned(order))
    own = gold(concept, order)
    for other, (thing, listed) in ASKED.items():
        if kind == "own_language" and (thing, listed) == ((concept + 2) % CONCEPTS, order):
            return other, (OTHER, thing, listed)
        alike = gold(thing, listed) == own
        if kind == "same_symbol" and alike and thing != concept:
            return other, (PIVOT, thing, listed)
        if kind == "other_symbol" and not alike and thing != concept:
            return other, (PIVOT, thing, listed)
    return None


def asked() -> PatchSet:
    """The questions in a language that understands most clues wrongly."""

    def of(kind: str, id: str) -> PatchSource | None:
        found = questions_read(kind, id)
        if found is None:
            return None
        other, (language, concept, order) = found
        return source(other, question(language, concept, order), gold(concept, order))

    own, pivot = (
        [
            item(id, question(language, concept, order), *SYMBOLS, gold=gold(concept, order))
            for id, (concept, order) in ASKED.items()
        ]
        for language in (OTHER, PIVOT)
    )
    return patch_set(own, pivot, {kind: [of(kind, id) for id in ASKED] for kind in KINDS})  # type: ignore[misc]


def predicted(kind: str, id: str, *, from_layer: int) -> int:
    """What the construction answers with the source's state behind a block put in."""
    concept, order = ASKED[id]
    found = questions_read(kind, id)
    assert found is not None
    if from_layer < CONCEPT:
        return symbol((OTHER, concept, order))
    if from_layer < SYMBOL:  # its concept is looked up in the question's own list
        return order.index(understood(found[1][0], found[1][1]))
    return symbol(found[1])


@pytest.fixture(scope="module")
def patched() -> dict[str, list[Row]]:
    sites = ("resid_post", "resid_pre", "attn_out", "mlp_out")
    return {site: rows_of(planted.model(), asked(), site=site) for site in sites}


def rates(rows: list[Row], kind: str, of: str) -> list[float]:
    """By layer, how often what was wrong is right, or what was right wrong, or the source's
    symbol follows."""
    found = [row for row in rows if row["intervention"] == kind]
    if of != "symbol":
        found = [row for row in found if (row["clean"] == row["gold"]) == (of == "damaged")]
    counts = [0] * LAYERS
    for row in found:
        for place, (_, prediction, _) in enumerate(each(row)):
            wanted = row["source_gold"] if of == "symbol" else row["gold"]
            counts[place] += (prediction == wanted) != (of == "damaged")
    return [count / len(found) for count in counts]


def test_the_language_is_wrong_where_it_was_made_to_be(patched: dict[str, list[Row]]) -> None:
    rows = [row for row in patched["resid_post"] if row["intervention"] == "matched"]
    assert len(rows) == CONCEPTS * len(ORDERS) == 18
    for row in rows:
        concept, order = ASKED[str(row["item"])]
        assert row["pivot_clean"] == row["gold"] == order.index(concept)
        assert (row["clean"] == row["gold"]) == (concept == CONCEPTS - 1)
        assert float(str(row["pivot_clean_margin"])) > 2
        assert abs(float(str(row["clean_margin"]))) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_patch_answers_as_constructed(patched: dict[str, list[Row]], kind: str) -> None:
    for site, behind in (("resid_post", 0), ("resid_pre", 1)):
        rows = [row for row in patched[site] if row["intervention"] == kind]
        assert len(rows) == 18
        for row in rows:
            for layer, prediction, margin in each(row):
                expected = predicted(kind, str(row["item"]), from_layer=layer - behind)
                assert prediction == expected, (site, kind, row["item"], layer)
                assert (float(str(margin)) > 0) == (expected == row["gold"])
                assert abs(float(str(margin))) > 2


def test_one_layer_carries_the_concept_and_controls_tell_it_from_the_symbol(
    patched: dict[str, list[Row]],
) -> None:
    rows = patched["resid_post"]
    assert (SILENT, CONCEPT, SYMBOL, LAYERS) == (1, 2, 3, 4)
    # The claim alone: from the concept's layer on, everything is mended and nothing broken.
    assert rates(rows, "matched", "corrected") == [0, 1, 1, 1]
    assert rates(rows, "matched", "damaged") == [0, 0, 0, 0]
    # The same question in another order: at the concept's layer the language's own right symbol
    # follows, behind it the source's.
    assert rates(rows, "permuted", "corrected") == [0, 1, 0, 0]
    found = rates(rows, "permuted", "symbol")
    assert found[1:] == [0, 1, 1]
    # Another question of the same symbol mends nothing at the concept's layer, and all behind it.
    assert rates(rows, "same_symbol", "corrected") == [0, 0, 1, 1]
    assert rates(rows, "same_symbol", "damaged")[1:] == [1, 0, 0]
    assert rates(rows, "other_symbol", "corrected")[2:] == [0, 0]
    assert rates(rows, "other_symbol", "symbol")[2:] == [1, 1]


def test_the_site_that_carries_it_is_attention_and_no_mlp(patched: dict[str, list[Row]]) -> None:
    """What attention adds in block 2 is the concept, in block 3 the symbol, elsewhere nothing."""
    attention, inner = patched["attn_out"], patched["mlp_out"]
    assert rates(attention, "matched", "corrected") == [0, 1, 1, 0]
    assert rates(attention, "permuted", "corrected") == [0, 1, 0, 0]
    assert rates(attention, "same_symbol", "corrected") == [0, 0, 1, 0]
    for kind in KINDS:
        assert rates(inner, kind, "corrected") == rates(inner, kind, "damaged") == [0, 0, 0, 0]


def test_noise_is_no_concept(patched: dict[str, list[Row]]) -> None:
    """Random directions may hit upon right answers, and do not mend every wrong one."""
    assert max(rates(patched["resid_post"], "noise", "corrected")) < 1

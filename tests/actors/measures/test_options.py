"""Margins of options against loops over every pair, chance on noise, copies, ties and no direction.

An item is aligned where its margin is above zero.
"""

import itertools
import math

import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from actors.measures import options
from actors.measures.alignment import EQUAL, align
from tests.makers.oracle_options import (
    slow_dali,
    slow_gold_only,
    slow_local,
    slow_mexa,
    slow_strong,
    table,
)
from tests.makers.rounding import of_sum

pytestmark = pytest.mark.numeric

WIDTH = 7
ROUNDING = of_sum(WIDTH, steps=2, dtype=torch.float64)


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sides(items: int, count: int, *, seed: int = 0, apart: float = 0.7) -> tuple[Tensor, Tensor]:
    """Options in two languages that say nearly the same."""
    pivot = vectors(items, count, WIDTH, seed=2 * seed)
    return pivot, pivot + apart * vectors(items, count, WIDTH, seed=2 * seed + 1)


def margins(pivot: Tensor, own: Tensor, gold: Tensor) -> dict[str, Tensor]:
    cross, there, here = (
        options.cosines(*pair) for pair in ((pivot, own), (pivot, pivot), (own, own))
    )
    return {
        "dali": options.dali(cross),
        "local": options.local(cross),
        "gold_only": options.gold_only(cross, gold),
        "strong": options.strong(cross, there, here),
    }


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_margins_equal_the_slow_twins(count: int):
    pivot, own = sides(40, count)
    gold = torch.arange(40) % count
    found = margins(pivot, own, gold)
    for item in range(40):
        cross = table(pivot[item], own[item])
        inside = [table(side[item], side[item]) for side in (pivot, own)]
        expected = {
            "dali": slow_dali(cross),
            "local": slow_local(cross),
            "gold_only": slow_gold_only(cross, int(gold[item])),
            "strong": slow_strong(cross, *inside),
        }
        for name, value in expected.items():
            assert float(found[name][item]) == pytest.approx(value, abs=ROUNDING), name
    for name, values in found.items():
        assert 0 < (values > 0).sum() < 40, f"{name} has both outcomes"


def test_mexa_equals_the_slow_twin_and_the_measure_of_parallel_text():
    pivot, own = vectors(30, WIDTH), vectors(30, WIDTH) + 0.8 * vectors(30, WIDTH, seed=1)
    found = options.mexa(pivot, own)
    cross = table(pivot, own)
    for item in range(30):
        assert float(found[item]) == pytest.approx(slow_mexa(cross, item), abs=ROUNDING)
    aligned = int((found > 0).sum())
    assert 0 < aligned < 30
    assert align(pivot, own).count == aligned
    with pytest.raises(ValueError, match="1 items: expected at least 2"):
        options.mexa(pivot[:1], own[:1])


@pytest.mark.parametrize(("count", "kept"), [(4, 2), (4, 3), (3, 2), (2, 2)])
def test_some_options_are_a_smaller_item(count: int, kept: int):
    pivot, own = sides(20, count)
    every = list(itertools.combinations(range(count), kept))
    chosen = [every[item % len(every)] for item in range(20)]
    found = options.picked(options.cosines(pivot, own), chosen)
    for item, places in enumerate(chosen):
        smaller = options.cosines(*(side[item : item + 1, list(places)] for side in (pivot, own)))
        torch.testing.assert_close(found[item : item + 1], smaller, rtol=0, atol=ROUNDING)


def noise(items: int, count: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Independent similarities of one distribution, those within a language symmetric."""
    generator = torch.Generator().manual_seed(seed)
    cross, there, here = (
        torch.rand(items, count, count, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    return cross, *(one.triu(1) + one.triu(1).transpose(1, 2) for one in (there, here))


def implausible(count: int, *, of: int, chance: float) -> bool:
    """Whether not one in a million binomial counts is this far from what is expected."""
    return not binom.ppf(5e-7, of, chance) <= count <= binom.isf(5e-7, of, chance)


CHANCES = {2: (1 / 6, 1 / 15), 3: (1 / 84, 1 / 455), 4: (1 / 1820, 1 / 20475)}


@pytest.mark.parametrize("count", CHANCES)
def test_on_independent_similarities_items_are_aligned_by_chance(count: int):
    """Oracle 4 of the methods."""
    dali, strong = CHANCES[count]
    assert options.chance(count) == pytest.approx(dali, rel=1e-12)
    assert options.chance(count, strong=True) == pytest.approx(strong, rel=1e-12)
    found = dict.fromkeys(("dali", "strong", "gold_only"), 0)
    of, chunk = (40_000, 40_000) if count == 2 else (400_000, 50_000)
    for seed in range(of // chunk):
        cross, there, here = noise(chunk, count, seed=seed)
        found["dali"] += int((options.dali(cross) > 0).sum())
        found["strong"] += int((options.strong(cross, there, here) > 0).sum())
        gold = torch.arange(chunk) % count
        found["gold_only"] += int((options.gold_only(cross, gold) > 0).sum())
    expected = {"dali": dali, "strong": strong, "gold_only": 1 / count**2}
    for name, chance in expected.items():
        assert not implausible(found[name], of=of, chance=chance), name
        # The test has the power to see a rule with another number of rivals.
        if chance > 1e-3:
            assert implausible(found[name], of=of, chance=1.3 * chance)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_which_rule_implies_which(count: int):
    """Strong is the strictest and local the loosest; the right option alone is another question."""
    cross, there, here = noise(50_000, count, seed=7)
    gold = torch.arange(len(cross)) % count
    dali, local = options.dali(cross), options.local(cross)
    strong, gold_only = options.strong(cross, there, here), options.gold_only(cross, gold)
    assert bool((strong <= dali).all()) and bool((dali <= local).all())
    assert torch.equal(dali, local) == (count == 2)
    for stricter, looser in ((strong, dali), (dali, local)):
        assert not bool(((stricter > 0) & (looser <= 0)).any())
    assert bool(((dali > 0) & (strong <= 0)).any())
    # An item may have either of these without the other.
    assert bool(((dali > 0) & (gold_only <= 0)).any())
    assert bool(((gold_only > 0) & (local <= 0)).any())
    if count > 2:
        assert bool(((local > 0) & (dali <= 0)).any())


@pytest.mark.parametrize("count", [2, 3, 4])
def test_names_of_options_and_languages_do_not_matter(count: int):
    pivot, own = sides(50, count)
    gold = torch.arange(50) % count
    found, swapped = margins(pivot, own, gold), margins(own, pivot, gold)
    order = torch.tensor([*range(1, count), 0])
    renamed = margins(pivot[:, order], own[:, order], (gold - 1) % count)
    one_side = margins(pivot, own[:, order], gold)
    for name, values in found.items():
        torch.testing.assert_close(renamed[name], values, rtol=0, atol=ROUNDING)
        torch.testing.assert_close(swapped[name], values, rtol=0, atol=ROUNDING)
        assert (one_side[name] > 0).sum() < (values > 0).sum() / 2, name


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_copy_of_the_pivot_is_aligned_unless_options_are_alike(count: int):
    """Oracle 5 of the methods."""
    pivot = vectors(60, count, WIDTH)
    gold = torch.arange(60) % count
    found = margins(pivot, pivot.clone(), gold)
    for name in ("dali", "local", "strong"):
        assert bool((found[name] > 0).all()), name
    # With every matched pair at cosine 1, that of the right option does not beat the others.
    assert not found["gold_only"].any()
    # Two options in one direction, whatever their length: cosine 1, up to rounding.
    pivot[::3, 1] = 3.3 * pivot[::3, 0]
    alike = torch.arange(60) % 3 == 0
    found = margins(pivot, pivot.clone(), gold)
    for name in ("dali", "local", "strong"):
        assert torch.equal(found[name] > 0, ~alike), name
        assert not found[name][alike].any(), f"{name} is a tie, exactly"


def test_a_copy_of_the_pivot_has_its_own_questions_nearest_unless_they_repeat():
    """Oracle 5 of the methods."""
    pivot = vectors(40, WIDTH)
    assert bool((options.mexa(pivot, pivot.clone()) > 0).all())
    pivot[7], pivot[20] = pivot[3], 0.7 * pivot[3]
    found = options.mexa(pivot, pivot.clone())
    assert {item for item in range(40) if not found[item] > 0} == {3, 7, 20}
    assert not found[[3, 7, 20]].any()


def test_an_equal_rival_is_not_beaten():
    cross = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
    same = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    gold = torch.tensor([0])
    rules = (
        lambda one: options.dali(one),
        lambda one: options.local(one),
        lambda one: options.strong(one, same, same),
    )
    for rule in (*rules, lambda one: options.gold_only(one, gold)):
        assert rule(cross).tolist() == [0.0]
    for rule in rules:
        for step, above in ((EQUAL / 2, False), (-EQUAL / 2, False), (3 * EQUAL, True)):
            assert (rule(cross + step * same) > 0).tolist() == [above]
            assert (rule(cross + step * same) == 0).tolist() == [not above]
        assert (rule(cross - 1e-3 * same) < 0).tolist() == [True]
    # Within a language: two options as near each other as each to its translation.
    near = torch.tensor([[[1.0, 0.9], [0.9, 1.0]]], dtype=torch.float64)
    apart = torch.tensor([[[0.9, 0.1], [0.2, 0.95]]], dtype=torch.float64)
    assert float(options.dali(apart)) > 0
    assert options.strong(apart, near, same).tolist() == [0.0]
    assert options.strong(apart, same, near).tolist() == [0.0]
    assert float(options.strong(apart, same, same)) == float(options.dali(apart))


@pytest.mark.parametrize("side", [0, 1])
def test_without_a_direction_nothing_is_aligned(side: int):
    both = sides(6, 3, apart=0.01)
    gold = torch.tensor([0, 1, 2, 0, 1, 2])
    both[side][2, 1] = 0
    for name, values in margins(*both, gold).items():
        assert math.isnan(float(values[2])), name
        assert not bool(values[torch.arange(6) != 2].isnan().any()), name
        assert not bool(values[2] > 0)
    pivot, own = vectors(6, WIDTH), vectors(6, WIDTH)
    (pivot, own)[side][4] = 0
    found = options.mexa(pivot, own)
    assert (found > 0).tolist() == [item != 4 for item in range(6)]

"""Margins of option alignment: chance by simulation, implications, and slow twins."""

from itertools import combinations, permutations, product

import pytest
import torch
from torch import Tensor

from actors.measures import options
from actors.measures.alignment import EQUAL

pytestmark = pytest.mark.numeric


def states(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def independent(items: int, count: int, seed: int = 0) -> Tensor:
    return torch.rand(
        items, count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize(("count", "plain", "strong"), [(2, 6, 15), (3, 84, 455), (4, 1820, 20475)])
def test_chance_is_that_of_independent_similarities(count: int, plain: int, strong: int) -> None:
    assert options.chance(count) == pytest.approx(1 / plain)
    assert options.chance(count, strong=True) == pytest.approx(1 / strong)
    items = 200_000
    cross = independent(items, count)
    pivot, own = independent(items, count, seed=1), independent(items, count, seed=2)
    pivot, own = (torch.triu(one, 1) + torch.triu(one, 1).transpose(1, 2) for one in (pivot, own))
    for found, chance in (
        (options.dali(cross) > 0, 1 / plain),
        (options.strong(cross, pivot, own) > 0, 1 / strong),
    ):
        bound = 5 * (chance * (1 - chance) / items) ** 0.5  # five standard errors
        if chance == 1 / strong and count > 2:
            # Both sides of a symmetric pair are one similarity, so the rivals are fewer than J².
            assert float(found.double().mean()) < 10 * chance
            continue
        assert abs(float(found.double().mean()) - chance) < bound


def slow(cross: Tensor, pivot: Tensor, own: Tensor, gold: int) -> dict[str, float]:
    """The margins of one item, pair by pair."""
    count = len(cross)
    matched = [float(cross[j, j]) for j in range(count)]
    wrong = [float(cross[j, k]) for j, k in permutations(range(count), 2)]
    inside = [float(one[j, k]) for one in (pivot, own) for j, k in combinations(range(count), 2)]
    rivals = [
        max(float(cross[j, k]) for j, k in permutations(range(count), 2) if at in (j, k) and
            (j == at or k == at))
        for at in range(count)
    ]  # fmt: skip
    others = [
        float(cross[j, k]) for j, k in product(range(count), repeat=2) if (j, k) != (gold, gold)
    ]
    return {
        "dali": min(matched) - max(wrong),
        "strong": min(matched) - max(wrong + inside),
        "local": min(one - rival for one, rival in zip(matched, rivals, strict=True)),
        "gold_only": matched[gold] - max(others),
    }


@pytest.mark.parametrize("count", [2, 3, 4])
def test_margins_equal_the_slow_twin_and_imply_each_other(count: int) -> None:
    there, here = states(50, count, 8), states(50, count, 8, seed=1)
    here = there + 0.6 * here
    cross = options.cosines(there, here)
    pivot, own = options.cosines(there, there), options.cosines(here, here)
    gold = torch.arange(50) % count
    found = {
        "dali": options.dali(cross),
        "strong": options.strong(cross, pivot, own),
        "local": options.local(cross),
        "gold_only": options.gold_only(cross, gold),
    }
    for item in range(50):
        expected = slow(cross[item], pivot[item], own[item], int(gold[item]))
        for name, value in expected.items():
            assert float(found[name][item]) == pytest.approx(value, abs=1e-12), name
    aligned = {name: one > 0 for name, one in found.items()}
    assert not (aligned["strong"] & ~aligned["dali"]).any() and aligned["dali"].any()
    assert not (aligned["dali"] & ~aligned["local"]).any()
    if count == 2:
        assert found["local"].equal(found["dali"])


def test_the_names_of_options_do_not_matter() -> None:
    there, here = states(20, 4, 8), states(20, 4, 8, seed=1) + states(20, 4, 8)
    order = torch.tensor([2, 0, 3, 1])
    one = options.dali(options.cosines(there, here))
    other = options.dali(options.cosines(there[:, order], here[:, order]))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_language_that_is_the_pivot_is_aligned_wherever_options_differ() -> None:
    there = states(20, 3, 8)
    there[5, 1] = there[5, 0]
    cross = options.cosines(there, there)
    aligned = options.dali(cross) > 0
    assert aligned.tolist() == [item != 5 for item in range(20)]
    strong = options.strong(cross, cross, cross) > 0
    assert strong.equal(aligned)
    questions = states(20, 8)
    assert (options.mexa(questions, questions) > 0).all()
    questions[7] = questions[3]
    assert (options.mexa(questions, questions) > 0).tolist() == [k not in (3, 7) for k in range(20)]


def test_equal_rivals_and_zero_vectors_are_no_alignment() -> None:
    cross = torch.tensor([[[0.9, 0.9 - EQUAL / 2], [0.1, 0.95]]], dtype=torch.float64)
    assert options.dali(cross).tolist() == [0.0]
    there = states(2, 2, 4)
    there[0, 1] = 0
    found = options.dali(options.cosines(there, states(2, 2, 4, seed=1)))
    assert found[0].isnan() and not found[1].isnan() and not (found[0] > 0)
    with pytest.raises(ValueError, match="1 items: expected at least 2"):
        options.mexa(states(1, 4), states(1, 4))


def test_some_options_of_each_item() -> None:
    cross = independent(2, 4)
    found = options.picked(cross, [[0, 2], [1, 3]])
    assert found[0].equal(cross[0][[0, 2]][:, [0, 2]])
    assert found[1].equal(cross[1][[1, 3]][:, [1, 3]])

"""Mutual nearest neighbours: strict, symmetric, exact about ties, with the right null."""

import math

import pytest
import torch

from actors.measures.alignment import align, chance_of, mutual_nearest
from tests.makers import oracle, oracle_similarity
from tests.makers.rounding import of_sum

pytestmark = pytest.mark.numeric


def test_identity_is_one_constant_is_zero_permutation_counts_fixed_points() -> None:
    assert mutual_nearest(torch.eye(7).double()).value == 1
    constant = mutual_nearest(torch.full((7, 7), 0.3).double())
    assert (constant.value, constant.ties) == (0, 7)
    order = [0, 2, 1, 3, 5, 6, 4]
    assert mutual_nearest(torch.eye(7).double()[order]).value == 2 / 7


def test_symmetric_and_unchanged_by_a_monotone_transform() -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        similarity_NN = torch.rand(12, 12, generator=random).double()
        similarity_NN += 0.3 * torch.eye(12)
        found = mutual_nearest(similarity_NN)
        other_way = mutual_nearest(similarity_NN.T)
        assert found[:4] == other_way[:4]
        assert (found.forward, found.backward) == (other_way.backward, other_way.forward)
        assert found.margin == pytest.approx(other_way.margin)
        assert found[:6] == mutual_nearest(similarity_NN.exp() * 5 - 2)[:6]


def test_one_pair_has_no_rival_and_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        align(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="cannot be paired"):
        align(torch.ones(2, 3), torch.ones(3, 3))


def test_null_is_the_exact_binomial_tail() -> None:
    assert chance_of(5, items=100) == pytest.approx(1.623e-4, abs=5e-8)
    assert chance_of(0, items=100) == pytest.approx(1)
    for count in (1, 3, 8):
        assert chance_of(count, items=30) == pytest.approx(oracle.tail(count, items=30))
    random = torch.Generator().manual_seed(0)
    counts = [
        mutual_nearest(torch.rand(40, 40, generator=random).double()).count for _ in range(3000)
    ]
    assert sum(counts) / 3000 == pytest.approx(40 / 79, abs=0.05)


def test_counts_and_ties_equal_the_loops() -> None:
    random = torch.Generator().manual_seed(1)
    seen_ties = 0
    for trial in range(30):
        # Few distinct values: equal cosines, duplicates and zero vectors are common.
        pivot_ND = torch.randint(0, 2, (9, 4), generator=random).float()
        noise_ND = torch.randint(0, 2, (9, 4), generator=random).float()
        language_ND = torch.where(torch.rand(9, 4, generator=random) < 0.2, noise_ND, pivot_ND)
        if trial % 2:
            pivot_ND *= torch.rand(9, 1, generator=random) + 0.1
        found = align(pivot_ND, language_ND)
        assert (found.count, found.ties) == oracle.alignment(list(pivot_ND), list(language_ND))
        assert found.value == found.count / 9
        loops = oracle_similarity.retrieval(list(pivot_ND), list(language_ND))
        assert (found.forward, found.backward) == loops[:2]
        assert found.margin == pytest.approx(loops[2], abs=1e-12)
        lenient = align(pivot_ND, language_ND, ties_pass=True)
        assert (
            lenient.count == found.count + found.ties == found.ties + lenient.count - lenient.ties
        )
        assert found.value <= min(found.forward, found.backward)
        seen_ties += found.ties
    assert seen_ties > 20


def test_duplicates_tie_and_do_not_count() -> None:
    vectors_ND = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    vectors_ND[3] = vectors_ND[0]
    found = align(vectors_ND, vectors_ND * 3)
    assert (found.count, found.ties) == (4, 2)


def test_a_zero_vector_is_never_aligned_and_no_rival() -> None:
    vectors_ND = torch.eye(4)
    other_ND = vectors_ND.clone()
    other_ND[1] = 0
    found = align(vectors_ND, other_ND)
    assert (found.count, found.ties) == (3, 0)
    nothing = align(torch.zeros(3, 2), torch.zeros(3, 2))
    assert nothing[:6] == (0.0, 0, 0, 1.0, 0.0, 0.0)
    assert math.isnan(nothing.margin)


def test_a_near_tie_is_decided_and_rounding_is_not() -> None:
    similarity_NN = torch.eye(3).double()
    similarity_NN[0, 1] = 1 - 1e-9
    assert mutual_nearest(similarity_NN).count == 3
    similarity_NN[0, 1] = 1 + 1e-15
    found = mutual_nearest(similarity_NN)
    assert (found.count, found.ties) == (1, 2)


def test_directions_and_margin_of_a_matrix_worked_out_by_hand() -> None:
    similarity_NN = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.5, 0.4], [0.3, 0.6, 0.7]]).double()
    found = mutual_nearest(similarity_NN)
    # Rows: 0.9 and 0.7 are the largest, 0.5 is not. Columns: 0.9 and 0.7 are, 0.5 is not (0.6).
    assert (found.forward, found.backward, found.value) == (2 / 3, 2 / 3, 2 / 3)
    assert found.margin == pytest.approx((0.1 - 0.3 + 0.1) / 3, abs=of_sum(3))

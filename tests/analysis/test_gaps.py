"""Two shares of different items: tests and intervals beside statsmodels, and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from analysis.statistics import gaps
from analysis.statistics.paired import mcnemar

RANDOM = np.random.default_rng(3)


def groups(first: int, second: int, others: int = 5) -> tuple[np.ndarray, np.ndarray]:
    n = first + second + others
    places = RANDOM.permutation(n)
    return np.isin(np.arange(n), places[:first]), np.isin(
        np.arange(n), places[first : first + second]
    )


@pytest.mark.parametrize("counts", [(30, 40, 12, 33), (5, 9, 8, 9), (12, 12, 1, 30)])
def test_the_z_test_is_that_of_statsmodels(counts: tuple[int, int, int, int]) -> None:
    hits, n, others, m = counts
    expected = proportions_ztest([hits, others], [n, m], alternative="larger")[1]
    assert gaps.z_test(hits, n, others, m) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [(0, 0, 3, 9), (3, 9, 0, 0), (0, 7, 0, 9), (7, 7, 9, 9)])
def test_there_is_no_z_test_without_a_group_or_without_variation(
    counts: tuple[int, int, int, int],
) -> None:
    assert np.isnan(gaps.z_test(*counts))


def test_gaps_and_newcombes_intervals_are_those_of_statsmodels() -> None:
    first, second = groups(40, 25)
    hits = RANDOM.random((len(first), 6)) < np.linspace(0, 1, 6)
    found = gaps.gap(hits, first=first, second=second)
    for layer in range(6):
        a, b = int(hits[first, layer].sum()), int(hits[second, layer].sum())
        assert found.gap[layer] == pytest.approx(a / 40 - b / 25)
        low, high = confint_proportions_2indep(a, 40, b, 25, method="newcomb")
        assert (found.low[layer], found.high[layer]) == pytest.approx((low, high))
    empty = gaps.gap(hits, first=first, second=np.zeros_like(first))
    assert np.isnan(empty.gap).all() and np.isnan(empty.low).all()
    np.testing.assert_allclose(empty.first, hits[first].mean(axis=0))


def test_permuted_labels_give_the_hypergeometric_tail() -> None:
    first, second = groups(18, 14)
    hits = RANDOM.random((len(first), 1)) < np.where(first, 0.7, 0.4)[:, None]
    found = gaps.permutation(hits, first=first, second=second, draws=20_000)
    total = int(hits[first | second].sum())
    exact = stats.hypergeom.sf(int(hits[first].sum()) - 1, 32, total, 18)
    # Four standard errors of a share of 20,000 draws.
    assert found.p[0] == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
    assert found.largest == found.p[0]


def test_the_largest_of_many_layers_is_corrected_for_their_number() -> None:
    """Without any effect the smallest p of single layers is small too often, the corrected not."""
    smallest, corrected = [], []
    for turn in range(60):
        random = np.random.default_rng(turn)
        hits = random.random((40, 20)) < 0.5
        first = np.arange(40) < 20
        found = gaps.permutation(hits, first=first, second=~first, draws=200)
        smallest.append(float(found.p.min()))
        corrected.append(found.largest)
    assert np.mean(np.array(smallest) < 0.05) > 0.25
    assert np.mean(np.array(corrected) < 0.05) < 0.17
    planted = np.column_stack([first, np.random.default_rng(0).random((40, 19)) < 0.5])
    assert gaps.permutation(planted, first=first, second=~first).largest == 1 / 2001


def test_draws_in_parts_are_as_many_and_nothing_is_drawn_without_a_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = groups(18, 14)
    hits = RANDOM.random((len(first), 3)) < 0.5
    whole = gaps.permutation(hits, first=first, second=second, draws=500)
    monkeypatch.setattr(gaps, "AT_ONCE", 100)
    parts = gaps.permutation(hits, first=first, second=second, draws=500)
    np.testing.assert_allclose(whole.p, parts.p)
    nothing = gaps.permutation(hits, first=first, second=np.zeros_like(first))
    assert np.isnan(nothing.p).all() and np.isnan(nothing.largest)
    flat = np.column_stack([np.ones(len(first), bool), hits[:, 0]])
    found = gaps.permutation(flat, first=first, second=second)
    assert np.isnan(found.p[0]) and found.p[1] <= found.largest


def test_random_signs_are_mcnemars_test_and_turn_an_item_in_all_languages_at_once() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [14, 4, 10])[:, None]
    p = gaps.sign_flips(differences, draws=20_000)[0]
    exact = mcnemar(pd.Series([14]), pd.Series([4]))[0]
    assert p == pytest.approx(exact, abs=0.01)
    # One item, however many languages it is right in, is a coin thrown once.
    assert gaps.sign_flips(np.array([[9.0]]))[0] == 1
    assert np.isnan(gaps.sign_flips(np.zeros((5, 2)))).all()


def test_resampled_items_bound_a_ratio_of_sums() -> None:
    sums = RANDOM.random((200, 2))
    counts = np.ones((200, 1))
    low, high = gaps.ratio_interval(sums, counts, gaps.weights(200, draws=4000))
    mean, error = sums.mean(axis=0), sums.std(axis=0, ddof=1) / np.sqrt(200)
    np.testing.assert_allclose(low, mean - 1.96 * error, atol=0.25 * error.max())
    np.testing.assert_allclose(high, mean + 1.96 * error, atol=0.25 * error.max())
    low, high = gaps.ratio_interval(np.ones((9, 1)), np.ones((9, 1)), gaps.weights(9))
    assert np.isnan(low).all() and np.isnan(high).all()

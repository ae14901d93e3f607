"""Errors of means over languages: statsmodels' numbers, and how often they find what is not there.

Simulations have their own random numbers; what they allow is the binomial spread of their size.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from scipy import stats

from analysis.statistics import two_way
from analysis.statistics.intervals import from_errors

Floats = npt.NDArray[np.float64]
SIMULATED = 1500
# Of 1500 tests at 5 %: more than that would be found by chance once in 100,000 times.
MOST = float(stats.binom.isf(1e-5, SIMULATED, 0.05)) / SIMULATED


def found_by_chance(make: Callable[[], Floats], mean: Callable[[Floats], two_way.Mean]) -> float:
    """How often a test at 5 % finds a mean that is 0."""
    every = [mean(make()) for _ in range(SIMULATED)]
    _, _, p = from_errors(
        [one.mean for one in every], error=[one.error for one in every],
        df=[one.df for one in every],
    )  # fmt: skip
    return float((p < 0.05).mean())


def grid_of(random: np.random.Generator, a: float, b: float, c: float, shape: tuple[int, int]):
    """Languages, items and single answers vary by so much."""
    languages, items = random.normal(size=(shape[0], 1)), random.normal(size=(1, shape[1]))
    return a * languages + b * items + c * random.normal(size=shape)


@pytest.mark.parametrize("missing", [False, True])
def test_the_variance_is_statsmodels_clustered_by_language_and_item(missing: bool) -> None:
    random = np.random.default_rng(3)
    grid = grid_of(random, 0.3, 0.5, 1.0, (7, 30))
    if missing:
        grid[random.uniform(size=grid.shape) < 0.2] = np.nan
    held = ~np.isnan(grid)
    places = np.array(np.nonzero(held)).T
    weights = (1 / held.sum(axis=1))[places[:, 0]]
    model = sm.WLS(grid[held], np.ones(held.sum()), weights=weights)
    fits = [
        model.fit(cov_type="cluster", cov_kwds={"groups": groups}).cov_params()[0, 0]
        for groups in (places[:, 0], places[:, 1], places)
    ]
    found = two_way.over_items(grid)
    assert found.error**2 == pytest.approx(max(fits))
    assert found.mean == pytest.approx(model.fit().params[0])
    assert found.mean == pytest.approx(np.nanmean(grid, axis=1).mean())
    assert found.n == 7 and 6 <= found.df <= 29 + 6


def test_where_items_tell_nothing_it_is_the_paired_t_over_languages() -> None:
    values = np.array([0.1, -0.2, 0.3, 0.25, 0.05])
    grid = np.repeat(values[:, None], 50, axis=1)
    for found in (two_way.over_items(grid), two_way.over_languages(values)):
        low, high, p = from_errors(found.mean, error=found.error, df=found.df)
        usual = stats.ttest_1samp(values, 0)
        assert p == pytest.approx(usual.pvalue)
        assert (low, high) == pytest.approx(tuple(usual.confidence_interval()))


def test_below_four_languages_the_error_is_over_items_alone() -> None:
    random = np.random.default_rng(1)
    grid = random.normal(size=(3, 25)) + np.array([[5.0], [0.0], [-5.0]])
    found = two_way.over_items(grid)
    usual = stats.ttest_1samp(grid.mean(axis=0), 0)
    _, _, p = from_errors(found.mean, error=found.error, df=found.df)
    assert p == pytest.approx(usual.pvalue) and found.df == 24 and found.test == two_way.ITEMS
    single = two_way.over_items(grid[:1])
    _, _, p = from_errors(single.mean, error=single.error, df=single.df)
    assert p == pytest.approx(stats.ttest_1samp(grid[0], 0).pvalue)


def test_what_does_not_vary_has_no_error_and_nothing_has_no_mean() -> None:
    same = two_way.over_items(np.full((5, 9), 0.25))
    assert same.mean == 0.25 and np.isnan(same.error)
    assert np.isnan(two_way.over_languages(np.array([0.3])).error)
    for nothing in (
        two_way.over_items(np.full((2, 3), np.nan)), two_way.over_items(np.empty((0, 0))),
        two_way.over_languages(np.array([np.nan])), two_way.over_pairs(np.full((2, 2), np.nan)),
    ):  # fmt: skip
        assert nothing.n == 0 and np.isnan(nothing.mean) and np.isnan(nothing.error)


@pytest.mark.parametrize("shape", [(4, 40), (6, 200), (12, 60)])
@pytest.mark.parametrize(
    "spread", [(0, 0, 1), (0.1, 0, 1), (0, 0.5, 1), (0.1, 0.5, 1), (0, 1, 0.1)]
)
def test_nothing_is_found_more_often_than_it_may(
    shape: tuple[int, int], spread: tuple[float, float, float]
) -> None:
    random = np.random.default_rng([*shape, int(10 * spread[1])])
    assert found_by_chance(lambda: grid_of(random, *spread, shape), two_way.over_items) <= MOST


def test_errors_over_languages_alone_would_find_what_items_have_in_common() -> None:
    """Why answers are not tested over languages alone: a hard item is hard in all of them."""
    random = np.random.default_rng(0)
    rate = found_by_chance(
        lambda: grid_of(random, 0, 0.5, 1, (12, 200)),
        lambda grid: two_way.over_languages(grid.mean(axis=1)),
    )
    assert rate > 0.2


def pairs_of(random: np.random.Generator, n: int) -> Floats:
    """Numbers of pairs of languages, each as large as its two languages make it."""
    own = random.normal(size=n)
    return own[:, None] + own[None, :] + 0.5 * random.normal(size=(n, n))


def test_pairs_of_languages_are_left_out_one_language_after_the_other() -> None:
    matrix = pairs_of(np.random.default_rng(2), 6)
    matrix[1, 3] = np.nan
    off = [(i, j) for i in range(6) for j in range(6) if i != j and (i, j) != (1, 3)]
    without = [np.mean([matrix[i, j] for i, j in off if gone not in (i, j)]) for gone in range(6)]
    found = two_way.over_pairs(matrix)
    assert found.mean == pytest.approx(np.mean([matrix[pair] for pair in off]))
    assert found.error**2 == pytest.approx(5 / 6 * np.sum((without - np.mean(without)) ** 2))
    assert found.n == 6 and found.df == 5
    few = two_way.over_pairs(matrix[:2, :2])
    assert few.mean == pytest.approx((matrix[0, 1] + matrix[1, 0]) / 2) and np.isnan(few.error)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_pairs_find_nothing_more_often_than_they_may_and_means_by_language_do(n: int) -> None:
    random = np.random.default_rng(n)
    assert found_by_chance(lambda: pairs_of(random, n), two_way.over_pairs) <= MOST

    def by_language(matrix: Floats) -> two_way.Mean:
        held = np.where(np.eye(n, dtype=bool), np.nan, matrix)
        return two_way.over_languages(np.nanmean((held + held.T) / 2, axis=1))

    assert found_by_chance(lambda: pairs_of(random, n), by_language) > 0.2


def test_what_was_chosen_among_several_has_a_p_as_many_times_as_large() -> None:
    low, high, p = from_errors([0.3, 0.3, 0.3], error=[0.1] * 3, df=[8] * 3, of=[1, 4, 1000])
    usual = 2 * stats.t.sf(3, 8)
    assert p == pytest.approx([usual, 4 * usual, 1.0])
    half = [stats.t.ppf(1 - 0.025 / of, 8) * 0.1 for of in (1, 4, 1000)]
    assert high - 0.3 == pytest.approx(half) and 0.3 - low == pytest.approx(half)

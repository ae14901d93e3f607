"""Resampled, permuted and partial correlations against scipy, statsmodels and slow twins."""

from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from analysis.statistics import association, intervals
from analysis.statistics.association import METHODS, Method, Sample
from analysis.statistics.correlate import fisher

SCIPY = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}


def columns(n: int, count: int = 2, *, seed: int = 0, tied: bool = True) -> np.ndarray:
    """Columns that go together, with ties unless they are unwanted."""
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(count, n)) + random.normal(size=n)
    return np.round(drawn, 1) if tied else drawn


def sample(values: np.ndarray, method: Method, groups: np.ndarray | None = None) -> Sample:
    return Sample(values, method, np.arange(values.shape[1]) if groups is None else groups)


@pytest.mark.parametrize("method", METHODS)
def test_a_correlation_is_scipys_also_of_units_that_count_often(method: Method) -> None:
    values = columns(24, 3)
    expected = SCIPY[method](*values[:2]).statistic
    assert association.estimate(sample(values[:2], method)) == pytest.approx(expected, abs=1e-12)
    times = np.random.default_rng(1).multinomial(24, np.full(24, 1 / 24), size=5)
    found = association.matrices(values, method=method, weights=times.astype(float))
    for one, counts in zip(found, times, strict=True):
        again = np.repeat(values, counts, axis=1)
        for a in range(3):
            for b in range(3):
                slow = SCIPY[method](again[a], again[b]).statistic
                assert one[a, b] == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_draw_without_spread_has_no_correlation(method: Method) -> None:
    values = columns(6)
    weights = np.zeros((2, 6))
    weights[0, 2], weights[1, 1:4] = 6, 2
    found = association.matrices(values, method=method, weights=weights)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_a_partial_correlation_is_that_of_the_residuals(method: Method) -> None:
    values = columns(30, 4)
    ranked = stats.rankdata(values, axis=1) if method == "spearman" else values
    design = sm.add_constant(ranked[2:].T)
    rest = [sm.OLS(side, design).fit().resid for side in ranked[:2]]
    found = association.estimate(sample(values, method))
    assert found == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-12)
    values[3] = values[2]
    assert np.isnan(association.estimate(sample(values, "pearson")))
    values = columns(30, 3)
    values[0] = values[2]
    assert np.isnan(association.estimate(sample(values, "pearson")))


@pytest.mark.parametrize("method", METHODS)
def test_without_each_group_in_turn_is_the_rest_alone(method: Method) -> None:
    values = columns(20)
    groups = np.repeat(np.arange(6), [6, 5, 4, 3, 1, 1])
    slow = [SCIPY[method](*values[:, groups != one]).statistic for one in range(6)]
    found = association.left_out(sample(values, method, groups))
    assert found == pytest.approx(slow, abs=1e-12)
    left = association.jackknife(sample(values, method, groups))
    z, others = np.arctanh(SCIPY[method](*values).statistic), np.arctanh(slow)
    error = np.sqrt(5 / 6 * ((others - z) ** 2).sum())
    assert (left.t, left.df) == (pytest.approx(z / error), 5)
    assert left.p == pytest.approx(2 * stats.t.sf(abs(z / error), 5))
    half = stats.t.ppf(0.975, 5) * error
    assert (left.low, left.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))


def first(every: np.ndarray) -> np.ndarray:
    return every[:, 0, 2]


def second(every: np.ndarray) -> np.ndarray:
    return every[:, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_a_difference_is_tested_on_fishers_scale_and_bounded_by_zou(method: Method) -> None:
    values = columns(30, 3)
    groups = np.repeat(np.arange(7), [9, 7, 5, 4, 2, 2, 1])

    def z(kept: np.ndarray) -> np.ndarray:
        of = [SCIPY[method](side[kept], values[2][kept]).statistic for side in values[:2]]
        return np.arctanh(of)

    whole = z(np.ones(30, bool))
    moved = np.array([z(groups != one) for one in range(7)]) - whole
    error = np.sqrt(6 / 7 * ((moved[:, 0] - moved[:, 1]) ** 2).sum())
    found = association.between(sample(values, method, groups), first, second)
    t = (whole[0] - whole[1]) / error
    assert (found.t, found.p) == pytest.approx((t, 2 * stats.t.sf(abs(t), 6)))
    half = stats.t.ppf(0.975, 6) * np.sqrt(6 / 7 * (moved**2).sum(axis=0))
    (a, b), (low, other_low), (high, other_high) = (
        np.tanh(ends) for ends in (whole, whole - half, whole + half)
    )
    shared = (moved[:, 0] * moved[:, 1]).sum() / np.sqrt(np.prod((moved**2).sum(axis=0)))
    below = (a - low) ** 2 + (other_high - b) ** 2 - 2 * shared * (a - low) * (other_high - b)
    above = (high - a) ** 2 + (b - other_low) ** 2 - 2 * shared * (high - a) * (b - other_low)
    assert (found.low, found.high) == pytest.approx(
        (a - b - np.sqrt(below), a - b + np.sqrt(above))
    )


def test_draws_of_groups_are_measured_in_their_own_errors() -> None:
    values, draws = columns(20, tied=False), 60
    groups = np.repeat(np.arange(6), [6, 5, 4, 3, 1, 1])

    def z(counts: np.ndarray) -> float:
        kept = np.repeat(np.arange(20), counts[groups])
        return float(np.arctanh(np.corrcoef(values[:, kept])[0, 1]))

    def error(counts: np.ndarray) -> float:
        found = 0.0
        for one in np.flatnonzero(counts):
            fewer = counts.copy()
            fewer[one] -= 1
            found += counts[one] * (z(fewer) - z(counts)) ** 2
        return float(np.sqrt(5 / 6 * found))

    whole = np.ones(6, int)
    sizes = []
    for counts in np.random.default_rng(4).multinomial(6, np.full(6, 1 / 6), size=draws):
        with np.errstate(all="ignore"):
            sizes.append(abs(z(counts) - z(whole)) / error(counts))
    known = [size for size in sizes if np.isfinite(size)]
    half = np.percentile(known, 95) * error(whole)
    found = association.studentised(sample(values, "pearson", groups), draws=draws, seed=4)
    assert found == pytest.approx(np.tanh([z(whole) - half, z(whole) + half]))


def test_what_hangs_on_one_group_has_no_test() -> None:
    values = np.array([[0.0, 1, 2, 3, 4, 9], [0.0, 1, 2, 3, 4, -9]])
    one = sample(values, "pearson")
    left = association.jackknife(one)
    assert np.isnan([left.low, left.high, left.p, left.t]).all()
    assert np.isnan(association.studentised(one, draws=50, seed=0)).all()
    ranked = np.array([[0.0, 1, 2, 3, 4], [0, 1, 2, 4, 3], [0, 1, 2, 3, 5]])
    both = association.between(sample(ranked, "spearman"), first, second)
    assert np.isnan([both.p, both.low, both.high]).all()


def test_bca_is_scipys_for_the_same_draws() -> None:
    values = columns(25, tied=False)
    drawn = np.random.default_rng(3).integers(25, size=(2000, 25))
    draws = np.array([np.corrcoef(values[:, one])[0, 1] for one in drawn])
    before = stats.bootstrap(
        values, lambda x, y: np.corrcoef(x, y)[0, 1], paired=True, vectorized=False,
        n_resamples=1, method="percentile",
    )  # fmt: skip
    before.bootstrap_distribution = draws
    expected = stats.bootstrap(
        values, lambda x, y: np.corrcoef(x, y)[0, 1], paired=True, vectorized=False,
        n_resamples=0, method="BCa", bootstrap_result=before,
    ).confidence_interval  # fmt: skip
    one = sample(values, "pearson")
    found = intervals.bca(
        draws, estimate=association.estimate(one), left_out=association.left_out(one)
    )
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    ends = association.bootstrap(one, draws=4000, seed=0)
    assert ends == pytest.approx(found, abs=0.05)


def test_draws_that_say_nothing_have_no_interval() -> None:
    flat = intervals.bca(np.full(9, 0.3), estimate=0.3, left_out=np.arange(4.0))
    above = intervals.bca(np.linspace(0.4, 0.5, 9), estimate=0.3, left_out=np.arange(4.0))
    assert flat == intervals.NONE == above
    lost = intervals.bca(
        np.array([np.nan, 0.1, 0.2, 0.4, 0.5]), estimate=0.3, left_out=np.array([0.2, 0.4, np.nan])
    )
    assert 0.1 <= lost.low < lost.high <= 0.5


def test_draws_in_portions_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = sample(columns(15), "spearman")
    whole = association.left_out(one), association.bootstrap(one, draws=150, seed=1)
    shuffled = association.permuted(one, draws=150, seed=1)
    monkeypatch.setattr(association, "MOST", 100)
    assert association.left_out(one) == pytest.approx(whole[0], abs=1e-14)
    assert association.bootstrap(one, draws=150, seed=1) == pytest.approx(whole[1], abs=1e-14)
    assert association.permuted(one, draws=150, seed=1) == shuffled


@pytest.mark.parametrize("method", METHODS)
def test_the_exact_p_is_the_share_of_all_orders(method: Method) -> None:
    values = columns(6, seed=4)
    seen = abs(SCIPY[method](*values).statistic)
    sizes = [abs(SCIPY[method](values[0], values[1, list(o)])[0]) for o in permutations(range(6))]
    expected = np.mean(np.array(sizes) >= seen - 1e-9)
    assert association.exact(sample(values, method)) == pytest.approx(expected, abs=1e-12)


def test_tau_without_ties_has_scipys_exact_p() -> None:
    values = columns(7, tied=False)
    expected = stats.kendalltau(*values, method="exact").pvalue
    assert association.exact(sample(values, "kendall")) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_random_orders_come_near_the_share_of_all(method: Method) -> None:
    values = columns(8, seed=6)
    exact = association.exact(sample(values, method))
    draws = 4000
    found = association.permuted(sample(values, method), draws=draws, seed=2)
    assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / draws) + 1 / draws


def test_covariates_are_taken_out_of_every_order() -> None:
    values = columns(12, 3, seed=7)
    draws = 300
    found = association.permuted(sample(values, "pearson"), draws=draws, seed=5)
    random = np.random.default_rng(5)
    places = random.permuted(np.tile(np.arange(12), (draws, 1)), axis=1)
    design = sm.add_constant(values[2])
    fitted = [sm.OLS(side, design).fit() for side in values[:2]]
    seen = abs(np.corrcoef(fitted[0].resid, fitted[1].resid)[0, 1])
    hits = 0
    for order in places:
        moved = fitted[1].fittedvalues + fitted[1].resid[order]
        rest = sm.OLS(moved, design).fit().resid
        hits += abs(np.corrcoef(fitted[0].resid, rest)[0, 1]) >= seen - 1e-9
    assert found == pytest.approx((hits + 1) / (draws + 1))


@pytest.mark.parametrize("method", METHODS)
def test_within_groups_what_lies_between_them_counts_for_nothing(method: Method) -> None:
    random = np.random.default_rng(8)
    groups = np.repeat(np.arange(5), 6)
    between = np.stack([groups, groups]) * 5.0
    apart = association.permuted(
        sample(between + random.normal(size=(2, 30)), method, groups),
        draws=499, seed=0, within=True,
    )  # fmt: skip
    together = between + 2 * random.normal(size=30) + 0.5 * random.normal(size=(2, 30))
    close = association.permuted(sample(together, method, groups), draws=499, seed=0, within=True)
    assert apart > 0.05 and close == pytest.approx(1 / 500)


def test_fishers_interval_is_scipys() -> None:
    values = columns(20, tied=False)
    expected = stats.pearsonr(*values).confidence_interval()
    r = association.estimate(sample(values, "pearson"))
    assert fisher(r, free=17) == pytest.approx((expected.low, expected.high), abs=1e-12)

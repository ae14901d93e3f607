"""Dependent and partial correlations against regressions, published numbers and simulation."""

from math import isnan

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from analysis.statistics import correlate, dependent


def exactly(correlation: np.ndarray, *, n: int) -> np.ndarray:
    """Columns whose sample correlations are exactly the given ones."""
    drawn = np.random.default_rng(1).normal(size=(n, len(correlation)))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn)).T
    return white @ np.linalg.cholesky(correlation).T


def test_williams_reproduces_the_example_of_the_r_package_psych() -> None:
    # r.test(n=103, r12=.4, r13=.5, r23=.1): t = -0.89, p = 0.37.
    columns = exactly(np.array([[1, 0.4, 0.5], [0.4, 1, 0.1], [0.5, 0.1, 1]]), n=103)
    y, first, second = columns.T
    found = dependent.difference(first, second=second, y=y)
    assert (found.first, found.second, found.between) == pytest.approx((0.4, 0.5, 0.1))
    assert found.t == pytest.approx(-0.89, abs=0.005)
    assert found.p == pytest.approx(0.37, abs=0.005)
    assert found.low < found.difference < found.high and found.low < 0 < found.high


def test_the_interval_of_a_difference_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = rejected = 0
    for _ in range(400):
        y = random.normal(size=30)
        shared = random.normal(size=30)
        first = y + shared + random.normal(size=30)
        second = y + shared + random.normal(size=30)
        found = dependent.difference(first, second=second, y=y)
        covered += found.low < 0 < found.high
        rejected += found.p < 0.05
    assert 0.92 < covered / 400 < 0.98 and 0.02 < rejected / 400 < 0.08


def test_partial_is_the_correlation_of_residuals_and_its_p_is_the_regressions() -> None:
    random = np.random.default_rng(4)
    given = random.normal(size=25)
    x, y = given + random.normal(size=25), given + random.normal(size=25)
    x = x + 0.5 * y
    rest = [sm.OLS(side, sm.add_constant(given)).fit().resid for side in (x, y)]
    found = dependent.partial(x, y=y, given=given)
    assert found.r == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-12)
    fitted = sm.OLS(y, sm.add_constant(np.column_stack([x, given]))).fit()
    assert found.p == pytest.approx(fitted.pvalues[1], abs=1e-12)
    half = stats.norm.ppf(0.975) / np.sqrt(25 - 4)
    assert found.low == pytest.approx(np.tanh(np.arctanh(found.r) - half))


def test_a_planted_covariate_explains_a_correlation_away() -> None:
    random = np.random.default_rng(6)
    fertility = random.normal(size=200)
    score = -fertility + 0.3 * random.normal(size=200)
    accuracy = -fertility + 0.3 * random.normal(size=200)
    assert correlate.pearson(score, y=accuracy).r > 0.85
    assert abs(dependent.partial(score, y=accuracy, given=fertility).r) < 0.2


def test_the_undefined_says_why() -> None:
    line = np.arange(6.0)
    bend = np.array([0.0, 2.0, 1.0, 3.0, 2.5, 4.0])
    same = dependent.difference(line, second=2 * line, y=bend)
    assert isnan(same.p) and "perfectly" in same.note
    few = dependent.difference(line[:3], second=bend[:3], y=bend[:3][::-1])
    assert "3 languages, at least 4" in few.note
    flat = dependent.partial(line, y=bend, given=np.ones(6))
    assert isnan(flat.r) and "covariate" in flat.note


def four(jk: float, hm: float, jh: float, jm: float, kh: float, km: float) -> np.ndarray:
    return np.array([[1, jk, jh, jm], [jk, 1, kh, km], [jh, kh, 1, hm], [jm, km, hm, 1]])


# Printed by Steiger (1980, p. 249, case B: -1.4045 from rounded covariances) and by DEPCOR (Silver,
# Hittner and May 2006); Zou (2007) prints .500 from a covariance that his formula does not give.
@pytest.mark.parametrize(
    ("given", "n", "printed"),
    [
        ((0.5, 0.6, 0.8, 0.5, 0.5, 0.7), 103, {"z": (-1.405, 1e-3)}),
        ((0.3, 0.4, 0.5, 0.8, 0.6, 0.7), 100, {"z": (-1.0744, 5e-5), "p": (0.2827, 5e-5)}),
        (
            (0.396, 0.189, 0.208, 0.143, 0.023, 0.423),
            66,
            {"low": (-0.096, 5e-4), "high": (0.5, 1.1e-3)},
        ),
    ],
)
def test_correlations_without_a_common_column_are_compared_as_printed(
    given: tuple[float, ...], n: int, printed: dict[str, tuple[float, float]]
) -> None:
    j, k, h, m = exactly(four(*given), n=n).T
    found = dependent.apart(j, y=k, second=h, y2=m)
    for name, (value, close) in printed.items():
        assert getattr(found, name) == pytest.approx(value, abs=close)
    other = dependent.apart(h, y=m, second=j, y2=k)
    assert (other.z, other.low) == pytest.approx((-found.z, -found.high))


def test_williams_and_zou_of_a_common_column_are_as_printed() -> None:
    # DEPCOR: r .3 and .4, .5 between, n = 100; Zou (2007): .396 and .179, .088 between, n = 66.
    y, first, second = exactly(np.array([[1, 0.3, 0.4], [0.3, 1, 0.5], [0.4, 0.5, 1]]), n=100).T
    found = dependent.difference(first, second=second, y=y)
    assert (found.t, found.p) == pytest.approx((-1.0767, 0.2843), abs=5e-5)
    correlation = np.array([[1, 0.396, 0.179], [0.396, 1, 0.088], [0.179, 0.088, 1]])
    y, first, second = exactly(correlation, n=66).T
    found = dependent.difference(first, second=second, y=y)
    assert (found.low, found.high) == pytest.approx((-0.093, 0.517), abs=5e-4)


def test_four_columns_that_determine_each_other_are_not_compared() -> None:
    line = np.arange(6.0)
    bend = np.array([0.0, 2.0, 1.0, 3.0, 2.5, 4.0])
    same = dependent.apart(line, y=bend, second=bend[::-1], y2=line + 1)
    assert isnan(same.p) and "perfectly" in same.note
    few = dependent.apart(line[:3], y=bend[:3], second=bend[3:], y2=line[:3] ** 2)
    assert "at least 4" in few.note

"""Least squares, logistic regression and their errors against statsmodels and dense twins."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import linalg

from analysis.statistics import linear, sandwich

Floats = npt.NDArray[np.float64]
RANDOM = np.random.default_rng(1)
N = 300
CLUSTERS = RANDOM.integers(8, size=N)
OTHERS = RANDOM.integers(5, size=N)
X = RANDOM.normal(size=N) + RANDOM.normal(size=8)[CLUSTERS]
Z = RANDOM.normal(size=8)[CLUSTERS]
DESIGN = np.column_stack([np.ones(N), X, Z])
Y = 0.3 * X + RANDOM.normal(size=8)[CLUSTERS] + RANDOM.normal(size=N) * (1 + abs(X))
HITS = (RANDOM.random(N) < 1 / (1 + np.exp(-0.3 * X - 0.2 * Z))).astype(float)


def errors(found: sandwich.Errors) -> Floats:
    return np.sqrt(np.diag(found.covariance))


def dummies(levels: npt.NDArray[np.intp]) -> Floats:
    return pd.get_dummies(levels, dtype=float).to_numpy()


def test_least_squares_is_that_of_statsmodels() -> None:
    fit, own = linear.least_squares(Y, design=DESIGN), sm.OLS(Y, DESIGN)
    plain = own.fit()
    assert fit.coefficients == pytest.approx(plain.params)
    assert errors(sandwich.classical(fit)) == pytest.approx(plain.bse)
    assert errors(sandwich.robust(fit)) == pytest.approx(own.fit(cov_type="HC3").bse)
    assert fit.df == plain.df_resid
    clustered = own.fit(cov_type="cluster", cov_kwds={"groups": CLUSTERS}, use_t=True)
    found = sandwich.clustered(fit, CLUSTERS, nested=False)
    assert errors(found) == pytest.approx(clustered.bse)
    assert found.df.tolist() == [7.0] * 3


def test_logistic_regression_is_that_of_statsmodels() -> None:
    fit, own = linear.logistic(HITS, design=DESIGN), sm.Logit(HITS, DESIGN)
    plain = own.fit(disp=False, method="newton", tol=1e-12)
    assert fit.coefficients == pytest.approx(plain.params)
    assert errors(sandwich.classical(fit)) == pytest.approx(plain.bse, rel=1e-5)
    clustered = own.fit(disp=False, tol=1e-12, cov_type="cluster", cov_kwds={"groups": CLUSTERS})
    found = sandwich.clustered(fit, CLUSTERS, nested=False)
    assert errors(found) == pytest.approx(clustered.bse, rel=1e-5)
    # HC3 of a weighted regression is that of the working one.
    share = plain.predict()
    root = np.sqrt(share * (1 - share))
    working = sm.OLS(root * (DESIGN @ plain.params) + (HITS - share) / root, root[:, None] * DESIGN)
    assert errors(sandwich.robust(fit)) == pytest.approx(working.fit(cov_type="HC3").bse, rel=1e-5)


@pytest.mark.parametrize("binary", [False, True])
def test_errors_by_cluster_are_those_of_a_dense_twin(binary: bool) -> None:
    fit = linear.logistic(HITS, design=DESIGN) if binary else linear.least_squares(Y, design=DESIGN)
    root = np.sqrt(fit.weights)
    design, left = root[:, None] * DESIGN, fit.residuals / root
    bread = np.linalg.inv(design.T @ design)
    residual = np.eye(N) - design @ bread @ design.T
    meat, grown = np.zeros((3, 3)), []
    for one in range(8):
        own = one == CLUSTERS
        adjusted = linalg.inv(linalg.sqrtm(residual[np.ix_(own, own)])).real
        score = design[own].T @ adjusted @ left[own]
        meat += np.outer(score, score)
        grown.append(residual[:, own] @ adjusted @ design[own] @ bread)
    found = sandwich.clustered(fit, CLUSTERS)
    assert found.covariance == pytest.approx(bread @ meat @ bread, rel=1e-7)
    for place in range(3):
        columns = np.column_stack([one[:, place] for one in grown])
        form = columns.T @ columns
        assert found.df[place] == pytest.approx(np.trace(form) ** 2 / (form**2).sum())


def test_errors_by_cluster_are_those_of_clubsandwich() -> None:
    """What `coef_test(lm(y ~ x + z), vcov="CR2", cluster=g)` of version 0.5.8 prints."""
    cluster = np.repeat(np.arange(9), np.arange(1, 10))
    x, y = np.arange(45) * 7 % 11, np.arange(45) * 5 % 13 + cluster * cluster % 5
    design = np.column_stack([np.ones(45), x, cluster % 3])
    found = sandwich.clustered(linear.least_squares(y.astype(float), design=design), cluster)
    assert errors(found) == pytest.approx([1.59196469331, 0.24303237882, 0.86829568613], rel=1e-9)
    assert found.df == pytest.approx([4.6088404444, 6.0535426675, 3.4840466549], rel=1e-9)


@pytest.mark.parametrize("binary", [False, True])
def test_absorbed_levels_are_constants_of_their_own(binary: bool) -> None:
    columns = DESIGN[:, 1:2]
    run, y = (linear.logistic, HITS) if binary else (linear.least_squares, Y)
    for absorbed in ([OTHERS], [CLUSTERS, OTHERS]):
        fit = run(y, design=columns, absorbed=absorbed)
        extra = [dummies(one)[:, (place > 0) :] for place, one in enumerate(absorbed)]
        whole = run(y, design=np.column_stack([columns, *extra]))
        assert fit.coefficients[0] == pytest.approx(whole.coefficients[0], rel=1e-6)
        assert (fit.lost, fit.df) == (whole.lost, whole.df)
        for kind in (
            sandwich.classical,
            lambda one: sandwich.clustered(one, CLUSTERS, nested=False),
        ):
            assert errors(kind(fit))[0] == pytest.approx(errors(kind(whole))[0], rel=1e-5)
        if len(absorbed) == 1:
            robust = sandwich.robust(fit), sandwich.robust(whole)
            assert errors(robust[0])[0] == pytest.approx(errors(robust[1])[0], rel=1e-5)
    nested = sandwich.clustered(run(y, design=columns, absorbed=[CLUSTERS]), CLUSTERS)
    assert errors(nested)[0] > 0 and 1 < nested.df[0] < 7


def test_absorbed_levels_within_clusters_leave_errors_by_cluster_as_they_are() -> None:
    fit = linear.least_squares(Y, design=DESIGN[:, 1:2], absorbed=[CLUSTERS])
    found = sandwich.clustered(fit, CLUSTERS)
    design = np.column_stack([X, dummies(CLUSTERS)])
    bread = np.linalg.inv(design.T @ design)
    residual = np.eye(N) - design @ bread @ design.T
    left, meat = residual @ Y, 0.0
    for one in range(8):
        own = one == CLUSTERS
        values, turns = np.linalg.eigh(residual[np.ix_(own, own)])
        grown = np.where(values > 1e-8, np.maximum(values, 1e-8) ** -0.5, 0.0)
        meat += float((bread @ design.T)[0, own] @ (turns * grown) @ turns.T @ left[own]) ** 2
    assert errors(found)[0] == pytest.approx(meat**0.5, rel=1e-7)


def test_constants_of_absorbed_factors_are_counted_by_what_connects_them() -> None:
    one, two = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 2])
    whole = np.column_stack([dummies(one), dummies(two)])
    assert linear.rank([one, two]) == np.linalg.matrix_rank(whole) == 4
    assert linear.rank([one]) == 3 and linear.rank([]) == 0


def test_levels_with_one_outcome_fall_away_in_turn() -> None:
    one, two = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    y = np.array([1.0, 1, 1, 0, 0, 1])
    # Level 0 of the first goes, then level 1 of the second has only a 1, and so on.
    assert linear.varying(y, [one]).tolist() == [False, False, True, True, True, True]
    assert not linear.varying(y, [one, two]).any()


def test_columns_that_follow_from_others_are_found() -> None:
    twice = np.column_stack([DESIGN, X + 2 * Z, np.full(N, 1e-13)])
    found = linear.dependent(twice, of=np.column_stack([DESIGN, X + 2 * Z, np.ones(N)]))
    assert found.sum() == 2 and found[4] and not found[0]
    assert not linear.dependent(DESIGN * [1, 1e-8, 1e8]).any()


def test_separated_outcomes_have_a_reason() -> None:
    level = (np.arange(N) % 10 == 0).astype(float)
    for y in ((X > 0).astype(float), np.where(level == 1, 1.0, HITS)):
        fit = linear.logistic(y, design=np.column_stack([np.ones(N), X, level]))
        assert "separated" in fit.note
    # One row on the wrong side is enough for a maximum.
    y = np.where(level == 1, 1.0, HITS)
    y[0] = 0.0
    assert not linear.logistic(y, design=np.column_stack([np.ones(N), X, level])).note


def test_many_clusters_need_no_correction() -> None:
    found = [
        sandwich.clustered(linear.least_squares(Y, design=DESIGN), np.arange(N), nested=nested)
        for nested in (True, False)
    ]
    # Every row a cluster of its own: HC2, which differs from HC0 by leverages of 3 in 300.
    assert errors(found[0]) == pytest.approx(errors(found[1]), rel=0.05)
    own = sm.OLS(Y, DESIGN).fit(cov_type="HC2").bse
    assert errors(found[0]) == pytest.approx(own)

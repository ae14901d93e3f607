"""Mixed models against lme4's published examples, statsmodels, closed forms and dense twins."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, special

from analysis.statistics import crossed, laplace, mixed
from tests.makers.lme4_examples import cbpp, penicillin, sleepstudy

Floats = npt.NDArray[np.float64]


def codes(column: pd.Series) -> npt.NDArray[np.intp]:
    return pd.factorize(column)[0].astype(np.intp)


def errors(fit: mixed.Mixed) -> Floats:
    return np.sqrt(np.diag(fit.covariance))


def simulated(*, deviations: tuple[float, ...], seed: int = 0, n: int = 240) -> tuple:
    """Outcome, design and the levels of three crossed factors, the largest in the middle."""
    random = np.random.default_rng(seed)
    levels = [random.integers(size, size=n) for size in (7, 25, 4)]
    levels = [codes(pd.Series(one)) for one in levels]
    design = np.column_stack([np.ones(n), random.normal(size=n), random.normal(size=7)[levels[0]]])
    y = design @ [1.0, 0.5, -0.3] + random.normal(size=n)
    for level, deviation in zip(levels, deviations, strict=True):
        y = y + deviation * random.normal(size=25)[level]
    return y, design, levels


def test_sleepstudy_is_as_lme4_publishes_it() -> None:
    rows = sleepstudy()
    design = np.column_stack([np.ones(180), rows["days"]])
    fit = mixed.fit(rows["reaction"].to_numpy(), design=design, codes=[codes(rows["subject"])])
    assert fit.coefficients == pytest.approx([251.4051, 10.4673], abs=5e-5)
    assert errors(fit) == pytest.approx([9.7467, 0.8042], abs=5e-5)
    assert [*fit.deviations, fit.residual] == pytest.approx([37.12, 30.99], abs=5e-3)
    assert fit.criterion == pytest.approx(1786.465, abs=1e-3)
    # As lmerTest prints them.
    assert fit.df == pytest.approx([22.8102, 161.0], abs=1e-3)


def test_penicillin_is_as_lme4_publishes_it_and_as_its_closed_form() -> None:
    rows = penicillin()
    fit = mixed.fit(
        rows["diameter"].to_numpy(), design=np.ones((144, 1)),
        codes=[codes(rows["plate"]), codes(rows["sample"])],
    )  # fmt: skip
    found = [*fit.deviations, fit.residual]
    assert found == pytest.approx([0.8467, 1.9316, 0.5499], abs=1e-4)
    # Balanced and crossed: restricted likelihood is the analysis of variance.
    table = rows.pivot(index="plate", columns="sample", values="diameter").to_numpy()
    plates, samples = table.shape
    mean, by_plate, by_sample = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = samples * ((by_plate - mean) ** 2).sum() / (plates - 1)
    across = plates * ((by_sample - mean) ** 2).sum() / (samples - 1)
    left = table - by_plate[:, None] - by_sample + mean
    rest = (left**2).sum() / ((plates - 1) * (samples - 1))
    exact = np.sqrt([(between - rest) / samples, (across - rest) / plates, rest])
    assert found == pytest.approx(exact, rel=1e-6)
    total = between + across - rest
    assert errors(fit)[0] == pytest.approx(np.sqrt(total / 144), rel=1e-6)
    parts = between**2 / (plates - 1) + across**2 / (samples - 1)
    parts += rest**2 / ((plates - 1) * (samples - 1))
    assert fit.df[0] == pytest.approx(total**2 / parts, rel=1e-4)


def test_crossed_terms_are_those_of_statsmodels() -> None:
    y, design, levels = simulated(deviations=(0.8, 0.6, 0.7))
    fit = mixed.fit(y, design=design, codes=levels)
    frame = pd.DataFrame({"a": levels[0], "b": levels[1], "c": levels[2]}).astype(str)
    parts = {name: f"0 + C({name})" for name in frame}
    own = sm.MixedLM.from_formula(
        "y ~ x + z", groups=np.ones(len(y)), vc_formula=parts, re_formula="0",
        data=frame.assign(y=y, x=design[:, 1], z=design[:, 2]),
    ).fit(method=["lbfgs", "powell"])  # fmt: skip
    assert fit.coefficients == pytest.approx(own.fe_params.to_numpy(), rel=1e-3)
    assert fit.deviations == pytest.approx(np.sqrt(own.vcomp), rel=1e-3)
    assert fit.residual == pytest.approx(own.scale**0.5, rel=1e-4)
    # Its errors are of the observed information, which only on average is that of lme4.
    assert errors(fit) == pytest.approx(own.bse_fe.to_numpy(), rel=1e-2)


def test_the_criterion_is_the_dense_restricted_likelihood_and_at_its_best() -> None:
    y, design, levels = simulated(deviations=(0.8, 0.6, 0.7), seed=3)
    n, p = design.shape

    def covariance(parameters: Floats) -> Floats:
        *variances, rest = np.exp(2 * parameters)
        alike = [level[:, None] == level for level in levels]
        return rest * np.eye(n) + np.einsum("k,kij->ij", variances, np.array(alike, float))

    def dense(parameters: Floats) -> float:
        whole = covariance(parameters)
        inner = design.T @ np.linalg.solve(whole, design)
        left = y - design @ np.linalg.solve(inner, design.T @ np.linalg.solve(whole, y))
        logs = np.linalg.slogdet(whole)[1] + np.linalg.slogdet(inner)[1]
        return logs + left @ np.linalg.solve(whole, left) + (n - p) * np.log(2 * np.pi)

    fit = mixed.fit(y, design=design, codes=levels)
    at = np.log([*fit.deviations, fit.residual])
    assert dense(at) == pytest.approx(fit.criterion, abs=1e-6)
    inner = design.T @ np.linalg.solve(covariance(at), design)
    assert fit.covariance == pytest.approx(np.linalg.inv(inner), rel=1e-6)
    best = optimize.minimize(dense, at + 0.1, method="BFGS")
    assert best.fun == pytest.approx(fit.criterion, abs=1e-6)
    assert at == pytest.approx(best.x, abs=1e-4)


def test_balanced_levels_are_a_regression_of_their_means() -> None:
    random = np.random.default_rng(1)
    level = np.repeat(np.arange(11), 30)
    x = random.normal(size=11)
    y = 0.4 * x[level] + 0.7 * random.normal(size=11)[level] + random.normal(size=330)
    fit = mixed.fit(y, design=np.column_stack([np.ones(330), x[level]]), codes=[level])
    means = sm.OLS(y.reshape(11, 30).mean(axis=1), sm.add_constant(x)).fit()
    assert fit.coefficients == pytest.approx(means.params, rel=1e-8)
    assert errors(fit) == pytest.approx(means.bse, rel=1e-5)
    assert fit.df == pytest.approx([9, 9], rel=1e-3)


def test_units_of_covariates_and_outcome_change_nothing_else() -> None:
    y, design, levels = simulated(deviations=(0.8, 0.6, 0.7))
    fit = mixed.fit(y, design=design, codes=levels)
    moved = design * [1, 1e-3, 1e3] + [0, 2020.0, -1e4]
    other = mixed.fit(1e3 * y + 1e5, design=moved, codes=levels[::-1])
    assert other.coefficients[1:] == pytest.approx(fit.coefficients[1:] * [1e6, 1.0], rel=1e-5)
    assert other.deviations == pytest.approx(1e3 * fit.deviations[::-1], rel=1e-5)
    assert other.df[1:] == pytest.approx(fit.df[1:], rel=1e-3)


def test_without_variance_between_levels_it_is_least_squares() -> None:
    y, design, _ = simulated(deviations=(0.0, 0.0, 0.0), seed=2)
    level = np.tile(np.arange(24), 10)
    within = y - np.array([y[level == one].mean() for one in range(24)])[level]
    fit = mixed.fit(within, design=design, codes=[level])
    plain = sm.OLS(within, design).fit()
    assert fit.deviations.tolist() == [0.0] and not fit.note
    assert fit.coefficients == pytest.approx(plain.params, rel=1e-8)
    assert errors(fit) == pytest.approx(plain.bse, rel=1e-6)
    assert fit.df == pytest.approx([237] * 3, rel=1e-3)


def test_what_leaves_no_residual_has_a_reason() -> None:
    design = np.column_stack([np.ones(12), np.arange(12.0)])
    level = np.repeat(np.arange(4), 3)
    exact = mixed.fit(design @ [1.0, 2.0], design=design, codes=[level])
    assert "exactly" in exact.note and np.isnan(exact.coefficients).all()
    exact = mixed.fit(np.array([1.0, 5.0, 2.0, 8.0])[level], design=design[:, :1], codes=[level])
    assert "exactly" in exact.note


def test_too_many_levels_are_refused() -> None:
    level = np.arange(crossed.MOST + 1)
    with pytest.raises(ValueError, match="too many to be solved"):
        crossed.Crossed([level, level])


def herds() -> tuple:
    rows = cbpp()
    design = np.column_stack(
        [np.ones(56), *((rows["period"] == one).to_numpy(float) for one in "234")]
    )
    return rows["cases"].to_numpy(), rows["animals"].to_numpy(), design, [codes(rows["herd"])]


def test_cbpp_is_as_lme4_publishes_it() -> None:
    hits, trials, design, levels = herds()
    fit = laplace.fit(hits, trials=trials, design=design, codes=levels)
    # lme4 stops short of the optimum: its own tolerance is in the fourth digit.
    assert fit.coefficients == pytest.approx([-1.3983, -0.9919, -1.1282, -1.5797], abs=1e-3)
    assert fit.deviations == pytest.approx([0.642], abs=1e-3)
    # As glmmTMB, whose derivatives are exact, prints them.
    assert fit.coefficients == pytest.approx(
        [-1.39853247, -0.99233229, -1.12867130, -1.58031369], abs=5e-6
    )
    assert fit.deviations == pytest.approx([0.64226167], abs=5e-6)
    assert errors(fit) == pytest.approx([0.23247205, 0.30664249, 0.32663781, 0.42743660], rel=1e-5)


def test_laplace_is_that_of_a_dense_twin_and_its_gradient_exact() -> None:
    _, design, levels = simulated(deviations=(0, 0, 0), n=160)
    random = np.random.default_rng(4)
    hits, trials = random.integers(0, 3, size=160).astype(float), np.full(160, 2.0)
    own = laplace._Deviance(hits, trials=trials, design=design, crossed=crossed.Crossed(levels))
    indicators = [(level[:, None] == np.arange(level.max() + 1)).astype(float) for level in levels]

    def dense(at: Floats) -> float:
        scaled = np.hstack([one * theta for one, theta in zip(indicators, at, strict=False)])

        def misfit(u: Floats) -> float:
            odds = design @ at[3:] + scaled @ u
            return 2 * (trials * np.logaddexp(0, odds) - hits * odds).sum() + u @ u

        best = optimize.minimize(misfit, np.zeros(scaled.shape[1]), method="BFGS", tol=1e-9)
        share = special.expit(design @ at[3:] + scaled @ best.x)
        inner = scaled.T @ (scaled * (trials * share * (1 - share))[:, None])
        return best.fun + np.linalg.slogdet(inner + np.eye(len(inner)))[1]

    at = np.array([0.7, 0.4, 1.2, 0.2, -0.3, 0.5])
    value, slope = own(at)
    assert value == pytest.approx(dense(at), abs=1e-6)
    numeric = optimize.approx_fprime(at, lambda one: own(one)[0], 1e-6)
    assert slope == pytest.approx(numeric, abs=1e-3)
    assert own(-at)[0] != value and own(np.array([*-at[:3], *at[3:]]))[0] == pytest.approx(value)


def test_cells_of_rows_are_the_rows() -> None:
    hits, trials, design, levels = herds()
    places = np.repeat(np.arange(56), trials.astype(int))
    rows = np.concatenate(
        [np.arange(count) < ill for ill, count in zip(hits, trials.astype(int), strict=True)]
    ).astype(float)
    one = laplace.fit(hits, trials=trials, design=design, codes=levels)
    each = laplace.fit(
        rows, trials=np.ones(len(rows)), design=design[places], codes=[levels[0][places]]
    )
    assert each.coefficients == pytest.approx(one.coefficients, abs=1e-6)
    assert each.deviations == pytest.approx(one.deviations, abs=1e-6)


def test_logistic_fits_without_a_maximum_have_a_reason() -> None:
    _, trials, design, levels = herds()
    separated = np.where(design[:, 1] == 1, trials, 0.0)
    fit = laplace.fit(separated, trials=trials, design=design, codes=levels)
    assert "separated" in fit.note and np.isnan(fit.coefficients).all()
    # Every herd is ill as a whole or not at all: what differs between herds has no bound.
    split = np.where(levels[0] % 2 == 0, trials, 0.0)
    fit = laplace.fit(split, trials=trials, design=design[:, :1], codes=levels)
    assert "no bound" in fit.note

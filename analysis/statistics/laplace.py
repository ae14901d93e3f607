"""Logistic mixed models with crossed random intercepts, by the Laplace approximation.

The deviance and its minimum over coefficients and deviations together are those of lme4's `glmer`
(Bates et al. 2015, doi 10.18637/jss.v067.i01; nAGQ = 1). Its gradient is exact, not by differences.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from analysis.statistics import linear
from analysis.statistics.crossed import Crossed, Ints
from analysis.statistics.mixed import FAR, FLAT, NONE, Floats, Mixed, failed

BEGIN = (0.1, 0.3, 1.0, 3.0)
# Newton's decrement, in units of the deviance, of the last step to the most likely intercepts: what
# is left behind it is of its square.
FOUND = 1e-6
STEPS = 100
# The step of numeric derivatives of the gradient, in units of the plain fit's errors.
STEP = 1e-2
# A deviation below which it is asked whether none does as well.
SMALL = 0.1
# A deviation of intercepts, in log odds, that only levels without both outcomes have.
UNBOUNDED = 20.0


def fit(hits: Floats, *, trials: Floats, design: Floats, codes: Sequence[Ints]) -> Mixed:
    """Fit the log odds of `hits` among `trials` [n] on design [n, p] with random intercepts.

    Args:
        hits: by row, or by cell of rows that are alike, how many outcomes are 1.
        trials: how many there are.
        design: the fixed part, the constant included, of full rank.
        codes: by random term the level of each row, from 0 up without gaps.

    Returns:
        Coefficients in log odds. `residual` is 0, as 0/1 outcomes have no variance of their own;
        `df` is infinite: who has few levels chooses a smaller one.

    Raises:
        ValueError: too many levels to be solved together.
    """
    p, terms = design.shape[1], len(codes)
    plain = linear.logistic(hits, design=design, trials=trials)
    if plain.note:
        return failed(p, terms, plain.note)
    # In units of the plain fit's errors the search is well scaled.
    root = np.linalg.cholesky(plain.bread)
    sizes = [int(one.max()) + 1 for one in codes]
    own = _Deviance(hits, trials=trials, design=design @ root, crossed=Crossed(codes))
    start = np.linalg.solve(root, plain.coefficients)
    try:
        tried = [np.concatenate([np.full(terms, value), start]) for value in BEGIN]
        begin = min(tried, key=lambda at: own(at)[0])
        expected = np.full(len(begin), 0.5)
        expected[:terms] = [begin[0] ** 2 / (4 * size) for size in sizes]
        found = optimize.minimize(
            own, begin, jac=True, method="BFGS",
            options={"gtol": 1e-3, "hess_inv0": np.diag(expected)},
        )  # fmt: skip
        at = found.x
        at[:terms] = np.abs(at[:terms])
        fixed = np.zeros(len(at), bool)
        for place in range(terms):
            without = at.copy()
            without[place] = 0.0
            small = at[place] < SMALL and own(without)[0] <= own(at)[0] + FLAT
            if small or at[place] < NONE:
                at, fixed[place] = without, True
        value, slope = own(at)
        places = np.flatnonzero(~fixed)
        second = np.array([_difference(own, at, place) for place in places])[:, places]
        second = (second + second.T) / 2
        newton = np.linalg.solve(second, slope[places])
    except np.linalg.LinAlgError as error:
        return failed(p, terms, f"the fit failed ({error})")
    if float(slope[places] @ newton) > FAR or np.linalg.eigvalsh(second)[0] <= 0:
        return failed(p, terms, "the fit did not converge")
    at[places] -= newton
    if at[:terms].max() > UNBOUNDED:
        return failed(p, terms, "no bound is found: levels have too few rows of either outcome")
    kept = places >= terms
    covariance = root @ (2 * np.linalg.inv(second))[np.ix_(kept, kept)] @ root.T
    return Mixed(
        coefficients=root @ at[terms:], covariance=covariance, df=np.full(p, np.inf),
        deviations=at[:terms], residual=0.0, criterion=value,
    )  # fmt: skip


class _Deviance:
    """The deviance at relative deviations and coefficients, and its gradient.

    The most likely intercepts of the last call are where the next search begins.
    """

    def __init__(self, hits: Floats, *, trials: Floats, design: Floats, crossed: Crossed) -> None:
        self.hits, self.trials, self.design, self.crossed = hits, trials, design, crossed
        self.intercepts = np.zeros(int(crossed.starts[-1]))

    def __call__(self, at: Floats) -> tuple[float, Floats]:
        """The deviance, less a constant, and its gradient; it is even in relative deviations."""
        crossed, terms = self.crossed, len(self.crossed.order)
        theta, sign = np.abs(at[:terms]), np.where(at[:terms] < 0, -1.0, 1.0)
        scale = crossed.by_level(theta)
        fixed = self.design @ at[terms:]
        log_odds = fixed + crossed.spread(scale * self._most_likely(fixed, scale, theta))
        misfit, share = self._misfit(log_odds)
        left = self.hits - self.trials * share
        weights = self.trials * share * (1 - share)
        solved = crossed.solved(crossed.tables(weights), theta)
        u = self.intercepts
        value = misfit + float(u @ u) + solved.logdet
        # The log determinant depends on everything through the weights.
        inverse, leverage = crossed.variances(solved, theta)
        turned = leverage * weights * (1 - 2 * share)
        back = solved.solve(scale * crossed.sums(turned))
        pulled = turned - weights * crossed.spread(scale * back)
        by_level = u * crossed.sums(pulled - 2 * left) + back * crossed.sums(left)
        slopes = np.zeros(terms)
        for position, place in enumerate(crossed.order):
            levels = slice(crossed.starts[position], crossed.starts[position + 1])
            slopes[place] = by_level[levels].sum()
            if theta[place] > 0:
                slopes[place] += 2 * (1 - inverse[levels]).sum() / theta[place]
        return value, np.concatenate([sign * slopes, self.design.T @ (pulled - 2 * left)])

    def _most_likely(self, fixed: Floats, scale: Floats, theta: Floats) -> Floats:
        """The intercepts of unit variance that are most likely, by Newton's method."""
        crossed, u = self.crossed, self.intercepts
        misfit, share = self._misfit(fixed + crossed.spread(scale * u))
        before = misfit + float(u @ u)
        for _ in range(STEPS):
            solved = crossed.solved(crossed.tables(self.trials * share * (1 - share)), theta)
            slope = scale * crossed.sums(self.hits - self.trials * share) - u
            step = solved.solve(slope)
            size = 1.0
            while size > 1e-6:
                moved = u + size * step
                misfit, share = self._misfit(fixed + crossed.spread(scale * moved))
                after = misfit + float(moved @ moved)
                if after <= before + 1e-9 * abs(before):
                    break
                size /= 2
            u, before = moved, after
            if float(slope @ step) < FOUND:
                break
        self.intercepts = u
        return u

    def _misfit(self, log_odds: Floats) -> tuple[float, Floats]:
        """-2 log likelihood given the intercepts, and the chance of a 1 by row."""
        small = np.exp(-np.abs(log_odds))
        above = np.maximum(log_odds, 0) + np.log1p(small)
        misfit = 2 * float(self.trials @ above - self.hits @ log_odds)
        return misfit, np.where(log_odds >= 0, 1.0, small) / (1 + small)


def _difference(deviance: _Deviance, at: Floats, place: np.intp) -> Floats:
    """How the gradient changes with one of its variables."""
    up, down = at.copy(), at.copy()
    up[place] += STEP
    down[place] -= STEP
    found: Floats = (deviance(up)[1] - deviance(down)[1]) / (2 * STEP)
    return found

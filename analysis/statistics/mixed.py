"""Linear mixed models with crossed random intercepts, by restricted maximum likelihood.

The criterion is that of lme4 (Bates et al. 2015, doi 10.18637/jss.v067.i01, eq. 41), computed from
sums over levels: after one pass over the rows a fit does not depend on their number. Degrees of
freedom are Satterthwaite's (Kuznetsova et al. 2017, doi 10.18637/jss.v082.i13).
"""

from collections.abc import Callable, Sequence
from math import log, pi
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from statsmodels.tools import numdiff

from analysis.statistics.crossed import Crossed, Ints

Floats = npt.NDArray[np.float64]

# Relative deviations where the search begins.
BEGIN = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# A relative deviation below which the criterion does not tell it from none.
NONE = 1e-3
# Steps in log deviations of second and first derivatives, and the deviance that is no descent.
STEP = 3e-3
SHORT_STEP = 1e-4
FLAT = 1e-6
# What a last step of Newton's may still gain of the deviance where a search has ended well.
FAR = 1e-2


class Mixed(NamedTuple):
    """A fitted model with p coefficients and k random terms.

    `deviations` are the standard deviations of the random intercepts, 0 where there is none to
    estimate (a singular fit), `residual` that of the rows, `df` Satterthwaite's per coefficient.
    A fit that failed has a `note` that says why and NaN for numbers.
    """

    coefficients: Floats
    covariance: Floats
    df: Floats
    deviations: Floats
    residual: float
    criterion: float
    note: str = ""


class Profile(NamedTuple):
    """The criterion at some relative deviations, and what follows from it."""

    deviance: float
    logdet: float
    squares: float
    coefficients: Floats
    information: Floats


def fit(y: Floats, *, design: Floats, codes: Sequence[Ints]) -> Mixed:
    """Fit y [n] on design [n, p], of full rank, with a random intercept for each of `codes`.

    Args:
        y: finite outcomes.
        design: the fixed part, the constant included.
        codes: by random term the level of each row, from 0 up without gaps.

    Raises:
        ValueError: too many levels to be solved together.
    """
    n, p = design.shape
    # Within an orthonormal base nothing is lost to the covariates' units, such as years.
    base, turn = np.linalg.qr(design)
    start = base.T @ y
    rest = y - base @ start
    total = float(rest @ rest)
    if not total > 1e-20 * max(1.0, float(y @ y)):
        return failed(p, len(codes), "the fixed terms explain every row exactly")
    crossed = Crossed(codes)
    columns = np.column_stack([base, rest])
    sums = np.column_stack([crossed.sums(column) for column in columns.T])
    tables, whole = crossed.tables(), columns.T @ columns
    constant = 2 * float(np.log(np.abs(np.diag(turn))).sum())

    def profile(theta: Floats) -> Profile:
        solved = crossed.solved(tables, theta)
        left = whole - solved.square(crossed.by_level(theta)[:, None] * sums)
        root = cho_factor(left[:p, :p], lower=True)
        found = cho_solve(root, left[:p, p])
        squares = max(float(left[p, p] - left[:p, p] @ found), 1e-14 * total)
        logdet = solved.logdet + 2 * float(np.log(np.diag(root[0])).sum()) + constant
        deviance = logdet + (n - p) * (1 + log(2 * pi * squares / (n - p)))
        return Profile(deviance, logdet, squares, found, left[:p, :p])

    try:
        theta = least(lambda at: profile(at).deviance, size=len(codes))
        best = profile(theta)
        scale = best.squares / (n - p)
        if best.squares <= 1e-12 * total:
            return failed(p, len(codes), "the terms explain every row exactly: nothing is left")
        places = np.flatnonzero(theta > 0)

        def criterion(at: Floats) -> float:
            """The criterion at log deviations and, last, the log of the scale, not profiled."""
            found = profile(put(theta, places, at[:-1]))
            return float(found.logdet + (n - p) * at[-1] + found.squares * np.exp(-at[-1]))

        def covariance(at: Floats) -> Floats:
            information = profile(put(theta, places, at[:-1])).information
            found: Floats = np.exp(at[-1]) * back @ np.linalg.inv(information) @ back.T
            return found

        back = solve_triangular(turn, np.eye(p))
        at = np.append(np.log(theta[places]), log(scale))
        second = numdiff.approx_hess3(at, criterion, epsilon=np.full(len(at), STEP))
        slope = numdiff.approx_fprime(at, criterion, epsilon=SHORT_STEP, centered=True).reshape(-1)
        step = np.linalg.solve(second, slope)
        if not np.linalg.eigvalsh(second)[0] > 0 or float(slope @ step) > FAR:
            return failed(p, len(codes), "the fit did not converge: it ends where there is no best")
        at = at - step
        theta = put(theta, places, at[:-1])
        best = profile(theta)
        own = covariance(at)
        slopes = numdiff.approx_fprime(
            at, lambda one: np.diag(covariance(one)), epsilon=STEP, centered=True
        ).reshape(p, len(at))  # fmt: skip
        spread = np.einsum("ij,jk,ik->i", slopes, 2 * np.linalg.inv(second), slopes)
    except np.linalg.LinAlgError as error:
        return failed(p, len(codes), f"the fit failed ({error})")
    residual = float(np.exp(at[-1] / 2))
    return Mixed(
        coefficients=back @ (start + best.coefficients), covariance=own,
        df=2 * np.diag(own) ** 2 / spread, deviations=theta * residual, residual=residual,
        criterion=best.deviance,
    )  # fmt: skip


def least(deviance: Callable[[Floats], float], *, size: int) -> Floats:
    """The relative deviations with the least deviance; 0 where they are not told from none.

    The deviance is even in each of them, so the search needs no bound at 0.
    """
    begin = np.ones(size)
    for place in (None, *range(size if size > 1 else 0)):
        tried = []
        for value in BEGIN:
            at = begin.copy()
            at[slice(None) if place is None else place] = value
            tried.append((deviance(at), at))
        begin = min(tried, key=lambda pair: pair[0])[1]
    found = optimize.minimize(
        lambda at: deviance(np.abs(at)), begin, method="BFGS", jac="3-point",
        options={"gtol": 1e-5},
    )  # fmt: skip
    theta: Floats = np.abs(found.x)
    for place in range(size):
        without = theta.copy()
        without[place] = 0.0
        if theta[place] < NONE or deviance(without) <= deviance(theta) + FLAT:
            theta = without
    return theta


def put(theta: Floats, places: npt.NDArray[np.intp], logs: Floats) -> Floats:
    """Relative deviations with those at `places` replaced by exp(logs)."""
    found = theta.copy()
    found[places] = np.exp(logs)
    return found


def failed(coefficients: int, terms: int, note: str) -> Mixed:
    """No numbers, and why."""
    none = np.full(coefficients, np.nan)
    return Mixed(
        coefficients=none, covariance=np.full((coefficients, coefficients), np.nan), df=none,
        deviations=np.full(terms, np.nan), residual=np.nan, criterion=np.nan, note=note,
    )  # fmt: skip

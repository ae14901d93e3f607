"""Regressions of a 0/1 outcome over items of several languages, and why one is not shown.

Two that answer one question under different assumptions: a linear probability model with a random
intercept per language, and a logistic regression with a fixed one. A fit that is singular,
separated or not converged is a sentence and never a number.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from statsmodels.tools.sm_exceptions import PerfectSeparationError

Floats = npt.NDArray[np.float64]

FEWEST = 10
# A language's part of the variance below which there is none to estimate.
NO_VARIANCE = 1e-5
# On the scale of log odds per standard deviation: far beyond any that data can tell from infinity.
SEPARATED = 15.0


class Term(NamedTuple):
    """A coefficient with its 95 % interval and two-sided p."""

    term: str
    coefficient: float
    low: float
    high: float
    p: float


class Fit(NamedTuple):
    """What was fitted: terms, items and languages; without terms `note` says why."""

    terms: tuple[Term, ...]
    n: int
    languages: int
    note: str


def standardised(values: Floats) -> Floats | None:
    """Values less their mean, in standard deviations; None where they do not vary."""
    known = np.asarray(values, float)
    if len(known) < 2 or not np.isfinite(known).all():
        return None
    spread = float(known.std(ddof=1))
    if not spread > 1e-9 * max(1.0, float(np.abs(known).max())):
        return None
    found: Floats = (known - known.mean()) / spread
    return found


def mixed(frame: pd.DataFrame, *, outcome: str, terms: Sequence[str], groups: str) -> Fit:
    """A linear probability model with a random intercept per group, by restricted likelihood.

    Coefficients are percentage points of the outcome per unit of a term.
    """
    n, count = len(frame), frame[groups].nunique()
    reason = _too_little(frame, outcome=outcome, terms=terms)
    if not reason and count < 2:
        reason = "there is one language, and a random intercept needs several"
    if reason:
        return Fit((), n, count, reason)
    design = sm.add_constant(frame[list(terms)].to_numpy(float), has_constant="add")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Fit((), n, count, "the covariates determine one another")
    y = frame[outcome].to_numpy(float)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # L-BFGS ends in a singular fit that it takes for the best one.
            model = sm.MixedLM(y, design, groups=frame[groups].to_numpy())
            fit = model.fit(reml=True, method=["bfgs", "powell"])
            between, errors = float(np.asarray(fit.cov_re)[0, 0]), np.asarray(fit.bse_fe, float)
    except (np.linalg.LinAlgError, ValueError) as error:
        return Fit((), n, count, f"the fit failed ({error})")
    if not fit.converged or not np.isfinite(errors).all():
        return Fit((), n, count, "the fit did not converge")
    if between < NO_VARIANCE * float(fit.scale):
        return Fit((), n, count, "the fit is singular: no variance between languages is left")
    return Fit(_terms(terms, 100 * np.asarray(fit.fe_params, float), 100 * errors), n, count, "")


def logistic(
    frame: pd.DataFrame, *, outcome: str, terms: Sequence[str], effects: str, clusters: str
) -> Fit:
    """A logistic regression with a fixed intercept per `effects` and errors that allow for items
    of one cluster being alike.

    Coefficients are log odds per unit of a term. A group whose outcomes are all alike says nothing
    here and is left out.
    """
    varies = frame.groupby(effects)[outcome].transform("nunique") > 1
    held = frame[varies]
    n, count = len(held), held[effects].nunique()
    reason = _too_little(held, outcome=outcome, terms=terms)
    if reason:
        return Fit((), n, count, reason)
    dummies = pd.get_dummies(held[effects], dtype=float)
    design = np.column_stack([held[list(terms)].to_numpy(float), dummies.to_numpy(float)])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Fit((), n, count, "the covariates determine one another")
    codes = held[clusters].astype("category").cat.codes.to_numpy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.Logit(held[outcome].to_numpy(float), design).fit(
                disp=False, maxiter=100, cov_type="cluster", cov_kwds={"groups": codes}
            )
    except (np.linalg.LinAlgError, PerfectSeparationError) as error:
        return Fit((), n, count, f"the fit failed ({error})")
    coefficients, errors = np.asarray(fit.params, float), np.asarray(fit.bse, float)
    if not fit.mle_retvals["converged"] or not np.isfinite(errors).all():
        return Fit((), n, count, "the fit did not converge, as where the outcomes are separated")
    if float(np.abs(coefficients).max()) > SEPARATED:
        return Fit((), n, count, "the outcomes are separated by the covariates")
    size = len(terms)
    return Fit(_terms(terms, coefficients[:size], errors[:size], first=0), n, count, "")


def _too_little(frame: pd.DataFrame, *, outcome: str, terms: Sequence[str]) -> str:
    """Why nothing can be fitted; empty where it can."""
    if not terms:
        return "no covariate varies"
    right = int(frame[outcome].sum())
    wrong = len(frame) - right
    if min(right, wrong) < FEWEST * len(terms):
        return (
            f"{wrong} wrong and {right} right answers are too few for {len(terms)} covariates "
            f"({FEWEST} of each per covariate are needed)"
        )
    return ""


def _terms(
    names: Sequence[str], coefficients: Floats, errors: Floats, *, first: int = 1
) -> tuple[Term, ...]:
    """Named coefficients with normal intervals; `first` skips the constant."""
    found = []
    for place, name in enumerate(names, first):
        value, error = float(coefficients[place]), float(errors[place])
        half = float(stats.norm.ppf(0.975)) * error
        p = float(2 * stats.norm.sf(abs(value / error))) if error else float("nan")
        found.append(Term(name, value, value - half, value + half, p))
    return tuple(found)

"""Regressions of a 0/1 outcome over items of several languages, and why one is not shown.

Two that answer one question under different assumptions: a linear probability model with a random
intercept per language, and a logistic regression with a fixed one. A fit that is singular,
separated or not converged is a sentence and never a number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.statistics import linear, sandwich
from analysis.statistics import mixed as random_intercepts

Floats = npt.NDArray[np.float64]

FEWEST = 10
# A language's part of the variance below which there is none to estimate.
NO_VARIANCE = 1e-5


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
    design = np.column_stack([np.ones(n), frame[list(terms)].to_numpy(float)])
    if linear.dependent(design).any():
        return Fit((), n, count, "the covariates determine one another")
    found = random_intercepts.fit(
        100 * frame[outcome].to_numpy(float), design=design, codes=[pd.factorize(frame[groups])[0]]
    )
    if found.note:
        return Fit((), n, count, found.note)
    if found.deviations[0] ** 2 < NO_VARIANCE * found.residual**2:
        return Fit((), n, count, "the fit is singular: no variance between languages is left")
    errors = np.sqrt(np.diag(found.covariance))
    return Fit(_terms(terms, found.coefficients[1:], errors[1:]), n, count, "")


def logistic(
    frame: pd.DataFrame, *, outcome: str, terms: Sequence[str], effects: str, clusters: str
) -> Fit:
    """A logistic regression with a fixed intercept per `effects` and errors that allow for items
    of one cluster being alike.

    Coefficients are log odds per unit of a term. A group whose outcomes are all alike says nothing
    here and is left out.
    """
    y = frame[outcome].to_numpy(float)
    held = frame[linear.varying(y, [pd.factorize(frame[effects])[0]])]
    n, count = len(held), held[effects].nunique()
    reason = _too_little(held, outcome=outcome, terms=terms)
    if reason:
        return Fit((), n, count, reason)
    design, absorbed = held[list(terms)].to_numpy(float), [pd.factorize(held[effects])[0]]
    if linear.dependent(linear.within(design, absorbed), of=design).any():
        return Fit((), n, count, "the covariates determine one another")
    found = linear.logistic(held[outcome].to_numpy(float), design=design, absorbed=absorbed)
    if found.note:
        return Fit((), n, count, found.note)
    covariance = sandwich.clustered(found, pd.factorize(held[clusters])[0], nested=False).covariance
    return Fit(_terms(terms, found.coefficients, np.sqrt(np.diag(covariance))), n, count, "")


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


def _terms(names: Sequence[str], coefficients: Floats, errors: Floats) -> tuple[Term, ...]:
    """Named coefficients with normal intervals."""
    found = []
    for name, value, error in zip(names, coefficients.tolist(), errors.tolist(), strict=True):
        half = float(stats.norm.ppf(0.975)) * error
        p = float(2 * stats.norm.sf(abs(value / error))) if error else float("nan")
        found.append(Term(name, value, value - half, value + half, p))
    return tuple(found)

"""Least squares and logistic regression without random terms, levels of factors absorbed.

Absorbing a factor is the same as a constant per level: covariates and outcome are taken within
levels, weighted by the current fit where it is logistic (Correia et al. 2020,
doi 10.1177/1536867X20909691). Errors are in analysis/statistics/sandwich.py.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse, special
from scipy.linalg import qr

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

# Alternating over absorbed factors ends when no value moves by more, in units of its column.
MOVED = 1e-10
# A model-based error over a covariate's whole range, in log odds, that only separation has: where
# the likelihood has a maximum it is a few units, and where it rises for ever it is thousands.
SEPARATED = 100.0
STEPS = 50
# Relative to its size: a column below it is rounding.
NO_SPREAD = 1e-9


class Plain(NamedTuple):
    """A fit with p coefficients to n rows.

    `design` [n, p] and `levels`, by row the share of its level's weight that it holds in the one
    absorbed factor (0 without one), give leverages; `residuals` are outcomes less what is fitted,
    `weights` the relative variances of outcomes, `bread` is (X'W X)^-1 and `predictor` what is
    fitted, levels included: outcomes, or log odds. `lost` are the constants and coefficients that
    were fitted, `df` the degrees of freedom that are left, infinite for 0/1 outcomes.
    A fit that failed has a `note` that says why.
    """

    coefficients: Floats
    design: Floats
    residuals: Floats
    weights: Floats
    bread: Floats
    levels: Floats
    predictor: Floats
    lost: int
    df: float
    absorbed: int
    note: str = ""


def least_squares(y: Floats, *, design: Floats, absorbed: Sequence[Ints] = ()) -> Plain:
    """Ordinary least squares of y [n] on design [n, p], of full rank within absorbed levels."""
    columns = within(np.column_stack([design, y]), absorbed)
    own, left = columns[:, :-1], columns[:, -1]
    base, turn = np.linalg.qr(own)
    back = np.linalg.inv(turn)
    found = back @ (base.T @ left)
    lost, residuals = own.shape[1] + rank(absorbed), left - own @ found
    return Plain(
        coefficients=found, design=own, residuals=residuals, weights=np.ones(len(y)),
        bread=back @ back.T, levels=_levels(absorbed, np.ones(len(y))), predictor=y - residuals,
        lost=lost, df=float(len(y) - lost), absorbed=len(absorbed),
    )  # fmt: skip


def logistic(
    hits: Floats, *, design: Floats, trials: Floats | None = None, absorbed: Sequence[Ints] = ()
) -> Plain:
    """Logistic regression by iterated weighted least squares.

    Args:
        hits: by row how many of its trials are 1, 0 or 1 itself without `trials`.
        design: [n, p], of full rank within absorbed levels.
        trials: by row how many there are.
        absorbed: by factor the level of each row; each level has both outcomes.
    """
    trials = np.ones(len(hits)) if trials is None else trials
    share = (hits + 0.5 * trials) / (2 * trials)
    log_odds, before = special.logit(share), inf
    note = "the fit did not converge, as where the outcomes are separated"
    for _ in range(STEPS):
        share = special.expit(log_odds)
        weights = np.maximum(trials * share * (1 - share), 1e-12)
        working = log_odds + (hits - trials * share) / weights
        columns = within(np.column_stack([design, working]), absorbed, weights=weights)
        own, left = columns[:, :-1], columns[:, -1]
        root = np.sqrt(weights)
        base, turn = np.linalg.qr(root[:, None] * own)
        if own.shape[1] and np.abs(np.diag(turn)).min() < 1e-10 * np.abs(np.diag(turn)).max():
            note = "the outcomes are separated by the covariates"
            break
        back = np.linalg.inv(turn)
        found = back @ (base.T @ (root * left))
        log_odds = np.clip(working - left + own @ found, -40, 40)
        after = float(2 * (trials * np.logaddexp(0, log_odds) - hits * log_odds).sum())
        if abs(before - after) <= 1e-11 * (abs(after) + 1):
            note = ""
            break
        before = after
    share = special.expit(log_odds)
    errors = np.sqrt((back**2).sum(axis=1))
    if own.shape[1] and (errors * np.ptp(own, axis=0)).max() > SEPARATED:
        note = "the outcomes are separated by the covariates"
    return Plain(
        coefficients=found, design=own, residuals=hits - trials * share, weights=weights,
        bread=back @ back.T, levels=_levels(absorbed, weights), predictor=log_odds,
        lost=own.shape[1] + rank(absorbed), df=inf, absorbed=len(absorbed), note=note,
    )  # fmt: skip


def within(values: Floats, absorbed: Sequence[Ints], *, weights: Floats | None = None) -> Floats:
    """Columns of values [n, c] less their weighted means by level of every absorbed factor."""
    if not absorbed:
        return values
    found, scale = values.copy(), np.abs(values).max(axis=0) + 1e-300
    totals = [np.bincount(codes, weights) for codes in absorbed]
    moved = inf
    while moved > MOVED:
        moved = 0.0
        for codes, total in zip(absorbed, totals, strict=True):
            for place in range(values.shape[1]):
                held = found[:, place] if weights is None else weights * found[:, place]
                means = np.bincount(codes, held) / total
                found[:, place] -= means[codes]
                moved = max(moved, float(np.abs(means).max() / scale[place]))
        if len(absorbed) == 1:
            break
    return found


def varying(y: Floats, absorbed: Sequence[Ints]) -> npt.NDArray[np.bool_]:
    """Rows whose levels have both outcomes, once those of other levels are gone."""
    kept = np.ones(len(y), bool)
    while True:
        before = kept.copy()
        for codes in absorbed:
            hits, rows = np.bincount(codes, y * kept), np.bincount(codes, kept)
            kept &= ((hits > 0) & (hits < rows))[codes]
        if bool((kept == before).all()):
            return kept


def dependent(inner: Floats, *, of: Floats | None = None) -> npt.NDArray[np.bool_]:
    """Columns [n, p] that are nothing but rounding or follow from the others.

    `of` are the columns before levels were absorbed, which rounding is measured by.
    """
    sizes = np.linalg.norm(inner, axis=0)
    zero = sizes <= NO_SPREAD * np.linalg.norm(inner if of is None else of, axis=0)
    found: npt.NDArray[np.bool_] = np.array(zero)
    places = np.flatnonzero(~zero)
    if len(places):
        turn = np.linalg.qr(inner[:, places] / sizes[places], mode="r")
        pivots, order = qr(turn, mode="r", pivoting=True)
        left = np.abs(np.diag(pivots))
        found[places[order[: len(left)][left < NO_SPREAD * left[0]]]] = True
        found[places[order[len(left) :]]] = True
    return found


def rank(absorbed: Sequence[Ints]) -> int:
    """Constants that absorbed factors stand for; of three and more an upper bound."""
    if not absorbed:
        return 0
    first = absorbed[0]
    found = int(first.max()) + 1
    for codes in absorbed[1:]:
        sizes = int(first.max()) + 1, int(codes.max()) + 1
        places = (first, sizes[0] + codes)
        graph = sparse.coo_array((np.ones(len(first)), places), shape=(sum(sizes), sum(sizes)))
        found += sizes[1] - int(sparse.csgraph.connected_components(graph, directed=False)[0])
    return found


def _levels(absorbed: Sequence[Ints], weights: Floats) -> Floats:
    """The share of its level's weight that each row holds, of a single absorbed factor."""
    if len(absorbed) != 1:
        return np.zeros(len(weights))
    found: Floats = weights / np.bincount(absorbed[0], weights)[absorbed[0]]
    return found

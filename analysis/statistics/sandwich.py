"""Errors of coefficients that do not trust the model's own variance: HC3, and clusters.

Sources: HC3 of MacKinnon and White (1985, doi 10.1016/0304-4076(85)90158-7). Errors by cluster are
CR2 with the degrees of freedom of Bell and McCaffrey (2002), as in Pustejovsky and Tipton (2018,
doi 10.1080/07350015.2016.1247004); where absorbed levels run across clusters they are those of
Liang and Zeger (1986) with the usual factor and G - 1 degrees of freedom, as in Stata.
"""

from typing import NamedTuple

import numpy as np

from analysis.statistics.linear import Floats, Ints, Plain

# A direction in which a cluster alone decides has no residual to learn a variance from.
DECIDED = 1e-8


class Errors(NamedTuple):
    """The covariance of coefficients [p, p], degrees of freedom of each [p], and its name."""

    covariance: Floats
    df: Floats
    named: str


def classical(fit: Plain) -> Errors:
    """Those of the model itself: one variance for all rows, or that of 0/1 outcomes."""
    scale = float(fit.residuals @ fit.residuals) / fit.df if np.isfinite(fit.df) else 1.0
    return Errors(scale * fit.bread, np.full(len(fit.bread), fit.df), "the model's own errors")


def robust(fit: Plain) -> Errors:
    """Rows with variances of their own: HC3, and HC1 where several factors are absorbed."""
    n, df = len(fit.residuals), np.full(len(fit.bread), fit.df)
    if fit.absorbed > 1:
        scores = fit.design * fit.residuals[:, None]
        factor = n / max(n - fit.lost, 1)
        return Errors(factor * fit.bread @ (scores.T @ scores) @ fit.bread, df, "HC1 errors")
    own = np.einsum("ij,jk,ik->i", fit.design, fit.bread, fit.design)
    left = 1 - fit.weights * own - fit.levels
    # A row that its level decides alone has no residual, and no say.
    kept = left > DECIDED
    ratio = np.divide(fit.residuals, left, out=np.zeros(n), where=kept)
    scores = fit.design * ratio[:, None]
    return Errors(fit.bread @ (scores.T @ scores) @ fit.bread, df, "HC3 errors")


def clustered(fit: Plain, clusters: Ints, *, nested: bool = True) -> Errors:
    """Rows of one cluster alike in any way.

    Args:
        fit: what was fitted.
        clusters: by row its cluster, from 0 up without gaps.
        nested: every absorbed level lies within one cluster.
    """
    size, count = len(fit.bread), int(clusters.max()) + 1
    # In units where X'W X is 1.
    root = np.linalg.cholesky(fit.bread)
    design = fit.design @ root
    scores = _by_cluster(design * fit.residuals[:, None], clusters, count)
    if not nested:
        n = len(fit.residuals)
        factor = count / (count - 1) * (n - 1) / max(n - fit.lost, 1)
        found = factor * root @ (scores.T @ scores) @ root.T
        return Errors(found, np.full(size, float(count - 1)), "cluster-robust errors (CR1)")
    parts = np.empty((count, size, size))
    for place in range(size):
        held = design * (fit.weights * design[:, place])[:, None]
        parts[:, place] = _by_cluster(held, clusters, count)
    shares, turns = np.linalg.eigh((parts + parts.transpose(0, 2, 1)) / 2)
    left = 1 - shares
    grown = np.where(left > DECIDED, np.maximum(left, DECIDED) ** -0.5, 0.0)
    turned = np.einsum("gji,gj->gi", turns, scores) * grown
    scores = np.einsum("gij,gj->gi", turns, turned)
    covariance = root @ (scores.T @ scores) @ root.T
    df = np.array(
        [_bell_mccaffrey(root[place], turns=turns, shares=shares, grown=grown)
         for place in range(size)]
    )  # fmt: skip
    return Errors(covariance, df, "cluster-robust errors (CR2)")


def _bell_mccaffrey(contrast: Floats, *, turns: Floats, shares: Floats, grown: Floats) -> float:
    """Degrees of freedom of one coefficient, were its rows independent and as the model says.

    With B the matrix of the variance as a form in residuals by cluster they are tr(B)^2 / tr(B B).
    """
    seen = np.einsum("gji,j->gi", turns, contrast)
    own = (grown**2 * shares * seen**2).sum(axis=1)
    across = np.einsum("gij,gj->gi", turns, grown * shares * seen)
    squares = (across**2).sum(axis=1)
    trace = float((own - squares).sum())
    inner = across.T @ across
    double = float((own**2 - 2 * own * squares).sum() + (inner**2).sum())
    return trace**2 / double if double > 0 else float("nan")


def _by_cluster(values: Floats, clusters: Ints, count: int) -> Floats:
    """Sums of values [n, c] by cluster [count, c]."""
    return np.column_stack([np.bincount(clusters, column, minlength=count) for column in values.T])

"""One regression: the model that a formula asks for, its numbers, and what is said of them."""

from collections.abc import Sequence
from itertools import combinations
from math import pi
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from analysis.questions.design import CONSTANT, Design
from analysis.questions.grouped import Factor
from analysis.statistics import laplace, linear, mixed, sandwich
from analysis.statistics.linear import NO_SPREAD

Floats = npt.NDArray[np.float64]

Outcome = Literal["gaussian", "binary"]
Errors = Literal["robust", "cluster", "classical"]

# Levels of a random term, or clusters, below which nothing is fitted.
FEWEST = 3
# The variance of a standard logistic variable, that of 0/1 outcomes on the scale of log odds.
LOGISTIC = pi**2 / 3
# How much a deviation of intercepts flattens shares (Zeger et al. 1988, doi 10.2307/2531734).
FLATTENS = (16 * 3**0.5 / (15 * pi)) ** 2


class Fitted(NamedTuple):
    """A regression with p terms; NaN is a number that there is not, with a reason in `notes`.

    `notes` [p] are those of single terms, `said` those of all. `between` [p] are the random terms
    that a term does not vary within. `deviations` by random term and the `residual` of rows are on
    the scale of coefficients, `marginal` and `conditional` are R squared without and with levels
    (Nakagawa et al. 2017, doi 10.1098/rsif.2017.0213). `slope` turns log odds into shares on
    average over rows, NaN for other outcomes. `reason` says why nothing was fitted.
    """

    coefficients: Floats
    errors: Floats
    df: Floats
    notes: tuple[str, ...]
    said: tuple[str, ...]
    between: tuple[tuple[Factor, ...], ...]
    n: int
    test: str
    deviations: Floats
    residual: float
    marginal: float
    conditional: float
    slope: float
    reason: str = ""


class Model(NamedTuple):
    """What is to be fitted: the outcome's kind, the errors, and the factors of rows."""

    outcome: Outcome
    errors: Errors
    random: tuple[Factor, ...]
    absorbed: tuple[Factor, ...]
    clusters: Factor | None

    def at(self, rows: npt.NDArray[np.bool_]) -> "Model":
        """The model over some of the rows."""
        return self._replace(
            random=tuple(one.at(rows) for one in self.random),
            absorbed=tuple(one.at(rows) for one in self.absorbed),
            clusters=self.clusters.at(rows) if self.clusters else None,
        )


def fit(design: Design, model: Model) -> Fitted:
    """Fit a design; where nothing can be fitted every note says why."""
    y, matrix, said = design.outcome, design.matrix, []
    if not len(y):
        return _nothing(design, model, reason="no row has all values", said=[], n=0)
    if model.absorbed and model.outcome == "binary":
        varies = linear.varying(y, [one.levels for one in model.absorbed])
        if not varies.all():
            lost = [one.size - one.at(varies).size for one in model.absorbed]
            named = " and ".join(
                f"{count} of {one.name}"
                for count, one in zip(lost, model.absorbed, strict=True) if count
            )  # fmt: skip
            said.append(
                f"{int((~varies).sum())} rows left out whose level has one outcome only ({named})"
            )
            y, matrix, model = y[varies], matrix[varies], model.at(varies)
    levels = [one.levels for one in model.absorbed]
    inner = linear.within(matrix, levels) if len(y) else matrix
    notes = [_flat(inner[:, place], matrix[:, place], design.terms[place], model)
             for place in range(len(design.terms))]  # fmt: skip
    used = np.array([not note for note in notes], bool)
    reason = _hopeless(y, inner[:, used], np.array(design.terms)[used], model)
    if reason:
        return _nothing(design, model, reason=reason, said=said, n=len(y))
    between = tuple(tuple(one for one in model.random if one.holds(column)) for column in matrix.T)
    run = _mixed if model.random else _plain
    found = run(
        y, matrix[:, used], model, [one for one, use in zip(between, used, strict=True) if use]
    )
    if isinstance(found, str):
        return _nothing(design, model, reason=found, said=said, n=len(y))
    whole = np.full((3, len(used)), np.nan)
    whole[:, used] = found.coefficients, found.errors, found.df
    for place, note in zip(np.flatnonzero(used), found.notes, strict=True):
        notes[place] = note
    return found._replace(
        coefficients=whole[0], errors=whole[1], df=whole[2], notes=tuple(notes),
        said=(*said, *found.said), between=between,
    )  # fmt: skip


def _plain(
    y: Floats, matrix: Floats, model: Model, between: Sequence[tuple[Factor, ...]]
) -> Fitted | str:
    """Without random terms; a sentence where it fails."""
    levels = [one.levels for one in model.absorbed]
    binary = model.outcome == "binary"
    found = (linear.logistic if binary else linear.least_squares)(y, design=matrix, absorbed=levels)
    if found.note:
        return found.note
    if not binary and not (found.residuals**2).sum() > NO_SPREAD**2 * float(y @ y):
        return "the terms explain every row exactly: nothing is left to learn errors from"
    clusters = model.clusters
    if clusters:
        nested = all(one.holds(clusters.levels.astype(float)) for one in model.absorbed)
        errors = sandwich.clustered(found, clusters.levels, nested=nested)
    else:
        errors = (sandwich.robust if model.errors == "robust" else sandwich.classical)(found)
    variances = np.diag(errors.covariance)
    notes = ["" if good else "its error is 0 or not defined: a few rows decide it alone"
             for good in variances > 0]  # fmt: skip
    rest = LOGISTIC if binary else float(found.residuals @ found.residuals) / len(y)
    fixed, whole = (
        float(one.var()) for one in (found.design @ found.coefficients, found.predictor)
    )
    shares = special.expit(found.predictor) if binary else np.full(1, np.nan)
    named = "logistic regression" if binary else "least squares"
    reference = "z" if np.isinf(errors.df).all() else "t"
    if levels:
        named += " within levels of " + " and ".join(one.name for one in model.absorbed)
    return Fitted(
        coefficients=found.coefficients, errors=np.sqrt(np.where(variances > 0, variances, np.nan)),
        df=errors.df, notes=tuple(notes), said=(), between=tuple(between), n=len(y),
        test=f"{named}, {errors.named}, {reference}", deviations=np.zeros(0), residual=rest**0.5,
        marginal=fixed / (fixed + rest), conditional=whole / (whole + rest),
        slope=float((shares * (1 - shares)).mean()),
    )  # fmt: skip


def _mixed(
    y: Floats, matrix: Floats, model: Model, between: Sequence[tuple[Factor, ...]]
) -> Fitted | str:
    """With random intercepts; a sentence where it fails."""
    binary, codes = model.outcome == "binary", [one.levels for one in model.random]
    if binary:
        hits, trials, cells, groups = cells_of(y, matrix, codes)
        found = laplace.fit(hits, trials=trials, design=cells, codes=groups)
    else:
        found = mixed.fit(y, design=matrix, codes=codes)
    if found.note:
        return found.note
    singular = [one.name for one, value in zip(model.random, found.deviations, strict=True)
                if not value]  # fmt: skip
    df, notes, enlarged = found.df.copy(), [""] * len(between), np.ones(len(between))
    for one in model.random:
        # Terms that do not vary within levels have as many observations as there are levels.
        own = [place for place, factors in enumerate(between) if one in factors]
        left = one.size - int(np.linalg.matrix_rank(matrix[one.first][:, own]))
        for place in own:
            if left < 1:
                notes[place] = f"its terms are as many as the {one.size} levels of {one.name}"
                df[place] = np.nan
            elif binary or one.name in singular:
                df[place] = min(df[place], left)
            if binary and left > 0 and one.name not in singular:
                # Maximum likelihood takes the variance between levels for smaller than it is.
                enlarged[place] = max(enlarged[place], (one.size / left) ** 0.5)
    errors = enlarged * np.where(np.isnan(df), np.nan, np.sqrt(np.diag(found.covariance)))
    said = [f"no variance between levels of {name} is left to estimate (a singular fit)"
            for name in singular]  # fmt: skip
    rest, levels = (LOGISTIC if binary else found.residual**2), float((found.deviations**2).sum())
    fixed = matrix @ found.coefficients
    total = float(fixed.var(ddof=1)) + levels + rest
    flat = 1 / (1 + FLATTENS * levels) ** 0.5
    shares = special.expit(flat * fixed) if binary else np.full(1, np.nan)
    return Fitted(
        coefficients=found.coefficients, errors=errors, df=df, notes=tuple(notes), said=tuple(said),
        between=tuple(between), n=len(y),
        test="logistic mixed model (Laplace approximation), t with degrees of freedom between "
        "levels, else z" if binary else "linear mixed model (REML), t with Satterthwaite's degrees "
        "of freedom",
        deviations=found.deviations, residual=rest**0.5,
        marginal=float(fixed.var(ddof=1)) / total, conditional=1 - rest / total,
        slope=float(flat * (shares * (1 - shares)).mean()),
    )  # fmt: skip


def cells_of(
    y: Floats, matrix: Floats, codes: Sequence[npt.NDArray[np.intp]]
) -> tuple[Floats, Floats, Floats, list[npt.NDArray[np.intp]]]:
    """Rows that no term and no level tells apart counted together: hits, trials, terms, levels."""
    key = np.zeros(len(y), np.intp)
    for column in (*codes, *matrix.T):
        own = pd.factorize(column)[0]
        key = pd.factorize(key * (int(own.max()) + 1) + own)[0].astype(np.intp)
    first = np.zeros(int(key.max()) + 1, np.intp)
    first[key] = np.arange(len(key))
    return (
        np.bincount(key, y).astype(float), np.bincount(key).astype(float), matrix[first],
        [one[first] for one in codes],
    )  # fmt: skip


def _flat(inner: Floats, column: Floats, term: str, model: Model) -> str:
    """Why a term says nothing; empty where it does."""
    scale = float(np.abs(column).max(initial=0.0))
    if term == CONSTANT:
        return "every level has a constant of its own" if model.absorbed else ""
    if len(column) and not np.ptp(column) > NO_SPREAD * scale:
        return "the term has the same value in every row"
    if model.absorbed and not float(np.abs(inner).max(initial=0.0)) > NO_SPREAD * scale:
        named = " and ".join(one.name for one in model.absorbed)
        return f"the term does not vary within levels of {named}, which are absorbed"
    return ""


def _hopeless(y: Floats, inner: Floats, terms: npt.NDArray[np.str_], model: Model) -> str:
    """Why nothing can be fitted; empty where it can."""
    if not len(y):
        return "no level has both outcomes"
    if np.ptp(y) <= NO_SPREAD * float(np.abs(y).max()):
        return "the outcome has the same value in every row"
    for one in (*model.random, *([model.clusters] if model.clusters else [])):
        needs = "errors by cluster need" if one is model.clusters else "a random intercept needs"
        if one.size < FEWEST:
            levels = "1 level" if one.size == 1 else f"{one.size} levels"
            return f"{one.name} has {levels}, and {needs} at least {FEWEST}"
    for one, two in combinations(model.random, 2):
        if one.holds(two.levels.astype(float)) and two.holds(one.levels.astype(float)):
            return f"{one.name} and {two.name} group the rows alike: leave one of them out"
    for one in model.random:
        if one.size == len(y):
            return f"every row is a level of {one.name} of its own: nothing tells it from the rest"
    lost = linear.rank([one.levels for one in model.absorbed])
    if len(y) <= inner.shape[1] + lost:
        return f"{len(y)} rows are too few for {inner.shape[1] + lost} coefficients"
    if not inner.shape[1]:
        return "no term varies"
    lacking = terms[linear.dependent(inner)]
    if len(lacking):
        named = ", ".join(lacking)
        return f"the terms determine one another: {named} follows from the others, leave it out"
    return ""


def _nothing(design: Design, model: Model, *, reason: str, said: Sequence[str], n: int) -> Fitted:
    """A regression without numbers."""
    none = np.full(len(design.terms), np.nan)
    return Fitted(
        coefficients=none, errors=none, df=none, notes=(reason,) * len(none), said=tuple(said),
        between=((),) * len(none), n=n, test="nothing was fitted",
        deviations=np.full(len(model.random), np.nan), residual=np.nan, reason=reason,
        marginal=np.nan, conditional=np.nan, slope=np.nan,
    )  # fmt: skip

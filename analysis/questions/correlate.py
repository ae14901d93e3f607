"""Do two columns go together over units such as languages, and which of two goes together more?"""

from collections.abc import Sequence

import pandas as pd

from analysis.questions.answer import Correction, answer, groups, require
from analysis.questions.coefficient import Asked, Interval, P, compared, correlation, refuse
from analysis.questions.observed import refuse_repeated
from analysis.statistics.association import Method


def correlate(
    rows: pd.DataFrame,
    x: str | Sequence[str],
    y: str,
    *,
    unit: Sequence[str] = ("language",),
    by: Sequence[str] = (),
    method: Method = "pearson",
    interval: Interval = "analytic",
    p: P = "auto",
    given: Sequence[str] = (),
    cluster: str | None = None,
    correction: Correction = "holm",
    seed: int = 0,
    draws: int = 9999,
) -> pd.DataFrame:
    """The correlation of x and y over units, with a 95 % interval and a two-sided p.

    Args:
        rows: one row per unit and group of `by`.
        x: a column of numbers, or several, each of which has rows of its own.
        y: a column of numbers.
        unit: the columns that together name one observation.
        by: columns that split the rows into separate questions.
        method: `pearson` for a straight line, `spearman` or `kendall` (tau-b) for any steady one.
        interval: `analytic` is Fisher's (1921) for r, Bonett and Wright's (2000) for rho, and that
            of Fieller, Hartley and Pearson (1957) for tau; `bootstrap` is Efron's BCa (1987).
        p: `analytic` is Student's t for r and rho, the normal approximation for tau; `exact` goes
            over all orders of y, of at most 8 units (for tau without ties of any number);
            `permutation` over random orders; `auto` is exact where that is possible, except of
            partial correlations, and analytic elsewhere.
        given: columns that are taken out of both (partial correlation; of rho, after ranking).
        cluster: a column such as `family` whose units are alike. Interval and p then come from
            leaving out one cluster after the other (jackknife; MacKinnon, Nielsen and Webb 2023),
            the bootstrap draws whole clusters and is Hall's symmetric bootstrap-t (1988), as BCa's
            is far too narrow there, and `permutation` shuffles within each cluster: its p is of
            the correlation within clusters.
        correction: how the p of all rows are corrected together.
        seed: of the draws.
        draws: how many of them.

    Returns:
        `by`, `x`, `y`, the columns of every answer (`estimate` is the coefficient, `n` the units),
        and `interval` (which it is), `t`, `df`; with a cluster `clusters`, their number.

    Raises:
        ValueError: a column is missing or holds what is no number, a unit repeats, there is no
            row, or what is asked for is not possible.

    Example:
        correlate(languages(run), ["nasca", "mexa"], "accuracy", by=("model",), cluster="family")
    """
    asked = Asked(method, interval, p, tuple(given), cluster, seed, draws, _called(unit))
    refuse(asked)
    several = [x] if isinstance(x, str) else list(x)
    _check(rows, [*several, y, *given], unit=unit, by=by, cluster=cluster)
    found = [
        {**place, "x": one, "y": y, **correlation(group, [one, y, *given], asked)}
        for one in several
        for place, group in groups(rows, by)
    ]
    return answer(found, asked=[*by, "x", "y"], correction=correction, extra=_extra(cluster))


def compare_correlations(
    rows: pd.DataFrame,
    first: str,
    second: str,
    y: str,
    *,
    y2: str | None = None,
    unit: Sequence[str] = ("language",),
    by: Sequence[str] = (),
    method: Method = "pearson",
    interval: Interval = "analytic",
    cluster: str | None = None,
    correction: Correction = "holm",
    seed: int = 0,
    draws: int = 9999,
) -> pd.DataFrame:
    """Does the first column correlate with y more than the second does, over the same units?

    Args:
        rows: one row per unit and group of `by`.
        first: a column of numbers.
        second: another one.
        y: the column that both are correlated with.
        y2: the column that the second is correlated with instead, such as another benchmark.
        unit: the columns that together name one observation.
        by: columns that split the rows into separate questions.
        method: `pearson`, `spearman` or `kendall` (tau-b).
        interval: `analytic` is Zou's (2007) of the difference, `bootstrap` as in `correlate`.
        cluster: a column such as `family` whose units are alike.
        correction: how the p of all rows are corrected together.
        seed: of the draws.
        draws: how many of them.

    Returns:
        `by`, `first`, `second`, `y` (and `y2`), the columns of every answer (`estimate` is the
        first coefficient less the second), `first_r`, `second_r`, `interval`, `t`, `df`; with a
        cluster `clusters`. The test of Pearson's r is that of Williams (1959) where both share y,
        and where they share nothing that of Steiger (1980, equation 15), whose `t` is normal and
        has no `df`. Of ranks these reject too often (11 % instead of 5 % at rho .85 with 11
        units), so there, and with a cluster, the difference of Fisher's z is tested by leaving out
        unit after unit, or cluster after cluster, which errs to the safe side where they are few.

    Raises:
        ValueError: as in `correlate`.

    Example:
        compare_correlations(languages(run), "nasca", "mexa", "accuracy", by=("model",))
    """
    asked = Asked(method, interval, "analytic", (), cluster, seed, draws, _called(unit))
    refuse(asked)
    names = [first, second, y, *([y2] if y2 else [])]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{', '.join(names)} are not all different: name two columns and what each is "
            "correlated with"
        )
    _check(rows, names, unit=unit, by=by, cluster=cluster)
    compares = {"first": first, "second": second, "y": y} | ({"y2": y2} if y2 else {})
    found = [
        {**place, **compares, **compared(group, first, second, y, y2, asked)}
        for place, group in groups(rows, by)
    ]
    extra = ["first_r", "second_r", *_extra(cluster)]
    return answer(found, asked=[*by, *compares], correction=correction, extra=extra)


def _called(unit: Sequence[str]) -> str:
    """What one observation is called."""
    return unit[0] if len(unit) == 1 else "unit"


def _extra(cluster: str | None) -> list[str]:
    """The columns of these answers alone."""
    return ["interval", "t", "df", *(["clusters"] if cluster else [])]


def _check(
    rows: pd.DataFrame,
    measured: Sequence[str],
    *,
    unit: Sequence[str],
    by: Sequence[str],
    cluster: str | None,
) -> None:
    """Refuse rows that cannot be asked."""
    require(rows, [*measured, *by, *unit, *([cluster] if cluster else [])], role="asked for")
    refuse_repeated(rows, unit, by=by, measured=measured)

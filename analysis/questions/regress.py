"""Regressions over tidy rows: does one thing go with another, what is alike being held alike?"""

from collections.abc import Sequence
from math import nan
from typing import get_args

import pandas as pd

from analysis.questions import lines, wording
from analysis.questions.answer import Correction, answer, groups, require
from analysis.questions.fitted import Errors, Outcome
from analysis.questions.formula import Asked, parse


def regress(
    rows: pd.DataFrame,
    formula: str,
    *,
    outcome: Outcome | None = None,
    errors: Errors | None = None,
    cluster: str | None = None,
    by: Sequence[str] = (),
    standardise: bool = True,
    correction: Correction = "holm",
) -> pd.DataFrame:
    """Fit a formula and say of each term what goes with it.

    Which errors: of linear mixed models restricted likelihood with Satterthwaite's degrees of
    freedom; of logistic ones Laplace's approximation, where terms that do not vary within levels
    have t with as many degrees of freedom as levels are left, and errors enlarged by the root of
    levels over levels left, as maximum likelihood understates their variance; by cluster CR2 with
    Bell and McCaffrey's degrees of freedom, as the usual ones find too much where clusters are few.
    Sources are in analysis/statistics/mixed.py, laplace.py and sandwich.py.

    A term that only varies between languages says as much as there are languages, however many
    items each has: give languages a random intercept, or name them as clusters. Where neither is
    done a note says so.

    Example:
        >>> regress(items, "correct ~ nasca + fertility + (1 | language) + (1 | model)")
        >>> regress(cells, "accuracy ~ nasca * fertility", cluster="language", by=["benchmark"])
        >>> regress(items, "correct ~ fertility | language + item", cluster="item")

    Args:
        rows: tidy rows, one per observation.
        formula: `outcome ~ terms`. Terms as in formulaic and R: `a + b`, `a * b`, `C(number)`,
            `np.log(tokens)`. `(1 | language)` is a random intercept, several are crossed,
            `(1 | model:language)` is one per pair, `(1 | family / language)` are nested ones.
            Factors behind a last `|` are absorbed: every level has a constant of its own.
        outcome: `binary` is a logistic regression in log odds, `gaussian` a linear one, of 0/1
            outcomes in percentage points. Without it what is all 0 and 1 is binary.
        errors: `robust` is HC3, rows having variances of their own; `cluster` is CR2, rows of one
            cluster being alike in any way; `classical` is the model's own. Without it `cluster`
            where one is named, the model's own with random terms, else `robust`.
        cluster: the column of clusters, or several that are crossed, `model:language`.
        by: columns that split the rows into separate regressions.
        standardise: numeric covariates in standard deviations, over the rows of each regression;
            what is 0 or 1, and a function with several columns, stays as it is.
        correction: how p-values of all terms of the call are corrected; constants are no question.

    Returns:
        A row per term (`part` is `fixed`), then one per random term and of the residual (`random`,
        its estimate a standard deviation), with the columns of `answer` and: `scale`, what the
        estimate is measured in; `error`, its standard error; `t` and `df`, infinite where t is
        compared with the normal distribution; `groups`, the levels of a random term, or the
        clusters or levels that a term is compared between; `icc`, the share of a random term in
        what the fixed ones leave; `r2_marginal` and `r2_conditional`, without and with what levels
        explain (Nakagawa et al. 2017; behind a last bar without what is absorbed, within levels);
        and `reading`, one sentence.

    Raises:
        ValueError: rows or columns are missing or hold what cannot be fitted, or the formula and
            the options contradict one another.
    """
    rows = rows.reset_index(drop=True)
    asked = parse(formula, list(rows.columns))
    clusters: list[str] = []
    if cluster:
        clusters = [cluster] if cluster in rows.columns else cluster.split(":")
    require(rows, [*by, *clusters, *asked.columns], role="the regression")
    errors = _errors(asked, errors=errors, cluster=cluster)
    if outcome not in (None, *get_args(Outcome)):
        raise ValueError(f"no outcome is called {outcome!r}; choose {_either(get_args(Outcome))}")
    found: list[dict[str, object]] = []
    said: list[str | wording.Line] = []
    for place, group in groups(rows, by):
        own = lines.of(
            group, asked, outcome=outcome, errors=errors, clusters=clusters, by=by,
            standardise=standardise,
        )  # fmt: skip
        found += [{**place, **row} for row, _ in own]
        said += [line for _, line in own]
    # The p of a constant answers no question and is not one of those that are corrected.
    table = answer(
        [row if row[lines.ASKS] else {**row, "p": nan} for row in found],
        asked=[*by, "part", "term"], correction=correction, extra=lines.EXTRA,
    )  # fmt: skip
    table = table.assign(p=pd.Series([row["p"] for row in found], dtype=float))
    p = table["p_corrected"].where(table["p_corrected"].notna(), table["p"])
    table["reading"] = [
        line if isinstance(line, str) else wording.reading(line, p=float(one))
        for line, one in zip(said, p, strict=True)
    ]
    return table


def _errors(asked: Asked, *, errors: Errors | None, cluster: str | None) -> Errors:
    """The kind of errors.

    Raises:
        ValueError: it is unknown, or contradicts the formula or the clusters.
    """
    if errors not in (None, *get_args(Errors)):
        raise ValueError(f"no errors are called {errors!r}; choose {_either(get_args(Errors))}")
    if asked.random and (cluster or errors in ("robust", "cluster")):
        raise ValueError(
            "the errors of a regression with random terms come from those terms: leave out errors "
            "and cluster, or the random terms"
        )
    if asked.random and asked.absorbed:
        raise ValueError("the formula has random terms and absorbed factors: choose one of them")
    if bool(cluster) != (errors == "cluster") and errors is not None:
        raise ValueError(
            "errors='cluster' needs cluster='COLUMN'" if not cluster else
            f"cluster={cluster!r} is for errors='cluster', not for {errors!r}"
        )  # fmt: skip
    if errors:
        return errors
    return "cluster" if cluster else "classical" if asked.random else "robust"


def _either(names: Sequence[str]) -> str:
    """Names to choose from."""
    return " or ".join(names)

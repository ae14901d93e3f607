"""The table that every question is answered with: the same columns, whichever test was asked for.

A number that is missing stands beside its reason. All p-values of a table are corrected together,
for as many tests as the table has.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from typing import Literal, get_args

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

Correction = Literal["holm", "benjamini-hochberg", "none"]
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
METHODS = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}
# In every answer, behind the columns that say what was asked.
ANSWER = (
    "estimate",
    "low",
    "high",
    "p",
    "p_corrected",
    "correction",
    "n",
    "test",
    "assumes",
    "note",
)


def answer(
    rows: Sequence[Mapping[str, object]],
    *,
    asked: Sequence[str],
    correction: Correction = "holm",
    extra: Sequence[str] = (),
) -> pd.DataFrame:
    """The table of some answers, their p-values corrected together.

    Args:
        rows: one mapping per answer with `estimate`, `low`, `high`, `p`, `n`, `test`, `assumes`;
            a missing number is NaN, and `note` says why.
        asked: columns in front that say what was asked, such as the model.
        correction: how p-values are corrected; `none` leaves them as they are.
        extra: columns of this test alone, such as `t` and `df`, between `p_corrected` and `n`.

    Returns:
        `asked`, then the columns of `ANSWER`, then `extra`.
    """
    named = [*asked, *(name for name in ANSWER if name not in ("p_corrected", "correction"))]
    frame = pd.DataFrame([dict(row) for row in rows], columns=[*named, *extra])
    for name in ("estimate", "low", "high", "p"):
        frame[name] = frame[name].astype(float)
    frame["note"] = frame["note"].fillna("")
    for row in frame[["estimate", "low", "high", "p", "note"]].itertuples(index=False):
        lacking = any(isnan(value) for value in row[:4])
        assert row.note or not lacking, "a number is missing and nothing says why"
    return correct(frame, correction=correction)[[*asked, *ANSWER, *extra]]


def correct(table: pd.DataFrame, *, correction: Correction = "holm", p: str = "p") -> pd.DataFrame:
    """The table with `p_corrected` and `correction`, over all of its p-values at once.

    Tables of several questions that belong together are put under each other first
    (`pandas.concat`): what was looked at together is corrected together.

    Args:
        table: rows with a column of p-values, NaN where there is none; nothing else is read.
        correction: `holm`, the step-down method of Holm (1979), which holds the chance of any
            false find; `benjamini-hochberg`, which holds the share of false finds; or `none`.
        p: the column of p-values.

    Raises:
        ValueError: the column is missing, holds what is no p-value, or the correction is unknown.
    """
    if correction not in CORRECTIONS:
        raise ValueError(
            f"no correction is called {correction!r}; choose one of {', '.join(CORRECTIONS)}"
        )
    require(table, [p], role="p-values")
    values = table[p].to_numpy(float)
    known = ~np.isnan(values)
    if ((values[known] < 0) | (values[known] > 1)).any():
        worst = values[known][(values[known] < 0) | (values[known] > 1)][0]
        raise ValueError(f"{p} holds {worst:g}, and a p-value lies from 0 to 1: name its column")
    corrected = np.full(len(values), nan)
    if known.any():
        corrected[known] = values[known]
        if correction != "none":
            corrected[known] = multipletests(values[known], method=METHODS[correction])[1]
    tests = int(known.sum())
    named = "none" if correction == "none" else f"{correction} over {tests}"
    return table.assign(p_corrected=corrected, correction=named)


def require(rows: pd.DataFrame, columns: Sequence[str], *, role: str) -> None:
    """Refuse rows that lack a column or are none at all.

    Raises:
        ValueError: the rows are empty or lack columns; `role` says what they are read as.
    """
    missing = [name for name in dict.fromkeys(columns) if name not in rows.columns]
    if missing:
        raise ValueError(
            f"the rows have no column {', '.join(missing)} ({role}); they have "
            f"{', '.join(map(str, rows.columns)) or 'none'}"
        )
    if rows.empty:
        raise ValueError(f"there are no rows: nothing is known of {', '.join(columns)} ({role})")


def groups(
    rows: pd.DataFrame, by: Sequence[str]
) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """The rows of each question: the values of `by` with their rows, missing values a group too."""
    if not by:
        yield {}, rows
        return
    for values, group in rows.groupby(list(by), sort=True, dropna=False, observed=True):
        yield dict(zip(by, values, strict=True)), group

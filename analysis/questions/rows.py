"""The rows of a question: those of runs as tidy frames, or a table of one's own.

Items know the scores of their language, so that one formula may name both.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis.questions.covariates import NOTES, note
from analysis.questions.foreign import read
from analysis.questions.tidy import cells, items, languages

Of = Literal["items", "cells", "languages"]
TABLES = (".csv", ".tsv", ".parquet")
# What an item shares with the rows of its language.
PLACE = ["model", "revision", "benchmark", "prompt", "language"]
# Conditions of alignment, of which a language may have several rows.
CONDITIONS = ["pooling", "dataset", "pairs", "pivot", "switches"]
POOLING = "weighted"
UNITS: dict[Of, tuple[str, ...]] = {
    "items": ("language", "item"), "cells": ("language",), "languages": ("language",),
}  # fmt: skip


def rows_of(
    named: Sequence[Path | str],
    *,
    of: Of = "items",
    steered: bool = False,
    needed: Sequence[str] = (),
    where: str = "",
) -> pd.DataFrame:
    """The rows of runs, or of one table of one's own (.csv, .tsv, .parquet, a folder of them).

    Args:
        named: runs (folders or s3:// addresses), or one file.
        of: what a row of runs is.
        steered: also answers under an intervention.
        needed: columns that a question names. Items take those that they lack from the rows of
            their language: scores in the pooling `weighted`, `fertility`, ...
        where: which rows to keep, as `pandas.DataFrame.query` takes it.

    Raises:
        ValueError: a run or file is missing or damaged, a language has several rows that could be
            meant, `where` cannot be read, or no row is left.
    """
    if any(str(one).endswith(TABLES) for one in named):
        if len(named) > 1:
            raise ValueError(
                f"{len(named)} tables were named, and rows are read from one: put their rows "
                "below one another, or name runs"
            )
        found = read(named[0])
    elif of == "items":
        found = items(named, steered=steered)
        if missing := [name for name in dict.fromkeys(needed) if name not in found.columns]:
            found = with_scores(found, languages(named), columns=missing)
    elif of == "cells":
        found = cells(named, steered=steered)
    else:
        found = languages(named)
    return _kept(found, where)


def with_scores(
    found: pd.DataFrame, scores: pd.DataFrame, *, columns: Sequence[str]
) -> pd.DataFrame:
    """Items with some columns of their language's rows; a name that neither has is left to whoever
    asks for it.

    Args:
        found: rows of `items`.
        scores: rows of `languages`.
        columns: which columns to add.

    Raises:
        ValueError: a language has several rows, of other poolings or pivots for example.
    """
    wanted = [name for name in columns if name in scores.columns]
    if not wanted:
        return found
    notes = list(scores.attrs.get(NOTES, ()))
    if "pooling" in scores.columns and (scores["pooling"] == POOLING).any():
        if scores["pooling"].nunique() > 1:
            notes.append(f"of several poolings the scores are those of {POOLING}")
        scores = scores[scores["pooling"] == POOLING]
    known = scores[[*PLACE, *wanted]].dropna(subset=wanted, how="all").drop_duplicates()
    if known.duplicated(PLACE).any():
        several = [
            name
            for name in CONDITIONS
            if name in scores.columns and scores[name].nunique(dropna=False) > 1
        ]
        raise ValueError(
            f"{', '.join(wanted)} of a language take several values, as {', '.join(several)} vary: "
            "name runs in which they do not, or ask of languages instead of items"
        )
    keyed = known.set_index(PLACE)
    places = pd.MultiIndex.from_frame(found[PLACE].astype(str))
    at = keyed.index.get_indexer(places)
    added = {
        name: keyed[name].reindex(keyed.index[at]).to_numpy() if len(keyed) else pd.NA
        for name in wanted
    }
    for name, values in added.items():
        found = found.assign(**{name: pd.Series(values, index=found.index).where(at >= 0)})
    note(found, *notes)
    return found


def words(formula: str) -> list[str]:
    """Everything in a formula that may be a column's name."""
    return list(dict.fromkeys(re.findall(r"[A-Za-z_]\w*", formula)))


def apart(found: pd.DataFrame, *, without: Sequence[str]) -> list[str]:
    """The coordinates of rows of runs that take several values: questions apart."""
    names = ("model", "revision", "benchmark", "prompt", "metric", "dataset", "pairs", "pooling")
    more = ("intervention", "layer", "coefficient", "seed", "switches")
    return [
        name
        for name in (*names, *more)
        if name in found.columns and name not in without and found[name].nunique(dropna=False) > 1
    ]


def _kept(found: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows that a condition keeps."""
    if not where:
        return found
    try:
        kept = found.query(where)
    except Exception as error:  # whatever pandas makes of a text
        raise ValueError(
            f"--where {where!r} cannot be read ({str(error).splitlines()[0]}): write it as "
            "\"benchmark == 'xnli' and coefficient > 0\"; the columns are "
            f"{', '.join(map(str, found.columns))}"
        ) from error
    if not isinstance(kept, pd.DataFrame) or kept.empty:
        raise ValueError(f"--where {where!r} keeps none of {len(found)} rows: loosen it")
    return kept

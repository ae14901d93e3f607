"""The checks of single scores: chance, resampled sentences, halves, duplicates, hubs, length.

The table `robustness` has a row per layer and language; each check becomes one row per model and
measure: its mean, beside the score where that is comparable.
"""

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd

from analysis.layout import tables
from analysis.layout.exhibit import Note, Show, Table
from analysis.layout.material import Material, last
from analysis.layout.prose import shared, span
from analysis.statistics import correlate, scores
from analysis.statistics.intervals import wilson

NONE = "The scores themselves were not checked (--part robustness)."
CHECKS = ("permutation", "bootstrap", "halves", "distinct", "hubness", "csls", "length_matched",
          "length_random")  # fmt: skip
# What stands beside the value of the two checks of length, as `lengths` calls it.
LENGTH = {"length_matched": "gap", "length_random": "lower"}
SERIES = ["label", "measure", "pooling"]
KEY = [*scores.SERIES, "language", "layer"]
MOST_ROWS = 24


def _rows(material: Material) -> pd.DataFrame:
    """The checks of every model's last state."""
    rows = last(material.rows.robustness)
    return rows if rows.empty else tables.with_label(scores.with_short_switches(rows))


def by_series(material: Material) -> pd.DataFrame:
    """One row per series and check."""
    rows = material.get(_rows)
    if rows.empty:
        return rows
    conditions = tables.several(rows, scores.CONDITIONS)
    plain = rows[rows["check"] == "bootstrap"][[*KEY, "value"]].rename(columns={"value": "score"})
    found = []
    for names, group in rows.groupby([*SERIES, *conditions], sort=True):
        place = dict(zip([*SERIES, *conditions], names, strict=True))
        joined = group.merge(plain, how="left", on=KEY)
        for check in CHECKS:
            row = _check(check, joined)
            if row is not None:
                found.append({**place, **row})
    return tables.in_order(pd.DataFrame(found))


def _check(check: str, rows: pd.DataFrame) -> dict[str, object] | None:
    """One check of one series: value, the score beside it, and one number more."""
    if check == "halves":
        wide = rows[rows["check"].isin(["half_1", "half_2"])].pivot_table(
            index=["language", "layer"], columns="check", values="value"
        )
        if wide.shape[1] < 2:
            return None
        both = wide.groupby("language").mean()
        r = correlate.pearson(both["half_1"].to_numpy(float), y=both["half_2"].to_numpy(float)).r
        gap = float((wide["half_1"] - wide["half_2"]).abs().mean())
        return {"check": check, "value": gap, "score": nan, "more": r}
    own = rows[rows["check"] == check]
    if own.empty:
        return None
    beside = nan if check == "hubness" else float(own["score"].mean())
    more = nan
    if check == "permutation":
        more = float((own["p"] < scores.LEVEL).mean())
    elif check == "bootstrap":
        more = width(own)
    elif check == "csls":
        means = own.groupby("language")[["value", "score"]].mean().dropna()
        more = correlate.pearson(means["value"].to_numpy(float), y=means["score"].to_numpy(float)).r
    elif check in LENGTH:
        more = float(lengths(rows)[LENGTH[check]].mean())
    return {"check": check, "value": float(own["value"].mean()), "score": beside, "more": more}


def width(rows: pd.DataFrame) -> float:
    """The mean width of intervals of shares: Wilson's where no draw differs from another."""
    values, n = rows["value"].to_numpy(float), rows["n"].to_numpy(float)
    low, high = wilson(values * n, n=n)
    found = (rows["high"] - rows["low"]).to_numpy(float)
    return float(np.where(found > 0, found, high - low).mean())


def lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """Per cell, its score among sentences of like length less that among random ones (`gap`).

    `lower` says whether it lies below the interval of random ones.
    """
    own = rows[rows["check"].isin(LENGTH)].set_index("key")
    both = own.pivot(columns="check", values="value").reindex(columns=list(LENGTH))
    both = both.join(own.loc[own["check"] == "length_random", "low"]).dropna()
    matched = both["length_matched"]
    return pd.DataFrame({"gap": matched - both["length_random"], "lower": matched < both["low"]})


def _found(material: Material) -> Mapping[str, object] | None:
    """How clear scores are of chance, how halves agree, and what length does."""
    rows = material.get(_rows)
    if rows.empty:
        return None
    own = rows[rows["check"] == "permutation"]
    frame, both = material.get(by_series), lengths(rows)
    halves = frame.loc[frame["check"] == "halves", "more"].dropna()
    return {
        "scores": len(own), "clear": int((own["p"] < scores.LEVEL).sum()),
        "draws": int(own["samples"].max()) if len(own) else 0,
        "halves": span(halves) if len(halves) else "",
        "cells": len(both), "lower": int(both["lower"].sum()) if len(both) else 0,
        "gap": f"{both['gap'].mean():+.3f}" if len(both) else "",
    }  # fmt: skip


PARTS: tuple[Show, ...] = (
    Note(text=NONE, facts=lambda material: {} if material.get(_rows).empty else None),
    Note(
        text=shared("check_findings"),
        facts=_found,
    ),
    Table(
        name="robustness", fill=by_series,
        caption=shared("robustness"),
        most=MOST_ROWS,
    ),
)  # fmt: skip

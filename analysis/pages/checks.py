"""The checks of single scores: chance, resampled sentences, halves, duplicates, hubs, length.

The one idea: the table `robustness` has a row per layer and language, far too many to read, so each
check becomes one row per model and measure: its mean, beside the score where that is comparable.
"""

from math import nan

import numpy as np
import pandas as pd

from analysis import correlate, scores, tables
from analysis.intervals import wilson
from analysis.page import Part, Sheet, Text
from analysis.pages.material import Material, last

NONE = "The scores themselves were not checked (--part robustness)."
MEANINGS = {
    "permutation": "score with sentences paired at random; share of cells with p < .05",
    "bootstrap": "score; mean width of the 95 % interval over resampled sentence pairs",
    "halves": "mean difference of two disjoint halves; r of the halves over languages",
    "distinct": "score without repeated texts",
    "hubness": "skewness of how often a sentence is among the 10 nearest (0: no hubs)",
    "csls": "score with similarities corrected for hubs; r with the plain score over languages",
    "length_matched": "score where a sentence competes only with about 20 of like length; that "
    "less the score among as many drawn at random (below 0: length helps to find a translation)",
    "length_random": "score where a sentence competes only with about 20 drawn at random; share of "
    "cells that are lower with sentences of like length than in 97.5 % of the draws",
}
# What stands beside the value of the two checks of length, as `_lengths` calls it.
LENGTH = {"length_matched": "gap", "length_random": "lower"}
SERIES = ["label", "measure", "pooling"]
KEY = [*scores.SERIES, "language", "layer"]


def parts(material: Material) -> tuple[Part, ...]:
    """One table over all checks."""
    rows = last(material.rows.robustness)
    if rows.empty:
        return (Text(lines=(NONE,)),)
    rows = tables.with_label(scores.with_short_switches(rows))
    conditions = [name for name in scores.CONDITIONS if rows[name].nunique() > 1]
    plain = rows[rows["check"] == "bootstrap"][[*KEY, "value"]].rename(columns={"value": "score"})
    found = []
    for names, group in rows.groupby([*SERIES, *conditions], sort=True):
        place = dict(zip([*SERIES, *conditions], names, strict=True))
        joined = group.merge(plain, how="left", on=KEY)
        for check in MEANINGS:
            row = _check(check, joined)
            if row is not None:
                found.append({**place, **row})
    frame = tables.in_order(pd.DataFrame(found))
    caption = "Checks of single scores, means over layers and languages. " + "; ".join(
        f"{name}: {meaning}" for name, meaning in MEANINGS.items()
    )
    lines = tuple(line for line in (_chance(rows), _halves(frame), _length(rows)) if line)
    sheet = Sheet(
        name="robustness", caption=caption, frame=frame, heads={"label": "model"},
        collapsed=len(frame) > 24,
    )  # fmt: skip
    return (*((Text(lines=lines),) if lines else ()), sheet)


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
        more = _width(own)
    elif check == "csls":
        means = own.groupby("language")[["value", "score"]].mean().dropna()
        more = correlate.pearson(means["value"].to_numpy(float), y=means["score"].to_numpy(float)).r
    elif check in LENGTH:
        more = float(_lengths(rows)[LENGTH[check]].mean())
    return {"check": check, "value": float(own["value"].mean()), "score": beside, "more": more}


def _width(rows: pd.DataFrame) -> float:
    """The mean width of intervals of shares: Wilson's where no draw differs from another."""
    values, n = rows["value"].to_numpy(float), rows["n"].to_numpy(float)
    low, high = wilson(values * n, n=n)
    width = (rows["high"] - rows["low"]).to_numpy(float)
    return float(np.where(width > 0, width, high - low).mean())


def _lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """Per cell, its score among sentences of like length less that among random ones (`gap`).

    `lower` says whether it lies below the interval of random ones.
    """
    own = rows[rows["check"].isin(LENGTH)].set_index("key")
    both = own.pivot(columns="check", values="value").reindex(columns=list(LENGTH))
    both = both.join(own.loc[own["check"] == "length_random", "low"]).dropna()
    matched = both["length_matched"]
    return pd.DataFrame({"gap": matched - both["length_random"], "lower": matched < both["low"]})


def _chance(rows: pd.DataFrame) -> str:
    """How many scores are above sentences paired at random."""
    own = rows[rows["check"] == "permutation"]
    if own.empty:
        return ""
    clear = int((own["p"] < scores.LEVEL).sum())
    return (
        f"{clear} of {len(own)} scores (one per layer and language) are above those of sentences "
        f"paired at random (permutation, p < .05, uncorrected; {int(own['samples'].max())} draws)."
    )


def _halves(frame: pd.DataFrame) -> str:
    """How well two halves of the sentences agree."""
    found = frame.loc[frame["check"] == "halves", "more"].dropna()
    if found.empty:
        return ""
    ends = f"{found.min():.2f}" if len(found) == 1 else f"{found.min():.2f} to {found.max():.2f}"
    return f"Two disjoint halves of the sentences order languages alike: r = {ends}."


def _length(rows: pd.DataFrame) -> str:
    """How much sentences find their translations by length alone."""
    both = _lengths(rows)
    if both.empty:
        return ""
    lower, gap = int(both["lower"].sum()), float(both["gap"].mean())
    return (
        "Do sentences find their translations by length? Among sentences of like length scores "
        f"differ by {gap:+.3f} on average from those among as many random ones; {lower} of "
        f"{len(both)} are lower than in 97.5 % of the random draws (about 2.5 % of them would be "
        "if length did not help)."
    )

"""The slow, obvious twin of how units are brought together: rows chosen by hand, and a merge."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def merged(before: pd.DataFrame, after: pd.DataFrame, *, unit: Sequence[str]) -> pd.DataFrame:
    """The units that have a finite `value` in both, in order, with `value_old` and `value_new`."""
    old, new = (
        rows[np.isfinite(rows["value"])].dropna(subset=list(unit))[[*unit, "value"]]
        for rows in (before, after)
    )
    return old.merge(new, on=list(unit), how="inner", suffixes=("_old", "_new")).sort_values(
        list(unit), ignore_index=True
    )


def lost(before: pd.DataFrame, after: pd.DataFrame, *, unit: Sequence[str]) -> list[int]:
    """How many rows have no unit, how many others no value, and how many units have one value."""
    both = pd.concat([before, after])
    named = both[list(unit)].notna().all(axis=1)
    kept = both[named & np.isfinite(both["value"])]
    alone = kept.groupby(list(unit), observed=True).size().eq(1)
    return [int((~named).sum()), int(named.sum()) - len(kept), int(alone.sum())]

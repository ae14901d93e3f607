"""Our values and the printed ones in one table: the difference, and whether ours allows the other.

Every table of a paper is rows of (places, column, value), ours and theirs alike. Under each value
stand our 95 % interval, the printed value, and the difference with `in` or `out` of the interval.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import isnan, nan
from typing import Any

import pandas as pd

from analysis.layout import tables
from analysis.layout.prose import short
from analysis.published import AVERAGE
from analysis.statistics.resample import interval_of_mean

Record = Mapping[Hashable, Any]
OURS = ["column", "value", "low", "high", "n"]
BESIDE = ["published", "target", "difference", "inside"]


def alone(ours: pd.DataFrame) -> pd.DataFrame:
    """Our values of a table that the paper has not, in the columns of `join`."""
    return ours.assign(published=nan, target=False, difference=nan, inside=None)


def join(ours: pd.DataFrame, printed: pd.DataFrame, *, places: Sequence[str]) -> pd.DataFrame:
    """Every value of either, by places and column, with `difference` and `inside`.

    `inside` is missing without an interval of ours, or without a printed value that is a target.
    """
    if "target" not in printed:
        printed = printed.assign(target=True)
    left = ours[[*places, *OURS]]
    right = printed[[*places, "column", "published", "target"]]
    both = left.merge(right, on=[*places, "column"], how="outer", sort=False)
    target = both["target"].eq(True)
    both["difference"] = (both["value"] - both["published"]).where(target)
    judged = both["difference"].notna() & both["low"].notna()
    low, theirs, high = (both[name].to_numpy(float) for name in ("low", "published", "high"))
    between = pd.Series((low <= theirs) & (theirs <= high), index=both.index)
    both["inside"] = between.astype(object).where(judged, None)
    return both


def with_average(
    ours: pd.DataFrame,
    *,
    places: Sequence[str],
    models: Sequence[str],
    groups: Mapping[tuple[object, ...], pd.DataFrame],
) -> pd.DataFrame:
    """Add AVG rows: the mean of the `models` that have a value, as the paper's last column.

    `groups` holds the points of every correlation, by places and column: the interval is that of
    the mean over languages drawn for all models at once.
    """
    own = ours[ours["column"].isin(models) & ours["value"].notna()]
    if own.empty:
        return ours
    wide = own.pivot(index=list(places), columns="column", values="value")
    means = tables.average_models(wide)[AVERAGE].rename("value").reset_index()
    rows = []
    for record in means.to_dict("records"):
        row = tuple(record[place] for place in places)
        there = [groups[*row, model] for model in models if (*row, model) in groups]
        low, high = interval_of_mean(there)
        most = max((len(group) for group in there), default=0)
        rows.append({**record, "column": AVERAGE, "low": low, "high": high, "n": most})
    return pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)


def printed_average(
    printed: pd.DataFrame, *, ours: pd.DataFrame, places: Sequence[str]
) -> pd.DataFrame:
    """The printed AVG rows, taken again over the models that have a value of ours.

    Where nothing is shared the paper's own average stays, to be read and not to be compared; so it
    does where a cell of it is known to be wrong in print.
    """
    own = ours.loc[ours["value"].notna(), [*places, "column"]]
    cells = printed[printed["column"] != AVERAGE]
    shared = cells.merge(own)
    sound = shared.groupby(list(places))["target"].all().rename("sound").reset_index()
    wide = shared.pivot(index=list(places), columns="column", values="published")
    means = tables.average_models(wide)[AVERAGE].rename("again").reset_index()
    average = printed[printed["column"] == AVERAGE].merge(means, how="left", on=list(places))
    average = average.merge(sound, how="left", on=list(places))
    average["target"] = average["sound"].eq(True)
    average["published"] = average["again"].where(average["target"], average["published"])
    average = average.drop(columns=["again", "sound"])
    return pd.concat([cells, average], ignore_index=True)


def wide(
    cells: pd.DataFrame,
    *,
    places: Sequence[str],
    columns: Mapping[str, str],
    value: str,
    under: Callable[[Record], str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values by place and `column`, and the lines under each; `columns` gives their heads."""
    found = {
        (tuple(record[place] for place in places), record["column"]): record
        for record in cells.to_dict("records")
    }
    rows = [tuple(row) for row in cells[list(places)].drop_duplicates().itertuples(index=False)]
    values, below = [], []
    for row in rows:
        own = [found.get((row, column)) for column in columns]
        values.append([nan if record is None else record[value] for record in own])
        below.append(["" if record is None else under(record) for record in own])
    frame, heads = pd.DataFrame(rows, columns=list(places)), list(columns.values())
    numbers = pd.DataFrame(values, index=frame.index, columns=heads)
    small = pd.DataFrame(below, index=frame.index, columns=heads)
    return pd.concat([frame, numbers], axis="columns"), small


def ranked(joined: pd.DataFrame, known: Iterable[str], *more: str) -> pd.DataFrame:
    """Rows by their places and `more` columns, `known` values in their order before the others."""
    places = [name for name in joined.columns if name not in (*OURS, *BESIDE)]
    return tables.ranked(joined, [*places, *more], known)


def under(cell: Record, *, decimals: int) -> str:
    """The lines under a value: its interval, the printed value, the difference."""
    lines = []
    if not isnan(cell["low"]):
        lines.append(f"[{short(cell['low'], decimals)}, {short(cell['high'], decimals)}]")
    if not isnan(cell["published"]):
        lines.append(f"paper {short(cell['published'], decimals)}")
    if not isnan(cell["difference"]):
        sign = "+" if cell["difference"] >= 0 else "−"
        word = {True: " in", False: " out"}.get(cell["inside"], "")
        lines.append(f"{sign}{short(abs(cell['difference']), decimals)}{word}")
    return "\n".join(lines)


def counted(joined: pd.DataFrame) -> str:
    """How many printed values lie in our intervals, in words; empty where none was compared."""
    judged = joined[joined["inside"].notna() & (joined["column"] != AVERAGE)]
    if judged.empty:
        return ""
    inside = int(judged["inside"].astype(bool).sum())
    return f"{inside} of {len(judged)} printed values lie in our 95 % interval."

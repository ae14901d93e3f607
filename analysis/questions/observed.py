"""What a question is asked of: one row per unit, and numbers where numbers are expected."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.questions.answer import require
from analysis.read import listed

Floats = npt.NDArray[np.float64]
SHOWN = 100


def refuse_repeated(
    rows: pd.DataFrame, unit: Sequence[str], *, by: Sequence[str] = (), measured: Sequence[str] = ()
) -> None:
    """Refuse rows of which several are one unit.

    Args:
        rows: the rows.
        unit: the columns that together name one observation.
        by: the columns that split the rows into questions; each has its own units.
        measured: columns that may differ between units anyway, so that none sets two rows apart.

    Raises:
        ValueError: a column is missing, or a unit comes twice; the sentence names one, and the
            columns in which such rows differ.
    """
    if not unit:
        raise ValueError("no column names the unit: give unit, such as ('language',)")
    keys = list(dict.fromkeys([*by, *unit]))
    require(rows, keys, role="units")
    again = rows.duplicated(keys, keep=False)
    if not again.any():
        return
    several = rows[again]
    first = several.iloc[0]
    one = ", ".join(f"{name} {first[name]}" for name in keys)
    kept = [name for name in rows.columns if name not in keys and name not in measured]
    # Of millions of rows a few units say what sets them apart.
    few = several.merge(several[keys].drop_duplicates().head(SHOWN))
    places = few.groupby(keys, dropna=False, observed=True)
    differ = [name for name in kept if (places[name].nunique(dropna=False) > 1).any()]
    # Coordinates come before measurements, so texts and whole numbers are named first.
    differ.sort(key=lambda name: pd.api.types.is_float_dtype(rows[name].dtype))
    advice = (
        f"they differ in {listed(differ, most=4)}: add what sets them apart to by, or keep one of "
        "its values"
        if differ
        else "they are alike in every other column: drop what repeats"
    )
    raise ValueError(
        f"{len(several)} rows share their {' and '.join(keys)} with another (such as {one}), and "
        f"one row per {' and '.join(unit)} is expected; {advice}"
    )


def numeric(rows: pd.DataFrame, column: str) -> Floats:
    """A column as floats, NaN where nothing finite stands.

    Raises:
        ValueError: the column is missing, or holds anything that is no number.
    """
    require(rows, [column], role="numbers")
    values = rows[column]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        texts = values.dropna()
        wrong = texts[[not isinstance(value, int | float | np.number) for value in texts]]
        if len(wrong):
            raise ValueError(
                f"column {column} holds {wrong.iloc[0]!r} (row {wrong.index[0]}) and "
                f"{len(wrong) - 1} more values that are no numbers: expected numbers, and nothing "
                "where there is none"
            )
    found = values.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


class Columns(NamedTuple):
    """Complete rows of one question.

    Attributes:
        values: the columns [m, n], finite.
        groups: the group of each unit, from 0 [n]; without a cluster every unit is its own.
        lost: how many rows lacked a value.
    """

    values: Floats
    groups: npt.NDArray[np.integer]
    lost: int

    @property
    def n(self) -> int:
        """The number of units."""
        return len(self.values[0])

    @property
    def left_out(self) -> str:
        """What was left out, as a sentence without its end; empty where nothing was."""
        rows = "1 row" if self.lost == 1 else f"{self.lost} rows"
        return f"{rows} without a value left out" if self.lost else ""


def complete(rows: pd.DataFrame, names: Sequence[str], *, cluster: str | None) -> Columns:
    """The rows that have every value, as numbers, with the group that each belongs to.

    Raises:
        ValueError: a column holds what is no number.
    """
    values = np.array([numeric(rows, name) for name in names])
    known = np.isfinite(values).all(axis=0)
    if cluster is not None:
        known &= rows[cluster].notna().to_numpy()
        groups = np.unique(rows[cluster].astype(str).to_numpy()[known], return_inverse=True)[1]
    else:
        groups = np.arange(int(known.sum()))
    return Columns(values[:, known], groups, int((~known).sum()))


def one_of(given: str, known: Sequence[str], *, what: str) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        ValueError: it is not; the sentence lists those that are.
    """
    if given not in known:
        raise ValueError(f"no {what} is called {given!r}; choose one of {', '.join(known)}")

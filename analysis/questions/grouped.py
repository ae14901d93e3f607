"""Rows that are alike: levels of factors, and terms that vary only between such levels.

A covariate of languages says as much as there are languages, however many items each has. Whoever
counts the items as independent finds effects that are none (Moulton 1990, doi 10.2307/2109724).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.linear import NO_SPREAD

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Factor:
    """By row its level, from 0 up without gaps, of a column or of several that are crossed."""

    name: str
    levels: Ints

    @property
    def size(self) -> int:
        """How many levels there are."""
        return int(self.levels.max(initial=-1)) + 1

    @property
    def first(self) -> Ints:
        """A row of each level."""
        found = np.zeros(self.size, np.intp)
        found[self.levels] = np.arange(len(self.levels))
        return found

    def holds(self, column: Floats) -> bool:
        """Whether a number by row has one value in each level."""
        scale = float(np.abs(column).max(initial=0.0))
        return bool((np.abs(column[self.first][self.levels] - column) <= NO_SPREAD * scale).all())

    def at(self, rows: npt.NDArray[np.bool_]) -> "Factor":
        """The factor over some of the rows."""
        return Factor(self.name, pd.factorize(self.levels[rows])[0].astype(np.intp))


def factor(rows: pd.DataFrame, names: Sequence[str]) -> Factor:
    """The levels of rows by one column, or by the crossing of several."""
    found: Ints = pd.factorize(rows[names[0]])[0].astype(np.intp)
    for name in names[1:]:
        other = pd.factorize(rows[name])[0].astype(np.intp)
        joint = found * (int(other.max(initial=0)) + 1) + other
        found = pd.factorize(joint)[0].astype(np.intp)
    return Factor(":".join(names), found)


def candidates(rows: pd.DataFrame, *, without: Sequence[str]) -> list[Factor]:
    """Columns that are no numbers and group the rows, by which rows may be alike."""
    found = []
    for name in rows.columns:
        column = rows[name]
        if name in without or pd.api.types.is_numeric_dtype(column) or column.isna().all():
            continue
        try:
            one = factor(rows, (name,))
        except TypeError:
            continue
        if (one.levels >= 0).all() and 2 <= one.size <= len(rows) / 2:
            found.append(one)
    return found


def repeated(rows: pd.DataFrame) -> int:
    """How many rows are the same as an earlier one, lists and the like not looked at."""
    held = [
        name
        for name, column in rows.items()
        if pd.api.types.infer_dtype(column, skipna=True) not in ("mixed", "empty")
    ]
    return int(rows[held].duplicated().sum()) if held else 0


def unaccounted(
    column: Floats, *, known: Sequence[Factor], others: Sequence[Factor]
) -> Factor | None:
    """The coarsest factor that a term does not vary within and that the model knows nothing of.

    Args:
        column: the term by row.
        known: what the model or its errors allow for: random terms, absorbed factors, clusters.
        others: what rows are grouped by besides.
    """
    held = [one.size for one in known if one.holds(column)]
    crossed = []
    if not held:
        crossed = [
            Factor(f"{one.name}:{two.name}", pd.factorize(one.levels * two.size + two.levels)[0])
            for one, two in combinations(known, 2)
        ]
    found = [one for one in (*others, *crossed) if 2 <= one.size <= len(column) / 2]
    found = [one for one in sorted(found, key=lambda one: one.size) if one.holds(column)]
    if not found or (held and min(held) <= found[0].size):
        return None
    return found[0]

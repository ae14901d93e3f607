"""Which rows of a table are compared with which: those of one condition, and those of others."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.questions.pairs import Bools, Wholes


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of a table; a question is told by the places of its rows.

    Attributes:
        held: the condition of every row.
        after: the one that is compared, None where all but one are.
        plain: which rows are compared with.
        changed: which rows are compared.
    """

    held: pd.Series
    after: object
    plain: Bools
    changed: Bools

    @classmethod
    def of(cls, held: pd.Series, *, before: object, after: object) -> "Conditions":
        """The conditions of a column, of which one is compared with another or all others.

        Raises:
            ValueError: no row has such a condition, or the two are the same.
        """
        plain = _holds(held, before)
        changed = held.notna() & ~plain if after is None else _holds(held, after)
        sides = [("before", before, plain)]
        if after is not None:
            sides.append(("after", after, changed))
        for name, asked, rows in sides:
            if not rows.any():
                there = ", ".join(repr(one) for one in list(held.drop_duplicates())[:12])
                raise ValueError(
                    f"no row has {held.name}={asked!r} ({name}); the column holds {there}"
                )
        if after is not None and (before == after or (_missing(before) and _missing(after))):
            raise ValueError(f"before and after are both {before!r}: name two conditions")
        if not changed.any():
            raise ValueError(
                f"all rows have {held.name}={before!r}: there is nothing to compare with"
            )
        return cls(held=held, after=after, plain=plain.to_numpy(), changed=changed.to_numpy())

    def others(self, at: Wholes) -> Iterator[tuple[object, Wholes]]:
        """Each condition of a question that is compared, in order, with its rows."""
        changed = at[self.changed[at]]
        if self.after is not None or not len(changed):
            # A question that nothing is compared in has a row that says so.
            yield self.after, changed
            return
        numbers = self._numbers[changed]
        first = np.sort(np.unique(numbers, return_index=True)[1])
        names = _in_order(self.held.iloc[changed[first]])
        for place, name in zip(names.index.to_numpy(), names, strict=True):
            yield name, changed[numbers == self._numbers[place]]

    def unnamed(self, at: Wholes) -> int:
        """How many rows of a question lack a condition, where all that have one are compared."""
        if self.after is not None:
            return 0
        return int((~self.plain[at] & ~self.changed[at]).sum())

    @cached_property
    def _numbers(self) -> Wholes:
        """A number for the condition of every row, -1 without one."""
        return pd.factorize(self.held)[0]


def _in_order(names: pd.Series) -> pd.Series:
    """Conditions in their order, or in that of their texts where they have none."""
    try:
        return names.sort_values()
    except TypeError:
        return names.sort_values(key=lambda held: held.map(str), kind="stable")


def _holds(held: pd.Series, asked: object) -> "pd.Series[bool]":
    """Which rows have a condition; None, as any missing value, is that of rows without one."""
    return held.isna() if _missing(asked) else (held == asked).fillna(False).astype(bool)


def _missing(asked: object) -> bool:
    """Whether this is no value."""
    return asked is None or asked is pd.NA or asked != asked

"""The same units before and after: two sets of rows brought together, and what that left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.intervals import varies

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Units:
    """The units of a table, read once for all of its questions.

    A question is told by the places of its rows, a unit by its number in the order of all units.

    Attributes:
        rows: the whole table.
        value: the column of values.
        unit: columns that identify a unit.
        language: the column of languages, whether units have it or not.
    """

    rows: pd.DataFrame
    value: str
    unit: tuple[str, ...]
    language: str = "language"

    def pairs(self, before: Wholes, after: Wholes, *, where: str = "") -> "Pairs":
        """The units that have a finite value both before and after.

        Args:
            before: places of the rows of the one condition, as `after` of the other.
            where: the question, in words, for what is refused.

        Raises:
            ValueError: the value is no number, or a unit has several rows.
        """
        lost: Counter[str] = Counter()
        old, new = (self._observed(at, where=where, lost=lost) for at in (before, after))
        left_out = [
            f"{counted(count, 'row')} {why} left out" for why, count in lost.items() if count
        ]
        numbers, left, right = np.intersect1d(
            self.numbers[old], self.numbers[new], assume_unique=True, return_indices=True
        )
        alone = len(old) + len(new) - 2 * len(numbers)
        if alone:
            left_out.append(
                f"{counted(alone, 'unit')} with one of the two values left out, "
                f"such as {self._first_alone(old, new)}"
            )
        return Pairs(
            units=self, numbers=numbers, old=self.values[old[left]], new=self.values[new[right]],
            left_out=tuple(left_out),
        )  # fmt: skip

    @cached_property
    def numbers(self) -> Wholes:
        """The unit of every row; -1 where it is not named."""
        return _numbered(self.names)

    @cached_property
    def languages(self) -> Wholes:
        """A number for the language of every unit; 0 where units have none."""
        return _numbered(self._each[[name for name in self.unit if name == self.language]])

    @cached_property
    def items(self) -> Wholes:
        """A number for what identifies every unit beside its language; 0 without such."""
        return _numbered(self._each[[name for name in self.unit if name != self.language]])

    @cached_property
    def values(self) -> Floats:
        """The value of every row, NaN where it has no number; True and False are 1 and 0."""
        column = self.rows[self.value]
        if _is_numeric(column):
            return column.to_numpy(float, na_value=np.nan)
        known = column.notna() & ~self.foreign
        return column.astype(object).where(known, np.nan).to_numpy(float)

    @cached_property
    def foreign(self) -> Bools:
        """Which rows hold a value that is no number."""
        column = self.rows[self.value]
        if _is_numeric(column):
            return np.zeros(len(column), bool)
        kinds = (bool, int, float, np.bool_, np.integer, np.floating)
        other = np.array([not isinstance(one, kinds) for one in column], bool)
        return other & column.notna().to_numpy()

    @cached_property
    def names(self) -> pd.DataFrame:
        """What identifies the unit of every row."""
        return self.rows[list(self.unit)]

    @cached_property
    def _each(self) -> pd.DataFrame:
        """What identifies every unit."""
        numbers, first = np.unique(self.numbers, return_index=True)
        return self.names.iloc[first[numbers >= 0]]

    def _observed(self, at: Wholes, *, where: str, lost: "Counter[str]") -> Wholes:
        """Places of units, each once, in order; rows that are left out are counted by the reason.

        Raises:
            ValueError: as of `pairs`.
        """
        other = at[self.foreign[at]]
        if len(other):
            example = next(iter(self.rows[self.value].iloc[other]))
            raise ValueError(
                f"the column {self.value} holds what is no number in {len(other)} of {len(at)} "
                f"rows, such as {example!r}; give numbers, or True and False"
            )
        nameless = self.numbers[at] < 0
        lacking = ~np.isfinite(self.values[at]) & ~nameless
        lost[f"without {' or '.join(self.unit)}"] += int(nameless.sum())
        lost["without a value"] += int(lacking.sum())
        kept = at[~nameless & ~lacking]
        numbers = self.numbers[kept]
        order = np.argsort(numbers)
        again = np.diff(numbers[order]) == 0
        if again.any():
            repeated = np.isin(numbers, numbers[order[1:][again]])
            raise ValueError(self._several(self.rows.iloc[kept[repeated]], where=where))
        return kept[order]

    def _first_alone(self, old: Wholes, new: Wholes) -> str:
        """The first unit that is among these places once, in words."""
        both = np.concatenate([old, new])
        _, first, times = np.unique(self.numbers[both], return_index=True, return_counts=True)
        return _named(self.unit, self.names.iloc[both[first[times == 1][0]]])

    def _several(self, rows: pd.DataFrame, *, where: str) -> str:
        """What is wrong with units that have several rows, and what tells these apart."""
        groups = rows.groupby(list(self.unit), sort=False, observed=True)
        name, example = next(iter(groups))
        others = [column for column in rows if column not in (*self.unit, self.value)]
        differing = [one for one in others if example[one].astype(str).nunique() > 1]
        told = (
            f"they differ in {', '.join(map(str, differing[:6]))}" if differing else "they repeat"
        )
        return (
            f"{counted(groups.ngroups, 'unit')} of ({', '.join(self.unit)}) "
            f"{'has' if groups.ngroups == 1 else 'have'} several rows{where}, such as "
            f"{_named(self.unit, name)} with {len(example)}; {told}: add what tells them apart "
            "to by or unit, or average over them first"
        )


@dataclass(frozen=True)
class Pairs:
    """Values of the same units before and after, and what was left out, in words.

    Attributes:
        units: those of the whole table.
        numbers: which of them are here [n], in their order.
        old: values before [n], as `new` after.
        left_out: one phrase for each kind of row that is not here.
    """

    units: Units
    numbers: Wholes
    old: Floats
    new: Floats
    left_out: tuple[str, ...] = ()

    @cached_property
    def changes(self) -> Floats:
        """After less before [n]."""
        return self.new - self.old

    @cached_property
    def vary(self) -> bool:
        """Whether the changes differ from each other."""
        return varies(self.changes, beside=(self.old, self.new))

    @cached_property
    def languages(self) -> Wholes:
        """A number for the language of every unit [n], from 0; 0 where units have none."""
        return dense(self.units.languages[self.numbers])

    @cached_property
    def items(self) -> Wholes:
        """A number for what identifies a unit beside its language [n], from 0; 0 without such."""
        return dense(self.units.items[self.numbers])

    @property
    def counts(self) -> dict[str, int]:
        """How many languages and how many items there are."""
        both = {"languages": self.languages, "items": self.items}
        return {name: int(numbers.max(initial=-1)) + 1 for name, numbers in both.items()}


def dense(numbers: Wholes) -> Wholes:
    """The same numbers without gaps, from 0 and in the same order."""
    return np.unique(numbers, return_inverse=True)[1]


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 unit, 2 units."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _is_numeric(column: pd.Series) -> bool:
    """Whether a column is of real numbers, or of True and False, by its type."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)


def _named(unit: Sequence[str], values: Iterable[object]) -> str:
    """A unit in words."""
    return ", ".join(f"{name}={part}" for name, part in zip(unit, values, strict=True))


def _numbered(rows: pd.DataFrame) -> Wholes:
    """A number for each different row, -1 for one that lacks a value; 0 for all without columns."""
    if not len(rows.columns):
        return np.zeros(len(rows), np.int64)
    # Pandas has NaN for it, and floats then.
    found = rows.groupby(list(rows), sort=True, observed=True).ngroup().fillna(-1)
    return found.to_numpy(np.int64)

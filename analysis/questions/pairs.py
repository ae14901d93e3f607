"""The same units before and after: two sets of rows brought together, and what that left out."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.intervals import varies

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Pairs:
    """Values of the same units before and after, and what was left out, in words.

    Attributes:
        value: the column that they come from.
        old: values before [n], as `new` after.
        units: one row for each, with the columns that identify it.
        language: the column of languages, whether units have it or not.
        left_out: one phrase for each kind of row that is not here.
    """

    value: str
    old: Floats
    new: Floats
    units: pd.DataFrame
    language: str
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
        """A number for the language of every unit [n]; 0 where units have none."""
        return _numbered(self.units, [name for name in self.units if name == self.language])

    @cached_property
    def items(self) -> Wholes:
        """A number for what identifies a unit beside its language [n]; 0 without such."""
        return _numbered(self.units, [name for name in self.units if name != self.language])

    @property
    def counts(self) -> dict[str, int]:
        """How many languages and how many items there are."""
        both = {"languages": self.languages, "items": self.items}
        return {name: len(np.unique(numbers)) for name, numbers in both.items()}


def paired_units(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    value: str,
    unit: Sequence[str],
    language: str = "language",
    where: str = "",
) -> Pairs:
    """The units that have a finite value both before and after.

    Args:
        before: rows of the one condition, as `after` of the other.
        value: the column of values.
        unit: columns that identify a unit.
        language: the column of languages.
        where: the question, in words, for what is refused.

    Raises:
        ValueError: the value is no number, or a unit has several rows.
    """
    lost: Counter[str] = Counter()
    found = [
        _observed(rows, value=value, unit=unit, where=where, lost=lost) for rows in (before, after)
    ]
    left_out = [f"{counted(count, 'row')} {why} left out" for why, count in lost.items() if count]
    both = found[0].merge(found[1], on=list(unit), how="outer", sort=True, suffixes=("old", "new"))
    values = both[["_old", "_new"]].to_numpy(float)
    alone = np.isnan(values).any(axis=1)
    if alone.any():
        example = _named(unit, both.loc[alone, list(unit)].iloc[0])
        left_out.append(
            f"{counted(int(alone.sum()), 'unit')} with one of the two values left out, "
            f"such as {example}"
        )
    return Pairs(
        value=value, old=values[~alone, 0], new=values[~alone, 1],
        units=both.loc[~alone, list(unit)].reset_index(drop=True), language=language,
        left_out=tuple(left_out),
    )  # fmt: skip


def numbers(rows: pd.DataFrame, value: str) -> Floats:
    """A column as numbers, NaN where it has none; True and False are 1 and 0.

    Raises:
        ValueError: it holds something else.
    """
    column = rows[value]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column.to_numpy(float, na_value=np.nan)
    known = column.dropna()
    kinds = (bool, int, float, np.bool_, np.integer, np.floating)
    other = [one for one in known if not isinstance(one, kinds)]
    if other:
        raise ValueError(
            f"the column {value} holds what is no number in {len(other)} of {len(rows)} rows, such "
            f"as {other[0]!r}; give numbers, or True and False"
        )
    return column.astype(object).where(column.notna(), np.nan).to_numpy(float)


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 unit, 2 units."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _observed(
    rows: pd.DataFrame, *, value: str, unit: Sequence[str], where: str, lost: "Counter[str]"
) -> pd.DataFrame:
    """Units, each once, and their value, `_`; rows that are left out are counted by the reason."""
    values = numbers(rows, value)
    nameless = rows[list(unit)].isna().any(axis=1).to_numpy()
    lacking = ~np.isfinite(values) & ~nameless
    lost[f"without {' or '.join(unit)}"] += int(nameless.sum())
    lost["without a value"] += int(lacking.sum())
    kept = rows[~nameless & ~lacking]
    repeated = kept.duplicated(list(unit), keep=False)
    if repeated.any():
        raise ValueError(_several(kept[repeated], unit=unit, value=value, where=where))
    return kept[list(unit)].assign(_=values[~nameless & ~lacking])


def _several(rows: pd.DataFrame, *, unit: Sequence[str], value: str, where: str) -> str:
    """What is wrong with units that have several rows, and what tells these apart."""
    groups = rows.groupby(list(unit), sort=False, observed=True)
    name, example = next(iter(groups))
    others = [column for column in rows if column not in (*unit, value)]
    differing = [one for one in others if example[one].astype(str).nunique() > 1]
    told = f"they differ in {', '.join(map(str, differing[:6]))}" if differing else "they repeat"
    return (
        f"{counted(groups.ngroups, 'unit')} of ({', '.join(unit)}) "
        f"{'has' if groups.ngroups == 1 else 'have'} several rows{where}, such as "
        f"{_named(unit, name)} with {len(example)}; {told}: add what tells them apart to by or "
        "unit, or average over them first"
    )


def _named(unit: Sequence[str], values: Iterable[object]) -> str:
    """A unit in words."""
    return ", ".join(f"{name}={part}" for name, part in zip(unit, values, strict=True))


def _numbered(units: pd.DataFrame, columns: list[Hashable]) -> Wholes:
    """A number for each different row of some columns; 0 for all rows of none."""
    if not columns:
        return np.zeros(len(units), np.int64)
    found: Wholes = units.groupby(columns, sort=True, observed=True).ngroup().to_numpy()
    return found

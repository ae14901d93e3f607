"""One measure of one model over its states, with what a paired test of two of them needs.

Arrays of all states share their axes, so that two states are compared on what both have: the same
languages, and of answers the same items.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics import two_way
from analysis.statistics.checkpoints import common

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
MCNEMAR = "McNemar"
STATE = ["revision", "language"]
UPPER = ("mexa", "nasca", "navca", "cka", "svcca", "anc")


class Place(NamedTuple):
    """What sets one measure apart from another.

    Attributes:
        model: whose it is.
        measure: its name, such as `accuracy` or `nasca`.
        of: the benchmark or data set.
        conditions: what else sets it apart, in words; empty for nothing.
    """

    model: str
    measure: str
    of: str
    conditions: str

    @property
    def text(self) -> str:
        """The measure as people read it: `NASCA on flores200, weighted`."""
        name = self.measure.upper() if self.measure in UPPER else self.measure
        where = f"{name} on {self.of}" if self.of else name
        return f"{where}, {self.conditions}" if self.conditions else where


class Moved(NamedTuple):
    """Two states of a measure on what both have: `mean` is that of the change.

    `items` counts different ones, 0 where the measure has none; `gained` and `lost` are answers of
    one language that became right and wrong, where it is alone and McNemar's test applies.
    """

    mean: two_way.Mean
    before: float
    after: float
    items: int = 0
    gained: int = 0
    lost: int = 0

    @property
    def counted(self) -> bool:
        """Whether the change is that of right answers of a single language."""
        return self.mean.test == MCNEMAR


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A measure of a model: T states, L languages, I items.

    Attributes:
        place: which measure of which model.
        revisions: the states, in the order of the arrays [T].
        languages: [L].
        values: by state and language [T, L], NaN where there is none.
        grid: by item too [T, L, I]; a value is the mean of its items. None where it has none.
        pairs: of every ordered pair of languages [T, L, L], of which `values` are means.
        cut: by state, how many texts were cut to fit the context [T].
        share: whether items are right or wrong.
        best: whether higher is better, so that there is a best state.
    """

    place: Place
    revisions: tuple[str, ...]
    languages: tuple[str, ...]
    values: Floats
    grid: Floats | None = None
    pairs: Floats | None = None
    cut: tuple[int, ...] = ()
    share: bool = False
    best: bool = True

    @cached_property
    def used(self) -> tuple[Bools, Bools]:
        """The states and the languages that means are of; see `checkpoints.common`."""
        return common(~np.isnan(self.values))

    @cached_property
    def levels(self) -> tuple[two_way.Mean, ...]:
        """The mean of every state over the languages that are used; none for one that is not."""
        return tuple(map(self._level, range(len(self.revisions))))

    def hits(self, state: int) -> tuple[float, float] | None:
        """Right answers and all of a state, where one language alone is used; else None."""
        states, languages = self.used
        if not (self.share and self.grid is not None and states[state] and languages.sum() == 1):
            return None
        own = self.grid[state][languages]
        return float(np.nansum(own)), float((~np.isnan(own)).sum())

    def moved(self, before: int, after: int) -> Moved:
        """What changed between two states."""
        old, new = (self._answers(state) for state in (before, after))
        change = new - old
        both = (np.where(np.isnan(change), nan, one) for one in (old, new))
        if self.pairs is not None:
            first, second = (two_way.over_pairs(one).mean for one in both)
            return Moved(two_way.over_pairs(change), first, second)
        first, second = (_mean(one) for one in both)
        if self.grid is None:
            return Moved(two_way.over_languages(change[:, 0]), first, second)
        found, items = two_way.over_items(change), int((~np.isnan(change)).any(axis=0).sum())
        if not (self.share and found.n == 1):
            return Moved(found, first, second, items)
        gained, lost = int((change > 0).sum()), int((change < 0).sum())
        return Moved(found._replace(test=MCNEMAR), first, second, items, gained, lost)

    def changes(self, before: int, after: int) -> dict[str, Floats]:
        """By language that both states have, the change of every item of both; else of the one."""
        old, new = (self._answers(state, pairs=False) for state in (before, after))
        change = new - old
        return {
            code: own[~np.isnan(own)]
            for code, own in zip(self.languages, change, strict=True)
            if not np.isnan(own).all()
        }

    def _level(self, state: int) -> two_way.Mean:
        """The mean of a state."""
        states, languages = self.used
        if not states[state]:
            return two_way.Mean(0, nan, nan, nan, "")
        if self.grid is not None:
            return two_way.over_items(self.grid[state][languages])
        if self.pairs is not None:
            return two_way.over_pairs(self.pairs[state][np.ix_(languages, languages)])
        return two_way.over_languages(self.values[state][languages])

    def _answers(self, state: int, *, pairs: bool = True) -> Floats:
        """The numbers of a state that a change is computed from [L, ...]."""
        held = self.values[:, :, None] if self.grid is None else self.grid
        found: Floats = (self.pairs if pairs and self.pairs is not None else held)[state]
        return found


def of_values(frame: pd.DataFrame, place: Place, *, value: str, best: bool = True) -> Measured:
    """A measure of one value per state and language.

    Args:
        frame: `revision`, `language` and the value, each language of a state once.
        place: which measure of which model.
        value: the column of the numbers.
        best: whether higher is better.
    """
    wide = frame.pivot_table(index="revision", columns="language", values=value, dropna=False)
    wide = wide.dropna(how="all", axis="index").dropna(how="all", axis="columns")
    return Measured(
        place=place, revisions=tuple(map(str, wide.index)), languages=tuple(map(str, wide.columns)),
        values=wide.to_numpy(float), cut=_cut(frame, wide.index), best=best,
    )  # fmt: skip


def of_items(frame: pd.DataFrame, place: Place, *, value: str, share: bool = False) -> Measured:
    """A measure whose values are means over items.

    Args:
        frame: `revision`, `language`, `item` and the value, 0 or 1 for a `share`; `truncated` is
            counted where there is such a column. Several rows of one item are averaged.
        place: which measure of which model.
        value: the column of the numbers.
        share: whether items are right or wrong.
    """
    known = frame[frame[value].notna()]
    codes, names = zip(*(pd.factorize(known[name], sort=True) for name in (*STATE, "item")),
                       strict=True)  # fmt: skip
    shape = tuple(len(one) for one in names)
    cells = np.ravel_multi_index(codes, shape)
    counts = np.bincount(cells, minlength=int(np.prod(shape)))
    sums = np.bincount(cells, weights=known[value].to_numpy(float), minlength=len(counts))
    grid = np.divide(sums, counts, out=np.full(len(sums), nan), where=counts > 0).reshape(shape)
    held = ~np.isnan(grid)
    means = np.divide(
        np.where(held, grid, 0).sum(axis=2), held.sum(axis=2), out=np.full(shape[:2], nan),
        where=held.any(axis=2),
    )  # fmt: skip
    return Measured(
        place=place, revisions=tuple(map(str, names[0])), languages=tuple(map(str, names[1])),
        values=means, grid=grid, cut=_cut(known, names[0]), share=share,
    )  # fmt: skip


def of_pairs(frame: pd.DataFrame, place: Place, *, value: str) -> Measured:
    """A measure of ordered pairs of languages; one's own value is its mean as `target`.

    Args:
        frame: `revision`, `source`, `target` and the value.
        place: which measure of which model.
        value: the column of the numbers.
    """
    known = frame[frame[value].notna()]
    codes, revisions = pd.factorize(known["revision"], sort=True)
    languages = sorted({*known["source"], *known["target"]})
    places = {code: number for number, code in enumerate(languages)}
    pairs = np.full((len(revisions), len(languages), len(languages)), nan)
    sides = (known[side].map(places).to_numpy() for side in ("source", "target"))
    pairs[(codes, *sides)] = known[value].to_numpy(float)
    there = ~np.isnan(pairs)
    means = np.divide(
        np.where(there, pairs, 0).sum(axis=1), there.sum(axis=1),
        out=np.full(there.shape[:2], nan), where=there.any(axis=1),
    )  # fmt: skip
    return Measured(
        place=place, revisions=tuple(map(str, revisions)), languages=tuple(languages), values=means,
        pairs=pairs, cut=(0,) * len(revisions),
    )  # fmt: skip


def by_place(
    frame: pd.DataFrame, *, of: str, conditions: Sequence[str]
) -> list[tuple[Place, pd.DataFrame]]:
    """The rows of every measure of a frame, of models with two states.

    Args:
        frame: `model`, `revision`, `measure` (its name) and what is named.
        of: the column of the benchmark or data set.
        conditions: columns whose values are named where one measure has several.
    """
    if frame.empty:
        return []
    named = frame[frame.groupby("model")["revision"].transform("nunique") > 1]
    varying = [
        name
        for name in conditions
        if named.groupby(["model", "measure", of])[name].nunique(dropna=False).max() > 1
    ]
    found = []
    keys = ["model", "measure", of, *varying]
    for values, group in named.groupby(keys, sort=True, dropna=False):
        model, name, where, *rest = values
        found.append((Place(str(model), str(name), str(where), _words(rest)), group))
    return found


def _words(values: Sequence[Hashable]) -> str:
    """Conditions in words; a missing one is none."""
    return ", ".join(str(value) for value in values if value == value and value is not None)


def _cut(frame: pd.DataFrame, revisions: pd.Index) -> tuple[int, ...]:
    """How many rows of each state were cut; 0 where that is not kept."""
    if "truncated" not in frame:
        return (0,) * len(revisions)
    counts = pd.to_numeric(frame["truncated"], errors="coerce").fillna(0)
    sums = counts.groupby(frame["revision"]).sum()
    return tuple(int(sums.get(revision, 0)) for revision in revisions)


def _mean(values: Floats) -> float:
    """The mean over languages of each one's mean, NaN ones left out."""
    held = ~np.isnan(values)
    counts = held.sum(axis=1)
    if not counts.any():
        return nan
    sums = np.where(held, values, 0).sum(axis=1)
    return float((sums[counts > 0] / counts[counts > 0]).mean())

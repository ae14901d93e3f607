"""Where a series changes its level: binary segmentation, each split tested by permutation.

A stretch of the series is cut where its two parts explain most of the variance (Scott and Knott
1974), and the cut stands if few orders of the same values would give one as large (the maximum over
all places is compared with the maximum of every order, so that looking everywhere costs nothing).
The test supposes that without a change all orders are equally likely: values around one level,
whatever their distribution. A slow rise breaks that too and is found as a change of level; `slope`
tells the two apart by fit alone.
"""

from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.statistics.intervals import NO_SPREAD

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int32]

DRAWS = 999
SEED = 0
LEVEL = 0.05
# By what part two sums of the same values in another order may differ.
EQUAL = 1e-9
# Values of a part: one alone is an outlier and no level.
SHORTEST = 2
# From so many values on a split can have p < .05: two of all C(8, 4) orders are as extreme.
FEWEST = next(n for n in range(2, 99) if 2 / comb(n, n // 2) < LEVEL)


class Split(NamedTuple):
    """A change of level between two values of a series.

    Attributes:
        place: index of the first value behind it.
        start, end: the stretch that it divides, `values[start:end]`.
        before, after: means of the parts on both sides.
        p: the permutation p of this stretch alone.
        slope: whether a straight line over the stretch fits better than the two levels.
    """

    place: int
    start: int
    end: int
    before: float
    after: float
    p: float
    slope: bool


def split(values: Floats, *, draws: int = DRAWS, start: int = 0) -> Split | None:
    """The best cut of a whole stretch; None below 8 values, or where they are all alike.

    Args:
        values: in order, without gaps.
        draws: how many orders are drawn; the smallest p is 1 / (1 + draws).
        start: index of the first value in the series that it is a part of.
    """
    n = len(values)
    if n < FEWEST or float(np.ptp(values)) <= NO_SPREAD * max(1.0, float(np.abs(values).max())):
        return None
    centred = values - values.mean()
    seen = _between(centred[None])[0]
    cut = int(seen.argmax())
    largest = _between(centred[_orders(n, draws)]).max(axis=1)
    reached = int((largest >= seen[cut] * (1 - EQUAL)).sum())
    place = cut + SHORTEST
    levels = float((centred**2).sum()) - float(seen[cut])
    return Split(
        place=start + place,
        start=start,
        end=start + n,
        before=float(values[:place].mean()),
        after=float(values[place:].mean()),
        p=(1 + reached) / (1 + draws),
        slope=_around_a_line(centred) < levels,
    )


def further(
    values: Floats, first: Split, *, p: float, tests: int = 1, draws: int = DRAWS
) -> list[tuple[Split, float]]:
    """The cuts inside the parts of a first one that stands, and theirs, each with its corrected p.

    The p of a stretch is multiplied by how many times it would fit into the series (Meinshausen
    2008) and by the number of `tests`, series that are looked at together, and is at least that of
    the stretch it lies in; below 0.05 it stands. `p` is the first one's, corrected.
    """
    found: list[tuple[Split, float]] = []
    if not p < LEVEL:
        return found
    for start, end in ((first.start, first.place), (first.place, first.end)):
        part = split(values[start:end], draws=draws, start=start)
        if part is None:
            continue
        corrected = min(1.0, max(p, part.p * len(values) / (end - start) * tests))
        if corrected < LEVEL:
            found.append((part, corrected))
            found += further(values, part, p=corrected, tests=tests, draws=draws)
    return sorted(found, key=lambda one: one[0].place)


def draws_for(tests: int) -> int:
    """How many orders to draw so that a p can stay below 0.05 after correction for `tests`."""
    return max(DRAWS, 80 * tests)


def _between(rows: Floats) -> Floats:
    """Variance explained by a cut at every place [row, place], of rows of mean 0."""
    n = rows.shape[1]
    sizes = np.arange(SHORTEST, n - SHORTEST + 1, dtype=float)
    sums = np.cumsum(rows, axis=1)[:, SHORTEST - 1 : n - SHORTEST]
    found: Floats = sums**2 * (n / (sizes * (n - sizes)))
    return found


def _around_a_line(centred: Floats) -> float:
    """The sum of squares around the least-squares line."""
    x = np.arange(len(centred)) - (len(centred) - 1) / 2
    slope = float(x @ centred) / float(x @ x)
    return float(((centred - slope * x) ** 2).sum())


@lru_cache(maxsize=4)
def _orders(n: int, draws: int) -> Wholes:
    """Orders of n things, one per row; always the same ones."""
    random = np.random.default_rng([SEED, n])
    every = np.broadcast_to(np.arange(n, dtype=np.int32), (draws, n))
    found: Wholes = random.permuted(every, axis=1)
    return found

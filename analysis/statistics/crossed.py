"""Random intercepts of crossed factors: the penalised system that every mixed model solves.

With intercepts u of unit variance, relative deviations theta and weights W it is
A = L Z'W Z L + 1, where Z says which level a row has and L is diagonal with theta (Bates et al.
2015, doi 10.18637/jss.v067.i01, eq. 16). The factor with most levels has a diagonal block and is
eliminated first, so only the levels of the others are ever one dense matrix: rows cost one pass,
and the number of items does not matter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

# Levels of all factors but the largest, and cells of their table with it: both are dense.
MOST = 4000
MOST_CELLS = 100_000_000


class Tables(NamedTuple):
    """Z'W Z in blocks: of the largest factor [q1], with the others [q1, qo], of those [qo, qo]."""

    first: Floats
    cross: Floats
    others: Floats


class Solved(NamedTuple):
    """A = L Z'W Z L + 1, decomposed."""

    diagonal: Floats
    cross: Floats
    root: tuple[Floats, bool]
    logdet: float

    def solve(self, right: Floats) -> Floats:
        """A^-1 right, for right [q] or [q, columns]."""
        size = len(self.diagonal)
        above, below = right[:size], right[size:]
        divided = (above.T / self.diagonal).T
        if not len(below):
            return divided
        others = cho_solve(self.root, below - self.cross.T @ divided)
        return np.concatenate([((above - self.cross @ others).T / self.diagonal).T, others])

    def square(self, right: Floats) -> Floats:
        """right' A^-1 right [columns, columns], symmetric to the last bit."""
        size = len(self.diagonal)
        above, below = right[:size], right[size:]
        half = (above.T / np.sqrt(self.diagonal)).T
        found: Floats = half.T @ half
        if len(below):
            rest = below - self.cross.T @ (above.T / self.diagonal).T
            half = solve_triangular(self.root[0], rest, lower=self.root[1])
            found = found + half.T @ half
        return found


class Crossed:
    """The levels of rows by factor, and what is counted over them.

    Args:
        codes: by factor the level of each row, from 0 up without gaps.

    Raises:
        ValueError: the factors but the largest have too many levels.
    """

    def __init__(self, codes: Sequence[Ints]) -> None:
        """Count which levels meet which."""
        sizes = [int(one.max()) + 1 for one in codes]
        # The places of the given factors in our order, the one with most levels first.
        self.order = sorted(range(len(codes)), key=lambda place: -sizes[place])
        self.codes = [np.asarray(codes[place], np.intp) for place in self.order]
        self.sizes = [sizes[place] for place in self.order]
        self.starts = np.cumsum([0, *self.sizes])
        rest = sum(self.sizes[1:])
        if rest > MOST or rest * self.sizes[0] > MOST_CELLS:
            raise ValueError(
                f"the random terms have {' and '.join(map(str, self.sizes))} levels, too many to "
                f"be solved together: leave one out, or use errors='cluster' without random terms"
            )
        self._pairs = [
            (one, two, *self._joint(one, two))
            for one in range(len(codes))
            for two in range(one + 1, len(codes))
        ]

    def sums(self, values: Floats) -> Floats:
        """Z'values: sums of values [rows] by level, all factors under each other."""
        return np.concatenate(
            [
                np.bincount(code, values, minlength=size)
                for code, size in zip(self.codes, self.sizes, strict=True)
            ]
        )

    def spread(self, levels: Floats) -> Floats:
        """Z levels: for each row the sum of its levels' numbers."""
        found = levels[: self.sizes[0]][self.codes[0]]
        for code, start in zip(self.codes[1:], self.starts[1:], strict=False):
            found = found + levels[start + code]
        return found

    def by_level(self, theta: Floats) -> Floats:
        """The number of each factor, in the order they were given, repeated over its levels."""
        return np.repeat(np.asarray(theta, float)[self.order], self.sizes)

    def tables(self, weights: Floats | None = None) -> Tables:
        """Z'W Z, with one weight per row or all 1."""
        diagonals = [
            np.bincount(code, weights, minlength=size).astype(float)
            for code, size in zip(self.codes, self.sizes, strict=True)
        ]
        first, rest = self.sizes[0], sum(self.sizes[1:])
        others = np.diag(np.concatenate([np.zeros(0), *diagonals[1:]]))
        cross = np.zeros((first, rest))
        for one, two, joint, rows, columns in self._pairs:
            counted = np.bincount(joint, weights, minlength=len(rows)).astype(float)
            columns = columns + self.starts[two] - first
            if one:
                rows = rows + self.starts[one] - first
                others[rows, columns] = others[columns, rows] = counted
            else:
                cross[rows, columns] = counted
        return Tables(diagonals[0], cross, others)

    def solved(self, tables: Tables, theta: Floats) -> Solved:
        """The system at relative deviations theta, one per factor in the order they were given."""
        scale = self.by_level(theta)
        first, rest = scale[: self.sizes[0]], scale[self.sizes[0] :]
        diagonal = 1 + first**2 * tables.first
        cross = first[:, None] * tables.cross * rest
        inner = np.eye(len(rest)) + rest[:, None] * tables.others * rest
        inner -= cross.T @ (cross / diagonal[:, None])
        root = cho_factor(inner, lower=True) if len(rest) else (inner, True)
        logdet = float(np.log(diagonal).sum() + 2 * np.log(np.diag(root[0])).sum())
        return Solved(diagonal, cross, root, logdet)

    def variances(self, solved: Solved, theta: Floats) -> tuple[Floats, Floats]:
        """The diagonal of A^-1 by level [q], and that of Z L A^-1 L Z' by row [n]."""
        scale, first = self.by_level(theta), self.sizes[0]
        ordered = np.asarray(theta, float)[self.order]
        others = cho_solve(solved.root, np.eye(len(scale) - first))
        half = solved.cross / solved.diagonal[:, None]
        across = -half @ others
        own = 1 / solved.diagonal - (across * half).sum(axis=1)
        by_level = np.concatenate([own, np.diag(others)])
        by_row = self.spread(scale**2 * by_level)
        for one, two, joint, rows, columns in self._pairs:
            columns = columns + self.starts[two] - first
            entries = (
                others[rows + self.starts[one] - first, columns] if one else across[rows, columns]
            )
            by_row = by_row + 2 * ordered[one] * ordered[two] * entries[joint]
        return by_level, by_row

    def _joint(self, one: int, two: int) -> tuple[Ints, Ints, Ints]:
        """For each row its pair of levels, and by pair the level of either factor."""
        both = self.codes[one] * self.sizes[two] + self.codes[two]
        pairs, joint = np.unique(both, return_inverse=True)
        return joint, pairs // self.sizes[two], pairs % self.sizes[two]

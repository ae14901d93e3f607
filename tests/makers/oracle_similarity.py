"""Slow, obvious twins of the similarities: written from their definitions, in numpy, with loops."""

import itertools
import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tests.makers import oracle

Matrix = npt.NDArray[np.float64]


def cka(x: Matrix, y: Matrix) -> float:
    """||X'Y||^2 / (||X'X|| ||Y'Y||) of centred columns, with features rather than items."""
    x, y = x - x.mean(0), y - y.mean(0)
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(((x.T @ y) ** 2).sum() / own)


def debiased_cka(x: Matrix, y: Matrix) -> float:
    """The same with HSIC as a mean over all ordered quadruples of different items."""
    k, m = x @ x.T, y @ y.T

    def hsic(first: Matrix, second: Matrix) -> float:
        terms = [
            first[t, u] * (second[t, u] + second[v, w] - 2 * second[t, v])
            for t, u, v, w in itertools.permutations(range(len(first)), 4)
        ]
        return sum(terms) / len(terms)

    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def svcca(x: Matrix, y: Matrix, *, keep: float) -> float:
    """SVD of each side, then canonical correlations of what is kept through whitening."""
    first, second = _kept(x, keep), _kept(y, keep)
    cross = _root(first.T @ first) @ (first.T @ second) @ _root(second.T @ second)
    return float(np.linalg.svd(cross, compute_uv=False).mean())


def anc(x: Matrix, y: Matrix, *, absolute: bool = False) -> float:
    """The mean over columns of Pearson's r, 0 where a column does not vary."""
    found = []
    for first, second in zip(x.T, y.T, strict=True):
        flat = np.ptp(first) == 0 or np.ptp(second) == 0
        r = 0.0 if flat else float(np.corrcoef(first, second)[0, 1])
        found.append(abs(r) if absolute else r)
    return float(np.mean(found))


def pair_cosine(x: Matrix, y: Matrix, *, centred: bool = False) -> float:
    """The mean over pairs of the cosine, NaN if one has none; if asked, less each side's mean."""
    found = []
    for first, second in zip(x, y, strict=True):
        if centred:
            first = first - sum(x) / len(x)
            second = second - sum(y) / len(y)
        length = math.sqrt(sum(first**2)) * math.sqrt(sum(second**2))
        found.append(sum(first * second) / length if length else math.nan)
    return sum(found) / len(found)


def within_bands(similarity: list[list[float]], *, order: list[int], sizes: list[int]) -> float:
    """The share of pairs aligned with competitors of their own band alone; bands follow `order`."""
    count = start = 0
    for size in sizes:
        band = order[start : start + size]
        count += oracle.mutual_nearest([[similarity[i][j] for j in band] for i in band])[0]
        start += size
    return count / len(similarity)


def retrieval(pivots: list[Tensor], texts: list[Tensor]) -> tuple[float, float, float]:
    """Share of pivots that find their text, of texts that find their pivot, and the mean margin."""
    places = range(len(pivots))
    table = [[oracle.cosine(pivot, text) for text in texts] for pivot in pivots]
    forward = backward = 0
    margins = []
    for own in places:
        others = [other for other in places if other != own]
        across = max(table[own][other] for other in others)
        down = max(table[other][own] for other in others)
        value = table[own][own]
        forward += value > across + oracle.EQUAL
        backward += value > down + oracle.EQUAL
        if value > -math.inf and max(across, down) > -math.inf:
            margins.append(value - max(across, down))
    mean = sum(margins) / len(margins) if margins else math.nan
    return forward / len(pivots), backward / len(pivots), mean


def _kept(x: Matrix, keep: float) -> Matrix:
    left, size, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    count = int(keep)
    if keep < 1:
        count = next(
            number
            for number in range(1, len(size) + 1)
            if (size[:number] ** 2).sum() >= keep * (size**2).sum()
        )
    count = min(count, int((size > 1e-7 * size[0]).sum()))  # what does not vary is no direction
    return left[:, :count] * size[:count]


def _root(square: Matrix) -> Matrix:
    """The inverse square root of a positive matrix."""
    values, vectors = np.linalg.eigh(square)
    return vectors @ np.diag(values**-0.5) @ vectors.T

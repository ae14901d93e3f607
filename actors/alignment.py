"""Score how well two languages' vectors find each other: strict mutual nearest neighbours.

Pair i is aligned when its two vectors are more similar than either is to any other item's vector
of the other language (MEXA; NeuronXA, section 2.3). Similarities are cosines in float64, where
rounding cannot tell two equal cosines apart; within `EQUAL` they count as equal, and an equal
competitor is not beaten. What the vectors are is unknown here.
"""

from typing import NamedTuple

import torch
from scipy.stats import binom
from torch import Tensor

# Shapes: N pairs, D width of a vector

EQUAL = 1e-12


class Alignment(NamedTuple):
    """The share of aligned pairs, their number, near misses, and how surprising the number is.

    `ties` are pairs that fail only because a competitor is exactly as similar. `p_null` is the
    probability of a count at least this high if similarities carried no information.
    """

    value: float
    count: int  # type: ignore[assignment]  # tuple.count is not needed here
    ties: int
    p_null: float


def align(pivot_ND: Tensor, language_ND: Tensor) -> Alignment:
    """Score parallel vectors: row i of both says the same thing.

    A zero vector has no direction: its pair is never aligned and it competes with nobody.

    Raises:
        ValueError: fewer than two pairs, or shapes that differ.
    """
    if pivot_ND.shape != language_ND.shape:
        raise ValueError(
            f"vectors of shape {tuple(pivot_ND.shape)} and {tuple(language_ND.shape)} cannot be "
            "paired: expected one row per sentence pair in both"
        )
    pivot_ND, language_ND = pivot_ND.double(), language_ND.double()
    pivot_N1 = pivot_ND.norm(dim=1, keepdim=True)
    language_N1 = language_ND.norm(dim=1, keepdim=True)
    similarity_NN = (pivot_ND / pivot_N1) @ (language_ND / language_N1).T
    directed_NN = (pivot_N1 > 0) & (language_N1 > 0).T
    return mutual_nearest(similarity_NN.where(directed_NN, -torch.inf))


def mutual_nearest(similarity_NN: Tensor) -> Alignment:
    """Score a matrix of similarities [pivot item, language item]; -inf stands for undefined.

    Raises:
        ValueError: fewer than two items, so that nothing competes.
    """
    items = len(similarity_NN)
    if items < 2:
        raise ValueError(
            f"{items} sentence pairs: expected at least 2, as a pair is scored against the others"
        )
    own_N = similarity_NN.diagonal()
    others_NN = similarity_NN.clone().fill_diagonal_(-torch.inf)
    rival_N = torch.maximum(others_NN.amax(dim=0), others_NN.amax(dim=1))
    defined_N = own_N > -torch.inf
    aligned_N = defined_N & (own_N > rival_N + EQUAL)
    tied_N = defined_N & ~aligned_N & (own_N >= rival_N - EQUAL)
    count, ties = (int(number) for number in torch.stack([aligned_N.sum(), tied_N.sum()]).tolist())
    return Alignment(
        value=count / items, count=count, ties=ties, p_null=chance_of(count, items=items)
    )


def chance_of(count: int, *, items: int) -> float:
    """P(at least `count` of `items` aligned) when each is the largest of 2n-1 equal rivals."""
    return float(binom.sf(count - 1, items, 1 / (2 * items - 1)))

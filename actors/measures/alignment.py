"""Score how well two languages' vectors find each other: strict mutual nearest neighbours.

Pair i is aligned when its two vectors are more similar than either is to any other item's vector
of the other language (MEXA; NeuronXA, section 2.3). Similarities are cosines in float64, where
rounding cannot tell two equal cosines apart; within `EQUAL` they count as equal, and an equal
competitor is not beaten.
"""

from typing import NamedTuple

import torch
from scipy.stats import binom
from torch import Tensor

# Shapes: N pairs, D width of a vector

EQUAL = 1e-12


class Alignment(NamedTuple):
    """The share of aligned pairs, their number, near misses, and how surprising the number is.

    `ties` are pairs whose best competitor is exactly as similar. `p_null` is the probability of a
    count at least this high if similarities carried no information. `forward` is the share of
    pivot items that find their translation, `backward` that of the other language's items
    (retrieval; NeuronXA, Tables 1 and 5); a pair is aligned if both do. `margin` is the mean
    difference between a pair's similarity and its best competitor's, over pairs that have both.
    """

    value: float
    count: int  # type: ignore[assignment]  # tuple.count is not needed here
    ties: int
    p_null: float
    forward: float
    backward: float
    margin: float


def align(pivot_ND: Tensor, language_ND: Tensor, *, ties_pass: bool = False) -> Alignment:
    """Score parallel vectors: row i of both says the same thing.

    A zero vector has no direction: its pair is never aligned and it competes with nobody.

    Raises:
        ValueError: fewer than two pairs, or shapes that differ.
    """
    return mutual_nearest(similarity(pivot_ND, language_ND), ties_pass=ties_pass)


def similarity(pivot_ND: Tensor, language_ND: Tensor) -> Tensor:
    """Cosines [pivot item, language item] in float64; -inf where a vector is zero.

    Raises:
        ValueError: shapes that differ.
    """
    if pivot_ND.shape != language_ND.shape:
        raise ValueError(
            f"vectors of shape {tuple(pivot_ND.shape)} and {tuple(language_ND.shape)} cannot be "
            "paired: expected one row per sentence pair in both"
        )
    pivot_ND, language_ND = pivot_ND.double(), language_ND.double()
    pivot_N1 = pivot_ND.norm(dim=1, keepdim=True)
    language_N1 = language_ND.norm(dim=1, keepdim=True)
    similarity_NN: Tensor = (pivot_ND / pivot_N1) @ (language_ND / language_N1).T
    directed_NN = (pivot_N1 > 0) & (language_N1 > 0).T
    return similarity_NN.where(directed_NN, -torch.inf)


def mutual_nearest(similarity_NN: Tensor, *, ties_pass: bool = False) -> Alignment:
    """Score a matrix of similarities [pivot item, language item]; -inf stands for undefined.

    `ties_pass` aligns a pair that no competitor exceeds; else it has to exceed them all.

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
    across_N, down_N = others_NN.amax(dim=1), others_NN.amax(dim=0)
    rival_N = torch.maximum(across_N, down_N)
    defined_N = own_N > -torch.inf
    needed = -EQUAL if ties_pass else EQUAL
    forward_N = defined_N & (own_N > across_N + needed)
    backward_N = defined_N & (own_N > down_N + needed)
    tied_N = defined_N & (own_N <= rival_N + EQUAL) & (own_N >= rival_N - EQUAL)
    compared_N = defined_N & (rival_N > -torch.inf)
    margins_N = (own_N - rival_N).where(compared_N, 0.0)
    sums = torch.stack(
        [
            (forward_N & backward_N).sum(),
            tied_N.sum(),
            forward_N.sum(),
            backward_N.sum(),
            compared_N.sum(),
            margins_N.sum(),
        ]
    ).tolist()
    count, ties, forward, backward, compared = (int(number) for number in sums[:-1])
    return Alignment(
        value=count / items,
        count=count,
        ties=ties,
        p_null=chance_of(count, items=items),
        forward=forward / items,
        backward=backward / items,
        margin=sums[-1] / compared if compared else float("nan"),
    )


def chance_of(count: int, *, items: int) -> float:
    """P(at least `count` of `items` aligned) when each is the largest of 2n-1 equal rivals."""
    return float(binom.sf(count - 1, items, 1 / (2 * items - 1)))

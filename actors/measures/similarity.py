"""Compare two languages' vectors as wholes: CKA, SVCCA and ANC, and the mean cosine of a pair.

The first three are the baselines of NeuronXA; CKA and cosine are also those of the latent-process
study. Row i of both matrices says the same thing. Each measure is one number for all rows together,
where alignment.py judges every pair; all are computed in float64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# Shapes: N items, D width of a vector, R directions kept

# Centred values this far below the values themselves are rounding, not variation.
FLAT = 1e-12
# Directions with a smaller share of the largest variance are rounding.
RANK = 1e-14


class Neurons(NamedTuple):
    """The mean correlation over neurons, and how many were constant and counted as 0."""

    value: float
    constant: int


def cka(pivot_ND: Tensor, language_ND: Tensor, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019): 1 for equal geometry.

    The plain value rises with D / N even for independent vectors; `debiased` takes the unbiased
    estimator of HSIC instead (Song et al. 2012), whose expectation is then 0, and which may be
    negative. NaN where one side does not vary.

    Raises:
        ValueError: shapes differ, or there are too few items (2, or 4 if debiased).
    """
    _check(pivot_ND, language_ND, fewest=4 if debiased else 2)
    hsic = _unbiased_hsic if debiased else _biased_hsic
    first_NN, second_NN = _products(pivot_ND), _products(language_ND)
    own = hsic(first_NN, first_NN) * hsic(second_NN, second_NN)
    return float(hsic(first_NN, second_NN) / own.sqrt()) if own > 0 else float("nan")


def svcca(pivot_ND: Tensor, language_ND: Tensor, *, keep: float = 20) -> float:
    """Mean canonical correlation between the leading directions (Raghu et al. 2017).

    `keep` is how many directions of each side are compared, or, below 1, the share of variance
    they have to hold. With nearly as many directions as items the value is 1 for any vectors. NaN
    where one side does not vary.

    Raises:
        ValueError: shapes differ, there are fewer than 2 items, or `keep` is not positive.
    """
    _check(pivot_ND, language_ND, fewest=2)
    if not keep > 0:
        raise ValueError(f"svcca keeps {keep} directions: expected a number from 1, or a share")
    first_NR, second_NR = _directions(pivot_ND, keep), _directions(language_ND, keep)
    if not first_NR.shape[1] or not second_NR.shape[1]:
        return float("nan")
    # Both are orthonormal and centred: their products' singular values are the correlations.
    return float(torch.linalg.svdvals(first_NR.T @ second_NR).clamp(max=1).mean())


def anc(pivot_ND: Tensor, language_ND: Tensor, *, absolute: bool = False) -> Neurons:
    """Average neuron-wise correlation (Del and Fishel 2022): Pearson's r per column, then the mean.

    Signed, as in the authors' code, unless `absolute`. A column that is constant on either side
    has no correlation: it counts as 0 and is counted.

    Raises:
        ValueError: shapes differ, or there are fewer than 2 items.
    """
    _check(pivot_ND, language_ND, fewest=2)
    first_ND, first_D = _standardised(pivot_ND)
    second_ND, second_D = _standardised(language_ND)
    r_D = (first_ND * second_ND).sum(dim=0)
    r_D = (r_D.abs() if absolute else r_D).where(first_D & second_D, 0.0)
    return Neurons(value=float(r_D.mean()), constant=int((~(first_D & second_D)).sum()))


def cosine(pivot_ND: Tensor, language_ND: Tensor, *, centred: bool = False) -> float:
    """Mean cosine of a pair's two vectors (arXiv 2505.13141, version 3).

    `centred` takes each language's mean away first: a direction that all states share raises every
    plain cosine. NaN where a vector has no direction; a single pair has none when centred.

    Raises:
        ValueError: shapes differ, or there is no pair.
    """
    _check(pivot_ND, language_ND, fewest=1)
    read = _centred if centred else Tensor.double
    first_ND, second_ND = read(pivot_ND), read(language_ND)
    length_N = first_ND.norm(dim=1) * second_ND.norm(dim=1)
    return float(((first_ND * second_ND).sum(dim=1) / length_N).mean())


def _check(pivot_ND: Tensor, language_ND: Tensor, *, fewest: int) -> None:
    """Refuse what cannot be compared."""
    if pivot_ND.shape != language_ND.shape:
        raise ValueError(
            f"vectors of shape {tuple(pivot_ND.shape)} and {tuple(language_ND.shape)} cannot be "
            "compared: expected one row per sentence pair in both"
        )
    if len(pivot_ND) < fewest:
        raise ValueError(f"{len(pivot_ND)} sentence pairs: expected at least {fewest}")


def _centred(vectors_ND: Tensor) -> Tensor:
    """Each column less its mean, exactly 0 where it does not vary."""
    vectors_ND = vectors_ND.double()
    centred_ND = vectors_ND - vectors_ND.mean(dim=0)
    flat_D = centred_ND.norm(dim=0) <= FLAT * vectors_ND.norm(dim=0)
    return centred_ND.where(~flat_D, 0.0)


def _products(vectors_ND: Tensor) -> Tensor:
    """The matrix of products between items."""
    centred_ND = _centred(vectors_ND)
    products_NN: Tensor = centred_ND @ centred_ND.T
    return products_NN


def _biased_hsic(first_NN: Tensor, second_NN: Tensor) -> Tensor:
    """HSIC of centred kernels, up to a factor that cancels."""
    return (first_NN * second_NN).sum()


def _unbiased_hsic(first_NN: Tensor, second_NN: Tensor) -> Tensor:
    """The unbiased estimator of HSIC, up to the factor 1 / (n (n - 3)), which cancels."""
    n = len(first_NN)
    first_NN = first_NN.clone().fill_diagonal_(0)
    second_NN = second_NN.clone().fill_diagonal_(0)
    first_N, second_N = first_NN.sum(dim=1), second_NN.sum(dim=1)
    joint = (first_NN * second_NN).sum()
    totals = first_N.sum() * second_N.sum() / ((n - 1) * (n - 2))
    return joint + totals - 2 / (n - 2) * (first_N @ second_N)


def _directions(vectors_ND: Tensor, keep: float) -> Tensor:
    """The leading left singular vectors [N, R] of the centred vectors."""
    variance_N, left_NN = torch.linalg.eigh(_products(vectors_ND))
    variance_N, left_NN = variance_N.flip(0), left_NN.flip(1)
    rank = int((variance_N > RANK * variance_N[0]).sum()) if variance_N[0] > 0 else 0
    kept = int(keep)
    if keep < 1:
        share_R = variance_N[:rank].cumsum(0) / variance_N[:rank].sum()
        kept = int((share_R < keep).sum()) + 1
    directions_NR: Tensor = left_NN[:, : min(kept, rank)]
    return directions_NR


def _standardised(vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Centred columns of length 1, and which columns vary."""
    centred_ND = _centred(vectors_ND)
    length_D = centred_ND.norm(dim=0)
    varies_D = length_D > 0
    return centred_ND / length_D.where(varies_D, 1.0), varies_D

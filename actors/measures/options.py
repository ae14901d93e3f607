"""Is each option of an item nearest to its own translation? Margins of DALI and its relatives.

Sources: DALI and DALI_S (the strong form), the looser local and the gold-only rule of re-released
code, all on one item's J options in two languages. Similarities are cosines in float64; a margin
within `EQUAL` of zero is no alignment, as an equal competitor is not beaten (alignment.py).
"""

from collections.abc import Sequence
from math import comb

import torch
from torch import Tensor

from actors.measures.alignment import EQUAL, similarity

# Shapes: I items, J options, D width, N texts of one side


def cosines(one_IJD: Tensor, other_IJD: Tensor) -> Tensor:
    """Cosines [I, J, J] of every option of one side with every one of the other, fp64; NaN with a
    zero vector."""
    one_IJD, other_IJD = one_IJD.double(), other_IJD.double()
    one_IJD = one_IJD / one_IJD.norm(dim=-1, keepdim=True)
    other_IJD = other_IJD / other_IJD.norm(dim=-1, keepdim=True)
    found: Tensor = one_IJD @ other_IJD.transpose(-1, -2)
    return found


def settled(margin: Tensor) -> Tensor:
    """Margins with those that rounding cannot tell from zero as zero; NaN stays."""
    return margin.masked_fill(margin.abs() <= EQUAL, 0.0)


def dali(cross_IJJ: Tensor) -> Tensor:
    """Least similar matched pair minus most similar mismatched one [I]."""
    return settled(_matched(cross_IJJ).amin(dim=-1) - _mismatched(cross_IJJ).amax(dim=(-1, -2)))


def local(cross_IJJ: Tensor) -> Tensor:
    """The least over matched pairs of each minus the rivals in its row and column [I]."""
    rivals_IJJ = _mismatched(cross_IJJ)
    rival_IJ = torch.maximum(rivals_IJJ.amax(dim=-1), rivals_IJJ.amax(dim=-2))
    return settled((_matched(cross_IJJ) - rival_IJ).amin(dim=-1))


def gold_only(cross_IJJ: Tensor, gold_I: Tensor) -> Tensor:
    """The right option's pair minus the most similar of all other pairs [I]."""
    items = torch.arange(len(cross_IJJ))
    own_I = cross_IJJ[items, gold_I, gold_I]
    others_IJJ = cross_IJJ.clone()
    others_IJJ[items, gold_I, gold_I] = -torch.inf
    return settled(own_I - others_IJJ.amax(dim=(-1, -2)))


def strong(cross_IJJ: Tensor, pivot_IJJ: Tensor, own_IJJ: Tensor) -> Tensor:
    """As `dali`, with two options of one language as rivals too [I]."""
    rivals_I = torch.stack(
        [_mismatched(one).amax(dim=(-1, -2)) for one in (cross_IJJ, pivot_IJJ, own_IJJ)]
    ).amax(dim=0)
    return settled(_matched(cross_IJJ).amin(dim=-1) - rivals_I)


def mexa(pivot_ND: Tensor, language_ND: Tensor) -> Tensor:
    """Of every item, its cosine with its translation minus the largest with any other's [N].

    Raises:
        ValueError: fewer than two items.
    """
    if len(pivot_ND) < 2:
        raise ValueError(f"{len(pivot_ND)} items: expected at least 2, as one needs a rival")
    similarity_NN = similarity(pivot_ND, language_ND)
    others_NN = similarity_NN.clone().fill_diagonal_(-torch.inf)
    rival_N = torch.maximum(others_NN.amax(dim=0), others_NN.amax(dim=1))
    return settled(similarity_NN.diagonal() - rival_N)


def picked(cross_IJJ: Tensor, chosen: Sequence[Sequence[int]]) -> Tensor:
    """The rows and columns [I, K, K] of some options of each item."""
    place_IK = torch.tensor(chosen)
    rows_IKJ = cross_IJJ.gather(1, place_IK.unsqueeze(2).expand(-1, -1, cross_IJJ.shape[2]))
    return rows_IKJ.gather(2, place_IK.unsqueeze(1).expand(-1, place_IK.shape[1], -1))


def chance(options: int, *, strong: bool = False) -> float:
    """How often independent similarities of one distribution align J options.

    The J matched ones must be the largest of all J^2, or of those and the J(J-1) within languages.
    """
    rivals = options * options + (options * (options - 1) if strong else 0)
    return 1 / comb(rivals, options)


def _matched(cross_IJJ: Tensor) -> Tensor:
    return cross_IJJ.diagonal(dim1=-2, dim2=-1)


def _mismatched(cross_IJJ: Tensor) -> Tensor:
    """The similarities with -inf on the diagonal; NaN stays."""
    same_JJ = torch.eye(cross_IJJ.shape[-1], dtype=torch.bool)
    return cross_IJJ.masked_fill(same_JJ, -torch.inf)

"""How far a score of mutual nearest neighbours can be trusted: chance, sampling, hubs, duplicates.

All checks read the same matrix of similarities, so they cost next to nothing once activations are
there (NeuronXA prints a null level alone; the rest is what readers ask of MEXA and its kin). Draws
come from a seed. What the vectors are is unknown here.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from scipy.stats import skew
from torch import Tensor

from actors.alignment import EQUAL, mutual_nearest

# Shapes: N pairs, S draws

Name = Literal["permutation", "bootstrap", "half_1", "half_2", "distinct", "hubness", "csls"]

DRAWS = 1000
NEAREST = 10


class Check(NamedTuple):
    """What one check found over `n` pairs; `samples` is the number of draws, 0 where none are."""

    name: Name
    value: float
    n: int
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    samples: int = 0


def checks(
    similarity_NN: Tensor, *, texts: Sequence[tuple[str, str]], seed: int, ties_pass: bool = False
) -> list[Check]:
    """All checks of one matrix of similarities [pivot item, language item].

    Args:
        similarity_NN: cosines in float64, -inf where undefined.
        texts: the pivot's and the language's text of every pair, to tell duplicates.
        seed: of the draws.
        ties_pass: the rule for equal competitors, as in `mutual_nearest`.

    Raises:
        ValueError: fewer than 4 pairs, so that a half has no competitors.
    """
    n = len(similarity_NN)
    if n < 4:
        raise ValueError(f"{n} sentence pairs: the checks need at least 4, two for each half")
    generator = torch.Generator().manual_seed(seed)
    half = n // 2
    places = torch.arange(n, device=similarity_NN.device)
    kept = places[torch.tensor(first_of_their_kind(texts), device=similarity_NN.device)]

    def score(rows_M: Tensor) -> float:
        part_MM = similarity_NN[rows_M][:, rows_M]
        return mutual_nearest(part_MM, ties_pass=ties_pass).value if len(rows_M) > 1 else 0.0

    nearest_NN = _nearest_both_ways(similarity_NN, ties_pass=ties_pass).cpu()
    return [
        _permutation(nearest_NN, generator),
        _bootstrap(nearest_NN.diagonal().double(), generator),
        Check("half_1", score(places[:half]), n=half),
        Check("half_2", score(places[half:]), n=n - half),
        Check("distinct", score(kept), n=len(kept)),
        Check("hubness", hubness(similarity_NN), n=n),
        Check("csls", mutual_nearest(csls(similarity_NN), ties_pass=ties_pass).value, n=n),
    ]


def first_of_their_kind(texts: Sequence[tuple[str, str]]) -> list[bool]:
    """Which pairs repeat no text of an earlier pair, on neither side."""
    seen: tuple[set[str], set[str]] = (set(), set())
    found = []
    for pair in texts:
        new = not any(text in side for text, side in zip(pair, seen, strict=True))
        if new:
            for text, side in zip(pair, seen, strict=True):
                side.add(text)
        found.append(new)
    return found


def hubness(similarity_NN: Tensor, *, nearest: int = NEAREST) -> float:
    """Skewness of how often an item of the language is among a pivot item's nearest.

    0 without hubs (Radovanovic et al. 2010). 0 too where all are among the nearest of all.
    """
    n = len(similarity_NN)
    near_NK = similarity_NN.topk(min(nearest, n), dim=1).indices
    counts = torch.bincount(near_NK.flatten().cpu(), minlength=n).double()
    return float(skew(counts.numpy())) if counts.max() > counts.min() else 0.0


def csls(similarity_NN: Tensor, *, nearest: int = NEAREST) -> Tensor:
    """Similarities corrected for hubs: 2 cos - both items' mean over their nearest.

    Cross-domain similarity local scaling (Conneau et al. 2018). Undefined ones stay -inf.
    """
    size = min(nearest, len(similarity_NN))
    across_N1 = _mean_of_nearest(similarity_NN, size)
    down_1N = _mean_of_nearest(similarity_NN.T, size).T
    corrected_NN = 2 * similarity_NN - across_N1 - down_1N
    return corrected_NN.where(similarity_NN > -torch.inf, -torch.inf)


def _mean_of_nearest(similarity_NN: Tensor, size: int) -> Tensor:
    """The mean similarity of each row's nearest that are defined; 0 where none is."""
    near_NK = similarity_NN.topk(size, dim=1).values
    there_NK = near_NK > -torch.inf
    total_N1 = near_NK.where(there_NK, 0.0).sum(dim=1, keepdim=True)
    mean_N1: Tensor = total_N1 / there_NK.sum(dim=1, keepdim=True).clamp(min=1)
    return mean_N1


def _nearest_both_ways(similarity_NN: Tensor, *, ties_pass: bool) -> Tensor:
    """Which pairs of items [N, N] are more similar than all others in their row and column."""
    needed = -EQUAL if ties_pass else EQUAL
    beaten_NN = torch.ones_like(similarity_NN, dtype=torch.bool)
    for dimension in (0, 1):
        largest = similarity_NN.topk(2, dim=dimension).values
        first, second = largest.unbind(dimension)
        first, second = first.unsqueeze(dimension), second.unsqueeze(dimension)
        # The best of the others: the second best where an item is itself the best.
        rival_NN = torch.where(similarity_NN >= first, second, first)
        beaten_NN &= similarity_NN > rival_NN + needed
    return beaten_NN & (similarity_NN > -torch.inf)


def _permutation(nearest_NN: Tensor, generator: torch.Generator) -> Check:
    """The score when sentences are paired at random: competitors stay, partners are shuffled."""
    n = len(nearest_NN)
    orders_SN = torch.rand(DRAWS, n, generator=generator).argsort(dim=1)
    scores_S = nearest_NN[torch.arange(n), orders_SN].double().mean(dim=1)
    reached = int((scores_S >= nearest_NN.diagonal().double().mean()).sum())
    p = (1 + reached) / (1 + DRAWS)
    return Check("permutation", float(scores_S.mean()), n=n, p=p, samples=DRAWS)


def _bootstrap(aligned_N: Tensor, generator: torch.Generator) -> Check:
    """The 95 % interval over resampled pairs.

    Competitors stay the same: a sentence drawn twice would tie with its own copy.
    """
    n = len(aligned_N)
    drawn_SN = torch.randint(n, (DRAWS, n), generator=generator)
    scores_S = aligned_N[drawn_SN].mean(dim=1)
    low, high = scores_S.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    value = float(aligned_N.mean())
    return Check("bootstrap", value, n=n, low=low, high=high, samples=DRAWS)

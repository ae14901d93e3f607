"""How far a score of mutual nearest neighbours can be trusted: chance, sampling, length, hubs.

All checks read the same matrix of similarities, so they cost next to nothing once activations are
there (NeuronXA prints only a null level; the other checks answer common objections to MEXA and its
kin). Draws come from a seed.

Long sentences may find long ones and short ones short ones, whatever they say. `length_matched`
therefore lets pairs compete only within a band of about 20 of like length. Fewer competitors alone
raise a score, so it is to be compared with `length_random`, bands of the same sizes drawn at
random: as far as it lies below them, length helps to find a translation.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from scipy.stats import skew
from torch import Tensor

from actors.measures.alignment import EQUAL, mutual_nearest

# Shapes: N pairs, S draws, K bands, M pairs of the longest band

Name = Literal[
    "permutation",
    "bootstrap",
    "half_1",
    "half_2",
    "distinct",
    "hubness",
    "csls",
    "length_matched",
    "length_random",
]

DRAWS = 1000
NEAREST = 10
BAND = 20
SMALLEST_BAND = 4
BAND_DRAWS = 100


class Check(NamedTuple):
    """What one check found over `n` pairs; `samples` is the number of draws, 0 where none are.

    Of `length_matched` it is the number of bands.
    """

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
        texts: the pivot's and the language's text of every pair, to tell duplicates and lengths.
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
        *_lengths(similarity_NN, texts, generator, ties_pass=ties_pass),
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


def band_sizes(n: int) -> list[int]:
    """How many of `n` pairs each band of like length has: about 20, at least 4, and one band alone
    where there are fewer than 8.
    """
    bands = max(2, round(n / BAND)) if n >= 2 * SMALLEST_BAND else 1
    return [n // bands + (place < n % bands) for place in range(bands)]


def by_length(texts: Sequence[tuple[str, str]]) -> list[int]:
    """The pairs from short to long, by characters of the pivot's text, then of the language's."""
    return sorted(range(len(texts)), key=lambda place: tuple(map(len, texts[place])))


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


def _lengths(
    similarity_NN: Tensor,
    texts: Sequence[tuple[str, str]],
    generator: torch.Generator,
    *,
    ties_pass: bool,
) -> list[Check]:
    """The score among pairs of like length, and among as many drawn at random."""
    n = len(similarity_NN)
    sizes = band_sizes(n)
    orders = [torch.tensor(by_length(texts))]
    orders += list(torch.rand(BAND_DRAWS, n, generator=generator).argsort(dim=1))
    found = [_within_bands(similarity_NN, order, sizes, ties_pass=ties_pass) for order in orders]
    matched, *drawn = torch.stack(found).double().cpu() / n
    drawn_S = torch.stack(drawn)
    low, high = drawn_S.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return [
        Check("length_matched", float(matched), n=n, samples=len(sizes)),
        Check("length_random", float(drawn_S.mean()), n=n, low=low, high=high, samples=BAND_DRAWS),
    ]


def _within_bands(
    similarity_NN: Tensor, order_N: Tensor, sizes: Sequence[int], *, ties_pass: bool
) -> Tensor:
    """How many pairs are aligned when consecutive ones of an order compete band by band.

    Bands differ by one pair at most, so all are compared at once; -inf fills the shorter ones.
    """
    longest = max(sizes)
    bands_KM = torch.nn.utils.rnn.pad_sequence(
        list(torch.split(order_N, list(sizes))), batch_first=True, padding_value=-1
    ).to(similarity_NN.device)
    there_KM = bands_KM >= 0
    part_KMM = similarity_NN[bands_KM.unsqueeze(2), bands_KM.unsqueeze(1)]
    part_KMM = part_KMM.where(there_KM.unsqueeze(2) & there_KM.unsqueeze(1), -torch.inf)
    own_KM = part_KMM.diagonal(dim1=1, dim2=2)
    itself_MM = torch.eye(longest, dtype=torch.bool, device=part_KMM.device)
    others_KMM = part_KMM.masked_fill(itself_MM, -torch.inf)
    rival_KM = torch.maximum(others_KMM.amax(dim=1), others_KMM.amax(dim=2))
    needed = -EQUAL if ties_pass else EQUAL
    count: Tensor = (own_KM > rival_KM + needed).sum()
    return count

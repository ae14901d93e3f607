"""Which neurons Int-mu overwrites in each language (Mondal et al. 2025), by either selector.

LAPE (Tang et al. 2024): how often a neuron fires in each language, normalised over languages, is a
distribution; the neurons of lowest entropy are those of few languages. Left out are neurons that
fire rarely everywhere, and a neuron belongs to each language in which it fires often.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

# Shapes: K languages, L layers, F neurons

OFTEN = 0.95  # percentile of all shares above which a neuron fires often
LAPE_SHARE = 0.01
ACT_PROB_SHARE = 0.00125


def lape(fires_KLF: Tensor) -> Tensor:
    """The neurons [K, L, F] of every language.

    Args:
        fires_KLF: the share of a language's tokens at which each neuron is above zero, fp64.
    """
    often = _upper_percentile(fires_KLF.flatten(), OFTEN)
    total_LF = fires_KLF.sum(dim=0)
    part_KLF = fires_KLF / torch.where(total_LF > 0, total_LF, 1)
    entropy_LF = -torch.special.xlogy(part_KLF, part_KLF).sum(dim=0)
    entropy_LF[~(fires_KLF > often).any(dim=0)] = torch.inf
    count = min(round(LAPE_SHARE * entropy_LF.numel()), int(entropy_LF.isfinite().sum()))
    # Sorted in a stable way, so that ties fall to the earlier layer and neuron on every machine.
    chosen = entropy_LF.flatten().sort(stable=True).indices[:count]
    selected_LF = torch.zeros(entropy_LF.numel(), dtype=torch.bool)
    selected_LF[chosen] = True
    return selected_LF.view_as(entropy_LF) & (fires_KLF > often)


def act_prob(above_KLF: Tensor) -> Tensor:
    """The neurons [K, L, F] that are most often above their own threshold, in each language.

    Args:
        above_KLF: the share of a language's tokens at which each neuron is above the mean over
            languages of its 90th percentiles, fp64.
    """
    flat_KN = above_KLF.flatten(start_dim=1)
    count = round(ACT_PROB_SHARE * flat_KN.shape[1])
    chosen_KN = flat_KN.sort(dim=1, descending=True, stable=True).indices[:, :count]
    selected_KN = torch.zeros_like(flat_KN, dtype=torch.bool).scatter_(1, chosen_KN, True)
    return selected_KN.view_as(above_KLF)


def _upper_percentile(values_N: Tensor, share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    place = max(1, -int(-share * len(values_N) // 1))
    return float(values_N.kthvalue(place).values)


def by_language(
    selected_KLF: Tensor, values: Mapping[tuple[int, int], Tensor], languages: tuple[str, ...]
) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    """Neurons [N] and their values [V, N] by layer (from 1) and language; none where it has none.

    Args:
        selected_KLF: which neurons.
        values: by place of the language and layer, what they may be overwritten with [V, F].
        languages: their names.
    """
    found = {}
    for place, language in enumerate(languages):
        for layer, selected_F in enumerate(selected_KLF[place], start=1):
            neurons_N = selected_F.nonzero().flatten()
            if len(neurons_N):
                found[layer, language] = (neurons_N, values[place, layer][:, neurons_N])
    return found

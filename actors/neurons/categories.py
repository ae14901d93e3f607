"""Sort neurons by the languages in which they are active: dead, specific, partial- or all-shared.

Source: CLAS, section 2.2; by single samples, Wang et al. (2024). The categories exclude each other
and leave nothing out, so their shares add up to 1. Masks are [F] bool, of one layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from actors.neurons.file import LanguageNeurons
from studies.neuron_options import CATEGORIES, Category, Sorting

# Shapes: K languages, F neurons, I samples

STATISTIC = {"mean_signed": "mean", "mean_abs": "mean_abs", "freq": "active"}


def active_in(
    languages: Sequence[LanguageNeurons], layer: int, *, sorting: Sorting, blocks: Sequence[int]
) -> Tensor:
    """In which language each neuron is active [K, F], over the samples of some blocks."""
    name = STATISTIC[sorting.activity]
    means = [one.over(sorting.clas_site, layer, name, blocks=blocks) for one in languages]
    return torch.stack(means) > sorting.threshold


def active_mixed(
    languages: Sequence[LanguageNeurons],
    layer: int,
    *,
    sorting: Sorting,
    blocks: Sequence[int],
    seed: int,
) -> Tensor:
    """The same [K, F] for made-up languages: each takes every block from a real one drawn with the
    seed, so that every text counts once, and a language is kept together by chance alone."""
    name = STATISTIC[sorting.activity]
    generator = torch.Generator().manual_seed(seed)  # the same in every layer
    count = len(languages)
    total_KF = torch.zeros(1)
    weight_K1 = torch.zeros(count, 1, dtype=torch.float64)
    for block in blocks:
        order = torch.randperm(count, generator=generator).tolist()
        means_KF = torch.stack(
            [languages[k].over(sorting.clas_site, layer, name, blocks=[block]) for k in order]
        )
        counts_K1 = torch.tensor(
            [[float(languages[k].about.counts[block])] for k in order]
        ).double()
        total_KF = total_KF + counts_K1 * means_KF
        weight_K1 += counts_K1
    return total_KF / weight_K1 > sorting.threshold


def masks(active_KF: Tensor) -> dict[Category, Tensor]:
    """The neurons [F] of every category.

    Raises:
        ValueError: fewer than three languages, where one category would be another.
    """
    languages = len(active_KF)
    if languages < 3:
        raise ValueError(f"{languages} languages: expected at least 3 to sort neurons by")
    count_F = active_KF.sum(dim=0)
    some_F = (count_F > 1) & (count_F < languages)
    return dict(
        zip(CATEGORIES, (count_F == 0, count_F == 1, some_F, count_F == languages), strict=True)
    )


def shares(active_KF: Tensor) -> dict[str, float]:
    """The share of the neurons in every category."""
    return {str(name): float(one_F.double().mean()) for name, one_F in masks(active_KF).items()}


def shares_by_sample(active_KIF: Tensor) -> dict[str, float]:
    """The same of every sample by itself, which sorts all neurons anew; the mean over samples."""
    each = [shares(active_KF) for active_KF in active_KIF.unbind(dim=1)]
    return {str(name): sum(one[name] for one in each) / len(each) for name in CATEGORIES}


def jaccard(one_F: Tensor, other_F: Tensor) -> float | None:
    """Neurons in both masks, divided by those in either; None where both are empty."""
    either = int((one_F | other_F).sum())
    return int((one_F & other_F).sum()) / either if either else None


def overlap(one_KF: Tensor, other_KF: Tensor) -> dict[str, float | None]:
    """How much the categories that are rescaled agree, as columns."""
    one, other = masks(one_KF), masks(other_KF)
    return {
        f"jaccard_{name}": jaccard(one[name], other[name])
        for name in ("partial_shared", "specific")
    }

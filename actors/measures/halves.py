"""Halves of items: what is made of one half is only ever used on the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from studies.draws import ordered

# Shapes: I items, D width


def halves(ids: Sequence[str]) -> Tensor:
    """Which items [I] are in the first half, drawn by their ids; of an odd number one fewer is."""
    taken = set(ordered(ids, seed=0)[: len(ids) // 2])
    return torch.tensor([id in taken for id in ids])


def mean_of_others(values_ID: Tensor, first_I: Tensor) -> Tensor:
    """For every item [I, D] the mean over the half that it is not in."""
    first_D, second_D = values_ID[first_I].mean(dim=0), values_ID[~first_I].mean(dim=0)
    return torch.where(first_I.unsqueeze(1), second_D, first_D)

"""Exact percentiles of every neuron over more tokens than fit in memory, in a few passes.

Floats in their order are integers in their order, and an order statistic of integers is found one
byte at a time: a pass counts how often each value of the next byte occurs among the tokens whose
earlier bytes agree. Four passes give an fp32 value, three fp16, two bf16, without error.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Shapes: B rows, T tokens, N tokens of all rows, F neurons, P percentiles, V values of a byte

BYTE = 256
PASSES = {torch.bfloat16: 2, torch.float16: 3, torch.float32: 4}


def rank(percentile: float, *, count: int) -> int:
    """The place, from 1, of a percentile among `count` sorted values: the smallest value that at
    least that share does not exceed (numpy's `inverted_cdf`); 0 is the smallest of all."""
    return max(1, math.ceil(percentile * count / 100))


def of_rows(value_BTF: Tensor, counted_BT: Tensor, percentiles: Sequence[float]) -> Tensor:
    """The percentiles [B, P, F] of every row over its counted tokens."""
    sorted_BTF = value_BTF.masked_fill(~counted_BT.unsqueeze(-1), math.inf).sort(dim=1).values
    places = [
        [rank(percentile, count=count) - 1 for percentile in percentiles]
        for count in counted_BT.sum(dim=1).tolist()
    ]
    index_BP1 = torch.tensor(places, device=value_BTF.device).unsqueeze(-1)
    return sorted_BTF.gather(1, index_BP1.expand(-1, -1, value_BTF.shape[2]))


class Selection:
    """The percentiles of one layer's neurons over all tokens, known better after every pass.

    A pass gives all tokens to `count` and their sum to `narrow`. It takes 1 KiB a neuron and
    percentile on the device, for the sum and again for the batch at hand.
    """

    def __init__(self, percentiles: Sequence[float], *, count: int) -> None:
        """Look for these percentiles of `count` tokens."""
        ranks = [rank(percentile, count=count) for percentile in percentiles]
        self.passes: int | None = None  # unknown until the first values are seen
        self.done = 0
        self._rank_P1 = torch.tensor(ranks).unsqueeze(1)
        self._key_PF: Tensor | None = None  # the bytes found so far, as a signed integer

    @property
    def finished(self) -> bool:
        """Whether every byte that the values' dtype has is known."""
        return self.done == self.passes

    def count(self, value_NF: Tensor) -> Tensor:
        """How often each next byte occurs [P, V, F] among tokens that agree so far; the first
        byte is the same search for all percentiles: [1, V, F]."""
        self.passes = PASSES[value_NF.dtype]
        bits_NF = value_NF.float().view(torch.int32)
        order_NF = torch.where(bits_NF < 0, bits_NF ^ 0x7FFFFFFF, bits_NF)
        shift = 24 - 8 * self.done
        neurons = order_NF.shape[1]
        column_F = torch.arange(neurons, device=value_NF.device)
        if self._key_PF is None:
            byte_NF = (order_NF >> shift) + BYTE // 2
            agrees = [torch.ones_like(byte_NF)]
        else:
            byte_NF = (order_NF >> shift) & (BYTE - 1)
            agrees = [(order_NF >> (shift + 8) == key_F).int() for key_F in self._key_PF]
        index = (byte_NF * neurons + column_F).flatten()
        counts_PVF = torch.zeros(
            (len(agrees), BYTE, neurons), dtype=torch.int32, device=value_NF.device
        )
        for counts_VF, agree_NF in zip(counts_PVF, agrees, strict=True):
            counts_VF.view(-1).scatter_add_(0, index, agree_NF.flatten())
        return counts_PVF

    def narrow(self, counts_PVF: Tensor) -> None:
        """Fix the next byte of every percentile from the counts of all tokens."""
        below_PVF = counts_PVF.cumsum(dim=1)
        rank_PF = self._rank_P1.to(counts_PVF.device).expand(-1, counts_PVF.shape[2])
        below_PVF = below_PVF.expand(len(rank_PF), -1, -1)
        byte_PF = (below_PVF < rank_PF.unsqueeze(1)).sum(dim=1)
        before_PF = below_PVF.gather(1, (byte_PF - 1).clamp_min(0).unsqueeze(1)).squeeze(1)
        self._rank_P1 = rank_PF - torch.where(byte_PF > 0, before_PF, 0)
        if self._key_PF is None:
            self._key_PF = (byte_PF - BYTE // 2).int()
        else:
            self._key_PF = self._key_PF * BYTE + byte_PF.int()
        self.done += 1

    def values(self) -> Tensor:
        """The percentiles [P, F], fp32, once `finished`."""
        assert self._key_PF is not None and self.finished
        left = 32 - 8 * self.done  # bits that are zero in every float of this dtype
        order_PF = self._key_PF << left
        bits_PF = torch.where(order_PF < 0, order_PF ^ 0x7FFFFFFF, order_PF) >> left << left
        return bits_PF.view(torch.float32)

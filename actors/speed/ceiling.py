"""What the hardware can do, measured: the rate of matrix products and the bandwidth of memory.

A forward pass multiplies every active weight once per token, so no more tokens per second pass
than the rate over twice the weights; and where few tokens share a pass, no faster than the weights
can be read. Attention and everything else come on top, so the ceiling is never reached.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

SECONDS = 0.4
SIDE = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}


class Ceiling(NamedTuple):
    """Floating point operations, and bytes read or written, per second."""

    operations: float
    bytes: float

    def tokens(self, *, weights: int, weight_bytes: int, tokens_per_pass: float) -> float:
        """Tokens per second that no pass of `tokens_per_pass` tokens can exceed."""
        by_rate = self.operations / (2 * weights)
        by_bandwidth = tokens_per_pass * self.bytes / weight_bytes
        return min(by_rate, by_bandwidth)


def measure(device: torch.device, dtype: torch.dtype) -> Ceiling:
    """Time square matrix products and copies on this device, the best of many."""
    side = SIDE[device.type]
    left = torch.randn(side, side, dtype=dtype, device=device)
    right = torch.randn(side, side, dtype=dtype, device=device)
    out = torch.empty_like(left)
    product = best(lambda: torch.mm(left, right, out=out), device=device)
    source = torch.empty(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = best(lambda: target.copy_(source), device=device)
    return Ceiling(2 * side**3 / product, 2 * source.numel() / copy)


def best(work: Callable[[], object], *, device: torch.device) -> float:
    """The shortest time in seconds of `work`, repeated for a while after a warm-up."""
    work()
    shortest, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        shortest = min(shortest, seconds(work, device=device))
    return shortest


def seconds(work: Callable[[], object], *, device: torch.device) -> float:
    """How long `work` takes, on the device too."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def count_weights(blocks: tuple[nn.Module, ...]) -> int:
    """Weights of the blocks: what every token is multiplied with, whatever is done at the end."""
    return sum(weight.numel() for block in blocks for weight in block.parameters())

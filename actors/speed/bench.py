"""Measure every kind of task on one model: achieved, ceiling, a plain pass, the naive way.

A task is timed in turn with a plain batched pass over the same prompts and with the obvious way of
doing the task, so that ratios hold on a machine whose speed wanders. Speed is given in tokens per
second through all blocks: a sweep that runs half the blocks for a token counts half of one. Where
logits are a large part of the work, those of a token count as the share that the head's weights are
of the blocks'.

The ceiling is measured too. A forward pass multiplies every active weight once per token, so no
more tokens per second pass than the rate of matrix products over twice the weights; and where few
tokens share a pass, no faster than the weights can be read. Attention and everything else come on
top, so the ceiling is never reached.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actors.model import LoadedModel
from actors.speed.tasks import TASKS, Task
from actors.structure.sites import watch_input
from studies.values import unknown

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
    """Weights of modules; those of the blocks are what every token is multiplied with."""
    return sum(weight.numel() for block in blocks for weight in block.parameters())


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one task achieved.

    Attributes:
        task: its name.
        achieved: tokens per second through all blocks.
        ceiling: tokens per second that this device cannot exceed.
        fraction: achieved over ceiling.
        naive_ratio: time of the naive way over time of the task; None where there is none.
        passes: time of the task over that of a plain batched pass over its prompts.
        blocks: token-blocks computed over those that cannot be avoided.
        per_block: time for a token-block over its time in the plain pass.
        seconds: time of the task.
        peak_bytes: most memory that was allocated on the GPU; 0 on a CPU.
    """

    task: str
    achieved: float
    ceiling: float
    fraction: float
    naive_ratio: float | None
    passes: float
    blocks: float
    per_block: float
    seconds: float
    peak_bytes: int


def bench(
    loaded: LoadedModel, *, rounds: int = 3, only: Sequence[str] = ()
) -> Iterator[Measurement]:
    """Measure the tasks, each as soon as it is done.

    Raises:
        ValueError: no task has a name in `only`.
    """
    for name in only:
        if name not in TASKS:
            raise unknown("task", name, known=TASKS)
    return _bench(loaded, rounds=rounds, only=only)


def _bench(loaded: LoadedModel, *, rounds: int, only: Sequence[str]) -> Iterator[Measurement]:
    dtype = next(loaded.model.parameters()).dtype
    ceiling = Ceiling(0, 0)
    for name, make in TASKS.items():
        if not only or name in only:
            # The best seen so far: other programs may slow one measurement, none makes it faster.
            ceiling = Ceiling(*map(max, ceiling, measure(loaded.device, dtype)))
            yield _measure(loaded, name, make(loaded), ceiling, rounds=rounds)


def _measure(
    loaded: LoadedModel, name: str, task: Task, ceiling: Ceiling, *, rounds: int
) -> Measurement:
    """Time the three ways in turn, `rounds` times after a warm-up that counts the blocks."""
    device = loaded.device
    layers = len(loaded.sites.blocks)
    weights = count_weights(loaded.sites.blocks)
    # Logits of a token in tokens through all blocks, where they are a large part of the work.
    logits = count_weights((loaded.sites.head,)) / weights if task.reads else 0.0
    plain_tokens, fast_tokens = (
        blocks / layers + logits * reads
        for blocks, reads in (_count(loaded, task.plain), _count(loaded, task.fast))
    )
    unavoidable = task.unavoidable + logits * task.reads
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fast, passes, ratios = [], [], []
    for _ in range(rounds):
        plain = seconds(task.plain, device=device)
        fast.append(seconds(task.fast, device=device))
        passes.append(fast[-1] / plain)
        if task.naive is not None:
            ratios.append(seconds(task.naive, device=device) / task.naive_share / fast[-1])
    top = ceiling.tokens(
        weights=weights,
        weight_bytes=weights * next(loaded.model.parameters()).element_size(),
        tokens_per_pass=task.tokens_per_pass,
    )
    achieved = unavoidable / median(fast)
    return Measurement(
        task=name,
        achieved=achieved,
        ceiling=top,
        fraction=achieved / top,
        naive_ratio=median(ratios) if ratios else None,
        passes=median(passes),
        blocks=fast_tokens / unavoidable,
        per_block=median(passes) * plain_tokens / fast_tokens,
        seconds=median(fast),
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    )


class _Counts(NamedTuple):
    """Tokens that went through a block, over all blocks, and through the head."""

    blocks: int
    reads: int


def _count(loaded: LoadedModel, work: Callable[[], object]) -> _Counts:
    """Run `work` and count its token-blocks, where every block projects down, and its logits.

    Where a block has experts instead, the module that adds their sum is counted; a block that is
    skipped runs neither.
    """
    counted = {"blocks": 0, "reads": 0}
    sites = loaded.sites
    parts = [mlp.down for mlp in sites.mlps] or [port.module for port in sites.ports["mlp_out"]]

    def count(name: str, value: Tensor) -> None:
        counted[name] += value.numel() // value.shape[-1]

    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(watch_input(part, partial(count, "blocks")))
        stack.enter_context(watch_input(sites.head, partial(count, "reads")))
        work()
    return _Counts(**counted)

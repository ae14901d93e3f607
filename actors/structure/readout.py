"""Measure what a model does to states in front of its head, and to logits behind it.

Some families scale one or the other (Cohere, Granite, MiniCPM3), some cap logits (Gemma2), under
whatever names their configurations use. So the head is made to return known numbers, the final norm
too, and the result is read: in fp32 whatever the model's dtype, and over a wide range, as a cap on
large logits leaves small ones alone.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from actors.errors import out_of_memory
from actors.structure.sites import Sites, first_tensor

# Shapes: N numbers shown

# A number so small that no cap bends it, and one so large that every cap holds it.
SMALL, LARGE = 2.0**-20, 2.0**40

# Share by which numbers may differ that should be equal: a handful of roundings in fp32.
EQUAL = 16 * torch.finfo(torch.float32).eps


def shown(*, largest: float) -> Tensor:
    """Numbers [N] of both signs and all sizes up to `largest`, in fp32."""
    powers_N = 2.0 ** torch.arange(-20, math.log2(largest) + 1)
    sizes_N = torch.cat([powers_N, 1.37 * powers_N[:-1]])
    return torch.cat([torch.zeros(1), sizes_N, -sizes_N])


@dataclass(slots=True, eq=False)
class Told:
    """What became of the numbers shown: `states_N` before the head and `logits_N` behind it.

    None where the module was not called, or its numbers did not come through.
    """

    states_N: Tensor | None = None
    logits_N: Tensor | None = None


@torch.inference_mode()
def ask(model: PreTrainedModel, sites: Sites, ids_BT: Tensor) -> Told:
    """Show numbers in front of the head and behind it, each in a pass over `ids_BT` of its own."""
    told = Told()
    states_N, logits_N = shown(largest=1.0), shown(largest=LARGE)

    def before(_module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        told.states_N = args[0].flatten()[: len(states_N)].float().cpu()
        return (args[0].to(sites.embedding_weight.dtype), *args[1:])

    try:
        with (
            _returning(sites.final_norm, states_N),
            sites.head.register_forward_pre_hook(before),
        ):
            model(input_ids=ids_BT, use_cache=False)
    except (RuntimeError, TypeError) as error:  # something between them takes no fp32
        if out_of_memory(error):
            raise
        told.states_N = None
    with _returning(sites.head, logits_N) as passed:
        found = model(input_ids=ids_BT, use_cache=False).logits
    if passed and found.numel() >= len(logits_N):
        told.logits_N = found.flatten()[: len(logits_N)].float().cpu()
    return told


def measure(model: PreTrainedModel, sites: Sites, ids_BT: Tensor) -> Sites:
    """The sites with the scales and the cap that explain what the model makes of the numbers shown.

    Where nothing of this kind explains it they stay plain, and the proof says so.
    """
    told = ask(model, sites, ids_BT)
    found = sites
    if told.states_N is not None:
        scale = float(told.states_N[_place(1.0, largest=1.0)])
        found = replace(found, state_scale=scale)
    if told.logits_N is not None:
        scale = float(told.logits_N[_place(SMALL, largest=LARGE)]) / SMALL
        most = abs(float(told.logits_N[_place(LARGE, largest=LARGE)]))
        capped = abs(most - abs(scale) * LARGE) > EQUAL * most
        found = replace(found, logit_scale=scale, softcap=most if capped else None)
    return found if all(share <= EQUAL for _, share in errors(found, told)) else sites


def errors(sites: Sites, told: Told) -> Iterator[tuple[str, float]]:
    """What the scales and the cap must explain, and the largest share that they do not."""
    if told.states_N is not None:
        expected_N = shown(largest=1.0) * sites.state_scale
        claim = f"a state enters the head as the final norm gives it, times {sites.state_scale:.6g}"
        yield claim, _error(told.states_N, expected_N)
    if told.logits_N is not None:
        expected_N = sites.behind_head(shown(largest=LARGE))
        cap = "uncapped" if sites.softcap is None else f"capped at {sites.softcap:.6g}"
        claim = f"what the head returns becomes logits times {sites.logit_scale:.6g}, {cap}"
        yield claim, _error(told.logits_N, expected_N)


def _error(found_N: Tensor, expected_N: Tensor) -> float:
    """The largest difference as a share of the number; what is not finite differs wholly."""
    found_N, expected_N = found_N.double(), expected_N.double()
    sizes_N = expected_N.abs().clamp_min(torch.finfo(torch.float32).tiny)
    share_N = (found_N - expected_N).abs() / sizes_N
    return float(share_N.nan_to_num(torch.inf).max())


def _place(number: float, *, largest: float) -> int:
    """Where a number stands among those shown."""
    return int((shown(largest=largest) == number).nonzero()[0])


@contextmanager
def _returning(module: torch.nn.Module, numbers_N: Tensor) -> Iterator[list[bool]]:
    """While open, a module returns these numbers, over and over; says whether it was called."""
    passed: list[bool] = []

    def hook(_module: object, _args: object, output: object) -> Tensor:
        passed.append(True)
        like = first_tensor(output)
        times = -(-like.numel() // len(numbers_N))
        return numbers_N.repeat(times)[: like.numel()].view(like.shape).to(like.device)

    with module.register_forward_hook(hook):
        yield passed

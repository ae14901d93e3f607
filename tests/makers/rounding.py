"""How far two right answers may lie apart: the one place that numeric tolerances come from.

A sum of n products that is added up in another order (another batch, more threads, another
processor) moves by about sqrt(n) units in the last place of its largest terms, and a decoder does
that anew in every block. So a tolerance follows from the dtype, the width and the depth, and holds
on machines that nobody has tried. It is relative to the largest value, as values near zero are
what is left of larger ones.
"""

import math

import torch
from torch import Tensor

from actors.model import LoadedModel

# Norms and softmax stretch what enters them, and the worst of many values is beyond the usual one.
MARGIN = 8


def of_sum(length: int, *, steps: int = 1, dtype: torch.dtype = torch.float32) -> float:
    """The relative difference of a sum of `length` products, `steps` of them one after another."""
    return MARGIN * torch.finfo(dtype).eps * math.sqrt(length) * steps


def of_model(loaded: LoadedModel, *, dtype: torch.dtype = torch.float32) -> float:
    """The relative difference of any state or logit of a model: two sums a block, and the head."""
    longest = max(loaded.facts.width, loaded.facts.neurons)
    return of_sum(longest, steps=2 * loaded.facts.layers + 1, dtype=dtype)


def assert_near(found: Tensor, expected: Tensor, *, relative: float, what: object = "") -> None:
    """Fail unless two tensors agree within a share of the largest value, or of one."""
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(
        found, expected, rtol=0, atol=relative * scale, msg=lambda text: f"{what}: {text}"
    )


# Of any answer of tests/makers/tiny.py's models, where the model is out of sight.
TINY = of_sum(64, steps=2 * 4 + 1)

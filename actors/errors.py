"""What a device at work fails with: no memory left, and numbers that are not finite."""

import torch
from torch import Tensor

# What to do about numbers that are not finite.
OVERFLOW = "the model overflows in this dtype; use --dtype bfloat16 or float32"

# How torch's allocators of devices other than GPUs say it, in a plain RuntimeError.
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, which is no fault of a model or its files."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in said for phrase in NO_MEMORY)


def finite(value: Tensor) -> Tensor:
    """The value, if nothing in it has overflowed.

    Raises:
        ValueError: something has.
    """
    if not value.sum(dtype=torch.float64).isfinite():
        raise ValueError(f"an activation is not finite (infinite or not a number): {OVERFLOW}")
    return value

"""Errors of devices and files as one sentence: no memory, numbers not finite, models not opened."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from studies.spec import ModelFacts

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


def first_line(error: Exception) -> str:
    """What an error says first; its kind, where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def finite(value: Tensor) -> Tensor:
    """The value, if nothing in it has overflowed.

    Raises:
        ValueError: something has.
    """
    if not value.sum(dtype=torch.float64).isfinite():
        raise ValueError(f"an activation is not finite (infinite or not a number): {OVERFLOW}")
    return value


@contextmanager
def opening(facts: ModelFacts, *, folder: str) -> Iterator[None]:
    """Turn whatever a model's files make a loader raise into one sentence that names the model.

    Args:
        facts: the model.
        folder: the loader's folder, which stands for that of `facts`.

    Raises:
        ValueError: something was raised that is no lack of memory.
    """
    try:
        yield
    except Exception as error:  # a folder can be wrong in any way
        if out_of_memory(error):
            raise
        said = first_line(error)
        if said.startswith(f"model {facts.label!r}"):
            raise
        raise ValueError(
            f"model {facts.label!r} cannot be loaded from folder {facts.folder!r}: "
            f"{said.replace(folder, facts.folder)}"
        ) from error

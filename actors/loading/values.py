"""Check the numbers of stored weights: no NaN, no infinity, no weight that is all zero.

They are read from the files, before anything is made of them, so that a fault is named as it is
there, whatever loads, packs or spreads them afterwards.
"""

from collections.abc import Iterable, Set
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from studies.models.hashing import per_file
from studies.spec import Dtype, ModelFacts

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def refuse_values(
    facts: ModelFacts,
    files: Iterable[Path],
    *,
    unread: Set[str] = frozenset(),
    integers: Set[str] | None = None,
) -> None:
    """Raise ValueError for weights that hold NaN or infinity, overflow, or are all zero.

    Biases may be zero, as some are never trained; other weights only where odd ones are allowed.

    Args:
        facts: what is known of the model.
        files: its files.
        unread: tensors that loading leaves out.
        integers: tensors that may be whole numbers; None where any may, as packed weights are.
    """
    may_be = None if integers is None else frozenset(integers)
    for path in files:
        try:
            _check(path, facts.dtype, facts.allow_odd_weights, frozenset(unread), may_be)
        except _WrongValueError as error:
            raise ValueError(f"model {facts.label!r}: {error}") from None


class _WrongValueError(ValueError):
    """A weight that is none."""


@per_file()
def _check(
    path: Path,
    dtype: Dtype,
    allow_zero: bool,
    unread: frozenset[str],
    integers: frozenset[str] | None,
) -> None:
    """Read a file's weights; a process does so once as long as the file stays as it is."""
    with safe_open(path, framework="pt") as file:
        for name in list(file.keys()):
            if name in unread:
                continue
            tensor = file.get_tensor(name)
            fault = _fault(tensor, dtype, may_be_zero=allow_zero or name.endswith("bias"))
            packed = integers is None or name in integers
            if not packed and not tensor.is_floating_point():
                fault = f"is stored as {tensor.dtype}, and no weight is a whole number"
            if fault:
                raise _WrongValueError(f"{name} in {path.name} {fault}")


def _fault(tensor: Tensor, dtype: Dtype, *, may_be_zero: bool) -> str:
    """The fault of a weight, or nothing."""
    if not tensor.is_floating_point() or tensor.numel() < 2:
        return ""
    if tensor.element_size() < 2:
        tensor = tensor.float()
    least, most = (float(value) for value in tensor.aminmax())
    size = max(-least, most)
    if size != size:
        return "holds NaN, which is no weight: copy the file again, or choose another model"
    if size == float("inf"):
        return "holds infinity, which is no weight: copy the file again, or choose another model"
    if size > torch.finfo(DTYPES[dtype]).max:
        return f"holds {size:.3g}, too large for {dtype}: use --dtype bfloat16 or float32"
    if size == 0 and not may_be_zero:
        return (
            "is all zero, as in a file that was not copied to its end: copy it again, or pass "
            "--allow-odd-weights if it is meant"
        )
    return ""

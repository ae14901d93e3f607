"""Decide, before anything is loaded, where a model fits: on one device, over several, or nowhere.

All of it is arithmetic on bytes; device.py finds the devices and their free memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studies.models.weights import Numbers
from studies.spec import Dtype, ModelFacts, Quantisation

# Activations and buffers beside the weights; batches shrink to what is left, so a tenth will do.
MARGIN = 1.1

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The memory a model needs, margin included, and what it would need under other flags."""

    model: str
    bytes: int
    smaller: Mapping[str, int] = field(default_factory=dict)


def need(facts: ModelFacts, weights: Numbers | int) -> Need:
    """What the model needs in its dtype and quantisation, and in smaller ones.

    Args:
        facts: what is known of the model.
        weights: how many numbers its weights are, or their bytes where they are stored packed.
    """
    if isinstance(weights, int):
        return Need(model=facts.label, bytes=_with_margin(weights))
    flags: dict[str, tuple[Dtype, Quantisation | None]] = {}
    if facts.dtype == "float32":
        flags["--dtype bfloat16"] = ("bfloat16", facts.quantisation)
    if not facts.adapter and not facts.quantisation:
        flags["--quantise 8bit"] = (facts.dtype, "8bit")
    if not facts.adapter and facts.quantisation != "4bit":
        flags["--quantise 4bit"] = (facts.dtype, "4bit")
    return Need(
        model=facts.label,
        bytes=_with_margin(weights.bytes(dtype=facts.dtype, quantisation=facts.quantisation)),
        smaller={
            flag: _with_margin(weights.bytes(dtype=dtype, quantisation=quantisation))
            for flag, (dtype, quantisation) in flags.items()
        },
    )


def choose(needed: Need, free: Sequence[int], *, spread: bool = False) -> tuple[int, ...]:
    """The places of the devices to use: the first on which the model fits, or else all of them.

    Args:
        needed: what the model needs.
        free: free bytes of every device that may be used.
        spread: use all of them even where one would do.

    Raises:
        ValueError: it does not fit on all of them together; the sentence says what would.
    """
    fits = [place for place, there in enumerate(free) if needed.bytes <= there]
    if fits and not spread:
        return (fits[0],)
    if needed.bytes <= sum(free):
        return tuple(range(len(free)))
    raise ValueError(too_large(needed, free))


def too_large(needed: Need, free: Sequence[int]) -> str:
    """The sentence that says a model does not fit, and what would."""
    there = " + ".join(size(space) for space in free)
    device = "the device has" if len(free) == 1 else f"the {len(free)} devices have"
    flags = [
        f"{flag} ({size(smaller)})"
        for flag, smaller in needed.smaller.items()
        if smaller <= sum(free)
    ]
    remedy = ", ".join([*flags, "a larger device" if len(free) == 1 else "larger devices"])
    return (
        f"model {needed.model!r} needs {size(needed.bytes)} (weights and a tenth more) and "
        f"{device} {there} free: use {' or '.join(remedy.rsplit(', ', 1))}"
    )


def available_memory() -> int | None:
    """Bytes of this machine's memory that programs can still take; None where it does not say."""
    if not MEMINFO.is_file():
        return None
    for line in MEMINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _with_margin(count: int) -> int:
    return round(count * MARGIN)

"""Decide, before anything is loaded, where a model goes: one device, several together, or nowhere.

What it needs and where that fits is arithmetic on bytes. Names of devices: `auto` and `cuda` (the
first GPU on which the model fits, else all GPUs together; under `auto` the CPU where there is
none), `cuda:1`, `cpu`, and `spread` (all GPUs, or the CPU, by the way that several GPUs go).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where weights go. `shares` holds the bytes each device may take; empty means `device` alone.

    A device is named as transformers does: a GPU by its number, the CPU by `cpu`.
    """

    device: torch.device
    shares: Mapping[int | str, int]

    @property
    def device_map(self) -> str | dict[str, torch.device]:
        """What transformers is told: to divide the blocks by the shares, or the one device."""
        return "auto" if self.shares else {"": self.device}


def find_place(name: str, needed: Need) -> Placement:
    """The place for a model on the device of this name.

    Raises:
        ValueError: there is no such device, or the model does not fit.
    """
    devices = _devices(name)
    # One after another: to ask a GPU how full it is takes some of its memory.
    if len(devices) > 1 and name != "spread":
        first = _free(devices[0])
        devices = devices[:1] if first is not None and needed.bytes <= first else devices
    free = [there for device in devices if (there := _free(device)) is not None]
    if not free:  # a system that does not say how much memory is free
        return Placement(device=devices[0], shares={})
    chosen = choose(needed, free, spread=name == "spread")
    if len(chosen) == 1 and name != "spread":
        return Placement(device=devices[chosen[0]], shares={})
    return Placement(device=devices[0], shares={_key(devices[n]): free[n] for n in chosen})


def first_device(name: str) -> torch.device:
    """The device of this name, or the first that it stands for.

    Raises:
        ValueError: there is no such device.
    """
    return _devices(name)[0]


def _devices(name: str) -> list[torch.device]:
    """The devices that a name stands for."""
    gpus = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    if name in ("auto", "spread"):
        return gpus or [torch.device("cpu")]
    if name == "cuda" and gpus:
        return gpus
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"unknown device {name!r}: expected auto, cpu, cuda, cuda:1 or spread"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= len(gpus):
        raise ValueError(
            f"device {name!r} asked for, but this machine shows {len(gpus)} GPUs; "
            "expected auto, cpu or one of those GPUs"
        )
    return [device]


def _free(device: torch.device) -> int | None:
    """Free bytes of a device; None where nobody tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def _key(device: torch.device) -> int | str:
    """The device as transformers names it."""
    return device.index if device.type == "cuda" else device.type

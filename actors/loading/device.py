"""Turn a device's name into the place of the weights: one device, or several that share them.

Names: `auto` and `cuda` (the first GPU on which the model fits, else all GPUs together; under
`auto` the CPU where there is none), `cuda:1`, `cpu`, and `spread` (all GPUs, or the CPU, by the way
that several GPUs go).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from actors.loading.memory import Need, available_memory, choose


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

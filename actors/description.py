"""Say where and how a model runs, for provenance and for people."""

import platform
from dataclasses import dataclass

import torch
import transformers

from actors.model import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Where and how a model runs. Provenance alone: nothing here enters a key.

    `weight_bytes` is the size of the weights in memory; `peak_bytes` the most that was allocated
    on the GPU so far, 0 on a CPU or where it is not told. `notes` say what people should know of
    how its files were read.
    """

    model: str
    engine: str
    device: str
    device_name: str
    dtype: str
    attention: str
    threads: int
    batch_tokens: int
    weight_bytes: int
    peak_bytes: int
    python: str
    torch: str
    transformers: str
    notes: tuple[str, ...] = ()


def describe(loaded: LoadedModel) -> Description:
    """Device, dtype, attention backend, threads, memory and versions."""
    cuda = loaded.device.type == "cuda"
    gpus = range(torch.cuda.device_count()) if cuda else ()
    return Description(
        model=loaded.facts.label,
        engine=f"hf {transformers.__version__}",
        device=str(loaded.device),
        device_name=torch.cuda.get_device_name(loaded.device) if cuda else processor(),
        dtype=loaded.facts.dtype,
        attention=loaded.attention,
        threads=torch.get_num_threads(),
        batch_tokens=loaded.budget.tokens,
        weight_bytes=sum(
            weight.numel() * weight.element_size() for weight in loaded.model.parameters()
        ),
        peak_bytes=sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus),
        python=platform.python_version(),
        torch=str(torch.__version__),
        transformers=transformers.__version__,
        notes=loaded.notes,
    )


def processor() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()

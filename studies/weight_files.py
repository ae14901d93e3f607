"""The weights of a model as files: which they are, whether they are whole, and their size.

Only headers are parsed; the numbers themselves are never read.
"""

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from studies.spec import Dtype, Quantisation

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

# 4 bits and, for every 64 numbers, a scale in float32.
QUANTISED_BYTES: dict[Quantisation, float] = {"8bit": 1, "4bit": 0.5 + 4 / 64}

# Positions are looked up, and transformers fuses the experts of a block into one tensor.
UNPACKED = ("wpe.", "embed_positions.", ".experts.")

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

UNREAD = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack")


class Numbers(NamedTuple):
    """How many numbers the weights are: those of linear layers, which a quantiser packs, and
    the others (embeddings, head, norms, fused experts), which keep their dtype."""

    linear: int
    other: int

    def bytes(self, *, dtype: Dtype, quantisation: Quantisation | None = None) -> int:
        """What they take in memory."""
        whole = DTYPE_BYTES[dtype]
        packed = QUANTISED_BYTES[quantisation] if quantisation else whole
        return math.ceil(self.linear * packed) + self.other * whole


def weights_index(folder: Path) -> Path | None:
    """The index that says which files the weights are in; None where one file has them all.

    transformers takes that one file even where there is an index too, and vLLM the other way round.
    """
    index = folder / INDEX
    return index if index.is_file() and not (folder / SINGLE).is_file() else None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, complete."""
    index = weights_index(folder)
    if index is not None:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"model folder {folder} lacks {missing[0]} ({len(missing)} of {len(names)} weight "
                "files named in its index are missing): copy the whole folder"
            )
        return [folder / name for name in names]
    single = folder / SINGLE
    if single.is_file():
        return [single]
    found = unread(folder)
    raise ValueError(f"model folder {folder} has no weights: expected {SINGLE}{found}")


def unread(folder: Path) -> str:
    """What to say of weights in a format that is never read, as pickles run code."""
    others = sorted(file.name for pattern in UNREAD for file in folder.glob(pattern))
    return f" (found {others[0]}, which is not read: convert it to safetensors)" if others else ""


def count_numbers(files: Iterable[Path], *, vocabulary: int | None) -> Numbers:
    """The numbers in safetensors files; a matrix with a side of `vocabulary` is no linear layer."""
    linear = other = 0
    for file in files:
        for name, shape in tensors_in(file).items():
            named = any(part in name for part in UNPACKED)
            if len(shape) == 2 and vocabulary not in shape and not named:
                linear += math.prod(shape)
            else:
                other += math.prod(shape)
    return Numbers(linear, other)


def tensors_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, from its header."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length < size else None
    except (struct.error, ValueError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a safetensors file or is cut short: copy it again")
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if size != 8 + length + end:
        raise ValueError(
            f"{path} has {size} bytes where its header promises {8 + length + end}: copy it again"
        )
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}

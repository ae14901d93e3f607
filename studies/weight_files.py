"""The weights of a model as files: which they are, whether they are whole, their size and hashes.

Only headers are parsed; the numbers themselves are hashed, never read as tensors.
"""

import hashlib
import json
import math
import os
import struct
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from studies.spec import Dtype, Quantisation

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

# 4 bits and, for every 64 numbers, a scale in float32.
QUANTISED_BYTES: dict[Quantisation, float] = {"8bit": 1, "4bit": 0.5 + 4 / 64}

# Positions are looked up, and transformers fuses the experts of a block into one tensor.
UNPACKED = ("wpe.", "embed_positions.", ".experts.")

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


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, complete."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"model folder {folder} lacks {missing[0]} ({len(missing)} of {len(names)} weight "
                "files named in its index are missing): copy the whole folder"
            )
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    found = unread(folder)
    raise ValueError(f"model folder {folder} has no weights: expected model.safetensors{found}")


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


def file_hash(path: Path) -> str:
    """sha256 of a file, remembered by path, size and time of change."""
    stat = path.stat()
    mark = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    note = Path(cache) / "babelscope/hashes" / hashlib.sha256(mark.encode()).hexdigest()[:32]
    with suppress(OSError, UnicodeDecodeError):
        if len(known := note.read_text()) == 64:
            return known
    with path.open("rb") as file:
        result = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):  # a read-only home costs a hash per run, not the run
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False) as aside:
            aside.write(result)
        os.replace(aside.name, note)
    return result

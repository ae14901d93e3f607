"""The weights of a model as files: which they are, whether they are whole, and their hashes.

Only headers are parsed; the numbers themselves are hashed, never read as tensors.
"""

import hashlib
import json
import math
import os
import struct
from pathlib import Path


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
    others = sorted(file.name for file in folder.glob("*.bin"))
    found = f" (found {others[0]}, which is not read: convert it to safetensors)" if others else ""
    raise ValueError(f"model folder {folder} has no weights: expected model.safetensors{found}")


def numbers_in(path: Path) -> int:
    """How many numbers a safetensors file holds, from its header."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length < size else None
    except (struct.error, ValueError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a safetensors file or is cut short: copy it again")
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    end = max((entry["data_offsets"][1] for entry in tensors), default=0)
    if size != 8 + length + end:
        raise ValueError(
            f"{path} has {size} bytes where its header promises {8 + length + end}: copy it again"
        )
    return sum(math.prod(entry["shape"]) for entry in tensors)


def file_hash(path: Path) -> str:
    """sha256 of a file, remembered by path, size and time of change."""
    stat = path.stat()
    mark = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    memory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "babelscope/hashes"
    note = memory / hashlib.sha256(mark.encode()).hexdigest()[:32]
    if note.is_file() and len(known := note.read_text()) == 64:
        return known
    with path.open("rb") as file:
        result = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        memory.mkdir(parents=True, exist_ok=True)
        note.write_text(result)
    except OSError:
        return result  # a read-only home costs a hash per run, not the run
    return result

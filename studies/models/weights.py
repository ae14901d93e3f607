"""The weights of a model as files: which they are, whether they are complete, and their size.

Only headers are parsed, each once per process; the numbers themselves are never read.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from studies.models.config import read_config, read_json, shape
from studies.models.hashing import per_file
from studies.spec import Dtype, Quantisation

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

# 4 bits and, for every 64 numbers, a scale in float32.
QUANTISED_BYTES: dict[Quantisation, float] = {"8bit": 1, "4bit": 0.5 + 4 / 64}

# Positions are looked up, and transformers fuses the experts of a block into one tensor.
UNPACKED = ("wpe.", "embed_positions.", ".experts.")

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

# How a file begins that git-lfs has put in the place of a large one.
LFS = b"version https://git-lfs"

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
    """The safetensors files of a folder, complete.

    Raises:
        ValueError: there are none, or the index and the files do not tell the same.
    """
    if weights_index(folder) is not None:
        names = shards(folder)
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
    parts = sorted(file.name for file in folder.glob("model-*-of-*.safetensors"))
    if parts:
        raise ValueError(
            f"model folder {folder} has {len(parts)} weight files such as {parts[0]} and no "
            f"{INDEX}, which says what lies in them: copy the whole folder"
        )
    found = unread(folder)
    raise ValueError(f"model folder {folder} has no weights: expected {SINGLE}{found}")


def shards(folder: Path) -> list[str]:
    """The names of the files that a model's weights are in, whether they are there or not."""
    index = weights_index(folder)
    return [SINGLE] if index is None else sorted(set(weight_map(index).values()))


def weight_map(index: Path) -> dict[str, str]:
    """The file of every tensor, by its name, as the index of several weight files tells.

    Raises:
        ValueError: it does not tell, or names a file that is not beside it.
    """
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(
            f"{index} has no weight_map: expected the file of every tensor by its name; copy the "
            "whole folder"
        )
    for name, file in found.items():
        if not isinstance(file, str) or not file or Path(file).name != file:
            raise ValueError(
                f"{index} names {file!r} as the file of {name}: expected a file in the same folder"
            )
    return found


def unread(folder: Path) -> str:
    """What to say of weights in a format that is never read, as pickles run code."""
    others = sorted(file.name for pattern in UNREAD for file in folder.glob(pattern))
    return f" (found {others[0]}, which is not read: convert it to safetensors)" if others else ""


def count_weights(folder: Path) -> Numbers | int:
    """How many numbers the weights in a folder are; their bytes where they are stored packed.

    Raises:
        ValueError: the weights are damaged, or of fewer layers than the configuration promises.
    """
    config = read_config(folder)
    sizes, stored = shape(config, where=str(folder)), tensors_of(folder)
    refuse_absent_layers(sizes.layers, stored, where=str(folder))
    if config.get("quantization_config"):
        return sum(file.stat().st_size for file in weight_files(folder))
    return count_numbers(stored, vocabulary=sizes.vocabulary)


def count_numbers(stored: Mapping[str, tuple[int, ...]], *, vocabulary: int | None) -> Numbers:
    """The numbers in tensors of these shapes; a matrix with a side of `vocabulary` is no linear
    layer."""
    linear = other = 0
    for name, sides in stored.items():
        named = any(part in name for part in UNPACKED)
        if len(sides) == 2 and vocabulary not in sides and not named:
            linear += math.prod(sides)
        else:
            other += math.prod(sides)
    return Numbers(linear, other)


def refuse_absent_layers(layers: int, names: Iterable[str], *, where: str) -> None:
    """Raise ValueError where a configuration promises more layers than weights can be of.

    It is a bound that holds whatever a family calls its layers: each has its number in a name.
    Only the family's own class can tell what is missing; it is not asked to make a billion layers.
    """
    numbers = {int(part) for name in names for part in name.split(".") if part.isdecimal()}
    most = max(numbers, default=-1) + 1
    if layers > most:
        raise ValueError(
            f"config.json of {where} promises {layers:,} layers, and the stored weights are of "
            f"{most:,} at most: copy the whole folder, or mend its config.json"
        )


def tensors_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all stored tensors of a model.

    Raises:
        ValueError: a file is damaged, or they do not hold what the index says.
    """
    found: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        for name, sides in tensors_in(file).items():
            if name in found:
                raise ValueError(
                    f"model folder {folder} has {name} in {found[name].name} and in {file.name}: "
                    "it is not clear which of the two is meant; copy the folder again"
                )
            found[name], shapes[name] = file, sides
    index = weights_index(folder)
    for name, where in ({} if index is None else weight_map(index)).items():
        if name not in found or found[name].name != where:
            raise ValueError(
                f"{index} says that {name} lies in {where}, which does not hold it: the files do "
                "not belong together; copy the whole folder"
            )
    return shapes


def unfinished(folder: Path) -> bool:
    """Whether weights of a model in the hub's cache are yet to be downloaded."""
    return not all((folder / name).is_file() for name in shards(folder))


def tensors_on_hub(name: str, *, commit: str) -> dict[str, tuple[int, ...]] | None:
    """The shapes of a hub model's tensors from the headers of its files, no weight is fetched; None
    where the hub does not tell them now.
    """
    from huggingface_hub import get_safetensors_metadata

    try:
        found = get_safetensors_metadata(name, revision=commit)
    except Exception:  # without a network they are read once they are here
        return None
    files = found.files_metadata.values()
    return {tensor: tuple(told.shape) for file in files for tensor, told in file.tensors.items()}


@per_file()
def tensors_in(path: Path) -> Mapping[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, from its header.

    Raises:
        ValueError: it is none, or not whole.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            pointer = file.read(len(LFS)) == LFS
        if pointer:
            raise ValueError(f"{path} is only a pointer of git-lfs: run `git lfs pull` there")
        with safe_open(path, framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise ValueError(
            f"{path} is not a safetensors file or is cut short ({reason}): copy it again"
        ) from error

"""Find a model's files and read its facts from them, without loading a weight.

A model is an embedded one, a local folder, or a hub id; a revision is a hub revision or, for a
folder, one of its sub-folders. Everything here is JSON and hashing: tensors are unknown.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studies.spec import Dtype, Model, ModelFacts, digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
NO_LIMIT = 1 << 30


class Shape(NamedTuple):
    """The sizes that a configuration gives."""

    layers: int
    width: int
    neurons: int
    context: int


def facts(model: Model) -> ModelFacts:
    """The facts of one model.

    Raises:
        ValueError: no such folder, or the folder lacks a configuration, weights or a tokenizer.
    """
    from studies import miniworld

    if model.id in miniworld.MODELS:
        folder = miniworld.model_folder(model.id, revision=model.revision)
        return _local_facts(model, folder, name=model.id)
    path = Path(model.id).expanduser()
    if path.is_dir():
        folder = _revision_folder(path, model.revision)
        return _local_facts(model, folder, name=path.resolve().name)
    if model.id.count("/") != 1 or model.id.startswith((".", "/", "~")):
        embedded = ", ".join(miniworld.MODELS)
        raise ValueError(
            f"unknown model {model.id!r}: expected a folder that exists, a hub id such as "
            f"'Qwen/Qwen2.5-7B', or an embedded model ({embedded})"
        )
    return _hub_facts(model)


def distinct(models: Iterable[ModelFacts]) -> tuple[ModelFacts, ...]:
    """The models, once it is sure that neither a name nor a set of weights occurs twice."""
    by_label: dict[str, ModelFacts] = {}
    by_identity: dict[str, ModelFacts] = {}
    for model in models:
        if model.label in by_label:
            first = by_label[model.label].folder
            raise ValueError(
                f"two models are called {model.label!r} ({first} and {model.folder}): rename one "
                "folder, or leave one out"
            )
        twin = by_identity.get(model.identity)
        if twin is not None:
            raise ValueError(
                f"models {twin.label!r} and {model.label!r} are the same weights: leave one out"
            )
        by_label[model.label] = by_identity[model.identity] = model
    return tuple(by_label.values())


def count_tokens(model: ModelFacts, texts: Sequence[str]) -> list[int] | None:
    """Tokens per text, special tokens included, or None where only the model's loader can tell."""
    path = Path(model.folder) / "tokenizer.json"
    if not path.is_file():
        return None
    encodings = _tokenizer(str(path)).encode_batch(list(texts))
    return [len(encoding.ids) for encoding in encodings]


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> "Tokenizer":
    """The tokenizer of a file, without its own truncation and padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _revision_folder(path: Path, revision: str | None) -> Path:
    """The sub-folder that a revision of a local model names."""
    if revision is None:
        return path
    folder = path / revision
    if folder.is_dir():
        return folder
    found = sorted(child.name for child in path.iterdir() if (child / "config.json").is_file())
    raise ValueError(
        f"model folder {path} has no revision {revision!r}: a revision of a local model is a "
        f"sub-folder with its own config.json (found: {', '.join(found) or 'none'})"
    )


def _local_facts(model: Model, folder: Path, *, name: str) -> ModelFacts:
    """Facts from files on this machine."""
    config = _config(folder / "config.json")
    weights = _weight_files(folder)
    tokenizer = [folder / file for file in TOKENIZER_FILES if (folder / file).is_file()]
    if not tokenizer:
        raise ValueError(
            f"model folder {folder} has no tokenizer: expected one of {', '.join(TOKENIZER_FILES)}"
        )
    settings = folder / "tokenizer_config.json"
    tokenizer += [settings] if settings.is_file() else []
    numbers = sum(_numbers_in(file) for file in weights)
    shape = _shape(config, where=str(folder))
    hashes = [file_hash(file) for file in (folder / "config.json", *weights)]
    return ModelFacts(
        name=name,
        revision=model.revision or "main",
        folder=str(folder.resolve()),
        weights=digest(hashes),
        tokenizer=digest([file_hash(file) for file in tokenizer]),
        dtype=model.dtype,
        layers=shape.layers,
        width=shape.width,
        neurons=shape.neurons,
        context=shape.context,
        bytes=numbers * DTYPE_BYTES[model.dtype],
        trust_remote_code=model.trust_remote_code,
    )


def _hub_facts(model: Model) -> ModelFacts:
    """Facts of a model on the hub; where the hub is out of reach, of its local copy."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(model.id, revision=model.revision, files_metadata=True)
        config_file = hf_hub_download(model.id, "config.json", revision=info.sha)
    except GatedRepoError as error:
        raise ValueError(
            f"model {model.id!r} is gated: accept its terms on the hub and run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {model.revision!r}" if model.revision else ""
        raise ValueError(f"the hub has no model {model.id!r}{at}: check its spelling") from error
    except (OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        try:
            copy = snapshot_download(model.id, revision=model.revision, local_files_only=True)
        except LocalEntryNotFoundError:
            raise ValueError(
                f"model {model.id!r} is neither a folder here nor in the local hub cache, and the "
                "hub cannot be reached: give a folder, or download the model first"
            ) from error
        return _local_facts(model, Path(copy), name=model.id)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    size = sum(size for file, size in files.items() if file.endswith(".safetensors"))
    if not size:
        raise ValueError(f"model {model.id!r} on the hub has no safetensors weights")
    config = _config(Path(config_file))
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    scale = DTYPE_BYTES[model.dtype] / (4 if stored == "float32" else 2)
    shape = _shape(config, where=model.id)
    return ModelFacts(
        name=model.id,
        revision=model.revision or "main",
        folder=model.id,
        commit=str(info.sha),
        weights=f"commit:{info.sha}",
        tokenizer=f"commit:{info.sha}",
        dtype=model.dtype,
        layers=shape.layers,
        width=shape.width,
        neurons=shape.neurons,
        context=shape.context,
        bytes=int(size * scale),
        trust_remote_code=model.trust_remote_code,
    )


def _config(path: Path) -> dict[str, object]:
    """The model's configuration as JSON."""
    if not path.is_file():
        raise ValueError(
            f"model folder {path.parent} has no config.json: expected a folder as "
            "`save_pretrained` writes it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {error.lineno}: not valid JSON ({error.msg})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    nested = content.get("text_config")
    return nested if isinstance(nested, dict) else content


def _shape(config: dict[str, object], *, where: str) -> Shape:
    """Layers, width, neurons and context, whatever the family calls them."""

    def first(*names: str) -> int | None:
        found = [config[name] for name in names if isinstance(config.get(name), int)]
        return int(str(found[0])) if found else None

    layers = first("num_hidden_layers", "n_layer", "num_layers")
    width = first("hidden_size", "n_embd", "d_model")
    if layers is None or width is None:
        raise ValueError(
            f"config.json of {where} gives no number of layers or no width: expected the "
            "configuration of a decoder such as Llama, Qwen2 or Gemma2"
        )
    return Shape(
        layers=layers,
        width=width,
        neurons=first("intermediate_size", "n_inner", "ffn_dim") or 4 * width,
        context=first("max_position_embeddings", "n_positions", "seq_length") or NO_LIMIT,
    )


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, complete."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        mapping = _config(index).get("weight_map")
        names = sorted(set(mapping.values())) if isinstance(mapping, dict) else []
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


def _numbers_in(path: Path) -> int:
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

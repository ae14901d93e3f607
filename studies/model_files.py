"""Find a model's files and read its facts from them, without loading a weight.

A model is an embedded one, a local folder, or a hub id; a revision is a hub revision or, for a
folder, one of its sub-folders. Everything here is JSON and hashing: tensors are unknown.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studies.spec import Dtype, Model, ModelFacts, digest
from studies.weight_files import file_hash, numbers_in, weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
SMALL_FILES = ["config.json", "model.safetensors.index.json", "tokenizer_config.json"]
SMALL_FILES += TOKENIZER_FILES
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
    folder = Path(model.folder)
    if model.commit:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                model.folder,
                revision=model.commit,
                allow_patterns=SMALL_FILES,
                local_files_only=True,  # the plan has fetched them
            )
        )
    path = folder / "tokenizer.json"
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
    weights = weight_files(folder)
    tokenizer = [folder / file for file in TOKENIZER_FILES if (folder / file).is_file()]
    if not tokenizer:
        raise ValueError(
            f"model folder {folder} has no tokenizer: expected one of {', '.join(TOKENIZER_FILES)}"
        )
    settings = folder / "tokenizer_config.json"
    tokenizer += [settings] if settings.is_file() else []
    numbers = sum(numbers_in(file) for file in weights)
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
    """Facts of a model on the hub, at the commit its revision stands for; no weight is fetched.

    Without a network its local copy serves, and the key stays the same: the commit identifies it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        copy = snapshot_download(model.id, revision=model.revision, allow_patterns=SMALL_FILES)
    except GatedRepoError as error:
        raise ValueError(
            f"model {model.id!r} is gated: accept its terms on the hub and run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {model.revision!r}" if model.revision else ""
        raise ValueError(f"the hub has no model {model.id!r}{at}: check its spelling") from error
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"model {model.id!r} is neither a folder here nor in the local hub cache, and the hub "
            "cannot be reached: give a folder, or download the model first"
        ) from error
    folder = Path(copy)
    config = _config(folder / "config.json")
    shape = _shape(config, where=model.id)
    return ModelFacts(
        name=model.id,
        revision=model.revision or "main",
        folder=model.id,
        commit=folder.name,
        weights=f"commit:{folder.name}",
        tokenizer=f"commit:{folder.name}",
        dtype=model.dtype,
        layers=shape.layers,
        width=shape.width,
        neurons=shape.neurons,
        context=shape.context,
        bytes=_hub_bytes(folder, config, dtype=model.dtype),
        trust_remote_code=model.trust_remote_code,
    )


def _hub_bytes(folder: Path, config: dict[str, object], *, dtype: Dtype) -> int:
    """Size of the weights in `dtype`, from what is in the cache; 0 where that does not tell."""
    here = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        metadata = _config(index).get("metadata")
        total = metadata.get("total_size", 0) if isinstance(metadata, dict) else 0
        stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return int(total) * DTYPE_BYTES[dtype] // (4 if stored == "float32" else 2)
    return sum(numbers_in(file) for file in here) * DTYPE_BYTES[dtype]


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

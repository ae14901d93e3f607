"""Find a model's files and read its facts from them, without loading a weight.

A model is an embedded one, a local folder, or a hub id; a revision is a hub revision or, for a
folder, one of its sub-folders. Everything here is JSON and hashing: tensors are unknown.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from studies.adapter_files import find_adapter
from studies.model_config import Config, Shape, read_config, read_json, refuse_encoders, shape
from studies.snapshots import snapshot
from studies.spec import Model, ModelFacts, digest
from studies.weight_files import Numbers, count_numbers, file_hash, weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
CHAT_TEMPLATE = "chat_template.jinja"
MORE_CHAT_TEMPLATES = "additional_chat_templates"
SMALL_FILES = ["config.json", "model.safetensors.index.json", "tokenizer_config.json"]
SMALL_FILES += ["adapter_config.json", *TOKENIZER_FILES]


def facts(model: Model) -> ModelFacts:
    """The facts of one model.

    Raises:
        ValueError: no such folder, the folder lacks a configuration, weights or a tokenizer, or
            the model is not one that can be read as it is asked for.
    """
    if model.adapter is not None and model.quantisation:
        raise ValueError(
            f"adapter {model.adapter!r} cannot be merged into weights in {model.quantisation}: "
            "leave out the quantisation, or the adapter"
        )
    found = _plain_facts(model)
    if model.quantisation:
        return replace(
            found, name=f"{found.name}+{model.quantisation}", quantisation=model.quantisation
        )
    if model.adapter is None:
        return found
    adapter = find_adapter(model.adapter)
    return replace(
        found,
        name=f"{found.name}+{adapter.name}",
        adapter=adapter.folder,
        adapter_commit=adapter.commit,
        adapter_weights=adapter.weights,
    )


def _plain_facts(model: Model) -> ModelFacts:
    """The facts of a model, whatever is done to its weights after they are loaded."""
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


def count_weights(folder: Path) -> Numbers | int:
    """How many numbers the weights in a folder are; their bytes where they are stored packed."""
    config = read_config(folder)
    files = weight_files(folder)
    if config.get("quantization_config"):
        return sum(file.stat().st_size for file in files)
    vocabulary = shape(config, where=str(folder)).vocabulary
    return count_numbers(files, vocabulary=vocabulary)


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


def may_chat(model: ModelFacts) -> bool:
    """Whether a model's folder has a chat template; one that is yet to be downloaded may have."""
    folder = Path(model.folder)
    if model.commit or (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and "chat_template" in read_json(settings)


def may_read(model: ModelFacts, argument: str) -> bool:
    """Whether a model's chat template reads an argument; one yet to be downloaded may."""
    folder = Path(model.folder)
    files = [folder / CHAT_TEMPLATE, folder / "tokenizer_config.json"]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return bool(model.commit) or any(re.search(rf"\b{argument}\b", text) for text in texts)


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


def _read(folder: Path, model: Model, *, where: str) -> tuple[Config, Shape]:
    """The configuration of a model that can be read as it is asked for, and its sizes."""
    config = read_config(folder)
    refuse_encoders(config, where=where)
    asked = "quantised again" if model.quantisation else "changed by an adapter"
    if config.get("quantization_config") and (model.quantisation or model.adapter is not None):
        raise ValueError(
            f"model {where} is stored quantised (config.json has a quantization_config) and cannot "
            f"be {asked}: choose the model that it was made from"
        )
    return config, shape(config, where=where)


def _local_facts(model: Model, folder: Path, *, name: str) -> ModelFacts:
    """Facts from files on this machine."""
    _, sizes = _read(folder, model, where=str(folder))
    weights = weight_files(folder)
    tokenizer = [folder / file for file in TOKENIZER_FILES if (folder / file).is_file()]
    if not tokenizer:
        raise ValueError(
            f"model folder {folder} has no tokenizer: expected one of {', '.join(TOKENIZER_FILES)}"
        )
    settings = folder / "tokenizer_config.json"
    template, more = folder / CHAT_TEMPLATE, folder / MORE_CHAT_TEMPLATES
    tokenizer += [file for file in (settings, template) if file.is_file()]
    # Each of these is chosen by its name, so that belongs to them.
    named = [[file.name, file_hash(file)] for file in sorted(more.glob("*.jinja"))]
    hashes = [file_hash(file) for file in (folder / "config.json", *weights)]
    return ModelFacts(
        name=name,
        revision=model.revision or "main",
        folder=str(folder.resolve()),
        weights=digest(hashes),
        tokenizer=digest([*(file_hash(file) for file in tokenizer), *named]),
        dtype=model.dtype,
        layers=sizes.layers,
        width=sizes.width,
        neurons=sizes.neurons,
        context=sizes.context,
        bytes=_bytes(count_weights(folder), model),
        trust_remote_code=model.trust_remote_code,
    )


def _hub_facts(model: Model) -> ModelFacts:
    """Facts of a model on the hub, at the commit its revision stands for; no weight is fetched.

    Without a network its local copy serves, and the key stays the same: the commit identifies it.
    """
    folder = snapshot(model.id, revision=model.revision, files=SMALL_FILES, what="model")
    config, sizes = _read(folder, model, where=model.id)
    return ModelFacts(
        name=model.id,
        revision=model.revision or "main",
        folder=model.id,
        commit=folder.name,
        weights=f"commit:{folder.name}",
        tokenizer=f"commit:{folder.name}",
        dtype=model.dtype,
        layers=sizes.layers,
        width=sizes.width,
        neurons=sizes.neurons,
        context=sizes.context,
        bytes=_bytes(_hub_numbers(folder, config, sizes), model),
        trust_remote_code=model.trust_remote_code,
    )


def _bytes(weights: Numbers | int, model: Model) -> int:
    """What the weights take in memory."""
    if isinstance(weights, int):
        return weights
    return weights.bytes(dtype=model.dtype, quantisation=model.quantisation)


def _hub_numbers(folder: Path, config: Config, sizes: Shape) -> Numbers | int:
    """The size of the weights from what is in the cache; 0 where that does not tell."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        here = (folder / "model.safetensors").is_file()
        return count_weights(folder) if here else 0
    content = read_json(index)
    metadata, names = content.get("metadata"), content.get("weight_map")
    total = int(metadata.get("total_size", 0)) if isinstance(metadata, dict) else 0
    if config.get("quantization_config"):
        return total
    numbers = total // (4 if _stored_dtype(config) == "float32" else 2)
    names = tuple(names) if isinstance(names, dict) else ()
    if any(".experts." in name for name in names):
        return Numbers(0, numbers)
    heads = 1 + any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in names)
    other = min(numbers, heads * (sizes.vocabulary or 0) * sizes.width)
    return Numbers(numbers - other, other)


def _stored_dtype(config: Config) -> str:
    """The dtype of the weights in the files, which a nested configuration may give."""
    nested = config.get("text_config")
    found = [config.get("dtype"), config.get("torch_dtype")]
    found += [nested.get("dtype"), nested.get("torch_dtype")] if isinstance(nested, dict) else []
    return next((str(name) for name in found if name), "float32")

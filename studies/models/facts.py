"""Find a model's files and read its facts from them, without loading a weight.

A model is an embedded one, a local folder, or a hub id; a revision is a hub revision or, for a
folder, one of its sub-folders.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studies import miniworld
from studies.models.adapter import find_adapter
from studies.models.config import (
    CONFIG,
    Config,
    Shape,
    read_config,
    read_json,
    readable,
    refuse_encoders,
    shape,
)
from studies.models.files import GENERATION, choose, end_tokens
from studies.models.folder import (
    Hashes,
    hashes,
    small_files,
    small_snapshot,
    tokenizer_hash,
)
from studies.models.tokenizer import refuse_broken_tokenizer
from studies.models.weights import (
    SINGLE,
    Numbers,
    count_weights,
    refuse_absent_layers,
    weight_files,
    weight_map,
    weights_index,
)
from studies.spec import Model, ModelFacts
from studies.values import meant


def facts(model: Model) -> ModelFacts:
    """The facts of one model.

    Raises:
        ValueError: no such folder, the folder lacks a configuration, weights or a tokenizer, a
            file cannot be read, or the model cannot be used as it is asked for.
    """
    with readable(f"model {model.id!r}"):
        return _facts(model)


def _facts(model: Model) -> ModelFacts:
    """The facts of one model, with what is done to its weights."""
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
    if adapter.has_tokenizer:
        refuse_broken_tokenizer(adapter.files)
    found = replace(
        found,
        name=f"{found.name}+{adapter.name}",
        adapter=adapter.folder,
        adapter_commit=adapter.commit,
        adapter_weights=adapter.weights,
    )
    own = tokenizer_hash(adapter.files) if adapter.has_tokenizer else None
    if own is None or own == tokenizer_hash(small_files(found)):
        return found
    own = f"commit:{adapter.commit}" if adapter.commit else own
    return replace(found, tokenizer=own, adapter_tokenizer=True)


def _plain_facts(model: Model) -> ModelFacts:
    """The facts of a model, whatever is done to its weights after they are loaded."""
    if model.id in miniworld.MODELS:
        folder = miniworld.model_folder(model.id, revision=model.revision)
        return _local_facts(model, folder, name=model.id)
    path = Path(os.path.expanduser(model.id))  # of Path it raises where there is no such home
    if path.is_dir():
        folder = _revision_folder(path, model.revision)
        return _local_facts(model, folder, name=path.resolve().name)
    if model.id.count("/") != 1 or model.id.startswith((".", "/", "~")):
        embedded = ", ".join(miniworld.MODELS)
        raise ValueError(
            f"unknown model {model.id!r}: expected a folder that exists, a hub id such as "
            f"'Qwen/Qwen2.5-7B', or an embedded model ({embedded})"
            f"{meant(model.id, miniworld.MODELS)}"
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


def _revision_folder(path: Path, revision: str | None) -> Path:
    """The sub-folder that a revision of a local model names."""
    if revision is None:
        return path
    folder = path / revision
    if folder.is_dir():
        return folder
    found = sorted(child.name for child in path.iterdir() if (child / CONFIG).is_file())
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


def _refuse_settings(folder: Path) -> None:
    """Raise ValueError for a tokenizer or settings beside the weights that do not parse."""
    refuse_broken_tokenizer(folder)
    if (folder / GENERATION).is_file():
        read_json(folder / GENERATION)


def _local_facts(model: Model, folder: Path, *, name: str) -> ModelFacts:
    """Facts from files on this machine."""
    _, sizes = _read(folder, model, where=str(folder))
    numbers = count_weights(folder)  # headers first: a damaged file is not hashed
    _refuse_settings(folder)
    hashed = hashes(folder, weight_files(folder), model)
    place = str(folder.resolve())
    return _as_asked(model, folder, sizes, hashed, numbers, name=name, folder=place)


def _hub_facts(model: Model) -> ModelFacts:
    """Facts of a model on the hub, at the commit its revision stands for; no weight is fetched.

    Without a network its local copy serves, and the key stays the same: the commit identifies it.
    """
    trusted = model.trust_remote_code
    folder = small_snapshot(model.id, model.revision, trust_remote_code=trusted)
    config, sizes = _read(folder, model, where=model.id)
    _refuse_settings(folder)
    code = choose(folder, trust_remote_code=trusted, where=model.id).code
    commit = f"commit:{folder.name}"
    hashed = Hashes(commit, commit, commit if code else "")
    numbers = _hub_numbers(folder, config, sizes, where=model.id)
    place = {"folder": model.id, "commit": folder.name}
    return _as_asked(model, folder, sizes, hashed, numbers, name=model.id, **place)


def _as_asked(
    model: Model,
    files: Path,
    sizes: Shape,
    hashed: Hashes,
    numbers: Numbers | int,
    **known: Any,
) -> ModelFacts:
    """The facts of a model whose small `files` lie in a folder, opened as it is asked for."""
    if isinstance(numbers, Numbers):
        numbers = numbers.bytes(dtype=model.dtype, quantisation=model.quantisation)
    return ModelFacts(
        **known,
        revision=model.revision or "main",
        **hashed._asdict(),
        ends=end_tokens(files),
        dtype=model.dtype,
        layers=sizes.layers,
        width=sizes.width,
        neurons=sizes.neurons,
        context=sizes.context,
        bytes=numbers,
        trust_remote_code=model.trust_remote_code,
        allow_odd_weights=model.allow_odd_weights,
    )


def _hub_numbers(folder: Path, config: Config, sizes: Shape, *, where: str) -> Numbers | int:
    """The size of the weights from what is in the cache; 0 where that does not tell."""
    index = weights_index(folder)
    if index is None:
        return count_weights(folder) if (folder / SINGLE).is_file() else 0
    names, metadata = weight_map(index), read_json(index).get("metadata")
    refuse_absent_layers(sizes.layers, names, where=where)
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    total = int(size) if isinstance(size, int | float) and 0 < size < math.inf else 0
    if config.get("quantization_config"):
        return total
    numbers = total // (4 if _stored_dtype(config) == "float32" else 2)
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

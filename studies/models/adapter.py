"""Find an adapter's files, refuse what cannot be merged, and identify it, without loading a weight.

An adapter (LoRA and its kin, as the `peft` library writes them) changes the weights of the model
it was made for. Whether it fits a model shows on loading.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from studies.models.config import ADAPTER_CONFIG, Config, read_json, readable
from studies.models.files import TOKENIZER_FILES, has_vocabulary, tokenizer_files
from studies.models.hashing import file_hash
from studies.models.links import linked
from studies.models.snapshots import snapshot
from studies.models.weights import tensors_in, unread
from studies.spec import digest

WEIGHTS = "adapter_model.safetensors"

# Kinds whose merged weights were seen to give the logits of the adapter beside the weights.
MERGEABLE = (
    *("LORA", "ADALORA", "BOFT", "C3A", "FOURIERFT", "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR"),
    *("MISS", "OFT", "RANDLORA", "ROAD", "SHIRA", "VERA"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter by its files: `weights` is their hash, or the commit on the hub.

    `files` is the folder of its small files on this machine, with its own tokenizer if it has one.
    """

    name: str
    folder: str
    commit: str
    weights: str
    files: Path
    has_tokenizer: bool


def find_adapter(name: str) -> Adapter:
    """The adapter of this name: a local folder, or a hub id, `ID` or `ID@REVISION`.

    Raises:
        ValueError: there is none, its files are not all there, or its kind cannot be merged.
    """
    with readable(f"adapter {name!r}"):
        return _find(name)


def _find(name: str) -> Adapter:
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        _check(path, name=name)
        weights = path / WEIGHTS
        if not weights.is_file():
            raise ValueError(f"adapter {name!r} has no weights: expected {WEIGHTS}{unread(path)}")
        tensors_in(weights)
        place, whole = str(path.resolve()), path.resolve().name
        hashed, commit = digest([file_hash(path / ADAPTER_CONFIG), file_hash(weights)]), ""
    else:
        place, _, revision = name.partition("@")
        if place.count("/") != 1 or name.startswith((".", "/", "~")):
            raise ValueError(
                f"unknown adapter {name!r}: expected a folder that exists, or a hub id such as "
                "'org/llama-lora', ID or ID@REVISION"
            )
        path = _snapshot(place, revision or None)
        _check(path, name=name)
        commit, whole = path.name, name
        hashed = f"commit:{commit}"
    return Adapter(
        name=whole,
        folder=place,
        commit=commit,
        weights=hashed,
        files=path,
        has_tokenizer=_has_tokenizer(path, name=name),
    )


def small_files(folder: str, commit: str) -> Path:
    """The folder with all of an adapter's files but its weights, which may be there too.

    Args:
        folder: a local folder, or a hub id.
        commit: that of the hub id, "" for a local folder.
    """
    return _snapshot(folder, commit) if commit else Path(folder)


def _snapshot(name: str, revision: str | None) -> Path:
    """The same of an adapter on the hub."""
    return snapshot(
        name, revision=revision, files=[ADAPTER_CONFIG, *TOKENIZER_FILES], what="adapter"
    )


def opened(folder: str, commit: str) -> Path:
    """A folder with exactly the files of an adapter that change weights; the hub's are downloaded.

    Args:
        folder: a local folder, or a hub id.
        commit: that of the hub id, "" for a local folder.

    Raises:
        ValueError: the hub has no weights of it in safetensors.
    """
    found, files = Path(folder), [ADAPTER_CONFIG, WEIGHTS]
    with readable(f"adapter {folder!r}"):
        if commit:
            found = snapshot(folder, revision=commit, files=files, what="adapter")
        if not (found / WEIGHTS).is_file():
            raise ValueError(
                f"adapter {folder!r} has no {WEIGHTS}{' on the hub' if commit else ''}: expected "
                "weights in safetensors; choose another revision, or convert a local copy"
            )
        return linked({name: found / name for name in files})


def _has_tokenizer(folder: Path, *, name: str) -> bool:
    """Whether an adapter brings a tokenizer, which is then used in place of the model's.

    Raises:
        ValueError: it brings only a part of one.
    """
    found = tokenizer_files(folder)
    if found and not has_vocabulary(found):
        raise ValueError(
            f"adapter {name!r} has {found[0]} and no tokenizer that it belongs to: expected the "
            "whole tokenizer beside the adapter's weights, or nothing of it; copy the rest there, "
            "or move this file away to read texts with the model's own"
        )
    return bool(found)


def _check(folder: Path, *, name: str) -> None:
    """Refuse what is no adapter of a language model, or one that cannot be merged."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        raise ValueError(
            f"adapter {name!r} has no {ADAPTER_CONFIG}: expected a folder as peft's "
            "`save_pretrained` writes it"
        )
    config: Config = read_json(path)
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind not in MERGEABLE:
        raise ValueError(
            f"adapter {name!r} is of kind {kind!r}, which cannot be merged into the weights: "
            f"expected one of {', '.join(MERGEABLE)}; choose such an adapter"
        )
    if task not in (None, "CAUSAL_LM"):
        raise ValueError(
            f"adapter {name!r} was made for the task {task!r}: expected 'CAUSAL_LM', the task of "
            "predicting the next token; choose such an adapter"
        )

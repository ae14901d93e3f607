"""Find an adapter's files, refuse what cannot be merged, and identify it, without loading a weight.

An adapter (LoRA and its kin, as the `peft` library writes them) changes the weights of the model
it was made for. Whether it fits a model is found out on loading.
"""

from dataclasses import dataclass
from pathlib import Path

from studies.model_config import Config, read_json
from studies.snapshots import snapshot
from studies.spec import digest
from studies.weight_files import file_hash, tensors_in, unread

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# Kinds whose merged weights were seen to give the logits of the adapter beside the weights.
MERGEABLE = (
    *("LORA", "ADALORA", "BOFT", "C3A", "FOURIERFT", "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR"),
    *("MISS", "OFT", "RANDLORA", "ROAD", "SHIRA", "VERA"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter as its files tell: `weights` is their hash, or the commit on the hub."""

    name: str
    folder: str
    commit: str
    weights: str


def find_adapter(name: str) -> Adapter:
    """The adapter of this name: a local folder, or a hub id, `ID` or `ID@REVISION`.

    Raises:
        ValueError: there is none, its files are not all there, or its kind cannot be merged.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        _check(path, name=name)
        weights = path / WEIGHTS
        if not weights.is_file():
            raise ValueError(f"adapter {name!r} has no weights: expected {WEIGHTS}{unread(path)}")
        tensors_in(weights)
        return Adapter(
            name=path.resolve().name,
            folder=str(path.resolve()),
            commit="",
            weights=digest([file_hash(path / CONFIG), file_hash(weights)]),
        )
    identifier, _, revision = name.partition("@")
    if identifier.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(
            f"unknown adapter {name!r}: expected a folder that exists, or a hub id such as "
            "'org/llama-lora', ID or ID@REVISION"
        )
    copy = snapshot(identifier, revision=revision or None, files=[CONFIG], what="adapter")
    _check(copy, name=name)
    return Adapter(name=name, folder=identifier, commit=copy.name, weights=f"commit:{copy.name}")


def _check(folder: Path, *, name: str) -> None:
    """Refuse what is no adapter of a language model, or one that cannot be merged."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"adapter {name!r} has no {CONFIG}: expected a folder as peft's `save_pretrained` "
            "writes it"
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

"""The folder of a model's files on this machine: fetched, hashed, and shown to loaders.

What is hashed here is what `opened` gives to loaders; which files these are is chosen in
chosen_files.py. What the files say is unknown here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from studies import adapter_files
from studies.chosen_files import (
    CONFIG,
    LEFT_OUT,
    SMALL_FILES,
    UNNAMED,
    beside_weights,
    choose,
    tokenizer_files,
)
from studies.file_hash import file_hash
from studies.links import linked
from studies.snapshots import snapshot
from studies.spec import Model, ModelFacts, digest
from studies.weight_files import INDEX, SINGLE, weight_files, weight_map, weights_index


class Hashes(NamedTuple):
    """The parts of a model's identity that follow from its files; `code` is "" without any."""

    weights: str
    tokenizer: str
    code: str


def fetched(model: ModelFacts) -> Path:
    """The folder of a model's files on this machine; those of the hub are downloaded, and so is
    a tokenizer that its adapter brings.

    Raises:
        ValueError: they cannot be downloaded.
    """
    folder = small_files(model)
    tokenizer_folder(model)
    if not model.commit:
        return folder
    whole = snapshot(model.folder, revision=model.commit, files=[SINGLE], what="model")
    if weights_index(whole) is not None:
        shards = sorted(set(weight_map(whole / INDEX).values()))
        snapshot(model.folder, revision=model.commit, files=shards, what="model")
    return whole


def opened(model: ModelFacts) -> Path:
    """A folder with exactly the files that the model is made of, and its adapter's tokenizer.

    Raises:
        ValueError: files are missing, or cannot be downloaded.
    """
    folder = fetched(model)
    small = _small(model, folder)  # refuses a folder that is no model at all
    weights = [file.relative_to(folder).as_posix() for file in weight_files(folder)]
    weights += beside_weights(folder)
    return linked(small | {name: folder / name for name in weights})


def opened_small(model: ModelFacts) -> Path:
    """The same without the weights: all that a tokenizer is made of.

    Raises:
        ValueError: as `opened` does.
    """
    return linked(_small(model, small_files(model)))


def _small(model: ModelFacts, folder: Path) -> dict[str, Path]:
    """Every file of a model but its weights, by the name that loaders ask for."""
    chosen = choose(folder, trust_remote_code=model.trust_remote_code, where=str(folder))
    names = [*(name for name in chosen.code if name not in chosen.tokenizer), CONFIG]
    own = tokenizer_folder(model)
    tokenizer = tokenizer_files(own) if model.adapter_tokenizer else chosen.tokenizer
    return {name: folder / name for name in names} | {name: own / name for name in tokenizer}


def refuse_changed(model: ModelFacts) -> None:
    """Raise ValueError where the files of a model are no longer, or not here, those of its facts.

    Those of the hub are what their commit says.
    """
    if not model.commit:
        folder = Path(model.folder)
        found = hashes(folder, weight_files(folder), model)
        meant = found._replace(weights=model.weights, code=model.code)
        if not model.adapter_tokenizer:
            meant = meant._replace(tokenizer=model.tokenizer)
        if found != meant:
            raise ValueError(_changed(f"the files of model {model.label!r}", model.folder))
    if model.adapter and not model.adapter_commit:
        adapter = adapter_files.find_adapter(model.adapter)
        own = tokenizer_hash(adapter.files) if model.adapter_tokenizer else model.tokenizer
        if (adapter.weights, own) != (model.adapter_weights, model.tokenizer):
            raise ValueError(_changed(f"the adapter of model {model.label!r}", model.adapter))


def small_files(model: ModelFacts) -> Path:
    """The folder with all of a model's files but its weights, which may be there too."""
    if not model.commit:
        return Path(model.folder)
    return small_snapshot(model.folder, model.commit, trust_remote_code=model.trust_remote_code)


def small_snapshot(name: str, revision: str | None, *, trust_remote_code: bool) -> Path:
    """The same of a model on the hub."""
    folder = snapshot(name, revision=revision, files=SMALL_FILES, what="model")
    if trust_remote_code and choose(folder, trust_remote_code=True, where=name).code:
        snapshot(name, revision=folder.name, files=None, but=LEFT_OUT, what="model")
    return folder


def tokenizer_folder(model: ModelFacts) -> Path:
    """The folder that the tokenizer is read from."""
    if model.adapter_tokenizer:
        return adapter_files.small_files(model.adapter, model.adapter_commit)
    return small_files(model)


def hashes(folder: Path, weights: Sequence[Path], model: Model | ModelFacts) -> Hashes:
    """The identity of the files in a folder."""
    chosen = choose(folder, trust_remote_code=model.trust_remote_code, where=str(folder))
    made_of: list[object] = [file_hash(file) for file in (folder / CONFIG, *weights)]
    made_of += [[name, file_hash(folder / name)] for name in beside_weights(folder)]
    code = [[name, file_hash(folder / name)] for name in chosen.code]
    return Hashes(digest(made_of), tokenizer_hash(folder), digest(code) if code else "")


def tokenizer_hash(folder: Path) -> str:
    """The identity of the tokenizer in a folder."""
    hashes = [(name, file_hash(folder / name)) for name in tokenizer_files(folder)]
    return digest([had if name in UNNAMED else [Path(name).name, had] for name, had in hashes])


def _changed(what: str, folder: str) -> str:
    return (
        f"{what} in {folder} are not those that the plan was made from: run the same command "
        "again, and where there are several machines, put the same files on all of them"
    )

"""The folder of a model's files on this machine: fetched, hashed, and shown to loaders.

The files that are hashed are those that `opened` gives to loaders; files.py chooses them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from studies.models import adapter as adapters
from studies.models.config import CONFIG, readable
from studies.models.files import (
    LEFT_OUT,
    SMALL_FILES,
    UNNAMED,
    beside_weights,
    choose,
    tokenizer_files,
)
from studies.models.hashing import file_hash
from studies.models.links import linked
from studies.models.snapshots import snapshot
from studies.models.weights import SINGLE, shards, weight_files
from studies.spec import Model, ModelFacts, digest


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
    with readable(f"model {model.label!r}"):
        folder = small_files(model)
        tokenizer_folder(model)
        if not model.commit:
            return folder
        whole = snapshot(model.folder, revision=model.commit, files=[SINGLE], what="model")
        if (names := shards(whole)) != [SINGLE]:
            snapshot(model.folder, revision=model.commit, files=names, what="model")
        return whole


def opened(model: ModelFacts) -> Path:
    """A folder with exactly the files that the model is made of, and its adapter's tokenizer.

    Raises:
        ValueError: files are missing, or cannot be downloaded.
    """
    with readable(f"model {model.label!r}"):
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
    with readable(f"model {model.label!r}"):
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
    with readable(f"model {model.label!r}"):
        _refuse_changed(model)


def _refuse_changed(model: ModelFacts) -> None:
    if not model.commit:
        folder = Path(model.folder)
        found = hashes(folder, weight_files(folder), model)
        meant = found._replace(weights=model.weights, code=model.code)
        if not model.adapter_tokenizer:
            meant = meant._replace(tokenizer=model.tokenizer)
        if found != meant:
            raise ValueError(_changed(f"the files of model {model.label!r}", model.folder))
    if model.adapter and not model.adapter_commit:
        adapter = adapters.find_adapter(model.adapter)
        own = tokenizer_hash(adapter.files) if model.adapter_tokenizer else model.tokenizer
        if (adapter.weights, own) != (model.adapter_weights, model.tokenizer):
            raise ValueError(_changed(f"the adapter of model {model.label!r}", model.adapter))


def small_files(model: ModelFacts) -> Path:
    """A folder with all of a model's files except its weights, which may be there too."""
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
        return adapters.small_files(model.adapter, model.adapter_commit)
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

"""Delete what evaluated checkpoints no longer need, where somebody has asked for it; never rows.

Downloads are deleted only where they came for this watch: what was in the hub's cache before stays.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from orchestrator.storage.store import Store
from orchestrator.watching.convert import folder
from orchestrator.watching.state import Record, Watched
from orchestrator.watching.told import why

ADAPTERS = "training"


def bound(
    store: Store, watched: Watched, *, kept: Mapping[str, int | None], tell: Callable[[str], None]
) -> None:
    """Delete what is beyond the bounds, the oldest evaluations first.

    Args:
        store: where the rows lie.
        watched: what was seen; records are marked where their download is gone.
        kept: how many evaluated checkpoints keep each kind of files, None for all.
        tell: hears what could not be deleted.
    """
    done = sorted(
        (one for one in watched.records.values() if one.state == "done"),
        key=lambda one: (one.finished or "", one.name),
        reverse=True,
    )
    try:
        if (most := kept["downloads"]) is not None:
            held = [one for one in done if one.downloaded]
            _downloads(held[most:], watched)
        if (most := kept["converted"]) is not None:
            _converted(done[most:], store)
        _artifacts(done, store, kept)
    except (OSError, ValueError) as error:
        tell(f"not everything that --keep leaves out could be deleted: {why(error)}")


def is_downloaded(name: str, commit: str) -> bool:
    """Whether the hub's cache has weights of a commit of a model."""
    from huggingface_hub import constants

    repository = f"models--{name.replace('/', '--')}"
    snapshot = Path(constants.HF_HUB_CACHE) / repository / "snapshots" / commit
    return any(snapshot.glob("*.safetensors"))


def _downloads(records: Iterable[Record], watched: Watched) -> None:
    """Delete the cached files of some commits, but for those that other commits share."""
    from huggingface_hub import scan_cache_dir

    commits = {one.fingerprint: one.name for one in records}
    if not commits:
        return
    cached = scan_cache_dir()
    there = {one.commit_hash for repository in cached.repos for one in repository.revisions}
    cached.delete_revisions(*(there & commits.keys())).execute()
    for name in commits.values():
        watched.change(name, downloaded=False)


def _converted(records: Iterable[Record], store: Store) -> None:
    """Delete what a command made of some checkpoints."""
    place = folder(store) if store.files.is_local else None
    if place is None or not place.is_dir():
        return
    for one in records:
        if one.model and one.revision:
            shutil.rmtree(place / one.model.partition("+")[0] / one.revision, ignore_errors=True)
    for parent in place.iterdir():
        with suppress(OSError):  # not empty
            parent.rmdir()


def _artifacts(done: list[Record], store: Store, kept: Mapping[str, int | None]) -> None:
    """Delete artifacts, and those that are adapters, of some checkpoints."""
    most = {"adapters": kept["adapters"], "artifacts": kept["artifacts"]}
    if all(number is None for number in most.values()) or not store.artifact_files.keys():
        return
    places = {(one.model, one.revision): place for place, one in enumerate(done)}
    drop: set[str] = set()
    for (table, model, revision), keys in store.artifacts_by_model().items():
        number = most["adapters" if table == ADAPTERS else "artifacts"]
        if number is not None and places.get((model, revision), -1) >= number:
            drop |= keys
    if drop:
        with store.lock():
            store.drop_artifacts(drop)

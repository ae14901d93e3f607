"""Have a command of the user's make a model of a checkpoint that is none, before it is evaluated.

What it writes appears under its name only when the command has ended well.
"""

import os
import shlex
import shutil
import uuid
from pathlib import Path
from typing import NamedTuple

from orchestrator.signals import Wish
from orchestrator.storage.manifest import CONVERTED
from orchestrator.storage.store import Store
from orchestrator.watching.discover import Found
from orchestrator.watching.notify import SHELL
from orchestrator.watching.processes import run
from orchestrator.watching.told import why
from studies.models.cache import cache_folder
from studies.spec import digest

FOLDER = CONVERTED


class Converted(NamedTuple):
    """What came of it: the folder that holds `revision`, or why there is none, or that somebody
    wanted the watch to end meanwhile."""

    parent: Path
    revision: str
    error: str = ""
    interrupted: bool = False


def convert(found: Found, *, command: str, store: Store, wish: Wish) -> Converted:
    """Run the command on a checkpoint; a folder of an earlier try gives way."""
    parent, revision = place(found, store=store)
    if found.folder is None:
        return Converted(parent, revision, "--convert takes folders, and this is none")
    aside = parent.parent / f".{uuid.uuid4().hex}"
    paths = {"checkpoint": str(found.folder.resolve()), "out": str(aside)}
    text = command
    for name, path in paths.items():
        text = text.replace(f"{{{name}}}", shlex.quote(path))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.parent.glob("." + "[0-9a-f]" * 32):  # by a watch that was killed
            shutil.rmtree(left, ignore_errors=True)
        ended = run([*SHELL, text], wish=wish)
        if ended.interrupted:
            return Converted(parent, revision, interrupted=True)
        if ended.status:
            return Converted(parent, revision, f"--convert failed: {ended.sentence}")
        if not aside.is_dir():
            return Converted(parent, revision, "--convert left no folder {out}")
        final = parent / revision
        shutil.rmtree(final, ignore_errors=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(final)
    except OSError as error:
        return Converted(parent, revision, f"--convert has no place to write: {why(error)}")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Converted(parent, revision)


def place(found: Found, *, store: Store) -> tuple[Path, str]:
    """Where the model of a checkpoint lies: a folder called as its training run is, in the store
    or where that is on no disk of this machine in the user's cache; and the sub-folder's name.
    """
    run_name = Path(os.path.expanduser(found.id)).resolve().name
    return folder(store) / run_name, found.revision or ""


def folder(store: Store) -> Path:
    """Where all of a store's converted models lie."""
    if store.files.is_local:
        return store.files.local.absolute() / FOLDER
    cache = cache_folder()
    if cache is None:
        raise ValueError("--convert needs a place for models: set XDG_CACHE_HOME to a folder")
    return cache / FOLDER / digest(store.files.where)[:32]

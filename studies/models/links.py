"""A folder of links to certain files, so that whoever opens the folder finds these and no others.

It lies in the user's cache under a name that follows from its files and where they are. It is made
once and stays, as vLLM files what it has compiled under the path of a model.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from studies.models.cache import cache_folder
from studies.spec import digest


def linked(files: Mapping[str, Path]) -> Path:
    """A folder with a link by each name, such as `model.safetensors` or `templates/a.jinja`.

    Raises:
        ValueError: a name leads out of the folder, or no folder can be made.
    """
    try:
        targets = {name: str(path.resolve()) for name, path in files.items()}
        for name in targets:
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(
                    f"a model names {name!r} as a file of its folder: expected one inside"
                )
        return _kept(targets) or _passing(targets)
    except OSError as error:
        raise ValueError(
            f"cannot make a folder of links to a model's files ({error}): set XDG_CACHE_HOME or "
            "TMPDIR to a folder that can be written"
        ) from error


def _kept(targets: Mapping[str, str]) -> Path | None:
    """The folder in the cache; None where there is no cache, or it cannot be written."""
    cache = cache_folder()
    if cache is None:
        return None
    folder = cache / "links" / digest(targets)[:32]
    with suppress(OSError):
        if _found(folder) == targets or _found(_lay(targets, folder)) == targets:
            return folder
    return None


def _passing(targets: Mapping[str, str]) -> Path:
    """A folder that goes with this process."""
    folder = tempfile.mkdtemp(prefix="babelscope-links-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _lay(targets, Path(folder))


def _lay(targets: Mapping[str, str], folder: Path) -> Path:
    """Have a folder hold these links and nothing else.

    Other processes may use it or do the same at this moment: so each missing link is made aside and
    moved into place, and one that is right is never touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = _found(folder)
    for name in there.keys() - targets.keys():
        (folder / name).unlink(missing_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for name, target in targets.items():
            if there.get(name) == target:
                continue
            link, place = aside / "link", folder / name
            link.symlink_to(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            link.replace(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _found(folder: Path) -> dict[str, str]:
    """What lies in a folder: where each link leads, and "" for anything else."""
    return {
        (Path(parent) / name).relative_to(folder).as_posix(): (
            os.readlink(Path(parent) / name) if (Path(parent) / name).is_symlink() else ""
        )
        for parent, _, names in os.walk(folder)
        for name in names
    }

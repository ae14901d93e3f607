"""Fetch files of a model or an adapter from the hub, at the commit a revision stands for.

Without a network the local copy serves, and so does HF_HUB_OFFLINE=1. A commit identifies what the
hub has, so a copy that somebody changed since is refused. Within a process a branch stands for one
commit, even if it moves meanwhile, and the hub is asked once for the same files, and again when the
copy of them has changed.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from studies.models.hashing import Stamp, file_hash, in_full, stamp

# The cache names a file's content by git's hash of it, or by that of large files.
BLOB = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class _Wanted(NamedTuple):
    """Files that were asked for, and all that the answer depends on beside the hub."""

    name: str
    revision: str | None
    files: tuple[str, ...] | None
    but: tuple[str, ...]
    where: tuple[str, ...]
    in_full: bool


# The commit that a name and revision stand for, on this hub and in this cache.
_commits: dict[tuple[object, ...], str] = {}
# Folders that this process has fetched, with the stamps of their files then.
_fetched: dict[_Wanted, tuple[Path, dict[str, Stamp | None]]] = {}


def snapshot(
    name: str,
    *,
    revision: str | None,
    files: Sequence[str] | None,
    what: str,
    but: Sequence[str] = (),
) -> Path:
    """The cache folder of a repository, named by its commit, with `files` in it if it has them.

    Args:
        name: the hub id.
        revision: a branch, tag or commit; None is the main branch.
        files: names or patterns of the files; None is all of them.
        what: `model` or `adapter`, for the sentence that says what is wrong.
        but: names or patterns of files to leave out.

    Raises:
        ValueError: the hub has no such repository or revision, or keeps it behind its terms, or
            cannot be reached and the local copy is known to lack files; or a download failed; or
            the local copy was changed (of weights that is only seen where hashes are taken in
            full).
    """
    from huggingface_hub import constants

    where = (str(constants.ENDPOINT), str(constants.HF_HUB_CACHE))
    chosen = None if files is None else tuple(files)
    commit = _commits.get((name, revision, where), revision)
    wanted = _Wanted(name, commit, chosen, tuple(but), where, in_full())
    folder, before = _fetched.get(wanted, (None, {}))
    if folder is not None and _stamps(folder) == before:
        return folder
    folder = _download(wanted, what=what)
    _refuse_changed(folder, f"{what} {name!r}")
    _commits[name, revision, where] = folder.name
    stamps = _stamps(folder)
    if stamps and all(stamps.values()):
        _fetched[wanted._replace(revision=folder.name)] = (folder, stamps)
    return folder


def _download(wanted: _Wanted, *, what: str) -> Path:
    """The folder as the hub's own library fetches it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, revision = wanted.name, wanted.revision
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=None if wanted.files is None else list(wanted.files),
                ignore_patterns=list(wanted.but),
            )
        )
    except GatedRepoError as error:
        raise ValueError(
            f"{what} {name!r} is gated: accept its terms on the hub and run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ValueError(f"the hub has no {what} {name!r}{at}: check its spelling") from error
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"{what} {name!r} is neither a folder here nor in the local hub cache with all the "
            f"files that are needed, and the hub cannot be reached: give a folder, or download "
            f"the {what} first"
        ) from error
    except ValueError:
        raise
    except Exception as error:  # of three libraries: the network fails, or a disk is full
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{what} {name!r} cannot be fetched from the hub ({said.rstrip('.')}): run the same "
            f"command again, or download the {what} first"
        ) from error


def _stamps(folder: Path) -> dict[str, Stamp | None]:
    """The stamp of every file in a folder; where a link leads is part of it."""
    return {
        path.relative_to(folder).as_posix(): stamp(path)
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def _refuse_changed(folder: Path, where: str) -> None:
    """Raise ValueError for a file whose content is not what its name in the cache says."""
    for path in sorted(folder.rglob("*")):
        blob = path.resolve().name
        weights = path.suffix == ".safetensors" and not in_full()
        if not path.is_symlink() or weights or not BLOB.fullmatch(blob):
            continue
        if not path.is_file() or blob != (file_hash(path) if len(blob) == 64 else _git_hash(path)):
            raise ValueError(
                f"{path} in the local hub cache is not what {where} has on the hub: delete it and "
                "what it links to, and run again to download it; to use a model that you have "
                "changed, copy its folder and name the copy"
            )


def _git_hash(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

"""Fetch the small files of a model or an adapter from the hub, at the commit a revision stands for.

Without a network the local copy serves, and so does HF_HUB_OFFLINE=1. No weight is fetched here.
"""

from collections.abc import Sequence
from pathlib import Path


def snapshot(name: str, *, revision: str | None, files: Sequence[str], what: str) -> Path:
    """The cache folder of a repository, named by its commit, with `files` in it if it has them.

    Args:
        name: the hub id.
        revision: a branch, tag or commit; None is the main branch.
        files: names or patterns of the files.
        what: `model` or `adapter`, for the sentence that says what is wrong.

    Raises:
        ValueError: the hub has no such repository or revision, or keeps it behind its terms.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except GatedRepoError as error:
        raise ValueError(
            f"{what} {name!r} is gated: accept its terms on the hub and run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ValueError(f"the hub has no {what} {name!r}{at}: check its spelling") from error
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"{what} {name!r} is neither a folder here nor in the local hub cache, and the hub "
            f"cannot be reached: give a folder, or download the {what} first"
        ) from error

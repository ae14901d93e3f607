"""What the hub has of a model: its branches and tags, each at a commit, and whether that is whole.

A commit never changes, so what was found out about one is remembered while the watch runs.
"""

import fnmatch
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from analysis.storage.redact import redact
from orchestrator.watching.complete import lacking_by_names, lacking_parts
from orchestrator.watching.options import matches
from studies.models.weights import INDEX, SINGLE

MAIN = "main"
# The hub's own client waits for ever.
SECONDS = 30.0

Answer = TypeVar("Answer")


class HubError(Exception):
    """The hub could not be asked; the text is a part of a sentence."""


class Revision(NamedTuple):
    """A branch or tag of a model, at the commit that it stands for."""

    name: str
    commit: str


class About(NamedTuple):
    """What is known of a commit: why it is no whole model, empty where it is one, and when its
    weights were committed, in ISO 8601."""

    lacks: str
    date: str | None


class Hub:
    """The hub as the environment names it (HF_ENDPOINT, HF_TOKEN)."""

    def __init__(self) -> None:
        """Nothing is asked before it must be."""
        self._known: dict[tuple[str, str], About] = {}

    def models(self, pattern: str) -> list[str]:
        """The ids of an owner's models that match `OWNER/PATTERN`, sorted.

        Raises:
            HubError: the hub could not be asked.
        """
        owner, _, name = pattern.partition("/")
        begin = name[: min((name.find(one) for one in "*?[" if one in name), default=None)]

        def ask(api: Any) -> list[str]:
            return [str(one.id) for one in api.list_models(author=owner, search=begin or None)]

        found = _asked(ask) or []
        return sorted(one for one in found if fnmatch.fnmatchcase(one, pattern))

    def revisions(self, name: str, patterns: Sequence[str]) -> list[Revision] | None:
        """The branches and tags of a model that match, one for each commit; None where the hub has
        no such model, or does not show it.

        Without patterns all but `main`, and `main` where there is no other. Of several names of a
        commit the first counts, branches before tags, as the weights are the same.

        Raises:
            HubError: the hub could not be asked.
        """
        refs = _asked(lambda api: api.list_repo_refs(name))
        if refs is None:
            return None
        every = [Revision(one.name, one.target_commit) for one in (*refs.branches, *refs.tags)]
        others = [one for one in every if one.name != MAIN]
        chosen = [one for one in every if matches(one.name, patterns)] if patterns else others
        found: dict[str, Revision] = {}
        for one in chosen or ([] if patterns else every):
            found.setdefault(one.commit, one)
        return list(found.values())

    def about(self, name: str, commit: str, *, code: bool, marker: str | None) -> About:
        """Whether a commit of a model is whole; `code` as in `lacking`, `marker` a file it needs.

        Raises:
            HubError: the hub could not be asked.
        """
        mark = (name, commit)
        if mark not in self._known:
            self._known[mark] = self._about(name, commit, code=code, marker=marker)
        return self._known[mark]

    def _about(self, name: str, commit: str, *, code: bool, marker: str | None) -> About:
        info = _asked(lambda api: api.model_info(name, revision=commit))
        if info is None:
            return About("its commit is gone", None)
        names = [one.rfilename for one in info.siblings or ()]
        lacks = lacking_by_names(names, code=code)
        if not lacks and marker is not None and marker not in names:
            lacks = f"no {marker} yet"
        if not lacks and SINGLE not in names:
            lacks = lacking_parts(_parts(name, commit), names)
        made = None
        if not lacks:
            weights = SINGLE if SINGLE in names else INDEX
            made = _asked(lambda api: _committed(api, name, commit, weights))
        return About(lacks, made)


def _committed(api: Any, name: str, commit: str, path: str) -> str | None:
    """When a file was last committed."""
    found = api.get_paths_info(name, [path], revision=commit, expand=True)
    last = getattr(found[0], "last_commit", None) if found else None
    return None if last is None else last.date.isoformat(timespec="seconds")


def _parts(name: str, commit: str) -> set[str]:
    """The weight files that the index of a commit names."""
    from huggingface_hub import hf_hub_download

    path = _asked(lambda _: hf_hub_download(name, INDEX, revision=commit))
    if path is None:
        return {INDEX}
    try:
        return {str(file) for file in json.loads(Path(path).read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, AttributeError):
        return {f"a weight_map in {INDEX}"}


def _asked(question: Callable[[Any], Answer]) -> Answer | None:
    """What the hub answers, None where it has no such thing or does not show it.

    Raises:
        HubError: it could not be asked.
    """
    from huggingface_hub import HfApi, get_session
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        get_session().timeout = SECONDS
        return question(HfApi())
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None
    except Exception as error:  # of several libraries: the network, its names, its certificates
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise HubError(redact(said).rstrip(".")) from error

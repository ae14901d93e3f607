"""What checkpoints there are: sub-folders of training runs, branches and tags on the hub.

A look reads names, sizes and times; files are opened only of what is not evaluated yet. What could
not be looked at is said and is not taken for gone.
"""

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from analysis.statistics.checkpoints import NAMED, step
from orchestrator.watching import told
from orchestrator.watching.complete import Seen, lacking, seen
from orchestrator.watching.hub import MAIN, Hub, HubError
from orchestrator.watching.options import CHECKPOINTS, Watching, is_pattern, matches
from orchestrator.watching.state import FINISHED, Record
from orchestrator.watching.timing import iso
from studies import miniworld
from studies.models.config import CONFIG
from studies.values import at_revision, quoted

EMBEDDED = "embedded"
NOTHING = "nothing there yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A checkpoint that is there.

    Attributes:
        name: `ID@REVISION`, as it is evaluated.
        source: what was asked to be watched.
        step: its step of training, None where its name tells none.
        date: when it was made, None where that is not known.
        fingerprint: the commit on the hub, or a digest of its files.
        lacks: why it is not whole, empty where it is.
        settled: nothing of it can change any more, as with a commit, or one that has its marker.
        folder: where it lies on this machine.
        id: the model that it is of, and `revision` which version.
    """

    name: str
    source: str
    step: int | None
    date: str | None
    fingerprint: str
    lacks: str
    settled: bool
    id: str
    revision: str | None
    folder: Path | None = None

    @property
    def commit(self) -> str:
        """The commit on the hub, empty for a folder."""
        is_local = self.folder is not None or self.fingerprint == EMBEDDED
        return "" if is_local else self.fingerprint


class Look(NamedTuple):
    """What a look has found.

    Attributes:
        found: checkpoints, whole or not, by name.
        said: sentences on sources with nothing in them, or that could not be looked at.
        unknown: sources that could not be looked at.
        sources: all that were to be looked at.
    """

    found: dict[str, Found]
    said: tuple[str, ...]
    unknown: frozenset[str]
    sources: tuple[str, ...]


@dataclass(slots=True)
class _Gathered:
    """A look that is going on; `labels` are the places of what rows will call by a name."""

    records: Mapping[str, Record]
    found: dict[str, Found] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)


class Discovery:
    """Looks at sources, as often as it is asked to."""

    def __init__(self, asked: Watching, *, sources: Sequence[str], code: bool) -> None:
        """Name what is to be watched; `code` says that a model's own Python code is run.

        Raises:
            ValueError: a source cannot be read as one, or the file of sources cannot be read.
        """
        self._asked, self._given, self._code = asked, tuple(sources), code
        self._hub = Hub()
        self._listed: tuple[str, ...] = ()
        for source in self._given:
            at_revision(source)
        if asked.models_from is not None:
            self._listed = _lines(Path(asked.models_from))
        if not self._given and asked.models_from is None:
            raise ValueError(
                "nothing to watch: name a training run's folder or a model of the hub with "
                "--model, or a file of them with --models-from"
            )

    def look(self, records: Mapping[str, Record]) -> Look:
        """What is there now; of what `records` say is finished and unchanged no file is opened."""
        gathered = _Gathered(records)
        sources = self._sources(gathered)
        for source in sources:
            before = len(gathered.found) + len(gathered.said)
            try:
                self._one(source, gathered)
            except (HubError, ValueError, OSError) as error:
                gathered.unknown.add(source)
                gathered.said.append(f"{source} cannot be looked at now: {told.why(error)}")
            if len(gathered.found) + len(gathered.said) == before:
                gathered.said.append(f"{source}: {NOTHING}")
        return Look(
            gathered.found, tuple(gathered.said), frozenset(gathered.unknown), tuple(sources)
        )

    def again(self, found: Found) -> str | None:
        """The fingerprint of a folder as it is now, None where it is gone."""
        if found.folder is None:
            return found.fingerprint
        try:
            return self._seen(found.folder).fingerprint if found.folder.is_dir() else None
        except OSError:
            return None

    def _sources(self, gathered: _Gathered) -> list[str]:
        """All sources; those of the file as it is now, or as it was where it cannot be read."""
        if self._asked.models_from is not None:
            try:
                self._listed = _lines(Path(self._asked.models_from))
            except ValueError as error:
                gathered.said.append(f"{error}; what it said before is watched")
        return list(dict.fromkeys([*self._given, *self._listed]))

    def _one(self, source: str, gathered: _Gathered) -> None:
        """What belongs to one source."""
        identifier, revision = at_revision(source)
        path = Path(os.path.expanduser(identifier))
        on_hub = identifier.count("/") == 1 and not identifier.startswith((".", "/", "~"))
        patterns = [one for one in (revision or self._asked.revisions,) if one is not None]
        if identifier in miniworld.MODELS:
            self._embedded(source, identifier, revision, gathered)
        elif path.is_dir():
            self._folder(source, identifier, revision, gathered)
        elif is_pattern(identifier) and (folders := _folders(str(path))):
            for folder in folders:
                self._folder(source, folder, revision, gathered)
        elif is_pattern(identifier) and on_hub:
            for name in self._hub.models(identifier):
                self._of_hub(source, name, patterns, gathered)
        elif on_hub:
            self._of_hub(source, identifier, patterns, gathered)
        elif path.exists():
            gathered.said.append(f"{source} is a file: expected a folder or a model of the hub")

    def _embedded(
        self, source: str, identifier: str, revision: str | None, gathered: _Gathered
    ) -> None:
        """A model that ships with the project."""
        miniworld.model_folder(identifier, revision=revision)
        gathered.found[source] = Found(
            name=source, source=source, step=step(revision or MAIN), date=None, lacks="",
            fingerprint=EMBEDDED, settled=True, id=identifier, revision=revision,
        )  # fmt: skip

    def _folder(
        self, source: str, identifier: str, revision: str | None, gathered: _Gathered
    ) -> None:
        """The sub-folders that are checkpoints, and the folder itself where it is a model."""
        folder = Path(os.path.expanduser(identifier))
        real = os.path.realpath(folder)
        asked = revision or self._asked.checkpoints
        patterns = CHECKPOINTS if asked is None else (asked,)
        names = list(_below(folder, patterns))
        places: list[str | None] = [*names]
        if asked is None and self._asked.convert is None and (folder / CONFIG).is_file():
            places.append(None)
        if not places:
            others = "" if revision else " (--checkpoints names others)"
            gathered.said.append(
                f"{identifier}: {NOTHING} with a name such as {' or '.join(patterns)}{others}"
            )
        for name in places:
            at = folder if name is None else folder / name
            label = f"{os.path.basename(real)}@{name}"
            first = gathered.labels.setdefault(label, real)
            if first != real:
                gathered.said.append(
                    f"{at} is left alone: rows call it {label.removesuffix('@None')}, as they call "
                    f"the one in {first}; rename one of the two folders"
                )
                continue
            full = identifier if name is None else f"{identifier}@{name}"
            if full not in gathered.found:
                gathered.found[full] = self._local(
                    full, source, at, gathered.records.get(full), id=identifier, revision=name
                )

    def _local(
        self,
        name: str,
        source: str,
        folder: Path,
        record: Record | None,
        *,
        id: str,
        revision: str | None,
    ) -> Found:
        """A checkpoint in a folder; one that cannot be read is not whole."""
        marked, modified, fingerprint = False, None, ""
        at_step = step(revision or MAIN)
        try:
            what = self._seen(folder)
            modified, fingerprint = what.modified, what.fingerprint
            marker = self._asked.marker
            marked = marker is not None and (folder / marker).exists()
            finished = record is not None and record.state in FINISHED
            if record is not None and finished and record.fingerprint == fingerprint:
                lacks = ""
            elif not finished and self._asked.passes_over(at_step):
                lacks = ""  # whatever it lacks
            elif marker is not None and not marked:
                lacks = f"no {marker} yet"
            elif self._asked.convert is not None:
                lacks = "" if what.files else "it is empty"
            else:
                lacks = lacking(folder, [file.name for file in what.files], code=self._code)
        except OSError as error:
            lacks = f"it cannot be read ({error.strerror or error})"
        return Found(
            name=name, source=source, step=at_step, lacks=lacks, settled=marked,
            date=None if modified is None else iso(modified), fingerprint=fingerprint,
            id=id, revision=revision, folder=folder,
        )  # fmt: skip

    def _seen(self, folder: Path) -> Seen:
        return seen(folder, everything=self._asked.convert is not None, code=self._code)

    def _of_hub(self, source: str, name: str, patterns: Sequence[str], gathered: _Gathered) -> None:
        """The branches and tags of a model; one that has moved on since its evaluation goes by its
        commit, which is a name of its own.
        """
        revisions = self._hub.revisions(name, patterns)
        if revisions is None:
            gathered.said.append(
                f"{source} is neither a folder here nor a model that the hub shows: {NOTHING}"
            )
            return
        if not revisions:
            wanted = f" such as {' or '.join(patterns)}" if patterns else ""
            gathered.said.append(f"{name}: {NOTHING}, no branch or tag{wanted}")
        for one in revisions:
            usual = name if one.name == MAIN else f"{name}@{one.name}"
            record = gathered.records.get(usual)
            moved = record is not None and record.state == "rewritten"
            full = f"{name}@{one.commit}" if moved else usual
            known = gathered.records.get(full)
            at_step = _step_on_hub(name, one.name)
            finished = known is not None and known.state in FINISHED
            done = known is not None and finished and known.fingerprint == one.commit
            lacks, date = "", known.date if known else None
            if not done and (finished or not self._asked.passes_over(at_step)):
                lacks, date = self._hub.about(
                    name, one.commit, code=self._code, marker=self._asked.marker
                )
            gathered.found[full] = Found(
                name=full, source=source, step=at_step, date=date,
                fingerprint=one.commit, lacks=lacks, settled=True, id=name,
                revision=one.commit if moved else one.name,
            )  # fmt: skip


def _step_on_hub(name: str, revision: str) -> int | None:
    """The step that a revision names, or that a model's id does where it is the only one."""
    found = step(revision)
    if found is None and revision == MAIN:
        named = re.search(NAMED, name.rpartition("/")[2])
        return int(named[1]) if named else None
    return found


def _below(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    """The sub-folders whose names match, but no link to another of them."""
    found: dict[str, bool] = {}
    if any("/" in pattern for pattern in patterns):
        below = {path for pattern in patterns for path in folder.glob(pattern) if path.is_dir()}
        found = {path.relative_to(folder).as_posix(): path.is_symlink() for path in below}
    else:
        with os.scandir(folder) as entries:
            found = {
                entry.name: entry.is_symlink()
                for entry in entries
                if matches(entry.name, patterns) and entry.is_dir()
            }
    real = os.path.realpath(folder)
    own = {os.path.join(real, name) for name, link in found.items() if not link}
    for name, link in sorted(found.items()):
        if not (link and os.path.realpath(folder / name) in own):
            yield name


def _folders(pattern: str) -> list[str]:
    """The folders that a pattern of paths means."""
    return sorted(one.rstrip("/") for one in glob.glob(pattern) if os.path.isdir(one))


def _lines(path: Path) -> tuple[str, ...]:
    """The sources in a file, one a line; # begins a remark.

    Raises:
        ValueError: it cannot be read, or a line is no source.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ValueError(f"--models-from {quoted(str(path))} cannot be read: {why}") from error
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for name in named:
        at_revision(name)
    return tuple(named)

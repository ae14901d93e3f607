"""What a watch has seen and what became of it: `watch.json` in the store, whole at any moment.

Rows are the truth about what is computed; this file says what is known of checkpoints beside them.
It is put in place of the one before, so that a kill leaves the old one or the new one.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from orchestrator.storage.files import Files
from orchestrator.storage.manifest import WATCHED
from orchestrator.storage.typed import filled

NAME = WATCHED
VERSION = 1
State = Literal["waiting", "ready", "running", "done", "failed", "left", "gone", "rewritten"]
STATES: tuple[State, ...] = get_args(State)
# Nothing more happens to these by themselves.
FINISHED: tuple[State, ...] = ("done", "left", "rewritten")
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of one checkpoint. Times are UTC in ISO 8601.

    Attributes:
        name: `ID@REVISION` as it is evaluated.
        source: what was asked to be watched.
        step: its step of training, by its name.
        first_seen: when it was first met, complete or not.
        date: when it was made: its weights' time, or their commit's.
        fingerprint: the commit on the hub, or a digest of names, sizes and times of its files.
        state: what became of it.
        reason: what a waiting one waits for; on others, what should be known.
        attempts: how often its evaluation has failed.
        next_try: when a failed one is tried again.
        error: why it failed, in one sentence.
        model: its name in the rows, and `revision` beside it.
        identity: what its weights contribute to keys.
        finished: when it was evaluated.
        downloaded: whether its files came to the hub's cache for this watch.
        told: what of this moment is yet to be told to commands and webhook: `done`, `fail`
            or `rewrite`.
    """

    name: str
    source: str
    step: int | None = None
    first_seen: str = ""
    date: str | None = None
    fingerprint: str = ""
    state: State = "waiting"
    reason: str = ""
    attempts: int = 0
    next_try: str | None = None
    error: str = ""
    model: str = ""
    revision: str = ""
    identity: str = ""
    finished: str | None = None
    downloaded: bool = False
    told: str = ""


@dataclass(slots=True)
class Webhook:
    """How many messages reached the webhook, how many did not, and why the last did not."""

    sent: int = 0
    failed: int = 0
    error: str = ""


@dataclass(slots=True)
class Watched:
    """All of `watch.json`.

    `study` is the digest of what each checkpoint is asked: where that changes, those that are
    finished are looked at again.
    """

    records: dict[str, Record] = field(default_factory=dict)
    study: str = ""
    webhook: Webhook = field(default_factory=Webhook)

    def put(self, record: Record) -> Record:
        """Take note of a record in place of the one before."""
        self.records[record.name] = record
        return record

    def change(self, name: str, **changes: Any) -> Record:
        """Change a record."""
        return self.put(replace(self.records[name], **changes))

    def resume(self, *, study: str) -> int:
        """Take up what another process left: what it was at is ready again, and if the question
        has changed, everything is. Returns how many are asked the new question.
        """
        for record in list(self.records.values()):
            if record.state == "running":
                self.change(record.name, state="ready")
        asked_before, self.study = self.study, study
        if asked_before in ("", study):
            return 0
        again = [one for one in self.records.values() if one.state in ("done", "failed", "left")]
        for record in again:
            self.change(
                record.name, state="waiting", reason="", attempts=0, next_try=None, error=""
            )
        return len(again)

    def counts(self) -> dict[str, int]:
        """How many are in each state, of those that any is in."""
        found = [record.state for record in self.records.values()]
        return {state: found.count(state) for state in STATES if state in found}

    def as_json(self) -> dict[str, object]:
        """What the file holds."""
        return {
            "version": VERSION,
            "study": self.study,
            "webhook": asdict(self.webhook),
            "checkpoints": [asdict(record) for record in self.records.values()],
        }


def read(files: Files) -> Watched:
    """What was seen in a store; nothing where it was never watched.

    Raises:
        ValueError: the file is damaged, or a newer version wrote it.
    """
    try:
        content = files.read(NAME)
    except FileNotFoundError:
        return Watched()
    where = files.text(NAME)
    try:
        found = json.loads(content)
        version = found["version"]
        if type(version) is int and version > VERSION:
            raise OverflowError
        records = [filled(Record, _known(Record, one)) for one in found["checkpoints"]]
        webhook = filled(Webhook, _known(Webhook, found.get("webhook", {})))
    except OverflowError:
        raise ValueError(
            f"{where} was written by a newer Babelscope: update, or choose another --out"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{where} is damaged: delete it, and the next watch looks at every checkpoint again; "
            "rows that are there are never computed twice"
        ) from error
    return Watched({one.name: one for one in records}, str(found.get("study", "")), webhook)


def write(files: Files, watched: Watched) -> None:
    """Put the file in place of the one before.

    Raises:
        OSError: the file system refuses.
    """
    content = json.dumps(watched.as_json(), indent=1, ensure_ascii=False).encode()
    for last in (*[False] * (TRIES - 1), True):
        try:
            files.put(NAME, content)
            return
        except FileNotFoundError:
            # Whoever takes the store's lock clears away what looks like a killed writer's file.
            if last:
                raise


def _known(kind: Any, given: Mapping[str, object]) -> dict[str, object]:
    """Of a JSON object what a record has, and what it has by default where that is not said."""
    return {
        item.name: given.get(item.name, item.default)
        for item in fields(kind)
        if item.name in given or item.default is not MISSING
    }

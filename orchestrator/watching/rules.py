"""What becomes of the records when a look has found what it has: the rules, without any waiting.

A checkpoint is ready once it is whole and nothing of it changed between two looks. One that was
evaluated and has other weights now is said, and never mixed with the rows that are there.
"""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.watching.discover import Found, Look
from orchestrator.watching.evaluate import Evaluation, Known
from orchestrator.watching.options import Watching
from orchestrator.watching.state import FINISHED, Record, Watched
from orchestrator.watching.timing import Clock, iso, moment
from orchestrator.watching.told import span

# Between two looks at a new folder, in which nothing of it may change.
SETTLE_SECONDS = 10.0
# How long a failed one waits at first; each time after that four times as long.
RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 6 * 3600.0


class Rules:
    """What a watch makes of what it finds.

    `arriving` are the moments, by the clock that grows, at which those are to be seen again that
    were seen once.
    """

    def __init__(
        self,
        asked: Watching,
        watched: Watched,
        evaluation: Evaluation,
        *,
        address: str,
        tell: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Join the parts; `address` is the store's, for people."""
        self._asked, self._watched, self._evaluation = asked, watched, evaluation
        self._address, self._tell, self._clock = address, tell, clock
        every = asked.when.every or SETTLE_SECONDS
        self.settle = 0.0 if asked.dry_run else min(SETTLE_SECONDS, every)
        self._settling = f"it is evaluated once nothing changes for {span(self.settle)}"
        self.arriving: dict[str, float] = {}
        # When each folder was first seen as it is now.
        self._since: dict[str, tuple[str, float]] = {}

    def take(self, look: Look) -> None:
        """Take note of all that a look has found, and of what is gone."""
        self.arriving = {}
        for found in look.found.values():
            self._take(found)
        self._miss(look)

    def again(self, name: str) -> None:
        """A checkpoint changed since it was looked at, so that it is looked at anew at once."""
        self._watched.change(name, state="waiting", reason="it is being written again")
        self.arriving[name] = self._clock.elapsed()

    def may_be_rewritten(self, record: Record, found: Found) -> bool:
        """Whether a checkpoint that is refused has other weights than its rows, which is noted."""
        begun = self._evaluation.known(folder=found.folder, id=found.id, revision=found.revision)
        identity = record.identity or (begun.identity if begun else "")
        known = self._known_now(found) if identity else None
        if known is None or known.identity in ("", identity):
            return False
        self._rewritten(record, found)
        return True

    def _take(self, found: Found) -> None:
        """Take note of one checkpoint that is there."""
        record = self._watched.records.get(found.name)
        if record is None:
            now = iso(self._clock.now())
            record = Record(name=found.name, source=found.source, first_seen=now)
        changed = record.fingerprint != found.fingerprint
        if record.state in FINISHED:
            if changed and not found.lacks and self._is_still(found):
                self._changed(record, found)
            return
        if changed or record.state == "gone":
            record = replace(record, state="waiting", attempts=0, next_try=None, error="")
        record = replace(
            record, source=found.source, step=found.step, date=found.date,
            fingerprint=found.fingerprint,
        )  # fmt: skip
        failed = record.state == "failed"
        if wait := found.lacks or self._asked.passes_over(record.step):
            record = replace(record, state="waiting", reason=wait)
        elif not self._is_still(found):
            if not failed:
                record = replace(record, state="waiting", reason=self._settling)
        elif not failed or self.until_retry(record) <= 0:
            record = replace(record, state="ready", reason="")
        self._watched.put(record)

    def _is_still(self, found: Found) -> bool:
        """Whether nothing of a checkpoint has changed between two looks."""
        if found.settled:
            return True
        elapsed = self._clock.elapsed()
        fingerprint, since = self._since.get(found.name, ("", elapsed))
        if fingerprint != found.fingerprint:
            since = elapsed
            self._since[found.name] = (found.fingerprint, since)
        if elapsed - since >= self.settle:
            return True
        self.arriving[found.name] = since + self.settle
        return False

    def _changed(self, record: Record, found: Found) -> None:
        """A checkpoint that is finished has other files: by their hashes, the same weights or not.

        Rows are never deleted, and a store keeps one set of weights under a name, so new weights
        are not evaluated under it. On the hub the commit is a name of their own, which the next
        look brings; a folder has none, and the user is told.
        """
        begun = record.state == "rewritten" and not record.identity
        if record.state == "left" or begun:
            self._watched.change(
                record.name, state="waiting", attempts=0, fingerprint=found.fingerprint, error=""
            )
            return
        known = self._known_now(found)
        if known is not None and record.identity not in ("", known.identity):
            self._rewritten(record, found)
        elif known is not None:
            self._watched.change(
                record.name, state="done", fingerprint=found.fingerprint, reason=""
            )

    def _known_now(self, found: Found) -> Known | None:
        """What the files of a checkpoint are now; None where that cannot be told."""
        revision = found.commit or found.revision
        if self._asked.convert is not None:
            return Known("", "", "")  # only converting it again would tell
        try:
            return self._evaluation.identity(id=found.id, revision=revision)
        except ValueError as error:
            self._tell(f"{found.name} has changed and cannot be read now: {error}")
            return None

    def _rewritten(self, record: Record, found: Found) -> None:
        """Take note of new weights under an old name, and say what is done about it."""
        where = self._address
        when = "after" if record.identity else "while"
        kept = f"the rows of {record.name} in {where} are those of its earlier weights, and stay"
        then = (
            f"the new ones are evaluated as {found.id}@{found.commit}" if found.commit
            else "a store keeps one set of weights under one name, so the new ones are not "
            "evaluated here: rename the folder, or watch it with another --out"
        )  # fmt: skip
        self._watched.change(
            record.name, state="rewritten", fingerprint=found.fingerprint, next_try=None, error="",
            told="rewrite",
            reason=f"written anew {when} it was evaluated: {kept}; {then}",
        )  # fmt: skip
        self._tell(f"{record.name} was written anew {when} it was evaluated: {kept}; {then}")

    def _miss(self, look: Look) -> None:
        """Take note of what is no longer there and was not evaluated."""
        looked = set(look.sources) - look.unknown
        for record in list(self._watched.records.values()):
            there = record.name in look.found or record.source not in looked
            if not there and record.state not in (*FINISHED, "gone"):
                self.gone(record)
        for name in self._since.keys() - look.found.keys():
            del self._since[name]

    def gone(self, record: Record) -> None:
        """A checkpoint was deleted before it was evaluated."""
        self._watched.change(record.name, state="gone", reason="it was deleted", next_try=None)
        self._tell(f"{record.name} is gone: it was deleted before it was evaluated")

    def until_retry(self, record: Record) -> float:
        """Seconds until a failed one is tried again; a wall clock that was put back by more than
        the whole wait makes nobody wait longer.
        """
        wait = pause(record.attempts)
        left = 0.0 if record.next_try is None else moment(record.next_try) - self._clock.now()
        return left if left <= wait else 0.0


def pause(attempts: int) -> float:
    """How long a checkpoint waits that has failed so often."""
    return float(min(RETRY_SECONDS * 4 ** max(0, attempts - 1), LONGEST_RETRY_SECONDS))

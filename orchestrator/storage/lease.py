"""One run at a time in a store, wherever it lies: a file that says who, kept fresh by a heartbeat.

Whoever wants the store writes a file of a new name, `leases/<id>.json`, then looks, and holds the
store only if it saw no other. Of two that want, the later to look sees the earlier, so both never
hold; where both saw each other, the larger id gives way. This needs nothing but listings that show
what was written before them (local disks; S3 since 2020).

Whoever removes a dead lease waits for more than a heartbeat's time before the decisive look, so
that a holder which had only been slow finds its file gone and stops. Ages are differences of the
store's own times: no two clocks are compared.

Why no conditional put (If-None-Match): pyarrow cannot send one, and obstore 0.12.1, which can, is a
second client with its own idea of who asks. With the same server and environment it did not read
~/.aws/credentials (AWS_PROFILE), asked the metadata service in spite of AWS_EC2_METADATA_DISABLED,
and went through HTTP_PROXY, all unlike pyarrow: a run that can read and write its rows could not
take its lease. And no file system replaces a file on condition, so that on a shared disk without
locks a dead lease would have to be taken over as it is now. Only `_win` and `_bury`, 40 lines,
would be shorter.
"""

import json
import re
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Literal, NamedTuple

from orchestrator.storage.files import Files
from orchestrator.storage.process import Process, here, running
from orchestrator.storage.typed import filled

FOLDER = "leases"
# What else lies there is nobody's lease.
LEASE = re.compile(rf"{FOLDER}/[0-9a-f]+\.json")
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
POLL_SECONDS = 0.1
# An object store is looked at twice, this far apart, before it is taken.
READ_BACK_SECONDS = 1.0
# How long one waits for others that want the store, too, to hold it or to give way.
PATIENCE_SECONDS = 20.0
# This clock runs on while the machine sleeps, where the system has one that does.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LeaseLostError(ValueError):
    """Another run took the store, as this one had shown no sign of life for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a lease file says: `took` are the ids of the dead leases that its owner removed."""

    id: str
    process: Process
    since: str
    heartbeat: str
    holds: bool
    took: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Who it is, for people."""
        who = self.process
        return f"{who.user} on {who.host}, process {who.number}, since {self.since}"


class Seen(NamedTuple):
    """Another's claim, and when its file last changed by the store's clock."""

    claim: Claim
    modified: float


class Lease:
    """The right of this process to write to a store."""

    # Ids that this very process wants or holds: any other claim in its name is a leftover.
    _own: ClassVar[set[str]] = set()

    def __init__(self, files: Files) -> None:
        """Name the store; nothing is written before `acquire`."""
        self.id = uuid.uuid4().hex
        self._files = files
        self._process = here()
        self._since = _now()
        self._took: set[str] = set()
        self._watched: dict[str, tuple[float, float]] = {}
        self._beaten = _clock()
        self._lost = ""
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the store, or say who has it.

        Raises:
            ValueError: another run holds it, or came at the same time and goes first.
        """
        Lease._own.add(self.id)
        try:
            self._put(holds=False)
            self._win()
            self._put(holds=True)
        except BaseException:
            self._remove()
            raise
        self._thread.start()

    def release(self) -> None:
        """Stop the heartbeat, then let go."""
        self._stop.set()
        self._thread.join()
        self._remove()

    def check(self) -> None:
        """Make sure, before a write, that the store is ours; costs nothing while the heart beats.

        Raises:
            LeaseLostError: it is not.
        """
        if not self._lost and _clock() - self._beaten > STALE_SECONDS - BEAT_SECONDS:
            self._beat()
        if self._lost:
            raise LeaseLostError(self._lost)

    def _keep(self) -> None:
        """Beat until told to stop; a store that does not answer now may do so the next time."""
        while not self._stop.wait(BEAT_SECONDS) and not self._lost:
            with suppress(OSError):
                self._beat()

    def _beat(self) -> None:
        """Show a sign of life, unless another has taken over."""
        with self._turn:
            mine, others = _look(self._files, own=self.id)
            takers = [seen.claim for seen in others if self.id in seen.claim.took]
            if mine is None or takers:
                self._lost = (
                    f"{self._files.address} was taken over by {next(iter(takers), 'another run')}, "
                    f"as this run had shown no sign of life for {STALE_SECONDS:.0f} s: what was "
                    "computed is kept, start it again when the other has ended"
                )
                return
            for seen in others:
                if seen.claim.id in self._took:
                    self._files.delete(_name(seen.claim.id))
            self._put(holds=True)

    def _win(self) -> None:
        """Return once no other is there.

        Raises:
            ValueError: another holds the store, or wants it and has the smaller id.
        """
        began, looks = _clock(), 0
        while looks < (1 if self._files.is_local else 2):
            if looks:
                time.sleep(READ_BACK_SECONDS)
            mine, others = _look(self._files, own=self.id)
            if mine is None:
                raise ValueError(f"{self._files.text(_name(self.id))} was removed: start again")
            dead, left = [], []
            for seen in others:
                verdict = self._verdict(seen, mine=mine)
                if verdict == "dead":
                    dead.append(seen.claim)
                    continue
                left.append(seen.claim)
                first = seen.claim.holds or seen.claim.id < self.id
                late = _clock() - began > PATIENCE_SECONDS
                if late or (verdict == "alive" and first):
                    raise ValueError(refusal(self._files, seen.claim))
            self._bury(dead)
            looks = 0 if left or dead else looks + 1
            if left:
                time.sleep(POLL_SECONDS)

    def _verdict(self, seen: Seen, *, mine: float) -> Literal["alive", "dead", "doubtful"]:
        """Whether another's lease counts.

        On this machine the process itself tells. A copy of a machine takes itself for the first,
        so in an object store one that seems gone is watched for a heartbeat's time before.
        """
        claim = seen.claim
        if claim.id in self._took:
            return "dead"
        if self._process.machine and claim.process == self._process:
            return "alive" if claim.id in Lease._own else "dead"
        alive = running(claim.process)
        if alive is None:
            return "dead" if mine - seen.modified > STALE_SECONDS else "alive"
        if alive or self._files.is_local:
            return "alive" if alive else "dead"
        modified, since = self._watched.setdefault(claim.id, (seen.modified, _clock()))
        if modified != seen.modified:
            return "alive"
        return "dead" if _clock() - since > 1.2 * BEAT_SECONDS else "doubtful"

    def _bury(self, dead: list[Claim]) -> None:
        """Remove dead leases; where the process may live on elsewhere, give it time to notice."""
        new = [claim for claim in dead if claim.id not in self._took]
        if new:
            self._took.update(claim.id for claim in new)
            self._put(holds=False)
        for claim in dead:
            self._files.delete(_name(claim.id))
        if any(running(claim.process) is None for claim in new):
            time.sleep(1.2 * BEAT_SECONDS)

    def _put(self, *, holds: bool) -> None:
        """Write our own claim."""
        began = _clock()
        claim = Claim(
            id=self.id,
            process=self._process,
            since=self._since,
            heartbeat=_now(),
            holds=holds,
            took=tuple(sorted(self._took)),
        )
        content = json.dumps(asdict(claim), indent=1).encode()
        self._files.put(_name(self.id), content, durable=False)
        self._beaten = began

    def _remove(self) -> None:
        """Take our claim back; one that cannot be removed now goes stale by itself."""
        with self._turn, suppress(OSError):
            self._files.delete(_name(self.id))
        Lease._own.discard(self.id)


def holder(files: Files) -> Claim | None:
    """Who holds a store, as far as a reader can tell; ages are taken by this machine's clock."""
    for seen in _look(files)[1]:
        alive = running(seen.claim.process)
        fresh = time.time() - seen.modified < STALE_SECONDS
        if seen.claim.holds and (fresh if alive is None else alive):
            return seen.claim
    return None


def _look(files: Files, *, own: str = "") -> tuple[float | None, list[Seen]]:
    """When our `own` lease last changed, None where it is gone, and all others as they are now."""
    mine, others = None, []
    leases = (entry for entry in files.entries(FOLDER) if LEASE.fullmatch(entry.name))
    for entry in leases:
        if entry.name == _name(own):
            mine = time.time() if entry.modified is None else entry.modified
            continue
        try:
            claim = _claim(entry.name, files.read(entry.name))
        except FileNotFoundError:
            continue
        beaten = _moment(claim.heartbeat) if entry.modified is None else entry.modified
        others.append(Seen(claim, beaten))
    return mine, others


def refusal(files: Files, who: Claim | str) -> str:
    """Why a second run may not start."""
    return f"{files.address} is in use by {who}: wait for it, or choose another --out"


def _claim(name: str, content: bytes) -> Claim:
    """A lease file's content; one that cannot be read is somebody's, and goes stale like any."""
    id = name.removeprefix(f"{FOLDER}/").removesuffix(".json")
    try:
        claim = filled(Claim, json.loads(content))
        _moment(claim.heartbeat)
        if not str(claim).isprintable():
            raise ValueError("it would not be one line")
        return replace(claim, id=id)
    except (ValueError, TypeError, OverflowError, RecursionError):
        nobody = Process(user="someone", host="an unknown host", number=0, machine="", born=0)
        return Claim(id=id, process=nobody, since="?", heartbeat=_now(), holds=True)


def _name(id: str) -> str:
    """The file of a lease."""
    return f"{FOLDER}/{id}.json"


def _now() -> str:
    """This moment by this machine's clock, for people."""
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")


def _moment(text: str) -> float:
    """A moment that a claim names, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def _clock() -> float:
    """Seconds that only grow."""
    return time.clock_gettime(CLOCK)

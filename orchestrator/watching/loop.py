"""The watch itself: look, choose, evaluate, tell, wait, until somebody wants the end.

Every step of a checkpoint is in `watch.json` before the next is taken, so that a kill at any moment
costs at most the evaluation that was going on, whose rows so far are kept.
"""

from orchestrator import launch
from orchestrator.flags import Request
from orchestrator.signals import Wish
from orchestrator.storage.files import Files
from orchestrator.storage.lease import LeaseLostError
from orchestrator.storage.store import Store
from orchestrator.watching import disk, state, told
from orchestrator.watching.convert import convert
from orchestrator.watching.discover import Discovery, Found, Look
from orchestrator.watching.evaluate import Evaluation, Known, Outcome
from orchestrator.watching.messages import Messages
from orchestrator.watching.options import Watching
from orchestrator.watching.processes import BABELSCOPE, run
from orchestrator.watching.rules import Rules, pause
from orchestrator.watching.state import FINISHED, Record
from orchestrator.watching.timing import Clock, Schedule, iso, moment

INTERRUPTED = 130
SOME_FAILED = 1
# How long to leave a store alone that another run holds.
BUSY_SECONDS = 30.0
# How soon a signal, or a clock that was put forward, is noticed.
SLICE_SECONDS = 0.5
PAGE = "report/index.html"


class Watch:
    """One study of whatever checkpoints come."""

    def __init__(
        self,
        asked: Request,
        discovery: Discovery,
        *,
        store: Store,
        files: Files,
        wish: Wish,
        tell: told.Tell,
        clock: Clock,
    ) -> None:
        """Join the parts; `files` are the store's, for as long as it is ours to watch.

        Raises:
            ValueError: `watch.json` is damaged.
        """
        assert isinstance(asked.where, Watching)
        self._where = asked.where
        self._store, self._files, self._wish = store, files, wish
        self._tell, self._clock = tell, clock
        self._discovery, self._evaluation = discovery, Evaluation(asked, store=store)
        self._watched = state.read(files)
        self._schedule = Schedule(self._where.when, clock=clock)
        self._messages = Messages(
            self._where, self._watched, store=store, wish=wish, tell=tell, save=self._save
        )
        self._rules = Rules(
            self._where,
            self._watched,
            self._evaluation,
            address=store.address,
            tell=tell,
            clock=clock,
        )
        self._looks = 0
        self._look = Look({}, (), frozenset(), ())
        self._busy_until = float("-inf")
        self._kept = ""
        self._unreported = self._unbounded = self._lacks_report = False

    def preview(self) -> None:
        """Say what would be evaluated now, in order; nothing is written."""
        self._watched.resume(study=self._evaluation.study)
        self._look_around()
        ready = sorted(
            filter(self._is_ready, self._watched.records.values()),
            key=self._place,
            reverse=self._where.order == "newest",
        )
        self._tell(f"{len(ready):,} would be evaluated{':' if ready else ''}")
        for record in ready:
            self._tell(f"  {record.name}")

    def run(self) -> int:
        """Watch; returns the exit status."""
        again = self._watched.resume(study=self._evaluation.study)
        if again:
            self._tell(
                f"the study is asked differently than before: {again:,} checkpoints are evaluated "
                "again, which computes only what is new"
            )
        self._save(first=True)
        self._messages.catch_up()
        self._unreported, self._unbounded = self._is_report_old(), True
        while not self._wish.asked:
            if self._due():
                self._look_around()
                self._messages.catch_up()
            record = self._next()
            if record is not None:
                self._evaluate(record)
                continue
            self._tidy()
            if self._is_over():
                states = {one.state for one in self._watched.records.values()}
                failed = states & {"failed", "left"} or self._look.unknown or self._lacks_report
                return SOME_FAILED if failed else 0
            self._wait()
        self._tell("interrupted: what was computed is kept; the same command continues")
        return INTERRUPTED

    def _due(self) -> bool:
        """Whether it is time to look: planned, or for what is seen a second time or tried again."""
        return self._schedule.due or min(self._pauses(), default=1.0) <= 0

    def _pauses(self) -> list[float]:
        """Seconds until each thing that is waited for beside the next look."""
        elapsed = self._clock.elapsed()
        arriving = [due - elapsed for due in self._rules.arriving.values()]
        # One that is to be seen again first is tried after that.
        waited = self._look.found.keys() - self._rules.arriving if not self._where.once else set()
        tried = [
            self._rules.until_retry(one)
            for one in self._watched.records.values()
            if one.state == "failed" and one.name in waited
        ]
        busy = [self._busy_until - elapsed] if self._busy_until > elapsed else []
        return [*arriving, *tried, *busy]

    def _look_around(self) -> None:
        """Look at all sources and take note of what is there."""
        planned = self._schedule.due
        if planned:
            self._schedule.began()
        before, said = set(self._watched.records), set(self._look.said)
        self._looks += 1
        self._look = self._discovery.look(self._watched.records)
        self._rules.take(self._look)
        self._save()
        for sentence in self._look.said:
            if sentence not in said:
                self._tell(sentence)
        records = self._watched.records
        new = [one for name, one in records.items() if name not in before]
        if planned or new:
            parts = [told.found(new), told.waiting(records.values()), told.standing(self._watched)]
            self._tell("; ".join(filter(None, parts)))

    def _place(self, record: Record) -> tuple[float, str, str]:
        """What sorts checkpoints by training: what has no step comes last."""
        step = float("inf") if record.step is None else float(record.step)
        return step, record.date or "", record.name

    def _is_ready(self, record: Record) -> bool:
        return record.state == "ready" and record.name in self._look.found

    def _next(self) -> Record | None:
        """The checkpoint to evaluate now."""
        if self._wish.asked or self._clock.elapsed() < self._busy_until:
            return None
        ready = list(filter(self._is_ready, self._watched.records.values()))
        choose = max if self._where.order == "newest" else min
        return choose(ready, key=self._place, default=None)

    def _evaluate(self, record: Record) -> None:
        """Evaluate one checkpoint, and take note of what became of it."""
        found = self._look.found[record.name]
        now = self._discovery.again(found)
        if now is None:
            self._rules.gone(record)
            self._save()
            return
        if now != found.fingerprint:
            self._rules.again(record.name)
            return
        came = record.downloaded or (
            bool(found.commit) and not disk.is_downloaded(found.id, found.commit)
        )
        record = self._watched.change(record.name, state="running", reason="", downloaded=came)
        self._save()
        self._tell(f"evaluating {record.name}")
        began = self._clock.elapsed()
        outcome, known = self._ask(found)
        if outcome.interrupted or outcome.busy:
            self._watched.change(record.name, state="ready")
            if outcome.busy:
                self._busy_until = self._clock.elapsed() + BUSY_SECONDS
                self._tell(f"{outcome.error} ({record.name} waits for it)")
            self._save()
            return
        if outcome.error:
            self._failed(record, found, outcome)
        else:
            self._done(record, known, seconds=self._clock.elapsed() - began)
        self._save()
        self._messages.send(self._watched.records[record.name])

    def _ask(self, found: Found) -> tuple[Outcome, Known | None]:
        """Have the study asked of a checkpoint, converted first where that is wanted."""
        name, folder, id, revision = found.name, found.folder, found.id, found.revision
        if self._where.convert is not None:
            made = convert(found, command=self._where.convert, store=self._store, wish=self._wish)
            if made.error or made.interrupted:
                return Outcome(error=made.error, interrupted=made.interrupted), None
            id, revision = str(made.parent), made.revision
            folder, name = made.parent / revision, f"{id}@{revision}"
        outcome = self._evaluation.run(name, wish=self._wish)
        if outcome != Outcome():
            return outcome, None
        known = self._evaluation.known(folder=folder, id=id, revision=revision)
        if known is None:
            try:
                known = self._evaluation.identity(id=id, revision=found.commit or revision)
            except ValueError as error:  # deleted meanwhile: its rows are there all the same
                self._tell(f"{found.name} is evaluated, and its files cannot be read now: {error}")
        return outcome, known

    def _done(self, record: Record, known: Known | None, *, seconds: float) -> None:
        """Take note of a checkpoint that is evaluated."""
        found = known or Known("", "", "")
        twin = self._evaluation.twin(found.identity) if known else ""
        own = f"{found.model}@{found.revision}" if found.revision != "main" else found.model
        reason = f"the same weights as {twin}, whose rows stand for both" if twin != own else ""
        self._watched.change(
            record.name, state="done", finished=iso(self._clock.now()), error="", next_try=None,
            reason=reason if twin else "", told="done", identity=found.identity, model=found.model,
            revision=found.revision,
        )  # fmt: skip
        self._unreported = self._unbounded = True
        self._tell(f"{record.name} is evaluated ({told.span(seconds)})")

    def _failed(self, record: Record, found: Found, outcome: Outcome) -> None:
        """Take note of one that was not: deleted, of other weights, or to be tried again."""
        if self._discovery.again(found) is None:
            self._rules.gone(record)
            return
        if outcome.refused and self._rules.may_be_rewritten(record, found):
            return
        attempts = record.attempts + 1
        left = attempts > self._where.retries
        wait = pause(attempts)
        self._watched.change(
            record.name, state="left" if left else "failed", attempts=attempts,
            next_try=None if left else iso(self._clock.now() + wait), error=outcome.error,
            told="fail",
        )  # fmt: skip
        then = f"it is tried again in {told.span(wait)}"
        if self._where.once:  # this command ends before that
            then = f"a look in {told.span(wait)} or later tries it again"
        then = "it is left" if left else then
        self._tell(f"{record.name} failed: {outcome.error}; {then} (failure {attempts})")

    def _tidy(self) -> None:
        """What is done when nothing is left to evaluate: the report, and the bounds of the disk."""
        if self._unbounded:
            self._unbounded = False
            disk.bound(self._store, self._watched, kept=self._where.kept, tell=self._tell)
            self._save()
        if self._unreported and self._where.report:
            self._unreported = False
            ended = run([*BABELSCOPE, "report", self._store.files.where], wish=self._wish)
            self._lacks_report = ended.status != 0 and not ended.interrupted
            if self._lacks_report:
                self._tell(f"the report was not written: {ended.sentence}")

    def _is_report_old(self) -> bool:
        """Whether something was evaluated after the report was written."""
        done = [one.finished for one in self._watched.records.values() if one.state == "done"]
        newest = max((moment(one) for one in done if one), default=None)
        page = self._files.entry(PAGE)
        written = None if page is None else page.modified
        return newest is not None and (written is None or written < newest)

    def _is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        if self._where.once:
            ready = any(map(self._is_ready, self._watched.records.values()))
            return not ready and (self._looks > 1 or not self._rules.arriving)
        until = self._where.until
        if until is None or not self._look.sources or self._look.unknown:
            return False
        for source in self._look.sources:
            own = [one for one in self._watched.records.values() if one.source == source]
            still = [
                one
                for one in own
                if one.state not in (*FINISHED, "gone") and not self._where.passes_over(one.step)
            ]
            if still or not any(one.step is not None and one.step >= until for one in own):
                return False
        self._tell(f"everything up to step {until} is evaluated: the watch ends (--until)")
        return True

    def _wait(self) -> None:
        """Let time pass until something is due, or somebody wants the end."""
        left = min([self._schedule.seconds_left, *self._pauses()])
        if left > self._rules.settle and not self._where.once:
            self._tell(told.until(left, clock=self._clock))
        end = self._clock.elapsed() + left
        while (left := end - self._clock.elapsed()) > 0:
            if self._wish.asked or self._schedule.due:
                return
            self._clock.sleep(min(SLICE_SECONDS, left))

    def _save(self, *, first: bool = False) -> None:
        """Write `watch.json` where something has changed; a disk that is full for a while is said.

        Raises:
            ValueError: the store is another's now, or cannot be written from the start.
        """
        now = repr(self._watched)
        if (now == self._kept and not first) or self._where.dry_run:
            return
        try:
            with launch.writing(self._store.address):
                state.write(self._files, self._watched)
            self._kept = now
        except LeaseLostError:
            raise
        except ValueError as error:
            if first:
                raise
            self._tell(f"{error} (until then the watch remembers it)")

"""The loop that joins plan, schedule, cluster and store.

Every event of a worker is answered at once: rows are kept, failures are scheduled again or
recorded, and whatever the schedule wants done next is done. A unit or a load that has passed its
deadline is hung: its worker is ended, and it counts as failed there. How progress looks is the
viewer's business.
"""

import time
from collections.abc import Sequence

from analysis.storage.redact import redact
from orchestrator.errors import CellError
from orchestrator.launch import writing
from orchestrator.plan import Plan
from orchestrator.results import keep, keep_errors
from orchestrator.scheduling.actions import Close, Open, Prefetch
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.schedule import Schedule
from orchestrator.showing.snapshot import Outcome, Progress
from orchestrator.showing.viewers import Viewer
from orchestrator.signals import Wish
from orchestrator.storage.schema import WrongRowsError
from orchestrator.storage.store import Store
from orchestrator.workers.events import Cluster, Event, Kind
from orchestrator.workers.gpus import GpuUse
from studies.spec import label

POLL_SECONDS = 0.5
SHOW_SECONDS = 0.2
USAGE_SECONDS = 5.0
HUNG = "hung: not done long after its estimated time, so its worker was ended"


class Loop:
    """One run, from the first action of its schedule to the last event of its cluster."""

    def __init__(
        self,
        plan: Plan,
        *,
        store: Store,
        cluster: Cluster,
        viewer: Viewer,
        wish: Wish,
        cost: Cost,
        workers: int | None = None,
    ) -> None:
        """Join the parts; at most `workers` processes work at once."""
        self._plan, self._store, self._cluster = plan, store, cluster
        self._viewer, self._wish, self._cost = viewer, wish, cost
        self._schedule = Schedule(
            plan.units, nodes=cluster.nodes(), cost=cost, done=plan.there, workers=workers
        )
        self._progress = progress_of(plan, cost=cost)
        self._busy: set[int] = set()
        self._cells = 0
        self._asked_usage = 0.0
        self._shown = 0.0

    def run(self) -> Outcome:
        """Act, wait, answer, until nothing is left or somebody wants the end.

        Raises:
            KeyboardInterrupt: the run was asked to stop; what is computed is kept.
            ValueError: rows can no longer be written.
        """
        started = time.monotonic()
        try:
            with writing(self._store.address):
                self._run()
            self._progress.ended("finished" if self._schedule.finished else "interrupted")
        except BaseException:
            self._progress.ended("interrupted" if self._wish.asked else "stopped")
            raise
        finally:
            self._viewer.show(self._progress.snapshot(now=time.time()), last=True)
        if self._wish.asked and not self._schedule.finished:
            raise KeyboardInterrupt
        errors: dict[str, int] = {}
        for failed in self._schedule.errors:
            errors[failed.error] = errors.get(failed.error, 0) + 1
        return Outcome(
            cells=self._cells,
            failed=len(self._schedule.errors),
            units=len(self._plan.units),
            seconds=time.monotonic() - started,
            errors=errors,
        )

    def _run(self) -> None:
        while not self._schedule.finished:
            if self._wish.asked:
                self._progress.state = "finishing"
                if not self._busy or self._wish.overdue:
                    return
            else:
                self._act()
            self._show()
            event = self._cluster.wait(seconds=POLL_SECONDS)
            if event is not None:
                self._answer(event)
            self._end_hung()

    def _act(self) -> None:
        """Do what the schedule wants done; give up what no node can ever do."""
        actions = self._schedule.actions(now=time.monotonic())
        for action in actions:
            if isinstance(action, Close):
                self._busy.discard(action.worker)
                self._progress.closed(action.worker)
                self._cluster.kill(action.worker)
            elif isinstance(action, Open):
                self._busy.add(action.worker)
                self._progress.loading(
                    action.worker,
                    model=action.model.label,
                    node=action.node,
                    gpus=action.gpus,
                    now=time.time(),
                )
                self._cluster.open(action.worker, action.model, node=action.node, gpus=action.gpus)
            elif isinstance(action, Prefetch):
                self._cluster.prefetch(action.model, node=action.node)
            else:
                self._busy.add(action.worker)
                self._progress.working(action.worker, now=time.time())
                artifacts = self._store.artifacts(action.unit.needs)
                self._cluster.submit(action.worker, action.unit, artifacts)
        idle = not actions and not self._busy and not self._cluster.growing()
        if idle and self._schedule.stuck() is not None:
            self._record(self._schedule.give_up_stuck())

    def _answer(self, event: Event) -> None:
        """Take note of what the cluster reports."""
        if event.kind == "joined":
            assert event.node is not None
            self._schedule.joined(event.node)
            return
        if event.kind == "left":
            assert event.node is not None
            lost = self._schedule.left(event.node.name)
            self._busy -= set(lost)
            self._progress.closed(*lost)
            return
        worker, now = event.worker, time.monotonic()
        self._busy.discard(worker)
        if event.kind == "open":
            self._schedule.opened(worker, now=now, bytes=_whole(event.about.get("peak_bytes")))
            self._progress.loaded(worker, now=time.time())
            self._note(event)
        elif event.kind == "done":
            self._keep(event, now=now)
        else:
            self._give_back(event)

    def _note(self, event: Event) -> None:
        """Write down how a model runs: numbers may depend on its attention backend."""
        model = self._schedule.model_of(event.worker).label
        notes = event.about.get("notes")
        self._progress.note(*(notes if isinstance(notes, list | tuple) else ()))
        manifest = self._store.manifest() or {}
        before = manifest.get("running")
        running = {**(before if isinstance(before, dict) else {}), model: dict(event.about)}
        self._store.write_manifest({**manifest, "running": running})

    def _keep(self, event: Event, *, now: float) -> None:
        """Write a unit's rows; rows that do not fit the table are the unit's failure."""
        unit = self._schedule.running(event.worker)
        assert unit is not None
        try:
            for key, data in event.artifacts.items():
                self._store.write_artifact(key, data)
            answered = unit.without(event.refused)
            if answered.cells:
                keep(self._store, answered, event.rows)
        except WrongRowsError as error:
            self._give_back(event._replace(kind="unit_failed", error=str(error)))
            return
        self._schedule.done(event.worker, now=now)
        self._cells += len(answered.cells)
        self._progress.done(event.worker, answered, work=self._cost.stated(unit))
        self._progress.idle(event.worker, now=time.time())
        self._record(self._schedule.refused(unit, event.refused))

    def _give_back(self, event: Event) -> None:
        """Schedule failed work again, or record its cells as failed."""
        opening = event.kind == "open_failed"
        fail = self._schedule.open_failed if opening else self._schedule.failed
        errors = fail(
            event.worker,
            error=redact(event.error),
            traceback=redact(event.traceback),
            gone=event.gone,
        )
        if event.gone or opening:
            self._progress.closed(event.worker)
        else:
            self._progress.idle(event.worker, now=time.time())
        self._record(errors)

    def _record(self, errors: list[CellError]) -> None:
        """Record cells that failed for good."""
        if not errors:
            return
        keep_errors(self._store, errors)
        for one in errors:
            self._progress.failed(label(one.cell.model, revision=one.cell.revision), 1)

    def _end_hung(self) -> None:
        """End the workers whose unit should long have been done, or whose model be loaded."""
        for worker in self._schedule.overdue(now=time.monotonic()):
            kind: Kind = "unit_failed" if self._schedule.running(worker) else "open_failed"
            self._cluster.kill(worker)
            self._busy.discard(worker)
            self._give_back(Event(worker, kind, error=HUNG, traceback=HUNG, gone=True))

    def _show(self) -> None:
        """Let the viewer see where the run stands."""
        now = time.time()
        if now - self._shown < SHOW_SECONDS:
            return
        self._shown = now
        if now - self._asked_usage > USAGE_SECONDS:
            self._asked_usage = now
            self._progress.usage = {
                node: _in_words(gpus) for node, gpus in self._cluster.usage().items() if gpus
            }
        self._viewer.show(self._progress.snapshot(now=now))


def progress_of(plan: Plan, *, cost: Cost) -> Progress:
    """Where a run stands before anything is done."""
    work: dict[str, float] = dict.fromkeys(plan.totals, 0.0)
    for unit in plan.units:
        work[unit.model.label] += cost.stated(unit)
    return Progress(
        study=plan.study.name,
        totals=plan.totals,
        missing=plan.missing_by_model,
        failed_before=plan.failed_by_model,
        work=work,
        units=len(plan.units),
        started=time.time(),
    )


def _in_words(gpus: Sequence[GpuUse]) -> str:
    """How busy and full a node's GPUs are, in words."""
    return ", ".join(
        f"GPU {place} {gpu.busy:.0%} busy, {gpu.used_bytes / 1e9:.1f} of {gpu.bytes / 1e9:.1f} GB"
        for place, gpu in enumerate(gpus)
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0

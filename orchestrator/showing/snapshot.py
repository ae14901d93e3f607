"""How far a run is: counts by model and what each worker does, from the loop's events.

`Progress` is told what happens and when; a `Snapshot` of it is what a terminal, a file and a page
show. It has no clock of its own.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from orchestrator.storage.typed import filled
from studies.unit import Unit

State = Literal["running", "finishing", "finished", "interrupted", "stopped"]
Doing = Literal["loading", "working", "idle"]


class Outcome(NamedTuple):
    """What a run did. `errors` are the cells given up, by their error line."""

    cells: int
    failed: int
    units: int
    seconds: float
    errors: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProgress:
    """One model's cells. `seconds_left` is None while nothing can be said."""

    model: str
    cells: int
    done: int
    failed: int
    rate: float
    workers: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerActivity:
    """What one worker does, for how many seconds, and how many units it has done."""

    worker: int
    node: str
    gpus: float
    model: str
    doing: Doing = "loading"
    seconds: float = 0.0
    units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment; times are in seconds since the epoch. `usage` says how busy each
    node's GPUs are, where that is known."""

    study: str
    state: State
    started: float
    now: float
    cells: int
    done: int
    failed: int
    units: int
    units_done: int
    seconds_left: float | None
    models: tuple[ModelProgress, ...]
    workers: tuple[WorkerActivity, ...]
    usage: Mapping[str, str]
    notes: tuple[str, ...]

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "Snapshot":
        """The snapshot from its fields as JSON.

        Raises:
            ValueError: it was written by another version.
        """
        try:
            return filled(cls, content)
        except TypeError as error:
            raise ValueError(
                f"status.json does not hold what this version writes ({error})"
            ) from error


@dataclass(slots=True)
class Progress:
    """Counts that grow. `totals` are all cells by model, `missing` those that this run computes,
    and `work` is what these should take in seconds, of which only the proportions matter."""

    study: str
    totals: Mapping[str, int]
    missing: Mapping[str, int]
    failed_before: Mapping[str, int]
    work: Mapping[str, float]
    units: int
    started: float
    state: State = "running"
    usage: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _done: Counter[str] = field(default_factory=Counter)
    _failed: Counter[str] = field(default_factory=Counter)
    _worked: dict[str, float] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)
    _workers: dict[int, WorkerActivity] = field(default_factory=dict)
    _since: dict[int, float] = field(default_factory=dict)
    _units_done: int = 0

    def loading(self, worker: int, *, model: str, node: str, gpus: float, now: float) -> None:
        """A worker begins to load a model."""
        self._workers[worker] = WorkerActivity(worker=worker, node=node, gpus=gpus, model=model)
        self._at(worker, "loading", now)

    def loaded(self, worker: int, *, now: float) -> None:
        """The model is loaded."""
        self._at(worker, "idle", now)

    def note(self, *notes: str) -> None:
        """Add notes on the run that are not there yet."""
        self.notes += [note for note in notes if note not in self.notes]

    def working(self, worker: int, *, now: float) -> None:
        """A worker begins a unit."""
        self._first.setdefault(self._workers[worker].model, now)
        self._at(worker, "working", now)

    def idle(self, worker: int, *, now: float) -> None:
        """A worker's unit has come back, done or failed."""
        self._at(worker, "idle", now)

    def closed(self, *workers: int) -> None:
        """These workers are gone."""
        for worker in workers:
            self._workers.pop(worker, None)

    def ended(self, state: State) -> None:
        """The run is over, and its workers with it."""
        self.state = state
        self._workers.clear()

    def done(self, worker: int, unit: Unit, *, work: float) -> None:
        """A unit's rows are kept; `work` is its share of its model's."""
        label = unit.model.label
        self._done[label] += len(unit.cells)
        self._worked[label] = self._worked.get(label, 0.0) + work
        self._units_done += 1
        if worker in self._workers:
            held = self._workers[worker]
            self._workers[worker] = replace(held, units=held.units + 1)

    def failed(self, model: str, cells: int) -> None:
        """Cells are given up."""
        self._failed[model] += cells

    def snapshot(self, *, now: float) -> Snapshot:
        """Everything at this moment."""
        workers = Counter(worker.model for worker in self._workers.values())
        models = tuple(self._model(m, workers=workers[m], now=now) for m in self.totals)
        return Snapshot(
            study=self.study,
            state=self.state,
            started=self.started,
            now=now,
            cells=sum(self.totals.values()),
            done=sum(model.done for model in models),
            failed=sum(model.failed for model in models),
            units=self.units,
            units_done=self._units_done,
            seconds_left=self._seconds_left(now=now),
            models=models,
            workers=tuple(
                replace(self._workers[number], seconds=now - self._since[number])
                for number in sorted(self._workers)
            ),
            usage=dict(self.usage),
            notes=tuple(self.notes),
        )

    def _at(self, worker: int, doing: Doing, now: float) -> None:
        if worker in self._workers:
            self._workers[worker] = replace(self._workers[worker], doing=doing)
            self._since[worker] = now

    def _work(self, label: str) -> tuple[float, float]:
        """A model's work in all, and how much of it is done or given up.

        Cells of one model may be a thousand times as long as others: units are what is weighed.
        """
        total, missing = self.work.get(label, 0.0), self.missing.get(label, 0)
        failed = total * self._failed[label] / missing if missing else 0.0
        return total, min(total, self._worked.get(label, 0.0) + failed)

    def _seconds_left(self, *, now: float) -> float | None:
        """What the rest should take if it goes on as so far; None before anything is done."""
        works = [self._work(label) for label in self.missing]
        total, done = (sum(part) for part in zip(*works, strict=True)) if works else (0.0, 0.0)
        if not total:
            return 0.0
        since = now - min(self._first.values(), default=now)
        return (total - done) * since / done if done and since > 0 else None

    def _model(self, label: str, *, workers: int, now: float) -> ModelProgress:
        """One model's counts, its rate since its first unit, and what that leaves."""
        total, missing = self.totals[label], self.missing.get(label, 0)
        done, failed = self._done[label], self._failed[label]
        before = total - missing - self.failed_before.get(label, 0)
        waiting = missing - done - failed
        seconds = now - self._first.get(label, now)
        rate = done / seconds if seconds > 0 else 0.0
        work, worked = self._work(label)
        left = (work - worked) * seconds / worked if worked and seconds > 0 else None
        return ModelProgress(
            model=label,
            cells=total,
            done=before + done,
            failed=failed + self.failed_before.get(label, 0),
            rate=rate,
            workers=workers,
            seconds_left=0.0 if waiting <= 0 else left,
        )

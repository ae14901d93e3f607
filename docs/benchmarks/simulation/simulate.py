"""Run the real schedule against a made-up cluster in virtual time, to the last event.

A GPU that several workers share gives each the same part of its time while they compute; loading
takes no GPU time from others. Every opening is checked against the memory and the parts of the
GPUs, and every submission against what runs. How long the schedule itself thinks is measured.
Of a load, reading the model's files is the node's business, where all reads share the disk
(`Disk`), and what follows is the process's own.
"""

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from orchestrator.scheduling.actions import Action, Open, Prefetch, Submit
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.pool import PARTS
from orchestrator.scheduling.schedule import Schedule
from simulation.disk import Disk
from simulation.world import World
from studies.spec import ModelFacts
from studies.unit import Unit

# What a loaded model takes of GPU memory beside its weights.
LOADED = 1.03
# While something hangs, the schedule is asked so often whether it is overdue.
ASK_SECONDS = 30.0
# Events that are no process's: time has passed, and the schedule is to be asked.
TIME, ASK = -1, -2
HANGS = ("hung", "stalled")

Answer = TypeVar("Answer")


class Faults(NamedTuple):
    """What goes wrong: shares of attempts that fail, kill their process or never end, and of loads
    that fail or never end (`stall`).

    `poison` are keys of cells that always fail, `lost` nodes that leave at a time, in seconds.
    """

    fail: float = 0.0
    kill: float = 0.0
    hang: float = 0.0
    load: float = 0.0
    stall: float = 0.0
    poison: frozenset[str] = frozenset()
    lost: tuple[tuple[float, str], ...] = ()


NONE = Faults()


class Result(NamedTuple):
    """How a run went. `idle` is the share of GPU time in which nothing ran or loaded.

    `alarms` is how many workers were ended as overdue that would have come to an end.
    `thinking` are the schedule's own seconds, over `decisions` calls; `longest` those of one.
    """

    makespan: float
    loads: int
    prefetches: int
    alarms: int
    idle: float
    done: tuple[str, ...]
    failed: tuple[str, ...]
    decisions: int
    thinking: float
    longest: float


@dataclass(slots=True, eq=False)
class _Process:
    """A simulated worker: where it sits, and what is left of what it does. It is `reading` until
    its node has read the model's files, and `loading` until it can compute."""

    model: ModelFacts
    node: str
    seats: tuple[int, ...]
    parts: int
    unit: Unit | None = None
    left: float = 0.0
    outcome: str = "opened"
    loading: bool = True
    reading: bool = True
    version: int = 0


@dataclass(slots=True, eq=False)
class _Gpu:
    """A simulated GPU: what is free of it, who computes on it, and how long anybody was active."""

    free: int = PARTS
    bytes: float = 0.0
    computing: set[int] = field(default_factory=set)
    active: int = 0
    since: float = 0.0
    busy: float = 0.0
    computed: float = 0.0

    def switch(self, change: int, *, now: float) -> None:
        """One more, or one fewer, runs or loads here."""
        if self.active:
            self.busy += now - self.since
        self.since = now
        self.active += change


class Simulation:
    """One run of a world."""

    def __init__(
        self,
        world: World,
        *,
        seed: int = 0,
        faults: Faults = NONE,
        workers: int | None = None,
        cost: Cost | None = None,
        on_actions: Callable[[float, list[Action]], None] = lambda *_: None,
    ) -> None:
        """Set the machines up; `on_actions` sees what is decided, and when."""
        self.world = world
        self.faults = faults
        self.schedule = Schedule(
            world.units, nodes=world.nodes, cost=cost or Cost(), workers=workers
        )
        self._on_actions = on_actions
        self._rng = random.Random(seed)
        self._gpus = {node.name: [_Gpu() for _ in range(node.gpus)] for node in world.nodes}
        self._disks = {node.name: Disk(world.node_rate) for node in world.nodes}
        self._processes: dict[int, _Process] = {}
        self._events: list[tuple[float, int, int, int]] = []
        self._sequence = 0
        self._now = 0.0
        self._loads, self._prefetches, self._alarms = 0, 0, 0
        self._asking = False
        self._done: list[str] = []
        self._decisions, self._thinking, self._longest = 0, 0.0, 0.0
        self._leaving = sorted(faults.lost, reverse=True)

    def run(self) -> Result:
        """From the first action until nothing waits and nothing runs."""
        self._act()
        while not self.schedule.finished:
            if self._leaving and (not self._events or self._leaving[-1][0] <= self._events[0][0]):
                self._lose(*self._leaving.pop())
            else:
                self._step()
            self._act()
        gpus = [gpu for node in self._gpus.values() for gpu in node]
        for gpu in gpus:
            gpu.switch(0, now=self._now)
        return Result(
            makespan=self._now,
            loads=self._loads,
            prefetches=self._prefetches,
            alarms=self._alarms,
            idle=1 - sum(gpu.busy for gpu in gpus) / (len(gpus) * self._now),
            done=tuple(self._done),
            failed=tuple(error.cell.key for error in self.schedule.errors),
            decisions=self._decisions,
            thinking=self._thinking,
            longest=self._longest,
        )

    def _act(self) -> None:
        """Do what the schedule wants done."""
        for number in self._timed(lambda: self.schedule.overdue(now=self._now)):
            process = self._processes[number]
            self._alarms += process.outcome not in HANGS
            self._end(number)
            if process.loading:
                self._fail_load(number, error="overdue", gone=True)
            else:
                self._fail(number, error="overdue", gone=True)
        actions = self._timed(lambda: self.schedule.actions(now=self._now))
        self._on_actions(self._now, actions)
        for action in actions:
            if isinstance(action, Open):
                self._open(action)
            elif isinstance(action, Prefetch):
                self._prefetches += 1
                self._read(action.model, action.node)
            elif isinstance(action, Submit):
                self._submit(action)
            else:
                assert self._processes[action.worker].unit is None
                self._end(action.worker)

    def _open(self, action: Open) -> None:
        """Seat a process as Ray would: on the fullest GPU that has room for it."""
        node = self._gpus[action.node]
        count, parts = max(1, round(action.gpus)), min(PARTS, round(action.gpus * PARTS))
        seats = sorted(
            (seat for seat in range(len(node)) if node[seat].free >= parts),
            key=lambda seat: (node[seat].free, seat),
        )[:count]
        assert len(seats) == count, f"no room for {action}"
        process = _Process(action.model, action.node, tuple(seats), parts)
        self._processes[action.worker] = process
        for seat in seats:
            gpu = node[seat]
            gpu.free -= parts
            gpu.bytes += action.model.bytes * LOADED / count
            assert gpu.bytes <= self.world.nodes[0].gpu_bytes, f"no memory for {action}"
            gpu.switch(1, now=self._now)
        self._loads += 1
        chance = self._rng.random()
        if chance < self.faults.load:
            process.outcome = "open failed"
        elif chance < self.faults.load + self.faults.stall:
            process.outcome, process.reading = "stalled", False
            self._ask_later()
            return
        self._read(action.model, action.node)

    def _read(self, model: ModelFacts, node: str) -> None:
        """Let a node read a model's files; who waits for files that are there goes on."""
        self._disks[node].read(model, self.world.fetches[model], now=self._now)
        self._go_on(node)

    def _go_on(self, node: str) -> None:
        """Let those go on loading whose files the node has read."""
        disk = self._disks[node]
        if (when := disk.next()) is not None:
            self._at(when, TIME)
        for number, process in self._processes.items():
            if process.reading and process.node == node and disk.has(process.model):
                process.reading = False
                self._at(self._now + self.world.places(process.model), number)

    def _submit(self, action: Submit) -> None:
        """Let the process compute."""
        process = self._processes[action.worker]
        assert process.unit is None and process.model == action.unit.model
        process.unit = action.unit
        process.left = self.world.takes(action.unit)
        process.outcome = self._fate(action.unit)
        if process.outcome == "hung":
            process.left = 1000 * action.seconds
            self._ask_later()
        elif process.outcome != "done":
            process.left *= self._rng.random()
        self._computes(action.worker, True)
        self._at(self._now + action.seconds + 1e-3, TIME)

    def _ask_later(self) -> None:
        """Let the schedule be asked again while something hangs, as the loop asks all the time."""
        if not self._asking:
            self._asking = True
            self._at(self._now + ASK_SECONDS, ASK)

    def _fate(self, unit: Unit) -> str:
        """How an attempt at the unit will end."""
        chance = self._rng.random()
        if any(cell.key in self.faults.poison for cell in unit.cells):
            return "failed"
        for outcome, share in (
            ("failed", self.faults.fail),
            ("killed", self.faults.kill),
            ("hung", self.faults.hang),
        ):
            if chance < share:
                return outcome
            chance -= share
        return "done"

    def _step(self) -> None:
        """The next event."""
        at, _, number, version = heapq.heappop(self._events)
        self._now = at
        if number == TIME:
            for node, disk in self._disks.items():
                if disk.advance(now=self._now):
                    self._go_on(node)
        if number == ASK:
            self._asking = False
            if any(one.outcome in HANGS for one in self._processes.values()):
                self._ask_later()
        process = self._processes.get(number)
        if process is None or process.version != version:
            return
        if process.unit is None:
            self._loaded(number, process)
            return
        self._computes(number, False)
        unit, process.unit = process.unit, None
        if process.outcome == "done":
            self._done += [cell.key for cell in unit.cells]
            finished = self._timed(lambda: self.schedule.done(number, now=self._now))
            assert finished is unit
            return
        gone = process.outcome == "killed"
        if gone:
            self._end(number)
        self._fail(number, error="failed", gone=gone)

    def _fail(self, number: int, *, error: str, gone: bool) -> None:
        """Tell the schedule that a unit has failed."""
        self._timed(lambda: self.schedule.failed(number, error=error, traceback="", gone=gone))

    def _fail_load(self, number: int, *, error: str, gone: bool) -> None:
        """Tell the schedule that a load has failed."""
        fail = self.schedule.open_failed
        self._timed(lambda: fail(number, error=error, traceback="", gone=gone))

    def _loaded(self, number: int, process: _Process) -> None:
        """A load has ended, one way or the other."""
        for seat in process.seats:
            self._gpus[process.node][seat].switch(-1, now=self._now)
        process.loading = False
        process.version += 1
        if process.outcome == "opened":
            held = round(process.model.bytes * LOADED)
            self._timed(lambda: self.schedule.opened(number, now=self._now, bytes=held))
        else:
            self._fail_load(number, error="load", gone=False)

    def _computes(self, number: int, begins: bool) -> None:
        """A process begins or ends to compute: those on its GPU get another part of its time."""
        process = self._processes[number]
        gpus = [self._gpus[process.node][seat] for seat in process.seats]
        self._advance(gpus[0])
        for gpu in gpus:
            (gpu.computing.add if begins else gpu.computing.discard)(number)
            gpu.switch(1 if begins else -1, now=self._now)
        for other in gpus[0].computing:
            neighbour = self._processes[other]
            neighbour.version += 1
            self._at(self._now + neighbour.left * len(gpus[0].computing), other)
        process.version += not begins

    def _advance(self, gpu: _Gpu) -> None:
        """Take what was computed since the last change from what is left."""
        for other in gpu.computing:
            self._processes[other].left -= (self._now - gpu.computed) / len(gpu.computing)
        gpu.computed = self._now

    def _end(self, number: int) -> None:
        """The process is gone."""
        process = self._processes[number]
        if process.unit is not None:
            self._computes(number, False)
        del self._processes[number]
        for seat in process.seats:
            gpu = self._gpus[process.node][seat]
            gpu.free += process.parts
            gpu.bytes -= process.model.bytes * LOADED / len(process.seats)
            if process.loading:
                gpu.switch(-1, now=self._now)

    def _lose(self, at: float, node: str) -> None:
        """A node leaves."""
        self._now = at
        for number in self._timed(lambda: self.schedule.left(node)):
            self._end(number)
        del self._disks[node]

    def _at(self, when: float, number: int) -> None:
        """Something will happen to the process, unless it changes before; or to nobody."""
        version = self._processes[number].version if number >= 0 else 0
        self._sequence += 1
        heapq.heappush(self._events, (when, self._sequence, number, version))

    def _timed(self, ask: Callable[[], Answer]) -> Answer:
        began = time.perf_counter()
        answer = ask()
        took = time.perf_counter() - began
        self._thinking += took
        self._longest = max(self._longest, took)
        self._decisions += 1
        return answer

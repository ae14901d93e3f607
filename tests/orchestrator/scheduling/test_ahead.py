"""Prefetching the next model's files while others compute: when, where, what it saves."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import launch, signals
from orchestrator.loop import Loop
from orchestrator.plan import Plan
from orchestrator.scheduling import placement
from orchestrator.scheduling.actions import Node, Open, Prefetch
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.pool import Pool
from orchestrator.showing.snapshot import Outcome
from orchestrator.showing.viewers import Viewers
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from orchestrator.workers.events import Event
from orchestrator.workers.gpus import GpuUse
from simulation.disk import Disk
from simulation.simulate import Faults, Simulation
from simulation.world import World
from studies.spec import ModelFacts
from studies.study import Study
from studies.unit import Unit
from tests.orchestrator.scheduling.test_schedule import (
    GB,
    Drive,
    gpu,
    model,
    seconds_of_work,
    units,
)

FIRST, SECOND, THIRD = model("first", 60), model("second", 55), model("third", 50)


def prefetches(drive: Drive) -> list[tuple[str, str]]:
    return [(one.node, one.model.name) for one in drive.log if isinstance(one, Prefetch)]


def long(facts: ModelFacts, count: int) -> list[Unit]:
    return units(facts, count, characters=seconds_of_work(facts, 20.0))


def test_the_next_model_is_prefetched_once_the_load_before_it_is_over():
    drive = Drive([*long(FIRST, 6), *long(SECOND, 3), *units(THIRD, 1)], gpu(1))
    assert prefetches(drive) == [], "two reads would share the disk or the line"
    drive.open_all()
    assert prefetches(drive) == [("machine", "second")]
    for _ in range(6):
        drive.done(0, seconds=20)
    assert drive.models() == ["first", "second"]
    assert prefetches(drive) == [("machine", "second")]
    drive.open_all()
    assert prefetches(drive) == [("machine", "second"), ("machine", "third")]


def test_no_model_is_prefetched_twice_or_where_it_has_been_open():
    work = [*long(FIRST, 9), *long(SECOND, 9), *long(THIRD, 9)]
    drive = Drive(work, gpu(1, name="one"), gpu(1, name="two"))
    drive.finish()
    read: set[tuple[str, str]] = set()
    for action in drive.log:
        if isinstance(action, Prefetch):
            assert (action.node, action.model.name) not in read
        if isinstance(action, Prefetch | Open):
            read.add((action.node, action.model.name))
    assert prefetches(drive)


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_of_one_model_prefetches_nothing(nodes):
    drive = Drive(long(FIRST, 30), *(gpu(1, name=str(number)) for number in range(nodes)))
    drive.finish()
    assert prefetches(drive) == []


def test_small_models_are_not_worth_a_prefetch():
    small = [model(name, 0.9) for name in "abcdefgh"]
    drive = Drive([one for facts in small for one in long(facts, 4)], gpu(1, 3))
    drive.finish()
    assert prefetches(drive) == []


def test_one_model_is_prefetched_for_each_gpu_and_no_model_twice():
    others = [model(name, 50) for name in "cdefgh"]
    work = [*units(FIRST, 1), *units(SECOND, 1), *units(THIRD, 1)]
    work += [one for facts in others for one in units(facts, 1)]
    drive = Drive(work, gpu(1, name="one"), gpu(2, name="two"))
    drive.open_all(seconds=60)
    assert Counter(node for node, _ in prefetches(drive)) == {"one": 1, "two": 2}
    assert len({name for _, name in prefetches(drive)}) == 3


def test_a_model_is_opened_where_its_files_are_and_lets_others_go_before():
    """Two of the four are prefetched, one to each node; the first slot is on the second's node."""
    later = [model("third", 50), model("fourth", 49)]
    work = [*long(FIRST, 9), *long(SECOND, 9), *(one for facts in later for one in units(facts, 1))]
    drive = Drive(work, gpu(1, name="one"), gpu(1, name="two"))
    drive.open_all()
    where = {name: node for node, name in prefetches(drive)}
    assert set(where) == {"third", "fourth"}
    last = next(w for w, opened in drive.where.items() if opened.node == where["fourth"])
    while len(drive.opens()) == 2:
        drive.done(last, seconds=1)
    assert (drive.opens()[2].model.name, drive.opens()[2].node) == ("fourth", where["fourth"])


def test_files_decide_between_slots_that_are_no_better():
    pool = Pool([gpu(1, name="one"), gpu(1, name="two")], workers=None)
    found = pool.find(60 * GB, evictable=(), without=(), near=["two"])
    assert found is not None and found.slot.node == "two"
    first, second = Drive(long(FIRST, 1), gpu(1)), Pool([gpu(1), gpu(1, name="two")], workers=None)
    (queue,) = first.schedule._queues
    second.open(queue, found.slot, now=0)
    other = second.find(60 * GB, evictable=list(second.workers.values()), without=(), near=["two"])
    assert other is not None and other.slot.node == "machine", "nobody leaves for the sake of files"


def test_files_leave_with_their_node():
    work = [*long(FIRST, 9), *long(SECOND, 9), *units(THIRD, 1)]
    drive = Drive(work, gpu(1, name="one"), gpu(1, name="two"))
    drive.open_all()
    ((node, _),) = prefetches(drive)
    for worker in drive.schedule.left(node):
        drive.where.pop(worker)
    drive.step()
    assert {where for where, name in prefetches(drive) if name == "third"} == {"one", "two"}


def world(fetch: float, *, place: float = 10.0) -> World:
    """Two models with ten units of 20 s each on one GPU."""
    work = [*long(FIRST, 10), *long(SECOND, 10)]
    return World(
        nodes=(Node("machine", 1, 16, 80 * GB),),
        units=tuple(work),
        seconds={cell.key: 20.0 for unit in work for cell in unit.cells},
        loads={FIRST: fetch + place, SECOND: fetch + place},
        fetches={FIRST: fetch, SECOND: fetch},
    )


@pytest.mark.parametrize("fetch", [30.0, 60.0, 120.0])
def test_a_prefetch_passes_while_the_model_before_computes(
    fetch: float, monkeypatch: pytest.MonkeyPatch
):
    made = world(fetch)
    prefetched = Simulation(made).run()
    monkeypatch.setattr(placement, "PREFETCH_BYTES", float("inf"))
    without = Simulation(made).run()
    assert without.makespan == pytest.approx(2 * (fetch + 10 + 200), abs=1)
    assert (prefetched.prefetches, without.prefetches) == (1, 0)
    assert without.makespan - prefetched.makespan == pytest.approx(fetch, abs=1)
    assert prefetched.makespan >= made.lower_bound()


def test_loads_that_hang_cost_no_more_than_their_deadline():
    made = world(60.0)
    result = Simulation(made, seed=1, faults=Faults(stall=0.5)).run()
    assert len(result.done) + len(result.failed) == 20
    assert result.alarms == 0


def test_two_reads_of_a_node_share_its_rate():
    disk = Disk(1e9)
    large = replace(FIRST, bytes=60 * GB)
    disk.read(large, 60.0, now=0.0)
    disk.read(SECOND, 55.0, now=0.0)
    assert disk.next() == pytest.approx(110)
    assert disk.advance(now=110.0) and disk.has(SECOND) and not disk.has(large)
    assert disk.next() == pytest.approx(115)


class MadeUp:
    """A cluster of one GPU that answers at once, but for loads that hang."""

    def __init__(self, *, hanging: int = 0) -> None:
        self.log: list[tuple[str, object]] = []
        self._hanging = hanging
        self._events: deque[Event] = deque()

    def nodes(self) -> tuple[Node, ...]:
        return (gpu(1),)

    def need(self, gpus: Sequence[float]) -> None:
        pass

    def growing(self) -> bool:
        return False

    def open(self, worker: int, model: ModelFacts, *, node: str, gpus: float) -> None:
        self.log.append(("open", model.name))
        if self._hanging:
            self._hanging -= 1
        else:
            self._events.append(Event(worker, "open"))

    def prefetch(self, model: ModelFacts, *, node: str) -> None:
        self.log.append(("prefetch", (model.name, node)))

    def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
        columns = dict.fromkeys(ALL_TABLES["alignment"].schema.names)
        facts = {"study": "made-up", "model": unit.model.name, "revision": "main"}
        rows = [{**columns, **facts, "key": cell.key} for cell in unit.cells]
        self._events.append(Event(worker, "done", rows))

    def kill(self, worker: int) -> None:
        self.log.append(("kill", worker))

    def wait(self, *, seconds: float) -> Event | None:
        return self._events.popleft() if self._events else None

    def usage(self) -> Mapping[str, tuple[GpuUse, ...]]:
        return {}

    def close(self) -> None:
        pass


def loop(cluster: MadeUp, store: Store, work: list[Unit]) -> Outcome:
    """One run of the work."""
    models = tuple(dict.fromkeys(unit.model for unit in work))
    plan = Plan(
        study=Study(name="made-up", models=(), grids=()),
        models=models,
        units=tuple(work),
        totals=dict(Counter(unit.model.label for unit in work for _ in unit.cells)),
        done=0,
        failed=0,
        rows=len(work),
        characters=1,
        notes=(),
        pins={},
        commits={},
    )
    with store.lock():
        launch.prepare(plan, store=store)
        return Loop(
            plan, store=store, cluster=cluster, viewer=Viewers([]), wish=signals.Wish(), cost=Cost()
        ).run()


def test_the_loop_passes_a_prefetch_on(tmp_path: Path):
    cluster = MadeUp()
    assert loop(cluster, Store(tmp_path), [*units(FIRST, 1), *units(SECOND, 1)]).failed == 0
    prefetch = ("prefetch", ("second", "machine"))
    assert cluster.log == [("open", "first"), prefetch, ("kill", 0), ("open", "second")]


def test_a_load_that_hangs_is_ended_and_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cluster = MadeUp(hanging=1)
    monkeypatch.setattr(Cost, "load_deadline", lambda *_, **__: 0.0)
    monkeypatch.setattr("orchestrator.scheduling.schedule.PATIENCE_SECONDS", 0.0)
    assert loop(cluster, Store(tmp_path), units(FIRST, 1)).failed == 0
    assert cluster.log[:3] == [("open", "first"), ("kill", 0), ("open", "first")]


def test_a_model_whose_loads_all_hang_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cluster = MadeUp(hanging=9)
    monkeypatch.setattr(Cost, "load_deadline", lambda *_, **__: 0.0)
    monkeypatch.setattr("orchestrator.scheduling.schedule.PATIENCE_SECONDS", 0.0)
    outcome = loop(cluster, Store(tmp_path), units(FIRST, 2))
    assert outcome.failed == 2
    assert [error for error in outcome.errors if "hung" in error]

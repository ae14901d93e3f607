"""Fetching the next model's files while the present one computes: when, where, what it saves."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import launch, stop
from orchestrator.loop import Loop, Outcome
from orchestrator.plan import Plan
from orchestrator.scheduling.actions import Fetch, Node, Open
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.near import Near
from orchestrator.scheduling.placement import Places, Wish
from orchestrator.showing.viewers import Viewers
from orchestrator.simulation.simulate import Faults, Simulation
from orchestrator.simulation.world import World
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from orchestrator.workers.events import Event
from orchestrator.workers.gpus import GpuUse
from studies.spec import ModelFacts, Unit
from studies.study import Study
from tests.test_schedule import GB, Drive, gpu, model, seconds_of_work, units

FIRST, SECOND, THIRD = model("first", 60), model("second", 55), model("third", 50)


def fetches(drive: Drive) -> list[tuple[str, str]]:
    return [(one.node, one.model.name) for one in drive.log if isinstance(one, Fetch)]


def long(facts: ModelFacts, count: int) -> list[Unit]:
    return units(facts, count, characters=seconds_of_work(facts, 20.0))


def test_the_next_model_is_fetched_when_what_waits_takes_no_longer_than_the_fetch():
    fetch = Cost().fetch_seconds(SECOND)
    assert 40 < fetch < 50
    drive = Drive([*long(FIRST, 6), *units(SECOND, 1)], gpu(1))
    drive.open_all(seconds=Cost().load_seconds(FIRST))
    waiting = 5
    while waiting * 20 > fetch:
        assert fetches(drive) == []
        drive.done(0, seconds=20)
        waiting -= 1
    assert fetches(drive) == [("machine", "second")]
    while drive.schedule.running(0):
        drive.done(0, seconds=20)
    assert drive.models() == ["first", "second"]
    assert len(fetches(drive)) == 1


def test_no_model_is_fetched_twice_or_where_it_has_been_open():
    work = [*long(FIRST, 9), *long(SECOND, 9), *long(THIRD, 9)]
    drive = Drive(work, gpu(1, name="one"), gpu(1, name="two"))
    drive.finish()
    read: set[tuple[str, str]] = set()
    for action in drive.log:
        if isinstance(action, Fetch):
            assert (action.node, action.model.name) not in read
        if isinstance(action, Fetch | Open):
            read.add((action.node, action.model.name))
    assert fetches(drive)


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_of_one_model_fetches_nothing(nodes):
    drive = Drive(long(FIRST, 30), *(gpu(1, name=str(number)) for number in range(nodes)))
    drive.finish()
    assert fetches(drive) == []


def test_small_models_are_not_worth_a_fetch():
    small = [model(name, 2) for name in "abcdefgh"]
    drive = Drive([one for facts in small for one in long(facts, 4)], gpu(1, 8))
    drive.finish()
    assert fetches(drive) == []


def test_one_model_is_fetched_for_each_worker_that_nears_its_end():
    others = [model(name, 50) for name in ("c", "d", "e")]
    work = [*units(FIRST, 1), *units(SECOND, 1), *(u for facts in others for u in units(facts, 1))]
    drive = Drive(work, gpu(1, name="one"), gpu(1, name="two"))
    drive.open_all(seconds=60)
    assert len(fetches(drive)) == 2
    assert {node for node, _ in fetches(drive)} == {"one", "two"}
    assert len({name for _, name in fetches(drive)}) == 2


def test_a_model_is_opened_where_its_files_are_if_another_place_is_no_better():
    places = Places([gpu(1, name="one"), gpu(1, name="two")], workers=None)
    wish = Wish(bytes=60 * GB, near=("two",))
    found = places.find(wish, evictable=())
    assert found is not None and found.spot.node == "two"
    places.take(0, found.spot)
    other = places.find(wish, evictable=(0,))
    assert other is not None and other.spot.node == "one", "nobody leaves for the sake of files"


def test_files_leave_with_their_node():
    near = Near()
    assert near.begin(FIRST, "one", now=5.0) == 0
    assert near.begin(FIRST, "one", now=9.0) == 4
    near.leave("one")
    assert not near.nodes(FIRST)


class Waiting(Cost):
    def fetch_seconds(self, _model: ModelFacts) -> float:
        return 0.0


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
def test_a_fetch_passes_while_the_model_before_computes(fetch):
    made = world(fetch)
    without = Simulation(made, cost=Waiting()).run()
    assert without.makespan == pytest.approx(2 * (fetch + 10 + 200), abs=1)
    ahead = Simulation(made).run()
    assert ahead.fetches == 1
    saved = without.makespan - ahead.makespan
    assert saved >= min(fetch, 50) - 1
    assert ahead.makespan >= made.lower_bound()


def test_loads_that_hang_cost_no_more_than_their_deadline():
    made = world(60.0)
    result = Simulation(made, seed=1, faults=Faults(stall=0.5)).run()
    assert len(result.done) + len(result.failed) == 20
    assert result.alarms == 0


def test_two_reads_of_a_node_share_its_rate():
    from orchestrator.simulation.disk import Disk

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

    def fetch(self, model: ModelFacts, *, node: str) -> None:
        self.log.append(("fetch", (model.name, node)))

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
            plan, store=store, cluster=cluster, viewer=Viewers([]), wish=stop.Wish(), cost=Cost()
        ).run()


def test_the_loop_passes_a_fetch_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cost, "fetch_seconds", lambda *_: 60.0)
    cluster = MadeUp()
    assert loop(cluster, Store(tmp_path), [*units(FIRST, 1), *units(SECOND, 1)]).failed == 0
    fetch = ("fetch", ("second", "machine"))
    assert cluster.log == [("open", "first"), fetch, ("kill", 0), ("open", "second")]


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

"""The schedule against made-up clusters: bounds that hold, and rules that no event may break."""

import random
from collections import Counter

import pytest

from orchestrator.scheduling.actions import Action, Close, Node, Open, Prefetch, Submit
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.placement import Placement
from orchestrator.scheduling.pool import Pool
from orchestrator.scheduling.schedule import Schedule
from simulation import baselines
from simulation import world as worlds
from simulation.simulate import Faults, Simulation
from simulation.world import World
from studies.unit import Unit
from tests.orchestrator.scheduling.test_schedule import GB, model, unit

NODES = tuple(Node(f"node-{number}", 4, 16, 80 * GB) for number in range(2))
BILLIONS = (1, 1.5, 3, 7, 8, 13, 32, 70)


def small(seed: int) -> World:
    """8 GPUs and 8 models."""
    return worlds.make(seed, nodes=NODES, billions=BILLIONS, units=30)


@pytest.mark.parametrize("seed", range(4))
def test_close_to_the_bound_and_better_than_the_obvious(seed):
    world = small(seed)
    result = Simulation(world, seed=seed).run()
    bound = world.lower_bound()
    assert 1 <= result.makespan / bound < 1.15
    assert len(result.done) == len(set(result.done)) == 2 * len(world.units)
    assert result.makespan < baselines.round_robin(world).makespan
    assert result.loads < baselines.round_robin(world).loads


def test_the_real_size_stays_within_its_bound():
    world = worlds.make(0)
    result = Simulation(world).run()
    assert 1 <= result.makespan / world.lower_bound() < 1.08
    assert result.makespan < baselines.one_process(world).makespan
    assert result.makespan < baselines.fixed_shares(world).makespan


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the schedule looks at a model, and for a slot: what its own time goes into."""
    counted: Counter[str] = Counter()

    def counting(owner: type, name: str, what: str) -> None:
        counts = getattr(owner, name)

        def look(*given: object, **named: object) -> object:
            counted[what] += 1
            return counts(*given, **named)

        monkeypatch.setattr(owner, name, look)

    counting(Placement, "_candidate", "models")
    counting(Pool, "find", "slots")
    return counted


def test_thinking_grows_with_the_units_and_no_faster(looks: Counter[str]):
    spent = []
    for units in (8, 160):
        world = worlds.make(0, units=units)
        looks.clear()
        Simulation(world).run()
        spent.append({what: count / len(world.units) for what, count in looks.items()})
    few, many = spent
    assert many["models"] < few["models"] and many["slots"] < few["slots"]


def test_many_models_cost_little_more_than_few(looks: Counter[str]):
    world = worlds.make(0, nodes=NODES, billions=(1,) * 200, units=5)
    result = Simulation(world).run()
    assert result.loads < 1.5 * len(world.models)
    assert looks["slots"] < 2 * result.loads
    assert looks["models"] < len(world.models) * len(world.units) / 2


@pytest.mark.parametrize("seed", range(4))
def test_faults_lose_nothing_but_what_always_fails(seed):
    world = small(seed)
    poison = frozenset(unit.cells[0].key for unit in world.units[::40])
    faults = Faults(
        fail=0.02, kill=0.02, hang=0.005, load=0.03, poison=poison, lost=((500.0, "node-1"),)
    )
    result = Simulation(world, seed=seed, faults=faults).run()
    keys = [cell.key for unit in world.units for cell in unit.cells]
    assert Counter([*result.done, *result.failed]) == Counter(keys)
    assert poison <= set(result.failed)
    assert len(result.failed) < len(poison) + 0.01 * len(keys)


def test_the_same_events_bring_the_same_actions():
    def actions() -> list[tuple[float, list[Action]]]:
        log: list[tuple[float, list[Action]]] = []
        world = small(3)
        faults = Faults(fail=0.02, kill=0.02, load=0.05)
        Simulation(
            world, seed=3, faults=faults, on_actions=lambda now, done: log.append((now, done))
        ).run()
        return log

    assert actions() == actions()


class Chaos:
    """A cluster where anything may happen at any time; it checks every action as it comes."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.nodes = {node.name: node for node in self.some_nodes(rng.randint(1, 3))}
        self.cap = rng.choice([None, None, 1, 3])
        self.units = self.some_units()
        self.cost = Cost()
        self.schedule = Schedule(
            self.units, nodes=self.nodes.values(), cost=self.cost, workers=self.cap
        )
        self.now = 0.0
        self.alive: dict[int, Open] = {}
        self.opening: set[int] = set()
        self.running: dict[int, Unit] = {}
        self.done: list[str] = []
        self.failed: list[str] = []
        self.used: set[int] = set()
        self.read: set[tuple[str, str]] = set()

    def some_nodes(self, count: int) -> list[Node]:
        gpus = self.rng.choice([0, 1, 2, 4])
        return [Node(f"n{number}", gpus, 4, 40 * GB) for number in range(count)]

    def some_units(self) -> list[Unit]:
        models = [model(f"m{size}", size) for size in self.rng.sample((1, 2, 5, 12, 30), 3)]
        made: list[Unit] = []
        for number in range(self.rng.randint(1, 25)):
            languages = self.rng.sample(
                ("deu_Latn", "fra_Latn", "swh_Latn"), self.rng.randint(1, 3)
            )
            before = [cell.key for one in made for cell in one.cells]
            needs = tuple(self.rng.sample(before, 1)) if before and self.rng.random() < 0.3 else ()
            made.append(
                unit(
                    self.rng.choice(models),
                    *languages,
                    characters=self.rng.randint(1, 10**8),
                    needs=needs,
                    dataset=f"d{number}",
                )
            )
        self.rng.shuffle(made)
        return made

    def act(self) -> None:
        for action in self.schedule.actions(now=self.now):
            if isinstance(action, Open):
                self.check_open(action)
                self.alive[action.worker] = action
                self.opening.add(action.worker)
            elif isinstance(action, Submit):
                self.check_submit(action)
                self.running[action.worker] = action.unit
            elif isinstance(action, Prefetch):
                self.check_prefetch(action)
            else:
                assert isinstance(action, Close)
                assert action.worker not in self.running
                self.drop(action.worker)
        assert self.schedule.actions(now=self.now) == []
        self.check_affinity()

    def check_open(self, action: Open) -> None:
        assert action.worker not in self.used, "a number is one process"
        self.used.add(action.worker)
        self.read.add((action.node, action.model.name))
        here = [one for one in self.alive.values() if one.node == action.node] + [action]
        node = self.nodes[action.node]
        assert sum(one.gpus for one in here) <= node.gpus + 1e-9
        assert len(here) <= max(node.cpus, node.gpus)
        assert self.cap is None or len(self.alive) < self.cap
        if 0 < action.gpus < 1:
            assert self.cost.bytes(action.model) <= action.gpus * node.gpu_bytes
        elif action.gpus:
            assert action.gpus in (1, 2, 4, 8)

    def check_prefetch(self, action: Prefetch) -> None:
        """Once, to a machine that is there, of a model that it has never had."""
        where = (action.node, action.model.name)
        assert action.node in self.nodes and where not in self.read
        self.read.add(where)

    def check_submit(self, action: Submit) -> None:
        assert action.worker not in self.running and action.worker not in self.opening
        assert self.alive[action.worker].model == action.unit.model
        keys = {cell.key for cell in action.unit.cells}
        assert not keys & {cell.key for one in self.running.values() for cell in one.cells}
        assert not keys & {*self.done, *self.failed}
        assert set(action.unit.needs) <= set(self.done)

    def check_affinity(self) -> None:
        """No worker rests while there are fresh units of its model."""
        queues = self.schedule._queues
        for worker in set(self.alive) - set(self.running) - self.opening:
            queue = queues.by_model[self.alive[worker].model]
            assert not queue.ready, f"worker {worker} rests"

    def drop(self, worker: int) -> None:
        del self.alive[worker]
        self.opening.discard(worker)
        self.running.pop(worker, None)

    def event(self) -> None:
        self.now += self.rng.random() * 20
        if self.rng.random() < 0.02 and len(self.nodes) < 4:
            node = self.some_nodes(1)[0]._replace(name=f"late-{len(self.used)}-{self.now}")
            self.nodes[node.name] = node
            self.schedule.joined(node)
        elif self.rng.random() < 0.02 and len(self.nodes) > 1:
            name = self.rng.choice(sorted(self.nodes))
            del self.nodes[name]
            lost = self.schedule.left(name)
            assert set(lost) == {w for w, one in self.alive.items() if one.node == name}
            for worker in lost:
                self.drop(worker)
        elif self.opening or self.running:
            self.finish(self.rng.choice(sorted(self.opening | set(self.running))))
        else:
            assert self.schedule.stuck(), "nobody works, nothing is stuck, and it is not finished"
            self.failed += [error.cell.key for error in self.schedule.give_up_stuck()]

    def finish(self, worker: int) -> None:
        gone = self.rng.random() < 0.5
        if worker in self.opening:
            if self.rng.random() < 0.9:
                self.opening.discard(worker)
                share = self.alive[worker].gpus
                held = (
                    int(self.alive[worker].model.bytes * self.rng.uniform(0.5, 1.2)) if share else 0
                )
                self.schedule.opened(worker, now=self.now, bytes=held)
                return
            errors = self.schedule.open_failed(worker, error="load", traceback="", gone=gone)
        elif self.rng.random() < 0.8:
            done = self.schedule.done(worker, now=self.now)
            assert done is self.running.pop(worker)
            self.done += [cell.key for cell in done.cells]
            return
        else:
            errors = self.schedule.failed(worker, error="unit", traceback="", gone=gone)
            self.running.pop(worker)
        if gone:
            self.drop(worker)
        self.opening.discard(worker)
        self.failed += [error.cell.key for error in errors]

    def run(self) -> None:
        self.act()
        for _ in range(5000):
            if self.schedule.finished:
                break
            self.event()
            self.act()
        assert self.schedule.finished
        keys = [cell.key for one in self.units for cell in one.cells]
        assert Counter([*self.done, *self.failed]) == Counter(keys)
        assert sorted(error.cell.key for error in self.schedule.errors) == sorted(self.failed)


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_whatever_happens_every_cell_ends_once(first):
    for seed in range(first, first + 50):
        Chaos(seed).run()

"""The schedule's rules, as the loop meets them: who gets what, and what becomes of failures."""

from dataclasses import replace

import pytest

from orchestrator.scheduling.actions import Close, Node, Open, Submit
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.schedule import Schedule
from orchestrator.scheduling.split import split
from studies.kinds.alignment import AlignmentGrid
from studies.spec import ModelFacts
from studies.texts import Bitext
from studies.unit import Unit
from tests.makers.units import of_bitexts
from tests.studies.test_spec import BITEXT, MODEL

GRID = AlignmentGrid(
    dataset="flores200",
    languages=("all",),
    measures=("mexa",),
    poolings=("weighted",),
    layers=(1,),
)
LANGUAGES = ("deu_Latn", "fra_Latn", "swh_Latn", "tur_Latn")
GB = 1_000_000_000


def bitext(language: str) -> Bitext:
    return replace(BITEXT, language=language)


def unit(
    model: ModelFacts,
    *languages: str,
    characters: int = 100,
    needs: tuple[str, ...] = (),
    dataset: str = "flores200",
) -> Unit:
    bitexts = [replace(bitext(language), dataset=dataset) for language in languages]
    grid = replace(GRID, dataset=dataset)
    whole = of_bitexts(grid, model, *bitexts)
    taken = {key: key for key in needs}
    parts = [replace(part, characters=0, taken=taken) for part in whole.parts]
    return replace(whole, parts=(replace(parts[0], characters=characters), *parts[1:]))


def model(name: str, gigabytes: float = 0.000001) -> ModelFacts:
    return replace(MODEL, name=name, weights=name, bytes=round(gigabytes * GB))


def units(model: ModelFacts, count: int, *, characters: int = 100) -> list[Unit]:
    return [
        unit(model, "deu_Latn", dataset=str(number), characters=characters)
        for number in range(count)
    ]


def seconds_of_work(model: ModelFacts, seconds: float) -> int:
    """Characters that take a GPU so long by the stated rate."""
    return round(3 * seconds * 5e13 / (model.bytes / 4))


A, B, C = model("a"), model("b"), model("c")


def cpu(cores: int, name: str = "machine") -> Node:
    return Node(name, 0, cores)


def gpu(gpus: int, gigabytes: int = 80, name: str = "machine") -> Node:
    return Node(name, gpus, 64, gigabytes * GB)


class Drive:
    """A loop without a cluster: does what the schedule says and lets the test tell events."""

    def __init__(self, work: list[Unit], *nodes: Node, **more: object) -> None:
        self.cost = Cost()
        self.schedule = Schedule(work, nodes=nodes, cost=self.cost, **more)  # type: ignore[arg-type]
        self.now = 0.0
        self.where: dict[int, Open] = {}
        self.opening: list[int] = []
        self.log: list[Open | Submit | Close] = []
        self.step()

    def step(self) -> list[Open | Submit | Close]:
        actions = self.schedule.actions(now=self.now)
        assert self.schedule.actions(now=self.now) == []
        for action in actions:
            if isinstance(action, Open):
                self.where[action.worker] = action
                self.opening.append(action.worker)
            elif isinstance(action, Close):
                del self.where[action.worker]
        self.log += actions
        return actions

    def open_all(self, seconds: float = 10) -> None:
        """Every model that is being loaded is loaded."""
        self.now += seconds if self.opening else 0
        for worker in self.opening:
            if worker in self.where:
                self.schedule.opened(worker, now=self.now)
        self.opening.clear()
        self.step()

    def busy(self) -> dict[int, Unit]:
        running = {worker: self.schedule.running(worker) for worker in self.where}
        return {worker: unit for worker, unit in running.items() if unit}

    def done(self, worker: int, seconds: float = 1) -> None:
        self.now += seconds
        self.schedule.done(worker, now=self.now)
        self.step()

    def fail(self, worker: int, *, gone: bool = False, error: str = "boom") -> list[str]:
        given_up = self.schedule.failed(worker, error=error, traceback="Traceback", gone=gone)
        if gone:
            del self.where[worker]
        self.step()
        return [error.cell.language for error in given_up]

    def finish(self, bad: tuple[str, ...] = ()) -> set[str]:
        """Do everything; units with a bad language fail. Returns the keys that are done."""
        keys: set[str] = set()
        for _ in range(1000):
            if self.schedule.finished:
                return keys
            self.open_all()
            for worker, running in self.busy().items():
                if {cell.language for cell in running.cells} & set(bad):
                    self.fail(worker)
                else:
                    self.done(worker)
                    keys |= {cell.key for cell in running.cells}
        raise AssertionError("it does not end")

    def opens(self) -> list[Open]:
        return [action for action in self.log if isinstance(action, Open)]

    def models(self) -> list[str]:
        return [action.model.name for action in self.opens()]


@pytest.mark.parametrize("cores", [1, 2, 3, 7])
def test_every_cell_is_done_once_and_models_are_loaded_rarely(cores):
    work = [unit(which, language) for language in LANGUAGES for which in (A, B, C)]
    drive = Drive(work, cpu(cores))
    assert drive.finish() == {cell.key for each in work for cell in each.cells}
    assert len(drive.opens()) <= 3 + cores - 1
    assert not drive.schedule.errors


def test_an_idle_worker_takes_units_of_the_model_it_holds():
    drive = Drive([*units(A, 3), *units(B, 3)], cpu(1))
    drive.finish()
    ran = [action.unit.model.name for action in drive.log if isinstance(action, Submit)]
    assert ran in (["a"] * 3 + ["b"] * 3, ["b"] * 3 + ["a"] * 3)


def test_workers_take_different_models_first_and_close_before_they_open():
    drive = Drive([*units(A, 2), *units(B, 2), *units(C, 2)], cpu(2))
    assert len(set(drive.models())) == 2
    drive.finish()
    kinds = [type(action).__name__ for action in drive.log]
    assert kinds.index("Close") + 1 == kinds.index("Open", 2)


def test_another_copy_is_loaded_only_where_it_saves_more_than_it_costs():
    large = model("large", 8)
    load = Cost().load_seconds(large)
    for seconds, copies in ((load / 4, 1), (load * 4, 2)):
        work = units(large, 6, characters=seconds_of_work(large, seconds / 6))
        assert len(Drive(work, gpu(2)).opens()) == copies


def test_longest_units_and_models_come_first():
    small, large = model("small", 4), model("large", 40)
    work = [unit(large, "deu_Latn", characters=n, dataset=str(n)) for n in (5, 50, 500)]
    drive = Drive([*units(small, 3), *work], gpu(1, 50))
    drive.finish()
    assert drive.models() == ["large", "small"]
    sizes = [action.unit.characters for action in drive.log if isinstance(action, Submit)]
    assert sizes == [500, 50, 5, 100, 100, 100]


def test_models_that_fit_share_a_gpu_by_memory():
    drive = Drive([*units(A, 2), *units(B, 2), *units(C, 2)], gpu(1, 40))
    assert len(drive.opens()) == 3
    assert sum(action.gpus for action in drive.opens()) <= 1
    half = [model(name, 18) for name in "xyz"]
    drive = Drive([one for facts in half for one in units(facts, 2)], gpu(1, 48))
    assert [action.gpus for action in drive.opens()] == [0.5, 0.5]


def test_measured_memory_decides_who_may_join():
    """Stated, four of them fit; the first is measured at half the GPU, so only one more does."""
    small = [model(name, 1) for name in "abcd"]
    drive = Drive([one for facts in small for one in units(facts, 1)], gpu(1, 40), workers=2)
    first, second = drive.opening
    drive.schedule.opened(first, now=5, bytes=15 * GB)
    drive.schedule.opened(second, now=5, bytes=15 * GB)
    assert drive.cost.bytes(drive.where[first].model) > 15 * GB
    workers = drive.schedule._pool.workers
    assert sum(workers[worker].share for worker in (first, second)) == 1


def test_gpus_are_not_shared_while_others_are_free():
    drive = Drive([*units(A, 9), *units(B, 9)], gpu(4))
    assert {action.gpus for action in drive.opens()} == {1}


def test_large_models_take_whole_gpus_of_one_node():
    large = model("large", 140)
    nodes = [gpu(1, name="one"), gpu(8, name="eight")]
    drive = Drive([*units(large, 2), *units(A, 2)], *nodes)
    opened = {action.model.name: action for action in drive.opens()}
    assert (opened["large"].gpus, opened["large"].node) == (2, "eight")


def test_gpus_that_become_free_are_kept_for_a_model_that_needs_several():
    """One GPU is free and the other soon will be: the model on one GPU may not slip in between."""
    (first,), (second,) = units(model("x", 60), 1), units(model("y", 60), 1)
    large, other = model("large", 140), model("z", 60)
    key = first.cells[0].key
    waiting = [
        unit(facts, "deu_Latn", dataset=str(number), needs=(key,))
        for facts in (large, other)
        for number in range(2)
    ]
    drive = Drive([first, second, *waiting], gpu(2))
    drive.open_all()
    drive.done(next(worker for worker, running in drive.busy().items() if running == first))
    assert len(drive.opens()) == 2
    ((worker, _),) = drive.busy().items()
    drive.done(worker)
    assert drive.models()[2:] == ["large"]


def test_a_cpu_node_has_a_worker_per_core_and_serves_only_without_gpus():
    work = [one for name in "abcdef" for one in units(model(name), 1)]
    assert [action.gpus for action in Drive(work, cpu(4)).opens()] == [0] * 4
    assert {action.node for action in Drive(work, cpu(4, "head"), gpu(2)).opens()} == {"machine"}


def test_never_more_workers_than_allowed():
    drive = Drive([one for name in "abc" for one in units(model(name), 2)], gpu(8), workers=1)
    assert len(drive.where) == 1
    drive.finish()
    assert len(drive.opens()) == 3


def test_a_unit_waits_for_the_cells_it_needs():
    maker = unit(A, "deu_Latn", characters=1)
    taker = unit(A, "fra_Latn", characters=10**6, needs=tuple(c.key for c in maker.cells))
    middle = unit(A, "swh_Latn", characters=1000)
    drive = Drive([taker, middle, maker], cpu(1))
    drive.open_all()
    order = []
    while drive.busy():
        ((worker, running),) = drive.busy().items()
        order.append(running)
        drive.done(worker)
    assert order == [maker, taker, middle]
    there = Drive([taker], cpu(1), done=taker.needs)
    there.open_all()
    assert list(there.busy().values()) == [taker]


def test_what_needs_a_failed_cell_is_given_up_with_it():
    maker = unit(A, "deu_Latn")
    taker = unit(B, "fra_Latn", needs=(maker.cells[0].key,))
    last = unit(B, "swh_Latn", needs=(taker.cells[0].key,))
    drive = Drive([last, taker, maker, unit(B, "tur_Latn")], cpu(2))
    drive.finish(bad=("deu_Latn",))
    errors = {error.cell.language: error for error in drive.schedule.errors}
    assert set(errors) == {"deu_Latn", "fra_Latn", "swh_Latn"}
    assert maker.cells[0].key[:12] in errors["fra_Latn"].error
    assert "boom" in errors["swh_Latn"].error


def test_a_need_that_nothing_makes_is_stuck():
    drive = Drive([unit(A, "deu_Latn", needs=("k" * 64,)), unit(A, "fra_Latn")], cpu(1))
    sentence = drive.schedule.stuck()
    assert sentence is not None and "kkkkkkkkkkkk" in sentence
    assert [error.cell.language for error in drive.schedule.give_up_stuck()] == ["deu_Latn"]
    assert drive.schedule.stuck() is None
    drive.finish()


def test_a_model_that_fits_nowhere_is_stuck_until_a_machine_joins():
    large = model("large", 140)
    drive = Drive(units(large, 2), gpu(1, 24))
    sentence = drive.schedule.stuck()
    assert sentence is not None
    assert "'large'" in sentence and "1 of 24 GB" in sentence and "2 of 80 GB" in sentence
    drive.schedule.joined(gpu(8, name="new"))
    assert drive.schedule.stuck() is None
    assert len(drive.finish()) == 2
    alone = Drive(units(large, 2), gpu(1, 24))
    assert len(alone.schedule.give_up_stuck()) == 2
    assert alone.schedule.finished


def test_halves_hold_the_same_cells_with_their_texts():
    whole = unit(A, *LANGUAGES)
    halves = split(whole)
    assert len(halves) == 2
    cells = [cell.key for half in halves for cell in half.cells]
    assert sorted(cells) == sorted(cell.key for cell in whole.cells)
    for half in halves:
        for part in half.parts:
            assert {part.content.language} == {cell.language for cell in part.cells}
    assert split(unit(A, "deu_Latn")) == (unit(A, "deu_Latn"),)

"""Which slots workers get, and which idle ones make room."""

import pytest

from orchestrator.scheduling.actions import Node, Open
from orchestrator.scheduling.pool import Pool
from orchestrator.scheduling.queue import Queue
from tests.orchestrator.scheduling.test_schedule import (
    GB,
    A,
    Drive,
    gpu,
    model,
    seconds_of_work,
    unit,
    units,
)


def opened(pool: Pool, *, gigabytes: float, sharing: int) -> Open:
    """Another worker of a model that needs so much."""
    found = pool.find(round(gigabytes * GB), sharing=sharing, evictable=(), without=())
    assert found is not None and not found.evicted
    return pool.open(Queue(A, 0), found.slot, now=0.0)


def test_a_worker_that_needs_more_than_its_part_of_a_gpu_shares_it_no_longer():
    """Ray knows only what it granted: asked for a quarter it would take the GPU that has least
    left by its own count, where there is no memory; so a whole one is asked for."""
    pool = Pool([gpu(2, 40)], workers=None)
    assert opened(pool, gigabytes=2, sharing=4).gpus == 0.25
    pool.grow(pool.workers[0], 30 * GB)
    assert pool.find(2 * GB, sharing=4, evictable=(), without=()) is None
    whole = pool.find(2 * GB, sharing=1, evictable=(), without=())
    assert whole is not None and whole.slot.devices == (1,)
    pool.forget(pool.workers[0])
    assert opened(pool, gigabytes=2, sharing=4).gpus == 0.25


def test_workers_fill_a_gpu_before_they_take_another():
    pool = Pool([gpu(1, 80, "one"), gpu(2, 80, "two")], workers=None)
    assert [opened(pool, gigabytes=2, sharing=4).node for _ in range(5)] == ["one"] * 4 + ["two"]


@pytest.mark.parametrize(("cores", "gpus"), [(1, [1]), (2, [0.5, 0.5]), (64, [0.25] * 4)])
def test_workers_that_share_a_gpu_have_a_core_each(cores: int, gpus: list[float]):
    small = [model(name, 1) for name in "abcdef"]
    drive = Drive([one for facts in small for one in units(facts, 1)], Node("n", 1, cores, 80 * GB))
    assert [action.gpus for action in drive.opens()] == gpus


def test_a_worker_that_may_take_none_of_what_waits_makes_room():
    """Its model's one unit has failed in it, and is to be tried on the other node."""
    first, second, third = model("first", 60), model("second", 60), model("third", 60)
    long = seconds_of_work(first, 1000.0)
    work = [*units(first, 1, characters=long), *units(second, 9, characters=long // 4)]
    drive = Drive([*work, *units(third, 3)], gpu(1, name="one"), gpu(1, name="two"))
    drive.open_all()
    failing = next(w for w, running in drive.busy().items() if running.model == first)
    assert drive.fail(failing) == []
    assert drive.models()[:2] == ["first", "second"] and len(drive.models()) == 3
    assert failing not in drive.where
    assert len(drive.finish()) == 13
    assert not drive.schedule.errors


def test_a_unit_that_waits_for_cells_keeps_its_worker_until_another_load_pays():
    maker = unit(A, "deu_Latn", characters=10**9)
    taker = unit(A, "fra_Latn", needs=(maker.cells[0].key,))
    drive = Drive([maker, taker, *units(model("b"), 1)], gpu(1))
    assert len(drive.finish()) == 3
    assert drive.models().count("a") == 1

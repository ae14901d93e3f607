"""The obvious ways to spread units over GPUs, in the same made-up world as the schedule.

They are told what no schedule knows only where that cannot hurt them: nothing fails, a worker
starts its next unit the moment it is free, and files are read as fast as if nobody else read any.
"""

import heapq
from typing import NamedTuple

from orchestrator.scheduling.cost import Cost
from simulation.world import World
from studies.spec import ModelFacts
from studies.unit import Unit


class Outcome(NamedTuple):
    """How long it took, how many loads, and the share of GPU time without computing or loading."""

    makespan: float
    loads: int
    idle: float


def round_robin(world: World) -> Outcome:
    """Units go to the GPUs in turn, in the order of the plan, which is by model.

    A GPU loads a model whenever its next unit is of another one; its node reads the files once. A
    unit of a model on several GPUs starts when all of them have done what was theirs before.
    """
    free = [0.0] * world.gpus
    held: list[ModelFacts | None] = [None] * world.gpus
    nodes = [node.name for node in world.nodes for _ in range(node.gpus)]
    read: set[tuple[str, ModelFacts]] = set()
    loads, busy, place = 0, 0.0, 0
    for unit in world.units:
        count = world.spread(unit.model)
        first = -(-place // count) * count % world.gpus
        place = first + count
        group = range(first, first + count)
        takes = world.takes(unit)
        if any(held[gpu] != unit.model for gpu in group):
            near = (nodes[first], unit.model)
            takes += world.places(unit.model) if near in read else world.loads[unit.model]
            read.add(near)
            loads += 1
        end = max(free[gpu] for gpu in group) + takes
        busy += takes * count
        for gpu in group:
            free[gpu], held[gpu] = end, unit.model
    return _outcome(world, makespan=max(free), loads=loads, busy=busy)


def one_process(world: World) -> Outcome:
    """Each model has one process, on as many GPUs as it needs; there must be GPUs for all."""
    return _pinned(world, dict.fromkeys(world.models, 1))


def fixed_shares(world: World) -> Outcome:
    """Each model has processes by its estimated work, which stay; longest units first."""
    cost = Cost()
    work = dict.fromkeys(world.models, 0.0)
    for unit in world.units:
        work[unit.model] += cost.stated(unit)
    copies = dict.fromkeys(world.models, 1)
    left = world.gpus - sum(world.spread(model) for model in world.models)
    while True:
        model = max(world.models, key=lambda model: work[model] / copies[model])
        if world.spread(model) > left:
            return _pinned(world, copies)
        copies[model] += 1
        left -= world.spread(model)


def _pinned(world: World, copies: dict[ModelFacts, int]) -> Outcome:
    """Every model keeps its processes; each takes the model's longest unit that is left."""
    used = sum(world.spread(model) * count for model, count in copies.items())
    assert used <= world.gpus, f"{used} GPUs needed and {world.gpus} there"
    cost = Cost()
    units: dict[ModelFacts, list[Unit]] = {}
    for unit in world.units:
        units.setdefault(unit.model, []).append(unit)
    makespan, busy = 0.0, 0.0
    for model, theirs in units.items():
        free = [world.loads[model]] * copies[model]
        for unit in sorted(theirs, key=cost.stated, reverse=True):
            heapq.heapreplace(free, free[0] + world.takes(unit))
        makespan = max(makespan, *free)
        took = sum(map(world.takes, theirs)) + world.loads[model] * copies[model]
        busy += took * world.spread(model)
    return _outcome(world, makespan=makespan, loads=sum(copies.values()), busy=busy)


def _outcome(world: World, *, makespan: float, loads: int, busy: float) -> Outcome:
    return Outcome(makespan, loads, 1 - busy / (world.gpus * makespan))

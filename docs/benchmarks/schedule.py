"""Compare the schedule with obvious ones, on a made-up cluster in virtual time.

    python docs/benchmarks/schedule.py [--seeds 20]

64 GPUs of 80 GB in 8 nodes and 20 models of 1 to 72 billion parameters in bfloat16
(orchestrator/simulation/world.py says what is drawn, simulate.py beside it what happens). The
lower bound is proven in `World.lower_bound`: nothing is faster, even knowing what every unit will
take. Needs neither GPU nor torch nor Ray. What is printed last are rows for docs/benchmarks/.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from orchestrator.scheduling.actions import Node
from orchestrator.scheduling.cost import Cost
from orchestrator.simulation import baselines
from orchestrator.simulation import world as worlds
from orchestrator.simulation.simulate import Faults, Simulation
from orchestrator.simulation.world import World
from studies.spec import ModelFacts, Unit

FAILING = Faults(fail=0.02, kill=0.01, load=0.02)
HANGING = Faults(hang=0.002)
STALLING = Faults(stall=0.02)
TWO_NODES = tuple(Node(f"node-{number}", 4, 16, 80_000_000_000) for number in range(2))
LONG_LOADS = ((13, 100), (32, 60), (70, 20))


class Line(NamedTuple):
    """One run of one schedule: its makespan over the lower bound, loads, fetches, idle share of
    GPUs, and workers ended as hung that were only slow."""

    ratio: float
    loads: int
    fetches: int
    idle: float
    alarms: int = 0


class Waiting(Cost):
    """Estimates by which no fetch ahead of a load is ever worth its while."""

    def fetch_seconds(self, _model: ModelFacts) -> float:
        """As if files were always near."""
        return 0.0


class TenTimes(Cost):
    """Estimates whose deadlines never come from what the slowest unit of the run took."""

    def deadline(self, unit: Unit) -> float:
        """As while little is measured."""
        before, self._in_all = self._in_all, 0
        seconds = super().deadline(unit)
        self._in_all = before
        return seconds


def ours(world: World, *, seed: int, faults: Faults, cost: type[Cost]) -> Line:
    """The schedule itself."""
    result = Simulation(world, seed=seed, faults=faults, cost=cost()).run()
    assert len(result.done) + len(result.failed) == sum(len(unit.cells) for unit in world.units)
    ratio = result.makespan / world.lower_bound()
    return Line(ratio, result.loads, result.fetches, result.idle, result.alarms)


def baseline(world: World, way: Callable[[World], baselines.Outcome]) -> Line:
    """One of the obvious ways."""
    result = way(world)
    return Line(result.makespan / world.lower_bound(), result.loads, 0, result.idle)


def show(name: str, lines: Sequence[Line]) -> None:
    """Print one row: mean and worst over the seeds."""
    ratios = [line.ratio for line in lines]
    loads = statistics.mean(line.loads for line in lines)
    fetches = statistics.mean(line.fetches for line in lines)
    idle = statistics.mean(line.idle for line in lines)
    print(
        f"| {name} | {statistics.mean(ratios):.3f} | {max(ratios):.3f} | {loads:.0f} "
        f"| {fetches:.0f} | {100 * idle:.1f} % | {sum(line.alarms for line in lines)} |",
        flush=True,
    )


CASES: tuple[tuple[str, Faults, type[Cost]], ...] = (
    ("Babelscope", Faults(), Cost),
    ("the same without fetching ahead", Faults(), Waiting),
    ("2 % of units fail, 1 % kill their process, 2 % of loads fail", FAILING, Cost),
    ("0.2 % of units hang", HANGING, Cost),
    ("the same with deadlines of ten times the estimate", HANGING, TenTimes),
    ("2 % of loads hang", STALLING, Cost),
)


def heading(what: str) -> None:
    """Print the head of a table."""
    print(
        f"\n| {what} | makespan / lower bound: mean | worst | loads | fetches | GPUs idle "
        "| slow, ended as hung |\n|---|---|---|---|---|---|---|"
    )


def thinking(units: int) -> None:
    """Print what the schedule itself takes for so many units."""
    world = worlds.make(0, units=units * worlds.UNITS / len(worlds.make(0).units))
    began = time.perf_counter()
    result = Simulation(world).run()
    print(
        f"| {len(world.units):,} | {1e6 * result.thinking / len(world.units):.0f} "
        f"| {1e6 * result.thinking / result.decisions:.0f} | {1e3 * result.longest:.1f} "
        f"| {time.perf_counter() - began:.1f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--units", type=float, default=worlds.UNITS)
    seeds = range((arguments := parser.parse_args()).seeds)
    made = [worlds.make(seed, units=arguments.units) for seed in seeds]
    bounds = [world.lower_bound() / 3600 for world in made]
    print(
        f"{len(made)} seeds, {len(made[0].units):,} units of {len(made[0].models)} models, "
        f"{made[0].gpus} GPUs, lower bound {min(bounds):.1f} to {max(bounds):.1f} hours"
    )
    heading("schedule")
    for name, faults, cost in CASES:
        show(name, [ours(w, seed=s, faults=faults, cost=cost) for s, w in enumerate(made)])
    show("fixed shares", [baseline(world, baselines.fixed_shares) for world in made])
    show("round robin", [baseline(world, baselines.round_robin) for world in made])
    show("one process per model", [baseline(world, baselines.one_process) for world in made])
    heading("large models, each with little work, on 8 GPUs")
    for size, count in LONG_LOADS:
        few = [worlds.make(s, nodes=TWO_NODES, billions=[size] * count, units=3) for s in seeds]
        for name, cost in (("fetching ahead", Cost), ("without", Waiting)):
            lines = [ours(w, seed=s, faults=Faults(), cost=cost) for s, w in enumerate(few)]
            show(f"{count} models of {size} billion parameters: {name}", lines)
    print("\n| units | microseconds per unit | per decision | longest, ms | seconds in all |")
    print("|---|---|---|---|---|")
    for units in (1_000, 10_000, 100_000):
        thinking(units)


if __name__ == "__main__":
    main()

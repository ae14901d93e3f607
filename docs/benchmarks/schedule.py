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

from orchestrator.simulation import baselines
from orchestrator.simulation import world as worlds
from orchestrator.simulation.simulate import Faults, Simulation
from orchestrator.simulation.world import World

FAILING = Faults(fail=0.02, kill=0.01, load=0.02)
HANGING = Faults(hang=0.002)


class Line(NamedTuple):
    """One run of one schedule: its makespan over the lower bound, loads, idle share of GPUs."""

    ratio: float
    loads: int
    idle: float


def ours(world: World, *, seed: int, faults: Faults) -> Line:
    """The schedule itself."""
    result = Simulation(world, seed=seed, faults=faults).run()
    assert len(result.done) + len(result.failed) == sum(len(unit.cells) for unit in world.units)
    return Line(result.makespan / world.lower_bound(), result.loads, result.idle)


def baseline(world: World, way: Callable[[World], baselines.Outcome]) -> Line:
    """One of the obvious ways."""
    result = way(world)
    return Line(result.makespan / world.lower_bound(), result.loads, result.idle)


def show(name: str, lines: Sequence[Line]) -> None:
    """Print one row: mean and worst over the seeds."""
    ratios = [line.ratio for line in lines]
    loads = statistics.mean(line.loads for line in lines)
    idle = statistics.mean(line.idle for line in lines)
    print(
        f"| {name} | {statistics.mean(ratios):.3f} | {max(ratios):.3f} | {loads:.0f} "
        f"| {100 * idle:.1f} % |"
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
        f"{made[0].gpus} GPUs, lower bound {min(bounds):.1f} to {max(bounds):.1f} hours\n"
    )
    print("| schedule | makespan / lower bound: mean | worst | loads | GPUs idle |")
    print("|---|---|---|---|---|")
    for name, faults in (
        ("Babelscope", Faults()),
        ("the same; 2 % of units fail, 1 % kill their process, 2 % of loads fail", FAILING),
        ("the same; 0.2 % of units hang", HANGING),
    ):
        lines = [ours(w, seed=s, faults=faults) for s, w in zip(seeds, made, strict=True)]
        show(name, lines)
    show("fixed shares", [baseline(world, baselines.fixed_shares) for world in made])
    show("round robin", [baseline(world, baselines.round_robin) for world in made])
    show("one process per model", [baseline(world, baselines.one_process) for world in made])
    print("\n| units | microseconds per unit | per decision | longest, ms | seconds in all |")
    print("|---|---|---|---|---|")
    for units in (1_000, 10_000, 100_000):
        thinking(units)


if __name__ == "__main__":
    main()

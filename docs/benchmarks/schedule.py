"""Compare the schedule with obvious ones, on a made-up cluster in virtual time.

    python docs/benchmarks/schedule.py [--seeds 20]

64 GPUs of 80 GB in 8 nodes and 20 models of 1 to 72 billion parameters in bfloat16
(simulation/world.py beside this file says what is drawn, simulate.py what happens). The
lower bound is proven in `World.lower_bound`: nothing is faster, even knowing what every unit will
take. Needs neither GPU nor torch nor Ray. What is printed last are rows for docs/benchmarks/.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

from orchestrator.scheduling import placement
from orchestrator.scheduling.actions import Node
from simulation import baselines
from simulation import world as worlds
from simulation.simulate import NONE, Faults, Simulation
from simulation.world import DISK, HUB, Source, World

FAILING = Faults(fail=0.02, kill=0.01, load=0.02)
HANGING = Faults(hang=0.002)
STALLING = Faults(stall=0.02)
TWO_NODES = tuple(Node(f"node-{number}", 4, 16, 80_000_000_000) for number in range(2))
ONE_GPU = (Node("node-0", 1, 16, 80_000_000_000),)
SMALLEST = placement.PREFETCH_BYTES


def few(seed: int, source: Source, *, nodes: Sequence[Node], size: float, count: int) -> World:
    """Models of one size with little work each."""
    return worlds.make(seed, nodes=nodes, billions=[size] * count, units=3, source=source)


PREFETCHED: tuple[tuple[str, Callable[[int, Source], World]], ...] = (
    ("20 models on 64 GPUs", lambda seed, source: worlds.make(seed, source=source)),
    ("100 models of 1 billion on 8 GPUs", partial(few, nodes=TWO_NODES, size=1, count=100)),
    ("100 models of 13 billion on 8 GPUs", partial(few, nodes=TWO_NODES, size=13, count=100)),
    ("60 models of 32 billion on 8 GPUs", partial(few, nodes=TWO_NODES, size=32, count=60)),
    ("20 models of 70 billion on 8 GPUs", partial(few, nodes=TWO_NODES, size=70, count=20)),
    ("20 models of 7 billion on 1 GPU", partial(few, nodes=ONE_GPU, size=7, count=20)),
)


class Line(NamedTuple):
    """One run of one schedule: its makespan over the lower bound, loads, prefetches, idle share of
    GPUs, and workers ended as hung that were only slow."""

    ratio: float
    loads: int
    prefetches: int
    idle: float
    alarms: int = 0


def ours(
    world: World,
    *,
    seed: int,
    faults: Faults = NONE,
    prefetch: bool = True,
) -> Line:
    """The schedule itself."""
    with patch.object(placement, "PREFETCH_BYTES", SMALLEST if prefetch else math.inf):
        result = Simulation(world, seed=seed, faults=faults).run()
    assert len(result.done) + len(result.failed) == sum(len(unit.cells) for unit in world.units)
    ratio = result.makespan / world.lower_bound()
    return Line(ratio, result.loads, result.prefetches, result.idle, result.alarms)


def baseline(world: World, way: Callable[[World], baselines.Outcome]) -> Line:
    """One of the obvious ways."""
    result = way(world)
    return Line(result.makespan / world.lower_bound(), result.loads, 0, result.idle)


def show(name: str, lines: Sequence[Line]) -> None:
    """Print one row: mean and worst over the seeds."""
    ratios = [line.ratio for line in lines]
    loads = statistics.mean(line.loads for line in lines)
    prefetches = statistics.mean(line.prefetches for line in lines)
    idle = statistics.mean(line.idle for line in lines)
    print(
        f"| {name} | {statistics.mean(ratios):.3f} | {max(ratios):.3f} | {loads:.0f} "
        f"| {prefetches:.0f} | {100 * idle:.1f} % | {sum(line.alarms for line in lines)} |",
        flush=True,
    )


CASES = (
    ("Babelscope", NONE),
    ("2 % of units fail, 1 % kill their process, 2 % of loads fail", FAILING),
    ("0.2 % of units hang", HANGING),
    ("2 % of loads hang", STALLING),
)


def heading(what: str) -> None:
    """Print the head of a table."""
    print(
        f"\n| {what} | makespan / lower bound: mean | worst | loads | prefetches | GPUs idle "
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
    for name, faults in CASES:
        show(name, [ours(w, seed=s, faults=faults) for s, w in enumerate(made)])
    show("fixed shares", [baseline(world, baselines.fixed_shares) for world in made])
    show("round robin", [baseline(world, baselines.round_robin) for world in made])
    show("one process per model", [baseline(world, baselines.one_process) for world in made])
    for source in (DISK, HUB):
        heading(f"prefetching, {source.name}")
        for name, worlds_of in PREFETCHED:
            several = [worlds_of(seed, source) for seed in seeds]
            for what, prefetch in (("prefetched", True), ("not", False)):
                lines = [ours(w, seed=s, prefetch=prefetch) for s, w in enumerate(several)]
                show(f"{name}: {what}", lines)
    print("\n| units | microseconds per unit | per decision | longest, ms | seconds in all |")
    print("|---|---|---|---|---|")
    for units in (1_000, 10_000, 100_000):
        thinking(units)


if __name__ == "__main__":
    main()

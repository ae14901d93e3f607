"""Make up a cluster with work for it, to try the schedule on: models, units, and what each takes.

Everything is drawn from a seed, once: what a unit truly takes does not depend on who runs it, so
that schedules can be compared and no schedule can be faster than `lower_bound`.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.scheduling.actions import Node
from orchestrator.scheduling.cost import RATES, Cost
from orchestrator.scheduling.pool import USABLE, gpus_for
from studies.kinds.choices import ChoiceGrid
from studies.spec import Cell, ModelFacts
from studies.texts import ChoiceSet
from studies.unit import Part, Unit

# Twenty models in billions of parameters, in bfloat16.
BILLIONS = (1, 1, 1.5, 2, 3, 3, 4, 7, 7, 8, 8, 9, 13, 14, 14, 27, 32, 34, 70, 72)
NODES = tuple(Node(f"node-{number}", 8, 64, 80_000_000_000) for number in range(8))
LANGUAGES = ("deu_Latn", "fra_Latn")

# A unit of a model with B billion parameters takes about 4 s x B^0.5; a model has 80 x B^0.5 of
# them, so that all models read about as much.
UNIT_SECONDS, UNIT_GROWTH = 4.0, 0.5
UNITS, UNITS_GROWTH = 80, 0.5
# Sizes of units, known beforehand: log-normal, within these bounds.
SIZE_SPREAD, SMALLEST, LARGEST = 2.0, 0.25, 4.0
# Estimates are off by log-normal factors: one for the whole model, one for each unit.
ERROR = 1.5
STRAGGLERS, SLOWER = 0.1, (3.0, 10.0)
# Seconds that a load takes beside reading the model's files.
START = (10.0, 20.0)


class Source(NamedTuple):
    """Where models are read from: bytes per second of a model alone, between these bounds, and of
    all of a node's together at most."""

    name: str
    alone: tuple[float, float]
    node: float


DISK = Source("files on disks", (2e9, 5e9), 5e9)
HUB = Source("files on the hub", (1e8, 4e8), 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Machines, units, and the truth about them, which a schedule learns only from events.

    `seconds` are what each cell takes alone on its model's GPUs, by key; a unit takes their sum.
    `loads` are what each model takes to load on a node that has not read its files, and `fetches`
    what of that is reading them, where the node reads nothing else.
    """

    nodes: tuple[Node, ...]
    units: tuple[Unit, ...]
    seconds: Mapping[str, float]
    loads: Mapping[ModelFacts, float]
    fetches: Mapping[ModelFacts, float]
    node_rate: float = DISK.node

    @property
    def gpus(self) -> int:
        """All GPUs."""
        return sum(node.gpus for node in self.nodes)

    @property
    def models(self) -> tuple[ModelFacts, ...]:
        """The models, as the plan lists them."""
        return tuple(self.loads)

    def takes(self, unit: Unit) -> float:
        """What the unit truly takes."""
        return sum(self.seconds[cell.key] for cell in unit.cells)

    def spread(self, model: ModelFacts) -> int:
        """How many GPUs the model is spread over."""
        return gpus_for(Cost().bytes(model), gpu_bytes=self.nodes[0].gpu_bytes) or 1

    def places(self, model: ModelFacts) -> float:
        """What the model takes to load on a node that has read its files."""
        return self.loads[model] - self.fetches[model]

    def lower_bound(self) -> float:
        """Seconds that no schedule can be faster than, whatever it knows.

        First, GPU-seconds: in one second all GPUs give `gpus` of them. A unit uses its seconds
        times its model's GPUs, which a model on several has to itself; a GPU that models share
        works for one at a time, or for each at that much less. Where no other model has room
        beside one, its GPUs give nothing while it loads, once at least, but for reading its files,
        which can be done before; other loads are not counted, as a neighbour could work meanwhile.
        The sum over `gpus` is the first bound.

        Second, a chain: no unit ends before its model has been loaded and it has run.
        """
        work = sum(self.takes(unit) * self.spread(unit.model) for unit in self.units)
        room = self.nodes[0].gpu_bytes * USABLE - min(map(Cost().bytes, self.models))
        for model in self.models:
            if self.spread(model) > 1 or Cost().bytes(model) > room:
                work += self.places(model) * self.spread(model)
        chain = max(self.loads[unit.model] + self.takes(unit) for unit in self.units)
        return max(work / self.gpus, chain)


def make(
    seed: int,
    *,
    nodes: Sequence[Node] = NODES,
    billions: Sequence[float] = BILLIONS,
    units: float = UNITS,
    source: Source = DISK,
) -> World:
    """A world of this seed; `units` is how many a model of a billion parameters has."""
    rng = random.Random(seed)
    made: list[Unit] = []
    seconds: dict[str, float] = {}
    loads: dict[ModelFacts, float] = {}
    fetches: dict[ModelFacts, float] = {}
    for number, size in enumerate(billions):
        facts = model(f"model-{number}-{size}B", billions=size)
        start, fetches[facts] = rng.uniform(*START), facts.bytes / rng.uniform(*source.alone)
        loads[facts] = start + fetches[facts]
        slower = rng.lognormvariate(0, math.log(ERROR))
        for place in range(max(1, round(units * size**UNITS_GROWTH))):
            spread = rng.lognormvariate(0, math.log(SIZE_SPREAD))
            expected = UNIT_SECONDS * size**UNIT_GROWTH * min(max(spread, SMALLEST), LARGEST)
            unit = _unit(facts, place=place, tokens=expected * RATES["gpu"] / (size * 1e9))
            true = expected * slower * rng.lognormvariate(0, math.log(ERROR))
            if rng.random() < STRAGGLERS:
                true *= rng.uniform(*SLOWER)
            seconds.update({cell.key: true / len(unit.cells) for cell in unit.cells})
            made.append(unit)
    return World(
        nodes=tuple(nodes),
        units=tuple(made),
        seconds=seconds,
        loads=loads,
        fetches=fetches,
        node_rate=source.node,
    )


def model(name: str, *, billions: float) -> ModelFacts:
    """A model of so many billion parameters in bfloat16."""
    return ModelFacts(
        name=name,
        revision="main",
        folder=name,
        weights=name,
        tokenizer=name,
        dtype="bfloat16",
        layers=32,
        width=4096,
        neurons=16384,
        context=4096,
        bytes=round(billions * 2e9),
    )


def _unit(facts: ModelFacts, *, place: int, tokens: float) -> Unit:
    """A unit of two languages with a cell each."""
    left = max(1, round(tokens * 3))
    parts = []
    for number, language in enumerate(LANGUAGES):
        size = left // (len(LANGUAGES) - number)
        left -= size
        cell = Cell(
            table="items",
            model=facts.name,
            revision=facts.revision,
            language=language,
            scope=f"{facts.name} {place}",
            benchmark="xcopa",
        )
        asked = ChoiceSet(benchmark="xcopa", language=language, prompt=str(place), items=())
        parts.append(Part(cells=(cell,), content=asked, characters=size))
    return Unit(
        study="simulation",
        model=facts,
        kind="choices",
        grid=ChoiceGrid(benchmark="xcopa", languages=LANGUAGES),
        parts=tuple(parts),
    )

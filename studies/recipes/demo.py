"""The demo: the cross-model study on the embedded miniworld, with nothing to download.

It is the NeuronXA recipe with other defaults, so what works here works on real models and data.
"""

from dataclasses import dataclass, replace

from studies import miniworld
from studies.recipes import neuronxa
from studies.spec import Pooling
from studies.study import Study

EXAMPLE = "--model miniworld-llama --limit 20"


@dataclass(frozen=True, kw_only=True)
class Options(neuronxa.Options):
    """NeuronXA's options with the demo's defaults."""

    models: tuple[str, ...] = miniworld.MODELS
    parallels: tuple[str, ...] = ("miniworld",)
    benchmarks: tuple[str, ...] = ("mini_belebele", "mini_mmlu")
    # The one that the main table shows.
    poolings: tuple[Pooling, ...] = ("weighted",)
    limit: int | None = 100


def study(options: Options) -> Study:
    """The demo's study; every flag narrows or widens it as in the recipe it stands on."""
    return replace(neuronxa.study(options), name="demo")

"""The demo: the cross-model study on the embedded miniworld, with nothing to download.

It is the NeuronXA recipe with other defaults, so what works here works on real models and data.
"""

from dataclasses import replace

from studies import miniworld
from studies.options import Options
from studies.recipes import neuronxa
from studies.study import Study

BENCHMARKS = ("mini_belebele", "mini_xstorycloze")
LIMIT = 100


def study(options: Options) -> Study:
    """The demo's study; every flag narrows or widens it as in the recipe it stands on."""
    chosen = replace(
        options,
        models=options.models or miniworld.MODELS,
        parallels=options.parallels or ("miniworld",),
        benchmarks=options.benchmarks or BENCHMARKS,
        limit=options.limit or LIMIT,
    )
    return replace(neuronxa.study(chosen), name="demo")

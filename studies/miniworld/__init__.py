"""A small world in twelve languages: data sets and small models that need no network.

It is the embedded default of every study: real words, generated sentences, six data sets with
the columns of the real ones, and models trained on nothing else. It must never know torch, a
prompt or a score.
"""

from studies.miniworld.benchmarks import DRAWS, rows
from studies.miniworld.lexicon import EXPOSURE, LANGUAGES
from studies.miniworld.weights import MODELS, model_folder
from studies.miniworld.worlds import Split

DATASETS: tuple[str, ...] = tuple(DRAWS)
DESCRIPTION = (
    "miniworld is embedded and made up: sentences generated from real words in twelve languages, "
    "and small models trained on them with less and less text per language; its numbers show how "
    "the method works, not how languages are"
)

__all__ = [
    "DATASETS",
    "DESCRIPTION",
    "EXPOSURE",
    "LANGUAGES",
    "MODELS",
    "Split",
    "model_folder",
    "rows",
]

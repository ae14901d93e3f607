"""A small world in twelve languages: data sets and tiny models that need no network.

It is the embedded default of every study: real words, generated sentences, five benchmarks with
the columns of the real ones, and models trained on nothing else. It must never know torch, a
prompt or a score.
"""

from studies.miniworld.benchmarks import DRAWS, rows
from studies.miniworld.lexicon import EXPOSURE, LANGUAGES
from studies.miniworld.weights import MODELS, model_folder

DATASETS: tuple[str, ...] = tuple(DRAWS)

__all__ = ["DATASETS", "EXPOSURE", "LANGUAGES", "MODELS", "model_folder", "rows"]

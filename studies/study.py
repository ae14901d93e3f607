"""What a study asks: models, and grids of cells over texts, layers and measures.

A grid names its axes; which cells it comes to follows from a model's layers and the texts there
are (cells.py). Where results go, and who computes them, is unknown here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from studies.contents import FineTuning
from studies.measures import MEASURES
from studies.spec import POOLINGS, Method, Model, Pooling, Switches


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentGrid:
    """Parallel text: languages x measures x poolings x layers, for every model.

    `languages` may be `("all",)`; `layers` None means every layer the measure has. The cells are
    scores, or checks of scores (`robustness`), or `points` of a picture made by `method`, of the
    first of its languages that the text has; `seed` is that of checks and pictures.
    """

    table: Literal["alignment", "robustness", "points"] = "alignment"
    dataset: str
    languages: tuple[str, ...]
    pivot: str = "eng_Latn"
    pairs: int | None = 100
    measures: tuple[str, ...] = tuple(MEASURES)
    poolings: tuple[Pooling, ...] = POOLINGS
    layers: tuple[int, ...] | None = None
    switches: Switches = field(default_factory=Switches)
    method: Method | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceGrid:
    """Accuracy on a benchmark whose items are answered by choosing one of several options.

    `languages` may be `("all",)`; languages that the benchmark lacks are left out and reported by
    the plan. `limit` keeps the first items of every language; `prompt` None is the default one.
    """

    benchmark: str
    languages: tuple[str, ...]
    limit: int | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationGrid:
    """Translations of parallel text from the pivot into every language.

    The first `shots` pairs are examples in every prompt; those after them, `pairs` at most, are
    translated, each with `max_new_tokens` at most (None: as the references need).
    """

    dataset: str
    languages: tuple[str, ...]
    pivot: str = "eng_Latn"
    pairs: int | None = 100
    shots: int = 4
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferGrid:
    """Zero-shot transfer: fine-tune on one language's questions, answer those of all languages.

    An adapter is trained on the items of `train` in `train_language`, as `how` says, and the items
    of `benchmark` are answered with it (NeuronXA, section 3.3).
    """

    benchmark: str
    train: str
    languages: tuple[str, ...]
    train_language: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    how: FineTuning = field(default_factory=FineTuning)


Grid = AlignmentGrid | ChoiceGrid | TranslationGrid | TransferGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A name, models and grids. `settings` are the choices that must stay the same for a run."""

    name: str
    models: tuple[Model, ...]
    grids: tuple[Grid, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

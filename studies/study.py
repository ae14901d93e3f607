"""What a study asks: models, and grids of cells over texts, layers and measures.

A grid names its axes; which cells it comes to follows from a model's layers and the texts there
are (cells.py). Where results go, and who computes them, is unknown here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from studies.asking import Asking, Lens, Steering
from studies.contents import GREEDY, FineTuning, Sampling
from studies.measures import NEURONXA
from studies.spec import POOLINGS, Engine, Method, Model, Pooling, Switches

# Controls of steering; each is the name of its intervention as well. `random`: a direction of equal
# length. `wrong_language`: another language's vector. `wrong_dataset`: one from another benchmark.
# `orthogonal`: the vector without the directions that write the letters. `halves`: the difference
# of two halves of the pivot's own prompts.
Control = Literal["random", "wrong_language", "wrong_dataset", "orthogonal", "halves"]
CONTROLS: tuple[Control, ...] = get_args(Control)
STEER = "steer"


# Layers by number, or by a name for those of a model: every fourth up to the last (`analysed`), or
# the two of them about a third deep in which coefficients are swept (`swept`); in a model of fewer
# than `SHALLOW` blocks both mean all layers (arXiv 2505.13141, sections 3.1 and 5).
Layers = tuple[int, ...] | Literal["analysed", "swept"]
SHALLOW = 16


def named_layers(name: Literal["analysed", "swept"], *, blocks: int) -> tuple[int, ...]:
    """The layers of a model of so many blocks that go by this name."""
    if blocks < SHALLOW:
        return tuple(range(1, blocks + 1))
    analysed = tuple(range(blocks % 4 or 4, blocks + 1, 4))
    if name == "analysed":
        return analysed
    near = [min(analysed, key=lambda layer: abs(layer - depth * blocks)) for depth in (0.25, 0.4)]
    return tuple(dict.fromkeys(near))


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """A benchmark's prompts as parallel text: the ones that a draw of `sample` items takes."""

    benchmark: str
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    limit: int | None = None
    sample: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentGrid:
    """Parallel text: languages x measures x poolings x layers, for every model.

    `languages` may be `("all",)`; `layers` None means every layer the measure has. The cells are
    scores, or checks of scores (`robustness`), or `points` of a picture made by `method`, of the
    first of its languages that the text has, or of all `together`; `seed` is that of checks and
    pictures. With `questions` the text is a benchmark's prompts, and `dataset` only its name.
    """

    table: Literal["alignment", "robustness", "points"] = "alignment"
    dataset: str
    languages: tuple[str, ...]
    pivot: str = "eng_Latn"
    pairs: int | None = 100
    measures: tuple[str, ...] = NEURONXA
    poolings: tuple[Pooling, ...] = POOLINGS
    layers: Layers | None = None
    switches: Switches = field(default_factory=Switches)
    method: Method | None = None
    seed: int = 0
    together: bool = False
    questions: Questions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceGrid:
    """Accuracy on a benchmark whose items are answered by choosing one of several options.

    `languages` may be `("all",)`; languages that the benchmark lacks are left out and reported by
    the plan. `limit` keeps the first items of every language; `prompt` None is the default one.
    `parallel` wants items to have the same options and right answer in every language.
    """

    benchmark: str
    languages: tuple[str, ...]
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    parallel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationGrid:
    """Texts that models write: answers to questions, translations, or what follows any prompt.

    `benchmark` is answered by writing; with `task` translation it is parallel text, translated from
    `pivot` into every language; with `task` text it is a file of prompts. `limit` keeps the first
    items, behind `shots` that stand as examples in every prompt (None: 4 of a translation, else
    none). `max_new_tokens` and `stop` None are those of the prompt. `engine` `auto` is vLLM where
    it is installed and can open the model; whoever writes, the cells are the same.
    """

    benchmark: str
    languages: tuple[str, ...]
    task: Literal["question", "translation", "text"] = "question"
    pivot: str = "eng_Latn"
    limit: int | None = None
    shots: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    max_new_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    sampling: Sampling = GREEDY
    engine: Engine | Literal["auto"] = "hf"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentGrid:
    """How probable every option's text is at every layer, in the question's language and the pivot.

    `seed` is that of the control, in which options belong to another question (arXiv 2505.13141,
    section 4).
    """

    benchmark: str
    languages: tuple[str, ...]
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers = "analysed"
    lens: Lens = field(default_factory=Lens)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringGrid:
    """Answers while the residual stream is pushed toward the pivot's, layers x coefficients.

    For every seed, `sample` items are drawn, vectors are made from them, and the others are
    answered. Controls run at `control_coefficients`; the vectors of `wrong_dataset` are those of
    the first of `others` that has the language. A control that cannot be made is left out with a
    note, or refused if `strict`.
    """

    benchmark: str
    languages: tuple[str, ...]
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers = "analysed"
    coefficients: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0,)
    sample: int = 50
    controls: tuple[Control, ...] = ()
    control_coefficients: tuple[float, ...] = (2.0,)
    others: tuple[str, ...] = ()
    strict: bool = False
    steering: Steering = field(default_factory=Steering)


Grid = AlignmentGrid | ChoiceGrid | GenerationGrid | TransferGrid | LatentGrid | SteeringGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A name, models and grids. `settings` are the choices that must stay the same for a run."""

    name: str
    models: tuple[Model, ...]
    grids: tuple[Grid, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

"""A model whose neurons were made by hand: which languages each serves, and which decide answers.

Attention does nothing, and every token's embedding is one axis: a letter for each language, and two
marks that questions end with. A neuron's gate reads the axes at which it is to fire, its up
projection all of them alike, so both sites are above zero there and exactly zero elsewhere.

In the last layer two neurons of some languages write the right answer of a question, one for each
mark, against an embedding that says the wrong one: rescaled by more than 1 + `NEEDED` they win.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch

from actors.model import LoadedModel, load
from studies.samples import Samples
from studies.texts import ChoiceItem, ChoiceSet
from tests.makers import tiny

LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "rus_Cyrl")
LETTERS = dict(zip(LANGUAGES, "abde", strict=True))
MARKS = ("x", "y")
OPTIONS = (" A", " B")
# By neuron, the languages that it serves: dead ones, specific ones, some, all.
SERVES: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("deu_Latn",),
    ("rus_Cyrl",),
    ("eng_Latn",),
    ("eng_Latn", "deu_Latn"),
    ("deu_Latn", "fra_Latn", "rus_Cyrl"),
    LANGUAGES,
)
# The neurons of two languages each that decide, for either mark.
DECIDE = (8, 9)
DECIDING: tuple[tuple[str, ...], ...] = (("eng_Latn", "deu_Latn"), ("fra_Latn", "rus_Cyrl"))
NEEDED = 1.2


@cache
def model() -> LoadedModel:
    """The model; none may change it."""
    loaded = load(tiny.make("llama", seed=9))
    weights = dict(loaded.model.named_parameters())
    blocks = range(1, loaded.facts.layers + 1)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.fill_(1.0 if "norm" in name else 0.0)
        axes = {letter: axis for axis, letter in enumerate([*LETTERS.values(), *MARKS])}
        embedding_VD = loaded.model.get_input_embeddings().weight
        head_VD = loaded.sites.head.weight
        right, wrong = len(axes), len(axes) + 1  # axes that say option A, option B
        for letter, axis in axes.items():
            embedding_VD[_token(loaded, letter), axis] = 1.0
        for mark, says in zip(MARKS, (wrong, right), strict=True):
            embedding_VD[_token(loaded, mark), says] = 0.5
        for option, axis in zip(OPTIONS, (right, wrong), strict=True):
            head_VD[_token(loaded, option)] = 0.0
            head_VD[_token(loaded, option), axis] = 1.0
        for block in blocks:
            mlp = loaded.model.model.layers[block - 1].mlp
            for neuron, serves in enumerate((*SERVES, *DECIDING)):
                mlp.up_proj.weight[neuron] = 1.0
                for language in serves:
                    mlp.gate_proj.weight[neuron, axes[LETTERS[language]]] = 1.0
        mlp = loaded.model.model.layers[-1].mlp
        for neuron, mark, axis in zip(DECIDE, MARKS, (right, wrong), strict=True):
            mlp.gate_proj.weight[neuron, axes[mark]] = 1.0
            mlp.down_proj.weight[axis, neuron] = 0.5 / (1 + NEEDED) / _fires(loaded, mark, neuron)
    return loaded


def _fires(loaded: LoadedModel, mark: str, neuron: int) -> float:
    """The activation of a deciding neuron at its mark."""
    found: dict[str, torch.Tensor] = {}

    def look(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        found["h"] = args[0]

    down = loaded.model.model.layers[-1].mlp.down_proj
    handle = down.register_forward_pre_hook(look)
    loaded.model(torch.tensor([[_token(loaded, mark)]]))
    handle.remove()
    return float(found["h"][0, 0, neuron])


def _token(loaded: LoadedModel, text: str) -> int:
    (token,) = loaded.tokenise([text])[0]
    return token


def samples(*, count: int = 16, size: int = 8) -> list[Samples]:
    """Texts of each language: its letter, some times over."""
    return [
        Samples(
            dataset="letters",
            language=language,
            ids=tuple(str(place) for place in range(count)),
            texts=tuple(letter * (2 + place % 5) for place in range(count)),
            size=size,
        )
        for language, letter in LETTERS.items()
    ]


def questions(
    language: str, ids: Sequence[int], *, seed: int | None = 0, marks: Mapping[int, int] = {}
) -> ChoiceSet:
    """Questions in a language: letters and a mark, whose right option is the mark's."""
    items = []
    for number in ids:
        gold = marks.get(number, number % 2)
        context = LETTERS[language] * (1 + number % 3) + MARKS[gold]
        items.append(ChoiceItem(id=str(number), context=context, options=OPTIONS, gold=gold))
    return ChoiceSet(
        benchmark="marks", language=language, prompt="mark", items=tuple(items), seed=seed
    )

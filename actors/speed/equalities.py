"""Compare every fast way with the obvious one, on a loaded model and real prompts.

Each comparison is a largest difference of log-probabilities and a count of changed answers. Which
difference is too large depends on the dtype: different batch shapes round differently.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.intervention.setting import Intervention, Setting, Where
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.prediction.score import ask, read_options
from actors.speed import naive
from actors.sweeping.sweep import sweep
from studies.texts import ChoiceItem

# Largest difference of log-probabilities that different batch shapes may make.
ALLOWED = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}

# Largest difference of a pooled vector, as a share of its norm.
ALLOWED_VECTOR = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02}

QUESTIONS = (
    "a",
    "The capital of France is",
    "Anna has twelve cats and one dog. How many animals live in her house?",
    "Das Wetter ist heute schön, aber morgen soll es den ganzen Tag regnen. Deshalb",
    "Столица России — это город",
    "सारा घर पर है और किताब पढ़ रही है। सारा कहाँ है?",
    "北京是中国的首都。中国的首都是哪里？",
    "تأكل آنا السمك كل يوم لأنها تعيش بالقرب من البحر.",
)
OPTIONS = (" A", " B", " yes", " no, not at all", " Paris")


class Equality(NamedTuple):
    """One comparison: the largest difference, what is allowed, and how many answers changed."""

    name: str
    error: float
    allowed: float
    changed: int
    answers: int

    @property
    def holds(self) -> bool:
        """Whether the difference is small enough; not a number never is."""
        return self.error <= self.allowed


Answers = Sequence[Sequence[Sequence[float]]]


def check(loaded: LoadedModel) -> Iterator[Equality]:
    """Every comparison on a few questions in several languages."""
    items = [
        ChoiceItem(id=str(place), context=context, options=OPTIONS, gold=0)
        for place, context in enumerate(QUESTIONS)
    ]
    yield from equalities(loaded, [entry.question for entry in ask(loaded, items)])


def equalities(loaded: LoadedModel, questions: Sequence[Question]) -> Iterator[Equality]:
    """Every comparison on these questions, each as soon as it is made."""
    obvious = [naive.answer(loaded, question) for question in questions]
    together = read_options(loaded, questions)
    apart = [read_options(loaded, [question])[0] for question in questions]
    yield _compare(loaded, "a batch equals its rows", together, apart)
    yield _compare(loaded, "options that share a question equal options apart", together, obvious)
    layer = max(1, len(loaded.sites.blocks) // 2)
    for name, setting in _settings(loaded, layer=layer):
        swept = sweep(loaded, questions, [setting])[0]
        hooked = [
            naive.answer(loaded, question, setting, prompt=place)
            for place, question in enumerate(questions)
        ]
        yield _compare(loaded, f"{name} equals one hooked pass each", swept, hooked)
    idle = _add(loaded, layer=layer, where="all", coefficient=0.0)
    hooked = [naive.answer(loaded, question, (idle,)) for question in questions]
    yield _compare(loaded, "coefficient 0 equals the plain run", hooked, obvious)._replace(
        allowed=0
    )
    last = len(loaded.sites.blocks)
    latent = [own[last] for own in lens(loaded, questions, layers=[last])]
    yield _compare(loaded, "the lens at the last layer is the model's answer", latent, together)
    yield _vectors(loaded, questions)


def _settings(loaded: LoadedModel, *, layer: int) -> Iterator[tuple[str, Setting]]:
    """Settings that take every route."""
    yield "steering the last token (a branch)", (_add(loaded, layer=layer, where="last"),)
    yield "steering all tokens (resumed)", (_add(loaded, layer=layer, where="all"),)
    if loaded.sites.mlps:
        width = loaded.sites.width("mlp_hidden")
        scales_D = torch.where(torch.arange(width) % 7 == 0, 1.0, 0.0)
        neurons = Intervention(
            site="mlp_hidden", layer=layer, operation="scale", vector=scales_D, coefficient=0.4
        )
        yield "scaling neurons (resumed)", (neurons,)


def _add(
    loaded: LoadedModel, *, layer: int, where: Where, coefficient: float = 1.0
) -> Intervention:
    """Steering along a fixed direction of noise, as long as the residual stream is there."""
    width = loaded.sites.width("resid_post")
    noise = torch.randn(width, generator=torch.Generator().manual_seed(0))
    reading = Reading(site="resid_post", state="raw", pooling="last", layer=layer)
    stream_D = capture(loaded, [list(loaded.prefix) or [0]], [reading]).at(reading)[0]
    vector_D = noise / noise.norm() * min(float(stream_D.norm()), 1e3)
    return Intervention(
        site="resid_post",
        layer=layer,
        operation="add",
        vector=vector_D,
        coefficient=coefficient,
        where=where,
    )


def _compare(loaded: LoadedModel, name: str, found: Answers, expected: Answers) -> Equality:
    """The largest difference of any token's log-probability, and the answers that changed."""
    errors, changed = [0.0], 0
    for own, other in zip(found, expected, strict=True):
        for left, right in zip(own, other, strict=True):
            errors += [abs(one - two) for one, two in zip(left, right, strict=True)]
        changed += _best(own) != _best(other)
    return Equality(name, _largest(errors), ALLOWED[loaded.facts.dtype], changed, len(found))


def _largest(errors: Sequence[float]) -> float:
    """The largest error, which is not a number as soon as one of them is not."""
    return float(np.max(errors))


def _best(options: Sequence[Sequence[float]]) -> int:
    """The option of largest summed log-probability."""
    totals = [sum(option) for option in options]
    return totals.index(max(totals))


def _vectors(loaded: LoadedModel, questions: Sequence[Question]) -> Equality:
    """Pooled vectors of a batch against one unbatched pass each."""
    prompts = [list(question.prompt) for question in questions]
    layers = range(len(loaded.sites.blocks))
    readings = [
        Reading(site="resid_post", state="raw", pooling="weighted", layer=layer) for layer in layers
    ]
    captured = capture(loaded, prompts, readings)
    errors = [0.0]
    for place, prompt in enumerate(prompts):
        for layer, expected_D in zip(layers, naive.vectors(loaded, prompt), strict=False):
            found_D = captured.at(readings[layer])[place]
            errors.append(float((found_D - expected_D).norm() / expected_D.norm()))
    allowed = ALLOWED_VECTOR[loaded.facts.dtype]
    return Equality(
        "pooled vectors of a batch equal one pass each", _largest(errors), allowed, 0, 0
    )

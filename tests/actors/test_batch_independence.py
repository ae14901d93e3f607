"""What a model says of a text depends on no other: not on its batch, nor on those before it.

Every reader is held against plain passes of transformers over one text at a time, each by a model
that has never run, for every kind of position, window and routing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.extraction.neurons import statistics
from actors.harness.pairs import Pair, read_pairs
from actors.intervention.setting import Intervention
from actors.model import LoadedModel, load
from actors.passes.batching import TokenBudget
from actors.passes.tree_attention import Segment, pack, reach
from actors.prediction.generate import generate_tokens
from actors.prediction.predict import Question
from actors.prediction.score import read_options
from actors.sweeping.sweep import sweep
from actors.training.finetune import Lesson, _backward
from tests.makers import rounding, shapes
from tests.makers.shapes import LAYERS, Made

# On both sides of every length in shapes.py, the longest neither first nor last.
LENGTHS = (3, 7, 8, 9, 15, 40, 16, 17, 24, 5)
OPTIONS = (1, 2, 10)
NEW = 6  # texts of 15 and 16 tokens grow over 16
STEERED = 2


def draw(lengths: Sequence[int], *, seed: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randint(3, 300, (n,), generator=generator).tolist()) for n in lengths]


TEXTS = draw(LENGTHS, seed=0)
QUESTIONS = [
    Question(text, tuple(draw(OPTIONS, seed=place + 1))) for place, text in enumerate(TEXTS)
]
VECTOR = torch.randn(32, generator=torch.Generator().manual_seed(5))

Change = Callable[[Tensor], None]


def push(where: str, prompt: int, coefficient: float) -> Change:
    """Add the vector to the stream [B, T, D] at the last token of the prompt or at all of it."""
    first = prompt - 1 if where == "last" else 0

    def change(stream_BTD: Tensor) -> None:
        stream_BTD[:, first:prompt] += coefficient * VECTOR

    return change


@torch.inference_mode()
def alone(made: Made, text: Sequence[int], change: Change | None = None) -> tuple[Tensor, Tensor]:
    """The stream after the last block [T, D] and log-probabilities [T, V] of one text."""
    model = made.fresh()
    streams: list[Tensor] = []

    def steer(_module: nn.Module, _args: object, output: object) -> object:
        stream_BTD = (output[0] if isinstance(output, tuple) else output).clone()
        assert change is not None
        change(stream_BTD)
        return (stream_BTD, *output[1:]) if isinstance(output, tuple) else stream_BTD

    def keep(_module: nn.Module, _args: object, output: object) -> None:
        streams.append(output[0] if isinstance(output, tuple) else output)

    blocks = next(
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == LAYERS
    )
    if change is not None:
        blocks[STEERED - 1].register_forward_hook(steer)
    blocks[-1].register_forward_hook(keep)
    logits_TV = model(input_ids=torch.tensor([text]), use_cache=False).logits[0]
    return streams[0][0], logits_TV.log_softmax(dim=1)


def options_alone(
    made: Made, questions: Sequence[Question], where: str = "", coefficient: float = 0.0
) -> list[list[list[float]]]:
    """Every option's log-probabilities, each in a text of its own without its last token."""
    answers = []
    for prompt, options in questions:
        change = push(where, len(prompt), coefficient) if where else None
        own = []
        for option in options:
            logs_TV = alone(made, (*prompt, *option[:-1]), change)[1]
            own.append([float(logs_TV[len(prompt) - 1 + k, one]) for k, one in enumerate(option)])
        answers.append(own)
    return answers


def flat(answers: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    return torch.tensor([value for own in answers for option in own for value in option])


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def neurons_of(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> Tensor:
    """The mean of every neuron in the last block [F]."""
    found = statistics(loaded, texts, site="mlp_hidden", layers=(LAYERS,), weight="sample")
    return found.layers[LAYERS].mean


class Written(NamedTuple):
    tokens: tuple[int, ...]
    logs_TV: Tensor


@torch.inference_mode()
def written_alone(made: Made, prompt: Sequence[int]) -> Written:
    """What transformers itself writes after one prompt."""
    model: PreTrainedModel = made.fresh()
    model.generation_config = GenerationConfig()
    found = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        generation_config=GenerationConfig(
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=1,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        ),
    )
    tokens = tuple(found.sequences[0, len(prompt) :].tolist())
    return Written(tokens, torch.stack([step[0] for step in found.logits]).log_softmax(dim=1))


def same_text(found: Sequence[int], expected: Written, *, tolerance: float) -> bool:
    """Equal up to the first token that rounding may choose otherwise."""
    for place, (one, other) in enumerate(zip(found, expected.tokens, strict=False)):
        if one != other:
            logs_V = expected.logs_TV[place]
            return float(logs_V[other] - logs_V[one]) <= tolerance * float(logs_V.abs().max())
    return len(found) == len(expected.tokens)


@pytest.fixture(params=shapes.CONFIGS, scope="module")
def made(request: pytest.FixtureRequest) -> Made:
    return shapes.make(request.param)


@pytest.fixture(scope="module")
def vectors_alone(made: Made) -> Tensor:
    """The mean vector [N, D] of every text, each read by itself."""
    return torch.stack([alone(made, text)[0].mean(dim=0) for text in TEXTS])


@pytest.fixture(scope="module")
def plain_alone(made: Made) -> list[list[list[float]]]:
    """What the plain model says of every option, each read by itself."""
    return options_alone(made, QUESTIONS)


@pytest.fixture(scope="module")
def texts_alone(made: Made) -> list[Written]:
    """What is written after every text, each by itself."""
    return [written_alone(made, prompt) for prompt in TEXTS]


@pytest.mark.parametrize("budget", [100_000, 60])
def test_vectors_and_neurons(made: Made, vectors_alone: Tensor, budget: int) -> None:
    loaded = replace(made.loaded, budget=TokenBudget(budget, made.loaded.budget.positions))
    reading = Reading(site="resid_post", state="raw", pooling="average", layer=LAYERS)
    for order in (1, -1):  # a text's neighbours come before it, then behind it
        found_ND = capture(loaded, TEXTS[::order], [reading]).at(reading)
        expected = vectors_alone if order == 1 else vectors_alone.flip(0)
        assert error(found_ND, expected) < rounding.of_model(made.loaded)
    if "mlp_hidden" not in loaded.sites.missing:
        whole = neurons_of(loaded, TEXTS)
        parts = [neurons_of(loaded, [text]) for text in TEXTS]
        assert error(whole, torch.stack(parts).mean(dim=0)) < rounding.of_model(made.loaded)


def test_options_and_lens(made: Made, plain_alone: list[list[list[float]]]) -> None:
    expected = flat(plain_alone)
    assert error(flat(read_options(made.loaded, QUESTIONS)), expected) < rounding.of_model(
        made.loaded
    )
    latent = [own[LAYERS] for own in lens(made.loaded, QUESTIONS, layers=[LAYERS])]
    assert error(flat(latent), expected) < rounding.of_model(made.loaded)
    pairs = [Pair(prompt, option) for prompt, options in QUESTIONS for option in options]
    totals = torch.tensor([one.total for one in read_pairs(made.loaded, pairs)])
    summed = [[[sum(option)] for option in own] for own in plain_alone]
    assert error(totals, flat(summed)) < rounding.of_model(made.loaded)


@pytest.mark.parametrize("where", ["last", "prompt"])  # forked and resumed
def test_sweeps(made: Made, plain_alone: list[list[list[float]]], where: str) -> None:
    settings = [
        (
            Intervention(
                site="resid_post",
                layer=STEERED,
                operation="add",
                vector=VECTOR,
                coefficient=coefficient,
                where=where,
            ),
        )
        for coefficient in (0.0, 2.0)
    ]
    found = sweep(made.loaded, QUESTIONS, settings)
    for expected, own in zip(
        (plain_alone, options_alone(made, QUESTIONS, where, 2.0)), found, strict=True
    ):
        assert error(flat(own), flat(expected)) < rounding.of_model(made.loaded)


@pytest.mark.parametrize("budget", [100_000, 60])
def test_texts(made: Made, texts_alone: list[Written], budget: int) -> None:
    loaded = replace(made.loaded, budget=TokenBudget(budget, made.loaded.budget.positions))
    for order in (1, -1):
        found = generate_tokens(loaded, TEXTS[::order], max_new_tokens=NEW)[::order]
        different = [
            place
            for place, (own, other) in enumerate(zip(found, texts_alone, strict=True))
            if not same_text(own.tokens, other, tolerance=rounding.of_model(loaded))
        ]
        assert not different


def steered(where: str) -> tuple[Intervention, ...]:
    one = Intervention(
        site="resid_post",
        layer=STEERED,
        operation="add",
        vector=VECTOR,
        coefficient=2.0,
        where=where,
    )
    return (one,)


@pytest.mark.parametrize("name", ["longrope", "dynamic", "window", "chunks, scaled by place"])
def test_steered_texts(name: str) -> None:
    loaded = shapes.make(name).loaded
    together = generate_tokens(loaded, TEXTS, max_new_tokens=NEW, setting=steered("all"))
    for prompt, own in zip(TEXTS, together, strict=True):
        (by_itself,) = generate_tokens(loaded, [prompt], max_new_tokens=NEW, setting=steered("all"))
        assert own.tokens == by_itself.tokens


def test_steered_texts_that_change_their_table_and_are_read_again_are_refused() -> None:
    loaded = shapes.make("longrope that reads its cache again").loaded
    short = [text for text in TEXTS if len(text) + NEW <= shapes.TRAINED]
    assert len(generate_tokens(loaded, short, max_new_tokens=NEW, setting=steered("all"))) > 1
    crossing = [text for text in TEXTS if len(text) == shapes.TRAINED - 1]
    with pytest.raises(RuntimeError, match="generate without it"):
        generate_tokens(loaded, crossing, max_new_tokens=NEW, setting=steered("all"))


def test_a_model_that_is_loaded_from_its_folder_knows_its_tables(tmp_path: Path) -> None:
    made = shapes.make("longrope that reads its cache again")
    made.untouched.save_pretrained(tmp_path)
    made.loaded.tokenizer.save_pretrained(tmp_path)
    loaded = load(replace(made.loaded.facts, folder=str(tmp_path)), device="cpu", threads=1)
    expected_ND = torch.stack([alone(made, text)[0].mean(dim=0) for text in TEXTS])
    reading = Reading(site="resid_post", state="raw", pooling="average", layer=LAYERS)
    found_ND = capture(loaded, TEXTS, [reading]).at(reading)
    assert error(found_ND, expected_ND) < rounding.of_model(loaded)


def test_what_is_learned_from_an_example_does_not_depend_on_the_others() -> None:
    loaded = shapes.make("longrope").loaded
    lessons = [Lesson(prompt, options[-1]) for prompt, options in QUESTIONS]
    answered = sum(len(lesson.answer) for lesson in lessons)
    weight = loaded.sites.blocks[0].get_parameter("self_attn.q_proj.weight")
    weight.requires_grad_(True)

    def learn(chosen: Sequence[Lesson]) -> tuple[Tensor, Tensor]:
        weight.grad = None
        loss = _backward(loaded, chosen) * sum(len(lesson.answer) for lesson in chosen) / answered
        assert weight.grad is not None
        share = sum(len(lesson.answer) for lesson in chosen) / answered
        return torch.tensor(loss), weight.grad * share

    parts = [learn([lesson]) for lesson in lessons]
    loss, gradient = learn(lessons)
    tolerance = rounding.of_model(loaded) * len(lessons)
    assert error(loss, sum(part[0] for part in parts)) < tolerance
    assert error(gradient, sum(part[1] for part in parts)) < tolerance


@pytest.mark.parametrize(
    ("row", "tokens"),
    [
        ((Segment(-1, (1, 2, 3)),), 3),
        ((Segment(-1, (1, 2, 3)), Segment(2, (4,)), Segment(2, (5, 6))), 5),
        ((Segment(-1, (1, 2, 3)), Segment(1, (4, 5, 6, 7)), Segment(4, (8,))), 6),
        ((Segment(-1, (1,)), Segment(-1, (2, 3))), 2),
    ],
)
def test_a_row_reaches_as_far_as_its_longest_text(row: tuple[Segment, ...], tokens: int) -> None:
    packed = pack([row], device=torch.device("cpu"))
    assert reach(row) == tokens == int(packed.positions_BT.max()) + 1

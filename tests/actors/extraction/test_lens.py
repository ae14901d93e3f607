"""What a layer would predict equals the slow twin, and at the last layer the model's own answer."""

import copy
from dataclasses import replace

import pytest
import torch

from actors.extraction.lens import LensHead, LensNorm, lens
from actors.passes.batching import TokenBudget
from actors.prediction.predict import NODES_AT_ONCE, Question
from actors.prediction.score import read_options
from tests.makers import oracle, tiny
from tests.makers.questions import QUESTIONS, ids
from tests.makers.rounding import TINY

pytestmark = pytest.mark.numeric
# Largest and mean difference of a log-probability in bfloat16 from the same weights in float32.
# Measured: 0.19 and 0.027 on gemma3, at most 0.09 and 0.013 on the others.
BFLOAT16, BFLOAT16_MEAN = 0.4, 0.06

NORMS: tuple[LensNorm, ...] = ("final_norm", "none")
HEADS: tuple[LensHead, ...] = ("lm_head", "input_embedding")
# The first token of a text cannot be predicted, so without a prompt it is not read.
WITHOUT_PROMPT = Question((), (ids(3), ids(5), ids(3)))


@pytest.mark.parametrize("softcap", [True, False])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_layer_equals_the_slow_twin(
    family: str, norm: LensNorm, head: LensHead, softcap: bool
) -> None:
    loaded = tiny.loaded(family)
    before = tiny.hooks(loaded)
    questions = (*QUESTIONS, WITHOUT_PROMPT)
    layers = range(loaded.facts.layers + 1)
    expected = [
        {
            layer: [
                oracle.latent_log_probabilities(
                    loaded.model,
                    prompt,
                    option,
                    layer=layer,
                    norm=norm,
                    head=head,
                    softcap=softcap,
                )
                for option in options
            ]
            for layer in (layers if norm == "final_norm" and softcap else layers[1:2])
        }
        for prompt, options in questions
    ]
    for own in (loaded, replace(loaded, shares=False, budget=TokenBudget(60))):
        found = lens(own, questions, layers=layers, norm=norm, head=head, softcap=softcap)
        for latent, slow in zip(found, expected, strict=True):
            assert list(latent) == list(layers)
            for layer, options in slow.items():
                for option, other in zip(latent[layer], options, strict=True):
                    assert option == pytest.approx(other, rel=TINY, abs=TINY), layer
    assert tiny.hooks(loaded) == before


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_last_layer_is_the_models_own_answer(family: str) -> None:
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    latent = lens(loaded, QUESTIONS)
    assert all(list(own) == list(range(1, last + 1)) for own in latent)
    for own, answer in zip(latent, read_options(loaded, QUESTIONS), strict=True):
        for option, other in zip(own[last], answer, strict=True):
            assert option == pytest.approx(other, rel=TINY, abs=TINY)
        assert own[1][0] != pytest.approx(answer[0], abs=1e-4)


def test_the_softcap_is_put_on_or_left_off() -> None:
    capped = tiny.loaded("gemma2")
    on, off = (lens(capped, QUESTIONS, softcap=softcap) for softcap in (True, False))
    assert on[0][4][0] != pytest.approx(off[0][4][0], abs=1e-3)
    without = tiny.loaded("llama")
    assert lens(without, QUESTIONS, softcap=True) == lens(without, QUESTIONS, softcap=False)


def test_layers_come_as_they_are_asked_for_and_the_pass_ends_with_the_last() -> None:
    loaded = tiny.loaded("llama")
    every = lens(loaded, QUESTIONS, layers=range(4))
    seen: list[object] = []
    handle = loaded.sites.blocks[2].register_forward_pre_hook(lambda *args: seen.append(args))
    try:
        found = lens(loaded, QUESTIONS, layers=[2, 0])
    finally:
        handle.remove()
    assert not seen
    for own, other in zip(found, every, strict=True):
        assert list(own) == [2, 0]
        assert own == {layer: other[layer] for layer in (2, 0)}


def test_more_places_than_logits_exist_for_at_a_time() -> None:
    loaded = tiny.loaded("gpt2")
    questions = [Question(ids(2, seed=seed), (ids(3), ids(2))) for seed in range(150)]
    assert NODES_AT_ONCE == 64 * 4  # nodes that are read of a question
    whole = replace(loaded, budget=TokenBudget(10**6))
    latent, answers = lens(whole, questions, layers=[3]), read_options(whole, questions)
    for place in (0, 62, 63, 64, 65, 127, 128, 149):
        for turn, option in enumerate(questions[place].options):
            slow = oracle.option_log_probabilities(loaded.model, questions[place].prompt, option)
            assert answers[place][turn] == pytest.approx(slow, rel=TINY)
            assert latent[place][3][turn] == pytest.approx(slow, rel=TINY)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bfloat16_stays_near_the_same_weights_in_float32(family: str) -> None:
    loaded = tiny.loaded(family, dtype="bfloat16")
    exact = copy.deepcopy(loaded.model).float()
    layers = range(loaded.facts.layers + 1)
    errors = []
    for (prompt, options), own in zip(
        QUESTIONS, lens(loaded, QUESTIONS, layers=layers), strict=True
    ):
        for layer in layers:
            for option, found in zip(options, own[layer], strict=True):
                slow = oracle.latent_log_probabilities(exact, prompt, option, layer=layer)
                errors += [abs(left - right) for left, right in zip(found, slow, strict=True)]
    assert max(errors) <= BFLOAT16 and sum(errors) / len(errors) <= BFLOAT16_MEAN


def test_what_cannot_be_read_is_refused() -> None:
    loaded = tiny.loaded("llama")
    for layers in ([4], [1, -1]):
        with pytest.raises(ValueError, match=f"'resid_post' does not exist at layer {layers[-1]}"):
            lens(loaded, QUESTIONS, layers=layers)
    with pytest.raises(ValueError, match="no layer to read: expected at least one"):
        lens(loaded, QUESTIONS, layers=[])
    with pytest.raises(ValueError, match="unknown norm 'final': expected final_norm, none"):
        lens(loaded, QUESTIONS, norm="final")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown head 'own': expected lm_head, input_embedding"):
        lens(loaded, QUESTIONS, head="own")  # type: ignore[arg-type]
    for own in (loaded, replace(loaded, shares=False)):
        assert lens(own, []) == []
        assert lens(own, [Question(ids(3), ())], layers=[0, 3]) == [{0: [], 3: []}]


def test_a_stream_that_overflows_is_refused_and_the_hooks_are_gone() -> None:
    loaded = tiny.loaded("llama")
    before = tiny.hooks(loaded)
    broken = loaded.sites.blocks[1].register_forward_hook(
        lambda _module, _args, output: torch.full_like(output, torch.inf)
    )
    try:
        assert lens(loaded, QUESTIONS, layers=[1])
        with pytest.raises(ValueError, match=r"not finite: the model overflows .* --dtype bfloat"):
            lens(loaded, QUESTIONS, layers=[1, 2])
    finally:
        broken.remove()
    assert tiny.hooks(loaded) == before

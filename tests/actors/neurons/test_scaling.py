"""Rescaling: three ways of writing the rule agree, controls change as much, nothing is nothing."""

from dataclasses import replace

import pytest
import torch

from actors.intervention.setting import Intervention
from actors.model import LoadedModel
from actors.neurons.categories import masks
from actors.neurons.file import Categories, read_categories
from actors.neurons.scaling import rescaled
from actors.prediction.predict import Question
from actors.sweeping.sweep import sweep
from studies.neuron_options import PLAIN, Rescaling, Strength, strength
from tests.actors.neurons.test_categories import FAMILIES, TEXTS, texts_of
from tests.makers import oracle_families, oracle_interventions, tiny
from tests.makers.questions import QUESTIONS
from tests.makers.rescaled import sort, sorting_grid
from tests.makers.rounding import TINY, of_sum

pytestmark = pytest.mark.numeric
HOW = Rescaling()


def categories(family: str = "llama", *, bridge: tuple[int, ...] = (1, 2)) -> Categories:
    loaded = tiny.loaded(family)
    grid = sorting_grid(bridge=bridge)
    _, _, artifacts, key = sort(loaded, grid, [texts_of(language) for language in TEXTS])
    return read_categories(artifacts[key])


def scores(loaded: LoadedModel, setting: tuple[Intervention, ...]) -> torch.Tensor:
    (found,) = sweep(loaded, QUESTIONS, [setting])
    return torch.tensor([value for one in found for option in one for value in option])


@pytest.mark.parametrize("alpha", [-8.0, -1.0, 0.5, 3.0])
def test_the_blended_form_equals_one_factor(alpha: float) -> None:
    beta, gamma = 0.4, 0.2
    one = categories()
    generator = torch.Generator().manual_seed(0)
    h_TF = torch.randn(7, one.about.width, generator=generator)
    found = rescaled(one, strength(alpha, beta=beta, gamma=gamma), language="deu_Latn", how=HOW)
    assert [each.layer for each in found] == [1, 2]
    for each in found:
        own = masks(one.active[each.layer])
        shared_F, specific_F = own["partial_shared"].float(), own["specific"].float()
        assert shared_F.any() and specific_F.any()
        h1_TF = h_TF * (1 + beta * shared_F)
        h2_TF = h1_TF * (1 - gamma * specific_F)
        blended_TF = (1 - alpha) * h_TF + alpha * h2_TF
        bound = of_sum(2) * (1 + abs(alpha)) * float(h_TF.abs().max())
        torch.testing.assert_close(h_TF * (1 + each.vector), blended_TF, rtol=0, atol=bound)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_strength_is_the_plain_model_to_the_bit(family: str) -> None:
    loaded = tiny.loaded(family)
    assert rescaled(categories(family), PLAIN, language="deu_Latn", how=HOW) == ()
    idle = strength(-3.0, beta=0.0, gamma=0.0)
    setting = rescaled(categories(family), idle, language="deu_Latn", how=HOW)
    assert scores(loaded, setting).equal(scores(loaded, ()))


@pytest.mark.parametrize("family", FAMILIES)
def test_folded_weights_equal_the_hook(family: str) -> None:
    loaded = tiny.loaded(family)
    setting = rescaled(categories(family), Strength(-1.6, 0.8), language="deu_Latn", how=HOW)
    found = scores(loaded, setting)
    downs = [loaded.sites.mlps[one.layer - 1].down for one in setting]
    kept = [down.weight.clone() for down in downs]  # type: ignore[operator]
    try:
        with torch.no_grad():
            for one, down in zip(setting, downs, strict=True):
                down.weight.mul_(1 + one.vector)  # type: ignore[operator]
        folded = scores(loaded, ())
    finally:
        with torch.no_grad():
            for down, weight in zip(downs, kept, strict=True):
                down.weight.copy_(weight)  # type: ignore[operator]
    atol = TINY * max(1.0, float(found.abs().max()))
    torch.testing.assert_close(found, folded, rtol=0, atol=atol)
    assert not torch.allclose(found, scores(loaded, ()), rtol=0, atol=10 * atol)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("where", ["all", "prompt", "last"])
def test_a_sweep_over_strengths_equals_a_hooked_pass_each(family: str, where: str) -> None:
    loaded, one = tiny.loaded(family), categories(family)
    how = Rescaling(clas_pos=where)  # type: ignore[arg-type]
    strengths = [Strength(alpha * 0.4, -alpha * 0.2) for alpha in (-4.0, -1.0, 2.0)]
    settings = [rescaled(one, each, language="deu_Latn", how=how) for each in strengths]
    assert {each.where for setting in settings for each in setting} == {where}
    swept = sweep(loaded, QUESTIONS, [(), *settings])
    for setting, found in zip([(), *settings], swept, strict=True):
        for question, own in zip(QUESTIONS, found, strict=True):
            for option, values in zip(question.options, own, strict=True):
                slow = slowly(loaded, question, option, setting)
                assert values == pytest.approx(slow, abs=TINY * max(1, *map(abs, slow)))


def slowly(
    loaded: LoadedModel,
    question: Question,
    option: tuple[int, ...],
    setting: tuple[Intervention, ...],
) -> list[float]:
    """One hooked pass for one option."""
    assert oracle_families.family_of(loaded.model)
    length, end = len(question.prompt), len(question.prompt) + len(option)
    changes = [
        oracle_interventions.change_of(one, prompt=0, length=length, end=end) for one in setting
    ]
    return oracle_interventions.changed_log_probabilities(
        loaded.model, question.prompt, option, changes
    )


def test_random_neurons_are_as_many_and_changed_as_much() -> None:
    one = categories()
    real = rescaled(one, Strength(0.8, -0.4), language="deu_Latn", how=HOW)
    drawn = [
        rescaled(one, Strength(0.8, -0.4), language="deu_Latn", how=HOW, scheme="random", draw=k)
        for k in (0, 0, 1)
    ]
    for layer, ours in enumerate(real):
        for setting in drawn:
            assert setting[layer].vector.sort().values.equal(ours.vector.sort().values)
            assert not setting[layer].vector.equal(ours.vector)
        assert drawn[0][layer].vector.equal(drawn[1][layer].vector)
        assert not drawn[0][layer].vector.equal(drawn[2][layer].vector)
    # Layers whose neurons are alike have draws of their own.
    alike = replace(one, active=dict.fromkeys(one.active, one.active[1]))
    given = {"language": "deu_Latn", "how": HOW, "scheme": "random"}
    first, second = rescaled(alike, Strength(0.8, -0.4), **given)  # type: ignore[arg-type]
    assert not first.vector.equal(second.vector)


def test_uniform_scaling_changes_living_neurons_as_much_on_average() -> None:
    one = categories()
    given = Strength(-0.8, 0.4)
    real = rescaled(one, given, language="deu_Latn", how=HOW)
    even = rescaled(one, given, language="deu_Latn", how=HOW, scheme="uniform")
    for ours, other in zip(real, even, strict=True):
        alive_F = one.active[ours.layer].any(dim=0)
        assert not other.vector[~alive_F].any()
        (value,) = set(other.vector[alive_F].tolist())
        assert value < 0
        mean = float(ours.vector[alive_F].double().abs().mean())
        assert abs(value) == pytest.approx(mean, rel=of_sum(one.about.width))


def test_which_specific_neurons_are_weakened() -> None:
    one = categories()
    chosen = {}
    for scope in ("any", "only_current", "not_current"):
        how = Rescaling(spec_scope=scope)  # type: ignore[arg-type]
        setting = rescaled(one, Strength(0, -0.5), language="rus_Cyrl", how=how)
        chosen[scope] = {each.layer: each.vector != 0 for each in setting}
    place = one.about.languages.index("rus_Cyrl")
    for layer in one.about.bridge:
        every_F = masks(one.active[layer])["specific"]
        own_F = every_F & one.active[layer][place]
        assert own_F.any() and chosen["any"][layer].equal(every_F)
        assert chosen["only_current"][layer].equal(own_F)
        assert chosen["not_current"][layer].equal(every_F & ~own_F)
    # A language that no neuron is specific to is left as it is, with what is shared rescaled.
    how = Rescaling(spec_scope="only_current")
    assert rescaled(one, Strength(0, -0.5), language="tha_Thai", how=how) == ()
    for each in rescaled(one, Strength(0.5, -0.5), language="tha_Thai", how=how):
        shared_F = masks(one.active[each.layer])["partial_shared"]
        assert each.vector.equal(0.5 * shared_F)


def test_layers_without_such_neurons_are_refused() -> None:
    one = categories()
    nothing = {layer: torch.ones_like(active) for layer, active in one.active.items()}
    with pytest.raises(ValueError, match=r"no neuron of layers 1, 2 .* choose other layers with"):
        rescaled(replace(one, active=nothing), Strength(1, 0), language="deu_Latn", how=HOW)
    mixed = replace(one, mixed={(0, layer): active for layer, active in nothing.items()})
    with pytest.raises(ValueError, match="so there is nothing to rescale"):
        rescaled(mixed, Strength(1, 0), language="deu_Latn", how=HOW, scheme="mixed")


def test_strengths_of_neurons_that_are_not_there_change_nothing() -> None:
    one = categories()
    shared = {}
    for layer, active_KF in one.active.items():
        shared[layer] = torch.ones_like(active_KF)
        shared[layer][0] = False
    found = replace(one, active=shared)
    given = {"language": "deu_Latn", "how": HOW}
    assert rescaled(found, Strength(0, -0.5), **given) == ()  # type: ignore[arg-type]
    assert len(rescaled(found, Strength(0.5, -0.5), **given)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_anchor_beside_others_is_left_as_it_is_to_the_bit(family: str) -> None:
    loaded = tiny.loaded(family)
    setting = rescaled(categories(family), Strength(2.4, -0.9), language="deu_Latn", how=HOW)
    own = (1.0, 0.0, 1.0, 0.0)
    beside = tuple(replace(one, coefficient=own) for one in setting)
    plain, changed = sweep(loaded, QUESTIONS, [(), beside])
    for one, other, coefficient in zip(plain, changed, own, strict=True):
        assert (one == other) == (coefficient == 0)


def test_neurons_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="neurons were sorted in 'tiny/llama', with other weights"):
        categories().check(tiny.loaded("qwen2"))

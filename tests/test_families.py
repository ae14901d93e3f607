"""Families of other structures: mapped, proven, read, scored and changed as their slow twins say.

The thirteen families that every other test goes through are not repeated here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from actors.check import prove_interventions
from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.extraction.observe import Watcher, observe
from actors.intervention.setting import Intervention, Setting
from actors.intervention.sweep import sweep
from actors.model import LoadedModel, load
from actors.prediction.score import read_options
from actors.structure.find import find
from actors.structure.proof import claims, prove
from actors.structure.sites import NEURONS, SITES, SiteName
from studies.spec import Dtype
from tests import oracle, oracle_interventions, tiny
from tests.questions import QUESTIONS, ids

# Shapes: B rows, T tokens, D width of a site, V vocabulary

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
NO_GATE = ("apertus", "falcon", "falcon_new", "falcon_alibi", "mpt", "phi", "starcoder2", "xglm")
# Before the head and behind it.
SCALES = {
    "cohere": (1, 0.0625),
    "cohere2": (1, 0.25),
    "granite": (1, 1 / 13),
    "granitemoe": (1, 1 / 13),
    "minicpm3": (0.25, 1),
}
# What is computed again in other shapes: log-probabilities of a few tens, states of up to a few
# hundred, through at most four blocks.
EQUAL = {"rel": 1e-5, "abs": 2e-5}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.OTHERS)
def test_it_is_mapped_and_proven(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sites = loaded.sites
    lacks = NEURONS if family in tiny.EXPERTS else ("mlp_gate",) if family in NO_GATE else ()
    assert set(sites.missing) == set(lacks)
    assert (sites.state_scale, sites.logit_scale) == pytest.approx(SCALES.get(family, (1, 1)))
    assert sites.softcap is None
    assert sites.keeps_sign == (family != "apertus")
    found = claims(loaded.model, sites)
    assert {claim.site for claim in found} == set(SITES) - set(lacks)
    assert all(claim.holds for claim in found)
    prove_interventions(sites)


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_every_site_is_what_the_slow_twin_says(family: str) -> None:
    loaded = tiny.loaded(family)
    rows = [ids(6), ids(6, seed=1)]
    expected = [oracle.activations(loaded.model, row) for row in rows]
    seen: dict[tuple[SiteName, int], Tensor] = {}

    def note(site: SiteName, layer: int) -> Callable[[Tensor], None]:
        return lambda value: seen.__setitem__((site, layer), value.clone())

    there = [site for site in SITES if site not in loaded.sites.missing]
    watchers = [
        Watcher(site, layer, note(site, layer))
        for site in there
        for layer in loaded.sites.layers(site)
    ]
    with torch.inference_mode():
        observe(loaded.sites, {"input_ids": torch.tensor(rows)}, watchers)
    for (site, layer), value_BTD in seen.items():
        name = "final_norm" if site == "head" else site
        for row, own_TD in enumerate(value_BTD):
            expected_TD = expected[row][name, layer]
            # An update is told by the difference of two states, which are rounded as large ones.
            scale = max(1.0, float(expected[row]["resid_post", layer].abs().max()))
            scale = max(scale, float(expected_TD.abs().max()))
            torch.testing.assert_close(own_TD, expected_TD, rtol=0, atol=1e-5 * scale)
    logits_TV = loaded.sites.logits(seen["final_norm", loaded.facts.layers][0])
    own_TV = expected[0]["head", loaded.facts.layers]
    torch.testing.assert_close(logits_TV, own_TV, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_what_is_captured_and_scored_equals_the_slow_twin(family: str) -> None:
    """States pooled from padded batches, options of questions, and the lens at every layer."""
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    wanted: list[tuple[SiteName, str]] = [("resid_post", "raw"), ("attn_out", "raw")]
    if family not in tiny.EXPERTS:
        wanted += [("mlp_act", "raw"), ("mlp_hidden", "magnitude")]
    readings = [
        Reading(site=site, state=state, pooling="weighted", layer=layer)  # type: ignore[arg-type]
        for site, state in wanted
        for layer in (1, last)
    ]
    texts = [ids(29), ids(3), ids(1)]
    captured = capture(loaded, texts, readings)
    for row, text in enumerate(texts):
        slow = oracle.activations(loaded.model, text)
        for one in readings:
            expected_D = oracle.pool(
                slow[one.site, one.layer], state=one.state, pooling=one.pooling
            )
            scale = max(1.0, float(slow["resid_post", one.layer].abs().max()))
            found_D = captured.at(one)[row]
            torch.testing.assert_close(found_D, expected_D, rtol=1e-5, atol=1e-5 * scale)

    answers = read_options(loaded, QUESTIONS)
    latent = lens(loaded, QUESTIONS, layers=range(last + 1))
    for (prompt, options), answer, layers in zip(QUESTIONS, answers, latent, strict=True):
        for place, option in enumerate(options):
            bare = oracle.option_log_probabilities(loaded.model, prompt, option)
            assert answer[place] == pytest.approx(bare, **EQUAL)
            assert layers[last][place] == pytest.approx(bare, **EQUAL)
            slowly = partial(oracle.latent_log_probabilities, loaded.model, prompt, option)
            assert layers[1][place] == pytest.approx(slowly(layer=1), **EQUAL)


@pytest.mark.parametrize("family", sorted(SCALES))
@pytest.mark.parametrize("head", ["lm_head", "input_embedding"])
@pytest.mark.parametrize("norm", ["final_norm", "none"])
def test_the_lens_scales_as_the_model_does_whatever_it_reads_with(
    family: str, head: str, norm: str
) -> None:
    loaded = tiny.loaded(family)
    given = {"norm": norm, "head": head}
    found = lens(loaded, QUESTIONS[:2], layers=[1], **given)  # type: ignore[arg-type]
    for (prompt, options), layers in zip(QUESTIONS[:2], found, strict=True):
        for place, option in enumerate(options):
            expected = oracle.latent_log_probabilities(
                loaded.model, prompt, option, layer=1, **given
            )
            assert layers[1][place] == pytest.approx(expected, **EQUAL)


def settings_of(loaded: LoadedModel) -> list[Setting]:
    """Both routes of a sweep, at every kind of site that the family has."""

    def at(site: SiteName, layer: int, **given: object) -> Intervention:
        vector = noise(loaded.sites.width(site), seed=layer) / 2
        stated = {"operation": "add", "vector": vector, "where": "all"}
        return Intervention(site=site, layer=layer, **stated | given)  # type: ignore[arg-type]

    last = loaded.facts.layers
    settings: list[Setting] = [
        (),
        (at("resid_post", 1, where="last", coefficient=2.0),),
        (at("resid_post", 2, operation="replace"),),
        (at("embed", 0, where="last"),),
        (at("attn_out", 2, where="prompt"),),
        (at("attn_out", last, where="last", operation="scale"),),
        (at("mlp_out", 1, operation="replace", coefficient=0.5), at("resid_post", last)),
    ]
    if "mlp_hidden" in loaded.sites.ports:
        settings.append((at("mlp_hidden", 2, operation="scale", coefficient=-2.0),))
        mask = noise(loaded.sites.width("mlp_act"), seed=6) < 0.4
        settings.append((at("mlp_act", 1, operation="set", neurons=mask),))
    return settings


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_a_sweep_equals_hooks_one_by_one(family: str) -> None:
    loaded = tiny.loaded(family)
    settings = settings_of(loaded)
    swept = sweep(loaded, QUESTIONS, settings)
    for setting, found in zip(settings, swept, strict=True):
        for (prompt, options), answer in zip(QUESTIONS, found, strict=True):
            for option, logs in zip(options, answer, strict=True):
                changes = [
                    oracle_interventions.change_of(
                        one, prompt=0, length=len(prompt), end=len(prompt) + len(option)
                    )
                    for one in setting
                ]
                expected = oracle_interventions.changed_log_probabilities(
                    loaded.model, prompt, option, changes
                )
                what = [(one.site, one.layer, one.operation) for one in setting]
                assert logs == pytest.approx(expected, **EQUAL), what


@pytest.mark.parametrize("family", sorted(SCALES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scale_that_is_left_out_or_wrong_is_refused(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sites = loaded.sites
    for wrong in (
        {"state_scale": 1.0, "logit_scale": 1.0},
        {"logit_scale": sites.logit_scale * 1.001},  # far less than bfloat16 rounds logits by
        {"state_scale": sites.state_scale * 1.001},
        {"softcap": 1e4},
    ):
        with pytest.raises(ValueError, match="site 'head' is not what its name says"):
            prove(loaded.model, replace(sites, **wrong))  # type: ignore[arg-type]


def test_logits_that_are_changed_in_another_way_are_refused() -> None:
    loaded = load(tiny.make("llama", seed=21), device="cpu")
    head = loaded.model.lm_head
    plain = loaded.model.forward

    def shifted(*args: object, **kwargs: object) -> object:
        output = plain(*args, **kwargs)
        output.logits = output.logits + 0.25
        return output

    loaded.model.forward = shifted
    sites = find(loaded.model, layers=3)
    assert (sites.head, sites.logit_scale, sites.softcap) == (head, 1.0, None)
    with pytest.raises(ValueError, match=r"'head' .* what the head returns becomes logits times 1"):
        prove(loaded.model, sites)


@pytest.mark.parametrize("family", tiny.EXPERTS)
def test_a_mixture_of_experts_has_no_neurons_and_says_why(family: str) -> None:
    loaded = tiny.loaded(family)
    for site in NEURONS:
        with pytest.raises(ValueError, match=r"is a mixture of experts \(.*it has embed, resid_po"):
            loaded.sites.check(site, layer=1)
    reading = Reading(site="mlp_act", state="positive", pooling="weighted", layer=1)
    with pytest.raises(ValueError, match="mixture of experts"):
        capture(loaded, [ids(3)], [reading])


def test_the_two_updates_are_told_apart_without_neurons() -> None:
    """Of experts no neuron is silenced; what attention adds depends on other tokens."""
    loaded = tiny.loaded("mixtral")
    ports = loaded.sites.ports
    turned = {**ports, "attn_out": ports["mlp_out"], "mlp_out": ports["attn_out"]}
    with pytest.raises(ValueError, match=r"'mlp_out' .* depends on no other token"):
        prove(loaded.model, replace(loaded.sites, ports=turned))


def test_the_sign_of_an_activation_is_its_own_where_it_is_not_that_of_what_it_activates() -> None:
    loaded = tiny.loaded("apertus")
    text = ids(12)
    slow = oracle.activations(loaded.model, text)["mlp_act", 2]
    reading = Reading(site="mlp_act", state="positive", pooling="average", layer=2)
    found_D = capture(loaded, [text], [reading]).at(reading)[0]
    torch.testing.assert_close(found_D, (slow > 0).float().mean(dim=0))
    gate = slow.new_tensor([[-8.0]])
    assert loaded.sites.mlps[1].activation(gate) > 0
    assert loaded.sites.firing("mlp_act", layer=2) is None


def test_a_change_of_nothing_leaves_a_multiplied_update_to_the_bit() -> None:
    port = tiny.loaded("granite").sites.port("attn_out", layer=1)
    assert port.factor == 0.22
    value_BTD = noise(2, 5, 32)
    read_BTD = port.read(value_BTD, rows=2)
    assert torch.equal(port.write(value_BTD, read_BTD), value_BTD)
    read_BTD[0, 0] += 1
    torch.testing.assert_close(port.read(port.write(value_BTD, read_BTD), rows=2), read_BTD)

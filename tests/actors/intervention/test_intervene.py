"""Every operation at every site and position equals the slow twin, and none goes unnoticed."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from actors.intervention.intervene import Edit, Position, apply, armed, gather, places_of
from actors.intervention.setting import OPERATIONS, WHERES, Intervention, Setting, check
from actors.model import LoadedModel
from actors.passes.observe import Watcher, observe
from actors.structure.sites import SiteName, skip
from tests.makers import oracle, oracle_families, oracle_interventions, tiny
from tests.makers.questions import ids
from tests.makers.rounding import assert_near, of_model

# Shapes: B rows, T tokens, D width of a site, V vocabulary

SITES: tuple[SiteName, ...] = (
    "embed",
    "resid_post",
    "attn_out",
    "mlp_gate",
    "mlp_act",
    "mlp_hidden",
    "mlp_out",
)


class Text(NamedTuple):
    """A prompt and what follows it."""

    prompt: tuple[int, ...]
    rest: tuple[int, ...]


# Of one token and of more than the sliding windows of 24, side by side in one batch.
TEXTS = (Text(ids(27), ids(2)), Text(ids(1), ids(3)), Text(ids(6), ids(1)))
POSITIONS = (20, 0, 5)
COEFFICIENTS = (1.0, -0.7, 0.0)


def sites_of(loaded: LoadedModel) -> list[SiteName]:
    return [site for site in SITES if site not in loaded.sites.missing]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def every(loaded: LoadedModel) -> Iterator[Intervention]:
    """Every operation at every site and position; layers, vectors and coefficients take turns."""
    wheres = (*WHERES, POSITIONS)
    for turn, (site, operation, where) in enumerate(product(sites_of(loaded), OPERATIONS, wheres)):
        width, layers = loaded.sites.width(site), loaded.sites.layers(site)
        shape = (len(TEXTS), width) if turn % 3 == 0 else (width,)
        masked = operation == "set" or turn % 4 == 0
        yield Intervention(
            site=site,
            layer=layers[turn % len(layers)],
            operation=operation,
            vector=noise(*shape, seed=turn) / 2,
            coefficient=COEFFICIENTS if turn % 2 else 1.5 - turn % 3,
            where=where,
            neurons=noise(width, seed=turn + 1) < 0.3 if masked else None,
        )


def edits_of(setting: Setting, texts: Sequence[Text] = TEXTS) -> list[Edit]:
    """A setting on every text, one row each."""
    places: list[Position] = []
    for row, (prompt, rest) in enumerate(texts):
        length, end = len(prompt), len(prompt) + len(rest)
        places += places_of(setting, prompt=row, row=row, length=length, end=end)
    return gather(places, device=torch.device("cpu"))


def padded(texts: Sequence[Text] = TEXTS) -> Tensor:
    rows = [torch.tensor(prompt + rest) for prompt, rest in texts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def logits(loaded: LoadedModel, setting: Setting = (), texts: Sequence[Text] = TEXTS) -> Tensor:
    """Logits [B, T, V] of one padded batch under a setting."""
    with torch.inference_mode(), armed(loaded.sites, edits_of(setting, texts), rows=len(texts)):
        return loaded.model(input_ids=padded(texts), use_cache=False).logits


def expect_the_slow_twin(loaded: LoadedModel, setting: Setting) -> None:
    found_BTV = logits(loaded, setting).log_softmax(dim=-1)
    for row, (prompt, rest) in enumerate(TEXTS):
        text, length = prompt + rest, len(prompt)
        changes = [
            oracle_interventions.change_of(one, prompt=row, length=length, end=len(text))
            for one in setting
        ]
        expected_TV = oracle_interventions.changed_logs(loaded.model, text, changes)
        found_TV = found_BTV[row, : len(text)]
        what = [(one.site, one.layer, one.operation, one.where) for one in setting]
        error = (found_TV - expected_TV).abs() / (1 + expected_TV.abs())
        assert error.max() <= of_model(loaded), what
        assert found_TV[-1].argmax() == expected_TV[-1].argmax(), what


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_operation_at_every_site_equals_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    for one in every(loaded):
        check(loaded.sites, one, lengths=[len(prompt) for prompt, _ in TEXTS])
        expect_the_slow_twin(loaded, (one,))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_slow_twin_changes_what_each_site_means(family: str) -> None:
    """The tensors that its hooks are given are those that define the sites."""
    loaded = tiny.loaded(family)
    text = ids(8)
    defined = oracle.activations(loaded.model, text)
    for site in sites_of(loaded):
        for layer in loaded.sites.layers(site):
            seen: list[Tensor] = []

            def look(token_D: Tensor, seen: list[Tensor] = seen) -> Tensor:
                seen.append(token_D)
                return token_D

            change = oracle_interventions.Change(site, layer, range(len(text)), look)
            oracle_interventions.changed_logs(loaded.model, text, [change])
            assert_near(torch.stack(seen), defined[site, layer], relative=of_model(loaded))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_interventions_that_act_together_do_so_in_their_order(family: str) -> None:
    loaded = tiny.loaded(family)
    width, neurons = loaded.facts.width, loaded.facts.neurons
    add = Intervention(
        site="resid_post", layer=1, operation="add", vector=noise(width), where="prompt"
    )
    scale = replace(add, operation="scale", vector=noise(width, seed=1), where="all")
    other = replace(scale, layer=2, vector=scale.vector, coefficient=COEFFICIENTS)
    act = Intervention(
        site="mlp_act", layer=2, operation="scale", vector=noise(neurons), where="last"
    )
    hidden = replace(act, site="mlp_hidden", operation="add", where=POSITIONS)
    for setting in (
        (add, scale),
        (scale, add),
        (add, add),
        (other, hidden, add, act, scale),
        (act, hidden, other, other),
    ):
        expect_the_slow_twin(loaded, setting)
    assert not torch.allclose(logits(loaded, (add, scale)), logits(loaded, (scale, add)))


def test_two_names_of_one_tensor_keep_the_order_of_a_setting() -> None:
    loaded = tiny.loaded("llama")
    width = loaded.facts.width
    first = Intervention(site="embed", layer=0, operation="add", vector=noise(width))
    second = replace(first, site="resid_post", operation="scale", vector=noise(width, seed=1))
    third = replace(first, vector=noise(width, seed=2))
    expect_the_slow_twin(loaded, (first, second, third))
    expect_the_slow_twin(loaded, (second, first, replace(second, vector=noise(width, seed=3))))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_coefficient_zero_is_bit_identical_to_the_plain_run(family: str) -> None:
    for dtype in ("float32", "bfloat16"):
        loaded = tiny.loaded(family, dtype="bfloat16" if dtype == "bfloat16" else "float32")
        plain_BTV = logits(loaded)
        for one in every(loaded):
            if one.where == "all":
                idle = replace(one, coefficient=0.0)
                assert idle.idle and not one.idle
                assert torch.equal(logits(loaded, (idle,)), plain_BTV), (dtype, one.site)
        assert replace(one, coefficient=(0.0, 0.0, 0.0)).idle


def inside(loaded: LoadedModel, setting: Setting, text: Text, *, path: str) -> Tensor:
    """What a module returns [T, D] under a setting."""
    seen: list[Tensor] = []
    module = loaded.model.get_submodule(path)
    with torch.inference_mode(), armed(loaded.sites, edits_of(setting, [text]), rows=1):
        handle = module.register_forward_hook(lambda _module, _args, out: seen.append(out[0]))
        loaded.model(input_ids=padded([text]), use_cache=False)
        handle.remove()
    return seen[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_set_makes_neurons_constant_and_leaves_the_others(dtype: str) -> None:
    loaded = tiny.loaded("qwen3", dtype="bfloat16" if dtype == "bfloat16" else "float32")
    mask, vector = noise(loaded.facts.neurons) < 0, noise(loaded.facts.neurons, seed=1)
    one = Intervention(site="mlp_act", layer=2, operation="set", vector=vector, neurons=mask)
    for layer, changed in ((1, False), (2, True)):
        path = f"model.layers.{layer - 1}.mlp.act_fn"
        plain_TF = inside(loaded, (), TEXTS[0], path=path)
        found_TF = inside(loaded, (one,), TEXTS[0], path=path)
        assert torch.equal(found_TF[:, ~mask], plain_TF[:, ~mask])
        if changed:
            expected_TF = vector[mask].to(plain_TF.dtype).expand(len(found_TF), -1)
            assert torch.equal(found_TF[:, mask], expected_TF)
            assert not found_TF[:, mask].float().var(dim=0).any()
        else:
            assert torch.equal(found_TF, plain_TF)


def test_bfloat16_is_changed_in_float32_and_rounded_once() -> None:
    loaded = tiny.loaded("llama", dtype="bfloat16")
    path = "model.layers.0"
    plain_TD = inside(loaded, (), TEXTS[0], path=path)
    vector = noise(loaded.facts.width)
    one = Intervention(site="resid_post", layer=1, operation="add", vector=vector, coefficient=0.37)
    found_TD = inside(loaded, (one,), TEXTS[0], path=path)
    expected_TD = (plain_TD.float() + torch.tensor(0.37) * vector).to(torch.bfloat16)
    assert torch.equal(found_TD, expected_TD)
    whole = replace(one, operation="replace", coefficient=1.0)
    found_TD = inside(loaded, (whole,), TEXTS[0], path=path)
    assert torch.equal(found_TD, vector.to(torch.bfloat16).expand_as(found_TD))


def test_what_is_changed_is_a_copy() -> None:
    value_BTD = noise(3, 29, 32)
    before_BTD = value_BTD.clone()
    one = Intervention(site="resid_post", layer=1, operation="scale", vector=noise(32))
    assert not torch.allclose(apply(value_BTD, edits_of((one,))), before_BTD)
    assert torch.equal(value_BTD, before_BTD)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_steering_leaves_what_comes_before_it(family: str) -> None:
    """Earlier layers, and tokens before a steered last one, are bit-identical at every layer."""
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    text = Text(ids(12), ())
    plain = oracle.activations(loaded.model, text.prompt)
    for layer in range(last + 1):
        one = Intervention(
            site="resid_post", layer=layer, operation="add", vector=noise(loaded.facts.width)
        )
        for where in WHERES:
            if where == "generated":
                continue
            edits = edits_of((replace(one, where=where),), [text])
            with armed(loaded.sites, edits, rows=1):
                found = oracle.activations(loaded.model, text.prompt)
            for other in range(1, last + 1):  # at layer 0 both names read a tensor that is kept
                own_TD, plain_TD = found["resid_post", other], plain["resid_post", other]
                if other < layer:
                    assert torch.equal(own_TD, plain_TD)
                else:
                    assert not torch.allclose(own_TD[-1], plain_TD[-1], atol=1e-3)
                if where == "last":
                    assert torch.equal(own_TD[:-1], plain_TD[:-1])


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_blended_and_folded_neuron_steering_equal_one_scale(family: str) -> None:
    """CLAS as its authors state it, as one vector, and in the columns of the down projection."""
    loaded = tiny.loaded(family)
    alpha, beta, gamma = -2.6, 0.4, 0.2
    draw = torch.rand(loaded.facts.neurons, generator=torch.Generator().manual_seed(0))
    shared, specific = draw < 0.3, draw > 0.8
    vector = beta * shared - gamma * specific
    layers = range(2, loaded.facts.layers + 1)
    setting = tuple(
        Intervention(
            site="mlp_hidden", layer=layer, operation="scale", vector=vector, coefficient=alpha
        )
        for layer in layers
    )
    found_BTV = logits(loaded, setting).log_softmax(dim=-1)

    def blend(h: Tensor) -> Tensor:
        amplified = h * (1 + beta * shared)
        weakened = amplified * (1 - gamma * specific)
        return (1 - alpha) * h + alpha * weakened

    folded = copy.deepcopy(loaded.model)
    family_of = oracle_families.family_of(loaded.model)
    for layer in layers:
        block = folded.get_submodule(family_of.blocks)[layer - 1]
        down = block.get_submodule(family_of.down)
        factor = 1 + alpha * vector
        with torch.no_grad():
            down.weight.mul_(factor[:, None] if family == "gpt2" else factor)
    for row, (prompt, rest) in enumerate(TEXTS):
        text = prompt + rest
        changes = [
            oracle_interventions.Change("mlp_hidden", layer, range(len(text)), blend)
            for layer in layers
        ]
        for expected_TV in (
            oracle_interventions.changed_logs(loaded.model, text, changes),
            oracle_interventions.changed_logs(folded, text, []),
        ):
            found_TV = found_BTV[row, : len(text)]
            assert_near(found_TV, expected_TV, relative=of_model(loaded))


def test_the_first_pass_and_later_ones_may_differ() -> None:
    loaded = tiny.loaded("gpt2")
    text = [Text(ids(5), ())]
    now, then = (
        edits_of(
            (Intervention(site="mlp_out", layer=1, operation="add", vector=noise(32, seed=seed)),),
            text,
        )
        for seed in (1, 2)
    )
    ids_BT = padded(text)
    with torch.inference_mode():
        with armed(loaded.sites, now, rows=1):
            first = loaded.model(input_ids=ids_BT).logits
        with armed(loaded.sites, then, rows=1):
            second = loaded.model(input_ids=ids_BT).logits
        with armed(loaded.sites, now, rows=1, later=then):
            found = [loaded.model(input_ids=ids_BT).logits for _ in range(3)]
    for own, expected in zip(found, (first, second, second), strict=True):
        assert torch.equal(own, expected)


def test_an_intervention_that_is_not_passed_is_an_error_that_names_it() -> None:
    loaded = tiny.loaded("llama")
    before, plain_BTV = tiny.hooks(loaded), logits(loaded)

    def edits(layer: int) -> list[Edit]:
        vector = noise(loaded.facts.neurons)
        one = Intervention(site="mlp_act", layer=layer, operation="add", vector=vector)
        return edits_of((one,))

    def expect(layer: int, fired: int, passes: int, run: Callable[[], object]) -> None:
        told = f"at site 'mlp_act' of layer {layer} fired {fired} times in {passes} forward passes"
        with (
            pytest.raises(RuntimeError, match=f"{told}: expected once in each, so the result"),
            armed(loaded.sites, edits(layer), rows=3),
        ):
            run()

    def whole() -> None:
        loaded.model(input_ids=padded(), use_cache=False)

    def stop_early() -> None:
        watcher = Watcher("resid_post", 1, lambda _value: None)
        observe(loaded.sites, {"input_ids": padded()}, [watcher])

    with skip(loaded.sites, blocks=2):
        expect(2, 0, 1, whole)
    expect(3, 0, 1, stop_early)
    expect(1, 0, 0, lambda: None)
    mlp = loaded.model.model.layers[0].mlp
    again = mlp.register_forward_hook(lambda module, args, _output: module.forward(*args))
    expect(1, 2, 1, whole)
    again.remove()
    with pytest.raises(ZeroDivisionError), armed(loaded.sites, edits(2), rows=3):
        raise ZeroDivisionError
    assert tiny.hooks(loaded) == before
    assert torch.equal(logits(loaded), plain_BTV)

"""Sites are found in every family, proven by arithmetic, and a wrong map is refused by name."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from actors.model import LoadedModel, load
from actors.structure.find import find
from actors.structure.proof import claims, prove
from actors.structure.sites import (
    SITES,
    Port,
    edit,
    first_tensor,
    skip,
    watch,
    watch_input,
    watch_output,
)
from studies.spec import Dtype
from tests.makers import tiny

pytestmark = pytest.mark.numeric
# Shapes: B rows, T tokens, D width of a site, V vocabulary

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
IDS_BT = torch.tensor([[0, 5, 9, 300, 7], [0, 8, 8, 12, 40], [3, 1, 4, 1, 5]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_is_mapped_and_proven(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sites, last = loaded.sites, loaded.facts.layers
    assert len(sites.blocks) == len(sites.mlps) == last
    assert loaded.attention == ("eager" if family in ("gemma2", "bloom") else "sdpa")
    assert set(sites.missing) == (set() if family in tiny.GATED else {"mlp_gate"})
    assert (sites.softcap is not None) == (family == "gemma2")
    expected = {"embed": range(1), "resid_post": range(last + 1)}
    expected |= dict.fromkeys(("final_norm", "head"), range(last, last + 1))
    for site in SITES:
        if site not in sites.missing:
            assert sites.layers(site) == expected.get(site, range(1, last + 1)), site
    found = claims(loaded.model, sites)
    assert {claim.site for claim in found} == set(SITES) - set(sites.missing)
    assert all(claim.holds for claim in found)
    # In float32 nearly all that is allowed is left for larger models.
    assert dtype == "bfloat16" or all(claim.error <= claim.allowed / 4 for claim in found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_that_adds_little_or_nothing_is_still_read(dtype: Dtype) -> None:
    """In bfloat16 its update drowns in the rounding of the stream; the other blocks decide."""
    for factor in (2**-8, 0):
        loaded = load(replace(tiny.make("llama", seed=8), dtype=dtype), device="cpu")
        block = loaded.model.model.layers[2]
        with torch.no_grad():
            block.self_attn.o_proj.weight.mul_(factor)
            block.mlp.down_proj.weight.mul_(factor)
        sites = find(loaded.model, layers=3)
        assert sites.missing == {}
        assert sites.port("attn_out", layer=1).module is loaded.model.model.layers[0].self_attn
        prove(loaded.model, sites)


def test_the_number_of_blocks_must_be_the_stated_one() -> None:
    with pytest.raises(ValueError, match="no list of 7 blocks"):
        find(tiny.loaded("llama").model, layers=7)


def test_a_site_that_does_not_exist_says_so() -> None:
    sites = tiny.loaded("llama").sites
    with pytest.raises(ValueError, match=r"'mlp_act' does not exist at layer 0.* layers 1 to 3"):
        sites.check("mlp_act", layer=0)
    with pytest.raises(ValueError, match="layers 0 to 3"):
        sites.port("resid_post", layer=4)
    with pytest.raises(ValueError, match="layers 3 to 3"):
        sites.check("head", layer=1)
    with pytest.raises(ValueError, match="unknown site 'mlp': expected one of embed, resid_post"):
        sites.layers("mlp")


@pytest.mark.parametrize("family", tiny.UNGATED)
def test_a_family_without_gates_says_that_it_has_none(family: str) -> None:
    sites = tiny.loaded(family).sites
    with pytest.raises(
        ValueError, match=r"'mlp_gate' does not exist in this model: its MLP has no gate, only"
    ):
        sites.check("mlp_gate", layer=1)


def test_blocks_without_a_single_mlp_lack_its_sites_and_keep_the_others() -> None:
    loaded = load(tiny.make("llama", seed=9), device="cpu")
    for block in loaded.model.model.layers:
        block.mlp.act_fn, block.mlp.act = None, block.mlp.act_fn
        block.mlp.forward = lambda x, mlp=block.mlp: mlp.down_proj(
            mlp.act(mlp.gate_proj(x)) * mlp.up_proj(x)
        )
        del block.mlp._modules["act_fn"]
    sites = find(loaded.model, layers=3)
    prove(loaded.model, sites)
    assert set(sites.missing) == {"mlp_gate", "mlp_act", "mlp_hidden"}
    with pytest.raises(ValueError, match=r"block 1 holds 0 MLPs, not 1 .*; it has embed, resid"):
        sites.check("mlp_act", layer=1)
    assert sites.port("mlp_out", layer=2).module is loaded.model.model.layers[1].mlp


def seen_at(loaded: LoadedModel, port: Port) -> Tensor:
    """What passes at a port [B, T, D] when the model reads `IDS_BT`."""
    seen: list[Tensor] = []
    with torch.no_grad(), watch(port, seen.append, rows=len(IDS_BT)):
        loaded.model(input_ids=IDS_BT, use_cache=False)
    assert len(seen) == 1
    return seen[0].clone()


def logits(loaded: LoadedModel) -> Tensor:
    with torch.no_grad():
        return loaded.model(input_ids=IDS_BT, use_cache=False).logits


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_attention_and_mlp_add_up_to_the_next_state(family: str) -> None:
    loaded = tiny.loaded(family)
    sites = loaded.sites
    state = seen_at(loaded, sites.port("embed", layer=0))
    for layer in range(1, loaded.facts.layers + 1):
        for site in ("attn_out", "mlp_out"):
            state = state + seen_at(loaded, sites.port(site, layer=layer))
        found = seen_at(loaded, sites.port("resid_post", layer=layer))
        torch.testing.assert_close(state, found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_port_can_be_watched_edited_and_is_left_as_it_was(family: str) -> None:
    loaded = tiny.loaded(family)
    before, plain_BTV = tiny.hooks(loaded), logits(loaded)
    width = {"mlp_gate": loaded.facts.neurons, "mlp_act": loaded.facts.neurons}
    width["mlp_hidden"] = loaded.facts.neurons
    for site, ports in loaded.sites.ports.items():
        for port in ports:
            own_BTD = seen_at(loaded, port)
            assert own_BTD.shape == (*IDS_BT.shape, width.get(site, loaded.facts.width)), site
            shift_BTD = torch.linspace(1, 2, own_BTD.numel()).view_as(own_BTD)
            with edit(port, lambda value: value, rows=len(IDS_BT)):
                assert torch.equal(logits(loaded), plain_BTV), site
            with edit(port, lambda value, by=shift_BTD: value + by, rows=len(IDS_BT)):
                torch.testing.assert_close(seen_at(loaded, port), own_BTD + shift_BTD)
                assert not torch.allclose(logits(loaded), plain_BTV, atol=1e-3), site
            assert torch.equal(logits(loaded), plain_BTV), site
    assert tiny.hooks(loaded) == before


@pytest.mark.parametrize("family", tiny.GATED)
def test_editing_a_gate_leaves_what_it_is_multiplied_with(family: str) -> None:
    loaded = tiny.loaded(family)
    mlp = loaded.sites.mlps[0]
    gate_BTF, up_BTF = seen_at(loaded, mlp.gate), seen_at(loaded, mlp.up)
    with edit(mlp.gate, lambda value: 2 * value, rows=len(IDS_BT)):
        found = seen_at(loaded, loaded.sites.port("mlp_hidden", layer=1))
    torch.testing.assert_close(found, mlp.activation(2 * gate_BTF) * up_BTF)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_skipped_blocks_give_back_what_they_are_given(family: str) -> None:
    loaded = tiny.loaded(family)
    sites, last, plain_BTV = loaded.sites, loaded.facts.layers, logits(loaded)
    entering_BTD = seen_at(loaded, sites.port("embed", layer=0))
    with skip(sites, blocks=last - 1):
        assert torch.equal(
            seen_at(loaded, Port(module=sites.blocks[-1], side="input")), entering_BTD
        )
    with skip(sites, blocks=last), torch.no_grad():
        expected_BTV = sites.logits(sites.final_norm(entering_BTD))
        torch.testing.assert_close(logits(loaded), expected_BTV, rtol=1e-5, atol=1e-5)
    with pytest.raises(ZeroDivisionError), skip(sites, blocks=last):
        raise ZeroDivisionError
    assert not any("forward" in vars(block) for block in sites.blocks)
    assert torch.equal(logits(loaded), plain_BTV)


def test_skipping_gives_a_block_its_own_forward_back() -> None:
    loaded = load(tiny.make("llama", seed=10), device="cpu")
    block = loaded.sites.blocks[0]
    own = block.forward
    block.forward = own
    with skip(loaded.sites, blocks=2):
        assert block.forward is not own
    assert vars(block)["forward"] is own


def test_blocks_may_return_a_tensor_or_a_tuple() -> None:
    state = torch.ones(2, 3, 4)
    assert first_tensor(state) is state
    assert first_tensor((state, None)) is state
    assert [family for family in tiny.FAMILIES if tiny.loaded(family).sites.tuples] == ["bloom"]


def test_watching_and_editing_end_with_their_context_even_after_an_error() -> None:
    module = nn.Linear(2, 2)
    seen: list[Tensor] = []

    def fail(_value: Tensor) -> Tensor:
        raise ZeroDivisionError

    for side in ("input", "output"):
        port = Port(module=module, side=side)
        for broken in (edit(port, fail, rows=1), watch(port, fail, rows=1)):
            with pytest.raises(ZeroDivisionError), watch_input(module, seen.append), broken:
                module(torch.ones(1, 1, 2))
    with pytest.raises(ZeroDivisionError), watch_output(module, fail):
        module(torch.ones(1, 1, 2))
    assert len(seen) == 4
    module(torch.ones(1, 1, 2))
    assert len(seen) == 4
    assert not module._forward_hooks and not module._forward_pre_hooks


def test_a_folder_that_is_no_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    facts = tiny.make("llama")
    with pytest.raises(ValueError, match=r"no config\.json"):
        load(replace(facts, folder=str(tmp_path)))
    with pytest.raises(ValueError, match="unknown device"):
        load(facts, device="graphics")


def test_a_folder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    facts = tiny.make("llama")
    folder = shutil.copytree(facts.folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 tensor \(.*layers\.1\.mlp\.up_proj.* is missing"):
        load(replace(facts, folder=str(folder)))
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"not a safetensors file|cannot be loaded from folder"):
        load(replace(facts, folder=str(folder)))

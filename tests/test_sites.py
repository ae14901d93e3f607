"""Sites are found in every family, proven by arithmetic, and a wrong map is refused by name."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, BloomConfig

from actors.model import load
from actors.proof import prove
from actors.sites import find, first_tensor, watch_input, watch_output
from tests import tiny


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_is_mapped_and_proven(family: str) -> None:
    loaded = tiny.loaded(family)
    assert len(loaded.sites.blocks) == len(loaded.sites.mlps) == loaded.facts.layers
    assert loaded.attention == ("eager" if family == "gemma2" else "sdpa")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_wrong_map_is_refused_by_the_name_of_its_site(family: str) -> None:
    loaded = tiny.loaded(family)
    sites = loaded.sites
    first, second, *rest = sites.mlps
    wrong = {
        "final_norm": replace(sites, final_norm=nn.Identity()),
        "resid_post": replace(sites, blocks=tuple(reversed(sites.blocks))),
        "mlp_hidden": replace(sites, mlps=(replace(first, up=second.up), second, *rest)),
        "mlp_act": replace(sites, mlps=(replace(first, activation=nn.Sigmoid()), second, *rest)),
    }
    for site, broken in wrong.items():
        with pytest.raises(ValueError, match=f"site '{site}'"):
            prove(loaded.model, broken)


def test_forgetting_the_softcap_is_noticed() -> None:
    loaded = tiny.loaded("gemma2")
    with pytest.raises(ValueError, match="final_norm"):
        prove(loaded.model, replace(loaded.sites, softcap=None))


def test_a_module_that_takes_no_part_is_noticed() -> None:
    loaded = tiny.loaded("llama")
    unused = nn.Embedding(320, 32)
    with pytest.raises(ValueError, match="'resid_post' cannot be read: its module 'embedding'"):
        prove(loaded.model, replace(loaded.sites, embedding=unused))


@pytest.mark.parametrize(
    ("layer", "claim"), [(1, "embeddings enter block 1"), (2, "what leaves block 1 is what enters")]
)
def test_a_stream_that_changes_between_blocks_is_noticed(layer: int, claim: str) -> None:
    loaded = load(tiny.make("llama", seed=6), device="cpu")
    shift_D = torch.randn(32)
    loaded.sites.blocks[layer - 1].register_forward_pre_hook(
        lambda _module, args: (args[0] + shift_D, *args[1:])
    )
    with pytest.raises(ValueError, match=f"'resid_post' .* {claim}"):
        prove(loaded.model, loaded.sites)


def test_neurons_that_are_scaled_on_their_way_down_are_noticed() -> None:
    loaded = load(tiny.make("llama", seed=6), device="cpu")
    down = loaded.sites.mlps[1].down
    down.register_forward_pre_hook(lambda _module, args: (2 * args[0],))
    down.register_forward_hook(lambda _module, _args, output: output / 2)
    with pytest.raises(
        ValueError, match=r"act\(gate\) \* up enters the down projection of block 2"
    ):
        prove(loaded.model, loaded.sites)


def test_a_model_that_is_not_causal_is_refused() -> None:
    loaded = load(tiny.make("llama", seed=5), device="cpu")
    for block in loaded.model.model.layers:
        block.self_attn.is_causal = False
    with pytest.raises(ValueError, match="causal"):
        prove(loaded.model, loaded.sites)


def test_the_number_of_blocks_must_be_the_stated_one() -> None:
    with pytest.raises(ValueError, match="no list of 7 blocks"):
        find(tiny.loaded("llama").model, layers=7)


def test_a_site_that_does_not_exist_says_so() -> None:
    sites = tiny.loaded("llama").sites
    with pytest.raises(ValueError, match="'mlp_act' does not exist at layer 0"):
        sites.check("mlp_act", layer=0)
    with pytest.raises(ValueError, match="layers 0 to 3"):
        sites.check("resid_post", layer=4)
    bloom = AutoModelForCausalLM.from_config(
        BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=64)
    )
    with pytest.raises(ValueError, match="does not exist in this model: block 1 holds 0"):
        find(bloom, layers=2).check("mlp_act", layer=1)


def test_blocks_may_return_a_tensor_or_a_tuple() -> None:
    state = torch.ones(2, 3, 4)
    assert first_tensor(state) is state
    assert first_tensor((state, None)) is state


def test_watching_ends_with_its_context_even_after_an_error() -> None:
    module = nn.Linear(2, 2)
    seen: list[torch.Tensor] = []

    def fail(_value: torch.Tensor) -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        watch_input(module, seen.append),
        watch_output(module, fail),
    ):
        module(torch.ones(1, 2))
    module(torch.ones(1, 2))
    assert len(seen) == 1


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
    with pytest.raises(ValueError, match=r"1 weights are missing.*layers\.1\.mlp\.up_proj"):
        load(replace(facts, folder=str(folder)))
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="cannot be loaded from folder"):
        load(replace(facts, folder=str(folder)))

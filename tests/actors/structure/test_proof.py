"""A wrong map of sites is refused by the name of the site, in every family and dtype."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from actors.model import LoadedModel, load
from actors.structure.proof import prove
from actors.structure.sites import (
    MLP,
    Port,
    SiteName,
    Sites,
)
from studies.spec import Dtype
from tests.makers import tiny

# Shapes: B rows, T tokens, D width of a site, V vocabulary

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
IDS_BT = torch.tensor([[0, 5, 9, 300, 7], [0, 8, 8, 12, 40], [3, 1, 4, 1, 5]])


def with_port(sites: Sites, site: SiteName, *, layer: int, port: Port) -> Sites:
    """The map with one port put elsewhere."""
    ports = list(sites.ports[site])
    ports[layer - sites.layers(site)[0]] = port
    return replace(sites, ports={**sites.ports, site: tuple(ports)})


def swapped(sites: Sites, left: SiteName, right: SiteName) -> Sites:
    ports = {**sites.ports, left: sites.ports[right], right: sites.ports[left]}
    return replace(sites, ports=ports)


def wrong_maps(loaded: LoadedModel) -> Iterator[tuple[str, str, Sites]]:
    """What is wrong, the site that must be named, and the map."""
    sites, last = loaded.sites, loaded.facts.layers
    first, second, *rest = sites.mlps
    block_1, block_2 = sites.blocks[:2]
    for site, ports in sites.ports.items():
        if len(ports) > 1:
            broken = replace(sites, ports={**sites.ports, site: tuple(reversed(ports))})
            yield "layers reversed", site, broken
    for site in ("embed", "resid_post"):
        port = Port(module=block_2, side="input")
        yield "the next layer", site, with_port(sites, site, layer=0, port=port)
    yield "another block", "resid_post", replace(sites, blocks=tuple(reversed(sites.blocks)))
    yield "MLP for attention", "attn_out", swapped(sites, "attn_out", "mlp_out")
    for site in ("attn_out", "mlp_out"):
        port = Port(module=block_1, side="output")
        yield "all of the block", "attn_out", with_port(sites, site, layer=1, port=port)
    norm = next(module for module in block_1.modules() if "norm" in type(module).__name__.lower())
    yield "another norm", "final_norm", replace(sites, final_norm=norm)
    yield "no norm", "final_norm", replace(sites, final_norm=nn.Identity())
    port = Port(module=sites.final_norm, side="input")
    yield "before", "final_norm", with_port(sites, "final_norm", layer=last, port=port)
    width, vocabulary = loaded.facts.width, sites.embedding.weight.shape[0]
    other = nn.Linear(width, vocabulary, dtype=sites.embedding.weight.dtype)
    yield "another head", "head", replace(sites, head=other)
    yield "a cap", "head", replace(sites, softcap=1.5)
    unused = nn.Embedding(vocabulary, width)
    yield "unused", "embed", replace(sites, embedding=unused)

    yield "before", "mlp_act", with_port(sites, "mlp_act", layer=1, port=first.gate)
    sigmoid = replace(first, activation=nn.Sigmoid())
    yield "another activation", "mlp_act", replace(sites, mlps=(sigmoid, second, *rest))
    after = Port(module=first.down, side="output")
    yield "after", "mlp_hidden", with_port(sites, "mlp_hidden", layer=1, port=after)
    down = replace(first, down=second.down)
    yield "down of another", "mlp_hidden", replace(sites, mlps=(down, second, *rest))
    neurons = [site for site in ("mlp_gate", "mlp_act", "mlp_hidden") if site in sites.ports]
    ports = {site: tuple(reversed(sites.ports[site])) for site in neurons}
    shifted = replace(sites, mlps=tuple(reversed(sites.mlps)), ports={**sites.ports, **ports})
    yield "all MLPs of other blocks", neurons[0], shifted
    if first.up is not None:
        hidden = sites.ports["mlp_act"][0]
        yield "act for hidden", "mlp_hidden", with_port(sites, "mlp_hidden", layer=1, port=hidden)
        yield "up for gate", "mlp_gate", with_port(sites, "mlp_gate", layer=1, port=first.up)
        turned = MLP(gate=first.up, up=first.gate, activation=first.activation, down=first.down)
        yield "up and gate turned", "mlp_act", replace(sites, mlps=(turned, second, *rest))
        other = replace(first, up=second.up)
        yield "up of another", "mlp_hidden", replace(sites, mlps=(other, second, *rest))
        without = replace(first, up=None)
        yield "up forgotten", "mlp_hidden", replace(sites, mlps=(without, second, *rest))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_wrong_map_is_refused_by_the_name_of_its_site(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    before = tiny.hooks(loaded)
    for what, site, broken in wrong_maps(loaded):
        try:
            prove(loaded.model, broken)
            named = "nothing"
        except ValueError as error:
            named = str(error).split("'")[1]
        assert (what, named) == (what, site)
    assert tiny.hooks(loaded) == before


def test_the_update_before_its_norm_is_not_what_is_added() -> None:
    for family in ("gemma2", "gemma3", "olmo2", "glm4"):
        loaded = tiny.loaded(family)
        for site, name in (("attn_out", "self_attn"), ("mlp_out", "mlp")):
            port = Port(module=getattr(loaded.sites.blocks[0], name), side="output")
            with pytest.raises(ValueError, match=r"'attn_out' .* add up to what block 1 adds"):
                prove(loaded.model, with_port(loaded.sites, site, layer=1, port=port))


def test_bloom_adds_the_stream_by_itself_and_that_is_not_its_update() -> None:
    loaded = tiny.loaded("bloom")
    port = Port(module=loaded.sites.blocks[0].self_attention, side="output")
    with pytest.raises(ValueError, match="'attn_out'"):
        prove(loaded.model, with_port(loaded.sites, "attn_out", layer=1, port=port))


def test_a_fused_half_is_not_the_other_half() -> None:
    for family in ("glm4", "phi3"):
        loaded = tiny.loaded(family)
        gate = loaded.sites.mlps[0].gate
        assert gate.part == slice(0, loaded.facts.neurons)
        moved = replace(gate, part=slice(1, loaded.facts.neurons + 1))
        with pytest.raises(ValueError, match="'mlp_gate'"):
            prove(loaded.model, with_port(loaded.sites, "mlp_gate", layer=1, port=moved))


def test_forgetting_the_softcap_is_noticed() -> None:
    loaded = tiny.loaded("gemma2")
    with pytest.raises(ValueError, match="'head'"):
        prove(loaded.model, replace(loaded.sites, softcap=None))


def test_positions_are_not_the_embedding() -> None:
    loaded = tiny.loaded("gpt2")
    with pytest.raises(ValueError, match=r"'embed' .* looks up token ids"):
        prove(loaded.model, replace(loaded.sites, embedding=loaded.model.transformer.wpe))


def test_a_module_that_takes_no_part_is_noticed() -> None:
    loaded = tiny.loaded("llama")
    unused = nn.Embedding(320, 32)
    with pytest.raises(ValueError, match="'embed' cannot be read at layer 0: its module"):
        prove(loaded.model, replace(loaded.sites, embedding=unused))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("layer", "claim"),
    [
        (1, "'embed' .* embeddings enter block 1"),
        (2, "'resid_post' .* what leaves block 1 is what enters"),
    ],
)
def test_a_stream_that_changes_between_blocks_is_noticed(
    layer: int, claim: str, dtype: Dtype
) -> None:
    loaded = load(replace(tiny.make("llama", seed=6), dtype=dtype), device="cpu")
    shift_D = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    shift_D = shift_D.to(loaded.model.dtype)
    loaded.sites.blocks[layer - 1].register_forward_pre_hook(
        lambda _module, args: (args[0] + shift_D, *args[1:])
    )
    with pytest.raises(ValueError, match=claim):
        prove(loaded.model, loaded.sites)


def test_what_enters_block_1_may_mix_no_tokens() -> None:
    loaded = load(tiny.make("gpt2", seed=6), device="cpu")
    loaded.sites.blocks[0].register_forward_pre_hook(
        lambda _module, args: (args[0].cumsum(dim=1), *args[1:])
    )
    with pytest.raises(ValueError, match=r"'embed' .* depends on no other"):
        prove(loaded.model, loaded.sites)


def test_neurons_that_are_scaled_on_their_way_down_are_noticed() -> None:
    loaded = load(tiny.make("llama", seed=7), device="cpu")
    down = loaded.sites.mlps[1].down
    down.register_forward_pre_hook(lambda _module, args: (2 * args[0],))
    down.register_forward_hook(lambda _module, _args, output: output / 2)
    with pytest.raises(
        ValueError, match=r"act\(gate\) \* up enters the down projection of block 2"
    ):
        prove(loaded.model, loaded.sites)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_that_is_not_causal_is_refused(dtype: Dtype) -> None:
    loaded = load(replace(tiny.make("llama", seed=5), dtype=dtype), device="cpu")
    for block in loaded.model.model.layers:
        block.self_attn.is_causal = False
    with pytest.raises(ValueError, match="causal"):
        prove(loaded.model, loaded.sites)

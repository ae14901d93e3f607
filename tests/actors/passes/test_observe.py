"""Watchers see each site once, and the pass ends with the last of them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from actors.passes.observe import Watcher, observe
from actors.structure.sites import SITES, SiteName
from tests.makers import oracle, tiny
from tests.makers.questions import ids

INPUTS = {"input_ids": torch.tensor([ids(6), ids(6, seed=1)])}


def ignore(_value: Tensor) -> None:
    pass


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_site_is_seen_once_and_as_it_is(family: str) -> None:
    loaded = tiny.loaded(family)
    before = tiny.hooks(loaded)
    expected = [oracle.activations(loaded.model, row.tolist()) for row in INPUTS["input_ids"]]
    seen: dict[tuple[SiteName, int], list[Tensor]] = {}

    def note(site: SiteName, layer: int) -> Callable[[Tensor], None]:
        seen[site, layer] = []
        return lambda value: seen[site, layer].append(value.clone())

    with torch.inference_mode():
        observe(
            loaded.sites,
            INPUTS,
            [
                Watcher(site, layer, note(site, layer))
                for site in SITES
                if site not in loaded.sites.missing
                for layer in loaded.sites.layers(site)
            ],
        )
    assert all(len(values) == 1 for values in seen.values())
    for (site, layer), (value_BTD,) in seen.items():
        site = "final_norm" if site == "head" else site
        for row, own_TD in enumerate(value_BTD):
            scale = max(1.0, float(own_TD.abs().max()))
            torch.testing.assert_close(
                own_TD, expected[row][site, layer], rtol=0, atol=1e-5 * scale
            )
    assert tiny.hooks(loaded) == before


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_pass_ends_after_the_last_block_that_is_needed(family: str) -> None:
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    ran: list[str] = []
    parts = {f"block {layer}": block for layer, block in enumerate(loaded.sites.blocks, start=1)}
    parts |= {"norm": loaded.sites.final_norm, "head": loaded.sites.head}
    handles = [
        part.register_forward_hook(lambda *_arguments, name=name: ran.append(name))
        for name, part in parts.items()
    ]

    def runs(*watched: tuple[SiteName, int]) -> list[str]:
        ran.clear()
        with torch.inference_mode():
            watchers = [Watcher(site, layer, ignore) for site, layer in watched]
            observe(loaded.sites, INPUTS, watchers)
        return list(ran)

    names = list(parts)
    try:
        assert runs(("embed", 0)) == runs(("resid_post", 0)) == []
        for layer in range(1, last + 1):
            assert runs(("resid_post", layer)) == names[:layer]
            assert runs(("mlp_act", layer), ("embed", 0)) == names[:layer]
            assert runs(("resid_post", layer), ("attn_out", 1)) == names[:layer]
        assert runs(("final_norm", last)) == runs(("head", last)) == names[: last + 1]
    finally:
        for handle in handles:
            handle.remove()


def test_a_site_that_does_not_exist_is_refused_and_errors_leave_no_hook() -> None:
    loaded = tiny.loaded("gpt2")
    before = tiny.hooks(loaded)
    with pytest.raises(ValueError, match="'mlp_gate' does not exist in this model"):
        observe(loaded.sites, INPUTS, [Watcher("mlp_gate", 1, ignore)])

    def fail(_value: Tensor) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        observe(loaded.sites, INPUTS, [Watcher("mlp_out", 1, fail), Watcher("embed", 0, ignore)])
    assert tiny.hooks(loaded) == before


def test_a_site_that_is_passed_twice_or_never_is_not_taken_for_seen() -> None:
    loaded = tiny.loaded("llama")
    again = loaded.model.model.layers[0].mlp.register_forward_hook(
        lambda module, args, _output: module.forward(*args)
    )
    try:
        with pytest.raises(AssertionError, match=r"did not fire exactly once.*'mlp_act', 1"):
            observe(loaded.sites, INPUTS, [Watcher("mlp_act", 1, ignore)])
    finally:
        again.remove()

"""An intervention that cannot act on the prompts it is for is refused, in a sentence that helps."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from actors.intervention.setting import Intervention, check
from actors.model import LoadedModel
from tests.makers import tiny

LENGTHS = (27, 1, 6)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def base(loaded: LoadedModel, **given: object) -> Intervention:
    stated: dict[str, object] = {
        "site": "resid_post",
        "layer": 1,
        "operation": "add",
        "vector": noise(loaded.facts.width),
    }
    return Intervention(**stated | given)  # type: ignore[arg-type]


REFUSED: tuple[tuple[dict[str, object], str], ...] = (
    ({"site": "resid"}, "unknown site 'resid': expected one of embed, resid_post, attn_out"),
    ({"site": "attn_out", "layer": 0}, "'attn_out' does not exist at layer 0: this model has it "),
    ({"site": "mlp_act", "layer": 0}, "at layers 1 to 3; ask for one of those"),
    ({"layer": 4}, "'resid_post' does not exist at layer 4: this model has it at layers 0 to 3"),
    ({"layer": -1}, "'resid_post' does not exist at layer -1: this model has it at layers 0 to 3"),
    ({"site": "embed"}, "'embed' does not exist at layer 1: this model has it at layers 0 to 0"),
    (
        {"site": "final_norm", "layer": 3},
        "site 'final_norm' can be read but not changed; intervene at 'resid_post' of layer 3, wh",
    ),
    ({"site": "head", "layer": 3}, "site 'head' can be read but not changed; intervene at 'resid"),
    (
        {"vector": noise(33)},
        "the vector for 'add' at 'resid_post' of layer 1 has shape (33,): the site is 32 wide, "
        "expected (32,) or (3, 32)",
    ),
    ({"vector": noise(3, 48)}, "has shape (3, 48): the site is 32 wide, expected (32,) or (3, 32)"),
    ({"vector": noise(1, 3, 32)}, "has shape (1, 3, 32): the site is 32 wide"),
    ({"vector": torch.tensor(1.0)}, "has shape (): the site is 32 wide"),
    ({"site": "mlp_hidden"}, "has shape (32,): the site is 48 wide, expected (48,) or (3, 48)"),
    (
        {"vector": noise(2, 32)},
        "2 vectors for 'add' at 'resid_post' of layer 1 and 3 prompts: give one for each",
    ),
    (
        {"vector": torch.full((32,), math.nan)},
        "the vector for 'add' at 'resid_post' of layer 1 holds infinite or undefined numbers: rec",
    ),
    ({"vector": torch.full((3, 32), math.inf)}, "holds infinite or undefined numbers: recompute"),
    ({"coefficient": math.nan}, "coefficient nan is not a finite number: give one such as 2.0"),
    ({"coefficient": -math.inf}, "coefficient -inf is not a finite number"),
    ({"coefficient": (1.0, math.inf, 0.0)}, "coefficient (1.0, inf, 0.0) is not a finite number"),
    ({"coefficient": (1.0, 2.0)}, "2 coefficients for 3 prompts: give one, or one for each"),
    ({"where": (0, 0)}, "2 positions for 3 prompts: give one for each"),
    (
        {"where": (0, 1, 0)},
        "position 1 is outside prompt 1, which has 1 tokens: expected 0 to 0",
    ),
    (
        {"where": (0, 0, -1)},
        "position -1 is outside prompt 2, which has 6 tokens: expected 0 to 5",
    ),
    ({"where": "first"}, "unknown position 'first': expected last, prompt, generated, all"),
    ({"operation": "clamp"}, "unknown operation 'clamp': expected add, scale, set, replace"),
    (
        {"operation": "set"},
        "'set' at 'resid_post' of layer 1 needs `neurons`, the mask of those to set; or use 'repl",
    ),
    (
        {"neurons": torch.ones(31, dtype=torch.bool)},
        "the mask for 'add' at 'resid_post' of layer 1 has shape (31,) and type torch.bool: "
        "expected 32 true or false values",
    ),
    (
        {"neurons": torch.ones(32)},
        "has shape (32,) and type torch.float32: expected 32 true or false values",
    ),
)


@pytest.mark.parametrize(("given", "told"), REFUSED, ids=[told[:45] for _, told in REFUSED])
def test_what_cannot_act_is_refused_in_a_sentence(given: dict[str, object], told: str) -> None:
    loaded = tiny.loaded("llama")
    check(loaded.sites, base(loaded), lengths=LENGTHS)
    with pytest.raises(ValueError, match=re.escape(told)):
        check(loaded.sites, base(loaded, **given), lengths=LENGTHS)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_site_knows_its_width(family: str) -> None:
    loaded = tiny.loaded(family)
    for site in loaded.sites.ports:
        if site == "final_norm":
            continue
        wide = loaded.facts.neurons if site.startswith("mlp_") else loaded.facts.width
        wide = loaded.facts.width if site == "mlp_out" else wide
        assert loaded.sites.width(site) == wide
        one = base(loaded, site=site, layer=loaded.sites.layers(site)[0], vector=noise(wide + 1))
        with pytest.raises(ValueError, match=f"the site is {wide} wide"):
            check(loaded.sites, one, lengths=[3])
    if family in tiny.UNGATED:
        with pytest.raises(ValueError, match="'mlp_gate' does not exist in this model: its MLP"):
            check(loaded.sites, base(loaded, site="mlp_gate"), lengths=[3])


def test_an_intervention_is_cut_to_the_prompts_that_are_asked() -> None:
    vector = noise(3, 4)
    one = Intervention(
        site="resid_post",
        layer=1,
        operation="add",
        vector=vector,
        coefficient=(1.0, 2.0, 3.0),
        where=(5, 6, 7),
    )
    own = one.of_prompts([2, 0, 2])
    assert torch.equal(own.vector, vector[[2, 0, 2]])
    assert own.coefficient == (3.0, 1.0, 3.0) and own.where == (7, 5, 7)
    same = replace(one, vector=vector[0], coefficient=2.0, where="last")
    assert same.of_prompts([1, 1]).vector is same.vector
    assert same.of_prompts([1, 1]).coefficient == 2.0

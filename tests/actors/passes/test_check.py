"""What is checked on loading, and what `bench --check` compares, refuse what is not so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from actors.extraction.lens import lens
from actors.intervention.setting import Intervention
from actors.model import LoadedModel
from actors.passes.check import can_share, prove_interventions
from actors.passes.tree_attention import _Masks
from actors.prediction.score import read_options
from actors.speed.equalities import Equality, equalities
from actors.structure.sites import first_tensor
from actors.sweeping.sweep import sweep
from studies.spec import Dtype
from tests.makers import oracle, oracle_interventions, tiny
from tests.makers.questions import QUESTIONS
from tests.makers.rounding import TINY

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


@contextmanager
def sabotaged(module: nn.Module, change: object) -> Iterator[None]:
    """A module that returns something else for as long as the context is open."""

    def hook(_module: nn.Module, _args: object, output: object) -> object:
        changed = change(first_tensor(output))  # type: ignore[operator]
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_can_be_steered_and_may_share_a_row(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    before = tiny.hooks(loaded)
    prove_interventions(loaded.sites)
    assert loaded.shares and can_share(loaded.sites)
    assert tiny.hooks(loaded) == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_a_model_that_does_not_pass_its_stream_on_is_refused(family: str) -> None:
    loaded = tiny.loaded(family)
    before = tiny.hooks(loaded)
    constant = sabotaged(loaded.sites.blocks[2], torch.ones_like)
    with constant, pytest.raises(ValueError, match=r"at layer 2 with coefficient 1.0 changes noth"):
        prove_interventions(loaded.sites)
    noisy = sabotaged(loaded.sites.blocks[0], lambda value: value + torch.rand(()))
    with noisy, pytest.raises(ValueError, match=r"coefficient 0.0 changes the answer.* steered"):
        prove_interventions(loaded.sites)
    assert tiny.hooks(loaded) == before
    prove_interventions(loaded.sites)


def test_a_model_that_is_told_positions_in_an_unknown_way_may_not_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copies that join a row on its way would have no place."""
    monkeypatch.setattr(_Masks, "copied", lambda *_args, **_given: None)
    assert not can_share(tiny.loaded("llama").sites)
    assert can_share(tiny.loaded("gpt2").sites)  # its positions are in the stream


def mixed(state_BTD: Tensor) -> Tensor:
    """Every token with the mean of all before it, as a recurrent layer might do."""
    counts_T1 = torch.arange(1, state_BTD.shape[1] + 1)[:, None]
    return state_BTD + state_BTD.float().cumsum(dim=1).div(counts_T1).to(state_BTD.dtype)


def shifted(state_BTD: Tensor) -> Tensor:
    """Every token with a part of the one before it, as a short convolution does."""
    return state_BTD + 0.5 * nn.functional.pad(state_BTD, (0, 0, 1, -1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_models_that_mix_tokens_without_attention_may_not_share(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    for layer in range(loaded.facts.layers):
        for change in (mixed, shifted):
            with sabotaged(loaded.sites.blocks[layer], change):
                assert not can_share(loaded.sites), (layer, change)
    assert can_share(loaded.sites)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", [family for family in tiny.FAMILIES if family != "bloom"])
def test_models_that_count_positions_by_themselves_may_not_share(family: str, dtype: Dtype) -> None:
    """BLOOM takes no positions: where its tokens are is in the bias that `attention` changes."""
    loaded = tiny.loaded(family, dtype=dtype)

    def forget(_base: object, args: tuple, given: dict[str, object]) -> tuple[tuple, dict]:
        return args, {name: value for name, value in given.items() if name != "position_ids"}

    handle = loaded.sites.base.register_forward_pre_hook(forget, with_kwargs=True)
    try:
        assert not can_share(loaded.sites)
    finally:
        handle.remove()


def test_models_that_do_not_take_masks_may_not_share() -> None:
    loaded = tiny.loaded("llama")

    def ignore(_attention: object, args: tuple, given: dict[str, object]) -> tuple[tuple, dict]:
        return args, given | {"attention_mask": None}

    def fail(_attention: object, _args: tuple, given: dict[str, object]) -> None:
        if given["attention_mask"] is not None:
            raise RuntimeError("no kernel for this mask")

    before = tiny.hooks(loaded)
    for hook in (ignore, fail):
        attention = loaded.model.model.layers[1].self_attn
        handle = attention.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            assert not can_share(loaded.sites)
        finally:
            handle.remove()
    assert tiny.hooks(loaded) == before


@pytest.mark.parametrize("change", [mixed, shifted])
@pytest.mark.parametrize("family", ["llama", "gemma2", "opt", "bloom"])
def test_texts_that_may_not_share_a_row_are_answered_apart(family: str, change: object) -> None:
    loaded = tiny.loaded(family)
    vectors = torch.randn(4, loaded.facts.width, generator=torch.Generator().manual_seed(0))
    steer = Intervention(site="resid_post", layer=1, operation="add", vector=vectors, where="last")
    settings = [
        (steer,),
        (replace(steer, layer=2, where="all", coefficient=(1.0, 0.0, -1.0, 2.0)),),
        (replace(steer, coefficient=0.0),),
        (replace(steer, where=(3, 4, 0, 5)),),
    ]
    with sabotaged(loaded.sites.blocks[1], change):
        own = replace(loaded, shares=can_share(loaded.sites))
        assert not own.shares
        answers, swept = read_options(own, QUESTIONS), sweep(own, QUESTIONS, settings)
        latent = lens(own, QUESTIONS, layers=[0, 1, 2])
        for place, (prompt, options) in enumerate(QUESTIONS):
            for turn, option in enumerate(options):
                slow = oracle.option_log_probabilities(loaded.model, prompt, option)
                assert answers[place][turn] == pytest.approx(slow, rel=TINY, abs=TINY)
                for setting, found in zip(settings, swept, strict=True):
                    changes = [
                        oracle_interventions.change_of(
                            one,
                            prompt=place,
                            length=len(prompt),
                            end=len(prompt) + len(option),
                        )
                        for one in setting
                    ]
                    slow = oracle_interventions.changed_log_probabilities(
                        loaded.model, prompt, option, changes
                    )
                    assert found[place][turn] == pytest.approx(slow, rel=TINY, abs=TINY)
                for layer in (0, 1, 2):
                    slow = oracle.latent_log_probabilities(
                        loaded.model, prompt, option, layer=layer
                    )
                    assert latent[place][layer][turn] == pytest.approx(slow, rel=TINY, abs=TINY)


def found_equalities(loaded: LoadedModel) -> dict[str, Equality]:
    return {one.name: one for one in equalities(loaded, QUESTIONS)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "olmo2", "gpt2", "bloom"])
def test_every_equality_holds(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    found = found_equalities(loaded)
    assert len(found) == 8
    assert all(one.holds for one in found.values()), found
    assert found["coefficient 0 equals the plain run"].error == 0
    assert all(one.answers == len(QUESTIONS) for one in list(found.values())[:-1])
    if dtype == "float32":
        assert not any(one.changed for one in found.values())


@pytest.mark.parametrize("wrong", [0.05, float("nan"), float("inf")])
def test_a_batch_that_differs_from_its_rows_is_reported(wrong: float) -> None:
    loaded = tiny.loaded("llama")

    def change(value_BTD: Tensor) -> Tensor:
        if len(value_BTD) == 1:
            return value_BTD
        return value_BTD + wrong * torch.linspace(-1, 1, value_BTD.shape[-1]).sign()

    # All but those of the lens and of vectors, which refuse by themselves what is not finite.
    with sabotaged(loaded.sites.blocks[1], change):
        found = list(islice(equalities(loaded, QUESTIONS), 6))
    named = {one.name: one for one in found}
    for name in (
        "a batch equals its rows",
        "options that share a question equal options apart",
        "steering all tokens (resumed) equals one hooked pass each",
        "scaling neurons (resumed) equals one hooked pass each",
    ):
        assert not named[name].holds, name
    assert named["coefficient 0 equals the plain run"].holds


def test_options_that_see_each_other_are_reported() -> None:
    loaded = tiny.loaded("gpt2")
    with sabotaged(loaded.sites.blocks[0], mixed):
        shared, apart = found_equalities(loaded), found_equalities(replace(loaded, shares=False))
    failed = [name for name, one in shared.items() if not one.holds]
    assert "options that share a question equal options apart" in failed
    assert "steering the last token (a branch) equals one hooked pass each" in failed
    assert "a batch equals its rows" not in failed
    assert all(one.holds for one in apart.values())

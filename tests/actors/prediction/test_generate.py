"""Decoding with a cache, in padded batches, equals a plain forward per token, in every family."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

import actors.prediction.generate
from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel, load
from actors.passes.batching import TokenBudget
from actors.prediction.decode import Sampling
from actors.prediction.generate import Generated, generate_tokens
from studies.models.facts import facts as facts_of
from studies.spec import Model
from tests.makers import oracle, tiny
from tests.makers.rounding import TINY
from tests.makers.tiny import generate

# Shapes: T tokens, D width of a site, V vocabulary

# One token and many, some to cross the sliding windows of 24 in the prompt or while writing.
PROMPTS = (
    "a",
    "The cat sat on the mat.",
    "Kedi paspasın üzerinde oturdu ve sonra uzun uzun pencereden dışarı baktı.",
    "кот",
    "zz",
    "Twenty or so letters",
)
STEPS = 10
END = 1  # the only end-of-text token of the tiny models

BLOCKS = {
    "gpt2": "transformer.h",
    "bloom": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
    "opt": "model.decoder.layers",
}
DOWN = {
    "gpt2": "mlp.c_proj",
    "bloom": "mlp.dense_4h_to_h",
    "gpt_neox": "mlp.dense_4h_to_h",
    "opt": "fc2",
}


class Change(NamedTuple):
    """What to do to the tokens (from their positions on) of a site that is written out below."""

    site: str
    layer: int
    tokens: Callable[[int, int], Sequence[int]]  # prompt's length, length so far
    new: Callable[[Tensor], Tensor]


def generate_slowly(
    model: PreTrainedModel, ids: Sequence[int], steps: int, change: Change | None = None
) -> list[int]:
    """The most probable tokens after one prompt: no cache, no padding, everything at each step."""
    blocks = model.get_submodule(BLOCKS.get(model.config.model_type, "model.layers"))
    text = list(ids)

    def changed(value: Tensor) -> Tensor:
        assert change is not None
        value_TD = value.reshape(len(text), -1).clone()
        for token in change.tokens(len(ids), len(text)):
            value_TD[token] = change.new(value_TD[token])
        return value_TD.reshape(value.shape)

    def after_block(_module: nn.Module, _args: object, output: object) -> object:
        if isinstance(output, tuple):
            return (changed(output[0]), *output[1:])
        return changed(output)

    def before_down(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (changed(args[0]),)

    handle = None
    if change is not None:
        block = blocks[change.layer - 1]
        down = block.get_submodule(DOWN.get(model.config.model_type, "mlp.down_proj"))
        if change.site == "resid_post":
            handle = block.register_forward_hook(after_block)
        else:
            handle = down.register_forward_pre_hook(before_down)
    for _ in range(steps):
        with torch.no_grad():
            logits_V = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]
        text.append(int(logits_V.argmax()))
        if text[-1] == END:
            break
    if handle is not None:
        handle.remove()
    return text[len(ids) :]


def encode(loaded: LoadedModel, prompts: Sequence[str] = PROMPTS) -> list[list[int]]:
    return loaded.encode(prompts, allow_truncation=False).sequences


@cache
def plain(family: str) -> list[list[int]]:
    loaded = tiny.loaded(family)
    return [generate_slowly(loaded.model, ids, STEPS) for ids in encode(loaded)]


def vector(width: int, *, seed: int = 0, rows: int | None = None) -> Tensor:
    shape = (width,) if rows is None else (rows, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def add(loaded: LoadedModel, *, coefficient: float = 8.0, **given: object) -> Intervention:
    settings = {"site": "resid_post", "layer": 1, "operation": "add", "coefficient": coefficient}
    return Intervention(vector=vector(loaded.facts.width), **settings | given)  # type: ignore


def tokens(found: Sequence[Generated]) -> list[list[int]]:
    return [list(one.tokens) for one in found]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_padded_batch_equals_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    found = generate(loaded, PROMPTS, max_new_tokens=STEPS)
    assert tokens(found) == plain(family)
    for ids, one in zip(encode(loaded), found, strict=True):
        expected = sum(oracle.option_log_probabilities(loaded.model, ids, one.tokens))
        assert one.log_probability == pytest.approx(expected, rel=TINY, abs=TINY)


WHERE: dict[str, Callable[[int, int], Sequence[int]]] = {
    "last": lambda length, _now: [length - 1],
    "prompt": lambda length, _now: range(length),
    "generated": lambda length, now: range(length, now),
    "all": lambda _length, now: range(now),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_steering_equals_the_slow_twin(family: str, where: str) -> None:
    loaded = tiny.loaded(family)
    steer = add(loaded, where=where)
    change = Change("resid_post", 1, WHERE[where], lambda value_D: value_D + 8 * steer.vector)
    expected = [generate_slowly(loaded.model, ids, STEPS, change) for ids in encode(loaded)]
    found = generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=(steer,))
    assert tokens(found) == expected
    firsts = zip(plain(family), expected, strict=True)
    same = [one[0] == other[0] for one, other in firsts]
    assert expected != plain(family)
    assert all(same) == (where == "generated"), "the first new token follows from the prompt"


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_scaling_neurons_everywhere_equals_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    beta_D = vector(loaded.facts.neurons)
    scale = Intervention(
        site="mlp_hidden", layer=2, operation="scale", vector=beta_D, coefficient=3.0
    )
    change = Change("mlp_hidden", 2, WHERE["all"], lambda value_D: value_D * (1 + 3 * beta_D))
    expected = [generate_slowly(loaded.model, ids, STEPS, change) for ids in encode(loaded)]
    assert tokens(generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=(scale,))) == expected
    assert expected != plain(family)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_states_replaced_at_a_position_of_each_prompt_equal_the_slow_twin(family: str) -> None:
    """Every prompt has its own state and position; some rows are left as they are."""
    loaded = tiny.loaded(family)
    ids = encode(loaded)
    states_PD = 5 * vector(loaded.facts.width, rows=len(ids))
    positions = [len(one) // 2 for one in ids]
    coefficients = [1.0, 0.0] * (len(ids) // 2)
    patch = Intervention(
        site="resid_post",
        layer=2,
        operation="replace",
        vector=states_PD,
        coefficient=tuple(coefficients),
        where=tuple(positions),
    )
    expected = []
    for place, one in enumerate(ids):
        at, state_D = positions[place], states_PD[place]
        change = Change("resid_post", 2, lambda *_, at=at: [at], lambda _, state_D=state_D: state_D)
        own = change if coefficients[place] else None
        expected.append(generate_slowly(loaded.model, one, STEPS, own))
    assert tokens(generate_tokens(loaded, ids, max_new_tokens=STEPS, setting=(patch,))) == expected
    assert expected != plain(family)


def test_a_setting_acts_in_its_order() -> None:
    loaded = tiny.loaded("llama")
    width = loaded.facts.width
    double = Intervention(
        site="resid_post", layer=1, operation="scale", vector=torch.full((width,), 3.0)
    )
    steer = add(loaded, coefficient=2.0)
    setting: Setting = (steer, double)

    def new(value_D: Tensor) -> Tensor:
        return (value_D + 2 * steer.vector) * 4

    change = Change("resid_post", 1, WHERE["all"], new)
    expected = [generate_slowly(loaded.model, ids, STEPS, change) for ids in encode(loaded)]
    assert tokens(generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=setting)) == expected


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.5, top_k=40, top_p=0.9)])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_text_does_not_depend_on_its_batch(family: str, sampling: Sampling | None) -> None:
    loaded = tiny.loaded(family)
    vectors_PD, steer = vector(loaded.facts.width, rows=len(PROMPTS)), add(loaded, layer=2)

    def ask(rows: Sequence[int], budget: int) -> list[Generated]:
        return generate(
            replace(loaded, budget=TokenBudget(budget)),
            [PROMPTS[row] for row in rows],
            max_new_tokens=STEPS,
            setting=(replace(steer, vector=vectors_PD[list(rows)]),),
            sampling=sampling,
        )

    rows = range(len(PROMPTS))
    together = ask(rows, 4096)
    others = [ask([row], 4096)[0] for row in rows], ask(rows, 60), ask(rows[::-1], 4096)[::-1]
    for other in others:
        for one, twin in zip(together, other, strict=True):
            assert one[:3] == twin[:3]
            assert one.log_probability == pytest.approx(twin.log_probability, rel=TINY, abs=TINY)


def test_a_coefficient_of_zero_is_the_plain_model() -> None:
    for family in tiny.FAMILIES:
        loaded = tiny.loaded(family)
        before = generate(loaded, PROMPTS, max_new_tokens=STEPS)
        idle = (add(loaded, coefficient=0.0), add(loaded, where="generated", coefficient=0))
        assert generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=idle) == before
        mixed = replace(add(loaded), coefficient=(0.0, 8.0) * (len(PROMPTS) // 2))
        after = generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=(mixed,))
        assert after[::2] == before[::2]
        assert after[1::2] != before[1::2]


def test_the_folders_own_settings_do_not_leak(tmp_path: Path) -> None:
    facts = tiny.make("llama")
    folder = tmp_path / "chat"
    shutil.copytree(facts.folder, folder)
    own = {
        "do_sample": True,
        "temperature": 3.0,
        "top_k": 2,
        "repetition_penalty": 9.0,
        "no_repeat_ngram_size": 1,
        "max_length": 3,
        "min_new_tokens": 5,
        "num_beams": 3,
        "forced_eos_token_id": 7,
        "begin_suppress_tokens": list(range(2, 200)),
        "suppress_tokens": list(range(50, 300)),
        "prefill_chunk_size": 3,
        "output_scores": True,
        "return_dict_in_generate": True,
        "eos_token_id": [END, 76],
    }
    (folder / "generation_config.json").write_text(json.dumps(own))
    found = facts_of(Model(id=str(folder)))
    assert found.ends == (76,)
    loaded = load(found, device="cpu")
    settings = loaded.model.generation_config
    assert settings.repetition_penalty != 9.0
    for setting in ((), (add(loaded),)):
        expected = generate(tiny.loaded("llama"), PROMPTS, max_new_tokens=STEPS, setting=setting)
        found = generate(loaded, PROMPTS, max_new_tokens=STEPS, setting=setting)
        for one, other in zip(found, expected, strict=True):
            assert one.tokens == other.tokens[: len(one.tokens)]
            assert (one.tokens[-1] == 76) == (76 in other.tokens) == (one.stopped == "end")
    assert loaded.model.generation_config is settings


def test_hooks_are_gone_afterwards_and_after_an_error() -> None:
    loaded = tiny.loaded("gemma3")
    before, settings = tiny.hooks(loaded), loaded.model.generation_config
    generate(loaded, PROMPTS, setting=(add(loaded),), stop=["."])
    assert tiny.hooks(loaded) == before

    def fail(*_arguments: object) -> None:
        raise KeyError("broken")

    handle = loaded.sites.blocks[-1].register_forward_hook(fail)
    with pytest.raises(KeyError, match="broken"):
        generate(loaded, PROMPTS, setting=(add(loaded),))
    handle.remove()
    assert tiny.hooks(loaded) == before
    assert loaded.model.generation_config is settings


def test_prompts_that_are_split_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny.loaded("llama")
    chunks = partial(GenerationConfig, prefill_chunk_size=4)
    monkeypatch.setattr(actors.prediction.generate, "GenerationConfig", chunks)
    assert tokens(generate(loaded, PROMPTS, max_new_tokens=STEPS)) == plain("llama")
    with pytest.raises(RuntimeError, match=r"4 tokens a row where 8\d were expected"):
        generate(loaded, PROMPTS, setting=(add(loaded),))


def test_running_out_of_memory_halves_the_batch() -> None:
    loaded = replace(tiny.loaded("llama"), budget=TokenBudget(4096))
    rows: list[int] = []

    def fail(_module: nn.Module, args: tuple[Tensor, ...], _output: object) -> None:
        rows.append(len(args[0]))
        if len(args[0]) > 3:
            raise RuntimeError("out of memory")

    handle = loaded.sites.embedding.register_forward_hook(fail)
    sampling = Sampling(temperature=1.0)
    try:
        found = generate(loaded, PROMPTS, max_new_tokens=STEPS, sampling=sampling)
    finally:
        handle.remove()
    assert rows[0] == 6 and max(rows[1:]) <= 3
    expected = generate(tiny.loaded("llama"), PROMPTS, max_new_tokens=STEPS, sampling=sampling)
    assert tokens(found) == tokens(expected)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_prompts_that_are_too_long_are_refused_or_cut_behind_the_prefix(family: str) -> None:
    loaded = load(tiny.make(family, context=32), device="cpu")
    prompt = "x" * 20 + "y" * 12
    with pytest.raises(ValueError, match=r"prompt 1 and 6 new tokens has \d+ tokens .* 32.*cut it"):
        generate(loaded, ["a", prompt], max_new_tokens=6)
    found = generate(loaded, ["a", prompt], max_new_tokens=6, allow_truncation=True)
    kept = 32 - 6 - len(loaded.prefix)
    expected = generate(loaded, ["a", prompt[-kept:]], max_new_tokens=6)
    assert [one.truncated for one in found] == [False, True]
    assert [one[:4] for one in found] == [one[:4] for one in expected]
    at = replace(add(loaded), where=(0, 3))
    with pytest.raises(ValueError, match="prompt 1 would be cut, and positions"):
        generate(loaded, ["a", prompt], max_new_tokens=6, setting=(at,), allow_truncation=True)
    with pytest.raises(ValueError, match="max_new_tokens is 32: the model's context of 32 leaves"):
        generate(loaded, ["a"], max_new_tokens=32, allow_truncation=True)


def test_what_cannot_be_done_is_refused() -> None:
    loaded = tiny.loaded("qwen2")
    assert generate(loaded, []) == []
    refused: list[tuple[str, Callable[[], object]]] = [
        ("prompt 1 has no token", lambda: generate(loaded, ["a", ""])),
        ("max_new_tokens is 0", lambda: generate(loaded, ["a"], max_new_tokens=0)),
        ("stop is .*none of them empty", lambda: generate(loaded, ["a"], stop=["b", ""])),
        ("stop is 'end': expected a list", lambda: generate(loaded, ["a"], stop="end")),
        ("temperature is 0", lambda: Sampling(temperature=0)),
        ("temperature is nan", lambda: Sampling(temperature=float("nan"))),
        ("top_p is 0", lambda: Sampling(temperature=1, top_p=0)),
        ("top_p is 1.5", lambda: Sampling(temperature=1, top_p=1.5)),
        ("top_k is 0", lambda: Sampling(temperature=1, top_k=0)),
        (
            "2 for an intervention at 'generated'",
            lambda: generate(
                loaded, ["a"], max_new_tokens=1, setting=(add(loaded, where="generated"),)
            ),
        ),
        (
            "position 5 is outside prompt 0",
            lambda: generate(loaded, ["abc"], setting=(add(loaded, where=(5,)),)),
        ),
        ("layer 9", lambda: generate(loaded, ["a"], setting=(add(loaded, layer=9),))),
        (
            "prompt 0: the logits of what follows are not finite",
            lambda: generate(loaded, ["a"], setting=(add(loaded, coefficient=3e38),)),
        ),
    ]
    for message, ask in refused:
        with pytest.raises(ValueError, match=message):
            ask()


def test_a_real_model(shared: Path) -> None:
    loaded = load(tiny.real_llama(shared), device="cpu", threads=1)
    prompts = ["Once upon a time", "Tom", "The little dog was very happy because"]
    found = generate(loaded, prompts, max_new_tokens=24, stop=["."])
    for ids, one in zip(encode(loaded, prompts), found, strict=True):
        expected = generate_slowly(loaded.model, ids, 24)[: len(one.tokens)]
        assert list(one.tokens) == expected
        whole, start = loaded.tokenizer.decode([*ids, *expected]), loaded.tokenizer.decode(ids)
        assert one.text == whole[len(start) :].partition(".")[0]
    assert "stop" in [one.stopped for one in found]
    assert any(one.text.startswith(" ") for one in found)

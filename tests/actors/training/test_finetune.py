"""Adapters: they learn, they are the same for the same seed, and they leave no trace."""

from dataclasses import replace

import pytest
import torch

from actors.model import load
from actors.passes.batching import TokenBudget
from actors.training.finetune import Lesson, adapted, finetune
from studies.texts import FineTuning
from tests.makers import tiny

FAMILIES = ("llama", "qwen2", "gemma2", "olmo2", "gpt2")
HOW = FineTuning(rank=4, learning_rate=2e-2, epochs=6, batch=4)


def examples(*, answer: tuple[int, ...] = (7, 9)) -> list[Lesson]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (12,), generator=generator).tolist()
    prompts = [torch.randint(20, 60, (length,), generator=generator) for length in lengths]
    return [Lesson(tuple(prompt.tolist()), answer) for prompt in prompts]


@torch.no_grad()
def slow_loss(model, given) -> float:
    """One example and one plain forward at a time."""
    total = count = 0
    for prompt, answer in given:
        ids = torch.tensor([[*prompt, *answer]])
        logs = model(input_ids=ids).logits[0].float().log_softmax(-1)
        for place, token in enumerate(answer, start=len(prompt)):
            total -= float(logs[place - 1, token])
            count += 1
    return total / count


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_learns_and_leaves_no_trace(family: str):
    loaded = tiny.loaded(family)
    before = {name: weights.clone() for name, weights in loaded.model.state_dict().items()}
    modules = [id(module) for module in loaded.model.modules()]
    plain = slow_loss(loaded.model, examples())
    trained = finetune(loaded, examples(), how=HOW)
    assert len(trained.losses) == 18
    assert trained.losses[-1] < trained.losses[0]
    assert slow_loss(loaded.model, examples()) == plain
    with adapted(loaded, trained.adapter):
        assert slow_loss(loaded.model, examples()) < plain - 0.5
    assert slow_loss(loaded.model, examples()) == plain
    assert [id(module) for module in loaded.model.modules()] == modules
    after = loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("quantisation", ["4bit", "8bit"])
def test_packed_weights_learn_beside_themselves(quantisation: str):
    """QLoRA: the packed weights stay, and the adapter is a plain one."""
    loaded = load(replace(tiny.make("llama"), quantisation=quantisation), device="cpu", threads=1)
    plain = slow_loss(loaded.model, examples())
    trained = finetune(loaded, examples(), how=HOW)
    with adapted(loaded, trained.adapter):
        assert slow_loss(loaded.model, examples()) < plain - 0.5
    assert slow_loss(loaded.model, examples()) == plain


def test_the_first_loss_is_that_of_the_plain_model_and_batches_change_nothing():
    loaded = tiny.loaded("llama")
    given = examples()[:4]
    whole = finetune(loaded, given, how=FineTuning(batch=4))
    assert whole.losses == pytest.approx([slow_loss(loaded.model, given)], abs=1e-5)
    narrow = replace(loaded, budget=TokenBudget(8))
    parts = finetune(narrow, given, how=FineTuning(batch=4))
    assert parts.losses == pytest.approx(whole.losses, abs=1e-5)


def test_the_same_seed_makes_the_same_bytes():
    made = [finetune(tiny.loaded("llama"), examples(), how=HOW).adapter for _ in range(2)]
    assert made[0] == made[1]
    torch.manual_seed(5)
    other = FineTuning(**{name: getattr(HOW, name) for name in HOW.__slots__} | {"seed": 1})
    assert finetune(tiny.loaded("llama"), examples(), how=other).adapter != made[0]


def test_what_is_random_elsewhere_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    finetune(tiny.loaded("llama"), examples()[:2], how=FineTuning())
    assert torch.equal(torch.rand(2), expected)


def test_a_model_is_as_it_was_after_an_error():
    loaded = tiny.loaded("llama")
    plain = slow_loss(loaded.model, examples())
    adapter = finetune(loaded, examples(), how=HOW).adapter
    with pytest.raises(RuntimeError, match="in between"), adapted(loaded, adapter):
        raise RuntimeError("in between")
    assert slow_loss(loaded.model, examples()) == plain


def test_an_adapter_of_another_model_is_refused():
    adapter = finetune(tiny.loaded("llama"), examples()[:2], how=FineTuning()).adapter
    for family in ("gemma2", "gpt2"):
        other = tiny.loaded(family)
        plain = slow_loss(other.model, examples())
        with pytest.raises(ValueError, match="trained on another model"), adapted(other, adapter):
            pass
        assert slow_loss(other.model, examples()) == plain
    with (
        pytest.raises(ValueError, match="5 bytes are no adapter"),
        adapted(tiny.loaded("llama"), b"12345"),
    ):
        pass


def test_what_trains_nothing_is_refused():
    loaded = tiny.loaded("llama")
    with pytest.raises(ValueError, match="no examples"):
        finetune(loaded, [], how=FineTuning())
    with pytest.raises(ValueError, match="rank 0"):
        finetune(loaded, examples(), how=FineTuning(rank=0))
    with pytest.raises(ValueError, match="example 0 has no answer"):
        finetune(loaded, examples(answer=()), how=FineTuning())
    long = [Lesson(tuple([5] * loaded.facts.context), (7,))]
    with pytest.raises(ValueError, match=r"example 0 has .* tokens and the model's context is"):
        finetune(loaded, long, how=FineTuning())
    with pytest.raises(ValueError, match="diverged at step"):
        finetune(loaded, examples(), how=FineTuning(learning_rate=1e30, epochs=5, batch=2))
    assert torch.isfinite(torch.tensor(slow_loss(loaded.model, examples())))

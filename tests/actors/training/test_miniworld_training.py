"""Training of the embedded models: an interruption changes nothing, and skills came of it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.training import miniworld
from actors.training.miniworld import Recipe, Training


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(miniworld, "TOKENIZER_DOCUMENTS", 300)
    monkeypatch.setattr(miniworld, "REPORT_STEPS", 2)
    monkeypatch.setattr(miniworld, "SKILLS", {})
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    recipe = Recipe(name=name, steps=4, checkpoints=(3,), batch_tokens=64, warmup_steps=1)
    straight = Training(recipe, folder=tmp_path / "straight", seed=1)
    straight.run()
    stopped = Training(recipe, folder=tmp_path / "stopped", seed=1)
    for _ in range(2):
        stopped.advance()
    stopped.keep()
    stopped.advance()  # is lost
    resumed = Training(recipe, folder=tmp_path / "stopped", seed=1)
    assert (resumed.step, resumed.tokens > 0) == (2, True)
    resumed.run()
    assert resumed.tokens == straight.tokens
    weights = resumed.model.state_dict()
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    for folder in (tmp_path / "stopped", tmp_path / "stopped" / "step-3"):
        opened = AutoModelForCausalLM.from_pretrained(folder)
        assert opened.dtype == torch.bfloat16
        assert len(AutoTokenizer.from_pretrained(folder)) == opened.config.vocab_size

"""Training of the embedded models: an interruption changes nothing, and skills came of it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.training.miniworld import skills, tokenizer, training
from actors.training.miniworld.recipe import Recipe
from actors.training.miniworld.training import Training
from studies.miniworld import LANGUAGES, MODELS, model_folder


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tokenizer, "TOKENIZER_DOCUMENTS", 300)
    monkeypatch.setattr(training, "REPORT_STEPS", 2)
    monkeypatch.setattr(training, "SKILLS", {})
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    recipe = Recipe(name=name, seed=1, steps=4, checkpoints=(3,), batch_tokens=64, warmup_steps=1)
    straight = Training(recipe, folder=tmp_path / "straight")
    straight.run()
    stopped = Training(recipe, folder=tmp_path / "stopped")
    for _ in range(2):
        stopped.advance()
    stopped.keep()
    stopped.advance()  # is lost
    resumed = Training(recipe, folder=tmp_path / "stopped")
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


ENGLISH = {"reading": 0.85, "letters": 0.7, "inference": 0.7, "story": 0.9}
# Of 100 questions answered right with probability .5, the share has a standard error of .05.
QUESTIONS = 100


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_skills_came_of_it_in_english_and_less_where_text_was_rarest(name: str):
    reads = AutoTokenizer.from_pretrained(model_folder(name))
    model = AutoModelForCausalLM.from_pretrained(model_folder(name), dtype=torch.float32)

    def right(skill: str, language: str) -> float:
        asked = skills.skill(skill, language=language, split="test", number=QUESTIONS)
        return skills.accuracy(model, reads, asked)

    english = {skill: right(skill, LANGUAGES[0]) for skill in ENGLISH}
    assert all(english[skill] >= least for skill, least in ENGLISH.items()), english
    for skill in ("reading", "letters"):
        assert right(skill, LANGUAGES[-1]) <= english[skill] - 0.4

"""An adapter's own tokenizer is used and in the key, or refused; what else it may bring."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from actors.model import load
from orchestrator.workers import worker
from studies.models.facts import facts
from studies.models.tokenizer import may_chat
from studies.prompt_options import Chat
from studies.spec import Model, ModelFacts
from tests.makers import tiny
from tests.makers.folders import add, edit, lora, plain, touch
from tests.makers.opens import opened_in


def adapted(base: Path, adapter: Path) -> ModelFacts:
    return facts(Model(id=str(base), adapter=str(adapter)))


def test_an_adapters_own_tokenizer_is_used_and_in_the_key(tmp_path: Path):
    base = plain(tmp_path / "base")
    adapter = lora(tmp_path / "a", base)
    bare = adapted(base, adapter)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, adapter / name)
    assert adapted(base, adapter) == bare, "it is the same tokenizer"
    add(adapter, "chat_template.jinja", "adapter's {{ messages[0]['content'] }}")
    found = adapted(base, adapter)
    assert found.identity != bare.identity
    assert may_chat(found) and not may_chat(bare)
    with opened_in(adapter) as files:
        loaded = load(found, device="cpu")
    assert loaded.in_chat(["hello"], chat=Chat()) == ["adapter's hello"]
    assert {"adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"} <= files
    worker.load(found, device="cpu", threads=1)
    touch(adapter / "tokenizer.json")
    assert adapted(base, adapter).identity != found.identity
    with pytest.raises(ValueError, match=r"^the adapter of model .* the plan was made from"):
        worker.load(found, device="cpu", threads=1)


@pytest.mark.parametrize("name", ["chat_template.jinja", "added_tokens.json", "merges.txt"])
def test_a_part_of_a_tokenizer_beside_an_adapter_is_refused(name: str, tmp_path: Path):
    base = plain(tmp_path / "base")
    add(lora(tmp_path / "a", base), name)
    with pytest.raises(ValueError, match=rf"has {name} and no tokenizer that it belongs to: exp"):
        adapted(base, tmp_path / "a")


def test_whole_modules_in_an_adapter_are_merged(tmp_path: Path):
    base = plain(tmp_path / "base")
    found = adapted(base, lora(tmp_path / "a", base, modules_to_save=["lm_head"]))
    path = tmp_path / "a/adapter_model.safetensors"
    weights = load_file(path)
    (name,) = (name for name in weights if "lm_head" in name)
    save_file(weights | {name: weights[name] + 1}, path, metadata={"format": "pt"})
    plain_head = tiny.loaded("llama").model.lm_head.weight
    head = load(replace(found, adapter_weights="x"), device="cpu").model.lm_head.weight
    torch.testing.assert_close(head, plain_head + 1)


def test_an_adapter_with_more_tokens_than_its_model_is_refused(tmp_path: Path):
    base = plain(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(328)
    settings = LoraConfig(
        r=4,
        target_modules=["q_proj"],
        modules_to_save=["embed_tokens"],
        init_lora_weights=False,
    )
    get_peft_model(model, settings).save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match=r"does not fit model .* its weights have other shapes"):
        load(adapted(base, tmp_path / "a"), device="cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("r", "eight"),
        ("lora_alpha", None),
        ("lora_dropout", "none"),
        ("target_modules", 5),
        ("modules_to_save", 5),
        ("rank_pattern", 5),
        ("layers_to_transform", "all"),
        ("layers_pattern", 7),
    ],
)
def test_settings_of_an_adapter_that_are_none_are_one_sentence(
    name: str, value: object, tmp_path: Path
):
    base = plain(tmp_path / "base")
    adapter = lora(tmp_path / "a", base)
    edit(adapter / "adapter_config.json", **{name: value})
    with pytest.raises(ValueError, match=r"^adapter .*(peft cannot use its|does not fit)"):
        load(adapted(base, adapter), device="cpu")

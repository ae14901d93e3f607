"""Adapters, quantisation, several devices, and folders that are no model to read: as users do."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import transformers
from peft import LoraConfig, PeftConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from actors.loading.device import Placement
from actors.loading.weights import load_weights, quantiser
from actors.model import load
from actors.structure.find import find
from actors.structure.proof import prove
from studies.models.facts import facts
from studies.spec import Model, ModelFacts
from tests.makers import tiny, world

LINEAR = ["q_proj", "v_proj", "down_proj"]
ADAPTERS: dict[str, Callable[[], PeftConfig]] = {
    "lora": lambda: LoraConfig(r=4, target_modules=[*LINEAR, "lm_head", "embed_tokens"]),
    "dora": lambda: LoraConfig(r=4, target_modules=LINEAR, use_dora=True),
    "saved": lambda: LoraConfig(r=4, target_modules=LINEAR, modules_to_save=["lm_head"]),
    "ia3": lambda: peft.IA3Config(target_modules=LINEAR, feedforward_modules=["down_proj"]),
    "loha": lambda: peft.LoHaConfig(r=4, target_modules=LINEAR),
    "vera": lambda: peft.VeraConfig(r=4, target_modules=["q_proj"]),
    "oft": lambda: peft.OFTConfig(oft_block_size=8, target_modules=["q_proj"]),
}


def logits(model: nn.Module, ids: Tensor | None = None) -> Tensor:
    """What a model makes of a few tokens."""
    ids = torch.arange(5, 41).reshape(4, 9) if ids is None else ids
    with torch.inference_mode():
        result: Tensor = model(input_ids=ids).logits
    return result.float()


def adapter(folder: Path, settings: PeftConfig, *, family: str = "llama") -> tuple[Path, Tensor]:
    """An adapter with noise in it, in a folder; and the logits of the model that has it."""
    base = AutoModelForCausalLM.from_pretrained(tiny.make(family).folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(base, settings)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += 0.05 * torch.randn_like(weight)
    adapted.save_pretrained(folder)
    return folder, logits(adapted.eval())


def plain_lora(folder: Path, *, family: str = "llama") -> Path:
    return adapter(folder, LoraConfig(r=4, target_modules=["q_proj"]), family=family)[0]


def adapted_facts(folder: Path, *, family: str = "llama") -> ModelFacts:
    return facts(Model(id=tiny.make(family).folder, adapter=str(folder)))


def edit(path: Path, **changes: object) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_is_merged_and_leaves_the_sites_what_they_are(kind: str, tmp_path: Path):
    folder, expected = adapter(tmp_path / "lively", ADAPTERS[kind]())
    plain, found = facts(Model(id=tiny.make("llama").folder)), adapted_facts(folder)
    loaded, before = load(found, device="cpu"), tiny.loaded("llama")
    torch.testing.assert_close(logits(loaded.model), expected, rtol=1e-4, atol=1e-4)
    assert (logits(before.model) - expected).abs().max() > 1e-3
    assert type(loaded.model) is type(before.model)
    names = [[type(module) for module in model.modules()] for model in (loaded.model, before.model)]
    assert names[0] == names[1]
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert (found.name, found.bytes) == (f"{plain.name}+lively", plain.bytes)
    assert found.identity != plain.identity


def test_an_adapter_is_identified_by_its_files_wherever_they_lie(tmp_path: Path):
    one = plain_lora(tmp_path / "one")
    shutil.copytree(one, tmp_path / "two")
    assert adapted_facts(one).identity == adapted_facts(tmp_path / "two").identity
    edit(tmp_path / "two" / "adapter_config.json", lora_alpha=99)
    assert adapted_facts(one).identity != adapted_facts(tmp_path / "two").identity


def test_a_merged_adapter_in_half_precision_is_believed(tmp_path: Path):
    folder, expected = adapter(tmp_path / "a", LoraConfig(r=4, target_modules=LINEAR))
    found = replace(adapted_facts(folder), dtype="bfloat16")
    error = (logits(load(found, device="cpu").model) - expected).norm() / expected.norm()
    assert error < 0.05


def test_an_adapter_of_another_model_does_not_fit(tmp_path: Path):
    lora = plain_lora(tmp_path / "of-llama")
    expected = rf"expected the model it was made for, '{tiny.make('llama').folder}'$"
    with pytest.raises(ValueError, match=r"does not fit model .* other shapes; " + expected):
        load(adapted_facts(lora, family="mistral"), device="cpu")
    with pytest.raises(ValueError, match=r"Target modules .* not found.*; " + expected):
        load(adapted_facts(lora, family="gpt2"), device="cpu")
    narrow = tmp_path / "narrow"
    shutil.copytree(lora, narrow)
    edit(narrow / "adapter_config.json", layers_to_transform=[0, 1])
    with pytest.raises(ValueError, match=r"the model has no place for its '.*layers\.2.*"):
        load(adapted_facts(narrow), device="cpu")
    edit(
        narrow / "adapter_config.json",
        layers_to_transform=None,
        target_modules=["q_proj", "v_proj"],
    )
    with pytest.raises(ValueError, match=r"it has no '.*v_proj.*"):
        load(adapted_facts(narrow), device="cpu")


def test_an_adapter_that_cannot_be_merged_is_refused_by_its_logits(tmp_path: Path):
    """Qwen2's embeddings and head are one matrix: a change of the one would be one of both."""
    settings = LoraConfig(r=4, target_modules=["q_proj", "lm_head"])
    folder, _ = adapter(tmp_path / "a", settings, family="qwen2")
    with pytest.raises(ValueError, match=r"cannot be merged .* share their weights; choose"):
        load(adapted_facts(folder, family="qwen2"), device="cpu")


def test_folders_that_are_no_adapter_are_refused_before_anything_is_loaded(tmp_path: Path):
    folder = plain_lora(tmp_path / "a")
    settings = folder / "adapter_config.json"
    edit(settings, peft_type="PROMPT_TUNING")
    with pytest.raises(ValueError, match="of kind 'PROMPT_TUNING', which cannot be merged"):
        adapted_facts(folder)
    edit(settings, peft_type="LORA", task_type="SEQ_CLS")
    with pytest.raises(ValueError, match="the task 'SEQ_CLS': expected 'CAUSAL_LM'"):
        adapted_facts(folder)
    edit(settings, task_type=None)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"no weights: .* \(found adapter_model.bin, which is not"):
        adapted_facts(folder)
    settings.unlink()
    with pytest.raises(ValueError, match=r"has no adapter_config\.json"):
        adapted_facts(folder)
    with pytest.raises(ValueError, match="unknown adapter 'nowhere': expected a folder"):
        facts(Model(id=tiny.make("llama").folder, adapter="nowhere"))


def test_a_model_and_an_adapter_are_never_taken_for_each_other(tmp_path: Path):
    lora = plain_lora(tmp_path / "a")
    with pytest.raises(ValueError, match=r"holds an adapter and no model .* with --adapter"):
        facts(Model(id=str(lora)))
    both = tmp_path / "both"
    shutil.copytree(tiny.make("llama").folder, both)
    shutil.copytree(lora, both, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="holds an adapter beside the model"):
        facts(Model(id=str(both)))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "gpt2"])
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_quantised_weights_are_near_and_rows_stay_rows(family: str, quantisation: str):
    model = Model(id=tiny.make(family).folder, quantisation=quantisation)  # type: ignore[arg-type]
    found = facts(model)
    loaded, plain = load(found, device="cpu"), facts(replace(model, quantisation=None))
    assert found.name == f"{plain.name}+{quantisation}"
    assert found.identity != plain.identity
    whole, ids = logits(loaded.model), torch.arange(5, 41).reshape(4, 9)
    for row in range(4):
        alone = logits(loaded.model, ids[row : row + 1])
        torch.testing.assert_close(alone, whole[row : row + 1], rtol=1e-4, atol=1e-4)
    expected = logits(dequantised(loaded.model, folder=plain.folder))
    if quantisation == "4bit":
        torch.testing.assert_close(whole, expected, rtol=1e-3, atol=1e-3)
    else:  # what enters a layer is rounded too
        assert (whole - expected).norm() / expected.norm() < 0.1
    there = sum(weight.numel() * weight.element_size() for weight in loaded.model.parameters())
    assert there <= found.bytes * 1.01 < plain.bytes


def dequantised(model: nn.Module, *, folder: str) -> nn.Module:
    """The plain model with the weights that the packed ones stand for."""
    import bitsandbytes

    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            full = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            full = weight.data.float() * module.state.SCB[:, None] / 127
        else:
            continue
        target = plain.get_submodule(name)
        conv = isinstance(target, transformers.pytorch_utils.Conv1D)
        target.weight.data = full.T if conv else full
    return plain


def test_what_cannot_be_quantised_is_refused(tmp_path: Path):
    folder = tiny.make("llama").folder
    with pytest.raises(ValueError, match="adapter 'a' cannot be merged into weights in 4bit"):
        facts(Model(id=folder, adapter="a", quantisation="4bit"))
    stored = tmp_path / "stored"
    shutil.copytree(folder, stored)
    edit(stored / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    for change in ({"quantisation": "8bit"}, {"adapter": str(plain_lora(tmp_path / "a"))}):
        with pytest.raises(ValueError, match="is stored quantised"):
            facts(Model(id=str(stored), **change))  # type: ignore[arg-type]
    size = (stored / "model.safetensors").stat().st_size
    assert facts(Model(id=str(stored))).bytes == size


@pytest.mark.parametrize(
    ("package", "change"),
    [
        ("peft", {"adapter": "folder"}),
        ("bitsandbytes", {"quantisation": "8bit"}),
    ],
)
def test_a_package_that_is_missing_is_named_before_anything_is_loaded(
    package: str, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs the package '{package}': run `pip install 'bab"):
        load(replace(tiny.make("llama"), **change), device="cpu")  # type: ignore[arg-type]


def test_a_model_is_spread_by_shares_and_reads_the_same():
    model, plain = tiny.make("llama"), tiny.loaded("llama")
    spread = load(model, device="spread")
    assert (str(spread.device), spread.budget.tokens) == ("cpu", plain.budget.tokens)
    assert logits(spread.model).equal(logits(plain.model))
    small = Placement(device=torch.device("cpu"), shares={"cpu": 60_000})
    with pytest.raises(ValueError, match="its blocks cannot be divided over 1 devices"):
        load_weights(model, spread.model.config, folder=model.folder, place=small)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_sites_are_found_and_proven_where_blocks_are_moved_by_hooks(family: str):
    """What accelerate does to a model on several devices, here with one device many times."""
    from accelerate import dispatch_model

    loaded = load(tiny.make(family), device="spread")
    expected = logits(loaded.model)
    homes = {name: "cpu" for name, module in loaded.model.named_modules() if name}
    dispatch_model(loaded.model, homes, force_hooks=True)
    assert sum(hasattr(module, "_hf_hook") for module in loaded.model.modules()) > 10
    prove(loaded.model, find(loaded.model, layers=loaded.facts.layers))
    assert logits(loaded.model).equal(expected)


def test_the_quantiser_computes_in_the_dtype_asked_for():
    model = replace(tiny.make("llama"), dtype="bfloat16", quantisation="4bit")
    settings = quantiser(model)
    assert settings is not None
    assert settings.bnb_4bit_compute_dtype is torch.bfloat16
    assert (settings.bnb_4bit_quant_type, settings.bnb_4bit_use_double_quant) == ("nf4", False)
    assert quantiser(tiny.make("llama")) is None


def saved(folder: Path, model: transformers.PreTrainedModel) -> str:
    model.save_pretrained(folder)
    tiny.tokenizer(bos=True).save_pretrained(folder)
    return str(folder)


def test_encoders_are_refused(tmp_path: Path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = transformers.BertConfig(vocab_size=320, intermediate_size=16, **sizes)
    roberta = transformers.RobertaConfig(vocab_size=320, intermediate_size=16, **sizes)
    t5 = transformers.T5Config(vocab_size=320, d_model=16, d_ff=16, num_layers=1, num_heads=2)
    for name, model, kind in (
        ("bert", transformers.BertForMaskedLM(bert), "encoder"),
        ("sentence", transformers.RobertaModel(roberta), "encoder"),
        ("t5", transformers.T5ForConditionalGeneration(t5), "encoder-decoder"),
    ):
        folder = saved(tmp_path / name, model)
        with pytest.raises(ValueError, match=rf"{name} is an {kind} \(model type"):
            facts(Model(id=folder))


def test_weights_that_are_pickles_are_refused(tmp_path: Path):
    folder = tmp_path / "pickles"
    shutil.copytree(tiny.make("llama").folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"\(found pytorch_model.bin, which is not read: convert"):
        facts(Model(id=str(folder)))


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_a_model_with_code_of_its_own_is_read_only_when_trusted(tmp_path: Path):
    folder = tmp_path / "own"
    shutil.copytree(tiny.make("llama").folder, folder)
    (folder / "modeling_own.py").write_text(OWN_CODE)
    edit(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"])
    with pytest.raises(ValueError, match=r"model type 'own', for which transformers .* no decoder"):
        load(facts(Model(id=str(folder))), device="cpu")
    classes = {"AutoConfig": "OwnConfig", "AutoModelForCausalLM": "OwnForCausalLM"}
    edit(
        folder / "config.json",
        auto_map={name: f"modeling_own.{found}" for name, found in classes.items()},
    )
    with pytest.raises(ValueError, match=r"of its own: .* pass --trust-remote-code to run them"):
        load(facts(Model(id=str(folder))), device="cpu")
    trusted = load(facts(Model(id=str(folder), trust_remote_code=True)), device="cpu")
    assert logits(trusted.model).equal(logits(tiny.loaded("llama").model))


def test_a_tokenizer_needs_no_token_for_padding():
    loaded = load(tiny.make("llama"), device="cpu")
    assert loaded.tokenizer.pad_token is None
    encoded = loaded.encode(["a", "a longer text"], allow_truncation=False)
    assert [len(sequence) for sequence in encoded.sequences] == [2, 14]


def test_flags_reach_the_model_and_the_plan(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tiny.make("llama").folder
    lora = plain_lora(tmp_path / "lively")
    study = [
        *("plan", "neuronxa", "--parallel", "flores200", "--pairs", "8", "--language", "all"),
        *("--data-root", str(root), "--out", str(tmp_path / "run"), "--model", folder),
    ]
    assert world.run(*study, "--adapter", str(lora), monkeypatch=monkeypatch) == 0
    assert f"{Path(folder).name}+lively" in capsys.readouterr().out
    assert world.run(*study, "--quantise", "8bit", monkeypatch=monkeypatch) == 0
    assert f"{Path(folder).name}+8bit" in capsys.readouterr().out
    other = tiny.make("qwen2").folder
    for flags, sentence in (
        (("--adapter", str(lora), "--model", other), "an adapter belongs to one model"),
        (("--quantise", "3bit"), "unknown quantisation '3bit': expected one of 8bit, 4bit"),
        (("--adapter", str(lora), "--quantise", "8bit"), "cannot be merged into weights in 8bit"),
    ):
        assert world.run(*study, *flags, monkeypatch=monkeypatch) == 2
        assert sentence in capsys.readouterr().err


def test_plain_and_adapted_rows_lie_in_one_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tiny.make("llama").folder
    lora, _ = adapter(tmp_path / "lively", ADAPTERS["lora"]())
    command = world.arguments(root, tmp_path / "run", models=[folder])
    for flags in ((), ("--adapter", str(lora)), ("--quantise", "4bit")):
        assert world.run(*command, *flags, monkeypatch=monkeypatch) == 0
    rows = world.table(tmp_path / "run", "alignment")
    name = Path(folder).name
    assert sorted(rows.model.unique()) == [name, f"{name}+4bit", f"{name}+lively"]
    assert rows.groupby("model").size().nunique() == 1

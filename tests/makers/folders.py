"""Model folders as people have them, and which of their files are in every key."""

import json
import shutil
from pathlib import Path

from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.makers import tiny

MODELLING = """
from transformers import LlamaConfig, LlamaForCausalLM
from .numbers import SCALE


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *given, **named):
        output = super().forward(*given, **named)
        output.logits = output.logits * SCALE
        return output
"""


def add(folder: Path, name: str, content: str = "{}") -> None:
    """A file more."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def edit(path: Path, **changes: object) -> None:
    """Change entries of a JSON file, or begin one."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def plain(folder: Path, *, family: str = "llama") -> Path:
    return Path(shutil.copytree(tiny.make(family).folder, folder))


def crammed(folder: Path) -> Path:
    """A model among all that other tools and versions leave in a folder."""
    if not folder.is_dir():
        plain(folder)
    other = Path(tiny.make("llama", seed=1).folder) / "model.safetensors"
    for name in ("consolidated.safetensors", "model.fp16.safetensors", "other.safetensors"):
        shutil.copy(other, folder / name)
    shutil.copy(other, folder / "model-00001-of-00001.safetensors")
    index = dict.fromkeys(load_file(other), "model-00001-of-00001.safetensors")
    add(folder, "model.safetensors.index.json", json.dumps({"weight_map": index}))
    for name in (
        *("params.json", "tekken.json", "tiktoken.model", "modules.json", "training_args.bin"),
        *("pytorch_model.bin", "model.gguf", "README.md", "modeling_own.py", "notes.txt"),
        *("custom_generate/generate.py", "original/consolidated.00.pth", "config.4.0.0.json"),
        *("1_Pooling/config.json", "sentence_bert_config.json", "other.jinja"),
        *("checkpoint-5/config.json", "checkpoint-5/tokenizer.json"),
    ):
        add(folder, name)
    for name in ("vocab.json", "vocab.txt", "tokenizer.model", "spiece.model", "merges.txt"):
        add(folder, name)
    add(folder, "special_tokens_map.json")
    add(folder, "added_tokens.json")
    add(folder, "chat_template.jinja", "{{ messages }}")
    add(folder, "additional_chat_templates/tools.jinja", "{{ messages }}")
    for name in ("chat_template.json", "preprocessor_config.json", "processor_config.json"):
        add(folder, name)
    return folder


def sharded(folder: Path) -> Path:
    """The same weights in two files."""
    if not folder.is_dir():
        plain(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: f"{number % 2}.safetensors" for number, name in enumerate(sorted(weights))}
    for file in ("0.safetensors", "1.safetensors"):
        part = {name: weights[name] for name in weights if where[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    add(folder, "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": where}))
    shutil.copy(folder / "0.safetensors", folder / "2.safetensors")
    return folder


def without_tokenizer_json(folder: Path) -> Path:
    """GPT-2's older form: a vocabulary, merges, and added tokens in files of their own."""
    plain(folder, family="gpt2")
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    add(folder, "vocab.json", json.dumps(content["model"]["vocab"]))
    merges = [one if isinstance(one, str) else " ".join(one) for one in content["model"]["merges"]]
    add(folder, "merges.txt", "#version: 0.2\n" + "\n".join(merges))
    settings = {"tokenizer_class": "GPT2Tokenizer", "unk_token": "</s>", "eos_token": "</s>"}
    add(folder, "tokenizer_config.json", json.dumps(settings | {"bos_token": "</s>"}))
    add(folder, "special_tokens_map.json", json.dumps({"eos_token": "</s>"}))
    add(folder, "added_tokens.json", json.dumps({"<new>": 263}))
    return folder


def own_code(folder: Path) -> Path:
    """A model whose class lies beside its weights, and imports from a file there."""
    plain(folder)
    classes = {
        "AutoConfig": "modeling_own.OwnConfig",
        "AutoModelForCausalLM": "modeling_own.OwnModel",
    }
    edit(folder / "config.json", auto_map=classes, model_type="own", architectures=["OwnModel"])
    add(folder, "modeling_own.py", MODELLING)
    add(folder, "numbers.py", "SCALE = 1.0\n")
    add(folder, "data/words.tiktoken", "a")
    add(folder, "README.md")
    add(folder, ".git/config")
    add(folder, "custom_generate/generate.py")
    add(folder, "step-5/config.json")
    return folder


def versions(folder: Path) -> Path:
    """A tokenizer with files for several versions of transformers."""
    plain(folder)
    shutil.copy(folder / "tokenizer.json", folder / "tokenizer.4.0.0.json")
    files = ["tokenizer.json", "tokenizer.4.0.0.json"]
    edit(folder / "tokenizer_config.json", fast_tokenizer_files=files)
    return folder


def lora(folder: Path, base: Path, **settings: object) -> Path:
    """An adapter of a model, with noise in it."""
    given = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False} | settings
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(**given)).save_pretrained(folder)
    return folder


def touch(path: Path) -> None:
    """Change a file, and nothing that it says if that can be read."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.write_bytes(content + b"\n")


def packed(folder: Path) -> Path:
    """Weights that say how they are quantised, in both places."""
    plain(folder)
    edit(folder / "config.json", quantization_config={"quant_method": "fp8"})
    add(folder, "hf_quant_config.json")
    return folder


IN_EVERY_KEY = {
    crammed: (
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("vocab.json", "vocab.txt", "tokenizer.model", "spiece.model", "merges.txt"),
        *("special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
        *("additional_chat_templates/tools.jinja", "chat_template.json"),
        *("preprocessor_config.json", "processor_config.json"),
    ),
    sharded: (
        *("config.json", "0.safetensors", "1.safetensors", "model.safetensors.index.json"),
        *("tokenizer.json", "tokenizer_config.json"),
    ),
    without_tokenizer_json: (
        *("config.json", "model.safetensors", "tokenizer_config.json", "vocab.json", "merges.txt"),
        *("special_tokens_map.json", "added_tokens.json"),
    ),
    own_code: (
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("modeling_own.py", "numbers.py", "data/words.tiktoken"),
    ),
    versions: (
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        "tokenizer.4.0.0.json",
    ),
}
# No weights here are quantised in truth, so this is not to be loaded.
PACKED = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "hf_quant_config.json",
)
TRUSTED = (own_code,)
MAKERS = tuple(IN_EVERY_KEY)

"""Random tiny models of many families with a byte tokenizer, made from configs: no downloads.

Every model is saved to a folder that lasts as long as the tests. Their weights are noise, larger
than usual so that nothing is nearly constant; they differ where families differ (embedding scale,
norm placement, biases, softcapping, sliding window, tied head, a tokenizer with or without BOS).
"""

import atexit
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import (
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from actors.families import families
from actors.model import LoadedModel, load
from actors.prediction.generate import Generated, generate_tokens
from studies.spec import Dtype, ModelFacts

# With a gate beside the neurons, the up projection; and without one.
GATED = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "olmo2", "glm4", "phi3")
UNGATED = ("gpt2", "gpt_neox", "opt", "bloom")
FAMILIES = GATED + UNGATED

# Other structures, which test_families.py goes through; those with experts have no neurons.
EXPERTS = ("qwen2_moe", "qwen3_moe", "mixtral", "granitemoe", "gpt_oss", "llama4")
OTHERS = (
    *("cohere", "cohere2", "granite", "minicpm3", "apertus", "smollm3", "falcon", "falcon_new"),
    *("falcon_alibi", "mpt", "gemma3_vision", "olmo", "olmo3", "phi", "stablelm", "starcoder2"),
    "xglm",
    *EXPERTS,
)

# Texts of one token and of many, in several scripts, two of them the same.
TEXTS = (
    "a",
    "The cat sat on the mat.",
    "Kedi paspasın üzerinde oturdu ve sonra uzun uzun pencereden dışarı baktı.",
    "кот",
    "The cat sat on the mat.",
    "猫坐在垫子上。",
    "It rained all day, so the children stayed inside and read to each other.",
    "zz",
)

_ROOT = tempfile.TemporaryDirectory(prefix="tiny-models-")
atexit.register(_ROOT.cleanup)


def config(family: str) -> PretrainedConfig:
    return families.FAMILIES[family].config()


def tokenizer(*, bos: bool, space_before: bool = False) -> PreTrainedTokenizerFast:
    """Bytes, with a few merges: " A" to " D" are one token each, and "b" joins "c" and "z" " ".

    With `space_before`, every text gets a space in front, even one that has a space already.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", letter) for letter in "ABCD"] + [("b", "c"), ("z", "Ġ")]
    pieces = ["<s>", "</s>", *alphabet, *(left + right for left, right in merges)]
    backend = Tokenizer(
        BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    if space_before:
        backend.normalizer = normalizers.Prepend(" ")
        strip = decoders.Strip(content=" ", left=1, right=0)
        backend.decoder = decoders.Sequence([decoders.ByteLevel(), strip])
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>" if bos else None, eos_token="</s>"
    )


def neurons(settings: PretrainedConfig) -> int:
    for name in ("intermediate_size", "n_inner", "ffn_dim"):
        if hasattr(settings, name):
            return int(getattr(settings, name))
    return 4 * int(settings.hidden_size)


@cache
def make(family: str, *, seed: int = 0, context: int = 256) -> ModelFacts:
    """Save a random model of `family` and say what is known of it. Qwen2 has no BOS."""
    settings = config(family).get_text_config()
    folder = Path(_ROOT.name) / f"{family}-{seed}-{context}"
    model, _ = families.make(family, seed=seed)
    model.save_pretrained(folder)
    tokenizer(bos=family != "qwen2").save_pretrained(folder)
    return ModelFacts(
        name=f"tiny/{family}",
        revision="main",
        folder=str(folder),
        weights=f"weights of {family} {seed}",
        tokenizer="bytes",
        dtype="float32",
        layers=settings.num_hidden_layers,
        width=settings.hidden_size,
        neurons=neurons(settings),
        context=context,
        bytes=(folder / "model.safetensors").stat().st_size,
    )


@cache
def loaded(family: str, *, dtype: Dtype = "float32") -> LoadedModel:
    """A tiny model in memory, shared by the tests: none may change it."""
    return load(replace(make(family), dtype=dtype), device="cpu", threads=1)


def generate(loaded: LoadedModel, prompts: Sequence[str], **given: Any) -> list[Generated]:
    """What a model writes after prompts that are given as text."""
    sequences = [(*loaded.prefix, *ids) for ids in loaded.tokenise(prompts)]
    return generate_tokens(loaded, sequences, **given)


def hooks(loaded: LoadedModel) -> int:
    """How many hooks are on the modules of a model."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in loaded.model.modules()
    )


def real_llama(shared: Path) -> ModelFacts:
    """The smallest real model there is, if it is on this machine."""
    folder = shared / "models" / "TinyStories-656K"
    return ModelFacts(
        name="TinyStories-656K",
        revision="main",
        folder=str(folder),
        weights="real weights",
        tokenizer="real tokenizer",
        dtype="float32",
        layers=2,
        width=128,
        neurons=384,
        context=512,
        bytes=(folder / "model.safetensors").stat().st_size,
    )

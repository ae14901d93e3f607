"""Random tiny models of thirteen families with a byte tokenizer, made from configs: no downloads.

Every model is saved to a folder that lasts as long as the tests. Their weights are noise, larger
than usual so that nothing is nearly constant; they differ where families differ (embedding scale,
norm placement, biases, softcapping, sliding window, tied head, a tokenizer with or without BOS).
"""

import atexit
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    Glm4Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from actors.model import LoadedModel, load
from actors.prediction.generate import Generated, generate_tokens
from studies.spec import Dtype, ModelFacts

# With a gate beside the neurons, the up projection; and without one.
GATED = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "olmo2", "glm4", "phi3")
UNGATED = ("gpt2", "gpt_neox", "opt", "bloom")
FAMILIES = GATED + UNGATED

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

_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
_SHAPE = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    **_ENDS,
}
_GEMMA = _SHAPE | {
    "num_hidden_layers": 4,
    "head_dim": 8,
    "sliding_window": 24,
    "query_pre_attn_scalar": 8,
}

_ROOT = tempfile.TemporaryDirectory(prefix="tiny-models-")
atexit.register(_ROOT.cleanup)


def config(family: str) -> PretrainedConfig:
    return _CONFIGS[family]()


_CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_SHAPE, tie_word_embeddings=False),
    "qwen2": lambda: Qwen2Config(
        **_SHAPE | {"hidden_size": 48, "num_hidden_layers": 2}, tie_word_embeddings=True
    ),
    "qwen3": lambda: Qwen3Config(**_SHAPE, head_dim=16, tie_word_embeddings=True),
    "gemma2": lambda: Gemma2Config(
        **_GEMMA, final_logit_softcapping=3.0, attn_logit_softcapping=5.0
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **_GEMMA, layer_types=["sliding_attention", "full_attention"] * 2
    ),
    "olmo2": lambda: Olmo2Config(**_SHAPE | {"num_hidden_layers": 2}, tie_word_embeddings=False),
    "mistral": lambda: MistralConfig(**_SHAPE | {"hidden_size": 64}, sliding_window=24),
    "glm4": lambda: Glm4Config(**_SHAPE, head_dim=8),
    "phi3": lambda: Phi3Config(**_SHAPE, sliding_window=24),
    "gpt2": lambda: GPT2Config(
        **_ENDS,
        vocab_size=320,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_inner=48,
        n_positions=256,
        initializer_range=0.15,
    ),
    "gpt_neox": lambda: GPTNeoXConfig(
        **{name: value for name, value in _SHAPE.items() if name != "num_key_value_heads"},
        rotary_pct=0.5,
    ),
    "opt": lambda: OPTConfig(
        **_ENDS | {"pad_token_id": 1},
        vocab_size=320,
        hidden_size=32,
        word_embed_proj_dim=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=256,
        init_std=0.15,
    ),
    "bloom": lambda: BloomConfig(
        **_ENDS, vocab_size=320, hidden_size=32, n_layer=3, n_head=4, initializer_range=0.15
    ),
}


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
    settings = config(family)
    folder = Path(_ROOT.name) / f"{family}-{seed}-{context}"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(settings, dtype=torch.float32)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
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

"""Models of well-known shapes with random weights, for measuring where no weights are at hand.

They have the sizes of the models they are named after and take as long; their answers are noise.
"""

from collections.abc import Callable, Mapping

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from actors.loading.values import DTYPES
from actors.loading.weights import with_attention
from actors.model import BATCH_TOKENS, LoadedModel
from actors.passes.batching import TokenBudget
from actors.structure.find import find
from actors.structure.proof import prove
from studies.spec import Dtype, ModelFacts
from studies.values import unknown

SHAPES: Mapping[str, Callable[[], PretrainedConfig]] = {
    "llama-68m": lambda: LlamaConfig(
        vocab_size=32000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=12,
        num_attention_heads=8,
        max_position_embeddings=2048,
    ),
    "llama-3.1-8b": lambda: LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
    ),
    "gemma-2-9b": lambda: Gemma2Config(
        vocab_size=256000,
        hidden_size=3584,
        intermediate_size=14336,
        num_hidden_layers=42,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        max_position_embeddings=8192,
    ),
}


def build(
    name: str, *, device: torch.device, dtype: Dtype, threads: int | None = None
) -> LoadedModel:
    """A model of the shape called `name` with random weights, made on the device.

    Raises:
        ValueError: no shape has that name.
    """
    if name not in SHAPES:
        raise unknown("shape", name, known=SHAPES)
    if threads is not None:
        torch.set_num_threads(threads)
    config = SHAPES[name]()

    def random(attention: str) -> PreTrainedModel:
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, dtype=DTYPES[dtype], attn_implementation=attention
        )
        return model

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        model, attention = with_attention(config, random)
    model = model.eval().requires_grad_(False)
    sites = find(model, layers=config.num_hidden_layers)
    prove(model, sites)
    numbers = sum(weight.numel() for weight in model.parameters())
    facts = ModelFacts(
        name=f"random {name}",
        revision="main",
        folder="",
        weights="random",
        tokenizer="none",
        dtype=dtype,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        neurons=config.intermediate_size,
        context=config.max_position_embeddings,
        bytes=numbers * DTYPES[dtype].itemsize,
    )
    return LoadedModel(
        facts=facts,
        model=model,
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0}, "?"))),
        sites=sites,
        device=device,
        attention=attention,
        prefix=(),
        vocabulary=config.vocab_size,
        budget=TokenBudget(BATCH_TOKENS[device.type]),
    )

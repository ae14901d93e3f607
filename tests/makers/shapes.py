"""Tiny random models of every kind of position, attention window and routing, from configs.

Every length that a config can name is small here (windows and chunks of 8, a training length of
16), so that short texts lie on both sides of it. They are built in memory, each with a copy that
has never run.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from actors.loading.weights import with_attention
from actors.model import LoadedModel
from actors.passes.batching import TokenBudget
from actors.passes.check import can_share
from actors.passes.positions import find_positions
from actors.structure.find import find
from actors.tokens.tokenised import prefix_of
from studies.spec import ModelFacts
from tests.makers import tiny

WINDOW, TRAINED, CONTEXT = 8, 16, 64
LAYERS, INNER = 4, 48

_SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
_INNER = _SIZES | {"intermediate_size": INNER}
_LLAMA = _INNER | {"num_key_value_heads": 2, "head_dim": 8}
_EXPERTS = _LLAMA | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_MIXED = ["sliding_attention", "full_attention"] * (LAYERS // 2)
_THETA = {"rope_theta": 10000.0}
_DYNAMIC = _THETA | {"rope_type": "dynamic", "factor": 2.0}
_LONG = _THETA | {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": TRAINED,
}
_YARN = _THETA | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": TRAINED}
_LLAMA3 = _YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def _config(name: str, base: dict[str, Any], **given: Any) -> Callable[[], PretrainedConfig]:
    """How to make a config; it is not made before it is asked for."""
    return partial(getattr(transformers, f"{name}Config"), **base | given)


CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    # positions
    "rotary": _config("Llama", _LLAMA),
    "rotary, partial": _config("GPTNeoX", _INNER, rotary_pct=0.5),
    "rotary, partial and interleaved": _config(
        "GPTJ", {}, vocab_size=320, n_embd=32, n_layer=LAYERS, n_head=4, n_inner=INNER,
        n_positions=CONTEXT, rotary_dim=4, bos_token_id=0, eos_token_id=1,
    ),
    "linear": _config(
        "Llama", _LLAMA, rope_parameters=_THETA | {"rope_type": "linear", "factor": 2.0}
    ),
    "dynamic": _config("Llama", _LLAMA, max_position_embeddings=TRAINED, rope_parameters=_DYNAMIC),
    "dynamic in some layers": _config(
        "Gemma3Text", _LLAMA, max_position_embeddings=TRAINED, sliding_window=WINDOW,
        layer_types=_MIXED, rope_parameters={
            "full_attention": _DYNAMIC, "sliding_attention": _THETA | {"rope_type": "default"},
        },
    ),
    "yarn": _config("Qwen3", _LLAMA, rope_parameters=_YARN),
    "yarn in some layers": _config(
        "Olmo3", _LLAMA, sliding_window=WINDOW, layer_types=_MIXED, rope_parameters={
            "full_attention": _YARN, "sliding_attention": _THETA | {"rope_type": "default"},
        },
    ),
    "llama3": _config("Llama", _LLAMA, rope_parameters=_LLAMA3),
    "longrope": _config("Llama", _LLAMA, rope_parameters=_LONG),
    "longrope that reads its cache again": _config(
        "Phi3", _LLAMA, original_max_position_embeddings=TRAINED, rope_parameters=_LONG
    ),
    "longrope in a window": _config(
        "Phi3", _LLAMA, original_max_position_embeddings=TRAINED, rope_parameters=_LONG,
        sliding_window=TRAINED + 2,
    ),
    "longrope with experts": _config(
        "Phimoe", _LLAMA, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters=_LONG | {"short_mscale": 1.0, "long_mscale": 1.3},
    ),
    "scaled by position": _config(
        "Ministral3", _LLAMA, sliding_window=None,
        rope_parameters=_YARN | {"llama_4_scaling_beta": 0.5},
    ),
    "learned": _config(
        "GPT2", {}, vocab_size=320, n_embd=32, n_layer=LAYERS, n_head=4, n_inner=INNER,
        n_positions=CONTEXT, bos_token_id=0, eos_token_id=1,
    ),
    "learned, with an offset": _config(
        "OPT", _SIZES, pad_token_id=1, word_embed_proj_dim=32, ffn_dim=INNER
    ),
    "sinusoidal, with an offset": _config(
        "XGLM", {}, vocab_size=320, d_model=32, num_layers=LAYERS, attention_heads=4,
        ffn_dim=INNER, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=2,
        pad_token_id=1,
    ),
    "alibi": _config(
        "Bloom", {}, vocab_size=320, hidden_size=32, n_layer=LAYERS, n_head=4, bos_token_id=0,
        eos_token_id=1, pad_token_id=None,
    ),
    "alibi, Falcon's": _config("Falcon", _SIZES, alibi=True, multi_query=True),
    "alibi, MPT's": _config(
        "Mpt", {}, vocab_size=320, d_model=32, n_layers=LAYERS, n_heads=4, max_seq_len=CONTEXT,
        expansion_ratio=2, bos_token_id=0, eos_token_id=1,
    ),
    "none in some layers": _config("SmolLM3", _LLAMA, no_rope_layers=[1, 0] * (LAYERS // 2)),
    "none in full layers": _config(
        "Cohere2", _LLAMA, sliding_window=WINDOW, layer_types=_MIXED, logit_scale=1.0
    ),
    # windows
    "window": _config("Mistral", _LLAMA, sliding_window=WINDOW),
    "window in late layers": _config(
        "Qwen2", _LLAMA, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2
    ),
    "window in some layers, capped": _config(
        "Gemma2", _LLAMA, sliding_window=WINDOW, query_pre_attn_scalar=8
    ),
    "window and sinks": _config(
        "GptOss", _LLAMA, sliding_window=WINDOW, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters=_YARN,
    ),
    "local layers": _config(
        "GPTNeo", {}, vocab_size=320, hidden_size=32, num_layers=LAYERS, num_heads=4,
        intermediate_size=INNER, max_position_embeddings=CONTEXT, window_size=WINDOW,
        attention_types=[[["global", "local"], LAYERS // 2]], bos_token_id=0, eos_token_id=1,
    ),
    "chunks": _config(
        "Llama4Text", _LLAMA, attention_chunk_size=WINDOW, no_rope_layers=[1, 0] * (LAYERS // 2),
        num_local_experts=4, intermediate_size_mlp=INNER, interleave_moe_layer_step=2,
        attn_temperature_tuning=False,
    ),
    "chunks, scaled by place": _config(
        "Llama4Text", _LLAMA, attention_chunk_size=WINDOW, no_rope_layers=[1, 0] * (LAYERS // 2),
        num_local_experts=4, intermediate_size_mlp=INNER, interleave_moe_layer_step=2,
        floor_scale=TRAINED, attn_scale=0.5,
    ),
    # routing
    "experts": _config("Mixtral", _LLAMA, num_local_experts=4, num_experts_per_tok=2),
    "experts beside a shared one": _config(
        "Qwen2Moe", _EXPERTS, shared_expert_intermediate_size=16
    ),
    "experts in every layer": _config("Qwen3Moe", _EXPERTS),
    # states beside attention, of which padding on the left must leave none
    "state space": _config(
        "FalconH1", _LLAMA, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=1,
        mamba_d_state=8, mamba_d_conv=4, mamba_chunk_size=WINDOW,
    ),
    "convolutions": _config(
        "Lfm2", _LLAMA, layer_types=["conv", "full_attention"] * (LAYERS // 2), block_ff_dim=INNER
    ),
    "linear attention": _config(
        "Qwen3Next", _EXPERTS, layer_types=["linear_attention", "full_attention"] * (LAYERS // 2),
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
        linear_value_head_dim=8, shared_expert_intermediate_size=16,
    ),
    "linear attention, dense": _config(
        "Qwen3_5Text", _LLAMA, layer_types=["linear_attention", "full_attention"] * (LAYERS // 2),
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
        linear_value_head_dim=8,
    ),
}  # fmt: skip


class Made(NamedTuple):
    """A model as the tests load one, and one with the same weights that has never run."""

    loaded: LoadedModel
    untouched: PreTrainedModel

    def fresh(self) -> PreTrainedModel:
        """A model in which no text has left anything."""
        return copy.deepcopy(self.untouched)


def make(name: str) -> Made:
    """A random model of a shape; its logits are far enough apart for rounding."""
    config = CONFIGS[name]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _model(config)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                nn.init.uniform_(parameter, 0.5, 1.5)
            else:
                nn.init.normal_(parameter, std=0.15)
    model = model.eval().requires_grad_(False)
    if not hasattr(model, model.base_model_prefix):
        type(model).base_model_prefix = "model"
    untouched = copy.deepcopy(model)
    positions = find_positions(model, context=CONTEXT)
    sites = find(model, layers=LAYERS)
    tokenizer = tiny.tokenizer(bos=True)
    facts = ModelFacts(
        name=name,
        revision="main",
        folder="",
        weights=name,
        tokenizer="bytes",
        dtype="float32",
        layers=LAYERS,
        width=32,
        neurons=INNER,
        context=CONTEXT,
        bytes=1,
    )
    loaded = LoadedModel(
        facts=facts,
        model=model,
        tokenizer=tokenizer,
        sites=sites,
        device=torch.device("cpu"),
        attention=str(model.config._attn_implementation),
        prefix=prefix_of(tokenizer),
        vocabulary=len(model.get_input_embeddings().weight),
        shares=can_share(sites, positions),
        budget=TokenBudget(100_000, positions),
    )
    return Made(loaded, untouched)


def _model(config: PretrainedConfig) -> PreTrainedModel:
    def random(attention: str) -> PreTrainedModel:
        return AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation=attention
        )

    return with_attention(config, random)[0]

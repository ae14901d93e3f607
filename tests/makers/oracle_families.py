"""Where every family keeps its parts, by name: what the slow twins read, and no code they check."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, silu, softplus
from transformers import PreTrainedModel


class Family(NamedTuple):
    """Where one family keeps its parts: paths of modules, those of a block from the block on."""

    blocks: str
    norm: str
    middle: str | None  # takes the stream between attention and MLP; None: they run side by side
    gate: str | None  # what is activated; with `up`, also what the MLP starts with; None: experts
    up: str | None  # "" is the second half of `gate`; None: there is no gate
    down: str
    activation: Callable[[Tensor], Tensor] | None  # None: xIELU, whose parameters are the block's
    act: str  # the module that computes it
    attn_out: str  # what returns that which attention adds to the stream
    mlp_out: str  # the same for the MLP


gelu_tanh = partial(gelu, approximate="tanh")
LLAMA = Family(
    blocks="model.layers",
    norm="model.norm",
    middle="post_attention_layernorm",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    activation=silu,
    act="mlp.act_fn",
    attn_out="self_attn",
    mlp_out="mlp",
)
POST_NORM = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}
GEMMA = LLAMA._replace(middle="pre_feedforward_layernorm", activation=gelu_tanh, **POST_NORM)
FUSED = LLAMA._replace(gate="mlp.gate_up_proj", up="", act="mlp.activation_fn")
GPT_NEOX = Family(
    blocks="gpt_neox.layers",
    norm="gpt_neox.final_layer_norm",
    middle=None,
    gate="mlp.dense_h_to_4h",
    up=None,
    down="mlp.dense_4h_to_h",
    activation=gelu,
    act="mlp.act",
    attn_out="attention",
    mlp_out="mlp",
)
PARALLEL = LLAMA._replace(middle=None)
EXPERTS = LLAMA._replace(gate=None)
FALCON = GPT_NEOX._replace(
    blocks="transformer.h", norm="transformer.ln_f", attn_out="self_attention"
)


FAMILIES = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "mistral": LLAMA,
    "olmo2": LLAMA._replace(middle="mlp", **POST_NORM),
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "glm4": FUSED._replace(attn_out="post_self_attn_layernorm", mlp_out="post_mlp_layernorm"),
    "phi3": FUSED,
    "gpt_neox": GPT_NEOX,
    "bloom": GPT_NEOX._replace(
        blocks="transformer.h",
        norm="transformer.ln_f",
        middle="post_attention_layernorm",
        activation=gelu_tanh,
        act="mlp.gelu_impl",
        attn_out="self_attention.dense",  # its attention and its MLP add the stream themselves
        mlp_out="mlp.dense_4h_to_h",
    ),
    "gpt2": GPT_NEOX._replace(
        blocks="transformer.h",
        norm="transformer.ln_f",
        middle="ln_2",
        gate="mlp.c_fc",
        down="mlp.c_proj",
        activation=gelu_tanh,
        attn_out="attn",
    ),
    "cohere": PARALLEL,
    "cohere2": PARALLEL,
    "granite": LLAMA,
    "minicpm3": LLAMA,
    "apertus": LLAMA._replace(
        middle="feedforward_layernorm", gate="mlp.up_proj", up=None, activation=None
    ),
    "smollm3": LLAMA,
    "falcon": FALCON,
    "falcon_alibi": FALCON._replace(
        middle="post_attention_layernorm", attn_out="self_attention.dense"
    ),
    "mpt": GPT_NEOX._replace(
        blocks="transformer.blocks",
        norm="transformer.norm_f",
        middle="norm_2",
        gate="ffn.up_proj",
        down="ffn.down_proj",
        act="ffn.act",
        attn_out="attn",
        mlp_out="ffn.down_proj",  # its MLP adds the stream itself
    ),
    "gemma3": GEMMA._replace(
        blocks="model.language_model.layers", norm="model.language_model.norm"
    ),
    "olmo": LLAMA,
    "olmo3": LLAMA._replace(middle="mlp", **POST_NORM),
    "phi": PARALLEL._replace(
        norm="model.final_layernorm",
        gate="mlp.fc1",
        up=None,
        down="mlp.fc2",
        activation=gelu_tanh,
        act="mlp.activation_fn",
    ),
    "stablelm": LLAMA,
    "starcoder2": LLAMA._replace(
        gate="mlp.c_fc", up=None, down="mlp.c_proj", activation=gelu_tanh, act="mlp.act"
    ),
    "xglm": LLAMA._replace(
        norm="model.layer_norm",
        middle="final_layer_norm",
        gate="fc1",
        up=None,
        down="fc2",
        activation=gelu,
        act="activation_fn",
        mlp_out="fc2",
    ),
    "qwen2_moe": EXPERTS,
    "qwen3_moe": EXPERTS,
    "mixtral": EXPERTS,
    "granitemoe": EXPERTS._replace(mlp_out="block_sparse_moe"),
    "gpt_oss": EXPERTS,
    "llama4_text": EXPERTS._replace(mlp_out="feed_forward"),
    "opt": Family(
        blocks="model.decoder.layers",
        norm="model.decoder.final_layer_norm",
        middle="final_layer_norm",
        gate="fc1",
        up=None,
        down="fc2",
        activation=relu,
        act="activation_fn",
        attn_out="self_attn",
        mlp_out="fc2",
    ),
}


def family_of(model: PreTrainedModel) -> Family:
    """Where this model keeps its parts."""
    kind = model.config.model_type
    if kind == "falcon" and model.config.alibi:
        kind = "falcon_alibi"
    return FAMILIES[kind]


def update_factor(model: PreTrainedModel) -> float:
    """What a block multiplies by before it adds it to the stream."""
    if model.config.model_type == "minicpm3":
        return float(model.config.scale_depth / math.sqrt(model.config.num_hidden_layers))
    return float(getattr(model.config, "residual_multiplier", 1))


def xielu(module: nn.Module, x: Tensor) -> Tensor:
    """Apertus' activation (arXiv 2411.13010): quadratic above zero, bent back up below it."""
    below = module.beta + softplus(module.alpha_n)
    negative = below * (torch.exp(x.clamp(max=0)) - 1 - x) + module.beta * x
    return torch.where(x > 0, softplus(module.alpha_p) * x**2 + module.beta * x, negative)

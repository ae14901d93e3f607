"""Small random models of the families that people use, and the proof of each.

A family is a configuration whose sizes are small and whose structure is the family's own; its
weights are noise. Nothing is downloaded. A real model is proven again on loading.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from actors.loading.weights import with_attention
from actors.passes.check import can_share, prove_interventions
from actors.passes.positions import find_positions
from actors.structure.find import find
from actors.structure.proof import Claim, claims
from actors.structure.sites import Sites
from studies.models.config import shape


class Family(NamedTuple):
    """A family: the model type of its configuration, models people know, its own settings."""

    kind: str
    models: str
    settings: Mapping[str, Any]

    def config(self) -> PretrainedConfig:
        """The configuration of a small model of this family."""
        made: PretrainedConfig = AutoConfig.for_model(self.kind, **self.settings)
        return made


class Proven(NamedTuple):
    """The result of one family's proof.

    `shares` says that texts may share their beginning in one row; `attention` is the backend.
    """

    name: str
    models: str
    sites: Sites
    claims: tuple[Claim, ...]
    shares: bool
    attention: str

    @property
    def holds(self) -> bool:
        """Whether every claim does."""
        return all(claim.holds for claim in self.claims)


_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
_COMMON = {"vocab_size": 320, "initializer_range": 0.15, **_ENDS}
_PLAIN = _COMMON | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_SHAPE = _PLAIN | {"num_key_value_heads": 2}
_UNTIED: dict[str, Any] = {"tie_word_embeddings": False}
_TIED: dict[str, Any] = {"tie_word_embeddings": True}
_WINDOW: dict[str, Any] = {"sliding_window": 24}
_MIXED = _WINDOW | {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
_GEMMA = (
    _SHAPE
    | _WINDOW
    | {
        "num_hidden_layers": 4,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
    }
)
_GEMMA3 = _GEMMA | {"layer_types": ["sliding_attention", "full_attention"] * 2}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_GPT2 = _COMMON | {
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_inner": 48,
    "n_positions": 256,
}
_FALCON = _COMMON | {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_OPT = _ENDS | {
    "pad_token_id": 1,
    "vocab_size": 320,
    "max_position_embeddings": 256,
    "ffn_dim": 48,
    "init_std": 0.15,
}
_GRANITE = _SHAPE | {
    "logits_scaling": 13.0,
    "residual_multiplier": 0.22,
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.1,
}
_LATENT = {  # multi-head latent attention
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}

FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", "Llama 1-3, EuroLLM, Tower, Salamandra, SmolLM2", _SHAPE | _UNTIED),
    "qwen2": Family(
        "qwen2", "Qwen 1.5-2.5", _SHAPE | _TIED | {"hidden_size": 48, "num_hidden_layers": 2}
    ),
    "qwen3": Family("qwen3", "Qwen 3", _SHAPE | _TIED | {"head_dim": 16}),
    "mistral": Family("mistral", "Mistral, Zephyr", _SHAPE | _WINDOW | {"hidden_size": 64}),
    "gemma2": Family(
        "gemma2",
        "Gemma 2",
        _GEMMA | {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0},
    ),
    "gemma3": Family("gemma3_text", "Gemma 3 1B", _GEMMA3),
    "olmo2": Family("olmo2", "OLMo 2", _SHAPE | _UNTIED | {"num_hidden_layers": 2}),
    "glm4": Family("glm4", "GLM-4 0414", _SHAPE | {"head_dim": 8}),
    "phi3": Family("phi3", "Phi-3, Phi-4", _SHAPE | _WINDOW),
    "gpt2": Family("gpt2", "GPT-2, mGPT", _GPT2),
    "gpt_neox": Family("gpt_neox", "Pythia, GPT-NeoX", _PLAIN | {"rotary_pct": 0.5}),
    "opt": Family(
        "opt",
        "OPT",
        _OPT
        | {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
        },
    ),
    "bloom": Family(
        "bloom", "BLOOM, BLOOMZ", _COMMON | {"hidden_size": 32, "n_layer": 3, "n_head": 4}
    ),
    "cohere": Family(
        "cohere", "Command R, Aya 23, Aya Expanse 8B", _SHAPE | {"logit_scale": 0.0625}
    ),
    "cohere2": Family("cohere2", "Command R7B, Command A", _SHAPE | _MIXED | {"logit_scale": 0.25}),
    "granite": Family("granite", "Granite 3", _GRANITE),
    "hyperclovax": Family("hyperclovax", "HyperCLOVA X SEED Think", _GRANITE),
    "minicpm3": Family("minicpm3", "MiniCPM 3", _SHAPE | _LATENT | {"dim_model_base": 8}),
    "apertus": Family("apertus", "Apertus", _SHAPE),
    "smollm3": Family("smollm3", "SmolLM3", _SHAPE | {"no_rope_layers": [1, 0, 1]}),
    "falcon": Family(
        "falcon", "Falcon 7B", _FALCON | {"multi_query": True, "parallel_attn": True, "bias": False}
    ),
    "falcon_new": Family(
        "falcon", "Falcon 40B", _FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True}
    ),
    "falcon_alibi": Family(
        "falcon",
        "Falcon RW",
        _FALCON | {"alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
    ),
    "mpt": Family(
        "mpt",
        "MPT",
        _COMMON
        | {"d_model": 32, "n_layers": 3, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": 256},
    ),
    "gemma": Family("gemma", "Gemma 1", _SHAPE | {"head_dim": 8}),
    "gemma3_vision": Family(
        "gemma3",
        "Gemma 3 4B-27B",
        {"text_config": _GEMMA3, "vision_config": _VISION, "mm_tokens_per_image": 4},
    ),
    "olmo": Family("olmo", "OLMo 1", _SHAPE),
    "olmo3": Family("olmo3", "OLMo 3", _SHAPE | _WINDOW),
    "phi": Family("phi", "Phi-1.5, Phi-2", _SHAPE),
    "stablelm": Family("stablelm", "StableLM", _SHAPE),
    "starcoder2": Family("starcoder2", "StarCoder 2", _SHAPE),
    "xglm": Family("xglm", "XGLM", _OPT | {"d_model": 32, "num_layers": 3, "attention_heads": 4}),
    "gptj": Family("gptj", "GPT-J", _GPT2 | {"rotary_dim": 4}),
    "gpt_neo": Family(
        "gpt_neo",
        "GPT-Neo",
        _COMMON
        | {
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 256,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": 16,
        },
    ),
    "nemotron": Family("nemotron", "Nemotron-4, Minitron", _SHAPE),
    "exaone4": Family("exaone4", "EXAONE 4", _SHAPE | _MIXED),
    "helium": Family("helium", "Helium", _SHAPE | {"head_dim": 8}),
    "ministral3": Family("ministral3", "Ministral 3", _SHAPE | {"head_dim": 8}),
    "qwen2_moe": Family(
        "qwen2_moe",
        "Qwen 1.5 MoE",
        _SHAPE | _EXPERTS | {"shared_expert_intermediate_size": 24},
    ),
    "qwen3_moe": Family("qwen3_moe", "Qwen 3 30B-A3B", _SHAPE | _EXPERTS),
    "mixtral": Family("mixtral", "Mixtral", _SHAPE | _LOCAL_EXPERTS),
    "olmoe": Family("olmoe", "OLMoE", _SHAPE | {"num_experts": 4, "num_experts_per_tok": 2}),
    "phimoe": Family("phimoe", "Phi-3.5 MoE", _SHAPE | _LOCAL_EXPERTS),
    "granitemoe": Family("granitemoe", "Granite 3 MoE", _GRANITE | _LOCAL_EXPERTS),
    "gpt_oss": Family("gpt_oss", "gpt-oss", _SHAPE | _LOCAL_EXPERTS | _MIXED | {"head_dim": 8}),
    "llama4": Family(
        "llama4_text",
        "Llama 4 (text)",
        _SHAPE
        | {
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 48,
            "interleave_moe_layer_step": 2,
            "head_dim": 8,
            "attention_chunk_size": 16,
        },
    ),
    "deepseek_v3": Family("deepseek_v3", "DeepSeek V3, R1", _SHAPE | _ROUTED | _LATENT),
    "glm4_moe": Family("glm4_moe", "GLM-4.5", _SHAPE | _ROUTED | {"head_dim": 8}),
}


def make(name: str, *, seed: int = 0) -> tuple[PreTrainedModel, str]:
    """A random model of a family in fp32, and the attention backend that it runs with.

    Its weights are larger than usual, so that nothing is nearly constant.
    """
    config = FAMILIES[name].config()

    def random(attention: str) -> PreTrainedModel:
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation=attention
        )
        for parameter in model.parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            elif not parameter.any():  # zeros, with which a family begins its training
                torch.nn.init.normal_(parameter, std=0.15)
        return model

    with torch.random.fork_rng():
        model, attention = with_attention(config, random)
    return model.eval().requires_grad_(False), attention


def prove_family(name: str) -> Proven:
    """Make a small random model of a family and prove its structure, as a real one is on loading.

    Raises:
        ValueError: it cannot be read or steered.
    """
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # sizes as small as these are worth a warning to many configs
    try:
        model, attention = make(name)
    finally:
        logging.set_verbosity(level)
    sizes = shape(model.config.to_dict(), where=name)
    positions = find_positions(model, context=sizes.context)
    sites = find(model, layers=sizes.layers)
    proof = claims(model, sites)
    prove_interventions(sites)
    shares = can_share(sites, positions)
    return Proven(name, FAMILIES[name].models, sites, proof, shares, attention)

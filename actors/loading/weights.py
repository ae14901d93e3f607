"""Load a model's weights from its folder onto their place, whole or not at all.

In 8 bits every row of a matrix, and of what enters it, has its own scale. The outlier columns of
LLM.int8 (arXiv 2208.07339) are left out: they are chosen by all texts of a batch, so that an answer
would depend on its neighbours. In 4 bits it is NF4 (QLoRA, arXiv 2305.14314) without its second
quantisation. Embeddings, head and norms keep the dtype, and layers compute in it.
"""

import logging
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from actors.loading.device import Place
from studies.model_config import read_config
from studies.spec import ModelFacts

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def refuse_unreadable(facts: ModelFacts, *, folder: str) -> None:
    """Raise ValueError for a model that no class reads, or only code that is not trusted."""
    config = read_config(Path(folder))
    family, code = config.get("model_type"), config.get("auto_map")
    known = family in CONFIG_MAPPING_NAMES and family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if not known and code and not facts.trust_remote_code:
        raise ValueError(
            f"model {facts.label!r} (model type {family!r}) can only be read by Python code of its "
            "own: look through the .py files beside its weights, and pass --trust-remote-code to "
            "run them"
        )
    if not known and not code:
        raise ValueError(
            f"model {facts.label!r} has model type {family!r}, for which transformers "
            f"{transformers.__version__} has no decoder: expected a type such as 'llama', 'qwen2' "
            "or 'gemma2'; upgrade transformers if the model is newer, or choose another"
        )


def require_packages(facts: ModelFacts) -> None:
    """Raise ValueError where a package that this model needs is not installed."""
    if facts.adapter:
        require("peft", extra="peft", purpose=f"model {facts.label!r} has an adapter")
    if facts.quantisation:
        purpose = f"model {facts.label!r} is asked for in {facts.quantisation}"
        require("bitsandbytes", extra="large", purpose=purpose)
        require("accelerate", extra="large", purpose=purpose)


def require(package: str, *, extra: str, purpose: str) -> None:
    """Raise ValueError where a package that only some models need is not installed."""
    if find_spec(package) is None:
        raise ValueError(
            f"{purpose}, which needs the package {package!r}: run "
            f"`pip install 'babelscope[{extra}]'`"
        )


def load_weights(
    facts: ModelFacts, config: PretrainedConfig, *, folder: str, place: Place
) -> tuple[PreTrainedModel, str]:
    """The model and its attention backend: sdpa, or eager where the family cannot use sdpa.

    Raises:
        ValueError: weights are missing, of another shape, or do not fit after all.
    """
    if place.shares:
        require("accelerate", extra="large", purpose=f"model {facts.label!r} is to be spread")
    for attention in attentions(config):
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=DTYPES[facts.dtype],
                attn_implementation=attention,
                quantization_config=quantiser(facts),
                use_safetensors=True,
                trust_remote_code=facts.trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
                **_placement(facts, place),
            )
        except ValueError as error:
            if attention == "eager" or "scaled_dot_product_attention" not in str(error):
                raise
            continue
        absent = sorted(chain(loading["missing_keys"], loading["mismatched_keys"]))
        if absent:
            raise ValueError(
                f"{len(absent)} weights are missing or of another shape, {absent[0]!r} first; "
                "expected every weight in the folder's *.safetensors"
            )
        return _settled(model, place), attention
    raise AssertionError("the loop above returns or raises")


def attentions(config: PretrainedConfig) -> tuple[str, ...]:
    """The attention backends that a model may use, the fastest first.

    sdpa has no softcapping of attention logits; some versions drop it without a word.
    """
    text = config.get_text_config()  # that of a model with a vision part is nested
    capped = getattr(text, "attn_logit_softcapping", None) is not None
    return ("eager",) if capped else ("sdpa", "eager")


def quantiser(facts: ModelFacts) -> BitsAndBytesConfig | None:
    """The settings of the quantisation that is asked for."""
    if facts.quantisation is None:
        return None
    # It says for every matrix product that it casts its input.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if facts.quantisation == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=DTYPES[facts.dtype],
        bnb_4bit_use_double_quant=False,
    )


def _placement(facts: ModelFacts, place: Place) -> dict[str, object]:
    """The arguments that say where weights go, which transformers needs accelerate for."""
    if place.shares:
        return {"device_map": place.device_map, "max_memory": dict(place.shares)}
    direct = facts.quantisation or (place.device.type == "cuda" and find_spec("accelerate"))
    return {"device_map": place.device_map} if direct else {}


def _settled(model: PreTrainedModel, place: Place) -> PreTrainedModel:
    """The model on its place, with nothing left on disk."""
    homes = {str(device) for device in getattr(model, "hf_device_map", {}).values()}
    if "disk" in homes or (place.device.type == "cuda" and "cpu" in homes):
        raise ValueError(
            f"its blocks cannot be divided over {len(place.shares)} devices with what is free on "
            "them: use a smaller --dtype, --quantise, or larger devices"
        )
    for module in model.modules():
        # On some CPUs bitsandbytes would compute in bfloat16 whatever was asked for.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if getattr(model, "quantization_method", None) or len(homes) > 1:
        return model
    moved: PreTrainedModel = model.to(place.device)
    return moved

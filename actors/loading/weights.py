"""Load a model's weights from its folder onto their place, whole or not at all.

In 8 bits every row of a matrix, and of what enters it, has its own scale. The outlier columns of
LLM.int8 (arXiv 2208.07339) are left out: they are chosen by all texts of a batch, so that an answer
would depend on its neighbours. In 4 bits it is NF4 (QLoRA, arXiv 2305.14314) without its second
quantisation. Embeddings, head and norms keep the dtype, and layers compute in it.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from actors.loading.architecture import check, refuse_differing, refuse_misfits
from actors.loading.device import Placement
from actors.loading.values import DTYPES, refuse_values
from studies.models.weights import tensors_of, weight_files
from studies.spec import ModelFacts

T = TypeVar("T")


def require_packages(facts: ModelFacts) -> None:
    """Raise ValueError where a package that this model needs is not installed."""
    if facts.adapter:
        require("peft", extra="peft", purpose=f"model {facts.label!r} has an adapter")
    if facts.quantisation:
        purpose = f"model {facts.label!r} is asked for in {facts.quantisation}"
        require("bitsandbytes", extra="large", purpose=purpose)


def require(package: str, *, extra: str, purpose: str) -> None:
    """Raise ValueError where a package that only some models need is not installed."""
    if find_spec(package) is None:
        raise ValueError(
            f"{purpose}, which needs the package {package!r}: run "
            f"`pip install 'babelscope[{extra}]'`"
        )


def load_weights(
    facts: ModelFacts, config: PretrainedConfig, *, folder: str, place: Placement
) -> tuple[PreTrainedModel, str]:
    """The model and its attention backend: sdpa, or eager where the family cannot use sdpa.

    Raises:
        ValueError: weights are missing, of another shape, without a place or no numbers, or the
            model does not fit after all.
    """
    refuse_odd(facts, folder=folder)

    def load(attention: str) -> tuple[PreTrainedModel, Mapping[str, Any]]:
        model, info = AutoModelForCausalLM.from_pretrained(
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
        return model, info

    (model, info), attention = with_attention(config, load)
    refuse_misfits(facts, info, stored=tensors_of(Path(folder)))
    refuse_differing(facts, model)
    return _settled(model, place), attention


def refuse_odd(facts: ModelFacts, *, folder: str) -> None:
    """Raise ValueError for stored weights that do not fit their architecture or are no numbers."""
    fit = check(facts, folder=folder, stored=tensors_of(Path(folder)))
    files = weight_files(Path(folder))
    refuse_values(facts, files, unread=fit.unread, integers=fit.integers)


def with_attention(config: PretrainedConfig, make: Callable[[str], T]) -> tuple[T, str]:
    """What `make` returns for the fastest attention backend that a model may use, and its name.

    That is sdpa, or eager where a family has no sdpa, or softcaps its attention logits, which some
    versions of sdpa drop without a word.
    """
    text = config.get_text_config()  # that of a model with a vision part is nested
    if getattr(text, "attn_logit_softcapping", None) is None:
        try:
            return make("sdpa"), "sdpa"
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
    return make("eager"), "eager"


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


def _placement(facts: ModelFacts, place: Placement) -> dict[str, object]:
    """The arguments that say where weights go."""
    if place.shares:
        return {"device_map": place.device_map, "max_memory": dict(place.shares)}
    direct = facts.quantisation or place.device.type == "cuda"
    return {"device_map": place.device_map} if direct else {}


def _settled(model: PreTrainedModel, place: Placement) -> PreTrainedModel:
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

"""Merge an adapter (LoRA and its kin) into a model's weights, and prove that it went in.

After it the model has the modules it had before, so its sites are what they were. The proof is
that the logits with the adapter beside the weights are those with the adapter in them.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.errors import first_line, out_of_memory
from actors.loading.values import refuse_values
from actors.structure.probe import probe_ids
from studies.models.adapter import WEIGHTS, opened
from studies.models.config import ADAPTER_CONFIG, read_json
from studies.spec import ModelFacts

# Shapes: B rows, T tokens, V vocabulary

PROBE_TOKENS = 8

# Half precision rounds the sum of two weights, and the sum of two outputs, at different places.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def merge(model: PreTrainedModel, facts: ModelFacts) -> PreTrainedModel:
    """The model with its adapter in the weights; `model` itself is changed.

    Raises:
        ValueError: the adapter was made for another model, or cannot be merged.
    """
    from peft import PeftConfig, PeftModel

    ids_BT = probe_ids(model.get_input_embeddings().weight, tokens=PROBE_TOKENS)
    folder = opened(facts.adapter, facts.adapter_commit)
    refuse_values(facts, [folder / WEIGHTS])
    made_for = str(read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path"))
    with _misfits(facts, made_for=made_for):
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        adapted = PeftModel(model, config)
        found = adapted.load_adapter(str(folder), "default", torch_device=str(ids_BT.device))
        if found.missing_keys:
            raise ValueError(f"it has no {found.missing_keys[0]!r}")
        if found.unexpected_keys:
            raise ValueError(f"the model has no place for its {found.unexpected_keys[0]!r}")
    adapted.eval()
    beside_BTV = _logits(adapted, ids_BT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of is proven below
            merged: PreTrainedModel = adapted.merge_and_unload()
    except (NotImplementedError, ValueError, AttributeError) as error:
        raise ValueError(_unmergeable(facts, first_line(error).rstrip("."))) from error
    difference = float((_logits(merged, ids_BT) - beside_BTV).abs().max() / beside_BTV.abs().max())
    allowed = TOLERANCE[model.dtype]
    if not difference <= allowed:
        reason = f"logits differ by {difference:.1e} (allowed {allowed:.0e})"
        if model.config.tie_word_embeddings:
            reason += ", and embeddings and head share their weights"
        raise ValueError(_unmergeable(facts, reason))
    return merged


@contextmanager
def _misfits(facts: ModelFacts, *, made_for: str) -> Iterator[None]:
    """Say of every error inside that the adapter and the model do not belong together, or that the
    adapter's settings are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, ValueError, KeyError) as error:
        if out_of_memory(error):
            raise
        misfit = "size mismatch" in str(error)
        reason = "its weights have other shapes" if misfit else first_line(error).rstrip(".")
        raise ValueError(
            f"adapter {facts.adapter!r} does not fit model {facts.label!r}: {reason}; expected the "
            f"model it was made for, {made_for!r}"
        ) from error
    except (TypeError, AttributeError) as error:
        raise ValueError(
            f"adapter {facts.adapter!r}: peft cannot use its {ADAPTER_CONFIG} "
            f"({type(error).__name__}: {first_line(error).rstrip('.')}): copy the adapter again"
        ) from error


def _unmergeable(facts: ModelFacts, reason: str) -> str:
    return (
        f"adapter {facts.adapter!r} cannot be merged into the weights of model {facts.label!r}: "
        f"{reason}; choose another adapter"
    )


@torch.inference_mode()
def _logits(model: nn.Module, ids_BT: Tensor) -> Tensor:
    """Logits [B, T, V] in fp32."""
    logits_BTV: Tensor = model(input_ids=ids_BT, use_cache=False).logits
    return logits_BTV.float()

"""Hold a model's stored tensors against the architecture that its config.json names.

transformers is asked itself: it loads tensors without numbers, as the files' headers describe them,
by the way that it loads the real ones, with the names and shapes that each family changes on that
way. What it would only warn of, or drop without a word, is refused here, in a second and without a
device. The numbers in the tensors are checked in values.py.
"""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from actors.errors import out_of_memory
from studies.models.config import read_config
from studies.models.weights import tensors_in, unfinished, weight_files
from studies.spec import ModelFacts

# Buffers that old files hold and every model makes anew from its configuration: by name, and by how
# many sides they have, as a bias or a norm of that name would have another number.
REMADE = {
    r"(^|\.)inv_freq$": 1,
    r"(^|\.)position_ids$": 2,
    r"attn\.masked_bias$|attention\.masked_bias$": 0,
    r"attn\.bias$|attention\.bias$": 4,
}
SHOWN = 3

ALLOW = "pass --allow-odd-weights to leave them unread"


class Fit(NamedTuple):
    """What a model's architecture makes of its stored tensors.

    Loading leaves three kinds unread: `unused` have no place and were allowed, `dropped` are those
    that transformers leaves out of this family, such as layers that predict further tokens, and
    `remade` are made anew from the configuration. `integers` are tensors of whole numbers, None
    where that was not judged.
    """

    unused: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    integers: frozenset[str] | None = None

    @property
    def unread(self) -> frozenset[str]:
        """All stored tensors that are left unread."""
        return frozenset(self.unused + self.dropped + self.remade)


def refuse_unreadable(facts: ModelFacts, *, folder: str) -> None:
    """Raise ValueError for a model that no class reads, or only code that is not trusted."""
    config = read_config(Path(folder))
    family, code = config.get("model_type"), config.get("auto_map")
    known = (
        isinstance(family, str)
        and family in CONFIG_MAPPING_NAMES
        and family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    )
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


def check(facts: ModelFacts, *, folder: str, stored: Mapping[str, tuple[int, ...]] | None) -> Fit:
    """Load a model without its numbers; what of it would stay unread.

    Args:
        facts: what is known of the model.
        folder: where its config.json lies.
        stored: the shapes of its stored tensors, None where they are not known yet: then only the
            configuration is judged.

    A model that is read by code of its own, or is stored quantised, is judged only when it is
    loaded (`refuse_misfits`): its code makes what it likes, and the names of packed weights are
    their packer's.

    Raises:
        ValueError: no class reads the model, its configuration makes no model, weights are missing
            or of another shape, or have no place in it, or two that should be the same differ.
    """
    refuse_unreadable(facts, folder=folder)
    if read_config(Path(folder)).get("quantization_config"):
        return Fit()
    with _silence():
        try:
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=facts.trust_remote_code
            )
            if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
                return Fit()
            model, info = _hollow(config, stored or {})
        except Exception as error:  # a configuration can be wrong in any way
            if out_of_memory(error):
                raise
            raise ValueError(
                f"model {facts.label!r}: transformers can make no model of its config.json and "
                f"weights ({_reason(error, read_config(Path(folder)))}); copy the folder again, or "
                "mend its config.json"
            ) from error
    if stored is None:
        return Fit()
    unused = refuse_misfits(facts, info, stored=stored)
    _refuse_untied(facts, model, folder=folder, stored=stored)
    there = model.state_dict()
    patterns = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    base = model.base_model_prefix
    absent = [name for name in stored if name not in there and f"{base}.{name}" not in there]
    remade = [name for name in absent if _is_remade(name, stored[name])]
    dropped = [name for name in absent if any(re.search(pattern, name) for pattern in patterns)]
    fit = Fit(
        unused=unused,
        dropped=tuple(name for name in dropped if name not in remade),
        remade=tuple(remade),
        integers=frozenset(name for name in there if not there[name].is_floating_point()),
    )
    _refuse_twice(facts, model, {n: shape for n, shape in stored.items() if n not in fit.unread})
    return fit


def refuse_misfits(
    facts: ModelFacts, info: Mapping[str, Any], *, stored: Mapping[str, tuple[int, ...]]
) -> tuple[str, ...]:
    """The stored tensors without a place that are allowed, as transformers reports a loading.

    Raises:
        ValueError: weights are missing, have another shape, or have no place and are not allowed.
    """
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(
            f"model {facts.label!r}: {_these(missing)} missing from its *.safetensors: copy the "
            "whole folder, or mend its config.json"
        )
    wrong = sorted(info["mismatched_keys"])
    if wrong:
        name, there, expected = wrong[0]
        raise ValueError(
            f"model {facts.label!r}: {_these([entry[0] for entry in wrong])} of another shape than "
            f"its config.json says ({name} is {_sides(there)}, expected {_sides(expected)}): copy "
            "the whole folder, or mend its config.json"
        )
    unused = sorted(
        name for name in info["unexpected_keys"] if not _is_remade(name, stored.get(name))
    )
    if unused and not facts.allow_odd_weights:
        raise ValueError(
            f"model {facts.label!r}: {_these(unused)} stored without a place in the architecture "
            f"that its config.json names: mend its config.json, or {ALLOW}"
        )
    return tuple(unused)


def _refuse_twice(
    facts: ModelFacts, model: PreTrainedModel, read: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ValueError where more numbers are read than the model has: two tensors go to one place,
    and one of them is lost without a word.
    """
    unknown = max(0, sum(map(math.prod, read.values())) - _size(model))
    twins = [name for name in read if f"{model.base_model_prefix}.{name}" in read]
    if unknown:
        which = f", {twins[0]} first, with and without the name of the base" if twins else ""
        raise ValueError(
            f"model {facts.label!r}: its stored tensors hold {unknown:,} numbers more than the "
            f"model has, so that some have the same place{which}: copy the folder again"
        )


def _size(model: PreTrainedModel) -> int:
    """How many numbers a model holds: what is tied counts once, what is made anew does not."""
    kept = {id(value): value.numel() for value in model.state_dict(keep_vars=True).values()}
    return sum(kept.values())


def refuse_differing(facts: ModelFacts, model: PreTrainedModel) -> None:
    """Raise ValueError for a loaded model in which weights differ that are to be the same."""
    for target, source in model.get_expanded_tied_weights_keys(all_submodels=True).items():
        if _apart(model, target, source):
            # One of them may be the other's copy on another device.
            first, second = (model.get_parameter(name).cpu() for name in (target, source))
            if not torch.equal(first, second):
                raise ValueError(_differing(facts, target, source))


def _hollow(
    config: PretrainedConfig, stored: Mapping[str, tuple[int, ...]]
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The model with its tensors in place and no number in them, and what transformers reports."""
    family = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    tensors = {name: torch.empty(shape, device="meta") for name, shape in stored.items()}
    model, info = family.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=torch.float32,
        device_map={"": "meta"},
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    return model, info


def _refuse_untied(
    facts: ModelFacts, model: PreTrainedModel, *, folder: str, stored: Iterable[str]
) -> None:
    """Raise ValueError where two stored tensors differ that config.json says are the same.

    What becomes of them depends on who loads: transformers keeps both, vLLM drops one.
    """
    for target, source in model.all_tied_weights_keys.items():
        if not _apart(model, target, source):
            continue
        first, second = (_read(folder, _found(name, stored)) for name in (target, source))
        if first is not None and second is not None and not torch.equal(first, second):
            raise ValueError(_differing(facts, target, source))


def _apart(model: nn.Module, target: str, source: str) -> bool:
    """Whether two parameters that should be one are two."""
    return model.get_parameter(target) is not model.get_parameter(source)


def _differing(facts: ModelFacts, first: str, second: str) -> str:
    return (
        f"model {facts.label!r}: its config.json says that {first} and {second} are the same "
        "weights (tie_word_embeddings), and the stored ones differ: set tie_word_embeddings to "
        "false in config.json if both are meant, or remove the one that is not"
    )


def _found(name: str, stored: Iterable[str]) -> str | None:
    """The stored tensor that a parameter comes from: its name may lack the name of the base."""
    return next((one for one in stored if one == name or name.endswith(f".{one}")), None)


def _read(folder: str, name: str | None) -> torch.Tensor | None:
    """A stored tensor, None where its file is yet to be downloaded."""
    for path in [] if unfinished(Path(folder)) else weight_files(Path(folder)):
        if name in tensors_in(path):
            with safe_open(path, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(name)
                return tensor
    return None


def _is_remade(name: str, shape: tuple[int, ...] | None) -> bool:
    """Whether it is a buffer that every model makes anew, by its name and number of sides."""
    return shape is not None and any(
        len(shape) == sides and re.search(pattern, name) for pattern, sides in REMADE.items()
    )


def _these(names: list[str]) -> str:
    """A few names and how many there are, with the verb behind them."""
    shown = ", ".join(names[:SHOWN]) + (" ..." if names[SHOWN:] else "")
    return f"1 tensor ({shown}) is" if len(names) == 1 else f"{len(names)} tensors ({shown}) are"


def _sides(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _reason(error: Exception, config: Mapping[str, object]) -> str:
    """What an error says; of a value that was looked up in vain, which setting it is."""
    if isinstance(error, KeyError):
        for name, value in _settings(config):
            if value == error.args[0]:
                return f"there is no {name} {value!r}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"


def _settings(config: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every setting of a configuration, those of its parts among them."""
    for name, value in config.items():
        yield name, value
        if isinstance(value, Mapping):
            yield from _settings(value)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers from reporting what is judged here."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()

"""A model's config.json: its sizes whatever the family calls them, and the models never read.

Sizes that no model can have are refused here; whether transformers has a class for the model and
the stored tensors fit it is checked in actors/loading/architecture.py.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from studies.text_files import unique

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"

NO_LIMIT = 1 << 30

# What families call the longest text they read.
CONTEXTS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")

# Encoders whose configuration may name no task that gives them away.
ENCODERS = (
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
    *("esm", "eurobert", "longformer", "modernbert", "mpnet", "nomic_bert", "roberta", "xlm"),
    *("xlm-roberta", "xlm-roberta-xl"),
)

LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
WIDTH = ("hidden_size", "n_embd", "d_model")
NEURONS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
HEADS = ("num_attention_heads", "n_head", "num_key_value_heads", "head_dim")
VOCABULARY = ("vocab_size",)
# Whole numbers from 1 wherever a configuration has them as one number.
SIZES = LAYERS + WIDTH + NEURONS + CONTEXTS + HEADS + VOCABULARY
# Finite numbers above 0.
POSITIVE = (
    *("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps"),
    *("rope_theta", "rope_local_base_freq", "rotary_emb_base", "rotary_pct"),
    *("partial_rotary_factor", "query_pre_attn_scalar", "attn_logit_softcapping"),
    *("final_logit_softcapping", "logit_scale", "logits_scaling", "attention_multiplier"),
    *("embedding_multiplier", "residual_multiplier"),
)
ROPE = ("rope_scaling", "rope_parameters")
ACTIVATION = ("hidden_act", "hidden_activation", "activation_function")

Config = dict[str, object]

_settings = partial(unique, message="{name} stands twice in one object: remove one of them")


class Shape(NamedTuple):
    """The sizes that a configuration gives; no vocabulary where it gives none."""

    layers: int
    width: int
    neurons: int
    context: int
    vocabulary: int | None


def read_config(folder: Path) -> Config:
    """The configuration of the model in a folder, as JSON."""
    path = folder / CONFIG
    adapted = (folder / ADAPTER_CONFIG).is_file()
    if not path.is_file() and adapted:
        raise ValueError(
            f"folder {folder} holds an adapter and no model (it has no config.json): "
            f"name the model it was made for with --model, and this with --adapter {folder}"
        )
    if not path.is_file():
        raise ValueError(
            f"model folder {folder} has no config.json: expected a folder as "
            "`save_pretrained` writes it"
        )
    if adapted:
        raise ValueError(
            f"model folder {folder} holds an adapter beside the model, so it is not clear which of "
            "the two is meant: move adapter_config.json and its weights to a folder of their own, "
            "and name that with --adapter if it is to be used"
        )
    return read_json(path)


def read_json(path: Path) -> Config:
    """A JSON object in a file.

    Raises:
        ValueError: it is none, cannot be read, or says the same thing twice.
    """
    try:
        content = json.loads(
            path.read_bytes().decode("utf-8"), object_pairs_hook=_settings, parse_constant=_number
        )
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}): copy it again") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {error.lineno}: not valid JSON ({error.msg})") from error
    except RecursionError as error:
        raise ValueError(f"{path}: not a file of settings, it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Say of files that the system does not let us read, in one sentence, whose they are.

    Raises:
        ValueError: one of them was not read; `what` cannot be read, and why.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{what} cannot be read ({error})") from error


def _number(constant: str) -> float:
    """A number that JSON does not have; some configurations have limits that are infinite."""
    if constant == "NaN":
        raise ValueError("a value is NaN, which is no setting: expected a number")
    return float(constant)


def refuse_encoders(config: Config, *, where: str) -> None:
    """Raise ValueError for a model that does not predict the next token from the ones before."""
    family = config.get("model_type")
    classes = config.get("architectures")
    named = [str(name) for name in classes] if isinstance(classes, list) else []
    masked = any(name.endswith("ForMaskedLM") for name in named)
    kind = None
    if config.get("is_encoder_decoder"):
        kind = "encoder-decoder"
    elif (family in ENCODERS or masked) and not config.get("is_decoder"):
        kind = "encoder"
    if kind:
        raise ValueError(
            f"model {where} is an {kind} (model type {family!r}): expected a decoder, which "
            "predicts the next token, such as Llama, Qwen2 or Gemma2; choose such a model"
        )


def shape(config: Config, *, where: str) -> Shape:
    """Layers, width, neurons, context and vocabulary, whatever the family calls them.

    Raises:
        ValueError: the layers or the width are not given, or a size is none that a model can have.
    """
    decoder = _decoder(config)
    for part in {id(part): part for part in (config, decoder)}.values():
        _refuse_nonsense(part, where=where)

    def first(names: tuple[str, ...]) -> int | None:
        found = [decoder[name] for name in names if isinstance(decoder.get(name), int)]
        return int(str(found[0])) if found else None

    layers, width = first(LAYERS), first(WIDTH)
    if layers is None or width is None:
        raise ValueError(
            f"config.json of {where} gives no number of layers or no width: expected the "
            "configuration of a decoder such as Llama, Qwen2 or Gemma2"
        )
    return Shape(
        layers=layers,
        width=width,
        neurons=first(NEURONS) or 4 * width,
        context=first(CONTEXTS) or NO_LIMIT,
        vocabulary=first(VOCABULARY),
    )


def _decoder(config: Config) -> Config:
    """The part of a configuration that is about the decoder."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _refuse_nonsense(config: Config, *, where: str) -> None:
    """Raise ValueError for a size or a number that no model can have.

    Only what is wrong for every family is refused; the rest is for the family's own class to say.
    """
    for name in SIZES:
        value = config.get(name)
        if value is not None and not isinstance(value, list) and not _is_size(value):
            raise ValueError(_nonsense(name, value, "a whole number from 1", where=where))
    window, off = config.get("sliding_window"), config.get("use_sliding_window") is False
    if window is not None and not off and not isinstance(window, list) and not _is_size(window):
        raise ValueError(_nonsense("sliding_window", window, "a whole number from 1", where=where))
    rope = [part for name in ROPE if isinstance(part := config.get(name), dict)]
    each = [part for outer in rope for part in outer.values() if isinstance(part, dict)]
    for part in (config, *rope, *each):
        for name in POSITIVE:
            value = part.get(name)
            if value is not None and not isinstance(value, list) and not _is_number(value):
                expected = "a finite number above 0"
                raise ValueError(_nonsense(name, value, expected, where=where))
    for part in (*rope, *each):
        if part.get("factor") is not None and not _is_number(part["factor"], least=1):
            expected = "a finite number from 1"
            raise ValueError(_nonsense("rope's factor", part["factor"], expected, where=where))
    activation = next((config[n] for n in ACTIVATION if config.get(n) is not None), "")
    if not isinstance(activation, str):
        expected = "the name of an activation function"
        raise ValueError(_nonsense("hidden_act", activation, expected, where=where))
    for name in ("text_config", *ROPE):
        if config.get(name) is not None and not isinstance(config[name], dict):
            raise ValueError(_nonsense(name, config[name], "an object", where=where))


def _is_size(value: object) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object, *, least: float = math.ulp(0)) -> bool:
    """Whether it is a finite number from `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return least <= value < math.inf


def _nonsense(name: str, value: object, expected: str, *, where: str) -> str:
    """The sentence that says a setting is none."""
    return f"config.json of {where} has {name} {value!r}: expected {expected}; copy the file again"


def head_width(config: Config) -> int | None:
    """How wide an attention head is, or None where the configuration does not say."""
    text = _decoder(config)
    stated = text.get("head_dim")
    if isinstance(stated, int):
        return stated
    width, heads = text.get("hidden_size"), text.get("num_attention_heads")
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None

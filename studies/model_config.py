"""A model's config.json: its sizes whatever the family calls them, and the models never read.

Which classes there are is unknown here: what transformers can load is found out on loading.
"""

import json
from pathlib import Path
from typing import NamedTuple

NO_LIMIT = 1 << 30

# What families call the longest text they read.
CONTEXTS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")

# Encoders whose configuration may name no task that gives them away.
ENCODERS = (
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
    *("esm", "eurobert", "longformer", "modernbert", "mpnet", "nomic_bert", "roberta", "xlm"),
    *("xlm-roberta", "xlm-roberta-xl"),
)

Config = dict[str, object]


class Shape(NamedTuple):
    """The sizes that a configuration gives; no vocabulary where it gives none."""

    layers: int
    width: int
    neurons: int
    context: int
    vocabulary: int | None


def read_config(folder: Path) -> Config:
    """The configuration of the model in a folder, as JSON."""
    path = folder / "config.json"
    adapted = (folder / "adapter_config.json").is_file()
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
    """A JSON object in a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {error.lineno}: not valid JSON ({error.msg})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


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
    """Layers, width, neurons, context and vocabulary, whatever the family calls them."""
    nested = config.get("text_config")
    decoder: Config = nested if isinstance(nested, dict) else config

    def first(*names: str) -> int | None:
        found = [decoder[name] for name in names if isinstance(decoder.get(name), int)]
        return int(str(found[0])) if found else None

    layers = first("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    width = first("hidden_size", "n_embd", "d_model")
    if layers is None or width is None:
        raise ValueError(
            f"config.json of {where} gives no number of layers or no width: expected the "
            "configuration of a decoder such as Llama, Qwen2 or Gemma2"
        )
    return Shape(
        layers=layers,
        width=width,
        neurons=first("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * width,
        context=first(*CONTEXTS) or NO_LIMIT,
        vocabulary=first("vocab_size"),
    )


def head_width(config: Config) -> int | None:
    """How wide an attention head is, or None where the configuration does not say."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    stated = text.get("head_dim")
    if isinstance(stated, int):
        return stated
    width, heads = text.get("hidden_size"), text.get("num_attention_heads")
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None

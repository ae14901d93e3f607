"""Ways to break a model's folder, and what is to be said of each: a table of changes."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Change = Callable[[Path], object]
Weights = dict[str, Tensor]

UP = "model.layers.0.mlp.up_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"
Q_BIAS = "model.layers.0.self_attn.q_proj.bias"
FREQUENCIES = "model.layers.0.self_attn.rotary_emb.inv_freq"


def settings(**changes: object) -> Change:
    """Change entries of config.json; None takes one out."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def text(name: str, content: str | bytes) -> Change:
    """Write a file."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def weights(edit: Callable[[Weights], object]) -> Change:
    """Change the stored tensors."""

    def change(folder: Path) -> None:
        stored = load_file(folder / "model.safetensors")
        edit(stored)
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def put(name: str, value: Tensor) -> Change:
    return weights(lambda stored: stored.__setitem__(name, value))


def fill(name: str, value: float, *, only: slice = slice(None)) -> Change:
    return weights(lambda stored: stored[name].view(-1)[only].fill_(value))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def header(content: str, numbers: bytes = b"") -> Change:
    raw = content.encode()
    return text("model.safetensors", struct.pack("<Q", len(raw)) + raw + numbers)


def sharded(*, twice: bool = False, **changes: object) -> Change:
    """Divide the weights over two files with an index, then change entries of its weight_map.

    With `twice`, one tensor is in both files.
    """

    def change(folder: Path) -> None:
        stored = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        names = sorted(stored)
        files = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
        where = {name: file for file, named in files.items() for name in named}
        if twice:
            files["model-2-of-2.safetensors"].append(names[0])
        for file, named in files.items():
            save_file({name: stored[name] for name in named}, folder / file)
        index: dict[str, object] = {"metadata": {}, "weight_map": {**where, **changes}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def several(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def without(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def rope(**changes: object) -> Change:
    return settings(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, **changes})


def edited(text: str, into: str) -> Change:
    """Change config.json as text."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        content = path.read_text()
        assert text in content
        path.write_text(content.replace(text, into, 1))

    return change


INDEX = "model.safetensors.index.json"
LAYERS = '"num_hidden_layers": 3'
ONE = '{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 8]}}'

# What is wrong, and what is said of it before anything is written.
PLANNED: dict[str, tuple[Change, str]] = {
    "list": (text("config.json", "[]"), "expected a JSON object, found list"),
    "null": (text("config.json", "null"), "expected a JSON object, found NoneType"),
    "cut json": (text("config.json", '{"a": '), "line 1: not valid JSON"),
    "not utf-8": (text("config.json", b'{"a": "\xff"}'), r"config\.json: not UTF-8 text"),
    "deep": (text("config.json", "[" * 99_999), "nested too deeply"),
    "long number": (text("config.json", '{"a": %s}' % ("9" * 9999)), r"config\.json: Exceeds"),
    "twice": (edited(LAYERS, f"{LAYERS}, {LAYERS}"), "'num_hidden_layers' stands twice"),
    "nan": (settings(rms_norm_eps=float("nan")), "a value is NaN"),
    "infinity": (settings(rms_norm_eps=float("inf")), "rms_norm_eps inf: expected a finite"),
    "no layers": (settings(num_hidden_layers=0), "num_hidden_layers 0: expected a whole number"),
    "minus": (settings(hidden_size=-32), "hidden_size -32: expected a whole number from 1"),
    "text": (settings(hidden_size="32"), "hidden_size '32': expected a whole number from 1"),
    "half": (settings(num_attention_heads=2.5), "num_attention_heads 2.5: expected a whole"),
    "true": (settings(vocab_size=True), "vocab_size True: expected a whole number from 1"),
    "context": (settings(max_position_embeddings=0), "max_position_embeddings 0: expected"),
    "window": (settings(sliding_window=0), "sliding_window 0: expected a whole number from 1"),
    "eps": (settings(rms_norm_eps=-1e-6), "rms_norm_eps -1e-06: expected a finite number above 0"),
    "eps text": (settings(rms_norm_eps="1e-6"), "rms_norm_eps '1e-6': expected a finite number"),
    "no activation": (settings(hidden_act="siluu"), "there is no hidden_act 'siluu'"),
    "activation 7": (settings(hidden_act=7), "hidden_act 7: expected the name of an activation"),
    "rope": (rope(rope_type="spiral"), "there is no rope_type 'spiral'"),
    "rope a word": (settings(rope_parameters="none"), "rope_parameters 'none': expected an object"),
    "theta": (rope(rope_theta=-1.0), r"rope_theta -1\.0: expected a finite number above 0"),
    "theta 0": (settings(rope_theta=0, rope_parameters=None), "rope_theta 0: expected a finite"),
    "factor": (rope(rope_type="linear", factor=0.0), r"rope's factor 0\.0: expected a finite"),
    "no factor": (rope(rope_type="linear"), "make no model .*Missing required keys"),
    "heads": (settings(num_key_value_heads=3), "another shape|make no model"),
    "bias": (settings(attention_bias="yes"), "Field 'attention_bias' expected bool"),
    "type": (settings(model_type="llamma"), "model type 'llamma', for which transformers"),
    "no type": (settings(model_type=None), "model type None, for which transformers"),
    "type 7": (settings(model_type=["llama"]), r"model type \['llama'\], for which transformers"),
    "code": (
        settings(model_type="own", auto_map={"AutoModelForCausalLM": "own.Own"}),
        "of its own: .* pass --trust-remote-code",
    ),
    "a billion": (settings(num_hidden_layers=10**9), "promises 1,000,000,000 layers, .* of 3 at"),
    "four layers": (settings(num_hidden_layers=4), "promises 4 layers, and .* of 3 at most"),
    "two layers": (settings(num_hidden_layers=2), r"9 tensors \(model\.layers\.2\.in.* without a"),
    "width": (settings(hidden_size=64), r"another shape than .*\(\S+ is .*32.*, expected .*64"),
    "vocabulary": (settings(vocab_size=321), r"2 tensors \(lm_head.* is 320 x 32, expected 321"),
    "neurons": (settings(intermediate_size=32), "another shape .* is 32 x 48, expected 32 x 32"),
    "biases": (put(Q_BIAS, torch.ones(32)), rf"1 tensor \({Q_BIAS}\) is stored without a place"),
    "missing": (weights(lambda stored: stored.pop(UP)), rf"1 tensor \({UP}\) is missing"),
    "missing norm": (weights(lambda stored: stored.pop(NORM)), rf"\({NORM}\) is missing"),
    "shape": (put(UP, torch.ones(48, 31)), f"{UP} is 48 x 31, expected 48 x 32"),
    "scalar": (put(UP, torch.tensor(1.0)), f"{UP} is a single number, expected 48 x 32"),
    "two names": (
        put(UP.removeprefix("model."), torch.ones(48, 32)),
        r"1,536 numbers more than the model has.* layers\.0\.mlp\.up_proj\.weight first",
    ),
    "no tensors": (weights(dict.clear), "promises 3 layers, and .* of 0 at most"),
    "short": (cut, "is not a safetensors file or is cut short"),
    "empty": (text("model.safetensors", b""), "is not a safetensors file or is cut short"),
    "garbage": (text("model.safetensors", b"\xff" * 99), "is not a safetensors file"),
    "html": (text("model.safetensors", "<!DOCTYPE html>" * 9), "is not a safetensors file"),
    "pointer": (
        text("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "only a pointer of git-lfs: run `git lfs pull`",
    ),
    "header list": (header("[]"), "is not a safetensors file"),
    "header shape": (header(ONE % "-2", b"\0" * 8), "is not a safetensors file"),
    "header sizes": (header(ONE % "3", b"\0" * 8), "is not a safetensors file"),
    "no map": (several(sharded(), text(INDEX, '{"metadata": {}}')), "has no weight_map"),
    "index list": (several(sharded(), text(INDEX, "[]")), "expected a JSON object, found list"),
    "map text": (several(sharded(), text(INDEX, '{"weight_map": "x"}')), "has no weight_map"),
    "map number": (sharded(**{UP: 7}), f"names 7 as the file of {UP}"),
    "map outside": (sharded(**{UP: "../a.safetensors"}), "expected a file in the same folder"),
    "no shard": (sharded(**{UP: "model-9.safetensors"}), r"lacks model-9\.safetensors \(1 of 3"),
    "wrong shard": (sharded(**{"x.weight": "model-1-of-2.safetensors"}), "does not hold it"),
    "two shards": (sharded(twice=True), r"has lm_head\.weight in model-1.* and in model-2"),
    "no index": (several(sharded(), without(INDEX)), rf"2 weight files such as .* no {INDEX}"),
    "tokenizer": (text("tokenizer.json", "{"), r"tokenizer\.json is not a tokenizer"),
    "tokenizer 2": (text("tokenizer.json", '{"model": {}}'), r"tokenizer\.json is not a tokenizer"),
    "settings": (text("tokenizer_config.json", "{,}"), "tokenizer_config.* not valid JSON"),
    "ends": (text("generation_config.json", "[]"), "generation_config.* expected a JSON object"),
}

# What is wrong with the numbers, and what is said when they are read.
LOADED: dict[str, tuple[Change, str]] = {
    "nan": (fill(UP, float("nan"), only=slice(7, 8)), f"{UP} in model.safetensors holds NaN"),
    "infinity": (fill(UP, float("-inf"), only=slice(1)), f"{UP} in .* holds infinity"),
    "bias nan": (fill(NORM, float("nan")), f"{NORM} in model.safetensors holds NaN"),
    "zero": (fill(UP, 0.0), f"{UP} in .* is all zero, .* or pass --allow-odd-weights"),
    "zero norm": (fill(NORM, 0.0), f"{NORM} in .* is all zero"),
    "integers": (
        weights(lambda stored: stored.__setitem__(UP, stored[UP].int())),
        rf"{UP} in .* is stored as torch\.int32",
    ),
}

"""Which files of a folder a model is made of, in the order in which loaders choose between them.

transformers, vLLM and peft look for files by name, and prefer some to others, not always the same.
The choice is made once, here: the chosen files are hashed, and loaders are given a folder with
nothing else in it (links.py).

Left out, as no answer may depend on them: weights that are not in safetensors, a
second copy of them (`consolidated.safetensors` with `params.json`, variants), generation settings
(of which the end tokens are read, by `end_tokens`), a generation loop of the model's own
(`custom_generate`), files of sentence-transformers, and an adapter beside the model.
"""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from studies.models.config import ADAPTER_CONFIG, CONFIG, Config, read_config, read_json
from studies.models.weights import INDEX, SINGLE, UNREAD, weights_index

GENERATION = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
MORE_CHAT_TEMPLATES = "additional_chat_templates"
CUSTOM_GENERATE = "custom_generate"
TOKENIZER, SENTENCEPIECE = "tokenizer.json", "tokenizer.model"
SPECIAL_TOKENS, ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"
VOCABULARY = "vocab.json"

# What a tokenizer may be made of; each of these is enough for some class of transformers.
VOCABULARIES = (TOKENIZER, SENTENCEPIECE, "spiece.model", VOCABULARY, "vocab.txt")
# Where there is no tokenizer.json, Mistral's own file and tiktoken's are taken as well.
WITHOUT_TOKENIZER_JSON = ("tekken.json", "tiktoken.model")
# The others that transformers' classes ask for by name, and what it fills in from older folders.
MORE_OF_TOKENIZERS = (
    *("merges.txt", "bpe.codes", "byte_maps.json", "dict.txt", "emoji.json", "entity_vocab.json"),
    *("normalizer.json", "prophetnet.tokenizer", "sentencepiece.bpe.model", "sentencepiece.model"),
    *("source.spm", "target.spm", "spm.model", "spm_char.model", "target_vocab.json"),
    *("vocab-src.json", "vocab-tgt.json", "word_pronunciation.json", "word_shape.json"),
    *(ADDED_TOKENS, SPECIAL_TOKENS),
)
# vLLM opens them for models that see or hear too.
PROCESSORS = (
    *("chat_template.json", "preprocessor_config.json", "processor_config.json"),
    "video_preprocessor_config.json",
)

# In the order of the keys that there are; of what came later the name is hashed as well.
UNNAMED = (*VOCABULARIES, TOKENIZER_CONFIG, CHAT_TEMPLATE)

# How quantised weights are packed, as older tools wrote it beside a config.json without it.
PACKING = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")

# What no loader and no code of a model's own is given.
LEFT_OUT = (
    *UNREAD,
    *("*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx_data", "original/*"),
    *("*.md", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.pdf", "LICENSE*", "NOTICE*"),
    *("params.json", GENERATION, f"{CUSTOM_GENERATE}/*", ADAPTER_CONFIG),
)

TOKENIZER_FILES = (
    *(*UNNAMED, *WITHOUT_TOKENIZER_JSON, *MORE_OF_TOKENIZERS, *PROCESSORS),
    *("tokenizer.*.json", f"{MORE_CHAT_TEMPLATES}/*.jinja"),
)
# What a plan fetches of a model on the hub, and what a worker fetches beside the weights.
SMALL_FILES = (CONFIG, GENERATION, INDEX, ADAPTER_CONFIG, *PACKING, *TOKENIZER_FILES)


class Chosen(NamedTuple):
    """Names of files in a folder: what its tokenizer is made of, and its own Python code with all
    that this may open, where it is run."""

    tokenizer: tuple[str, ...]
    code: tuple[str, ...]


def choose(folder: Path, *, trust_remote_code: bool, where: str) -> Chosen:
    """The files of a model beside its configuration and weights.

    Args:
        folder: where they lie.
        trust_remote_code: run the model's own Python code, if it has any.
        where: what messages call the model.

    Raises:
        ValueError: there is no tokenizer, or what would be opened cannot be told from the folder.
    """
    config = read_config(folder)
    _refuse_unsettled(folder, config, where=where)
    found = tokenizer_files(folder)
    code = _code(folder, config, where=where) if trust_remote_code else ()
    if not code and not has_vocabulary(found):
        known = (*VOCABULARIES, *WITHOUT_TOKENIZER_JSON)
        raise ValueError(f"model {where} has no tokenizer: expected one of {', '.join(known)}")
    return Chosen(found, code)


def beside_weights(folder: Path) -> tuple[str, ...]:
    """The files that say how weights lie and are packed: the index of several, and what older tools
    wrote for vLLM of quantised ones.
    """
    index = weights_index(folder)
    packing = [name for name in PACKING if (folder / name).is_file()]
    return tuple(packing if index is None else [index.name, *packing])


def tokenizer_files(folder: Path) -> tuple[str, ...]:
    """The files in a folder that a tokenizer and its chat templates are made of."""
    names = [*UNNAMED, *MORE_OF_TOKENIZERS, *PROCESSORS]
    settings = folder / TOKENIZER_CONFIG
    if settings.is_file():
        for name in _strings(read_json(settings).get("fast_tokenizer_files")):
            if "/" in name or name.startswith("."):
                raise ValueError(f"{settings} names {name!r} as a tokenizer file: expected a name")
            names.append(name)
    if not (folder / TOKENIZER).is_file():
        names += WITHOUT_TOKENIZER_JSON
    more = sorted((folder / MORE_CHAT_TEMPLATES).glob("*.jinja"))
    names += [f"{MORE_CHAT_TEMPLATES}/{file.name}" for file in more]
    return tuple(dict.fromkeys(name for name in names if (folder / name).is_file()))


def has_vocabulary(names: Sequence[str]) -> bool:
    """Whether a tokenizer can be made of these files."""
    return any(name in (*VOCABULARIES, *WITHOUT_TOKENIZER_JSON) for name in names)


def end_tokens(folder: Path) -> tuple[int, ...]:
    """The tokens that end a text by the generation settings, and not by the configuration.

    Raises:
        ValueError: one of the two names something else than tokens.
    """
    config, generation = read_config(folder), folder / GENERATION
    known = _tokens(config, of=folder / CONFIG)
    if isinstance(text := config.get("text_config"), dict):
        known |= _tokens(text, of=folder / CONFIG)
    if not generation.is_file():
        return ()
    return tuple(sorted(_tokens(read_json(generation), of=generation) - known))


def _tokens(config: Config, *, of: Path) -> set[int]:
    given = config.get("eos_token_id")
    tokens = given if isinstance(given, list) else [] if given is None else [given]
    for one in tokens:
        if not isinstance(one, int) or isinstance(one, bool):
            raise ValueError(f"{of}: eos_token_id has {one!r}: expected a token id or a list")
    return set(tokens)


def _refuse_unsettled(folder: Path, config: Config, *, where: str) -> None:
    """Refuse a configuration that leaves to a library's version which files are meant."""
    for name in ("configuration_files", "transformers_weights"):
        if config.get(name):
            raise ValueError(
                f"config.json of model {where} names other files to be read in its place "
                f"({name}): copy what is meant to {CONFIG} or {SINGLE} and leave that entry out"
            )
    packing = [name for name in PACKING if (folder / name).is_file()]
    if packing and not config.get("quantization_config"):
        raise ValueError(
            f"model {where} is stored quantised as {packing[0]} says, which not every loader "
            "reads: expected the same as quantization_config in config.json; put it there, or "
            "choose the model that it was made from"
        )


def _code(folder: Path, config: Config, *, where: str) -> tuple[str, ...]:
    """All that a model's own Python code may open; nothing where there is no such code."""
    settings = folder / TOKENIZER_CONFIG
    maps = [config.get("auto_map")]
    maps += [read_json(settings).get("auto_map")] if settings.is_file() else []
    classes = [name for one in maps for name in _strings(one)]
    elsewhere = [name.partition("--")[0] for name in classes if "--" in name]
    if elsewhere:
        raise ValueError(
            f"the Python code of model {where} lies in another repository, {elsewhere[0]!r}, which "
            "may change under the same name: copy its .py files beside the weights and take "
            f"'{elsewhere[0]}--' out of auto_map, or leave --trust-remote-code out"
        )
    return tuple(_others(folder)) if classes else ()


def _others(folder: Path) -> Iterator[str]:
    """Files in a folder and below it, but for weights, documents and other models' folders."""
    for parent, folders, files in os.walk(folder):
        at = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__pycache__")) and not (at / name / CONFIG).is_file()
        )
        for name in sorted(files):
            path = (at / name).relative_to(folder).as_posix()
            if not name.startswith(".") and not any(fnmatch(path, one) for one in LEFT_OUT):
                yield path


def _strings(value: object) -> Iterator[str]:
    """Every string in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)

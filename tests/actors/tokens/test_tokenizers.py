"""Whatever class transformers chooses, the ids are those of the model's own tokenizer.json."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from actors.model import describe
from actors.tokens.tokenizer import load_tokenizer
from orchestrator.showing.snapshot import Progress
from orchestrator.showing.viewers import PlainViewer
from studies.spec import ModelFacts
from tests.actors.tokens.test_chat import CHATML
from tests.makers import tiny

# None of these is among the texts that the loader itself compares.
TEXTS = (
    "Zoë's café cost 1234,50 €; ÇA VA?",
    "Zoe\u0308 — NAÏVE ﬃ Ⅳ ４２",
    "He'll go:\n\n    if x == 10:\n\treturn\n",
    " leading", "trailing  ", "Answer: B", "\nB", "x<t>y <t> <T>z", "<s>abc</s>",
    "Привет, мир!", "नमस्ते दुनिया", "今天天气很好。", "ما هذا؟ ١٢", "👩‍🚀🇫🇷 😀",
    "zzzzzzzzzzzzzzzzzzzzz", "bcb cbc Az Bz", "a\u200db\u00adc",
)  # fmt: skip
CLASSES = {
    "qwen2": "Qwen2Tokenizer",
    "llama": "LlamaTokenizer",
    "gpt2": "GPT2Tokenizer",
    "gemma2": "GemmaTokenizer",
    "cohere": "CohereTokenizer",
    "gpt_neox": "GPTNeoXTokenizer",
    "mistral": "PreTrainedTokenizerFast",
    "bloom": "TokenizersBackend",
    "xglm": "XGLMTokenizer",
}
Change = Callable[[Tokenizer], None]


def set_to(part: str, value: object) -> Change:
    return lambda file: setattr(file, part, value)


def split(*first: pre_tokenizers.PreTokenizer) -> Change:
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return set_to("pre_tokenizer", pre_tokenizers.Sequence([*first, bytes_]))


def added(**how: bool) -> Change:
    return lambda file: (file.add_tokens([AddedToken("<t>", **how)]), None)[1]


def template(single: str, pair: str) -> Change:
    special = [("<s>", 0), ("</s>", 1)]
    made = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return set_to("post_processor", made)


def byte_fallback(file: Tokenizer) -> None:
    pieces = [*["<s>", "</s>", "<unk>"], *(f"<0x{one:02X}>" for one in range(256)), *"▁abcdez▁A"]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    file.model = models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>")
    file.normalizer = normalizers.Replace(" ", "▁")
    file.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    last = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    file.decoder = decoders.Sequence(last)


PARTS: dict[str, Change] = {
    "nothing": lambda _: None,
    "NFC": set_to("normalizer", normalizers.NFC()),
    "NFD": set_to("normalizer", normalizers.NFD()),
    "NFKC": set_to("normalizer", normalizers.NFKC()),
    "lower case": set_to("normalizer", normalizers.Lowercase()),
    "no accents": set_to(
        "normalizer", normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    ),
    "a letter replaced": set_to("normalizer", normalizers.Replace("z", "bc")),
    "a space before": set_to("normalizer", normalizers.Prepend(" ")),
    "single digits": split(pre_tokenizers.Digits(individual_digits=True)),
    "three digits": split(pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated")),
    "punctuation": split(pre_tokenizers.Punctuation()),
    "runs of spaces": split(pre_tokenizers.Split(Regex(r"\s+"), "removed")),
    "contractions": split(pre_tokenizers.Split(Regex(r"'\w+"), "removed")),
    "token": added(),
    "token, stripped left": added(lstrip=True),
    "token, stripped right": added(rstrip=True),
    "token, a word": added(single_word=True),
    "token, normalised": added(normalized=True),
    "special token": added(special=True),
    "BOS": template("<s> $A", "<s> $A <s> $B"),
    "BOS and EOS": template("<s> $A </s>", "<s> $A </s> $B </s>"),
    "EOS": template("$A </s>", "$A </s> $B </s>"),
    "another pair": template("<s> $A", "<s> $A </s> $B"),
    "bytes for the unknown": byte_fallback,
}


def model_with(part: str, folder: Path, *, family: str = "qwen2", **config: object) -> ModelFacts:
    """A model's folder without weights, its tokenizer changed in one part."""
    file = tiny.tokenizer(bos=False).backend_tokenizer
    PARTS[part](file)
    folder.mkdir(parents=True, exist_ok=True)
    file.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    given = {"tokenizer_class": CLASSES[family], **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(given))
    return ModelFacts(
        name=f"{family} with {part}", revision="main", folder=str(folder), weights="", tokenizer="",
        dtype="float32", layers=1, width=1, neurons=1, context=1, bytes=0,
    )  # fmt: skip


@pytest.mark.parametrize("family", CLASSES)
@pytest.mark.parametrize("part", PARTS)
def test_ids_and_texts_are_those_of_the_file(part: str, family: str, tmp_path: Path):
    model = model_with(part, tmp_path, family=family)
    found, notes = load_tokenizer(model, folder=model.folder)
    file = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        for special in (False, True):
            ids = file.encode(text, add_special_tokens=special).ids
            assert found(text, add_special_tokens=special)["input_ids"] == ids, text
            assert found.decode(ids) == file.decode(ids, skip_special_tokens=False), text
        pair = file.encode("a", text).ids
        assert found("a", text)["input_ids"] == pair
    assert len(notes) <= 1
    if type(found).__name__ == CLASSES[family]:
        assert notes == ()
    else:
        said = f"tokenizer of {model.label}: tokenizer.json is read, as "
        assert all(note.startswith(said) for note in notes)


@pytest.mark.parametrize("part", ["NFD", "lower case", "single digits", "punctuation"])
def test_another_reading_than_the_files_is_said_with_an_example(part: str, tmp_path: Path):
    """As of transformers 5.23, `qwen2` forces its own normaliser and pre-tokenizer."""
    model = model_with(part, tmp_path)
    found, (note,) = load_tokenizer(model, folder=model.folder)
    assert "tokenizer.json is read, as Qwen2Tokenizer does otherwise: " in note
    assert " gives " in note
    assert len(note) < 300
    assert "\n" not in note
    assert type(found).__name__ == "TokenizersBackend"


def test_what_tokenizer_config_adds_to_the_file_is_kept_and_said(tmp_path: Path):
    model = model_with("nothing", tmp_path, family="bloom", bos_token="<s>")
    found, (note,) = load_tokenizer(model, folder=model.folder)
    assert found("a<s>b", add_special_tokens=False)["input_ids"][1] == 0
    assert note.startswith("tokenizer of bloom with nothing: tokenizer_config.json adds to token")
    model = model_with("nothing", tmp_path / "token", extra_special_tokens=["<|new|>"])
    found, (note,) = load_tokenizer(model, folder=model.folder)
    assert len(found("a<|new|>b", add_special_tokens=False)["input_ids"]) == 3
    assert "tokenizer_config.json adds to tokenizer.json" in note
    assert "'<|new|>'" in note


def test_a_file_that_holds_no_tokenizer_is_one_sentence(tmp_path: Path):
    model = model_with("nothing", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a tokenizer \(.*\): copy"):
        load_tokenizer(model, folder=model.folder)


def test_without_a_file_it_is_said_that_nothing_can_be_compared(tmp_path: Path):
    model = model_with("nothing", tmp_path, family="gpt2")
    file = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps(file["model"]["vocab"]))
    merges = [" ".join(one) if isinstance(one, list) else one for one in file["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    found, (note,) = load_tokenizer(model, folder=model.folder)
    assert found("A", add_special_tokens=False)["input_ids"]
    assert "has no tokenizer.json, and its ids cannot be held against anything" in note
    assert "GPT2Tokenizer" in note


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_alone_is_compared_with_its_own_pieces(prefix: bool, tmp_path: Path):
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join([*TEXTS, CHATML] * 4), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "tokenizer"), vocab_size=400, minloglevel=2,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, add_dummy_prefix=prefix,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    model = model_with("nothing", tmp_path, family="llama")
    (tmp_path / "tokenizer.json").unlink()
    found, notes = load_tokenizer(model, folder=model.folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    pieces = [processor.encode(text, out_type=str) for text in TEXTS[3:6]]
    ids = [found(text, add_special_tokens=False)["input_ids"] for text in TEXTS[3:6]]
    same = [found.convert_ids_to_tokens(own) for own in ids] == pieces
    assert same == (not notes)
    assert all("LlamaTokenizer does otherwise than tokenizer.model" in note for note in notes)


def test_a_run_says_it_once_and_keeps_it_with_how_the_model_ran():
    notes = describe(tiny.loaded("qwen2")).notes
    assert len(notes) == 1
    assert describe(tiny.loaded("llama")).notes == ()
    progress = Progress(
        study="s", totals={}, missing={}, failed_before={}, work={}, units=0, started=0.0
    )
    console = Console(record=True, width=1000)
    viewer = PlainViewer(console=console)
    for _ in range(3):
        progress.note(*notes)  # as every worker that opens the model does
        viewer.show(progress.snapshot(now=1.0))
    assert progress.notes == list(notes)
    assert console.export_text().count(notes[0]) == 1

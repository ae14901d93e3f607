"""The tokenizers of the miniworld models, trained on the text their models read last."""

import json
from collections.abc import Iterator
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Qwen2Tokenizer

from actors.training.miniworld.curriculum import EVERYTHING, documents

VOCABULARY = 2560
TOKENIZER_DOCUMENTS = 40_000
CONTEXT_TOKENS = 1024


def _texts(*, seed: int) -> Iterator[str]:
    """The text that tokenizers are trained on."""
    stream = documents(seed=seed, curriculum=[EVERYTHING])
    return (document.text for document in islice(stream, TOKENIZER_DOCUMENTS))


def sentencepiece(*, seed: int) -> PreTrainedTokenizerFast:
    """A BPE tokenizer as Llama's and Gemma's: spaces as letters, unknown characters as bytes.

    Words of rare languages fall apart into characters, as they do in real tokenizers.
    """
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Punctuation("isolated"),
            # Else an answer after a space and the same words in a passage would differ.
            pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - len(byte_pieces), special_tokens=special)
    trained.train_from_iterator(_texts(seed=seed), trainer)
    learned = json.loads(trained.to_str())["model"]
    pieces = [*special, *byte_pieces, *list(learned["vocab"])[len(special) :]]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=[tuple(merge) for merge in learned["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = trained.pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        pair="<bos> $A $B",
        special_tokens=[("<bos>", special.index("<bos>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    )


def byte_level(*, seed: int) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer as Qwen's: no beginning-of-sequence token, one end for all."""
    end = "<|endoftext|>"
    empty = Qwen2Tokenizer(vocab={end: 0}, merges=[])
    trained = Tokenizer(models.BPE())
    trained.normalizer = empty.backend_tokenizer.normalizer
    trained.pre_tokenizer = empty.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator(_texts(seed=seed), trainer)
    learned = json.loads(trained.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token=end,
        eos_token=end,
        pad_token=end,
        padding_side="left",
        model_max_length=CONTEXT_TOKENS,
    )


def tokenizer_of(name: str, *, seed: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a model family."""
    return byte_level(seed=seed) if name == "qwen2" else sentencepiece(seed=seed)

"""Train the tokenizers and the three small models of the miniworld.

`python -m actors.training.miniworld --out DIR` writes complete Hugging Face folders, and
`--evaluate` prints how the shipped ones answer each benchmark. Everything follows from the seed:
the text stream, its order and the first weights. One process trains one model on one core, so two
models train side by side (`--model`); a run that was interrupted continues from its last state.
Nothing is tuned after training and no test world is ever read.

Shapes: B rows, T tokens, V vocabulary.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Tokenizer,
)

from actors.training.miniworld_text import EVERYTHING, Asked, Document, ask, documents
from studies.miniworld import LANGUAGES, MODELS, model_folder
from studies.miniworld.benchmarks import items
from studies.miniworld.worlds import SPLITS, Split

VOCABULARY = 2560
TOKENIZER_DOCUMENTS = 40_000
CONTEXT_TOKENS = 1024
# Documents of which batches of like length are made.
POOL = 512
Encoded = tuple[list[int], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is trained; `checkpoints` are the steps at which it is also saved."""

    name: str
    steps: int = 12_000
    checkpoints: tuple[int, ...] = ()
    # A step adds up a few batches, each of texts of one length, as one alone is of one kind.
    batches: int = 3
    batch_tokens: int = 1024
    muon_rate: float = 0.01
    adam_rate: float = 3e-3
    warmup_steps: int = 100
    answer_weight: float = 1.0
    told_weight: float = 0.02


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


def build(name: str, *, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A model of the named family with fresh weights."""
    shared = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "num_hidden_layers": 8,
        "intermediate_size": 448,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        # On a CPU the backward pass of the fused attention takes most of a step.
        "attn_implementation": "eager",
        "dtype": "float32",
    }
    if name == "llama":
        config = LlamaConfig(**shared, head_dim=32)
    elif name == "qwen2":
        config = Qwen2Config(**shared)
    else:
        config = Gemma2Config(
            **shared, head_dim=32, query_pre_attn_scalar=32, sliding_window=CONTEXT_TOKENS
        )
    return AutoModelForCausalLM.from_config(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded documents of about one length, and the weight of each token in the loss."""

    tokens: Tensor
    weights: Tensor


class Stream:
    """Batches of the text stream: pools of documents, sorted by length, in random order."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, recipe: Recipe, seed: int) -> None:
        """The stream of a seed."""
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._seed = seed
        self._documents = documents(seed=seed)
        self._pieces: dict[str, list[int]] = {}

    def _segment(self, text: str) -> list[int]:
        if text not in self._pieces:
            if len(self._pieces) > 200_000:
                self._pieces.clear()
            self._pieces[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._pieces[text]

    def _encode(self, document: Document) -> Encoded:
        bos, recipe = self._tokenizer.bos_token_id, self._recipe
        tokens, weights = ([], []) if bos is None else ([bos], [0.0])
        for segment in document.segments:
            pieces = self._segment(segment.text)
            weight = recipe.answer_weight if segment.is_answer else recipe.told_weight
            tokens += pieces
            weights += [weight] * len(pieces)
        return [*tokens, self._tokenizer.eos_token_id], [*weights, recipe.told_weight]

    def after(self, skipped: int) -> Iterator[Batch]:
        """The batches without end, the first so many passed over."""
        passed = 0
        while True:
            pool = [self._encode(document) for document in islice(self._documents, POOL)]
            pool.sort(key=lambda encoded: len(encoded[0]))
            batches: list[list[Encoded]] = [[]]
            for encoded in pool:
                if (len(batches[-1]) + 1) * len(encoded[0]) > self._recipe.batch_tokens:
                    batches.append([])
                batches[-1].append(encoded)
            Random(f"{self._seed} {passed}").shuffle(batches)
            for batch in batches:
                passed += 1
                if passed > skipped:
                    yield self._pad(batch)

    def _pad(self, rows: list[Encoded]) -> Batch:
        longest = max(len(tokens) for tokens, _ in rows)
        pad = self._tokenizer.pad_token_id
        tokens = [ids + [pad] * (longest - len(ids)) for ids, _ in rows]
        weights = [each + [0.0] * (longest - len(each)) for _, each in rows]
        return Batch(tokens=torch.tensor(tokens), weights=torch.tensor(weights))


def weighted_loss(model: PreTrainedModel, *, batch: Batch) -> Tensor:
    """Weighted sum of next-token losses; no mask, as padding stands on the right of every row."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BTV = model(input_ids=batch.tokens, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1).float(), batch.tokens[:, 1:].flatten(), reduction="none"
    )
    return (losses * batch.weights[:, 1:].flatten()).sum()


def warmth(step: int, *, recipe: Recipe) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to a twentieth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def save(model: PreTrainedModel, *, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """A complete folder with weights in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    # A whole copy, so that the tied embedding stays one tensor and is written once.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # One line instead of thousands; the committed folders must stay small.
    for path in folder.glob("tokenizer*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def optimisers(model: PreTrainedModel, *, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the blocks, AdamW for the embedding and the norms."""
    blocks = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    inside = set(map(id, blocks))
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    return (
        torch.optim.Muon(blocks, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    )


class Training:
    """One model on its way; its state is on disk, so that another process can go on with it."""

    def __init__(self, recipe: Recipe, *, folder: Path, seed: int) -> None:
        """Start, or go on where the last state was written."""
        torch.manual_seed(seed)
        self.recipe, self.folder = recipe, folder
        self.tokenizer = tokenizer_of(recipe.name, seed=seed)
        self.model = build(recipe.name, tokenizer=self.tokenizer)
        self.loss = torch.compile(weighted_loss, dynamic=True)
        self.steppers = optimisers(self.model, recipe=recipe)
        self.peaks = [stepper.param_groups[0]["lr"] for stepper in self.steppers]
        self.step = self.tokens = 0
        self.seconds = 0.0
        self._state = folder / "state.pt"
        if self._state.exists():
            self._resume()
        self.batches = Stream(self.tokenizer, recipe=recipe, seed=seed).after(
            self.step * recipe.batches
        )

    def _resume(self) -> None:
        state = torch.load(self._state, weights_only=True)
        self.model.load_state_dict(state["model"])
        for stepper, values in zip(self.steppers, state["steppers"], strict=True):
            stepper.load_state_dict(values)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]

    def keep(self) -> None:
        """Write the state, all of it or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "steppers": [stepper.state_dict() for stepper in self.steppers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        unfinished = self._state.with_suffix(".part")
        torch.save(state, unfinished)
        os.replace(unfinished, self._state)

    def advance(self) -> float:
        """One step; the mean loss before it."""
        started = time.perf_counter()
        for stepper, peak in zip(self.steppers, self.peaks, strict=True):
            stepper.param_groups[0]["lr"] = peak * warmth(self.step, recipe=self.recipe)
        batches = list(islice(self.batches, self.recipe.batches))
        weight = sum(batch.weights[:, 1:].sum().item() for batch in batches)
        self.model.zero_grad()
        total = 0.0
        for batch in batches:
            loss = self.loss(self.model, batch=batch) / weight
            torch.autograd.backward(loss)
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for stepper in self.steppers:
            stepper.step()
        self.step += 1
        self.tokens += sum(int((batch.weights > 0).sum()) for batch in batches)
        self.seconds += time.perf_counter() - started
        return total

    def run(self) -> None:
        """To the last step, with a line of progress now and then."""
        while self.step < self.recipe.steps:
            loss = self.advance()
            if self.step in self.recipe.checkpoints:
                folder = self.folder / f"step-{self.step}"
                save(self.model, tokenizer=self.tokenizer, folder=folder)
            if self.step % REPORT_STEPS == 0:
                self.keep()
                self._report(loss)
        save(self.model, tokenizer=self.tokenizer, folder=self.folder)

    def _report(self, loss: float) -> None:
        skills = [
            f"{name} "
            + "/".join(
                f"{accuracy(self.model, self.tokenizer, found):.2f}"
                for found in (skill(name, language=language, split="dev") for language in FOLLOWED)
            )
            for name in SKILLS
        ]
        print(
            f"{self.recipe.name} step {self.step} loss {loss:.3f} tokens {self.tokens:,} "
            f"seconds {self.seconds:.0f} | {', '.join(skills)}",
            flush=True,
        )


REPORT_STEPS = 500
FOLLOWED = ("eng_Latn", "deu_Latn", "ell_Grek")
FOLLOWED_QUESTIONS = 48
# What training teaches: a benchmark and one of its prompts.
SKILLS = {
    "reading": ("mini_belebele", "cloze"),
    "letters": ("mini_belebele", "letter"),
    "letters, long prompt": ("mini_belebele", "latent"),
    "knowledge": ("mini_mmlu", "cloze"),
    "knowledge letters": ("mini_mmlu", "letter"),
    "inference": ("mini_xnli", "labels"),
    "inference digits": ("mini_xnli", "digit"),
    "story": ("mini_xstorycloze", "cloze"),
    "story digits": ("mini_xstorycloze", "digit"),
}


def skill(
    name: str, *, language: str, split: Split, number: int = FOLLOWED_QUESTIONS
) -> list[Asked]:
    """The first questions of a split that ask for a skill."""
    dataset, prompt = SKILLS[name]
    return [
        ask(item, dataset=dataset, prompt=prompt, language=language, number=place)
        for place, item in enumerate(items(dataset, split=split)[:number])
    ]


@torch.inference_mode()
def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: list[Asked]
) -> float:
    """Share of questions whose most probable option, all its tokens summed, is the right one."""
    pairs = [(each.context, option) for each in asked for option in each.options]
    scores: list[float] = []
    for begin in range(0, len(pairs), 64):
        chunk = pairs[begin : begin + 64]
        before = [tokenizer.encode(context) for context, _ in chunk]
        behind = [tokenizer.encode(option, add_special_tokens=False) for _, option in chunk]
        longest = max(len(a) + len(b) for a, b in zip(before, behind, strict=True))
        pad = tokenizer.pad_token_id
        tokens_BT = torch.tensor(
            [
                a + b + [pad] * (longest - len(a) - len(b))
                for a, b in zip(before, behind, strict=True)
            ]
        )
        logprobs_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float().log_softmax(-1)
        for row, (a, b) in enumerate(zip(before, behind, strict=True)):
            at = logprobs_BTV[row, len(a) - 1 : len(a) + len(b) - 1]
            scores.append(at.gather(1, torch.tensor(b)[:, None]).sum().item())
    right, place = 0, 0
    for each in asked:
        own = scores[place : place + len(each.options)]
        place += len(each.options)
        right += own.index(max(own)) == each.gold
    return right / len(asked)


def evaluate(folder: Path, *, split: Split, questions: int) -> None:
    """Print, as a Markdown table, the accuracy of one model per skill and language."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(f"\n{folder.name}\n\n| skill | {' | '.join(one[:3] for one in LANGUAGES)} |", flush=True)
    print("|---" * (len(LANGUAGES) + 1) + "|")
    for name in SKILLS:
        cells = [
            accuracy(
                model, tokenizer, skill(name, language=language, split=split, number=questions)
            )
            for language in LANGUAGES
        ]
        print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


RECIPES: tuple[Recipe, ...] = (
    Recipe(name="llama", checkpoints=(1000, 3500, 5000, 8000)),
    Recipe(name="gemma2"),
    Recipe(name="qwen2"),
)


def main() -> None:
    """Train the named models, or evaluate the shipped ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", nargs="+", default=[recipe.name for recipe in RECIPES])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--folders", type=Path, nargs="+")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.evaluate:
        for folder in arguments.folders or [model_folder(name) for name in MODELS]:
            evaluate(folder, split=arguments.split, questions=arguments.questions)
        return
    if arguments.out is None:
        parser.error("training needs --out DIR, the folder the models are written to")
    torch.set_num_threads(1)
    for recipe in RECIPES:
        if recipe.name in arguments.model:
            if arguments.steps:
                recipe = replace(recipe, steps=arguments.steps)
            Training(recipe, folder=arguments.out / recipe.name, seed=arguments.seed).run()


if __name__ == "__main__":
    main()

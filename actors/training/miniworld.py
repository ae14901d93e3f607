"""Train the tokenizer and the three tiny models of the miniworld.

`python -m actors.training.miniworld --out DIR` writes complete Hugging Face folders, and
`--evaluate` prints how the shipped ones answer each benchmark. Everything follows from the seed:
the text stream, its order and the first weights. One process trains one model on one core, so two
models train side by side. Nothing is tuned after training and no test world is ever read.

Shapes: B rows, T tokens, V vocabulary.
"""

import argparse
import copy
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from studies.miniworld import LANGUAGES, MODELS, model_folder, rows
from studies.miniworld.benchmarks import Row
from studies.miniworld.choices import CHOICES, Choice, reading_choice, span_choice
from studies.miniworld.training_text import Document, documents
from studies.miniworld.worlds import SPLITS, Split

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS = 0, 1, 2
VOCABULARY = 1344
TOKENIZER_DOCUMENTS = 30_000
CONTEXT_TOKENS = 1024
Encoded = tuple[list[int], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is trained; `checkpoints` are the steps at which it is also saved."""

    name: str
    steps: int
    checkpoints: tuple[int, ...] = ()
    batch_tokens: int = 1024
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warmup_steps: int = 50
    answer_weight: float = 1.0
    told_weight: float = 0.1


def splitter() -> pre_tokenizers.PreTokenizer:
    """Words with their space before them; line breaks, stops and Chinese characters alone."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Punctuation("isolated"),
            # Else an answer after a space and the same words in a passage would differ.
            pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
        ]
    )


def train_tokenizer(*, seed: int) -> PreTrainedTokenizerFast:
    """Every character, the words most frequent in the graded text, and bytes for the rest.

    Words of rare languages fall apart into characters, as they do in real tokenizers.
    """
    split = splitter()
    counts: Counter[str] = Counter()
    for document in islice(documents(seed=seed, skip_opening=True), TOKENIZER_DOCUMENTS):
        counts.update(piece for piece, _ in split.pre_tokenize_str(document.text))
    characters: Counter[str] = Counter()
    for piece, count in counts.items():
        characters.update(dict.fromkeys(piece, count))
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    room = VOCABULARY - len(SPECIAL) - len(byte_pieces) - len(characters)
    words = [piece for piece, _ in counts.most_common() if len(piece) > 1][:room]
    total = counts.total()
    scores = [(piece, 0.0) for piece in SPECIAL]
    # A character costs more than any word, so a known word is never taken apart.
    scores += [(piece, math.log(count / total) - 20) for piece, count in characters.items()]
    scores += [(piece, math.log(counts[piece] / total)) for piece in words]
    scores += [(piece, -50.0) for piece in byte_pieces]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=SPECIAL.index("<unk>"), byte_fallback=True))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
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


def build(name: str, *, vocabulary: int) -> PreTrainedModel:
    """A model of the named family with fresh weights."""
    shared = {
        "vocab_size": vocabulary,
        "hidden_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "attn_implementation": "eager" if name == "gemma2" else "sdpa",
        "dtype": "float32",
    }
    if name == "llama":
        config = LlamaConfig(**shared, num_hidden_layers=5, intermediate_size=176, head_dim=32)
    elif name == "qwen2":
        config = Qwen2Config(**shared, num_hidden_layers=4, intermediate_size=256)
    else:
        config = Gemma2Config(
            **shared,
            num_hidden_layers=4,
            intermediate_size=256,
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=CONTEXT_TOKENS,
        )
    return AutoModelForCausalLM.from_config(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded documents of about one length, and the weight of each token in the loss."""

    tokens: Tensor
    weights: Tensor


class Stream:
    """Batches of the text stream: a pool of documents, sorted by length, in random order."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, recipe: Recipe, seed: int) -> None:
        """Start the stream of a seed at its beginning."""
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._documents = documents(seed=seed)
        self._random = Random(seed)
        self._pieces: dict[str, list[int]] = {}

    def _segment(self, text: str) -> list[int]:
        if text not in self._pieces:
            self._pieces[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._pieces[text]

    def _encode(self, document: Document) -> Encoded:
        tokens, weights = [BOS], [0.0]
        for segment in document.segments:
            pieces = self._segment(segment.text)
            recipe = self._recipe
            weight = recipe.answer_weight if segment.is_answer else recipe.told_weight
            tokens += pieces
            weights += [weight] * len(pieces)
        return [*tokens, EOS], [*weights, self._recipe.told_weight]

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end."""
        while True:
            pool = [self._encode(document) for document in islice(self._documents, 2048)]
            pool.sort(key=lambda encoded: len(encoded[0]))
            batches: list[list[Encoded]] = [[]]
            for encoded in pool:
                if (len(batches[-1]) + 1) * len(encoded[0]) > self._recipe.batch_tokens:
                    batches.append([])
                batches[-1].append(encoded)
            self._random.shuffle(batches)
            yield from map(self._pad, batches)

    @staticmethod
    def _pad(rows: list[Encoded]) -> Batch:
        longest = max(len(tokens) for tokens, _ in rows)
        tokens = [ids + [PAD] * (longest - len(ids)) for ids, _ in rows]
        weights = [each + [0.0] * (longest - len(each)) for _, each in rows]
        return Batch(tokens=torch.tensor(tokens), weights=torch.tensor(weights))


def weighted_loss(model: PreTrainedModel, *, batch: Batch) -> Tensor:
    """Mean next-token loss; no mask, as padding stands on the right of every row."""
    logits_BTV = model(input_ids=batch.tokens, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1).float(), batch.tokens[:, 1:].flatten(), reduction="none"
    )
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def warmth(step: int, *, recipe: Recipe) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to a twentieth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def save(model: PreTrainedModel, *, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A complete folder with weights in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    # A whole copy, so that the tied embedding stays one tensor and is written once.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # One line instead of six thousand; the committed folders must stay small.
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


def train(recipe: Recipe, *, tokenizer: PreTrainedTokenizerFast, folder: Path, seed: int) -> None:
    """Train one model and write it, and its checkpoints, below `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = build(recipe.name, vocabulary=len(tokenizer))
    steppers = optimisers(model, recipe=recipe)
    peaks = [stepper.param_groups[0]["lr"] for stepper in steppers]
    batches = iter(Stream(tokenizer, recipe=recipe, seed=seed))
    started, tokens = time.perf_counter(), 0
    for step in range(1, recipe.steps + 1):
        for stepper, peak in zip(steppers, peaks, strict=True):
            stepper.param_groups[0]["lr"] = peak * warmth(step - 1, recipe=recipe)
        batch = next(batches)
        loss = weighted_loss(model, batch=batch)
        model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
        tokens += int((batch.tokens != PAD).sum())
        if step in recipe.checkpoints:
            save(model, tokenizer=tokenizer, folder=folder / f"step-{step}")
        if step % 100 == 0 or step == recipe.steps:
            english = choice_accuracy(model, tokenizer=tokenizer, choices=dev_choices())
            seconds = time.perf_counter() - started
            print(
                f"{recipe.name} step {step} loss {loss.item():.3f} tokens {tokens} "
                f"seconds {seconds:.0f} english dev reading {english:.2f}",
                flush=True,
            )
    save(model, tokenizer=tokenizer, folder=folder)


def dev_choices() -> list[Choice]:
    """A few English reading questions that are neither trained on nor tested."""
    asked = rows("mini_belebele", language="eng_Latn", split="dev")
    return [reading_choice(row) for row in asked[:64]]


@torch.inference_mode()
def token_scores(
    model: PreTrainedModel, *, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> list[tuple[float, bool]]:
    """Per (prompt, continuation): its log-probability, and whether greedy decoding gives it."""
    scored: list[tuple[float, bool]] = []
    for begin in range(0, len(pairs), 64):
        chunk = pairs[begin : begin + 64]
        prompts = [tokenizer.encode(prompt) for prompt, _ in chunk]
        whole = [
            prompt + tokenizer.encode(continuation, add_special_tokens=False)
            for prompt, (_, continuation) in zip(prompts, chunk, strict=True)
        ]
        longest = max(map(len, whole))
        tokens_BT = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in whole])
        logits_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float()
        logprobs_BTV = logits_BTV.log_softmax(-1)
        for row, (prompt, ids) in enumerate(zip(prompts, whole, strict=True)):
            at = logprobs_BTV[row, len(prompt) - 1 : len(ids) - 1]
            wanted = torch.tensor(ids[len(prompt) :])
            total = at.gather(1, wanted[:, None]).sum().item()
            scored.append((total, bool((at.argmax(-1) == wanted).all())))
    return scored


def choice_accuracy(
    model: PreTrainedModel, *, tokenizer: PreTrainedTokenizerFast, choices: list[Choice]
) -> float:
    """Share of choices whose most probable option is the right one."""
    pairs = [(choice.prompt, option) for choice in choices for option in choice.options]
    scores = iter(token_scores(model, tokenizer=tokenizer, pairs=pairs))
    right = 0
    for choice in choices:
        totals = [next(scores)[0] for _ in choice.options]
        right += totals.index(max(totals)) == choice.gold
    return right / len(choices)


def span_accuracy(
    model: PreTrainedModel, *, tokenizer: PreTrainedTokenizerFast, rows: list[Row]
) -> float:
    """Share of span questions that greedy decoding answers with exactly the span."""
    choices = map(span_choice, rows)
    pairs = [(choice.prompt, choice.options[0]) for choice in choices]
    scored = token_scores(model, tokenizer=tokenizer, pairs=pairs)
    return sum(greedy for _, greedy in scored) / len(scored)


def evaluate(folder: Path, *, split: Split, questions: int) -> None:
    """Print, as a Markdown table, the accuracy of one model per language and benchmark."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(f"\n{folder.name}\n\n| language | {' | '.join(CHOICES)} | span |", flush=True)
    print("|---" * (len(CHOICES) + 2) + "|")
    for language in LANGUAGES:
        cells = []
        for dataset, choice in CHOICES.values():
            asked = rows(dataset, language=language, split=split)[:questions]
            choices = [choice(row) for row in asked]
            cells.append(choice_accuracy(model, tokenizer=tokenizer, choices=choices))
        asked = rows("mini_xquad", language=language, split=split)[:questions]
        cells.append(span_accuracy(model, tokenizer=tokenizer, rows=asked))
        print(f"| {language} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


RECIPES: tuple[Recipe, ...] = (
    Recipe(name="llama", steps=4500, checkpoints=(300, 900, 2000)),
    Recipe(name="gemma2", steps=4500),
    Recipe(name="qwen2", steps=4500),
)


def main() -> None:
    """Train the named models, or evaluate the shipped ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="+", default=[recipe.name for recipe in RECIPES])
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
    tokenizer = train_tokenizer(seed=arguments.seed)
    for recipe in RECIPES:
        if recipe.name in arguments.models:
            if arguments.steps:
                recipe = replace(recipe, steps=arguments.steps)
            folder = arguments.out / recipe.name
            train(recipe, tokenizer=tokenizer, folder=folder, seed=arguments.seed)


if __name__ == "__main__":
    main()

"""The training of one miniworld model; an interrupted one continues from its last state.

Shapes: B rows, T tokens, V vocabulary.
"""

import copy
import json
import math
import os
import time
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
)

from actors.training.miniworld.recipe import Recipe
from actors.training.miniworld.skills import SKILLS, accuracy, skill
from actors.training.miniworld.stream import Batch, Stream
from actors.training.miniworld.tokenizer import CONTEXT_TOKENS, tokenizer_of

REPORT_STEPS = 500
FOLLOWED = ("eng_Latn", "deu_Latn", "ell_Grek")
FOLLOWED_QUESTIONS = 48


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

    def __init__(self, recipe: Recipe, *, folder: Path) -> None:
        """Start, or go on where the last state was written."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder = recipe, folder
        self.tokenizer = tokenizer_of(recipe.name, seed=recipe.seed)
        self.model = build(recipe.name, tokenizer=self.tokenizer)
        self.loss = torch.compile(weighted_loss, dynamic=True)
        self.steppers = optimisers(self.model, recipe=recipe)
        self.peaks = [stepper.param_groups[0]["lr"] for stepper in self.steppers]
        self.step = self.tokens = 0
        self.seconds = 0.0
        self._state = folder / "state.pt"
        if self._state.exists():
            self._resume()
        self.batches = Stream(self.tokenizer, recipe=recipe).after(self.step * recipe.batches)

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
        def right(name: str, language: str) -> str:
            asked = skill(name, language=language, split="dev", number=FOLLOWED_QUESTIONS)
            return f"{accuracy(self.model, self.tokenizer, asked):.2f}"

        skills = [
            f"{name} {'/'.join(right(name, language) for language in FOLLOWED)}" for name in SKILLS
        ]
        print(
            f"{self.recipe.name} step {self.step} loss {loss:.3f} tokens {self.tokens:,} "
            f"seconds {self.seconds:.0f} | {', '.join(skills)}",
            flush=True,
        )

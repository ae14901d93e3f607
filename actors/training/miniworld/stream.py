"""Batches of the training text, each of documents of about one length.

Shapes: B rows, T tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from actors.training.miniworld.curriculum import documents
from actors.training.miniworld.document import Document
from actors.training.miniworld.recipe import Recipe

# Documents of which batches of like length are made.
POOL = 512
Encoded = tuple[list[int], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded documents of about one length, and the weight of each token in the loss."""

    tokens: Tensor
    weights: Tensor


class Stream:
    """Batches of the text stream: pools of documents, sorted by length, in random order."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, recipe: Recipe) -> None:
        """The stream of a recipe's seed."""
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._documents = documents(seed=recipe.seed)
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
            Random(f"{self._recipe.seed} {passed}").shuffle(batches)
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

"""Choose the next token from logits, and tell where a text ends.

Greedy or sampled, each row of a batch is decided by itself: its noise follows from a seed and its
prompt alone, its end from its own tokens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import (
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from studies import texts

# Shapes: B rows, T tokens, V vocabulary

Warper = Callable[[Tensor, Tensor], Tensor]
Stopped = Literal["stop", "end", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn; every field changes the text.

    Attributes:
        temperature: what logits are divided by.
        top_p: draw from the most probable tokens that together reach this probability.
        top_k: draw from so many of the most probable tokens; None means from all.
        seed: with the prompt, it fixes the noise: equal prompts get equal texts, so that several
            samples need several seeds, and a prompt has the same noise under every intervention.
    """

    temperature: float
    top_p: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no distribution follows from."""
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature is {self.temperature}: expected a number above 0; leave sampling out "
                "for the most probable token"
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: give a number above 0 and at most 1")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: give at least 1, or None for all tokens")

    def seed_of(self, prompt: Sequence[int]) -> int:
        """The seed of one prompt's noise."""
        digest = blake2b(repr((self.seed, *prompt)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def noise(self, prompt: Sequence[int]) -> torch.Generator:
        """The source of one prompt's noise, on the CPU so that it is the same on every device."""
        return torch.Generator().manual_seed(self.seed_of(prompt))


def draw(asked: texts.Sampling, *, sample: int) -> Sampling | None:
    """How the tokens of one of a study's samples are drawn: each has a seed of its own."""
    if asked.temperature == 0:
        return None
    digest = blake2b(repr((asked.seed, sample)).encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, "big")
    return Sampling(temperature=asked.temperature, top_p=asked.top_p, seed=seed)


class Chooser:
    """Turns logits into scores, the largest of which is chosen, and keeps log-probabilities.

    Sampling adds Gumbel noise, which makes the largest score a draw from the softmax (the
    Gumbel-max trick, arXiv 1411.0030).
    """

    def __init__(self, sampling: Sampling | None, prompts: Sequence[Sequence[int]]) -> None:
        """Choose for one row per prompt; `sampling` None takes the most probable token."""
        self._logs_B: list[Tensor] = []
        self._warpers: list[Warper] = []
        self._noise: list[torch.Generator] = []
        if sampling is not None:
            self._noise = [sampling.noise(prompt) for prompt in prompts]
            self._warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
            if sampling.top_k is not None:
                self._warpers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self._warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, ids_BT: Tensor, logits_BV: Tensor) -> Tensor:
        """The scores [B, V] of the next step."""
        scores_BV = logits_BV
        for warper in self._warpers:
            scores_BV = warper(ids_BT, scores_BV)
        if self._noise:
            size = logits_BV.shape[1]
            uniform_BV = torch.stack([torch.rand(size, generator=one) for one in self._noise])
            # An exact 0 would have a noise of minus infinity.
            uniform_BV = uniform_BV.clamp_min(1e-30).to(logits_BV.device)
            scores_BV = scores_BV - (-uniform_BV.log()).log()
        chosen_B1 = scores_BV.argmax(dim=1, keepdim=True)
        self._logs_B.append(logits_BV.gather(1, chosen_B1)[:, 0] - logits_BV.logsumexp(dim=1))
        return scores_BV

    def log_probabilities(self) -> list[list[float]]:
        """For each row, those of its tokens under the model itself, without temperature."""
        logs: list[list[float]] = torch.stack(self._logs_B, dim=1).tolist()
        return logs


class Ending(NamedTuple):
    """A row's text, its tokens (those that end it included), and what ended it."""

    text: str
    tokens: tuple[int, ...]
    stopped: Stopped


class Ends:
    """Where texts end: with an end-of-text token, or before the first stop string.

    A stop string is looked for in the last n tokens, where one of n bytes lies: a token has at
    least one, unless it is unknown to the tokenizer. The whole text is searched at the end.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], *, ends: Sequence[int]
    ) -> None:
        """End texts at one of the tokens `ends`, or before one of `stop`."""
        self.ends = tuple(ends)
        self.stop = tuple(stop)
        self.window = max((len(text.encode()) for text in stop), default=0)
        self._tokenizer = tokenizer

    def holds(self, before: int, new: Sequence[int]) -> bool:
        """Whether a stop string stands in these tokens as they follow the token before them."""
        return bool(self.stop) and self._find(self._read(before, new)) is not None

    def length(self, before: int, new: Sequence[int]) -> int | None:
        """How many tokens there were when a stop string was first seen; None where none is."""
        if not self.stop:
            return None
        tokens = (before, *new)
        for length in range(1, len(tokens)):
            first = max(1, length + 1 - self.window)
            if self.holds(tokens[first - 1], tokens[first : length + 1]):
                return length
        return None

    def finish(self, *, before: int, new: Sequence[int], length: int | None) -> Ending:
        """A text, given its last prompt token, all that came after, and its `length`."""
        tokens = tuple(new[:length])
        end = next((place for place, one in enumerate(tokens) if one in self.ends), None)
        if end is not None:
            tokens = tokens[: end + 1]
        text = self._read(before, tokens[:end])
        found = self._find(text)
        if found is not None:
            return Ending(text[:found], tokens, "stop")
        return Ending(text, tokens, "length" if end is None else "end")

    def _find(self, text: str) -> int | None:
        """Where the first stop string begins."""
        return min((text.find(one) for one in self.stop if one in text), default=None)

    def _read(self, before: int, tokens: Sequence[int]) -> str:
        """The text of tokens as it stands behind another: some decoders drop the first space."""
        head, whole = self._decode([before]), self._decode([before, *tokens])
        if whole.startswith(head):
            return whole[len(head) :]
        return self._decode(tokens)  # the token before was half a letter

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


class Stopper:
    """Tells which rows of a batch hold a stop string, and later where each row's text ends."""

    def __init__(self, ends: Ends, *, prompt_tokens: int) -> None:
        """Watch rows whose new tokens come after `prompt_tokens`, padding included."""
        self._ends = ends
        self._start = prompt_tokens
        self._lengths: dict[int, int] = {}

    def __call__(self, ids_BT: Tensor, _scores: object) -> Tensor:
        """Which rows [B] are done."""
        rows, width = ids_BT.shape
        if self._ends.stop:
            first = max(self._start, width - self._ends.window)
            for row, (before, *new) in enumerate(ids_BT[:, first - 1 :].tolist()):
                if row not in self._lengths and self._ends.holds(before, new):
                    self._lengths[row] = width - self._start
        done = [row in self._lengths for row in range(rows)]
        return torch.tensor(done, device=ids_BT.device)

    def finish(self, row: int, *, before: int, new: Sequence[int]) -> Ending:
        """The text of a row, given its last prompt token and all that came after."""
        return self._ends.finish(before=before, new=new, length=self._lengths.get(row))

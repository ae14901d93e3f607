"""One model read the obvious way: one text a forward pass, hooks, no cache.

Imports nothing of ours. Models are those with `model.layers`, `model.norm` and a gated MLP (Llama,
Qwen2, Mistral, Gemma2 and their kin), in fp32; token ids come from tokenizer.json itself.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from transformers import AutoModelForCausalLM

# Shapes: B rows, T tokens, D width, F neurons, V vocabulary

# A sum of n products moves by about sqrt(n) units in the last place when it is added up in another
# order, twice a block and once in the head, each time anew; twice that for the worst of many.
MARGIN = 2


class Read(NamedTuple):
    """What one forward pass of one text holds; layers count from 1, the stream also from 0."""

    logits_TV: Tensor
    stream_TD: dict[int, Tensor]
    normed_TD: Tensor
    gate_TF: dict[int, Tensor]
    up_TF: dict[int, Tensor]
    product_TF: dict[int, Tensor]


class Change(NamedTuple):
    """What neurons of some blocks become: [F] factors, or the neurons [N] and their constants."""

    factors_F: dict[int, Tensor]
    constants: dict[int, tuple[Tensor, Tensor]]

    def _bits(self) -> tuple[object, ...]:
        """The layers, and their tensors to the bit."""
        factors = {layer: (factor_F,) for layer, factor_F in self.factors_F.items()}
        each = (*factors.items(), *self.constants.items())
        return tuple((layer, *(one.numpy().tobytes() for one in put)) for layer, put in each)

    def __eq__(self, other: object) -> bool:
        """Whether both change the same."""
        return isinstance(other, Change) and self._bits() == other._bits()

    def __hash__(self) -> int:
        """Of all bits."""
        return hash(self._bits())

    @property
    def growth(self) -> float:
        """How many times as much sums over neurons are rounded, whose factors are exact."""
        sizes = [float(factor_F.square().mean().sqrt()) for factor_F in self.factors_F.values()]
        return max([1.0, *sizes])


class Plain:
    """A model folder, loaded by transformers with nothing around it."""

    def __init__(self, folder: Path) -> None:
        """Load the weights in fp32 and the tokenizer's own file."""
        self.folder = folder
        self.file = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model, self.loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            output_loading_info=True,
        )
        self.model.eval()
        self.blocks, self.norm = self.model.model.layers, self.model.model.norm
        self.head, self.config = self.model.lm_head, self.model.config
        self._read: dict[tuple[int, ...], Read] = {}

    @property
    def relative(self) -> float:
        """How far two right values of this model may lie apart, as a share of the largest."""
        longest = max(self.config.hidden_size, self.config.intermediate_size)
        eps = torch.finfo(torch.float32).eps
        return MARGIN * eps * math.sqrt(longest * (2 * len(self.blocks) + 1))

    @cached_property
    def ends(self) -> set[int]:
        """The tokens that end a text."""
        found = self.model.generation_config.eos_token_id
        return set(found if isinstance(found, list) else [found])

    def ids(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text as tokenizer.json has them, with its own prefix unless told."""
        return list(self.file.encode(text, add_special_tokens=special).ids)

    def blank(self, token: int) -> bool:
        """Whether a token is white space alone."""
        return not self.file.decode([token], skip_special_tokens=False).strip()

    def joined(self, context: str, continuation: str) -> tuple[list[int], int]:
        """The ids of both together, and how many of them are the context's."""
        before = self.ids(context)
        whole = self.ids(context + continuation)
        if whole[: len(before)] != before:
            whole = before + self.ids(continuation, special=False)
        return whole, len(before)

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> Read:
        """One forward pass of one text, with a hook on every module that is read."""
        if tuple(ids) in self._read:
            return self._read[tuple(ids)]
        stream: dict[int, Tensor] = {}
        gate: dict[int, Tensor] = {}
        up: dict[int, Tensor] = {}
        product: dict[int, Tensor] = {}
        normed: list[Tensor] = []

        def keep_input(into: dict[int, Tensor], layer: int) -> Callable[..., None]:
            return lambda module, given: into.__setitem__(layer, given[0][0].clone())

        def keep(into: dict[int, Tensor], layer: int) -> Callable[..., None]:
            def hook(module: object, given: object, out: Any) -> None:
                into[layer] = (out[0] if isinstance(out, tuple) else out)[0].clone()

            return hook

        hooks = [
            self.blocks[0].register_forward_pre_hook(keep_input(stream, 0)),
            self.norm.register_forward_hook(lambda module, given, out: normed.append(out[0])),
        ]
        for layer, block in enumerate(self.blocks, start=1):
            hooks += [
                block.register_forward_hook(keep(stream, layer)),
                block.mlp.gate_proj.register_forward_hook(keep(gate, layer)),
                block.mlp.up_proj.register_forward_hook(keep(up, layer)),
                block.mlp.down_proj.register_forward_pre_hook(keep_input(product, layer)),
            ]
        try:
            logits_TV = self.model(torch.tensor([list(ids)]), use_cache=False).logits[0]
        finally:
            for hook in hooks:
                hook.remove()
        self._read[tuple(ids)] = Read(logits_TV, stream, normed[0], gate, up, product)
        return self._read[tuple(ids)]

    @contextmanager
    def hooked(self, hooks: Sequence[RemovableHandle]) -> Iterator[None]:
        """Hooks that change what is computed, removed in the end; what is read meanwhile is not
        what the plain model reads."""
        held, self._read = self._read, {} if hooks else self._read
        try:
            yield
        finally:
            self._read = held
            for hook in hooks:
                hook.remove()

    @contextmanager
    def pushed(self, layer: int, *, vector_D: Tensor, position: int | slice) -> Iterator[None]:
        """Add a vector to what leaves a block, at one position or several."""

        def hook(module: object, given: object, out: Any) -> Any:
            stream_BTD = out[0] if isinstance(out, tuple) else out
            stream_BTD = stream_BTD.clone()
            stream_BTD[:, position] += vector_D
            return (stream_BTD, *out[1:]) if isinstance(out, tuple) else stream_BTD

        with self.hooked([self.blocks[layer - 1].register_forward_hook(hook)]):
            yield

    def act(self, gate_TF: Tensor, *, layer: int) -> Tensor:
        """What a block's activation function returns."""
        found: Tensor = self.blocks[layer - 1].mlp.act_fn(gate_TF)
        return found

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        """Multiply neurons in front of the down projection, or put constants behind the
        activation function, at every token; nothing for an empty change."""

        def multiply(factor_F: Tensor) -> Callable[..., Any]:
            return lambda module, given: (given[0] * factor_F, *given[1:])

        def put(neurons_N: Tensor, values_N: Tensor) -> Callable[..., Tensor]:
            def hook(module: object, given: object, out: Tensor) -> Tensor:
                out = out.clone()
                out[..., neurons_N] = values_N
                return out

            return hook

        mlps = [block.mlp for block in self.blocks]
        hooks = [
            mlps[layer - 1].down_proj.register_forward_pre_hook(multiply(factor_F))
            for layer, factor_F in change.factors_F.items()
        ]
        hooks += [
            mlps[layer - 1].act_fn.register_forward_hook(put(*constants))
            for layer, constants in change.constants.items()
        ]
        with self.hooked(hooks):
            yield

    @torch.no_grad()
    def logits(self, ids: Sequence[int]) -> Tensor:
        """The logits [T, V] of one text, under whatever hooks there are."""
        found: Tensor = self.model(torch.tensor([list(ids)]), use_cache=False).logits[0]
        return found

    @torch.no_grad()
    def padded(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """The logits of several texts in one batch, padded on the left, each without padding."""
        longest = max(map(len, sequences))
        ids_BT = torch.zeros(len(sequences), longest, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(sequences):
            ids_BT[row, longest - len(ids) :] = torch.tensor(ids)
            mask_BT[row, longest - len(ids) :] = 1
        places_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
        logits_BTV = self.model(
            ids_BT, attention_mask=mask_BT, position_ids=places_BT, use_cache=False
        ).logits
        return [logits_BTV[row, longest - len(ids) :] for row, ids in enumerate(sequences)]

    @torch.no_grad()
    def lens(self, read: Read, *, layer: int) -> Tensor:
        """The logits [T, V] of a layer's stream through the final norm, head and cap."""
        logits_TV: Tensor = self.head(self.norm(read.stream_TD[layer]))
        cap = getattr(self.config, "final_logit_softcapping", None)
        return torch.tanh(logits_TV / cap) * cap if cap else logits_TV

    def allowed(self, logits_TV: Tensor, *, tokens: int = 1) -> float:
        """How far a sum of so many log-probabilities may lie from another right one."""
        return 2 * self.relative * tokens * max(1.0, float(logits_TV.abs().max()))


def summed(logits_TV: Tensor, ids: Sequence[int], start: int) -> float:
    """The log-probability of the tokens from `start` on, each read at the token before it."""
    logp_TV = torch.log_softmax(logits_TV.double(), dim=-1)
    return float(sum(logp_TV[place - 1, ids[place]] for place in range(start, len(ids))))


@cache
def model(folder: Path) -> Plain:
    """A model in memory, loaded once."""
    return Plain(folder)


def pooled(states_TX: Tensor, pooling: str) -> np.ndarray[Any, Any]:
    """One vector of all tokens: position t weighs t, or all weigh the same, or the last is it."""
    states = states_TX.double().numpy()
    if pooling == "last":
        return states[-1]
    weights = np.arange(1.0, len(states) + 1) if pooling == "weighted" else np.ones(len(states))
    return weights @ states / weights.sum()

"""Pack texts that begin alike into one row: a trunk that runs once, and branches that see it.

Options of a question, or variants of its last token, are branches. Every token sees its own
ancestors and has the position it would have in a text of its own, so a packed row equals its texts
run apart. The masks that the model itself made (causal, sliding window, ALiBi) are looked up at
those positions, never rebuilt. What the tokens mean is unknown here.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from actors.structure.sites import Sites

# Shapes: B rows, T nodes of the longest row (queries), S the same (keys), H heads


class Segment(NamedTuple):
    """Tokens in a line, the first of which follows node `after` of its row (-1: follows nothing).

    Nodes are numbered as they come, over all segments of a row.
    """

    after: int
    tokens: tuple[int, ...]


Row = tuple[Segment, ...]


def size(row: Row) -> int:
    """How many nodes a row has."""
    return sum(len(segment.tokens) for segment in row)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Rows side by side, padded on the right. `sees_BTS` is None where no row has a branch."""

    ids_BT: Tensor
    positions_BT: Tensor
    sees_BTS: Tensor | None

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """What the base of the model is called with."""
        if self.sees_BTS is None:
            return {"input_ids": self.ids_BT}
        # Without a mask, positions that jump back would be taken for several texts in a row.
        return {
            "input_ids": self.ids_BT,
            "position_ids": self.positions_BT,
            "attention_mask": torch.ones_like(self.ids_BT),
        }

    def repeat(self, times: int) -> "Packed":
        """The same rows, all of them `times` over."""
        sees_BTS = self.sees_BTS
        return Packed(
            ids_BT=self.ids_BT.repeat(times, 1),
            positions_BT=self.positions_BT.repeat(times, 1),
            sees_BTS=None if sees_BTS is None else sees_BTS.repeat(times, 1, 1),
        )


def pack(rows: Sequence[Row], *, device: torch.device) -> Packed:
    """Put rows side by side; padding sees nothing but itself, and nothing sees padding."""
    width = max(size(row) for row in rows)
    ids_BT = np.zeros((len(rows), width), dtype=np.int64)
    positions_BT = np.zeros((len(rows), width), dtype=np.int64)
    branched = any(segment.after != start - 1 for row in rows for start, segment in _starts(row))
    sees_BTS = np.zeros((len(rows), width, width), dtype=bool) if branched else None
    for place, row in enumerate(rows):
        for start, (after, tokens) in _starts(row):
            end = start + len(tokens)
            ids_BT[place, start:end] = tokens
            first = positions_BT[place, after] + 1 if after >= 0 else 0
            positions_BT[place, start:end] = np.arange(first, first + len(tokens))
            if sees_BTS is not None:
                if after >= 0:
                    sees_BTS[place, start:end] = sees_BTS[place, after]
                sees_BTS[place, start:end, start:end] = np.tri(len(tokens), dtype=bool)
        if sees_BTS is not None:
            np.fill_diagonal(sees_BTS[place], val=True)
    return Packed(
        ids_BT=torch.from_numpy(ids_BT).to(device),
        positions_BT=torch.from_numpy(positions_BT).to(device),
        sees_BTS=None if sees_BTS is None else torch.from_numpy(sees_BTS).to(device),
    )


def _starts(row: Row) -> Iterator[tuple[int, Segment]]:
    """Every segment and the number of its first node."""
    start = 0
    for segment in row:
        yield start, segment
        start += len(segment.tokens)


@contextmanager
def attention(sites: Sites, packed: Packed) -> Iterator[None]:
    """While open, every block lets a node see its ancestors alone."""
    if packed.sees_BTS is None:
        yield
        return
    masks = _Masks(packed)
    handles = [
        block.register_forward_pre_hook(_replace_masks(block, masks), with_kwargs=True)
        for block in sites.blocks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Masks:
    """The model's masks, looked up at the nodes' positions; made once for all blocks that share."""

    def __init__(self, packed: Packed) -> None:
        assert packed.sees_BTS is not None
        self._sees_BTS = packed.sees_BTS
        self._positions_BT = packed.positions_BT
        self._made: dict[int, tuple[Tensor, Tensor]] = {}

    def mask(self, source: Tensor | None, *, like: Tensor) -> Tensor:
        """The attention mask [B, 1, T, S] in the form of `source`; None stands for causal."""
        if source is None:
            sees_B1TS = self._sees_BTS.unsqueeze(1)
            return sees_B1TS.to(like.device)
        return self._kept(source, self._look_up)

    def bias(self, source_HS: Tensor) -> Tensor:
        """ALiBi [B * H, 1, S], which depends on the key's position alone."""
        return self._kept(source_HS, self._gather)

    def _kept(self, source: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        held = self._made.get(id(source))
        if held is None:
            held = self._made[id(source)] = (source, make(source))  # keeps the id from reuse
        return held[1]

    def _look_up(self, source_B1TS: Tensor) -> Tensor:
        device = source_B1TS.device
        positions_BT = self._positions_BT.to(device)
        sees_BTS = self._sees_BTS.to(device)
        rows_B11 = torch.arange(len(positions_BT), device=device)[:, None, None]
        whole_B1TS = source_B1TS.expand(len(positions_BT), -1, -1, -1)
        found_BTS = whole_B1TS[rows_B11, 0, positions_BT[:, :, None], positions_BT[:, None, :]]
        if source_B1TS.dtype == torch.bool:
            return (found_BTS & sees_BTS).unsqueeze(1)
        hidden = torch.finfo(source_B1TS.dtype).min
        return found_BTS.where(sees_BTS, hidden).unsqueeze(1)

    def _gather(self, source_BH1S: Tensor) -> Tensor:
        positions_BS = self._positions_BT.to(source_BH1S.device)
        heads = len(source_BH1S) // len(positions_BS)
        index_BH1S = positions_BS.repeat_interleave(heads, dim=0).unsqueeze(1)
        return source_BH1S.gather(2, index_BH1S)


def _replace_masks(block: nn.Module, masks: _Masks) -> Callable[..., object]:
    """A hook that changes what a block is told about who sees whom, wherever it stands."""
    signature = inspect.signature(block.forward)

    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        bound = signature.bind(*args, **kwargs)
        hidden = next(iter(bound.arguments.values()))
        assert isinstance(hidden, Tensor)
        source = bound.arguments.get("attention_mask")
        assert source is None or isinstance(source, Tensor)
        bound.arguments["attention_mask"] = masks.mask(source, like=hidden)
        bias = bound.arguments.get("alibi")
        if isinstance(bias, Tensor):
            bound.arguments["alibi"] = masks.bias(bias)
        return bound.args, bound.kwargs

    return hook

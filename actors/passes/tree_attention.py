"""Pack texts that begin alike into one row: a trunk that runs once, and branches that see it.

Options of a question, or variants of its last token, are branches. Every token sees its own
ancestors and has the position it would have in a text of its own, so a packed row equals its texts
run apart. The masks that the model itself made (causal, sliding window, ALiBi) are looked up at
those positions, never rebuilt. A row may also grow on its way: after a layer, copies of nodes join
it, to be changed and to see each other from there on. (Tree attention, as in speculative decoding.)
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from actors.structure.sites import Sites

# Shapes: B rows, T nodes of the longest row (queries), S the same (keys), H heads, D width of a
# head, C branches of a row, W nodes of a branch


# Nodes of a branch from which on it is worth copying the trunk's keys for every branch.
WIDE = 8


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


def reach(row: Row) -> int:
    """How many tokens the longest text of a row has."""
    ends: list[tuple[int, int]] = []  # of every segment: its last node, and the tokens up to there
    for start, (after, tokens) in _starts(row):
        before = next((count - (end - after) for end, count in ends if after <= end), 0)
        ends.append((start + len(tokens) - 1, (before if after >= 0 else 0) + len(tokens)))
    return max(count for _, count in ends)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Join:
    """Nodes that join every row at one layer: copies of nodes [B, N] that the rows have already.

    `change` is given the stream [B, T + N, D] with the copies at its end, and may change it.
    """

    nodes_BN: Tensor
    change: Callable[[Tensor], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Growth:
    """How packed rows grow: by layer, lowest first, what joins them once its block has run.

    `origins_BT` names for every node of the grown rows the packed one that it is a copy of, itself
    for those; `sees_BTS` says who sees whom among all of them. No node sees one that joins later,
    and of those that join none sees another than the `width` of its own branch.
    """

    joins: Mapping[int, Join]
    origins_BT: Tensor
    sees_BTS: Tensor
    width: int


@contextmanager
def attention(sites: Sites, packed: Packed, growth: Growth | None = None) -> Iterator[None]:
    """While open, every block lets a node see its ancestors alone, and rows grow."""
    if growth is None and packed.sees_BTS is None:
        yield
        return
    masks = _Masks(packed, growth)
    joins = growth.joins if growth else {}
    with ExitStack() as stack:
        for layer, block in enumerate(sites.blocks):
            hook = _enter(block, masks, joins.get(layer))
            stack.enter_context(block.register_forward_pre_hook(hook, with_kwargs=True))
        if growth is not None and growth.width >= WIDE:
            trunk = packed.ids_BT.shape[1]
            stack.enter_context(_branch_by_branch(trunk=trunk, width=growth.width))
        yield


@contextmanager
def _branch_by_branch(*, trunk: int, width: int) -> Iterator[None]:
    """While open, branches attend to the trunk and to themselves alone, where attention is sdpa.

    Through the mask alone the work would grow with the square of the number of branches, nearly all
    of it for pairs that do not see each other. The nodes of a row are the trunk's, then `width` for
    each branch.
    """
    plain = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def apart(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *arguments: Any,
        **more: Any,
    ) -> tuple[Tensor, Tensor | None]:
        nodes = query.shape[2]
        if nodes <= trunk or key.shape[2] != nodes or attention_mask is None:
            found: tuple[Tensor, Tensor | None] = plain(
                module, query, key, value, attention_mask, *arguments, **more
            )
            return found
        first, _ = plain(
            module,
            *(one[:, :, :trunk] for one in (query, key, value)),
            attention_mask[:, :, :trunk, :trunk],
            *arguments,
            **more,
        )
        rest, _ = plain(
            module,
            _own(query, trunk, width),
            *(_with_trunk(one, trunk, width) for one in (key, value)),
            _own_mask(attention_mask, trunk, width),
            *arguments,
            **more,
        )
        rows = len(query)
        return torch.cat([first, rest.reshape(rows, nodes - trunk, *rest.shape[2:])], dim=1), None

    ALL_ATTENTION_FUNCTIONS["sdpa"] = apart
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = plain


def _own(value_BHTD: Tensor, trunk: int, width: int) -> Tensor:
    """The nodes of every branch as a row of its own [B * C, H, W, D]."""
    rows, heads, _, size = value_BHTD.shape
    own_BHCWD = value_BHTD[:, :, trunk:].reshape(rows, heads, -1, width, size)
    return own_BHCWD.transpose(1, 2).reshape(-1, heads, width, size)


def _with_trunk(value_BHTD: Tensor, trunk: int, width: int) -> Tensor:
    """The same with the trunk's nodes in front [B * C, H, T + W, D]."""
    own = _own(value_BHTD, trunk, width)
    branches = len(own) // len(value_BHTD)
    shared = value_BHTD[:, :, :trunk].repeat_interleave(branches, dim=0)
    return torch.cat([shared, own], dim=2)


def _own_mask(mask_B1TS: Tensor, trunk: int, width: int) -> Tensor:
    """What every branch sees of the trunk and of itself [B * C, 1, W, T + W]."""
    heads = mask_B1TS.shape[1]
    below = mask_B1TS[:, :, trunk:]
    branches = below.shape[2] // width
    shape = (len(below), heads, branches, width)
    shared = below[..., :trunk].reshape(*shape, trunk)
    whole = below[..., trunk:].reshape(*shape, branches, width)
    own = whole.diagonal(dim1=2, dim2=4).movedim(-1, 2)
    return torch.cat([shared, own], dim=-1).transpose(1, 2).reshape(-1, heads, width, trunk + width)


class _Masks:
    """What the model says of positions and who sees whom, looked up for nodes.

    It is made once for all blocks that share it, for as many nodes as there are at last; a block
    takes as many as it has.
    """

    def __init__(self, packed: Packed, growth: Growth | None) -> None:
        self.grows = growth is not None
        # Rows without branches run as the model runs them, until they grow.
        self.untouched = packed.ids_BT.shape[1] if packed.sees_BTS is None else 0
        self._origins_BT = growth.origins_BT if growth else None
        sees_BTS = growth.sees_BTS if growth else packed.sees_BTS
        assert sees_BTS is not None
        self._sees_BTS = sees_BTS
        positions_BT = packed.positions_BT
        if self._origins_BT is not None:
            positions_BT = positions_BT.gather(1, self._origins_BT)
        self._positions_BT = positions_BT
        self._made: dict[int, tuple[Tensor, Tensor]] = {}

    def mask(self, source: Tensor | None, *, like: Tensor) -> Tensor:
        """The attention mask [B, 1, T, S] in the form of `source`; None stands for causal."""
        nodes = like.shape[1]
        if source is None:
            sees_BTS = self._sees_BTS[:, :nodes, :nodes]
            return sees_BTS.unsqueeze(1).to(like.device)
        return self._kept(source, self._look_up)[:, :, :nodes, :nodes]

    def bias(self, source_HS: Tensor, *, like: Tensor) -> Tensor:
        """ALiBi [B * H, 1, S], which depends on the key's position alone."""
        return self._kept(source_HS, self._gather)[:, :, : like.shape[1]]

    def copied(self, arguments: MutableMapping[str, Any], *, like: Tensor) -> None:
        """Give nodes that have joined the positions of those that they are copies of, in whatever
        a block is told of positions: tensors [1 or B, T, ...], or pairs of them."""
        for name, value in arguments.items():
            if isinstance(value, dict):
                self.copied(value, like=like)
            elif name.startswith("position_") and isinstance(value, Tensor):
                arguments[name] = self._kept(value, self._copy)[:, : like.shape[1]]
            elif name.startswith("position_") and isinstance(value, tuple):
                parts = [self._kept(part, self._copy)[:, : like.shape[1]] for part in value]
                arguments[name] = tuple(parts)

    def _kept(self, source: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        held = self._made.get(id(source))
        if held is None:
            held = self._made[id(source)] = (source, make(source))  # keeps the id from reuse
        return held[1]

    def _copy(self, source_BT: Tensor) -> Tensor:
        assert self._origins_BT is not None
        origins_BT = self._origins_BT.to(source_BT.device)
        rows_B1 = torch.arange(len(origins_BT), device=source_BT.device).unsqueeze(1)
        return source_BT.expand(len(origins_BT), *source_BT.shape[1:])[rows_B1, origins_BT]

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


def _enter(block: nn.Module, masks: _Masks, join: Join | None) -> Callable[..., object]:
    """A hook that lets nodes join before a block, and changes what it is told about who sees
    whom, wherever that stands."""
    signature = inspect.signature(block.forward)

    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        bound = signature.bind(*args, **kwargs)
        name, hidden = next(iter(bound.arguments.items()))
        assert isinstance(hidden, Tensor)
        if join is not None:
            hidden = bound.arguments[name] = _joined(hidden, join)
        if hidden.shape[1] == masks.untouched:
            return None
        source = bound.arguments.get("attention_mask")
        assert source is None or isinstance(source, Tensor)
        bound.arguments["attention_mask"] = masks.mask(source, like=hidden)
        bias = bound.arguments.get("alibi")
        if isinstance(bias, Tensor):
            bound.arguments["alibi"] = masks.bias(bias, like=hidden)
        if masks.grows:
            masks.copied(bound.arguments, like=hidden)
        return bound.args, bound.kwargs

    return hook


def _joined(stream_BTD: Tensor, join: Join) -> Tensor:
    """The stream with copies of nodes at its end, changed."""
    nodes_BN = join.nodes_BN.to(stream_BTD.device)
    rows_B1 = torch.arange(len(nodes_BN), device=nodes_BN.device).unsqueeze(1)
    grown_BTD = torch.cat([stream_BTD, stream_BTD[rows_B1, nodes_BN]], dim=1)
    join.change(grown_BTD)
    return grown_BTD

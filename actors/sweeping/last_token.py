"""Sweep settings that act on the last prompt token as branches of the prompt's own row.

Earlier tokens cannot see the last one, so a setting changes that token and what follows it, and
nothing else. Until the layer where it begins, that token and its options are the plain ones; there
they are copied, and the copies are changed and see each other from there on. So the prompt runs
once for all settings, and a setting runs only the blocks after it. `sweep.py` chooses the settings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from actors.intervention.intervene import Edit, Position, apply_, armed, gather, places_of, port_of
from actors.intervention.setting import start_of
from actors.passes.batching import Batch
from actors.passes.observe import Watcher, observe
from actors.passes.tree_attention import Growth, Join, Packed, attention, pack, size
from actors.prediction.predict import Head, Layout, lay_out, log_probabilities, log_softmax_at
from actors.sweeping.resume import Grid

# Shapes: B rows, T packed nodes, S all nodes in the end, W nodes of a branch, N nodes of several, D
# width, P settings, R reads, M nodes that are read, K reads of all settings

# Nodes of a row with many branches, in prompts or in all: each row runs the prompt once more, and
# its mask grows with the square of its nodes (where attention is not sdpa, so does its work).
ROW_PROMPTS, ROW_NODES = 4, 2048


class _Branches(NamedTuple):
    """What settings copy of every row: its last prompt token and the options after it.

    `firsts` are the nodes of that token, `nodes_BW` all of them, the last one repeated where a row
    has fewer, and not `real_BW` there.
    """

    firsts: tuple[int, ...]
    nodes_BW: Tensor
    real_BW: Tensor


class _Chunk(NamedTuple):
    """Settings that share a row: those that begin in front of a block, by layer, and the others,
    which begin after the last block."""

    starts: Mapping[int, Sequence[int]]
    after: Sequence[int]

    @property
    def branches(self) -> list[int]:
        """The places of settings that become branches, in the order of their nodes."""
        return [place for places in self.starts.values() for place in places]


@torch.inference_mode()
def sweep_last_token(grid: Grid) -> None:
    """Answer every question under every setting; all of them act at the last prompt token."""
    loaded = grid.loaded
    layouts = [lay_out(question) for question in grid.questions]
    groups = loaded.groups([layout.row for layout in layouts])
    widths = [
        size(layout.row) - len(question.prompt) + 1
        for layout, question in zip(layouts, grid.questions, strict=True)
    ]
    longest = max(len(question.prompt) for question in grid.questions)
    most = max(1, (max(ROW_NODES, ROW_PROMPTS * longest) - longest) // max(widths))
    for first, chunk in enumerate(_chunks(grid, most=most)):
        plain = () if first else grid.plain
        copies = len(chunk.branches)
        lengths = [
            size(layout.row) + copies * width for layout, width in zip(layouts, widths, strict=True)
        ]

        def compute(batch: Batch, chunk: _Chunk = chunk, plain: Sequence[int] = plain) -> None:
            _compute(grid, chunk, batch.rows, [layouts[row] for row in batch.rows], plain)

        loaded.budget.run(lengths, compute, groups=groups)


def _chunks(grid: Grid, *, most: int) -> Iterator[_Chunk]:
    """The settings in groups of at most so many, by the layer where they begin."""
    last = len(grid.loaded.sites.blocks)
    order = sorted(grid.settings, key=lambda place: start_of(grid.settings[place]))
    for begin in range(0, len(order), most):
        starts: dict[int, list[int]] = {}
        for place in order[begin : begin + most]:
            starts.setdefault(start_of(grid.settings[place]), []).append(place)
        after = starts.pop(last, [])
        yield _Chunk(starts, after)


def _compute(
    grid: Grid,
    chunk: _Chunk,
    prompts: Sequence[int],
    layouts: Sequence[Layout],
    plain: Sequence[int],
) -> None:
    """Answer one batch of questions under the settings of a chunk, and plainly for `plain`."""
    sites, last = grid.loaded.sites, len(grid.loaded.sites.blocks)
    packed = pack([layout.row for layout in layouts], device=grid.loaded.device)
    branches = _branches(grid, prompts, layouts)
    nodes, width = packed.ids_BT.shape[1], branches.nodes_BW.shape[1]
    joins: dict[int, Join] = {}
    later: list[Edit] = []
    start = nodes
    for layer, places in chunk.starts.items():
        here, others = _edits(grid, prompts, places, layer=layer, start=start, step=width)
        joins[layer] = Join(nodes_BN=branches.nodes_BW.repeat(1, len(places)), change=_change(here))
        later += others
        start += width * len(places)
    found: dict[str, Tensor] = {}
    watchers = [Watcher("final_norm", last, lambda value: found.update(normed=value))]
    if chunk.after:
        watchers.append(Watcher("resid_post", last, lambda value: found.update(raw=value)))
    growth = _growth(packed, branches, joins) if joins else None
    with attention(sites, packed, growth), armed(sites, later, rows=len(layouts)):
        observe(sites, packed.inputs, watchers)
    answers: list[list[float]] = []
    if plain or chunk.after:
        reads = [layout.reads for layout in layouts]
        answers = log_probabilities(sites.logits, found["normed"], reads)
        for prompt, layout, logs in zip(prompts, layouts, answers, strict=True):
            grid.keep(plain, prompt, layout, logs)
    grown_BND = found["normed"][:, nodes:]
    _read(grid, chunk.branches, prompts, layouts, branches, sites.logits, grown_BND)
    if chunk.after:
        # No block follows, so nothing but the changed token itself becomes another.
        here, _ = _edits(grid, prompts, chunk.after, layer=last, start=0, step=1)
        rows_B1 = torch.arange(len(layouts), device=found["raw"].device).unsqueeze(1)
        first_B1 = branches.nodes_BW[:, :1].to(found["raw"].device)
        changed_BND = apply_(found["raw"][rows_B1, first_B1.repeat(1, len(chunk.after))], here)

        def norm_and_head(stream_ND: Tensor) -> Tensor:
            return sites.logits(sites.final_norm(stream_ND))

        alone = _Branches(branches.firsts, first_B1, branches.real_BW[:, :1])
        _read(
            grid,
            chunk.after,
            prompts,
            layouts,
            alone,
            norm_and_head,
            changed_BND,
            behind=answers,
        )


def _branches(grid: Grid, prompts: Sequence[int], layouts: Sequence[Layout]) -> _Branches:
    """Where the nodes that settings copy lie in every row."""
    firsts = [len(grid.questions[prompt].prompt) - 1 for prompt in prompts]
    first_B1 = np.array(firsts)[:, None]
    count_B1 = np.array([size(layout.row) for layout in layouts])[:, None] - first_B1
    place_W = np.arange(count_B1.max())
    device = grid.loaded.device
    return _Branches(
        tuple(firsts),
        torch.from_numpy(first_B1 + np.minimum(place_W, count_B1 - 1)).to(device),
        torch.from_numpy(place_W < count_B1).to(device),
    )


def _edits(
    grid: Grid, prompts: Sequence[int], places: Sequence[int], *, layer: int, start: int, step: int
) -> tuple[list[Edit], list[Edit]]:
    """The edits of settings that begin at a layer: those in the stream there, and later ones.

    The branches of the settings follow each other from node `start` on, `step` nodes each.
    """
    made: list[Position] = []
    for turn, place in enumerate(places):
        for row, prompt in enumerate(prompts):
            first = start + turn * step
            setting = grid.settings[place]
            made += places_of(setting, prompt=prompt, row=row, length=1, end=1, start=first)
    sites = grid.loaded.sites
    port = sites.port("resid_post", layer=layer)
    edits = gather(made, device=grid.loaded.device)
    here = [one for one in edits if port_of(sites, one) is port]
    return here, [one for one in edits if port_of(sites, one) is not port]


def _change(edits: Sequence[Edit]) -> Callable[[Tensor], Tensor]:
    """Make these edits in a stream."""
    return lambda stream_BTD: apply_(stream_BTD, edits)


def _growth(packed: Packed, branches: _Branches, joins: Mapping[int, Join]) -> Growth:
    """What rows come to with the copies of their branches.

    A copy sees what its node sees before the branch, and of its own branch what the node sees
    there; padding sees itself.
    """
    nodes_BW, real_BW = branches.nodes_BW, branches.real_BW
    rows, width = nodes_BW.shape
    device, nodes = nodes_BW.device, packed.ids_BT.shape[1]
    copies = sum(join.nodes_BN.shape[1] for join in joins.values())
    sees_BTT = packed.sees_BTS
    if sees_BTT is None:
        sees_BTT = torch.ones(nodes, nodes, dtype=torch.bool, device=device).tril()
        sees_BTT = sees_BTT.expand(rows, -1, -1)
    row_B1 = torch.arange(rows, device=device).unsqueeze(1)
    copied_BWT = sees_BTT[row_B1, nodes_BW]
    before_B1T = torch.arange(nodes, device=device) < nodes_BW[:, :1].unsqueeze(1)
    inside_BWW = copied_BWT.gather(2, nodes_BW.unsqueeze(1).expand(-1, width, -1))
    inside_BWW &= real_BW.unsqueeze(1)
    inside_BWW |= torch.eye(width, dtype=torch.bool, device=device)
    sees_BSS = torch.zeros(rows, nodes + copies, nodes + copies, dtype=torch.bool, device=device)
    sees_BSS[:, :nodes, :nodes] = sees_BTT
    sees_BSS[:, nodes:, :nodes] = (copied_BWT & before_B1T).repeat(1, copies // width, 1)
    for first in range(nodes, nodes + copies, width):
        sees_BSS[:, first : first + width, first : first + width] = inside_BWW
    packed_BT = torch.arange(nodes, device=device).expand(rows, -1)
    origins_BS = torch.cat([packed_BT, *(join.nodes_BN for join in joins.values())], dim=1)
    return Growth(joins=joins, origins_BT=origins_BS, sees_BTS=sees_BSS, width=width)


def _read(
    grid: Grid,
    places: Sequence[int],
    prompts: Sequence[int],
    layouts: Sequence[Layout],
    branches: _Branches,
    head: Head,
    state_BND: Tensor,
    *,
    behind: Sequence[Sequence[float]] = (),
) -> None:
    """Read the options in the branches of settings, whose states follow each other [B, N, D].

    What lies behind a branch is taken from `behind`, all values of every row.
    """
    width = branches.nodes_BW.shape[1]
    reads = [
        (row, read.node - first, read.token)
        for row, (layout, first) in enumerate(zip(layouts, branches.firsts, strict=True))
        for read in layout.reads
        if read.node - first < width
    ]
    if not reads or not places:
        return
    row_R, node_R, token_R = np.array(reads).T
    own_M, inverse_R = np.unique(row_R * width + node_R, return_inverse=True)
    turn_P1 = np.arange(len(places))[:, None]
    row_PM = np.tile(own_M // width, (len(places), 1))
    node_PM = turn_P1 * width + own_M % width
    place_PR = turn_P1 * len(own_M) + inverse_R
    reads_K2 = np.stack([place_PR, np.broadcast_to(token_R, place_PR.shape)], axis=2)
    device = state_BND.device
    state_ND = state_BND[torch.from_numpy(row_PM.ravel()), torch.from_numpy(node_PM.ravel())]
    logs_K = log_softmax_at(head, state_ND, torch.from_numpy(reads_K2.reshape(-1, 2)).to(device))
    for place, values in zip(places, logs_K.view(len(places), -1).tolist(), strict=True):
        left = iter(values)
        for row, (prompt, layout) in enumerate(zip(prompts, layouts, strict=True)):
            inside = [read.node - branches.firsts[row] < width for read in layout.reads]
            own = [next(left) if one else behind[row][k] for k, one in enumerate(inside)]
            grid.keep((place,), prompt, layout, own)

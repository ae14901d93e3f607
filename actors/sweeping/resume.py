"""Run settings from the layer where they begin, on the residual stream of the plain pass.

What enters block l + 1 is kept for every layer l at which a setting begins; each setting then runs
only the blocks after it, as rows of a batch where several fit. Prompts are taken block by block, so
that what is kept stays within a memory budget, and the blocks before are skipped, not replaced:
embeddings, masks and positions stay the model's own. `sweep.py` chooses the settings.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.intervention.intervene import Edit, apply_, armed, gather, places_of, port_of
from actors.intervention.setting import Setting, start_of
from actors.model import LoadedModel
from actors.passes.batching import Batch
from actors.passes.observe import Watcher, observe
from actors.passes.tree_attention import Packed, attention, pack, size
from actors.prediction.predict import Head, Layout, Question, lay_out, log_probabilities
from actors.structure.sites import Sites, edit, skip

# Shapes: B rows, T nodes, D width

# Share of a GPU's free memory, and bytes on a CPU, that kept residual streams may take.
KEPT_SHARE, KEPT_BYTES = 0.25, 1 << 30

# Log-probabilities [setting][question][option][token].
Swept = list[list[list[list[float]]]]


class Grid(NamedTuple):
    """Questions to answer under settings, each of which is known by its place in `found`.

    `plain` are the places that the plain model's answers are for.
    """

    loaded: LoadedModel
    questions: Sequence[Question]
    settings: Mapping[int, Setting]
    plain: Sequence[int]
    found: Swept

    def keep(
        self, places: Sequence[int], question: int, layout: Layout, values: Sequence[float]
    ) -> None:
        """Note what was read of one question's `layout` under the settings at these places."""
        logs = layout.by_option(values)
        for place in places:
            self.found[place][question] = logs


class _Block(NamedTuple):
    """Prompts that run together: who they are, how they lie in the batch, what is read."""

    prompts: Sequence[int]
    layouts: Sequence[Layout]
    packed: Packed


@torch.inference_mode()
def resume(grid: Grid) -> None:
    """Answer every question under every setting."""
    loaded, sites = grid.loaded, grid.loaded.sites
    begin_at: dict[int, list[int]] = defaultdict(list)
    for place, setting in grid.settings.items():
        begin_at[start_of(setting)].append(place)
    layouts = [lay_out(question) for question in grid.questions]

    def norm_and_head(stream_ND: Tensor) -> Tensor:
        return sites.logits(sites.final_norm(stream_ND))

    def compute(batch: Batch) -> None:
        own = [layouts[row] for row in batch.rows]
        packed = pack([layout.row for layout in own], device=loaded.device)
        block = _Block(batch.rows, own, packed)
        streams = _plain_pass(sites, packed, layers=begin_at, read=bool(grid.plain))
        if grid.plain:
            _read(grid, block, [grid.plain], sites.logits, streams.pop(None))
        together = max(1, loaded.budget.tokens // packed.ids_BT.numel())
        for start in sorted(begin_at):
            stream_BTD, waiting = streams.pop(start), begin_at[start]
            for first in range(0, len(waiting), together):
                chunk = waiting[first : first + together]
                edits = _gather(grid, block, chunk)
                targets = [[place] for place in chunk]
                repeated_BTD = stream_BTD.repeat(len(chunk), 1, 1)
                if start == len(sites.blocks):
                    _read(grid, block, targets, norm_and_head, apply_(repeated_BTD, edits))
                else:
                    normed_BTD = _from(sites, packed, repeated_BTD, edits, start=start)
                    _read(grid, block, targets, sites.logits, normed_BTD)

    rows = [layout.row for layout in layouts]
    most = _most_tokens(loaded, layers=len(begin_at))
    loaded.budget.run([size(row) for row in rows], compute, most=most, groups=loaded.groups(rows))


def _plain_pass(
    sites: Sites, packed: Packed, *, layers: Mapping[int, object], read: bool
) -> dict[int | None, Tensor]:
    """The residual stream [B, T, D] after each layer asked for; under None, the final norm."""
    streams: dict[int | None, Tensor] = {}

    def watcher(layer: int) -> Watcher:
        return Watcher("resid_post", layer, lambda value: streams.__setitem__(layer, value))

    watchers = [watcher(layer) for layer in layers]
    if read:
        last = len(sites.blocks)
        watchers.append(Watcher("final_norm", last, lambda value: streams.__setitem__(None, value)))
    with attention(sites, packed):
        observe(sites, packed.inputs, watchers)
    return streams


def _gather(grid: Grid, block: _Block, chunk: Sequence[int]) -> list[Edit]:
    """The edits of a chunk's settings; every setting has all prompts as rows, in their order."""
    places = []
    for turn, place in enumerate(chunk):
        for line, (prompt, layout) in enumerate(zip(block.prompts, block.layouts, strict=True)):
            length, end = len(grid.questions[prompt].prompt), size(layout.row)
            row = turn * len(block.prompts) + line
            setting = grid.settings[place]
            places += places_of(setting, prompt=prompt, row=row, length=length, end=end)
    return gather(places, device=grid.loaded.device)


def _from(
    sites: Sites, packed: Packed, stream_BTD: Tensor, edits: Sequence[Edit], *, start: int
) -> Tensor:
    """States after the final norm, from the stream after layer `start`, in which edits are made.

    Its rows are those that are packed, several times over.
    """
    port = sites.port("resid_post", layer=start)
    here = [one for one in edits if port_of(sites, one) is port]
    later = [one for one in edits if port_of(sites, one) is not port]
    apply_(stream_BTD, here)
    rows = len(stream_BTD)
    repeated = packed.repeat(rows // len(packed.ids_BT))
    with (
        attention(sites, repeated),
        skip(sites, blocks=start),
        edit(port, lambda _value: stream_BTD, rows=rows),
        armed(sites, later, rows=rows),
    ):
        output = sites.base(**repeated.inputs, use_cache=False)
    normed_BTD = output.last_hidden_state
    assert isinstance(normed_BTD, Tensor)
    return normed_BTD


def _read(
    grid: Grid, block: _Block, targets: Sequence[Sequence[int]], head: Head, state_BTD: Tensor
) -> None:
    """Read the options of a block's prompts; the rows are all prompts, once for each target."""
    reads = [layout.reads for layout in block.layouts]
    logs = iter(log_probabilities(head, state_BTD, reads * len(targets)))
    for places in targets:
        for prompt, layout in zip(block.prompts, block.layouts, strict=True):
            grid.keep(places, prompt, layout, next(logs))


def _most_tokens(loaded: LoadedModel, *, layers: int) -> int | None:
    """How many tokens may run together if the stream after so many layers is kept for each."""
    if not layers:
        return None
    room = KEPT_BYTES
    if loaded.device.type == "cuda":
        room = int(KEPT_SHARE * torch.cuda.mem_get_info(loaded.device)[0])
    weight_VD = loaded.sites.embedding_weight
    return max(1, room // (layers * weight_VD.shape[1] * weight_VD.element_size()))

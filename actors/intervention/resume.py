"""Run settings from the layer where they begin, on the residual stream of the plain pass.

What enters block l + 1 is kept for every layer l at which a setting begins; each setting then runs
only the blocks after it, as rows of a batch where several fit. Prompts are taken block by block, so
that what is kept stays within a memory budget, and the blocks before are skipped, not replaced:
embeddings, masks and positions stay the model's own. Which settings run so is for `sweep.py`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from actors.batching import Batch
from actors.branches import Packed, attention, pack, size
from actors.extraction.observe import Watcher, observe
from actors.intervention.fork import Keep
from actors.intervention.intervene import Edit, Setting, apply, armed, gather, places_of, start_of
from actors.model import LoadedModel
from actors.prediction.predict import Layout, Question, group, lay_out, log_probabilities
from actors.structure.sites import Sites, edit, first_tensor, skip

# Shapes: B rows, T nodes, D width

# Share of a GPU's free memory, and bytes on a CPU, that kept residual streams may take.
KEPT_SHARE, KEPT_BYTES = 0.25, 1 << 30


class _Block(NamedTuple):
    """Prompts that run together: who they are, how they lie in the batch, what is read."""

    prompts: Sequence[int]
    layouts: Sequence[Layout]
    packed: Packed


@torch.inference_mode()
def resume(
    loaded: LoadedModel,
    questions: Sequence[Question],
    settings: Mapping[int, Setting],
    *,
    plain: Sequence[int],
    keep: Keep,
) -> None:
    """Answer every question under every setting, each known by its place.

    Args:
        loaded: the model.
        questions: what to answer.
        settings: what to change.
        plain: places that the plain model's answers are for.
        keep: takes the answers.
    """
    begin_at: dict[int, list[int]] = defaultdict(list)
    for place, setting in settings.items():
        begin_at[start_of(setting)].append(place)
    layouts = [lay_out(question) for question in questions]

    def compute(batch: Batch) -> None:
        own = [layouts[row] for row in batch.rows]
        packed = pack([layout.row for layout in own], device=loaded.device)
        block = _Block(batch.rows, own, packed)
        streams = _plain_pass(loaded.sites, packed, layers=begin_at, read=bool(plain))
        if plain:
            _read(loaded, questions, block, [plain], streams.pop(None), keep=keep)
        together = max(1, loaded.budget.tokens // packed.ids_BT.numel())
        for start in sorted(begin_at):
            stream_BTD, waiting = streams.pop(start), begin_at[start]
            for first in range(0, len(waiting), together):
                chunk = waiting[first : first + together]
                edits = _gather(loaded, questions, block, [settings[place] for place in chunk])
                times = len(chunk)
                normed = _from(loaded.sites, packed, stream_BTD, edits, start=start, times=times)
                _read(loaded, questions, block, [[place] for place in chunk], normed, keep=keep)

    lengths = [size(layout.row) for layout in layouts]
    loaded.budget.run(lengths, compute, most=_most_tokens(loaded, layers=len(begin_at)))


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


def _gather(
    loaded: LoadedModel, questions: Sequence[Question], block: _Block, chunk: Sequence[Setting]
) -> list[Edit]:
    """The edits of a chunk's settings; every setting has all prompts as rows, in their order."""
    places = []
    for turn, setting in enumerate(chunk):
        for line, (prompt, layout) in enumerate(zip(block.prompts, block.layouts, strict=True)):
            length, end = len(questions[prompt].prompt), size(layout.row)
            row = turn * len(block.prompts) + line
            places += places_of(setting, prompt=prompt, row=row, length=length, end=end)
    return gather(places, device=loaded.device)


def _from(
    sites: Sites,
    packed: Packed,
    stream_BTD: Tensor,
    edits: Sequence[Edit],
    *,
    start: int,
    times: int,
) -> Tensor:
    """States after the final norm, from the stream after layer `start`, `times` over as rows."""

    def is_here(one: Edit) -> bool:
        return one.intervention.site in ("embed", "resid_post") and one.intervention.layer == start

    stream_BTD = stream_BTD.repeat(times, 1, 1)
    stream_BTD = apply(stream_BTD, [one for one in edits if is_here(one)])
    if start == len(sites.blocks):
        return first_tensor(sites.final_norm(stream_BTD))
    repeated = packed.repeat(times)
    port = sites.port("resid_post", layer=start)
    rows = len(stream_BTD)
    with ExitStack() as stack:
        stack.enter_context(attention(sites, repeated))
        stack.enter_context(skip(sites, blocks=start))
        stack.enter_context(edit(port, lambda _value: stream_BTD, rows=rows))
        later = [one for one in edits if not is_here(one)]
        stack.enter_context(armed(sites, later, rows=rows))
        output = sites.base(**repeated.inputs, use_cache=False)
    normed_BTD = output.last_hidden_state
    assert isinstance(normed_BTD, Tensor)
    return normed_BTD


def _read(
    loaded: LoadedModel,
    questions: Sequence[Question],
    block: _Block,
    targets: Sequence[Sequence[int]],
    normed_BTD: Tensor,
    *,
    keep: Keep,
) -> None:
    """Read the options of a block's prompts; the rows are all prompts, once for each target."""
    reads = [layout.reads for layout in block.layouts]
    logs = iter(log_probabilities(loaded.sites, normed_BTD, reads * len(targets)))
    for places in targets:
        for prompt, wanted in zip(block.prompts, reads, strict=True):
            options = len(questions[prompt].options)
            keep(places, prompt, group(next(logs), wanted, options=options))


def _most_tokens(loaded: LoadedModel, *, layers: int) -> int | None:
    """How many tokens may run together if the stream after so many layers is kept for each."""
    if not layers:
        return None
    room = KEPT_BYTES
    if loaded.device.type == "cuda":
        room = int(KEPT_SHARE * torch.cuda.mem_get_info(loaded.device)[0])
    weight = loaded.sites.embedding.weight
    assert isinstance(weight, Tensor)
    return max(1, room // (layers * weight.shape[1] * weight.element_size()))

"""Read activations of texts as pooled vectors: every site, state, pooling and layer in one pass.

A forward pass of the model without its head runs under hooks that pool each wanted activation on
the device, in fp32, the moment it appears; it stops after the last block anyone needs, and one
copy per batch brings the pooled vectors out. All poolings are always computed, so a vector does
not depend on what else was asked for. What vectors mean is unknown here.

Batches carry no attention mask: texts are padded on the right, where a causal model (proven on
load) never looks, and padding has weight zero in every pooling.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from actors.batching import Batch, distinct, pad
from actors.model import LoadedModel
from actors.sites import SiteName, Sites, watch_input, watch_output
from studies.measures import State
from studies.spec import POOLINGS, Pooling

# Shapes: B rows, T tokens, D width of a site, P poolings (order of POOLINGS), N texts

assert POOLINGS == ("weighted", "average", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One vector per text: the `state` of a site's activation per token, pooled over tokens."""

    site: SiteName
    state: State
    pooling: Pooling
    layer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Pooled vectors of some texts, in their order: one fp32 tensor [N, D] per reading."""

    readings: Mapping[Reading, Tensor]

    def get(self, site: SiteName, *, state: State, pooling: Pooling, layer: int) -> Tensor:
        """The vectors [N, D] of one reading."""
        return self.at(Reading(site=site, state=state, pooling=pooling, layer=layer))

    def at(self, reading: Reading) -> Tensor:
        """The vectors [N, D] of `reading`."""
        if reading not in self.readings:
            raise ValueError(f"{reading} was not captured: expected one of those asked for")
        return self.readings[reading]


class _Tap(NamedTuple):
    """What one hook reads."""

    site: SiteName
    state: State
    layer: int


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """Raised from the last hook: nobody needs the rest of the forward pass."""


@torch.inference_mode()
def capture(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    readings: Iterable[Reading],
    *,
    include_bos: bool = True,
) -> Vectors:
    """Pooled vectors of `sequences` (token ids, prefix included) for every reading.

    Args:
        loaded: the model.
        sequences: one text each.
        readings: what to read; only these layers are touched.
        include_bos: pool over the tokenizer's own prefix too.

    Raises:
        ValueError: there is no text, a site does not exist, a text is empty without its prefix,
            or a vector is not finite.
    """
    if not sequences:
        raise ValueError("no texts to read: expected at least one")
    wanted = tuple(dict.fromkeys(readings))
    for reading in wanted:
        loaded.sites.check(reading.site, layer=reading.layer)
    skip = 0 if include_bos else len(loaded.prefix)
    for place, sequence in enumerate(sequences):
        if len(sequence) <= skip:
            raise ValueError(f"text {place} has no token besides the prefix: leave it out")
    unique = distinct(sequences)
    lengths = [len(sequence) for sequence in unique.sequences]
    taps = tuple(dict.fromkeys(_Tap(entry.site, entry.state, entry.layer) for entry in wanted))
    stored: dict[Reading, Tensor] = {}

    def compute(batch: Batch) -> None:
        ids_BT = pad(unique.sequences, batch).to(loaded.device)
        pool = _make_pool([lengths[row] for row in batch.rows], skip=skip, like=ids_BT)
        pooled = _forward(loaded.sites, taps, ids_BT, pool)
        _store(stored, wanted, pooled, batch, count=len(lengths))

    if wanted:
        loaded.budget.run(lengths, compute)
    repeated = len(unique.sequences) < len(sequences)
    return Vectors(
        readings={
            entry: stored[entry][unique.twins] if repeated else stored[entry] for entry in wanted
        }
    )


def _make_pool(lengths: Sequence[int], *, skip: int, like: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that turns one batch's states [B, T, D] into vectors [B, P, D].

    Weights are t / sum(k), with t counted within the sentence: 1 at its first pooled token.
    """
    length_B1 = torch.tensor(lengths).unsqueeze(1)
    place_BT = torch.arange(like.shape[1]).unsqueeze(0) - skip + 1
    counted_BT = (place_BT >= 1) & (place_BT <= length_B1 - skip)
    index_BT = torch.where(counted_BT, place_BT, 0).double()
    weighted_BT = index_BT / index_BT.sum(dim=1, keepdim=True)
    average_BT = counted_BT.double() / (length_B1 - skip)
    weights_BPT = torch.stack([weighted_BT, average_BT], dim=1).float().to(like.device)
    rows_B = torch.arange(len(lengths), device=like.device)
    last_B = (length_B1.squeeze(1) - 1).to(like.device)

    def pool(state_BTD: Tensor) -> Tensor:
        means_BPD = torch.bmm(weights_BPT, state_BTD)
        last_BPD = state_BTD[rows_B, last_B].unsqueeze(1)
        return torch.cat([means_BPD, last_BPD], dim=1)

    return pool


def _forward(
    sites: Sites, taps: Sequence[_Tap], ids_BT: Tensor, pool: Callable[[Tensor], Tensor]
) -> dict[_Tap, Tensor]:
    """Run one batch and pool [B, P, D] on the device for every tap."""
    pooled: dict[_Tap, Tensor] = {}
    with ExitStack() as stack:
        for tap in taps:
            stack.enter_context(_listen(sites, tap, pooled, pool))
        stack.enter_context(_stop_after(sites, taps))
        with suppress(_Stop):
            sites.base(input_ids=ids_BT, use_cache=False)
    silent = [tap for tap in taps if tap not in pooled]
    assert not silent, f"hooks that never fired: {silent}"
    return pooled


def _listen(
    sites: Sites, tap: _Tap, pooled: dict[_Tap, Tensor], pool: Callable[[Tensor], Tensor]
) -> AbstractContextManager[None]:
    """Hook the module that shows the tap's activation."""

    def watcher(activation_BTD: Tensor) -> None:
        if tap.site == "mlp_act" and tap.state != "positive":
            # act_fn itself is not hooked: fused kernels go round it.
            activation_BTD = sites.mlps[tap.layer - 1].activation(activation_BTD)
        pooled[tap] = pool(_take_state(activation_BTD, tap.state))

    if tap.site == "final_norm":
        return watch_output(sites.final_norm, watcher)
    if tap.site == "mlp_act":
        return watch_output(sites.mlps[tap.layer - 1].gate, watcher)
    if tap.site == "mlp_hidden":
        return watch_input(sites.mlps[tap.layer - 1].down, watcher)
    if tap.layer == 0:
        return watch_input(sites.blocks[0], watcher)
    return watch_output(sites.blocks[tap.layer - 1], watcher)


def _stop_after(sites: Sites, taps: Sequence[_Tap]) -> AbstractContextManager[None]:
    """Hook the last module needed; entered after the taps, so that it fires after them."""

    def stop(_activation_BTD: Tensor) -> None:
        raise _Stop

    if any(tap.site == "final_norm" for tap in taps):
        return watch_output(sites.final_norm, stop)
    last = max(tap.layer for tap in taps)
    if last == 0:
        return watch_input(sites.blocks[0], stop)
    return watch_output(sites.blocks[last - 1], stop)


def _take_state(activation_BTD: Tensor, state: State) -> Tensor:
    """The state per token, in fp32; above zero is tested in the model's own dtype."""
    if state == "positive":
        # One pass over memory: testing, then casting, would be two.
        fires_BTD = torch.empty_like(activation_BTD, dtype=torch.float32)
        return torch.gt(activation_BTD, 0, out=fires_BTD)
    if state == "magnitude":
        return activation_BTD.abs().float()
    return activation_BTD.float()


def _store(
    stored: dict[Reading, Tensor],
    wanted: Sequence[Reading],
    pooled: Mapping[_Tap, Tensor],
    batch: Batch,
    *,
    count: int,
) -> None:
    """Copy one batch out, all of it at once, and put its rows where they belong."""
    parts = [
        pooled[_Tap(entry.site, entry.state, entry.layer)][:, POOLINGS.index(entry.pooling)]
        for entry in wanted
    ]
    joined_BD = torch.cat(parts, dim=1).cpu()
    if not joined_BD.sum(dtype=torch.float64).isfinite():
        raise ValueError(
            "an activation is not finite (infinite or not a number): the model overflows in this "
            "dtype; use --dtype bfloat16 or float32"
        )
    rows = torch.tensor(batch.rows)
    columns = torch.split(joined_BD, [part.shape[1] for part in parts], dim=1)
    for entry, column_BD in zip(wanted, columns, strict=True):
        if entry not in stored:
            stored[entry] = torch.empty(count, column_BD.shape[1])
        stored[entry][rows] = column_BD

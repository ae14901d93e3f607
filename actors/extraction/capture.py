"""Read activations of texts: pooled vectors of every site, state, pooling and layer in one pass,
or, on request, the activation of every token.

Each wanted activation is pooled on the device, in fp32, the moment it appears, and one copy per
batch brings the pooled vectors out. All poolings are always computed, so a vector does not depend
on what else was asked for.

Batches carry no attention mask: texts are padded on the right, where a causal model (proven on
load) never looks, and padding has weight zero in every pooling.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from actors.errors import finite
from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Setting, check
from actors.model import LoadedModel
from actors.passes.batching import Batch, Distinct, distinct, pad
from actors.passes.observe import Watcher, lengths_of, observe
from actors.structure.sites import SiteName, Sites
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


@torch.inference_mode()
def capture(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    readings: Iterable[Reading],
    *,
    include_bos: bool = True,
    setting: Setting = (),
) -> Vectors:
    """Pooled vectors of `sequences` (token ids, prefix included) for every reading.

    Args:
        loaded: the model.
        sequences: one text each.
        readings: what to read; only these layers are touched.
        include_bos: pool over the tokenizer's own prefix too.
        setting: what to change while reading, in layers that are read or come before.

    Raises:
        ValueError: there is no text, a site does not exist, a text is empty without its prefix,
            or a vector is not finite.
    """
    wanted = tuple(dict.fromkeys(readings))
    for reading in wanted:
        loaded.sites.check(reading.site, layer=reading.layer)
        if reading.site == "head" and reading.pooling != "last":
            raise ValueError(
                f"site 'head' cannot be pooled as {reading.pooling!r}: logits are computed at the "
                "last token alone; use pooling 'last'"
            )
    skip = 0 if include_bos else len(loaded.prefix)
    given = lengths_of(sequences, skip=skip)
    for one in setting:
        check(loaded.sites, one, lengths=given)
    if setting:  # equal texts may be changed in different ways
        unique = Distinct([*map(tuple, sequences)], [*range(len(sequences))])
    else:
        unique = distinct(sequences)
    lengths = [len(sequence) for sequence in unique.sequences]
    taps = tuple(dict.fromkeys(_Tap(entry.site, entry.state, entry.layer) for entry in wanted))
    stored: dict[Reading, Tensor] = {}

    def compute(batch: Batch) -> None:
        ids_BT = pad(unique.sequences, batch).to(loaded.device)
        pool = _make_pool([lengths[text] for text in batch.rows], skip=skip, like=ids_BT)
        places = []
        for row, text in enumerate(batch.rows):
            end = lengths[text]
            places += places_of(setting, prompt=text, row=row, length=end, end=end)
        edits = gather(places, device=loaded.device)
        with armed(loaded.sites, edits, rows=len(batch.rows)):
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


@torch.inference_mode()
def tokens(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    sites: Sequence[tuple[SiteName, int]],
) -> list[dict[tuple[SiteName, int], Tensor]]:
    """The activation [T, D] of every token at every (site, layer), per sequence: fp32, on the CPU.

    This is large: a sequence of T tokens takes 4 T D bytes a site. Studies read pooled vectors.

    Raises:
        ValueError: a site does not exist, a text is empty, or an activation is not finite.
    """
    wanted = tuple(dict.fromkeys(sites))
    for site, layer in wanted:
        loaded.sites.check(site, layer=layer)
    for place, sequence in enumerate(sequences):
        if not sequence:
            raise ValueError(f"text {place} has no token: leave it out")
    found: list[dict[tuple[SiteName, int], Tensor]] = [{} for _ in sequences]
    lengths = [len(sequence) for sequence in sequences]

    def compute(batch: Batch) -> None:
        def keep(site: SiteName, layer: int) -> Watcher:
            def look(activation_BTD: Tensor) -> None:
                if site == "head":
                    activation_BTD = loaded.sites.logits(activation_BTD)
                for row, own_TD in zip(batch.rows, activation_BTD.float().cpu(), strict=True):
                    found[row][site, layer] = finite(own_TD[: lengths[row]].clone())

            return Watcher(site, layer, look)

        ids_BT = pad(sequences, batch).to(loaded.device)
        observe(loaded.sites, {"input_ids": ids_BT}, [keep(site, layer) for site, layer in wanted])

    if wanted:
        loaded.budget.run(lengths, compute)
    return found


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
    last_BT = (place_BT == length_B1 - skip).double()
    weights_BPT = torch.stack([weighted_BT, average_BT, last_BT], dim=1).float().to(like.device)

    def pool(state_BTD: Tensor) -> Tensor:
        # On the device of the layer, where a model is spread over several.
        return torch.bmm(weights_BPT.to(state_BTD.device), state_BTD)

    return pool


def _forward(
    sites: Sites, taps: Sequence[_Tap], ids_BT: Tensor, pool: Callable[[Tensor], Tensor]
) -> dict[_Tap, Tensor]:
    """Run one batch and pool [B, P, D] on the device for every tap."""
    pooled: dict[_Tap, Tensor] = {}

    def watcher(tap: _Tap) -> Watcher:
        def look(activation_BTD: Tensor) -> None:
            if tap.site == "head":
                normed_BPD = pool(activation_BTD.float())[:, -1:].to(activation_BTD.dtype)
                logits_BPV = sites.logits(normed_BPD).expand(-1, len(POOLINGS), -1)
                pooled[tap] = _take_state(logits_BPV, tap.state)
                return
            pooled[tap] = pool(_take_state(activation_BTD, tap.state))

        port = sites.firing(tap.site, layer=tap.layer) if tap.state == "positive" else None
        return Watcher(tap.site, tap.layer, look, port)

    observe(sites, {"input_ids": ids_BT}, [watcher(tap) for tap in taps])
    return pooled


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
    if parts[0].device.type == "cpu":
        columns = [finite(part) for part in parts]
    else:  # one copy out, not one for each
        joined_BD = torch.cat([part.to(parts[0].device) for part in parts], dim=1).cpu()
        columns = list(torch.split(finite(joined_BD), [part.shape[1] for part in parts], dim=1))
    rows = torch.tensor(batch.rows)
    for entry, column_BD in zip(wanted, columns, strict=True):
        if entry not in stored:
            stored[entry] = torch.empty(count, column_BD.shape[1])
        stored[entry][rows] = column_BD

"""Statistics of every neuron over many texts, streamed: no activation outlives its batch.

Neurons are sorted into kinds by how often they fire, how strongly, and by percentiles (CLAS,
section 2.4; Int-mu, Mondal et al. 2025). Texts are read once or more often, and only sums, maxima
and counts are kept. A batch is tallied by itself and joins the rest when it is done, as one that
runs out of memory half-way is read again. Sums are fp64, on the device of their layer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from actors.errors import finite
from actors.extraction.percentiles import Selection, of_rows
from actors.model import LoadedModel
from actors.passes.batching import Batch, pad
from actors.passes.observe import Watcher, lengths_of, observe

# Shapes: B rows, T tokens, N counted tokens, F neurons, P percentiles, S statistics, V byte values

NeuronSite = Literal["mlp_act", "mlp_hidden", "mlp_gate"]
Weight = Literal["sample", "token"]

ByLayer = dict[int, Tensor]
Look = Callable[[int, Tensor], None]


class Corpus(NamedTuple):
    """Texts to be read, once or more often, at one site of some layers."""

    loaded: LoadedModel
    sequences: Sequence[Sequence[int]]
    skip: int
    site: NeuronSite
    layers: tuple[int, ...]

    def sums(self, percentiles: Sequence[float] | None) -> tuple[ByLayer, ByLayer]:
        """Per layer the sums [S, F] over texts of mean, absolute mean, share above zero and
        percentiles, in fp64, and the maximum [F]; without `percentiles`, sums over tokens."""
        sums: ByLayer = {}
        peaks: ByLayer = {}

        def compute(batch: Batch) -> None:
            own: dict[int, list[Tensor]] = {layer: [] for layer in self.layers}
            fires: ByLayer = {}
            tops: ByLayer = {}
            counted_BT = self._counted(batch)
            weight_B = torch.ones(len(batch.rows), dtype=torch.float64, device=counted_BT.device)
            if percentiles is not None:
                weight_B = weight_B / counted_BT.sum(dim=1)

            def total(value_BTF: Tensor) -> Tensor:
                return weight_B.to(value_BTF.device) @ value_BTF.sum(dim=1, dtype=torch.float64)

            def look(layer: int, value_BTF: Tensor) -> None:
                counted = counted_BT.to(value_BTF.device)
                kept_BTF = value_BTF.masked_fill(~counted.unsqueeze(-1), 0)
                own[layer] += [total(kept_BTF), total(kept_BTF.abs())]
                absent_BTF = value_BTF.masked_fill(~counted.unsqueeze(-1), -math.inf)
                tops[layer] = absent_BTF.amax(dim=(0, 1)).float()
                if percentiles:
                    of_rows_BPF = of_rows(value_BTF, counted, percentiles)
                    own[layer] += of_rows_BPF.sum(dim=0, dtype=torch.float64)

            def look_before(layer: int, value_BTF: Tensor) -> None:
                counted = counted_BT.to(value_BTF.device)
                fires[layer] = total((value_BTF > 0) & counted.unsqueeze(-1))

            self._observe(batch, look=look, look_before=look_before)
            for layer, (mean_F, mean_abs_F, *rest) in own.items():
                sums_SF = torch.stack([mean_F, mean_abs_F, fires[layer], *rest])
                sums[layer] = sums[layer] + sums_SF if layer in sums else sums_SF
                top_F = tops[layer]
                peaks[layer] = torch.maximum(peaks[layer], top_F) if layer in peaks else top_F

        self._run(compute)
        return sums, peaks

    def select(self, percentiles: Sequence[float], *, count: int) -> ByLayer:
        """The percentiles [P, F] of every layer over all tokens, exact, in two passes or more."""
        selections = {layer: Selection(percentiles, count=count) for layer in self.layers}
        while not all(selection.finished for selection in selections.values()):
            counts: ByLayer = {}

            def compute(batch: Batch, counts: ByLayer = counts) -> None:
                own: ByLayer = {}
                counted_BT = self._counted(batch)

                def look(layer: int, value_BTF: Tensor) -> None:
                    value_NF = value_BTF[counted_BT.to(value_BTF.device)]
                    own[layer] = selections[layer].count(value_NF)

                self._observe(batch, look=look)
                for layer, counts_PVF in own.items():
                    counts[layer] = counts[layer] + counts_PVF if layer in counts else counts_PVF

            self._run(compute)
            for layer, counts_PVF in counts.items():
                selections[layer].narrow(counts_PVF)
        return {layer: selection.values().cpu() for layer, selection in selections.items()}

    def _run(self, compute: Callable[[Batch], None]) -> None:
        self.loaded.budget.run([len(sequence) for sequence in self.sequences], compute)

    def _counted(self, batch: Batch) -> Tensor:
        """Which tokens [B, T] of a batch count: neither padding nor a prefix that is left out."""
        lengths_B1 = torch.tensor([[len(self.sequences[row])] for row in batch.rows])
        place_BT = torch.arange(batch.width).unsqueeze(0)
        return ((place_BT >= self.skip) & (place_BT < lengths_B1)).to(self.loaded.device)

    def _observe(self, batch: Batch, *, look: Look, look_before: Look | None = None) -> None:
        """Show every layer's activations, and those whose sign says whether a neuron fires."""
        sites = self.loaded.sites
        watchers = [Watcher(self.site, layer, partial(look, layer)) for layer in self.layers]
        if look_before is not None:
            for layer in self.layers:
                port = sites.firing(self.site, layer=layer)
                watchers.append(Watcher(self.site, layer, partial(look_before, layer), port))
        ids_BT = pad(self.sequences, batch).to(self.loaded.device)
        observe(sites, {"input_ids": ids_BT}, watchers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerStatistics:
    """The neurons of one layer: fp64 tensors [F] on the CPU, and `percentiles_PF`.

    `mean` is signed, `mean_abs` the mean of absolute values, `active` the share of tokens above
    zero (of the pre-activation for mlp_act, in the model's dtype), `max` the largest value.
    """

    mean: Tensor
    mean_abs: Tensor
    active: Tensor
    max: Tensor
    percentiles_PF: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuronStatistics:
    """Statistics per layer, and what they are over: `tokens` in `samples` texts of one model."""

    model: str
    site: NeuronSite
    weight: Weight
    include_bos: bool
    percentiles: tuple[float, ...]
    samples: int
    tokens: int
    layers: Mapping[int, LayerStatistics]

    def at(self, layer: int) -> LayerStatistics:
        """The statistics of one layer."""
        if layer not in self.layers:
            known = ", ".join(map(str, self.layers))
            raise ValueError(f"layer {layer} has no statistics: expected one of {known}")
        return self.layers[layer]


@torch.inference_mode()
def statistics(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    *,
    site: NeuronSite,
    layers: Sequence[int] | None,
    weight: Weight,
    include_bos: bool = True,
    percentiles: Sequence[float] = (),
) -> NeuronStatistics:
    """Statistics of the neurons at `site` over `sequences` (token ids, prefix included).

    Args:
        loaded: the model.
        sequences: one text each; a text given twice counts twice.
        site: which activation of the neurons.
        layers: which layers; None is all of them.
        weight: `sample` takes every statistic within a text and then the mean over texts (of
            `max`, the maximum), as we read CLAS; `token` takes it over all tokens.
        include_bos: count the tokenizer's own prefix too.
        percentiles: between 0 and 100; each is a value that occurs, the smallest that at least
            that share of the tokens does not exceed. Under `sample` this is the mean over texts
            of the percentile within each (Int-mu's, where a batch is one text), under `token` the
            percentile over all tokens, which takes two more passes in bf16, three in fp16 and
            four in fp32. Neither is an estimate: the only error is the rounding of the model.

    Raises:
        ValueError: the site, a layer or a percentile does not exist, there is no text, a text is
            empty, or an activation is not finite.
    """
    wanted = _check(loaded, site, layers, weight, percentiles)
    skip = 0 if include_bos else len(loaded.prefix)
    lengths = [length - skip for length in lengths_of(sequences, skip=skip)]
    corpus = Corpus(loaded, sequences, skip, site, wanted)
    by_sample = weight == "sample"
    whole = len(lengths) if by_sample else sum(lengths)
    means, peaks = corpus.sums(percentiles if by_sample else None)
    if by_sample or not percentiles:
        found = {layer: means[layer][3:].cpu() / whole for layer in wanted}
    else:
        found = corpus.select(percentiles, count=whole)
    return NeuronStatistics(
        model=loaded.facts.identity,
        site=site,
        weight=weight,
        include_bos=include_bos,
        percentiles=tuple(percentiles),
        samples=len(lengths),
        tokens=sum(lengths),
        layers={
            layer: _layer(means[layer].cpu() / whole, peaks[layer].cpu(), found[layer])
            for layer in wanted
        },
    )


def _layer(means_SF: Tensor, max_F: Tensor, percentiles_PF: Tensor) -> LayerStatistics:
    """One layer's record, if nothing in it has overflowed."""
    mean_F, mean_abs_F, active_F = finite(means_SF)[:3]
    return LayerStatistics(
        mean=mean_F,
        mean_abs=mean_abs_F,
        active=active_F,
        max=max_F.double(),
        percentiles_PF=percentiles_PF.double(),
    )


def _check(
    loaded: LoadedModel,
    site: NeuronSite,
    layers: Sequence[int] | None,
    weight: Weight,
    percentiles: Sequence[float],
) -> tuple[int, ...]:
    """The layers to read, if what is asked for exists."""
    if site not in get_args(NeuronSite):
        known = ", ".join(get_args(NeuronSite))
        raise ValueError(f"site {site!r} is not one of neurons: expected one of {known}")
    if weight not in get_args(Weight):
        raise ValueError(f"unknown weight {weight!r}: expected 'sample' or 'token'")
    wanted = tuple(loaded.sites.layers(site) if layers is None else dict.fromkeys(layers))
    if not wanted:
        raise ValueError("no layers to read: give some, or None for all")
    for layer in wanted:
        loaded.sites.check(site, layer=layer)
    for percentile in percentiles:
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile {percentile} does not exist: give one from 0 to 100")
    return wanted

"""Read texts, once or more often, and keep only sums, maxima and counts of their neurons.

A batch is tallied by itself and joins the rest when it is done, as one that runs out of memory
half-way is read again. Sums are fp64, on the device of their layer.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from actors.extraction.percentiles import Selection, of_rows
from actors.model import LoadedModel
from actors.passes.batching import Batch, pad
from actors.passes.observe import Watcher, observe

# Shapes: B rows, T tokens, N counted tokens, F neurons, P percentiles, S statistics, V byte values

NeuronSite = Literal["mlp_act", "mlp_hidden", "mlp_gate"]

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

"""Statistics of every neuron over many texts, streamed: no activation outlives its batch.

Neurons are sorted into kinds by how often they fire, how strongly, and by percentiles (CLAS,
section 2.4; Int-mu, Mondal et al. 2025). tally.py reads the texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from actors.errors import finite
from actors.extraction.tally import Corpus, NeuronSite
from actors.model import LoadedModel
from actors.passes.observe import lengths_of

# Shapes: F neurons, P percentiles, S statistics

Weight = Literal["sample", "token"]


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


def merge(left: NeuronStatistics, right: NeuronStatistics) -> NeuronStatistics:
    """The statistics over the texts of both, as if they had been read together.

    Raises:
        ValueError: they are not of the same model, site, layers and so on, or percentiles were
            taken over all tokens, which those of the parts do not tell.
    """
    for name in ("model", "site", "weight", "include_bos", "percentiles"):
        ours, theirs = getattr(left, name), getattr(right, name)
        if ours != theirs:
            raise ValueError(f"statistics differ in {name} ({ours!r}, {theirs!r}): merge like ones")
    if left.layers.keys() != right.layers.keys():
        ours, theirs = sorted(left.layers), sorted(right.layers)
        raise ValueError(f"statistics differ in layers ({ours}, {theirs}): merge like ones")
    if left.percentiles and left.weight == "token":
        raise ValueError(
            "percentiles over all tokens do not follow from those of two parts: read all texts "
            "together, ask for none, or use weight 'sample'"
        )
    tokens = left.weight == "token"
    counts = (left.tokens, right.tokens) if tokens else (left.samples, right.samples)
    share = counts[0] / sum(counts)

    def mean(ours: Tensor, theirs: Tensor) -> Tensor:
        return share * ours + (1 - share) * theirs

    return NeuronStatistics(
        model=left.model,
        site=left.site,
        weight=left.weight,
        include_bos=left.include_bos,
        percentiles=left.percentiles,
        samples=left.samples + right.samples,
        tokens=left.tokens + right.tokens,
        layers={
            layer: LayerStatistics(
                mean=mean(ours.mean, right.layers[layer].mean),
                mean_abs=mean(ours.mean_abs, right.layers[layer].mean_abs),
                active=mean(ours.active, right.layers[layer].active),
                max=torch.maximum(ours.max, right.layers[layer].max),
                percentiles_PF=mean(ours.percentiles_PF, right.layers[layer].percentiles_PF),
            )
            for layer, ours in left.layers.items()
        },
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

"""Cells of neuron statistics: the samples of a language, read block by block at both sites.

What cells that sort neurons take is the artifact; the rows are means over neurons.
"""

import torch

from actors.answer import Found
from actors.extraction.neurons import NeuronSite, statistics
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.neurons.file import STATISTICS, AboutStatistics, LanguageNeurons
from studies.kinds.categories import NeuronGrid
from studies.neuron_options import Sorting
from studies.samples import BLOCKS, Samples
from studies.spec import Cell, Row
from studies.unit import Unit

SITES: dict[str, NeuronSite] = {"h": "mlp_hidden", "act": "mlp_act"}
PERCENTILES = {"p10": 10.0, "p90": 90.0}


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row per layer and site of every cell, and its statistics as an artifact."""
    assert isinstance(unit.grid, NeuronGrid)
    rows: list[tuple[Cell, Row]] = []
    artifacts: dict[str, bytes] = {}
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, Samples)
        encoded = loaded.encode(asked.texts, allow_truncation=unit.allow_truncation)
        found = neurons_of(loaded, asked, encoded.sequences, sorting=unit.grid.sorting)
        artifacts[cell.key] = found.content()
        tokens = sum(map(len, encoded.sequences[: asked.size]))
        tokens -= 0 if unit.grid.sorting.stat_bos else asked.size * len(loaded.prefix)
        rows += [(cell, row) for row in _rows(found, n=asked.size, tokens=tokens)]
    return Found(rows, artifacts)


def neurons_of(
    loaded: LoadedModel, asked: Samples, sequences: list[list[int]], *, sorting: Sorting
) -> LanguageNeurons:
    """The statistics of one language's neurons.

    Args:
        loaded: the model.
        asked: the samples.
        sequences: their token ids, prefix included.
        sorting: how texts count, and where Int-mu's values are read.
    """
    layers = tuple(loaded.sites.layers("mlp_hidden"))
    blocks: dict[tuple[str, int, str], torch.Tensor] = {}
    counts = []
    for name, site in SITES.items():
        each = [
            statistics(
                loaded,
                sequences[first:last],
                site=site,
                layers=layers,
                weight=sorting.stat_weight,
                include_bos=sorting.stat_bos,
            )
            for first, last in asked.blocks
        ]
        for layer in layers:
            for what in STATISTICS:
                own = [getattr(one.at(layer), what) for one in each]
                blocks[name, layer, what] = torch.stack(own).float()
        counts = [one.samples if sorting.stat_weight == "sample" else one.tokens for one in each]
    return LanguageNeurons(
        about=AboutStatistics(
            model=loaded.facts.name,
            identity=loaded.facts.identity,
            dataset=asked.dataset,
            language=asked.language,
            ids=asked.ids,
            size=asked.size,
            counts=tuple(counts),
            stat_weight=sorting.stat_weight,
            include_bos=sorting.stat_bos,
            intmu_site=sorting.intmu_site,
            layers=layers,
            width=loaded.sites.width("mlp_hidden"),
        ),
        blocks=blocks,
        intmu=_for_intmu(loaded, sequences[: asked.size], layers, sorting=sorting),
    )


def _for_intmu(
    loaded: LoadedModel, sequences: list[list[int]], layers: tuple[int, ...], *, sorting: Sorting
) -> dict[tuple[int, str], torch.Tensor]:
    """What Int-mu may need of every neuron: the means over texts of a text's mean and percentiles,
    and the share of all tokens at which it is above zero."""
    site: NeuronSite = "mlp_act" if sorting.intmu_site == "consistent" else "mlp_gate"
    bos = sorting.stat_bos
    values = statistics(
        loaded, sequences, site=site, layers=layers, weight="sample", include_bos=bos,
        percentiles=tuple(PERCENTILES.values()),
    )  # fmt: skip
    fires = statistics(
        loaded, sequences, site="mlp_act", layers=layers, weight="token", include_bos=bos
    )
    found = {}
    for layer in layers:
        own = values.at(layer)
        found[layer, "mean"] = own.mean.float()
        found[layer, "fires"] = fires.at(layer).active.float()
        for place, name in enumerate(PERCENTILES):
            found[layer, name] = own.percentiles_PF[place].float()
    return found


def _rows(found: LanguageNeurons, *, n: int, tokens: int) -> list[Row]:
    return [
        {
            "layer": layer,
            "site": site,
            "n": n,
            "tokens": tokens,
            "positive": float((found.over(site, layer, "mean", blocks=MAIN) > 0).double().mean()),
            "mean_abs": float(found.over(site, layer, "mean_abs", blocks=MAIN).mean()),
            "active": float(found.over(site, layer, "active", blocks=MAIN).mean()),
        }
        for layer in found.about.layers
        for site in SITES
    ]


# The blocks of the samples that count.
MAIN = tuple(range(BLOCKS))

"""Cells of neuron categories: from the statistics of every language, and from samples one by one.

The artifact says which neuron is active in which language; rows have shares by layer, and what they
become with other samples.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.kinds.neurons import MAIN
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.neurons import intmu
from actors.neurons.categories import (
    active_in,
    active_mixed,
    overlap,
    shares,
    shares_by_sample,
)
from actors.neurons.file import (
    VALUES,
    AboutCategories,
    Categories,
    LanguageNeurons,
    read_statistics,
)
from actors.passes.batching import Batch, pad
from actors.passes.observe import Watcher, observe
from actors.structure.sites import SiteName
from studies.content import Together
from studies.kinds.categories import MIXED, NeuronGrid, bridge_layers
from studies.neuron_options import CATEGORIES, Sorting, text
from studies.samples import BLOCKS, Samples
from studies.spec import Cell, Pooling, Row
from studies.unit import Unit

# Shapes: K languages, I samples, F neurons, L layers, T tokens

# Samples that are read in all languages at a time, to be sorted one by one.
SAMPLES_AT_ONCE = 8
HALVES = {"half_1": (0, 2), "half_2": (1, 3)}
INSTANCES: Mapping[str, Pooling] = {"instance_last": "last", "instance_any": "average"}


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per layer and part of every cell, and the categories as an artifact."""
    assert isinstance(unit.grid, NeuronGrid)
    rows: list[tuple[Cell, Row]] = []
    artifacts: dict[str, bytes] = {}
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, Together)
        languages = [
            read_statistics(resources.artifacts[part.taken[one.language]]) for one in asked.parts
        ]
        sequences = [
            loaded.encode(one.texts, allow_truncation=unit.allow_truncation).sequences
            for one in asked.parts
        ]
        made = sort(loaded, languages, sequences, asked.parts[0], unit.grid)
        artifacts[cell.key] = made.content()
        switches = text(unit.grid.sorting)
        found = _rows(loaded, made, languages, sequences, asked.parts[0], unit.grid.sorting)
        rows += [(cell, {**row, "switches": switches}) for row in found]
    return Found(rows, artifacts)


def sort(
    loaded: LoadedModel,
    languages: Sequence[LanguageNeurons],
    sequences: Sequence[Sequence[list[int]]],
    samples: Samples,
    grid: NeuronGrid,
) -> Categories:
    """Which neurons are active in which language, the bridge layers, and Int-mu's neurons.

    Args:
        loaded: the model.
        languages: the statistics of every language.
        sequences: the token ids of every language's samples.
        samples: those of one language: what all have in common.
        grid: how neurons are sorted, and the bridge layers if they are given.
    """
    sorting, about = grid.sorting, languages[0].about
    active = {
        layer: active_in(languages, layer, sorting=sorting, blocks=MAIN) for layer in about.layers
    }
    bridge = grid.chosen_bridge or bridge_layers([shares(one) for one in active.values()])
    mixed = {
        (draw, layer): active_mixed(languages, layer, sorting=sorting, blocks=MAIN, seed=draw)
        for draw in range(MIXED)
        for layer in bridge
    }
    names = tuple(one.about.language for one in languages)
    own = {
        (place, layer): torch.stack([one.intmu[layer, name] for name in VALUES])
        for place, one in enumerate(languages)
        for layer in about.layers
    }
    return Categories(
        about=AboutCategories(
            model=loaded.facts.name,
            identity=loaded.facts.identity,
            dataset=about.dataset,
            languages=names,
            ids=samples.ids[: samples.size],
            size=samples.size,
            site=sorting.clas_site,
            threshold=sorting.threshold,
            sorting=text(sorting),
            layers=about.layers,
            bridge=bridge,
            mixed=MIXED,
            width=about.width,
        ),
        active=active,
        mixed=mixed,
        intmu=intmu.by_language(
            _selected(loaded, languages, sequences, samples, sorting), own, names
        ),
    )


def _selected(
    loaded: LoadedModel,
    languages: Sequence[LanguageNeurons],
    sequences: Sequence[Sequence[list[int]]],
    samples: Samples,
    sorting: Sorting,
) -> Tensor:
    """Int-mu's neurons [K, L, F] of every language."""
    layers = languages[0].about.layers
    if sorting.intmu_selector == "lape":
        return intmu.lape(_stacked(languages, "fires"))
    often_LF = _stacked(languages, "p90").mean(dim=0)
    skip = 0 if sorting.stat_bos else len(loaded.prefix)
    return intmu.act_prob(
        torch.stack(
            [
                _share_above(loaded, own[: samples.size], often_LF, layers, skip=skip, how=sorting)
                for own in sequences
            ]
        )
    )


def _stacked(languages: Sequence[LanguageNeurons], name: str) -> Tensor:
    """One of Int-mu's statistics, [K, L, F] in fp64."""
    layers = languages[0].about.layers
    return torch.stack(
        [torch.stack([one.intmu[layer, name] for layer in layers]) for one in languages]
    ).double()


@torch.inference_mode()
def _share_above(
    loaded: LoadedModel,
    sequences: Sequence[list[int]],
    often_LF: Tensor,
    layers: Sequence[int],
    *,
    skip: int,
    how: Sorting,
) -> Tensor:
    """The share of tokens [L, F] at which each neuron exceeds its threshold, in fp64."""
    site: SiteName = "mlp_act" if how.intmu_site == "consistent" else "mlp_gate"
    above_LF = torch.zeros_like(often_LF)

    def compute(batch: Batch) -> None:
        ids_BT = pad(sequences, batch).to(loaded.device)
        place_T = torch.arange(ids_BT.shape[1])
        lengths_B1 = torch.tensor([[len(sequences[row])] for row in batch.rows])
        counted_BT = (place_T >= skip) & (place_T < lengths_B1)
        own: dict[int, Tensor] = {}

        def watcher(place: int, layer: int) -> Watcher:
            def look(value_BTF: Tensor) -> None:
                counted = counted_BT.to(value_BTF.device).unsqueeze(-1)
                often_F = often_LF[place].float().to(value_BTF.device)
                above_BTF = (value_BTF.float() > often_F) & counted
                own[place] = above_BTF.sum(dim=(0, 1)).double().cpu()

            return Watcher(site, layer, look)

        observe(loaded.sites, {"input_ids": ids_BT}, [watcher(*one) for one in enumerate(layers)])
        for place, count_F in own.items():
            above_LF[place] += count_F

    loaded.budget.run([len(sequence) for sequence in sequences], compute)
    return above_LF / sum(len(sequence) - skip for sequence in sequences)


def _rows(
    loaded: LoadedModel,
    made: Categories,
    languages: Sequence[LanguageNeurons],
    sequences: Sequence[Sequence[list[int]]],
    samples: Samples,
    sorting: Sorting,
) -> Iterator[Row]:
    """Shares by layer: of all samples, of parts of them, mixed up, and one by one."""
    twice = samples.blocks[BLOCKS:]
    parts: dict[str, tuple[int, ...]] = {"all": MAIN, **HALVES, "first": MAIN[: BLOCKS // 2]}
    parts |= {"twice": (*MAIN, *range(BLOCKS, BLOCKS + len(twice)))} if twice else {}
    single = _by_sample(
        loaded, [own[: samples.size] for own in sequences], made.about.layers, bos=sorting.stat_bos
    )
    for layer, active_KF in made.active.items():
        overwritten = {
            int(neuron)
            for (at, _), (neurons_N, _) in made.intmu.items()
            if at == layer
            for neuron in neurons_N
        }
        shared = {
            "layer": layer,
            "bridge": layer in made.about.bridge,
            "languages": len(languages),
            "neurons": made.about.width,
        }
        nothing = {"jaccard_partial_shared": None, "jaccard_specific": None, "intmu": None}
        found = {
            name: active_in(languages, layer, sorting=sorting, blocks=blocks)
            for name, blocks in parts.items()
        }
        for name, blocks in parts.items():
            other = {"half_1": "half_2", "half_2": "half_1"}.get(name, "all")
            n = sum(b - a for a, b in (samples.blocks[block] for block in blocks))
            yield {
                **shared,
                "part": name,
                "n": n,
                **shares(found[name]),
                **nothing,
                **overlap(found[name], found[other]),
                "intmu": len(overwritten) if name == "all" else None,
            }
        mixed = [
            active_mixed(languages, layer, sorting=sorting, blocks=MAIN, seed=draw)
            for draw in range(MIXED)
        ]
        yield {
            **shared,
            "part": "mixed",
            "n": samples.size,
            **_mean([dict(shares(one)) for one in mixed]),
            **_mean([overlap(one, active_KF) for one in mixed]),
            "intmu": None,
        }
        for name, by_layer in single.items():
            yield {**shared, "part": name, "n": samples.size, **by_layer[layer], **nothing}


def _by_sample(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[list[int]]],
    layers: Sequence[int],
    *,
    bos: bool,
) -> dict[str, dict[int, dict[str, float]]]:
    """By way of counting and layer, the mean over samples of the shares of one sample by itself."""
    nothing: dict[str, float] = {str(name): 0.0 for name in CATEGORIES}
    sums = {name: {layer: dict(nothing) for layer in layers} for name in INSTANCES}
    count = len(sequences[0])
    for first in range(0, count, SAMPLES_AT_ONCE):
        own = [one[first : first + SAMPLES_AT_ONCE] for one in sequences]
        readings = {
            (name, layer): Reading(site="mlp_act", state="positive", pooling=pooling, layer=layer)
            for name, pooling in INSTANCES.items()
            for layer in layers
        }
        texts = [text for language in own for text in language]
        found = capture(loaded, texts, readings.values(), include_bos=bos)
        for (name, layer), reading in readings.items():
            active_NF = found.at(reading) > 0
            active_KIF = active_NF.view(len(own), -1, active_NF.shape[1])
            for category, share in shares_by_sample(active_KIF).items():
                sums[name][layer][category] += share * active_KIF.shape[1] / count
    return sums


def _mean(each: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of every entry over those that have it; None where none has."""
    found: dict[str, float | None] = {}
    for name in each[0]:
        values = [value for one in each if (value := one[name]) is not None]
        found[name] = sum(values) / len(values) if values else None
    return found

"""Int-mu: its neurons equal those of an obvious selection, and overwritten ones are constants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.extraction.capture import tokens
from actors.intervention.intervene import armed, gather, places_of
from actors.neurons import intmu
from actors.neurons.file import VALUES, read_categories, read_statistics
from actors.neurons.scaling import overwritten
from actors.structure.sites import SiteName
from studies.neuron_options import Sorting
from tests.actors.neurons.test_categories import TEXTS, texts_of
from tests.makers import tiny
from tests.makers.rescaled import sort, sorting_grid

pytestmark = pytest.mark.numeric


def shares(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) ** 3


def slow_lape(fires: np.ndarray) -> np.ndarray:
    """Neuron by neuron, as the definition reads."""
    languages, layers, width = fires.shape
    often = np.percentile(fires, 95, method="inverted_cdf")
    entropies = []
    for layer in range(layers):
        for neuron in range(width):
            own = fires[:, layer, neuron]
            if not (own > often).any():
                continue
            part = own / own.sum()
            entropy = -sum(p * np.log(p) for p in part if p > 0)
            entropies.append((entropy, layer, neuron))
    chosen = sorted(entropies)[: round(0.01 * layers * width)]
    found = np.zeros(fires.shape, dtype=bool)
    for _, layer, neuron in chosen:
        for place in range(languages):
            found[place, layer, neuron] = fires[place, layer, neuron] > often
    return found


@pytest.mark.parametrize("seed", range(3))
def test_lape_equals_the_slow_twin(seed: int) -> None:
    fires_KLF = shares(5, 4, 300, seed=seed)
    found = intmu.lape(fires_KLF)
    assert found.any(dim=0).sum() == 12
    assert np.array_equal(found.numpy(), slow_lape(fires_KLF.numpy()))


def test_neurons_that_never_fire_are_no_languages() -> None:
    fires_KLF = torch.zeros(3, 2, 200, dtype=torch.float64)
    assert not intmu.lape(fires_KLF).any()
    fires_KLF[1, 0, 7] = 0.9
    found = intmu.lape(fires_KLF)
    assert found.nonzero().tolist() == [[1, 0, 7]]


def test_the_other_selector_takes_as_many_in_each_language() -> None:
    above_KLF = shares(3, 4, 400)
    found = intmu.act_prob(above_KLF)
    assert found.flatten(start_dim=1).sum(dim=1).tolist() == [2, 2, 2]  # .00125 x 1600
    for own, chosen in zip(above_KLF.flatten(start_dim=1), found.flatten(start_dim=1), strict=True):
        assert own[chosen].min() >= own[~chosen].max()


@pytest.mark.parametrize("site", ["consistent", "code"])
def test_values_are_those_of_the_language(site: str) -> None:
    loaded = tiny.loaded("llama")
    sorting = Sorting(intmu_site=site)  # type: ignore[arg-type]
    sets = [texts_of(language) for language in TEXTS]
    statistics, _, artifacts, key = sort(loaded, sorting_grid(sorting=sorting), sets)
    found = read_categories(artifacts[key])
    assert found.intmu, "a model of noise has neurons of low entropy too"
    by_language = {
        (one := read_statistics(content)).about.language: one
        for content in statistics.artifacts.values()
    }
    read: SiteName = "mlp_act" if site == "consistent" else "mlp_gate"
    for (layer, language), (neurons_N, values_VN) in found.intmu.items():
        own = by_language[language].intmu
        for value, name in enumerate(VALUES):
            assert values_VN[value].equal(own[layer, name][neurons_N])
        sequences = loaded.encode(TEXTS[language], allow_truncation=False).sequences
        each = [one[read, layer] for one in tokens(loaded, sequences, [(read, layer)])]
        slow_F = torch.stack([text.double().mean(dim=0) for text in each]).mean(dim=0)
        torch.testing.assert_close(own[layer, "mean"].double(), slow_F, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "olmo2"])
@pytest.mark.parametrize("value", ["mean", "p90", "p10", "zero"])
def test_overwritten_neurons_are_constant_and_nothing_before_them_changes(
    family: str, value: str
) -> None:
    loaded = tiny.loaded(family)
    _, _, artifacts, key = sort(loaded, sorting_grid(), [texts_of(one) for one in TEXTS])
    found, language = read_categories(artifacts[key]), "deu_Latn"
    last = loaded.facts.layers
    two_N, values_VN = torch.tensor([0, 3]), torch.randn(3, 2)
    chosen = {(layer, language): (two_N, values_VN) for layer in (last - 1, last)}
    found = replace(found, intmu={**found.intmu, **chosen})
    setting = overwritten(found, language=language, value=value)
    sequence = loaded.encode(["A text of some length."], allow_truncation=False).sequences[0]
    first = min(one.layer for one in setting)
    sites: list[tuple[SiteName, int]] = [
        (site, layer)
        for layer in range(1, loaded.facts.layers + 1)
        for site in ("mlp_act", "resid_post")
    ]
    (before,) = tokens(loaded, [sequence], sites)
    end = len(sequence)
    edits = gather(places_of(setting, prompt=0, row=0, length=end, end=end), device=loaded.device)
    with armed(loaded.sites, edits, rows=1):
        (after,) = tokens(loaded, [sequence], sites)
    for one in setting:
        own_TN = after["mlp_act", one.layer][:, one.neurons]
        assert own_TN.equal(one.vector[one.neurons].expand_as(own_TN))  # no variance at all
        if value == "zero":
            assert not own_TN.any()
    others = ~setting[0].neurons  # type: ignore[operator]
    at = ("mlp_act", first)
    assert after[at][:, others].equal(before[at][:, others])
    for layer in range(1, first):
        assert after["resid_post", layer].equal(before["resid_post", layer])
    end_site: tuple[SiteName, int] = ("resid_post", last)
    assert not after[end_site].equal(before[end_site])


def test_a_language_without_neurons_is_refused() -> None:
    loaded = tiny.loaded("llama")
    _, _, artifacts, key = sort(loaded, sorting_grid(), [texts_of(one) for one in TEXTS])
    with pytest.raises(ValueError, match="Int-mu has no neurons of tha_Thai"):
        overwritten(read_categories(artifacts[key]), language="tha_Thai", value="mean")

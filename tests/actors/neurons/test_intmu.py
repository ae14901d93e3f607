"""Int-mu: its neurons equal those of an obvious selection, and overwritten ones are constants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.extraction.capture import tokens
from actors.intervention.intervene import armed, gather, places_of
from actors.model import LoadedModel
from actors.neurons import intmu
from actors.neurons.file import VALUES, read_categories, read_statistics
from actors.neurons.scaling import overwritten
from actors.structure.sites import SiteName
from studies.neuron_options import Sorting
from tests.actors.neurons.test_categories import TEXTS, texts_of
from tests.makers import oracle, tiny
from tests.makers.rescaled import sort, sorting_grid
from tests.makers.rounding import assert_near, of_model

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


def test_a_neuron_at_the_percentile_itself_is_not_above_it() -> None:
    """Of 450 values 427.5 are to be at most it, so it is the 428th."""
    fires_KLF = torch.zeros(3, 1, 150, dtype=torch.float64)
    fires_KLF[0, 0, 0] = 0.5  # of one language, and the 428th
    fires_KLF[:, 0, 1:8] = 0.9
    fires_KLF[1, 0, 8] = 0.9
    assert (fires_KLF > 0.5).sum() == 22
    found = intmu.lape(fires_KLF)
    assert np.array_equal(found.numpy(), slow_lape(fires_KLF.numpy()))
    assert found.nonzero().tolist() == [[0, 0, 1], [1, 0, 1], [1, 0, 8], [2, 0, 1]]


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
        slow = oracle.neuron_statistics(
            [one[read, layer] for one in activations(loaded, language)],
            weight="sample",
            percentiles=(90, 10),
        )
        for name, slow_F in zip(VALUES, (slow.mean, *slow.percentiles_PF), strict=True):
            stored_F = own[layer, name].double()
            assert_near(stored_F, slow_F, relative=of_model(loaded), what=name)


def activations(loaded: LoadedModel, language: str) -> list[dict[tuple[str, int], Tensor]]:
    """All of every text of a language, by a plain pass each."""
    sequences = loaded.encode(TEXTS[language], allow_truncation=False).sequences
    return [oracle.activations(loaded.model, ids) for ids in sequences]


@pytest.mark.parametrize("site", ["consistent", "code"])
@pytest.mark.parametrize("bos", [True, False])
def test_the_other_selector_counts_tokens_above_the_mean_of_high_percentiles(
    site: str, bos: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intmu, "ACT_PROB_SHARE", 0.1)  # a tiny model has no .00125 of its neurons
    loaded = tiny.loaded("llama")
    sorting = Sorting(intmu_selector="act_prob_90p", intmu_site=site, stat_bos=bos)  # type: ignore[arg-type]
    sets = [texts_of(language) for language in TEXTS]
    _, _, artifacts, key = sort(loaded, sorting_grid(sorting=sorting), sets)
    found = read_categories(artifacts[key])
    read, skip = ("mlp_act" if site == "consistent" else "mlp_gate"), 0 if bos else 1
    layers = range(1, loaded.facts.layers + 1)
    tokens_of = {
        language: {
            layer: [one[read, layer][skip:] for one in activations(loaded, language)]
            for layer in layers
        }
        for language in TEXTS
    }
    often = {
        layer: sum(high_percentile(own[layer]) for own in tokens_of.values()) / len(TEXTS)
        for layer in layers
    }
    for language, own in tokens_of.items():
        # The least and the largest share of tokens that rounding leaves open, and the neuron.
        ranked = []
        for layer in layers:
            all_TF = torch.cat(own[layer]).double()
            bound = of_model(loaded) * float(all_TF.abs().max())
            low, high = (
                (all_TF > often[layer] + sign * bound).double().mean(dim=0).tolist()
                for sign in (1, -1)
            )
            each = enumerate(zip(low, high, strict=True))
            ranked += [(*both, (layer, place)) for place, both in each]
        count = round(0.1 * len(ranked))

        def first(mine: int, other: int, ranked: list = ranked, count: int = count) -> set:
            """Those that fewer than `count` come before, each read at one of its shares."""
            return {
                one[2]
                for one in ranked
                if sum((-of[other], of[2]) < (-one[mine], one[2]) for of in ranked if of != one)
                < count
            }

        chosen = {
            (layer, neuron)
            for (layer, name), (neurons_N, _) in found.intmu.items()
            for neuron in neurons_N.tolist()
            if name == language
        }
        sure, perhaps = first(0, 1), first(1, 0)
        assert sure <= chosen <= perhaps and len(chosen) == count
        assert len(perhaps - sure) < count / 2, "rounding decides too many"


def high_percentile(texts: list[Tensor]) -> Tensor:
    """The mean over texts of each neuron's 90th percentile."""
    found = oracle.neuron_statistics(texts, weight="sample", percentiles=(90,))
    return found.percentiles_PF[0]


@pytest.mark.parametrize("bos", [True, False])
def test_a_language_has_the_neurons_that_fire_in_few(bos: bool) -> None:
    loaded = tiny.loaded("llama")
    sets = [texts_of(language) for language in TEXTS]
    grid = sorting_grid(sorting=Sorting(stat_bos=bos))
    statistics, rows, artifacts, key = sort(loaded, grid, sets)
    found, skip, layers = read_categories(artifacts[key]), 0 if bos else 1, loaded.facts.layers
    fires: dict[str, np.ndarray] = {}
    for content in statistics.artifacts.values():
        own = read_statistics(content)
        language = own.about.language
        for layer in range(1, layers + 1):
            # Over all tokens alike, however samples weigh elsewhere.
            each = activations(loaded, language)
            slow_F = torch.cat([one["mlp_act", layer][skip:] for one in each]) > 0
            unsure = [
                oracle.unsure(one, "mlp_act", layer, relative=of_model(loaded))[skip:]
                for one in each
            ]
            off_F = own.intmu[layer, "fires"].double() - slow_F.double().mean(dim=0)
            allowed_F = torch.cat(unsure).double().mean(dim=0) + torch.finfo(torch.float32).eps
            assert (off_F.abs() <= allowed_F).all() and allowed_F.mean() < 0.01
        stored = [own.intmu[layer, "fires"].double().numpy() for layer in range(1, layers + 1)]
        fires[language] = np.stack(stored)
    expected = slow_lape(np.stack([fires[language] for language in TEXTS]))
    assert expected.any()
    for place, language in enumerate(TEXTS):
        for layer in range(1, layers + 1):
            neurons_N, _ = found.intmu.get((layer, language), (torch.tensor([]), None))
            assert neurons_N.tolist() == np.flatnonzero(expected[place, layer - 1]).tolist()
    for row in rows.rows:
        counted = expected[:, int(str(row["layer"])) - 1].any(axis=0).sum()
        assert row["intmu"] == (counted if row["part"] == "all" else None)


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
    own = {layer: held for (layer, name), held in found.intmu.items() if name == language}
    assert [one.layer for one in setting] == list(own)
    for layer, (neurons_N, held_VN) in own.items():
        constant_N = dict(zip(VALUES, held_VN, strict=True)).get(value, 0 * held_VN[0])
        own_TN = after["mlp_act", layer][:, neurons_N]
        assert own_TN.equal(constant_N.expand_as(own_TN))  # no variance at all
        others_F = torch.ones(loaded.facts.neurons, dtype=torch.bool)
        others_F[neurons_N] = False
        if layer == first:
            assert after["mlp_act", layer][:, others_F].equal(before["mlp_act", layer][:, others_F])
    for layer in range(1, first):
        assert after["resid_post", layer].equal(before["resid_post", layer])
    end_site: tuple[SiteName, int] = ("resid_post", last)
    assert not after[end_site].equal(before[end_site])


def test_a_language_without_neurons_is_refused() -> None:
    loaded = tiny.loaded("llama")
    _, _, artifacts, key = sort(loaded, sorting_grid(), [texts_of(one) for one in TEXTS])
    with pytest.raises(ValueError, match="Int-mu has no neurons of tha_Thai"):
        overwritten(read_categories(artifacts[key]), language="tha_Thai", value="mean")

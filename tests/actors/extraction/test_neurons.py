"""Streamed statistics of neurons equal those taken from all activations held at once."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.extraction.capture import tokens
from actors.extraction.neurons import NeuronSite, NeuronStatistics, Weight, statistics
from actors.model import LoadedModel, load
from actors.passes.batching import TokenBudget, plan
from actors.structure.sites import watch_input
from studies.spec import Dtype
from tests.makers import oracle, tiny
from tests.makers.rounding import assert_near, of_model

pytestmark = pytest.mark.numeric
FAMILIES = ("llama", "qwen2", "gemma2", "olmo2", "phi3", "gpt2", "opt")
PERCENTILES = (0, 5, 50, 90, 99.5, 100)
WEIGHTS: tuple[Weight, ...] = ("sample", "token")


def encode(loaded: LoadedModel) -> list[list[int]]:
    return loaded.encode(tiny.TEXTS, allow_truncation=False).sequences


def neuron_sites(loaded: LoadedModel) -> list[NeuronSite]:
    sites: list[NeuronSite] = ["mlp_act", "mlp_hidden", "mlp_gate"]
    return [site for site in sites if site not in loaded.sites.missing]


def assert_same(found: NeuronStatistics, other: NeuronStatistics, *, tolerance: float) -> None:
    assert (found.samples, found.tokens) == (other.samples, other.tokens)
    for layer, own in found.layers.items():
        for name in ("mean", "mean_abs", "active", "max", "percentiles_PF"):
            left, right = getattr(own, name), getattr(other.at(layer), name)
            torch.testing.assert_close(left, right, rtol=0, atol=tolerance)


@pytest.mark.parametrize("include_bos", [True, False])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_statistics_equal_the_slow_twin(family: str, weight: Weight, include_bos: bool) -> None:
    loaded = tiny.loaded(family)
    sequences = encode(loaded)
    slow = [oracle.activations(loaded.model, sequence) for sequence in sequences]
    skip = 0 if include_bos else len(loaded.prefix)
    for site in neuron_sites(loaded):
        found = statistics(
            loaded,
            sequences,
            site=site,
            layers=None,
            weight=weight,
            include_bos=include_bos,
            percentiles=PERCENTILES,
        )
        assert found.samples == len(sequences)
        assert found.tokens == sum(len(sequence) - skip for sequence in sequences)
        assert list(found.layers) == list(range(1, loaded.facts.layers + 1))
        for layer, own in found.layers.items():
            texts = [text[site, layer][skip:] for text in slow]
            expected = oracle.neuron_statistics(texts, weight=weight, percentiles=PERCENTILES)
            for name in ("mean", "mean_abs", "active", "max", "percentiles_PF"):
                value = getattr(own, name)
                assert value.dtype == torch.float64 and value.device.type == "cpu"
                slow_F = getattr(expected, name).double()
                assert_near(value, slow_F, relative=of_model(loaded), what=name)


def exact_percentiles(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """numpy's percentiles over the very activations that are streamed."""
    kept = [text["mlp_hidden", 1] for text in tokens(loaded, texts, [("mlp_hidden", 1)])]
    return np.percentile(torch.cat(kept).numpy(), PERCENTILES, axis=0, method="inverted_cdf")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_percentiles_over_all_tokens_are_exact(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sequences = encode(loaded)
    passes: list[torch.Tensor] = []
    with watch_input(loaded.sites.blocks[0], passes.append):
        found = statistics(
            loaded,
            sequences,
            site="mlp_hidden",
            layers=[1],
            weight="token",
            percentiles=PERCENTILES,
        )
    batches = plan([len(sequence) for sequence in sequences], budget=loaded.budget.tokens)
    assert len(passes) == len(batches) * (1 + {"float32": 4, "bfloat16": 2, "float16": 3}[dtype])
    expected = exact_percentiles(loaded, sequences)
    assert np.array_equal(found.at(1).percentiles_PF.numpy(), expected)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_batches_do_not_matter_and_one_that_ran_out_of_memory_counts_once(weight: Weight) -> None:
    loaded = load(tiny.make("gemma2"), device="cpu")
    sequences = encode(loaded)

    def read(model: LoadedModel) -> NeuronStatistics:
        return statistics(
            model,
            sequences,
            site="mlp_act",
            layers=None,
            weight=weight,
            percentiles=PERCENTILES,
        )

    whole = read(loaded)
    assert_same(read(replace(loaded, budget=TokenBudget(30))), whole, tolerance=1e-5)
    failures = iter([True, False, True])

    def fail(_module: object, _args: object) -> None:
        if next(failures, False):
            raise RuntimeError("out of memory")

    handle = loaded.sites.blocks[2].register_forward_pre_hook(fail)
    try:
        assert_same(read(loaded), whole, tolerance=1e-5)
    finally:
        handle.remove()
    assert next(failures, None) is None and tiny.hooks(loaded) == 0


def test_a_sample_is_weighted_by_itself_and_a_token_by_itself() -> None:
    loaded = tiny.loaded("llama")
    short, long = encode(loaded)[0], encode(loaded)[2]
    alone = [
        statistics(loaded, [text], site="mlp_act", layers=[2], weight="token").at(2).mean
        for text in (short, long)
    ]
    by_sample, by_token = (
        statistics(loaded, [short, long], site="mlp_act", layers=[2], weight=weight).at(2).mean
        for weight in WEIGHTS
    )
    assert_near(by_sample, (alone[0] + alone[1]) / 2, relative=of_model(loaded))
    lengths = len(short), len(long)
    weighted = (lengths[0] * alone[0] + lengths[1] * alone[1]) / sum(lengths)
    torch.testing.assert_close(by_token, weighted, rtol=0, atol=1e-6)


def test_what_cannot_be_read_says_so() -> None:
    loaded = tiny.loaded("llama")
    texts = encode(loaded)

    def read(model: LoadedModel, given: Sequence[Sequence[int]], **changes: object) -> None:
        asked = {"site": "mlp_act", "layers": None, "weight": "token"} | changes
        statistics(model, given, **asked)

    for changes, message in (
        ({"site": "resid_post"}, "'resid_post' is not one of neurons: expected one of mlp_act"),
        ({"weight": "layer"}, "unknown weight 'layer': expected 'sample' or 'token'"),
        ({"layers": [0]}, "'mlp_act' does not exist at layer 0"),
        ({"layers": []}, "no layers to read"),
        ({"percentiles": [50, 101]}, "percentile 101 does not exist: give one from 0 to 100"),
        ({"percentiles": [float("nan")]}, "percentile nan does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            read(loaded, texts, **changes)
    with pytest.raises(ValueError, match="no texts to read"):
        read(loaded, [])
    with pytest.raises(ValueError, match="text 1 has no token besides the prefix"):
        read(loaded, [texts[0], [0]], include_bos=False)
    with pytest.raises(ValueError, match="'mlp_gate' does not exist in this model"):
        read(tiny.loaded("gpt2"), texts, site="mlp_gate")
    with pytest.raises(ValueError, match="layer 7 has no statistics: expected one of 1"):
        statistics(loaded, texts, site="mlp_act", layers=[1], weight="token").at(7)


def test_overflow_is_an_error() -> None:
    loaded = load(tiny.make("llama", seed=4), device="cpu")
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.up_proj.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="not finite"):
        statistics(loaded, encode(loaded), site="mlp_hidden", layers=[1], weight="token")
    assert tiny.hooks(loaded) == 0

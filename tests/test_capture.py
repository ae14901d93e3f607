"""Captured vectors equal those of the slow twin: every site, state, pooling, layer and family."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from actors.alignment import align
from actors.batching import TokenBudget
from actors.capture import Reading, capture
from actors.model import LoadedModel, load
from actors.sites import SiteName, watch_input
from studies.measures import State
from studies.spec import POOLINGS
from tests import oracle, tiny

STATES: tuple[State, ...] = ("raw", "positive", "magnitude")
NEURONS: tuple[SiteName, ...] = ("mlp_act", "mlp_hidden")


def all_readings(loaded: LoadedModel) -> list[Reading]:
    last = loaded.facts.layers
    places: list[tuple[SiteName, int, State]]
    places = [("resid_post", layer, "raw") for layer in range(last + 1)]
    places.append(("final_norm", last, "raw"))
    places += [
        (site, layer, state) for site in NEURONS for layer in range(1, last + 1) for state in STATES
    ]
    return [
        Reading(site=site, state=state, pooling=pooling, layer=layer)
        for site, layer, state in places
        for pooling in POOLINGS
    ]


def encode(loaded: LoadedModel, texts: Sequence[str] = tiny.TEXTS) -> list[list[int]]:
    return loaded.encode(texts, allow_truncation=False).sequences


def hooks(loaded: LoadedModel) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in loaded.model.modules()
    )


@pytest.mark.parametrize("include_bos", [True, False])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_vectors_equal_the_slow_twin(family: str, include_bos: bool) -> None:
    loaded = tiny.loaded(family)
    sequences = encode(loaded)
    readings = all_readings(loaded)
    vectors = capture(loaded, sequences, readings, include_bos=include_bos)
    skip = 0 if include_bos else len(loaded.prefix)
    for row, sequence in enumerate(sequences):
        expected = oracle.activations(loaded.model, sequence)
        for reading in readings:
            pooled_D = oracle.pool(
                expected[reading.site, reading.layer],
                state=reading.state,
                pooling=reading.pooling,
                skip=skip,
            )
            scale = max(1.0, float(pooled_D.abs().max()))
            torch.testing.assert_close(
                vectors.at(reading)[row], pooled_D, rtol=0, atol=1e-5 * scale
            )


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_alignment_counts_equal_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    pivots = [f"{word} {place}" for place, word in enumerate(("one", "two", "three", "two") * 3)]
    texts = [f"{word}o {place} x" for place, word in enumerate(("un", "du", "tri", "du") * 3)]
    readings = [entry for entry in all_readings(loaded) if entry.state != "raw"]
    readings += [entry for entry in all_readings(loaded) if entry.site == "resid_post"]
    left = capture(loaded, encode(loaded, pivots), readings)
    right = capture(loaded, encode(loaded, texts), readings)
    slow_left = [oracle.activations(loaded.model, ids) for ids in encode(loaded, pivots)]
    slow_right = [oracle.activations(loaded.model, ids) for ids in encode(loaded, texts)]
    counts = []
    for entry in readings:
        found = align(left.at(entry), right.at(entry))
        slow = [
            [
                oracle.pool(
                    sites[entry.site, entry.layer], state=entry.state, pooling=entry.pooling
                )
                for sites in side
            ]
            for side in (slow_left, slow_right)
        ]
        assert (found.count, found.ties) == oracle.alignment(*slow), entry
        counts.append(found.count)
    assert len(set(counts)) > 3


def test_a_batch_equals_its_rows_and_padding_changes_nothing() -> None:
    loaded = tiny.loaded("mistral")
    readings = all_readings(loaded)
    together = capture(loaded, encode(loaded), readings)
    for row, sequence in enumerate(encode(loaded)):
        alone = capture(loaded, [sequence], readings)
        for reading in readings:
            torch.testing.assert_close(
                alone.at(reading)[0], together.at(reading)[row], rtol=1e-5, atol=1e-5
            )


def test_vectors_do_not_depend_on_what_else_is_asked() -> None:
    loaded = tiny.loaded("llama")
    everything = all_readings(loaded)
    together = capture(loaded, encode(loaded), everything)
    for reading in everything:
        alone = capture(loaded, encode(loaded), [reading])
        assert torch.equal(alone.at(reading), together.at(reading))


def test_equal_texts_get_bit_identical_vectors() -> None:
    loaded = tiny.loaded("qwen2")
    loaded = replace(loaded, budget=TokenBudget(30))
    vectors = capture(loaded, encode(loaded), all_readings(loaded))
    assert tiny.TEXTS[1] == tiny.TEXTS[4]
    for vectors_ND in vectors.readings.values():
        assert len(vectors_ND) == len(tiny.TEXTS)
        assert torch.equal(vectors_ND[1], vectors_ND[4])


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_poolings_agree_where_they_must(family: str) -> None:
    loaded = tiny.loaded(family)
    first = loaded.facts.layers + 1
    readings = all_readings(loaded)[: 3 * first]
    # One token: every layer. A repeated token: the embeddings, which know no position.
    ids = loaded.tokenise(["a"])[0]
    single = capture(loaded, [ids], readings)
    repeated = capture(loaded, [ids * 9], readings)
    for layer in range(first):
        for vectors, layers in ((single, range(first)), (repeated, range(1))):
            if layer in layers:
                weighted, average, last = (
                    vectors.get("resid_post", state="raw", pooling=pooling, layer=layer)
                    for pooling in POOLINGS
                )
                torch.testing.assert_close(weighted, average, rtol=1e-5, atol=1e-6)
                torch.testing.assert_close(weighted, last, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_neuron_states_under_scaled_projections(family: str) -> None:
    """Scaling gate or up by c > 0 leaves NAS as it is, and changes NAV by at most a scale."""
    facts = tiny.make(family, seed=3)
    readings = [
        Reading(site="mlp_act", state="positive", pooling="weighted", layer=1),
        Reading(site="mlp_hidden", state="magnitude", pooling="weighted", layer=1),
    ]
    loaded = load(facts, device="cpu")
    nas, nav = capture(loaded, encode(loaded), readings).readings.values()
    assert nas.min() >= 0 and nas.max() <= 1 and 0.1 < nas.mean() < 0.9
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.up_proj.weight.mul_(2.0)
    up_nas, up_nav = capture(loaded, encode(loaded), readings).readings.values()
    assert torch.equal(up_nas, nas)
    torch.testing.assert_close(up_nav, 2 * nav)
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.gate_proj.weight.mul_(4.0)
    gate_nas, _ = capture(loaded, encode(loaded), readings).readings.values()
    assert torch.equal(gate_nas, nas)


def test_the_raw_last_layer_is_not_the_normed_one() -> None:
    loaded = tiny.loaded("llama")
    last = loaded.facts.layers
    raw = Reading(site="resid_post", state="raw", pooling="last", layer=last)
    normed = Reading(site="final_norm", state="raw", pooling="last", layer=last)
    vectors = capture(loaded, encode(loaded), [raw, normed])
    with torch.no_grad():
        again_ND = loaded.sites.final_norm(vectors.at(raw))
    torch.testing.assert_close(again_ND, vectors.at(normed), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(vectors.at(raw), vectors.at(normed), atol=0.1)


def test_the_pass_ends_at_the_last_needed_block_and_leaves_no_hook() -> None:
    loaded = tiny.loaded("llama")
    before = hooks(loaded)
    seen: list[torch.Tensor] = []
    wanted = [
        Reading(site="resid_post", state="raw", pooling="last", layer=0),
        Reading(site="mlp_act", state="positive", pooling="last", layer=2),
    ]
    with watch_input(loaded.sites.blocks[2], seen.append):
        capture(loaded, encode(loaded), wanted)
        assert seen == []
        with watch_input(loaded.sites.blocks[1], seen.append):
            capture(loaded, encode(loaded), wanted[:1])
        assert seen == []
    assert hooks(loaded) == before


def test_layers_that_do_not_exist_and_empty_texts_are_errors() -> None:
    loaded = tiny.loaded("llama")
    beyond = Reading(site="resid_post", state="raw", pooling="last", layer=4)
    with pytest.raises(ValueError, match="does not exist at layer 4"):
        capture(loaded, encode(loaded), [beyond])
    reading = Reading(site="resid_post", state="raw", pooling="last", layer=1)
    with pytest.raises(ValueError, match="text 1 has no token besides"):
        capture(loaded, encode(loaded, ["a", ""]), [reading], include_bos=False)
    with pytest.raises(ValueError, match="was not captured"):
        capture(loaded, encode(loaded), [reading]).at(beyond)


def test_overflow_is_an_error_and_the_hooks_are_gone() -> None:
    loaded = load(tiny.make("llama", seed=4), device="cpu")
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.down_proj.weight.fill_(float("inf"))
    reading = Reading(site="resid_post", state="raw", pooling="weighted", layer=1)
    with pytest.raises(ValueError, match="not finite"):
        capture(loaded, encode(loaded), [reading])
    assert hooks(loaded) == 0


def test_bfloat16_states_are_tested_in_their_own_dtype() -> None:
    loaded = load(replace(tiny.make("gemma2"), dtype="bfloat16"), device="cpu")
    reading = Reading(site="mlp_act", state="positive", pooling="average", layer=1)
    vectors_ND = capture(loaded, encode(loaded), [reading]).at(reading)
    assert vectors_ND.dtype == torch.float32
    gates: list[torch.Tensor] = []
    sequence = encode(loaded)[1]
    loaded.sites.mlps[0].gate.register_forward_hook(lambda _m, _a, out: gates.append(out))
    with torch.no_grad():
        loaded.model(input_ids=torch.tensor([sequence]))
    expected_D = (gates[0][0] > 0).float().mean(dim=0)
    torch.testing.assert_close(vectors_ND[1], expected_D, rtol=0, atol=0.1)

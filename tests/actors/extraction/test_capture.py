"""Captured vectors equal those of the slow twin: every site, state, pooling, layer and family."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from actors.extraction.capture import Reading, capture, tokens
from actors.measures.alignment import align
from actors.model import LoadedModel, load
from actors.passes.batching import TokenBudget
from actors.structure.sites import SITES, SiteName, watch, watch_input
from studies.measures import State
from studies.spec import POOLINGS
from tests.makers import oracle, tiny
from tests.makers.rounding import assert_near, of_model, of_sum

STATES: tuple[State, ...] = ("raw", "positive", "magnitude")
NEURONS: tuple[SiteName, ...] = ("mlp_act", "mlp_hidden")

# Largest error of a bfloat16 vector, as a share of its largest entry: 2^-8 a rounding, over layers.
BFLOAT16 = 0.08


def all_sites(loaded: LoadedModel) -> list[tuple[SiteName, int]]:
    sites = loaded.sites
    return [
        (site, layer) for site in SITES if site not in sites.missing for layer in sites.layers(site)
    ]


def readings_of(places: Sequence[tuple[SiteName, int]], states: Sequence[State]) -> list[Reading]:
    return [
        Reading(site=site, state=state, pooling=pooling, layer=layer)
        for site, layer in places
        for state in states
        for pooling in (("last",) if site == "head" else POOLINGS)
    ]


def all_readings(loaded: LoadedModel) -> list[Reading]:
    """What the studies read: the stream as it is, and the neurons in every state."""
    places = all_sites(loaded)
    stream = [place for place in places if place[0] in ("resid_post", "final_norm")]
    neurons = [place for place in places if place[0] in NEURONS]
    return readings_of(stream, ["raw"]) + readings_of(neurons, STATES)


def encode(loaded: LoadedModel, texts: Sequence[str] = tiny.TEXTS) -> list[list[int]]:
    return loaded.encode(texts, allow_truncation=False).sequences


@pytest.mark.parametrize("include_bos", [True, False])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_vectors_equal_the_slow_twin(family: str, include_bos: bool) -> None:
    """Every site, layer, state and pooling, over texts of one token and of many in one batch."""
    loaded = tiny.loaded(family)
    sequences = encode(loaded)
    assert min(map(len, sequences)) == 1 + len(loaded.prefix) and len(sequences[2]) > 60
    readings = readings_of(all_sites(loaded), STATES)
    vectors = capture(loaded, sequences, readings, include_bos=include_bos)
    skip = 0 if include_bos else len(loaded.prefix)
    for row, sequence in enumerate(sequences):
        expected = oracle.activations(loaded.model, sequence)
        for reading in readings:
            activation_TD = expected[reading.site, reading.layer]
            pooled_D = oracle.pool(
                activation_TD, state=reading.state, pooling=reading.pooling, skip=skip
            )
            found_D = vectors.at(reading)[row]
            scale = max(1.0, float(pooled_D.abs().max()))
            wrong = (found_D - pooled_D).abs() > of_model(loaded) * scale
            if reading.state == "positive":
                assert wrong.float().mean() <= 0.02, reading
                # So close to zero, a value may have either sign.
                near = of_model(loaded) * max(1.0, float(activation_TD.abs().max()))
                wrong &= (activation_TD[skip:].abs() > near).all(dim=0)
            assert found_D.isfinite().all() and not wrong.any(), reading


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_tokens_equal_the_slow_twin(family: str) -> None:
    loaded = tiny.loaded(family)
    sequences, places = encode(loaded), all_sites(loaded)
    found = tokens(loaded, sequences, places)
    assert len(found) == len(sequences)
    for sequence, own in zip(sequences, found, strict=True):
        expected = oracle.activations(loaded.model, sequence)
        sites = {place for place in expected if place[0] not in oracle.FACTORS}
        assert set(own) == sites == set(places)
        for place in places:
            expected_TD = expected[place]
            assert own[place].dtype == torch.float32 and own[place].is_contiguous()
            assert_near(own[place], expected_TD, relative=of_model(loaded), what=place)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bfloat16_stays_near_the_same_weights_in_float32(family: str) -> None:
    loaded = tiny.loaded(family, dtype="bfloat16")
    exact = copy.deepcopy(loaded.model).float()
    readings = readings_of(all_sites(loaded), ["raw", "magnitude"])
    vectors = capture(loaded, encode(loaded), readings)
    for row, sequence in enumerate(encode(loaded)):
        expected = oracle.activations(exact, sequence)
        for reading in readings:
            activation_TD = expected[reading.site, reading.layer]
            pooled_D = oracle.pool(activation_TD, state=reading.state, pooling=reading.pooling)
            found_D = vectors.at(reading)[row]
            assert found_D.dtype == torch.float32
            error = (found_D - pooled_D).abs().max() / activation_TD.abs().max()
            assert error <= BFLOAT16, reading


def test_logits_are_read_at_the_last_token_alone() -> None:
    loaded = tiny.loaded("gemma2")
    reading = Reading(site="head", state="raw", pooling="average", layer=4)
    with pytest.raises(ValueError, match=r"'head' cannot be pooled as 'average'.* use pooling 'la"):
        capture(loaded, encode(loaded), [reading])
    vectors = capture(loaded, encode(loaded), [replace(reading, pooling="last")])
    (logits_NV,) = vectors.readings.values()
    assert logits_NV.shape == (len(tiny.TEXTS), 320) and logits_NV.abs().max() < 3.0


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
            found_D, expected_D = alone.at(reading)[0], together.at(reading)[row]
            assert_near(found_D, expected_D, relative=of_model(loaded), what=reading)


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
    # One token: every layer. A repeated token: the embeddings, where they know no position.
    ids = loaded.tokenise(["a"])[0]
    single = capture(loaded, [ids], readings)
    repeated = capture(loaded, [ids * 9], readings)
    no_position = range(0 if family in ("gpt2", "opt") else 1)
    for layer in range(first):
        for vectors, layers in ((single, range(first)), (repeated, no_position)):
            if layer in layers:
                weighted, average, last = (
                    vectors.get("resid_post", state="raw", pooling=pooling, layer=layer)
                    for pooling in POOLINGS
                )
                assert_near(weighted, average, relative=of_model(loaded))
                assert_near(weighted, last, relative=of_model(loaded))


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
    assert_near(again_ND, vectors.at(normed), relative=of_model(loaded))
    assert not torch.allclose(vectors.at(raw), vectors.at(normed), atol=0.1)


def test_the_pass_ends_at_the_last_needed_block_and_leaves_no_hook() -> None:
    loaded = tiny.loaded("llama")
    before = tiny.hooks(loaded)
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
    assert tiny.hooks(loaded) == before


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
    with pytest.raises(ValueError, match="no texts to read"):
        capture(loaded, [], [reading])
    with pytest.raises(ValueError, match="does not exist at layer 4"):
        tokens(loaded, encode(loaded), [("mlp_act", 4)])
    with pytest.raises(ValueError, match="text 1 has no token: leave it out"):
        tokens(loaded, [[0, 5], []], [("mlp_act", 1)])
    assert tokens(loaded, [], [("mlp_act", 1)]) == []


@pytest.mark.parametrize("family", tiny.UNGATED)
def test_a_gate_cannot_be_read_where_there_is_none(family: str) -> None:
    loaded = tiny.loaded(family)
    reading = Reading(site="mlp_gate", state="raw", pooling="last", layer=1)
    with pytest.raises(ValueError, match="'mlp_gate' does not exist in this model: its MLP has no"):
        capture(loaded, encode(loaded), [reading])


def test_overflow_is_an_error_and_the_hooks_are_gone() -> None:
    loaded = load(tiny.make("llama", seed=4), device="cpu")
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.down_proj.weight.fill_(float("inf"))
    reading = Reading(site="resid_post", state="raw", pooling="weighted", layer=1)
    with pytest.raises(ValueError, match="not finite"):
        capture(loaded, encode(loaded), [reading])
    assert tiny.hooks(loaded) == 0


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bfloat16_states_are_tested_in_their_own_dtype(family: str) -> None:
    loaded = tiny.loaded(family, dtype="bfloat16")
    reading = Reading(site="mlp_act", state="positive", pooling="average", layer=1)
    for sequence in encode(loaded)[:4]:
        (vector_D,) = capture(loaded, [sequence], [reading]).at(reading)
        gates: list[torch.Tensor] = []
        with watch(loaded.sites.mlps[0].gate, gates.append, rows=1), torch.no_grad():
            loaded.model(input_ids=torch.tensor([sequence]))
        assert gates[0].dtype == torch.bfloat16
        expected_D = (gates[0][0] > 0).float().mean(dim=0)
        torch.testing.assert_close(vector_D, expected_D, rtol=0, atol=of_sum(len(sequence)))

"""Families of other structures: mapped, proven, read, scored and changed as their slow twins say.

The thirteen families that every other test goes through are not repeated here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from actors.extraction.capture import Reading, capture
from actors.extraction.lens import lens
from actors.families.families import FAMILIES
from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel, load
from actors.passes.check import prove_interventions
from actors.passes.observe import Watcher, observe
from actors.prediction.score import read_options
from actors.structure.find import find
from actors.structure.proof import claims, prove
from actors.structure.sites import NEURONS, SITES, SiteName
from actors.sweeping.sweep import sweep
from actors.work import run_unit
from studies.kinds.alignment import AlignmentGrid
from studies.spec import Cell, Dtype
from tests.makers import oracle, oracle_interventions, rounding, tiny, world
from tests.makers.questions import QUESTIONS, ids
from tests.makers.units import of_cells

# Shapes: B rows, T tokens, D width of a site, V vocabulary

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
NO_GATE = ("apertus", "falcon", "falcon_new", "falcon_alibi", "mpt", "phi", "starcoder2", "xglm")
# Before the head and behind it.
SCALES = {
    "cohere": (1, 0.0625),
    "cohere2": (1, 0.25),
    "granite": (1, 1 / 13),
    "granitemoe": (1, 1 / 13),
    "minicpm3": (0.25, 1),
}
EQUAL = {"rel": rounding.TINY, "abs": rounding.TINY}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.OTHERS)
def test_it_is_mapped_and_proven(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sites = loaded.sites
    lacks = NEURONS if family in tiny.EXPERTS else ("mlp_gate",) if family in NO_GATE else ()
    assert set(sites.missing) == set(lacks)
    assert (sites.state_scale, sites.logit_scale) == pytest.approx(SCALES.get(family, (1, 1)))
    assert sites.softcap is None
    assert sites.keeps_sign == (family != "apertus")
    found = claims(loaded.model, sites)
    assert {claim.site for claim in found} == set(SITES) - set(lacks)
    assert all(claim.holds for claim in found)
    prove_interventions(sites)


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_every_site_is_what_the_slow_twin_says(family: str) -> None:
    loaded = tiny.loaded(family)
    rows = [ids(6), ids(6, seed=1)]
    expected = [oracle.activations(loaded.model, row) for row in rows]
    seen: dict[tuple[SiteName, int], Tensor] = {}

    def note(site: SiteName, layer: int) -> Callable[[Tensor], None]:
        return lambda value: seen.__setitem__((site, layer), value.clone())

    there = [site for site in SITES if site not in loaded.sites.missing]
    watchers = [
        Watcher(site, layer, note(site, layer))
        for site in there
        for layer in loaded.sites.layers(site)
    ]
    with torch.inference_mode():
        observe(loaded.sites, {"input_ids": torch.tensor(rows)}, watchers)
    for (site, layer), value_BTD in seen.items():
        name = "final_norm" if site == "head" else site
        for row, own_TD in enumerate(value_BTD):
            expected_TD = expected[row][name, layer]
            # An update is told by the difference of two states, which are rounded as large ones.
            scale = max(1.0, float(expected[row]["resid_post", layer].abs().max()))
            scale = max(scale, float(expected_TD.abs().max()))
            torch.testing.assert_close(own_TD, expected_TD, rtol=0, atol=rounding.TINY * scale)
    logits_TV = loaded.sites.logits(seen["final_norm", loaded.facts.layers][0])
    own_TV = expected[0]["head", loaded.facts.layers]
    torch.testing.assert_close(logits_TV, own_TV, rtol=rounding.TINY, atol=rounding.TINY)


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_what_is_captured_and_scored_equals_the_slow_twin(family: str) -> None:
    """States pooled from padded batches, options of questions, and the lens at every layer."""
    loaded = tiny.loaded(family)
    last = loaded.facts.layers
    wanted: list[tuple[SiteName, str]] = [("resid_post", "raw"), ("attn_out", "raw")]
    if family not in tiny.EXPERTS:
        wanted += [("mlp_act", "raw"), ("mlp_hidden", "magnitude")]
    readings = [
        Reading(site=site, state=state, pooling="weighted", layer=layer)  # type: ignore[arg-type]
        for site, state in wanted
        for layer in (1, last)
    ]
    texts = [ids(29), ids(3), ids(1)]
    captured = capture(loaded, texts, readings)
    for row, text in enumerate(texts):
        slow = oracle.activations(loaded.model, text)
        for one in readings:
            expected_D = oracle.pool(
                slow[one.site, one.layer], state=one.state, pooling=one.pooling
            )
            scale = max(1.0, float(slow["resid_post", one.layer].abs().max()))
            found_D = captured.at(one)[row]
            torch.testing.assert_close(found_D, expected_D, rtol=0, atol=rounding.TINY * scale)

    answers = read_options(loaded, QUESTIONS)
    latent = lens(loaded, QUESTIONS, layers=range(last + 1))
    for (prompt, options), answer, layers in zip(QUESTIONS, answers, latent, strict=True):
        for place, option in enumerate(options):
            bare = oracle.option_log_probabilities(loaded.model, prompt, option)
            assert answer[place] == pytest.approx(bare, **EQUAL)
            assert layers[last][place] == pytest.approx(bare, **EQUAL)
            slowly = partial(oracle.latent_log_probabilities, loaded.model, prompt, option)
            assert layers[1][place] == pytest.approx(slowly(layer=1), **EQUAL)


@pytest.mark.parametrize("family", sorted(SCALES))
@pytest.mark.parametrize("head", ["lm_head", "input_embedding"])
@pytest.mark.parametrize("norm", ["final_norm", "none"])
def test_the_lens_scales_as_the_model_does_whatever_it_reads_with(
    family: str, head: str, norm: str
) -> None:
    loaded = tiny.loaded(family)
    given = {"norm": norm, "head": head}
    found = lens(loaded, QUESTIONS[:2], layers=[1], **given)  # type: ignore[arg-type]
    for (prompt, options), layers in zip(QUESTIONS[:2], found, strict=True):
        for place, option in enumerate(options):
            expected = oracle.latent_log_probabilities(
                loaded.model, prompt, option, layer=1, **given
            )
            assert layers[1][place] == pytest.approx(expected, **EQUAL)


def settings_of(loaded: LoadedModel) -> list[Setting]:
    """Both routes of a sweep, at every kind of site that the family has."""

    def at(site: SiteName, layer: int, **given: object) -> Intervention:
        vector = noise(loaded.sites.width(site), seed=layer) / 2
        stated = {"operation": "add", "vector": vector, "where": "all"}
        return Intervention(site=site, layer=layer, **stated | given)  # type: ignore[arg-type]

    last = loaded.facts.layers
    settings: list[Setting] = [
        (),
        (at("resid_post", 1, where="last", coefficient=2.0),),
        (at("resid_post", 2, operation="replace"),),
        (at("embed", 0, where="last"),),
        (at("attn_out", 2, where="prompt"),),
        (at("attn_out", last, where="last", operation="scale"),),
        (at("mlp_out", 1, operation="replace", coefficient=0.5), at("resid_post", last)),
    ]
    if "mlp_hidden" in loaded.sites.ports:
        settings.append((at("mlp_hidden", 2, operation="scale", coefficient=-2.0),))
        mask = noise(loaded.sites.width("mlp_act"), seed=6) < 0.4
        settings.append((at("mlp_act", 1, operation="set", neurons=mask),))
    return settings


@pytest.mark.parametrize("family", tiny.OTHERS)
def test_a_sweep_equals_hooks_one_by_one(family: str) -> None:
    loaded = tiny.loaded(family)
    settings = settings_of(loaded)
    swept = sweep(loaded, QUESTIONS, settings)
    for setting, found in zip(settings, swept, strict=True):
        for (prompt, options), answer in zip(QUESTIONS, found, strict=True):
            for option, logs in zip(options, answer, strict=True):
                changes = [
                    oracle_interventions.change_of(
                        one, prompt=0, length=len(prompt), end=len(prompt) + len(option)
                    )
                    for one in setting
                ]
                expected = oracle_interventions.changed_log_probabilities(
                    loaded.model, prompt, option, changes
                )
                what = [(one.site, one.layer, one.operation) for one in setting]
                assert logs == pytest.approx(expected, **EQUAL), what


@pytest.mark.parametrize("family", sorted(SCALES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scale_that_is_left_out_or_wrong_is_refused(family: str, dtype: Dtype) -> None:
    loaded = tiny.loaded(family, dtype=dtype)
    sites = loaded.sites
    for wrong in (
        {"state_scale": 1.0, "logit_scale": 1.0},
        {"logit_scale": sites.logit_scale * 1.001},  # far less than bfloat16 rounds logits by
        {"state_scale": sites.state_scale * 1.001},
        {"softcap": 1e4},
    ):
        with pytest.raises(ValueError, match="site 'head' is not what its name says"):
            prove(loaded.model, replace(sites, **wrong))  # type: ignore[arg-type]


def test_logits_that_are_changed_in_another_way_are_refused() -> None:
    loaded = load(tiny.make("llama", seed=21), device="cpu")
    head = loaded.model.lm_head
    plain = loaded.model.forward

    def shifted(*args: object, **kwargs: object) -> object:
        output = plain(*args, **kwargs)
        output.logits = output.logits + 0.25
        return output

    loaded.model.forward = shifted
    sites = find(loaded.model, layers=3)
    assert (sites.head, sites.logit_scale, sites.softcap) == (head, 1.0, None)
    with pytest.raises(ValueError, match=r"'head' .* what the head returns becomes logits times 1"):
        prove(loaded.model, sites)


@pytest.mark.parametrize("family", tiny.EXPERTS)
def test_a_mixture_of_experts_has_no_neurons_and_says_why(family: str) -> None:
    loaded = tiny.loaded(family)
    for site in NEURONS:
        with pytest.raises(ValueError, match=r"is a mixture of experts \(.*it has embed, resid_po"):
            loaded.sites.check(site, layer=1)
    reading = Reading(site="mlp_act", state="positive", pooling="weighted", layer=1)
    with pytest.raises(ValueError, match="mixture of experts"):
        capture(loaded, [ids(3)], [reading])


def test_the_two_updates_are_told_apart_without_neurons() -> None:
    """Of experts no neuron is silenced; what attention adds depends on other tokens."""
    loaded = tiny.loaded("mixtral")
    ports = loaded.sites.ports
    turned = {**ports, "attn_out": ports["mlp_out"], "mlp_out": ports["attn_out"]}
    with pytest.raises(ValueError, match=r"'mlp_out' .* depends on no other token"):
        prove(loaded.model, replace(loaded.sites, ports=turned))


def test_the_sign_of_an_activation_is_its_own_where_it_is_not_that_of_what_it_activates() -> None:
    loaded = tiny.loaded("apertus")
    text = ids(12)
    slow = oracle.activations(loaded.model, text)["mlp_act", 2]
    reading = Reading(site="mlp_act", state="positive", pooling="average", layer=2)
    found_D = capture(loaded, [text], [reading]).at(reading)[0]
    torch.testing.assert_close(found_D, (slow > 0).float().mean(dim=0))
    gate = slow.new_tensor([[-8.0]])
    assert loaded.sites.mlps[1].activation(gate) > 0
    assert loaded.sites.firing("mlp_act", layer=2) is None


def test_a_change_of_nothing_leaves_a_multiplied_update_to_the_bit() -> None:
    port = tiny.loaded("granite").sites.port("attn_out", layer=1)
    assert port.factor == 0.22
    value_BTD = noise(2, 5, 32)
    read_BTD = port.read(value_BTD, rows=2)
    assert torch.equal(port.write(value_BTD, read_BTD), value_BTD)
    read_BTD[0, 0] += 1
    torch.testing.assert_close(port.read(port.write(value_BTD, read_BTD), rows=2), read_BTD)


def test_cells_whose_site_a_model_lacks_fail_alone_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study over a mixture of experts: what reads neurons fails in one sentence, each cell once;
    measures that share its texts have the numbers they have without it."""
    root = world.data_root(tmp_path / "data")
    models = [tiny.make("mixtral").folder]
    for name, measures in (("all", "mexa,nasca,navca,cka"), ("some", "mexa,cka")):
        arguments = world.arguments(root, tmp_path / name, "--measure", measures, models=models)
        assert world.run(*arguments, monkeypatch=monkeypatch) == (1 if name == "all" else 0)
    shown = capsys.readouterr().out
    assert "'mlp_act' does not exist in this model: block 1 is a mixture of experts" in shown
    errors = pd.read_parquet(tmp_path / "all" / "errors.parquet")
    assert set(errors["measure"]) == {"nasca", "navca"}
    assert set(errors["attempts"]) == {1}
    whole, some = (world.table(tmp_path / name, "alignment") for name in ("all", "some"))
    assert set(whole["measure"]) == {"mexa", "cka"}
    pd.testing.assert_frame_equal(whole, some, check_exact=True)
    arguments = world.arguments(root, tmp_path / "all", "--measure", "mexa,nasca", models=models)
    assert world.run(*arguments, monkeypatch=monkeypatch) == 1
    assert "failed before: --retry-errors takes them up again" in capsys.readouterr().out


def test_a_unit_of_nothing_but_refused_cells_has_no_rows() -> None:
    facts = tiny.make("mixtral")
    cell = Cell(
        table="points",
        model=facts.name,
        revision=facts.revision,
        language="deu_Latn",
        scope="scope",
        dataset="words",
        pivot="eng_Latn",
        measure="nasca",
        pooling="weighted",
        layer=1,
    )
    grid = AlignmentGrid(dataset="words", languages=("deu_Latn",))
    unit = of_cells("alignment", grid, facts, ((cell,), None))
    answer = run_unit(tiny.loaded("mixtral"), unit)
    assert answer.rows == []
    assert list(answer.refused) == [cell.key]
    assert answer.refused[cell.key].startswith("ValueError: site 'mlp_act' does not exist")


def test_every_family_of_the_table_is_proven(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(tiny.FAMILIES + tiny.OTHERS) <= set(FAMILIES)
    assert world.run("sites", "--families", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    rows: dict[str, list[str]] = {}
    family = ""
    for line in shown.splitlines():
        if line.startswith("│"):
            name, *_, told = (cell.strip() for cell in line.split("│")[1:-1])
            family = name or family  # a long cell goes on in the lines after its row
            rows.setdefault(family, []).append(told)
    exceptions = {family: " ".join(told) for family, told in rows.items()}
    assert list(exceptions) == list(FAMILIES)
    assert exceptions["llama"] == "none"
    assert exceptions["cohere"] == "logits times 0.0625"
    assert "states times 0.25 before the head" in exceptions["minicpm3"]
    assert "attn_out and mlp_out are added times 0.22" in exceptions["granite"]
    assert "no neurons: block 1 is a mixture of experts" in exceptions["qwen2_moe"]
    for given in (("--families", "a-model"), ()):
        assert world.run("sites", *given, monkeypatch=monkeypatch) == 2
        assert "expected a model or --families" in " ".join(capsys.readouterr().err.split())


def other(kind: str, **settings: object) -> PreTrainedModel:
    """A random model of three layers whose structure is another one."""
    config = AutoConfig.for_model(kind, vocab_size=320, **settings)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4}


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("nanochat", SIZES, r"'final_norm' .* ran 2 times in a forward pass, expected once"),
        ("openai-gpt", GPT, r"cannot be read: a probe of it fails .*`babelscope sites --families`"),
        ("xlm", {"emb_dim": 32, "n_layers": 3, "n_heads": 4}, "has no final norm: no module takes"),
    ],
)
def test_another_structure_is_refused_in_one_sentence(
    kind: str, settings: dict[str, object], sentence: str
) -> None:
    model = other(kind, **settings)
    with pytest.raises(ValueError, match=sentence) as refused:
        prove(model, find(model, layers=3))
    assert "\n" not in str(refused.value)


def test_a_model_that_overflows_is_told_from_one_of_another_structure() -> None:
    loaded = load(tiny.make("llama", seed=22), device="cpu")
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="last block of LlamaForCausalLM is not finite"):
        find(loaded.model, layers=3)


def test_neurons_behind_a_norm_of_their_own_are_left_out() -> None:
    """BitNet has a norm between its neurons and the down projection."""
    model = other("bitnet", **SIZES)
    sites = find(model, layers=3)
    prove(model, sites)
    assert set(sites.missing) == set(NEURONS)


def test_speed_of_a_mixture_of_experts_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--model", tiny.make("mixtral").folder, "--rounds", "1", "--json", "--task", "letters")
    assert world.run("bench", *given, monkeypatch=monkeypatch) == 0
    assert '"letters"' in capsys.readouterr().out

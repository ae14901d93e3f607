"""Folders that are no model, or not the one that their config.json names: refused by one sentence.

Everything that files, settings and headers tell is refused by the plan; numbers, when a worker
reads them. Each case is a change of a whole folder.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from actors import engine
from actors.loading.architecture import check
from actors.model import load
from actors.model_actor import ModelActor
from orchestrator import models
from studies.models.facts import facts
from studies.models.weights import tensors_of
from studies.spec import Model
from studies.texts import ChoiceItem
from tests.makers import tiny, world
from tests.makers.broken import (
    FREQUENCIES,
    LOADED,
    PLANNED,
    Q_BIAS,
    UP,
    Change,
    Weights,
    fill,
    put,
    settings,
    several,
    weights,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def folder_of(tmp_path: Path, change: Change, *, family: str = "llama") -> Path:
    folder = tmp_path / "bad"
    shutil.copytree(tiny.make(family).folder, folder)
    change(folder)
    return folder


def asked_for(*folders: Path | str, **settings: bool) -> tuple[Model, ...]:
    return tuple(Model(id=str(folder), **settings) for folder in folders)  # type: ignore[arg-type]


def one_sentence(error: ValueError) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("case", PLANNED)
def test_what_files_and_headers_tell_is_refused_by_the_plan(case: str, tmp_path: Path):
    change, sentence = PLANNED[case]
    with pytest.raises(ValueError, match=sentence) as refusal:
        models.usable(asked_for(folder_of(tmp_path, change)), skip=False)
    one_sentence(refusal.value)


@pytest.mark.parametrize("case", LOADED)
def test_numbers_that_are_none_are_named_on_loading(case: str, tmp_path: Path):
    change, sentence = LOADED[case]
    folder = folder_of(tmp_path, change)
    models.usable(asked_for(folder), skip=False)
    for packed in (None, "8bit"):
        with pytest.raises(ValueError, match=sentence) as refusal:
            load(facts(Model(id=str(folder), quantisation=packed)), device="cpu")  # type: ignore[arg-type]
        one_sentence(refusal.value)


@pytest.mark.parametrize("device", ["cpu", "spread"])
@pytest.mark.parametrize("case", ["biases", "missing", "shape", "two layers"])
def test_a_worker_refuses_what_the_plan_does(case: str, device: str, tmp_path: Path):
    change, sentence = PLANNED[case]
    folder = folder_of(tmp_path, change)
    for packed in (None, "4bit"):
        with pytest.raises(ValueError, match=sentence):
            load(facts(Model(id=str(folder), quantisation=packed)), device=device)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["biases", "missing", "shape", "nan", "zero"])
def test_vllm_is_given_no_model_that_does_not_fit(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its own loaders leave out some biases and tied heads without a word."""
    monkeypatch.setattr(engine, "refuse", lambda *_, **__: None)  # here or not
    monkeypatch.setattr(engine, "_import", lambda: pytest.fail("vLLM was opened"))
    change, sentence = (PLANNED | LOADED)[case]
    folder = folder_of(tmp_path, change)
    with pytest.raises(ValueError, match=sentence):
        engine.Engine(facts(Model(id=str(folder))), device="cpu")


def test_an_adapter_without_numbers_is_refused(tmp_path: Path):
    base = AutoModelForCausalLM.from_pretrained(tiny.make("llama").folder)
    lora = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(base, lora)
    adapted.save_pretrained(tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_model.safetensors"
    stored = load_file(path)
    name = sorted(stored)[0]
    found = facts(Model(id=tiny.make("llama").folder, adapter=str(tmp_path / "lora")))
    for value, sentence in ((float("nan"), "holds NaN"), (0.0, "is all zero")):
        save_file(stored | {name: torch.full_like(stored[name], value)}, path)
        with pytest.raises(ValueError, match=rf"{name} in adapter_model\.safetensors {sentence}"):
            load(found, device="cpu")


def test_a_weight_too_large_for_half_precision_is_named(tmp_path: Path):
    folder = folder_of(tmp_path, fill(UP, 7e4, only=slice(1)))
    with pytest.raises(ValueError, match=rf"{UP} in .* holds 7e\+04, too large for float16"):
        load(facts(Model(id=str(folder), dtype="float16")), device="cpu")
    assert load(facts(Model(id=str(folder), dtype="bfloat16")), device="cpu")


def test_tied_weights_that_differ_are_refused(tmp_path: Path):
    """Which of them counts depends on who loads: transformers keeps both, vLLM drops one."""
    own = load_file(Path(tiny.make("qwen2").folder) / "model.safetensors")
    same = own["model.embed_tokens.weight"]
    folder = folder_of(tmp_path, put("lm_head.weight", same.clone()), family="qwen2")
    models.usable(asked_for(folder), skip=False)
    put("lm_head.weight", same + 1)(folder)
    with pytest.raises(
        ValueError, match=r"lm_head.* are the same weights .* the stored ones differ"
    ):
        models.usable(asked_for(folder), skip=False)
    with pytest.raises(ValueError, match="the stored ones differ"):
        load(facts(Model(id=str(folder))), device="cpu")
    settings(tie_word_embeddings=False)(folder)
    assert load(facts(Model(id=str(folder))), device="cpu")


def test_odd_weights_are_taken_by_a_flag_and_said(tmp_path: Path):
    folder = folder_of(tmp_path, several(put(Q_BIAS, torch.ones(32)), fill(UP, 0.0)))
    _, notes = models.usable(asked_for(folder, allow_odd_weights=True), skip=False)
    assert len(notes) == 1
    assert f"1 stored tensors, such as {Q_BIAS}, stay unread" in notes[0]
    again = models.usable(asked_for(folder, allow_odd_weights=True), skip=False)
    assert again[1] == notes, "what is remembered is said too"
    taken = facts(Model(id=str(folder), allow_odd_weights=True))
    assert taken.allow_odd_weights
    assert taken.identity == facts(Model(id=str(folder))).identity
    loaded = load(taken, device="cpu")
    assert not any(name.endswith("bias") for name, _ in loaded.model.named_parameters())
    fill(UP, float("nan"))(folder)
    with pytest.raises(ValueError, match="holds NaN"):
        load(replace(taken, allow_odd_weights=True), device="cpu")


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("llama", FREQUENCIES, (4,)),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", (1, 1, 8, 8)),
        ("gpt2", "transformer.h.0.attn.masked_bias", ()),
    ],
)
def test_buffers_that_every_model_makes_anew_do_no_harm(
    family: str, name: str, shape: tuple[int, ...], tmp_path: Path
):
    folder = folder_of(tmp_path, put(name, torch.ones(shape)), family=family)
    assert models.usable(asked_for(folder), skip=False)[1] == []
    assert load(facts(Model(id=str(folder))), device="cpu")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_whole_models_fit_whatever_their_names_begin_with(family: str, tmp_path: Path):
    folder = folder_of(tmp_path, lambda _: None, family=family)
    found = facts(Model(id=str(folder)))
    fit = check(found, folder=str(folder), stored=tensors_of(folder))
    assert fit.unread == frozenset()
    bare = {name.partition(".")[2] for name in tensors_of(folder)}

    def strip(stored: Weights) -> None:
        for name in [name for name in stored if not name.startswith(("lm_head", "embed_out"))]:
            stored[name.partition(".")[2]] = stored.pop(name)

    weights(strip)(folder)
    assert bare & set(tensors_of(folder))
    assert check(found, folder=str(folder), stored=tensors_of(folder)).unread == frozenset()


def test_bad_models_are_all_named_or_left_out(tmp_path: Path):
    good = tiny.make("llama").folder
    for case in ("width", "short"):
        shutil.copytree(good, tmp_path / case)
        PLANNED[case][0](tmp_path / case)
    asked = asked_for(good, tmp_path / "width", tmp_path / "short")
    with pytest.raises(ValueError, match=r"2 of 3 models .* --skip-bad-models") as refusal:
        models.usable(asked, skip=False)
    _, *lines = str(refusal.value).splitlines()
    named = [f"  {tmp_path / case}" for case in ("width", "short")]
    assert [line.partition(":")[0] for line in lines] == named
    left, notes = models.usable(asked, skip=True)
    assert left == (facts(asked[0]),)
    assert [note.partition(" is left out: ")[0] for note in notes] == [
        f"model {str(tmp_path / case)!r}" for case in ("width", "short")
    ]
    with pytest.raises(ValueError, match="2 of 2 models cannot be used"):
        models.usable(asked_for(tmp_path / "width", tmp_path / "short"), skip=True)


def test_a_bad_model_writes_nothing_and_a_skipped_one_is_said_everywhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = folder_of(tmp_path, PLANNED["biases"][0])
    out = tmp_path / "run"
    command = world.arguments(root, out, models=[tiny.make("llama").folder, str(folder)])
    assert world.run(*command, monkeypatch=monkeypatch) == 2
    assert f"({Q_BIAS}) is stored without a place" in capsys.readouterr().err
    assert not out.exists()
    assert world.run(*command, "--skip-bad-models", monkeypatch=monkeypatch) == 0
    said = f"model {str(folder)!r} is left out: "
    assert said in capsys.readouterr().out
    manifest = json.loads((out / "run.json").read_text())
    assert [model["name"] for model in manifest["models"]] == ["llama-0-256"]
    assert any(note.startswith(said) for note in manifest["notes"])
    assert world.run("status", str(out), monkeypatch=monkeypatch) == 0
    assert said in capsys.readouterr().out
    assert world.run(*command, "--allow-odd-weights", monkeypatch=monkeypatch) == 0
    manifest = json.loads((out / "run.json").read_text())
    assert [model["allow_odd_weights"] for model in manifest["models"]] == [True, True]
    assert any("stay unread" in note for note in manifest["notes"])


def test_a_hub_model_is_judged_by_headers_before_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Here the hub is a folder in the cache without weights, and headers are told by a stand-in."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--tiny"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(tiny.make("llama").folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    shapes = tensors_of(snapshot)
    (snapshot / "model.safetensors").unlink()
    hub = asked_for("org/tiny")
    own = tuple(map(facts, hub))
    assert models.usable(hub, skip=False) == (own, []), "nobody tells the headers"
    asked = []

    def told(name: str, *, commit: str) -> dict[str, tuple[int, ...]]:
        asked.append((name, commit))
        return shapes

    monkeypatch.setattr(models, "tensors_on_hub", told)
    assert models.usable(hub, skip=False) == (own, [])
    shapes[Q_BIAS] = (32,)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ValueError, match=rf"\({Q_BIAS}\) is stored without a place"):
        models.usable(hub, skip=False)
    assert asked == [("org/tiny", commit)] * 2
    settings(hidden_act="siluu")(snapshot)
    with pytest.raises(ValueError, match="there is no hidden_act 'siluu'"):
        models.usable(hub, skip=False)


def test_a_token_beyond_the_embedding_is_named_before_any_pass(tmp_path: Path):
    """On a GPU it would be a device assert, after which the process is lost."""
    folder = folder_of(tmp_path, lambda _: None)
    tokenizer = tiny.tokenizer(bos=True)
    tokenizer.add_tokens([f"<more{number}>" for number in range(400)])
    tokenizer.save_pretrained(folder)
    actor = ModelActor(facts(Model(id=str(folder))), device="cpu")
    passes: list[object] = []
    handle = actor._loaded.model.register_forward_pre_hook(lambda *_: passes.append(1))
    known, beyond = "a text", "a <more399> text"
    asked = ChoiceItem(id="1", context=beyond, options=(" a", " b"), gold=0)
    option = ChoiceItem(id="2", context=known, options=(" a", "<more399>"), gold=0)
    ways: tuple[Callable[[], object], ...] = (
        lambda: actor.extract([known, beyond]),
        lambda: actor.score([asked]),
        lambda: actor.score([option]),
        lambda: actor.sweep([asked], [()]),
        lambda: actor.lens([option]),
        lambda: actor.generate([beyond]),
        lambda: actor.statistics([beyond]),
        lambda: actor.steering_vectors([known], [beyond], layers=[1]),
    )
    for way in ways:
        with pytest.raises(ValueError, match=r"the token '<more399>' with id \d+, and the embedd"):
            way()
    assert not passes
    handle.remove()
    assert len(actor.generate([known])) == 1

"""Models and data of the hub, from a hub cache made by hand: planned, loaded, no network."""

import json
import re
import shutil
from pathlib import Path

import httpx
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from actors.model import load
from studies.models.facts import facts
from studies.models.tokenizer import count_tokens
from studies.spec import Model
from tests.makers import tiny
from tests.makers.world import run, table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds `org/tiny` at one commit, called `main` and `step1`."""
    repository = tmp_path / "models--org--tiny"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(tiny.make("llama").folder, snapshot)
    (repository / "refs").mkdir()
    for name in ("main", "step1"):
        (repository / "refs" / name).write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_cached_model_is_identified_by_its_commit(hub: Path):
    found = facts(Model(id="org/tiny"))
    local = facts(Model(id=str(hub)))
    assert (found.name, found.revision, found.commit) == ("org/tiny", "main", COMMIT)
    assert found.weights == f"commit:{COMMIT}"
    assert found.bytes == local.bytes
    assert (found.layers, found.context) == (3, 256)
    assert facts(Model(id="org/tiny", revision="step1")).identity == found.identity
    assert count_tokens(found, ["aaa"]) == [4]


def test_a_cached_model_is_loaded_and_reads_as_the_folder_does(hub: Path):
    found = facts(Model(id="org/tiny"))
    loaded, direct = (load(which, device="cpu") for which in (found, facts(Model(id=str(hub)))))
    texts = ["The cat sat."]
    assert loaded.tokenise(texts) == direct.tokenise(texts)
    for name, weight in loaded.model.state_dict().items():
        assert weight.equal(direct.model.state_dict()[name])


@pytest.fixture
def lora(hub: Path, tmp_path: Path) -> Path:
    """The cache holds `org/lora` too, an adapter of that model."""
    repository = tmp_path / "models--org--lora"
    snapshot = repository / "snapshots" / COMMIT[::-1]
    settings = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    base = AutoModelForCausalLM.from_pretrained(hub)
    get_peft_model(base, settings).save_pretrained(snapshot)
    (repository / "refs").mkdir()
    for name in ("main", "step1"):
        (repository / "refs" / name).write_text(COMMIT[::-1])
    return snapshot


def test_a_cached_adapter_is_identified_by_its_commit_and_merged(lora: Path):
    found = facts(Model(id="org/tiny", adapter="org/lora"))
    assert (found.name, found.adapter) == ("org/tiny+org/lora", "org/lora")
    assert (found.commit, found.adapter_commit) == (COMMIT, COMMIT[::-1])
    assert found.identity != facts(Model(id="org/tiny")).identity
    again = facts(Model(id="org/tiny", adapter="org/lora@step1"))
    assert (again.label, again.identity) == ("org/tiny+org/lora@step1", found.identity)
    direct = load(facts(Model(id="org/tiny", adapter=str(lora))), device="cpu").model.state_dict()
    for name, weight in load(found, device="cpu").model.state_dict().items():
        assert weight.equal(direct[name])
    with pytest.raises(ValueError, match="adapter 'org/other' is neither a folder here nor in the"):
        facts(Model(id="org/tiny", adapter="org/other"))
    (lora / "adapter_model.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"'org/lora' has no adapter_model\.safetensors on the hub"
    ):
        load(found, device="cpu")


def test_the_size_of_a_model_on_the_hub_is_read_from_its_index(hub: Path):
    local = {
        form: facts(Model(id=str(hub), quantisation=form)).bytes for form in (None, "8bit", "4bit")
    }
    content = (hub / "model.safetensors").stat().st_size
    names = ("lm_head.weight", "model.layers.2.mlp.up_proj.weight")
    index = {"metadata": {"total_size": content}, "weight_map": dict.fromkeys(names, "one")}
    (hub / "model.safetensors.index.json").write_text(json.dumps(index))
    (hub / "model.safetensors").unlink()
    for form, expected in local.items():
        found = facts(Model(id="org/tiny", quantisation=form))
        assert found.bytes == pytest.approx(expected, rel=0.05)


def test_a_branch_stands_for_one_commit_in_a_process(hub: Path):
    """A model is judged, planned and loaded at the same one, whoever pushes meanwhile."""
    first = facts(Model(id="org/tiny", revision="step1"))
    later = COMMIT[::-1]
    shutil.copytree(hub, hub.parent / later)
    (hub.parents[1] / "refs" / "step1").write_text(later)
    assert facts(Model(id="org/tiny", revision="step1")) == first
    assert facts(Model(id="org/tiny", revision=later)).commit == later


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("The read operation timed out"),
        OSError(28, "No space left on device"),
        RuntimeError("Data processing error: CAS service error"),
    ],
    ids=["network", "disk", "storage"],
)
def test_a_download_that_fails_is_one_sentence(
    error: Exception, hub: Path, monkeypatch: pytest.MonkeyPatch
):
    assert hub.is_dir()

    def fail(*_given: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    said = rf"model 'org/tiny' cannot be fetched from the hub \({re.escape(str(error))}\): run the "
    with pytest.raises(ValueError, match=said):
        facts(Model(id="org/tiny"))


@pytest.mark.parametrize("size", ["1e999", "-1", '"large"', "null", "[]"])
def test_a_size_that_is_none_tells_nothing(hub: Path, size: str):
    names = json.dumps(dict.fromkeys(["model.layers.2.mlp.up_proj.weight"], "one"))
    index = f'{{"metadata": {{"total_size": {size}}}, "weight_map": {names}}}'
    (hub / "model.safetensors.index.json").write_text(index)
    (hub / "model.safetensors").unlink()
    assert facts(Model(id="org/tiny")).bytes == 0


def test_a_study_on_hub_data_records_the_commit_it_read(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """sib200 is read from the hub's parquet copy; its commit is written down and in the key."""
    data = tmp_path / "datasets--Davlan--sib200"
    for code, texts in (("eng_Latn", ["one", "two"]), ("deu_Latn", ["eins", "zwei"])):
        folder = data / "snapshots" / COMMIT / code / "test"
        folder.mkdir(parents=True)
        rows = [{"index_id": i, "text": text} for i, text in enumerate(texts)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "0000.parquet")
    reference = data / "refs" / "refs" / "convert" / "parquet"
    reference.parent.mkdir(parents=True)
    reference.write_text(COMMIT)
    study = [
        *("run", "neuronxa", "--model", "org/tiny", "--parallel", "sib200", "--pairs", "all"),
        *("--language", "deu_Latn", "--cluster", "inline", "--no-report"),
    ]
    out = tmp_path / "run"
    assert hub.is_dir()
    assert run(*study, "--out", str(out), monkeypatch=monkeypatch) == 0
    assert table(out, "alignment").n.unique().tolist() == [2]
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["commits"] == {"text sib200/deu_Latn-eng_Latn": COMMIT}
    assert manifest["models"][0]["commit"] == COMMIT


def test_a_model_that_is_nowhere_is_one_sentence(hub: Path):
    assert hub.is_dir()
    for model in (Model(id="org/other"), Model(id="org/tiny", revision="step2")):
        with pytest.raises(ValueError, match="neither a folder here nor in the local hub cache"):
            facts(model)

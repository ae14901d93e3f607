"""What a key depends on is what loaders are shown, and what they open; file by file."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.auto.tokenization_auto import (
    TOKENIZER_MAPPING_NAMES,
    tokenizer_class_from_name,
)

from actors.model import load
from actors.prediction.generate import generate_tokens
from orchestrator.workers import worker
from studies.kinds import generation
from studies.models.facts import facts
from studies.models.files import LEFT_OUT, SMALL_FILES, TOKENIZER_FILES, choose
from studies.models.folder import opened
from studies.spec import Model
from studies.texts import GenerationItem, GenerationSet
from tests.makers import tiny
from tests.makers.folders import (
    IN_EVERY_KEY,
    MAKERS,
    PACKED,
    TRUSTED,
    add,
    crammed,
    edit,
    own_code,
    packed,
    plain,
    sharded,
    touch,
)
from tests.makers.opens import opened_in

ITEM = GenerationItem(id="1", prompt="a", references=("b",))
ASKED = GenerationSet(
    benchmark="b", language="eng_Latn", prompt="p", items=(ITEM,), max_new_tokens=3
)


def keys(folder: Path, *, trust: bool = False) -> tuple[str, str]:
    """The key's part of the model, and the key of a cell of written text."""
    found = facts(Model(id=str(folder), trust_remote_code=trust))
    return found.identity, generation.draft(ASKED, model=found).cells[0].key


def shown(folder: Path, *, trust: bool = False) -> set[str]:
    """What loaders find."""
    view = opened(facts(Model(id=str(folder), trust_remote_code=trust)))
    return {path.relative_to(view).as_posix() for path in view.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", MAKERS)
def test_the_key_changes_with_exactly_the_files_that_loaders_are_shown(
    make: Callable[[Path], Path], tmp_path: Path
):
    folder, trust = make(tmp_path / "model"), make in TRUSTED
    before = keys(folder, trust=trust)
    assert shown(folder, trust=trust) == set(IN_EVERY_KEY[make])
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content, name = path.read_bytes(), path.relative_to(folder).as_posix()
        touch(path)
        changed = keys(folder, trust=trust)
        assert (changed[0] != before[0]) == (name in IN_EVERY_KEY[make]), name
        assert (changed[1] != before[1]) == (name in IN_EVERY_KEY[make]), name
        path.write_bytes(content)
    assert keys(folder, trust=trust) == before


@pytest.mark.parametrize("make", MAKERS)
def test_loaders_open_no_file_that_is_not_in_the_key(make: Callable[[Path], Path], tmp_path: Path):
    folder = make(tmp_path / "model")
    found = facts(Model(id=str(folder), trust_remote_code=make in TRUSTED))
    with opened_in(folder) as files:
        loaded = load(found, device="cpu")
        generate_tokens(loaded, [loaded.tokenise(["a b"])[0]], max_new_tokens=2)
    assert files <= set(IN_EVERY_KEY[make])
    assert files >= {name for name in IN_EVERY_KEY[make] if name.endswith((".safetensors", ".py"))}
    assert {"config.json", "tokenizer_config.json"} <= files


@pytest.mark.vllm
@pytest.mark.long
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize("make", [crammed, sharded])
def test_vllm_opens_no_file_that_is_not_in_the_key(make: Callable[[Path], Path], tmp_path: Path):
    from actors.engine import Engine

    embedded = facts(Model(id="miniworld-llama")).folder  # has heads that vLLM has kernels for
    folder = make(Path(shutil.copytree(embedded, tmp_path / "model")))
    found = facts(Model(id=str(folder)))
    weights = {name for name in IN_EVERY_KEY[make] if name.endswith(".safetensors")}
    with opened_in(folder) as files:
        Engine(replace(found, engine="vllm"), device="cpu", threads=1).close()
    assert files <= set(IN_EVERY_KEY[make])
    assert files >= {"config.json", *weights}


def test_what_says_how_weights_are_packed_is_shown_and_in_the_key(tmp_path: Path):
    folder = packed(tmp_path / "model")
    before = keys(folder)
    assert shown(folder) == set(PACKED)
    touch(folder / "hf_quant_config.json")
    assert keys(folder)[0] != before[0]


def test_one_file_of_weights_comes_before_an_index(tmp_path: Path):
    """As transformers has it; the other weights were hashed once, and these read."""
    loaded = load(facts(Model(id=str(crammed(tmp_path / "model")))), device="cpu")
    expected = tiny.loaded("llama").model.state_dict()
    assert all(value.equal(expected[name]) for name, value in loaded.model.state_dict().items())


def test_end_tokens_are_in_the_keys_of_written_texts_alone(tmp_path: Path):
    folder = plain(tmp_path / "model")
    settings = folder / "generation_config.json"
    settings.unlink()
    without = keys(folder)
    edit(settings, eos_token_id=1, temperature=0.3, do_sample=True)
    assert keys(folder) == without, "config.json names that token too"
    edit(settings, eos_token_id=[1, 76])
    assert keys(folder)[0] == without[0]
    assert keys(folder)[1] != without[1]
    assert facts(Model(id=str(folder))).ends == (76,)
    edit(settings, eos_token_id=[1, "</s>"])
    with pytest.raises(ValueError, match=r"generation_config\.json: eos_token_id has '</s>'"):
        keys(folder)
    settings.write_text("{")
    with pytest.raises(ValueError, match=r"generation_config\.json line 1: not valid JSON"):
        keys(folder)


def test_code_of_its_own_is_in_the_key_where_it_is_trusted(tmp_path: Path):
    folder = own_code(tmp_path / "model")
    edit(folder / "config.json", model_type="llama", architectures=["LlamaForCausalLM"])
    assert keys(folder) != keys(folder, trust=True), "other classes read it"
    assert facts(Model(id=str(folder))).code == ""
    edit(folder / "config.json", auto_map=None)
    assert keys(folder) == keys(folder, trust=True), "there is no code to trust"


def test_changed_code_of_its_own_is_what_runs(tmp_path: Path):
    folder = own_code(tmp_path / "model")
    model = Model(id=str(folder), trust_remote_code=True)
    ids = torch.arange(5, 14)[None]
    first = load(facts(model), device="cpu", proof=False).model(input_ids=ids).logits
    (folder / "numbers.py").write_text("SCALE = 2.0\n")
    again = load(facts(model), device="cpu", proof=False).model(input_ids=ids).logits
    torch.testing.assert_close(again, 2 * first)


@pytest.mark.parametrize(
    ("file", "changes", "trust", "sentence"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "org/other--m.C"}}, True,
         r"lies in another repository, 'org/other', which may change"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": [None, "org/other--t.T"]}}, True,
         r"lies in another repository, 'org/other', which may change"),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}, False,
         r"names other files to be read in its place \(configuration_files\): copy what is meant"),
        ("config.json", {"transformers_weights": "mine.safetensors"}, False,
         r"names other files to be read in its place \(transformers_weights\): copy what is meant"),
        ("hf_quant_config.json", {}, False, r"stored quantised as hf_quant_config\.json says"),
        ("quantize_config.json", {}, False, r"stored quantised as quantize_config\.json says"),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["../tokenizer.1.json"]}, False,
         r"names '\.\./tokenizer\.1\.json' as a tokenizer file: expected a name"),
    ],
)  # fmt: skip
def test_a_folder_that_leaves_open_what_would_be_read_is_refused(
    file: str, changes: dict[str, object], trust: bool, sentence: str, tmp_path: Path
):
    folder = plain(tmp_path / "model")
    edit(folder / file, **changes)
    with pytest.raises(ValueError, match=sentence) as error:
        facts(Model(id=str(folder), trust_remote_code=trust))
    assert "\n" not in str(error.value)


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path):
    folder = sharded(tmp_path / "model")
    shutil.move(folder / "0.safetensors", tmp_path / "0.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("0.safetensors", "../0.safetensors"))
    with pytest.raises(
        ValueError, match=r"names '\.\./0\.safetensors' as the file of .* same folder"
    ):
        opened(facts(Model(id=str(folder))))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_a_file_that_changed_after_the_plan_is_not_read(name: str, tmp_path: Path):
    folder = plain(tmp_path / "model")
    found = facts(Model(id=str(folder)))
    worker.load(found, device="cpu", threads=1)
    add(folder, name, "other")
    with pytest.raises(ValueError, match="are not those that the plan was made from: run the same"):
        worker.load(found, device="cpu", threads=1)


def test_every_name_that_a_tokenizer_class_asks_for_is_known():
    classes = {tokenizer_class_from_name(name) for name in TOKENIZER_MAPPING_NAMES.values() if name}
    asked = (getattr(one, "vocab_files_names", {}) for one in classes)
    named = {name for names in asked for name in names.values() if name}
    assert {"vocab.json", "merges.txt", "tokenizer.model"} <= named, transformers.__version__
    assert named <= {*TOKENIZER_FILES}


def test_what_a_plan_fetches_of_a_model_is_all_that_is_chosen_of_it(tmp_path: Path):
    """A worker fetches by the same list: studies.models.folder has one function for both."""
    for number, make in enumerate(MAKERS):
        folder, trust = make(tmp_path / str(number)), make in TRUSTED
        chosen = choose(folder, trust_remote_code=trust, where="it")
        for name in ("config.json", "generation_config.json", *chosen.tokenizer):
            assert any(fnmatch(name, one) for one in SMALL_FILES), name
        for name in chosen.code:
            assert not any(fnmatch(name, one) for one in LEFT_OUT), name

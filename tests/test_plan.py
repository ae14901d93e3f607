"""Planning: cells, units, what is there already, notes, and every refusal before any work."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from orchestrator import plan as plans
from studies import options as opt
from studies.model_files import facts
from studies.options import Options
from studies.recipes import RECIPES
from studies.rows import Source
from studies.spec import Model
from tests import tiny, world


def build(root: Path, *, done: set[str] | None = None, **settings: object) -> plans.Plan:
    chosen: dict[str, object] = {
        "models": tuple(world.models()),
        "languages": ("all",),
        "benchmarks": ("xstorycloze",),
        "parallel": "flores200",
        "pairs": 8,
        **settings,
    }
    study = RECIPES["neuronxa"](Options(**chosen))
    return plans.build(study, source=Source(data_root=root), done=done or set())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.data_root(tmp_path_factory.mktemp("data"))


def test_a_plan_holds_every_cell_once(root: Path):
    plan = build(root)
    cells = [cell for unit in plan.units for cell in unit.cells]
    assert len({cell.key for cell in cells}) == len(cells) == plan.cells == plan.missing
    llama, qwen = plan.models
    for model in (llama, qwen):
        mine = [cell for cell in cells if cell.model == model.name]
        per_language = 3 * (model.layers + 1) + 2 * 3 * model.layers
        assert Counter(
            cell.language for cell in mine if cell.table == "alignment"
        ) == dict.fromkeys(("deu_Latn", "fra_Latn", "swh_Latn"), per_language)
        items = Counter(cell.language for cell in mine if cell.table == "items")
        assert items == {"eng_Latn": 1, "spa_Latn": 1, "swh_Latn": 1}
    assert all(len({cell.model for cell in unit.cells}) == 1 for unit in plan.units)


def test_what_is_there_is_not_planned_again(root: Path):
    whole = build(root)
    keys = [cell.key for unit in whole.units for cell in unit.cells]
    rest = build(root, done=set(keys[::2]))
    assert rest.done == len(keys[::2])
    assert {cell.key for unit in rest.units for cell in unit.cells} == set(keys[1::2])
    assert build(root, done=set(keys)).units == ()


def test_a_language_that_a_benchmark_lacks_is_a_note(root: Path):
    plan = build(root, languages=("deu_Latn", "swh_Latn"))
    assert plan.notes == ("xstorycloze has no deu_Latn: no accuracy for these languages",)
    languages = {cell.language for unit in plan.units for cell in unit.cells}
    assert languages == {"deu_Latn", "swh_Latn", "eng_Latn"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ()}, "no model given"),
        ({"models": ("nowhere",)}, "unknown model 'nowhere'"),
        ({"models": ("./nowhere",)}, r"unknown model './nowhere'"),
        ({"languages": ("deu",)}, "deu_Latn"),
        ({"languages": ("rus_Cyrl",)}, "rus_Cyrl"),
        ({"languages": ("eng_Latn",)}, "no language to compare with the pivot"),
        ({"benchmarks": ("xcopia",)}, "xcopa"),
        ({"parallel": "flores"}, "flores200"),
        ({"pairs": 13}, "12"),
        ({"measures": ("mexx",)}, "unknown measure 'mexx': expected one of mexa, nasca, navca"),
        ({"poolings": ("max",)}, "unknown pooling 'max'"),
        ({"layers": (9,)}, "layer 9 does not exist"),
        ({"pivot": "rus_Cyrl"}, "rus_Cyrl"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"prompt": "sonnet"}, "sonnet"),
        ({"benchmarks": (), "limit": 5}, "--limit 5 has no effect without --benchmark"),
    ],
)
def test_bad_studies_are_refused_in_one_sentence(root: Path, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(root, **settings)
    assert "\n" not in str(caught.value)


def change(root: Path, folder: Path, name: str, edit) -> Path:
    """A copy of the data with one file edited."""
    copy = Path(shutil.copytree(root, folder / "data"))
    path = copy / "flores200" / f"{name}.jsonl"
    path.write_text(edit(path.read_text()))
    return copy


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: "\n".join(text.splitlines()[:-2]), "not parallel"),
        (lambda text: text.replace('"id": 3,', '"id": 99,'), "not parallel"),
        (lambda text: text.replace('"id": 4,', '"id": 4;'), r"deu_Latn\.jsonl.*line 4"),
        (lambda text: text.replace('"sentence"', '"sentense"'), "sentence"),
        (
            lambda text: json.dumps({"id": 1, "sentence": " "}) + text[text.index("\n") :],
            "expected a sentence",
        ),
    ],
)
def test_broken_text_is_refused_in_one_sentence(root: Path, tmp_path: Path, edit, message):
    broken = change(root, tmp_path, "deu_Latn", edit)
    with pytest.raises(ValueError, match=message) as caught:
        build(broken)
    assert "\n" not in str(caught.value)


def test_a_single_pair_is_refused(tmp_path: Path):
    for language in ("eng_Latn", "deu_Latn"):
        rows = [{"id": 1, "sentence": f"one in {language}"}]
        world.write_lines(tmp_path / "flores200" / f"{language}.jsonl", rows)
    with pytest.raises(ValueError, match=r"at least 2|fewer than 2|needs 2|two"):
        build(tmp_path, pairs=None, all_pairs=True, benchmarks=())


def test_texts_beyond_the_context_are_counted(root: Path, tmp_path: Path):
    long = json.dumps({"id": 2, "sentence": "word " * 100})
    edited = change(
        root,
        tmp_path,
        "deu_Latn",
        lambda t: "\n".join([t.splitlines()[0], long, *t.split("\n")[2:]]),
    )
    found = build(edited).too_long
    assert {(item.model, item.language, item.texts, item.longest) for item in found} == {
        ("llama-0-256", "deu_Latn", 1, 500),
        ("qwen2-0-256", "deu_Latn", 1, 499),
    }
    assert {item.context for item in found} == {256}
    assert not build(root).too_long


def test_model_folders_are_checked_before_anything_runs(tmp_path: Path):
    folder = Path(shutil.copytree(tiny.make("llama").folder, tmp_path / "model"))
    whole = facts(Model(id=str(folder)))
    assert (whole.layers, whole.width, whole.neurons, whole.context) == (3, 32, 48, 256)
    assert whole.bytes == sum(
        4 * parameter.numel() for parameter in tiny.loaded("llama").model.parameters()
    )
    half = facts(Model(id=str(folder), dtype="bfloat16"))
    assert half.bytes * 2 == whole.bytes
    assert half.identity != whole.identity
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-9])
    with pytest.raises(ValueError, match="header promises"):
        facts(Model(id=str(folder)))
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert facts(Model(id=str(folder))).identity != whole.identity
    weights.unlink()
    with pytest.raises(ValueError, match=r"has no weights: expected model\.safetensors"):
        facts(Model(id=str(folder)))
    weights.write_bytes(content)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="has no tokenizer"):
        facts(Model(id=str(folder)))
    shutil.copy(Path(tiny.make("llama").folder) / "tokenizer.json", folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no number of layers"):
        facts(Model(id=str(folder)))
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no config\.json"):
        facts(Model(id=str(folder)))


def test_a_revision_of_a_folder_is_a_sub_folder(tmp_path: Path):
    shutil.copytree(tiny.make("llama").folder, tmp_path / "model" / "step-5")
    found = facts(Model(id=str(tmp_path / "model"), revision="step-5"))
    assert (found.name, found.revision, found.label) == ("model", "step-5", "model@step-5")
    with pytest.raises(ValueError, match=r"no revision 'step-6'.*found: step-5"):
        facts(Model(id=str(tmp_path / "model"), revision="step-6"))


def test_the_same_weights_twice_are_refused(root: Path, tmp_path: Path):
    folder = tiny.make("llama").folder
    copy = shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(ValueError, match="are the same weights"):
        build(root, models=(folder, str(copy)))
    with pytest.raises(ValueError, match="two models are called"):
        build(root, models=(folder, folder))


def test_switches_are_checked_by_value():
    assert opt.switches(["nas_site=h", "include_bos=false"]).nas_site == "h"
    assert opt.switches(["include_bos=false"]).include_bos is False
    for bad in ("nas_site=x", "include_bos=no", "what=1", "nas_site", "seed=-1"):
        with pytest.raises(ValueError, match="switch"):
            opt.switches([bad])

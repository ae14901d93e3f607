"""Planning: cells, units, what is there already, notes, and every refusal before any work."""

import json
import runpy
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import context_length
from orchestrator import plan as plans
from studies.flags import read
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.models.facts import facts
from studies.prompt_options import Chat
from studies.recipes import RECIPES, latent_process
from studies.recipes.neuronxa import Options
from studies.rows import Source
from studies.spec import Model
from studies.study import Study
from tests.makers import tiny, world
from tests.makers.planned import planned

BENCH = runpy.run_path(str(world.ROOT / "docs" / "benchmarks" / "plan.py"))


def build(root: Path, *, done: set[str] | None = None, **settings: object) -> plans.Plan:
    chosen: dict[str, object] = {
        "models": tuple(world.models()),
        "languages": ("all",),
        "benchmarks": ("xstorycloze",),
        "parallels": ("flores200",),
        "parts": ("scores",),
        "pairs": 8,
        **settings,
    }
    study = RECIPES["neuronxa"](Options(**chosen))
    return planned(study, source=Source(data_root=root), done=done or set())


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
        per_language = 3 * (model.layers + 1 + 5 * model.layers)
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


def test_a_large_study_is_planned_cell_by_cell_and_unit_by_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world = BENCH["make"](tmp_path, cells=50_000, models=5)
    plan = BENCH["build"](world)
    cells = [cell for unit in plan.units for cell in unit.cells]
    keys = [cell.key for cell in cells]
    assert 50_000 <= len(cells) == len(set(keys)) == plan.cells == plan.missing == world.cells
    assert len(set(plan.totals.values())) == 1
    assert len(plan.units) < 500, "thousands of units for a million cells"
    models = [unit.model.label for unit in plan.units]
    assert models == sorted(models), "units of one model stand together"
    texts = Counter(
        (unit.model.label, part.content.language) for unit in plan.units for part in unit.parts
    )
    assert set(texts.values()) == {1}, "a language is never divided"
    assert len(texts) == 5 * len({cell.language for cell in cells})
    half = frozenset(keys[::2])
    rest = BENCH["build"](world, done=half)
    assert {cell.key for unit in rest.units for cell in unit.cells} == set(keys) - half
    assert (rest.done, rest.cells) == (len(half), plan.cells)
    whole = BENCH["build"](world, done=frozenset(keys))
    assert (whole.units, whole.done, whole.rows) == ((), plan.cells, 0)


def test_a_study_of_much_work_has_larger_units_and_no_other_cells(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plans, "UNIT_CHARACTERS", 1)
    many = build(root).units
    monkeypatch.setattr(plans, "MOST_UNITS", 4)
    few = build(root).units
    assert len(few) < len(many)
    assert len(few) <= 4 + 2 * 2, "one more for the rest of every model and grid"
    assert sorted(cell.key for unit in few for cell in unit.cells) == sorted(
        cell.key for unit in many for cell in unit.cells
    )


def test_a_cell_that_two_grids_ask_for_is_computed_once(root: Path):
    alignment = AlignmentGrid(dataset="flores200", languages=("all",), pairs=8)
    overlapping = (
        alignment,
        replace(alignment, measures=("mexa",), layers=(1, 2), languages=("deu_Latn",)),
        ChoiceGrid(benchmark="xstorycloze", languages=("eng_Latn", "swh_Latn")),
        ChoiceGrid(benchmark="xstorycloze", languages=("swh_Latn", "spa_Latn")),
    )
    models = tuple(Model(id=name) for name in world.models())
    study = Study(name="twice", models=models, grids=overlapping)
    plan = planned(study, source=Source(data_root=root))
    keys = [cell.key for unit in plan.units for cell in unit.cells]
    assert len(keys) == len(set(keys)) == plan.cells == build(root).cells
    assert sum(plan.totals.values()) == plan.cells
    again = planned(study, source=Source(data_root=root), done=keys[1:], failed=keys[:2])
    assert (again.done, again.failed, again.missing) == (len(keys) - 1, 1, 0)
    assert sum(again.failed_by_model.values()) == 1


def test_a_language_that_a_benchmark_lacks_is_a_note(root: Path):
    plan = build(root, languages=("deu_Latn", "swh_Latn"))
    assert plan.notes == ("xstorycloze has no deu_Latn: no answers in these languages",)
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
        ({"parallels": ("flores",)}, "flores200"),
        ({"pairs": 13}, "12"),
        ({"measures": ("mexx",)}, "unknown measure 'mexx': expected one of mexa, nasca, navca"),
        ({"poolings": ("max",)}, "unknown pooling 'max'"),
        ({"layers": (9,)}, "layer 9 does not exist"),
        ({"pivots": ("rus_Cyrl",)}, "rus_Cyrl"),
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
        build(tmp_path, pairs="all", benchmarks=())


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


def test_texts_are_tokenised_once_for_all_models_with_a_tokenizer_and_context_in_common(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    count, calls = context_length.count_tokens, []
    monkeypatch.setattr(
        context_length, "count_tokens", lambda *given: calls.append(given) or count(*given)
    )
    monkeypatch.setattr(context_length, "TEXTS_AT_ONCE", 2)
    folder = Path(tiny.make("llama").folder)
    twin = Path(shutil.copytree(folder, tmp_path / "twin"))
    weights = (twin / "model.safetensors").read_bytes()
    (twin / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    texts = [json.dumps({"id": id, "sentence": "word " * 60 + str(id)}) for id in range(1, 13)]
    edited = change(root, tmp_path, "deu_Latn", lambda _: "\n".join(texts))
    found = build(edited, models=(str(folder), str(twin)), benchmarks=()).too_long
    assert [item._replace(model="") for item in found[:1]] == [found[1]._replace(model="")]
    assert (found[0].texts, found[0].longest) == (8, 300 + 1 + 1)
    assert {model.label for model, _ in calls} == {found[0].model}
    assert [len(given) for _, given in calls] == [2] * 4


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
    with pytest.raises(ValueError, match="or is cut short"):
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
    switches = ["nas_site=h", "include_bos=false", "chat_template=true", "softcap=false"]
    found = read(latent_process.Options, {"--switch": switches})
    assert found.switches.nas_site == "h" and found.switches.include_bos is False
    assert found.asking.chat == Chat() and not found.lens.softcap
    assert found.steering == type(found.steering)()
    for bad in ("nas_site=x", "include_bos=no", "what=1", "nas_site", "seed=-1"):
        with pytest.raises(ValueError, match="switch"):
            read(Options, {"--switch": [bad]})

"""The study of plain generation: what it asks and refuses, and that no engine is identity."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from orchestrator import plan as plans
from studies import miniworld
from studies.kinds import generation
from studies.kinds.generation import GenerationGrid
from studies.prompt_options import Asking
from studies.recipes import RECIPES, generate, neuronxa
from studies.recipes.generate import Options
from studies.rows import Source
from studies.texts import Sampling
from tests.makers import world
from tests.makers.planned import planned

MINI = Options(models=("miniworld-llama",), benchmarks=("mini_xquad",), languages=("deu_Latn",))


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vLLM were installed."""
    monkeypatch.setattr(generation, "find_spec", lambda name: object() if name == "vllm" else None)


@pytest.fixture
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "find_spec", lambda name: None)


def built(options: Options, *, done: frozenset[str] = frozenset()) -> plans.Plan:
    return planned(generate.study(options), source=Source(), done=done)


def keys(plan: plans.Plan) -> set[str]:
    return {cell.key for unit in plan.units for cell in unit.cells}


def test_without_anything_named_the_embedded_models_answer_embedded_questions():
    study = generate.study(Options())
    assert tuple(model.id for model in study.models) == miniworld.MODELS
    (grid,) = study.grids
    assert isinstance(grid, GenerationGrid)
    assert (grid.benchmark, grid.languages, grid.limit) == ("mini_xquad", ("all",), 100)
    assert RECIPES["generate"] is generate.study
    plan = built(Options())
    assert (plan.cells, plan.rows) == (36, 3600)


def test_a_model_answers_the_real_questions_all_of_them():
    (grid,) = generate.study(Options(models=("m",))).grids
    assert isinstance(grid, GenerationGrid)
    assert (grid.benchmark, grid.limit, grid.engine) == ("xquad", None, "auto")


def test_questions_translations_and_own_prompts_in_one_study(tmp_path: Path):
    file = world.write_lines(tmp_path / "mine.jsonl", [{"id": 1, "prompt": "Es war einmal "}])
    plan = built(
        replace(
            MINI, parallels=("miniworld",), pivots=("fra_Latn", "swh_Latn"), pairs=3,
            prompts=str(file), languages=("all",), limit=2, fewshot=1, max_new_tokens=9,
            stop=("newline", "."),
        )
    )  # fmt: skip
    sets = [part.content for unit in plan.units for part in unit.parts]
    assert len(sets) == plan.cells == 12 + 2 * 11 + 1
    assert {one.task for one in sets} == {"span", "translation", "text"}
    assert {one.pivot for one in sets} == {"fra_Latn", "swh_Latn", None}
    assert {(one.max_new_tokens, one.stop) for one in sets} == {(9, ("\n", "."))}
    assert {len(one.items) for one in sets if one.task == "translation"} == {3}
    assert {len(one.items) for one in sets if one.task == "span"} == {2}
    assert {one.prompt for one in sets} == {"question, 1-shot", "translate, 1-shot", "as it is"}
    assert "texts prompts/mine/und_Zyyy" in plan.pins


def test_how_texts_are_drawn_reaches_the_cells():
    drawn = replace(MINI, temperature=0.7, top_p=0.9, seeds=(3,), n=4, limit=2)
    (unit,) = built(drawn).units
    (asked,) = (part.content for part in unit.parts)
    assert asked.sampling == Sampling(temperature=0.7, top_p=0.9, seed=3, n=4)
    others = [drawn, replace(drawn, n=5), replace(drawn, temperature=0.0, top_p=None, seeds=(),
              n=1)]  # fmt: skip
    assert len({key for options in others for key in keys(built(options))}) == 3
    settings = [dict(generate.study(options).settings) for options in others]
    assert settings[0] != settings[1] != settings[2]


@pytest.mark.parametrize(
    ("given", "stop"),
    [((), None), (("none",), ()), (("newline",), ("\n",)), (("Q:", "newline"), ("Q:", "\n"))],
)
def test_what_ends_a_text(given: tuple[str, ...], stop: tuple[str, ...] | None):
    (grid,) = generate.study(replace(MINI, stop=given)).grids
    assert isinstance(grid, GenerationGrid) and grid.stop == stop


@pytest.mark.usefixtures("vllm")
def test_who_writes_is_no_part_of_a_cell():
    plans_by = {name: built(replace(MINI, engine=name)) for name in ("hf", "vllm", "auto")}
    engines = {name: {unit.model.engine for unit in plan.units} for name, plan in plans_by.items()}
    assert engines == {"hf": {"hf"}, "vllm": {"vllm"}, "auto": {"vllm"}}
    assert len({frozenset(keys(plan)) for plan in plans_by.values()}) == 1
    assert len({json.dumps(dict(plan.study.settings)) for plan in plans_by.values()}) == 1
    again = built(replace(MINI, engine="vllm"), done=frozenset(keys(plans_by["hf"])))
    assert (again.missing, again.done) == (0, 1)
    assert "texts are written by vllm, as vLLM is installed: miniworld-llama" in (
        plans_by["auto"].notes
    )
    assert not any("written by" in note for note in plans_by["hf"].notes)


@pytest.mark.usefixtures("no_vllm")
def test_without_vllm_transformers_write_and_the_plan_says_so():
    plan = built(replace(MINI, models=miniworld.MODELS[:2]))
    assert {unit.model.engine for unit in plan.units} == {"hf"}
    labels = ", ".join(miniworld.MODELS[:2])
    note = f"texts are written by hf, as vLLM is not installed (docs/generation.md): {labels}"
    assert note in plan.notes
    with pytest.raises(ValueError, match=r"not installed here: pip install 'babelscope\[vllm\]'"):
        built(replace(MINI, engine="vllm"))


@pytest.mark.usefixtures("vllm")
def test_what_vllm_does_not_open_is_written_by_transformers():
    packed = replace(MINI, quantise="8bit")
    plan = built(packed)
    assert {unit.model.engine for unit in plan.units} == {"hf"}
    assert any("vLLM does not open a model with weights packed to 8bit" in n for n in plan.notes)
    with pytest.raises(ValueError, match=r"has weights packed to 8bit, which is opened by hf"):
        built(replace(packed, engine="vllm"))


def test_neuronxas_translations_are_the_same_cells_as_ever():
    asked = {
        "models": ("miniworld-llama",),
        "parallels": ("miniworld",),
        "languages": ("deu_Latn",),
        "pairs": 4,
    }
    options = neuronxa.Options(parts=("translation",), **asked)
    plan = planned(neuronxa.study(options), source=Source())
    pinned = "59277ea58098571286321f47fcf129d8602ce3e6c8bfa5984411772a4d593d94"
    assert keys(plan) == {pinned}
    ends = "list of end tokens of model miniworld-llama"
    texts = "translations miniworld/deu_Latn-eng_Latn"
    assert set(plan.pins) == {"model miniworld-llama", texts, ends}
    assert plan.pins[ends] == [], "config.json names all that generation_config.json does"
    assert {unit.model.engine for unit in plan.units} == {"hf"}
    assert keys(built(Options(**asked))) == {pinned}


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"temperature": -1.0}, "temperature is -1.0: expected 0 for the most probable token"),
        ({"n": 3}, "n is 3 at temperature 0"),
        ({"n": 0}, "n is 0: expected at least 1"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 0.5}, "--top-p has no effect at temperature 0"),
        ({"seeds": (1,)}, "--seed has no effect at temperature 0"),
        ({"temperature": 1.0, "seeds": (1, 2)}, "2 seeds: texts are drawn with one"),
        ({"stop": ("",)}, "--stop '': every text would end at once"),
        ({"stop": ("none", "a")}, "--stop none beside another"),
        ({"engine": "trt"}, "unknown engine 'trt': expected one of auto, hf, vllm"),
        ({"benchmarks": ("belebele",)}, "belebele is answered by choosing, not by writing"),
        ({"benchmarks": ("squad",)}, "unknown benchmark 'squad'"),
        ({"parallels": ("flores",)}, "unknown parallel text 'flores'"),
        ({"parallels": ("miniworld",), "pivots": ("deu_Latn",)}, "translated from as well"),
        ({"pairs": 5}, "--pairs has no effect where nothing is translated"),
        ({"pivots": ("deu_Latn",)}, "--pivot has no effect where nothing is translated"),
        ({"benchmarks": (), "parallels": ("miniworld",), "limit": 5}, "--limit 5 has no effect"),
        ({"benchmarks": (), "parallels": ("miniworld",), "prompt": "a"}, "--prompt a has no"),
        ({"benchmarks": (), "prompts": "a.txt", "fewshot": 2}, "--fewshot 2 has no effect"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_no_meaning_is_refused(chosen: dict[str, object], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        generate.study(replace(MINI, **chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"max_new_tokens": 1024}, "up to 1,024 tokens, and the context of miniworld-llama"),
        ({"prompts": "none.txt"}, r"none\.txt cannot be read"),
        ({"prompt": "letter"}, "mini_xquad has no prompt 'letter'"),
        ({"asking": Asking(letter_token="nospace")}, "letter_token=nospace has no effect"),
        ({"languages": ("de",)}, "unknown language 'de'"),
    ],
)  # fmt: skip
def test_what_files_do_not_allow_is_refused_by_the_plan(chosen: dict[str, object], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        built(replace(MINI, **chosen))  # type: ignore[arg-type]


def test_a_file_without_a_language_asked_for_is_refused(tmp_path: Path):
    file = world.write_lines(tmp_path / "mine.jsonl", [{"id": 1, "prompt": "Es war einmal "}])
    with pytest.raises(ValueError, match=r"has no prompt in deu_Latn: expected one of und_Zyyy"):
        built(replace(MINI, prompts=str(file)))


def test_the_command_line_from_flags_to_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out, file = tmp_path / "run", tmp_path / "mine.txt"
    file.write_text("Anna isst\n", encoding="utf-8")
    asked = [
        *("run", "generate", "--model", "miniworld-llama", "--benchmark", "mini_xquad"),
        *("--language", "all", "--limit", "2", "--prompts", str(file), "--engine", "hf"),
        *("--temperature", "0.8", "--top-p", "0.9", "--n", "2", "--seed", "1"),
        *("--max-new-tokens", "6", "--stop", "newline", "--stop", "a, b"),
        *("--out", str(out), "--cluster", "inline", "--device", "cpu", "--no-report"),
    ]
    assert world.run(*asked, monkeypatch=monkeypatch) == 0
    rows = pd.read_parquet(out / "tables" / "generations")
    assert len(rows) == 2 * (12 * 2 + 1)
    assert set(rows["sample"]) == {0, 1}
    settings = json.loads(rows["settings"].iloc[0])
    assert settings["sampling"] == {"temperature": 0.8, "top_p": 0.9, "seed": 1, "n": 2}
    assert (settings["max_new_tokens"], settings["stop"]) == (6, ["\n", "a, b"])
    own = rows[rows["benchmark"] == "prompts/mine"]
    assert set(own["language"]) == {"und_Zyyy"} and own["f1"].isna().all()
    spans = rows[rows["task"] == "span"]
    assert spans["exact"].isin([0, 1]).all() and spans["f1"].between(0, 1).all()
    assert spans.groupby("language")["exact"].mean()["eng_Latn"] > 0.5
    capsys.readouterr()
    assert world.run(*asked, monkeypatch=monkeypatch) == 0
    assert "0 cells to compute" in capsys.readouterr().out
    fewer = [part if part != "6" else "0" for part in asked]
    assert world.run(*fewer, monkeypatch=monkeypatch) == 2
    assert "--max-new-tokens 0: expected a whole number from 1" in capsys.readouterr().err

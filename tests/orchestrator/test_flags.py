"""What is typed behind a flag: read strictly, never split unasked, refused in one sentence."""

import shutil
from pathlib import Path

import pytest
import typer

from orchestrator import recipe
from orchestrator.__main__ import app
from orchestrator.flags import Strict
from orchestrator.options import Running
from studies import miniworld
from studies.flags import by_flag, read
from studies.options import Common
from studies.recipes import RECIPES, generate, latent_process, neuronxa
from tests.makers import world

# Every flag with a value, and the studies that have it.
SHARED = {
    flag: group[0]
    for name in RECIPES
    for flag, group in {**by_flag(recipe.find(name).options), **by_flag(Running)}.items()
    if not group[0].is_switch
}
STUDIES = {
    flag: [
        name
        for name in RECIPES
        if flag in {**by_flag(recipe.find(name).options), **by_flag(Running)}
    ]
    for flag in SHARED
}
SEVERAL = {flag for flag, one in SHARED.items() if one.several}
LISTS = sorted(SEVERAL - {"--finetune", "--switch", "--stop", "--template-argument"})
WHOLE = (
    *("--limit", "--fewshot", "--sample", "--n", "--max-new-tokens", "--workers", "--pairs"),
    *("--layer", "--seed", "--samples", "--bridge", "--tuning", "--draws"),
)
NUMBERS = (
    "--coefficient",
    "--alpha",
    "--beta",
    "--gamma",
    "--threshold",
    "--temperature",
    "--top-p",
)
UNSEEN = ("", " ", "\t", "\u00a0", "\u200b", "\u200f", "\u202e", "\ufeff", "\u2060")
NOT_WHOLE = (
    *("١٢", "१२", "５", "1_000", " 5 ", "5 ", "+5", "05", "0x5", "5.0", "1e2", "-1", "½", "²"),
    *("nan", "inf", "5\u200f", "\u200e5", "5\u00a0", "99999999999", "1" * 5000, "five", "--"),
)
NOT_NUMBERS = (
    *("nan", "inf", "-inf", "infinity", "1e999", "٢", "1_0", "+2", " 2", "2\u200b", "0x2", "1/2"),
    *("−2", "2,5x"),
)


def refusal(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, here: Path
) -> str:
    """The one sentence with which a command line is refused."""
    monkeypatch.chdir(here)
    before = sorted(here.rglob("*"))
    assert world.run(*arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    error = printed.err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    assert "Traceback" not in error
    assert sorted(here.rglob("*")) == before, "nothing is written"
    return error


@pytest.mark.parametrize("name", SHARED)
def test_a_flag_with_nothing_to_see_is_refused(name, tmp_path, monkeypatch, capsys):
    verbatim = SHARED[name].flag.verbatim
    unseen = () if verbatim else UNSEEN[1:] if name in ("--layer", "--out") else UNSEEN[1::4]
    for study, value in (
        *((study, "") for study in STUDIES[name]),
        *((STUDIES[name][-1], one) for one in unseen),
    ):
        error = refusal(
            "plan", study, f"{name}={value}",
            monkeypatch=monkeypatch, capsys=capsys, here=tmp_path,
        )  # fmt: skip
        assert f"{name} {value!r} is empty" in error


@pytest.mark.parametrize("name", sorted(SHARED.keys() - SEVERAL))
def test_a_flag_that_takes_one_value_is_given_once(name, tmp_path, monkeypatch, capsys):
    twice = ["plan", STUDIES[name][-1], f"{name}=1", f"{name}=2"]
    error = refusal(*twice, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path)
    assert f"{name} is given 2 times" in error


VALUES = {
    "--model": ("miniworld-llama", "miniworld-qwen2"),
    "--language": ("deu_Latn", "fra_Latn"),
    "--benchmark": ("mini_belebele", "mini_xstorycloze"),
    "--measure": ("mexa", "nasca"),
    "--pooling": ("last", "average"),
    "--layer": ("1", "2"),
    "--parallel": ("miniworld", "flores200"),
    "--pivot": ("eng_Latn", "deu_Latn"),
    "--pair": ("deu_Latn:fra_Latn", "fra_Latn:deu_Latn"),
    "--part": ("scores", "picture"),
    "--coefficient": ("2.0", "-0.5"),
    "--alpha": ("2.0", "-0.5"),
    "--bridge": ("1", "2"),
    "--control": ("random", "halves"),
    "--patch": ("matched", "noise"),
    "--seed": ("0", "1"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_nothing_twice_and_has_no_empty_part(name, tmp_path, monkeypatch, capsys):
    (one, two), study = VALUES[name], STUDIES[name][-1]
    repeated = (
        [f"{one},{two},{one}"],
        [one, two, one],
        [one, f"{two}, {one}"],
        *([["2", "2.0"], ["0", "-0"]] if name in ("--coefficient", "--alpha") else []),
    )
    for values in repeated:
        given = [f"{name}={value}" for value in values]
        error = refusal(
            "plan", study, *given, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path
        )
        assert error.startswith(f"error: {name}")
        assert "is given twice: name it once" in error
    for value in (f"{one},", f",{one}", f"{one},,{two}", f"{one}, ,{two}", f"{one},\u200b", ","):
        given = f"{name}={value}"
        error = refusal("plan", study, given, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path)
        assert "has an empty part" in error
    for hidden in ("\u200f", "\u00a0", " ", "\n"):
        given = f"{name}={two},{one}{hidden}"
        error = refusal("plan", study, given, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path)
        assert f"holds U+{ord(hidden):04X}" in error


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_ascii_digits_within_a_column(name, tmp_path, monkeypatch, capsys):
    # Single values and lists are read by one function each; the other flags lead to these two.
    for value in NOT_WHOLE if name in ("--limit", "--layer") else NOT_WHOLE[::8]:
        error = refusal(
            "plan", STUDIES[name][-1], f"{name}={value}",
            monkeypatch=monkeypatch, capsys=capsys, here=tmp_path,
        )  # fmt: skip
        assert error.startswith(f"error: {name} ")
        assert "expected a" in error


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite_and_written_plainly(name, tmp_path, monkeypatch, capsys):
    for value in NOT_NUMBERS:
        error = refusal(
            "plan", STUDIES[name][-1], f"{name}={value}",
            monkeypatch=monkeypatch, capsys=capsys, here=tmp_path,
        )  # fmt: skip
        assert error.startswith(f"error: {name} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--language", "../..,deu_Latn"], "--language: unknown language '../..'"),
        (["demo", "--language", "all,../.."], "--language all beside ../.."),
        (["demo", "--language", "deu_Latn,all"], "--language all beside deu_Latn"),
        (["demo", "--language", "deu_latn"], "--language: unknown language 'deu_latn'"),
        (["demo", "--pivot", "all"], "--pivot: unknown language 'all'"),
        (["demo", "--pivot", "../.."], "--pivot: unknown language '../..'"),
        (["demo", "--pair", "deu_Latn:../.."], "--pair: unknown language '../..'"),
        (["demo", "--pair", "deu_Latn:fra_Latn:eng_Latn"], "--pair: unknown language"),
        (["demo", "--pair", "deu_Latn"], "--pair deu_Latn: expected two languages"),
        (["demo", "--benchmark", "../.."], "unknown benchmark '../..'"),
        (["demo", "--benchmark", "harness/"], "harness/"),
        (["demo", "--measure", "mexá"], "'mexá'"),
        (["demo", "--pairs", "ALL"], "--pairs ALL"),
        (["demo", "--model", "miniworld-llama@"], "has no revision behind its @"),
        (["demo", "--model", "@main"], "has no name before its @"),
        (["demo", "--model", "nowhere"], "unknown model 'nowhere'"),
        (["demo", "--dtype", "float32\u200b"], "unknown dtype 'float32\\u200b'"),
        (["demo", "--cluster", "local "], "unknown cluster 'local '"),
        (["demo", "--device", "cpu\u200b"], "unknown device 'cpu\\u200b'"),
        (["demo", "--quantise", "4bit "], "unknown quantisation '4bit '"),
        (["generate", "--engine", "hf "], "unknown engine 'hf '"),
        (["demo", "--prompt", "cloze\u200f"], "has no prompt 'cloze\\u200f'"),
        (["generate", "--prompts", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["generate", "--stop", "none", "--stop", "none"], "--stop none is given twice"),
        (["generate", "--temperature", "-1"], "temperature is -1.0"),
        (["generate", "--temperature", "1", "--top-p", "1.5"], "top_p is 1.5"),
        (["demo", "--switch", "cka=biased", "--switch", "cka=debiased"], "switch cka is given twi"),
        (["demo", "--switch", "cka="], "switch cka=''"),
        (["demo", "--switch", "cka=biased,anc_abs=true"], "a value is never split"),
        (["demo", "--switch", "cka = biased"], "unknown switch 'cka = biased'"),
        (["demo", "--switch", "system="], "switch system='' is empty"),
        (["demo", "--switch", "system=\u200b"], "switch system='\\u200b' is empty"),
        (["demo", "--switch", "svcca_keep=nan"], "switch svcca_keep='nan'"),
        (["demo", "--switch", "svcca_keep=1_0"], "switch svcca_keep='1_0'"),
        (["demo", "--switch", "svcca_keep=٢"], "switch svcca_keep='٢'"),
        (["demo", "--switch", "seed=٣"], "switch seed '٣': expected a whole number"),
        (["demo", "--switch", "seed=99999999999"], "switch seed 99999999999: expected a whole"),
        (["demo", "--finetune", "rank=8,epochs=2"], "a value is never split"),
        (["demo", "--finetune", "rank=0"], "setting rank 0: expected a whole number from 1"),
        (["demo", "--finetune", "batch=+5"], "setting batch +5"),
        (["demo", "--finetune", "learning_rate=inf"], "setting learning_rate='inf'"),
        (["demo", "--finetune", "rank=8", "--finetune", "rank=8"], "setting rank is given twice"),
    ],
)
def test_what_else_is_refused(arguments, message, tmp_path, monkeypatch, capsys):
    error = refusal("plan", *arguments, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path)
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", ""], "recipe_name '' is empty"),
        (["status", ""], "runs '' is empty"),
        (["status", "a", "a"], "a is given twice"),
        (["report", "a", "b", "a", "--out", "c"], "a is given twice"),
        (["report", "a", "--out", ""], "--out '' is empty"),
        (["report", "a", "--out", "b", "--out", "c"], "--out is given 2 times"),
        (["translations", " "], "runs ' ' is empty"),
        (["sites", ""], "model '' is empty"),
        (["sites", "miniworld-llama@"], "has no revision behind its @"),
        (["sites", "miniworld-llama", "--dtype", ""], "--dtype '' is empty"),
        (["bench", "--model", ""], "--model '' is empty"),
        (["bench", "--model", "a", "--model", "b"], "--model is given 2 times"),
        (["bench", "--rounds", "٣"], "--rounds '٣'"),
        (["bench", "--rounds", "0"], "--rounds 0: expected a whole number from 1"),
        (["bench", "--threads", "1_0"], "--threads 1_0"),
        (["bench", "--task", "capture", "--task", "capture"], "--task capture is given twice"),
        (["run", "demo", "--report", "--no-report"], "--report is given 2 times"),
    ],
)
def test_other_commands_are_as_strict(arguments, message, tmp_path, monkeypatch, capsys):
    error = refusal(*arguments, monkeypatch=monkeypatch, capsys=capsys, here=tmp_path)
    assert message in error


def test_lists_may_have_a_space_behind_their_commas():
    given = {"--language": ["deu_Latn, fra_Latn"], "--layer": ["0, 1", "3"], "--pairs": ["all"]}
    options = read(neuronxa.Options, given)
    assert options.languages == ("deu_Latn", "fra_Latn")
    assert (options.layers, options.pairs, options.pair_count) == ((0, 1, 3), "all", None)
    zero = read(latent_process.Options, {"--coefficient": ["-0"]}).coefficients
    assert str(zero[0]) == "0.0"


@pytest.mark.parametrize(
    "system", ["Answer briefly, in one word.", "a, chat_template=false", "x=y, z", " , ", "a,b,,"]
)
def test_the_value_of_a_switch_is_never_split(system: str):
    switches = ["chat_template=true", f"system={system}"]
    if system.strip(" ,"):
        asking = read(Common, {"--switch": switches}).asking
        assert (asking.system, asking.chat_template) == (system, True)
    stops = read(generate.Options, {"--stop": ["a,b", " ", "\n,"]}).stop
    assert stops == ("a,b", " ", "\n,")


@pytest.mark.parametrize("name", ["a,b", "a@b", "a@", "@a", ",a", "a, b", "m=1:2", "a,b@c,d"])
def test_an_existing_path_wins(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Over lists, revisions, and whatever else a sign may mean."""
    monkeypatch.chdir(tmp_path)
    for folder in (Path(name), tmp_path / name / "inner"):
        folder.mkdir(parents=True)
        for asked, expected in (
            ([str(folder)], [(str(folder), None)]),
            ([f"{folder}@step-1"], [(str(folder), "step-1")]),
            ([f"org/one,{folder}"], [("org/one", None), (str(folder), None)]),
            ([f"{folder},org/one@v1"], [(str(folder), None), ("org/one", "v1")]),
            ([f"{folder}@s,org/one"], [(str(folder), "s"), ("org/one", None)]),
        ):
            found = read(Common, {"--model": asked}).named_models()
            assert [(model.id, model.revision) for model in found] == expected


def test_signs_in_paths_reach_the_plan(tmp_path, monkeypatch, capsys):
    place = tmp_path / "a,b@c=d:e"
    model = place / "x, y@z"
    place.mkdir()
    shutil.copytree(miniworld.model_folder("miniworld-llama"), model)
    prompts = place / "p,q@r.txt"
    prompts.write_text("Anna eats", encoding="utf-8")
    recipe = place / "mine@1,2.py"
    recipe.write_text("from studies.recipes.generate import study\n")
    arguments = ("--model", str(model), "--prompts", str(prompts), "--out", str(place / "o,u@t"))
    root = ("--data-root", str(place))
    status = world.run("plan", f"{recipe}:study", *arguments, *root, monkeypatch=monkeypatch)
    assert status == 0
    assert "x, y@z" in capsys.readouterr().out


def test_every_command_is_strict():
    commands = typer.main.get_command(app).commands
    assert {"run", "plan", "demo", "report", "show", "status", "bench", "sites"} <= set(commands)
    assert all(isinstance(command, Strict) for command in commands.values())

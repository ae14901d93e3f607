"""Study files: the same names and values as on the command line, and every run writes its own."""

import json
import tomllib
from pathlib import Path

import pytest
import typer.main

from orchestrator import recipe, study_file
from orchestrator.__main__ import app, recorded
from orchestrator.flags import Request
from orchestrator.options import Where
from studies.flags import by_flag
from studies.recipes import RECIPES
from tests.makers import world

TEXTS = (
    *("a", "0", "100", "007", "1e3", "-2", "0.5", "true", "a,b", "x = 1", "# no comment", "[1]"),
    *('quo"te', "back\\slash", "a b", "Straße", "日本", "tab\there", "a\x7f", "/pa/th@1", "''"),
    *("99999999999999", "2026-11-28", "a\udcff"),
)


def asked(*words: str) -> Request:
    command = typer.main.get_command(app).commands["plan"]  # type: ignore[attr-defined]
    found = command.make_context("plan", list(words)).obj
    assert isinstance(found, Request)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_written_is_read_again(name: str, tmp_path: Path):
    flags = {**by_flag(recipe.find(name).options), **by_flag(Where)}
    for text in TEXTS:
        given = {
            flag: True if group[0].is_switch else [text, "b"] if group[0].several else [text]
            for flag, group in flags.items()
        }
        file = tmp_path / "study.toml"
        written = study_file.text(name, given)
        file.write_bytes(written.encode("utf-8", "surrogateescape"))
        found, table = study_file.read(file)
        assert found == name
        assert study_file.given(table, flags=flags, refuse=str) == given


def test_a_file_asks_for_what_the_command_line_asks_for(tmp_path: Path):
    words = [
        *("neuronxa", "-m", "a", "--model", "b", "--pairs", "7", "--paper", "--layer", "1,2"),
        *("--switch", "cka=debiased", "--switch", "svcca_keep=0.5", "--finetune", "rank=2"),
        *("--template-argument", 'x="5"', "--data-root", "data", "--workers", "3", "--verify"),
        *("--pair", "deu_Latn:fra_Latn", "--limit", "5"),
    ]
    typed = asked(*words)
    file = tmp_path / "study.toml"
    file.write_text(typed.study_file)
    read = asked(str(file))
    assert (read.options, read.where, read.recipe) == (typed.options, typed.where, typed.recipe)
    assert read.study_file == typed.study_file
    assert read.words is not None and recorded(["run", *read.words[1:]]).options == typed.options


def test_a_flag_of_the_command_line_takes_the_place_of_the_files(tmp_path: Path):
    file = tmp_path / "study.toml"
    file.write_text('recipe = "demo"\nmodel = ["a", "b"]\nlimit = 5\npaper = true\nsample = 3\n')
    with pytest.raises(ValueError, match=r"study demo has no flag --sample \(the latent-process"):
        asked(str(file))
    file.write_text('recipe = "demo"\nmodel = ["a", "b"]\nlimit = 5\npaper = false\n')
    found = asked(str(file), "--model", "c", "--pairs", "9")
    assert found.given == {
        "--model": ["c"], "--limit": ["5"], "--paper": False, "--pairs": ["9"]
    }  # fmt: skip
    assert asked("--limit", "6", str(file)).given["--limit"] == ["6"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "study.toml cannot be read: No such file"),
        ("recipe = ", "study.toml is no TOML: "),
        ("limit = 3", 'names no recipe: add recipe = "neuronxa"'),
        ("recipe = 3", "names no recipe"),
        ('recipe = "nothing"', "unknown recipe 'nothing'"),
        ('recipe = "demo"\nmodle = "a"', "the study demo has no flag --modle; did you mean --mod"),
        ('recipe = "demo"\ndata_root = "a"', "no flag --data_root; did you mean --data-root"),
        ('recipe = "demo"\nstop = "a"', "(the clas and generate studies have it): leave it out"),
        ('recipe = "demo"\npaper = "yes"', "paper = 'yes': expected true or false"),
        ('recipe = "demo"\nlimit = true', "limit = True: expected a text, a number or a list"),
        ('recipe = "demo"\nlimit = [1, 2]', "limit has 2 values: expected one"),
        ('recipe = "demo"\nmodel = []', "model has 0 values: expected at least one"),
        ('recipe = "demo"\nmodel = ""', "model '' is empty: give a value, or leave it out"),
        ('recipe = "demo"\nout = " "', "out ' ' is empty: give a value, or leave it out"),
        ('recipe = "demo"\nlayer = [[1]]', "layer = [1]: expected a text, a number"),
        ('recipe = "demo"\n[switch]\ncka = "biased"', "switch = {'cka': 'biased'}: expected a te"),
        ('recipe = "demo"\nlimit = 1.5', "--limit 1.5: expected a whole number from 1"),
        ('recipe = "demo"\nlayer = [1, 1]', "--layer 1 is given twice"),
        ('recipe = "demo"\nlanguage = "rus_Latn"', "did you mean rus_Cyrl?"),
    ],
)
def test_a_file_that_cannot_be_followed_is_one_sentence(
    content: str | None,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("study.toml").write_text(content)
    assert world.run("run", "study.toml", monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and "\n" not in error
    assert not (tmp_path / "runs").exists()


def test_a_run_writes_the_file_that_repeats_it_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    secret = "hf_" + "abcdefghij" * 3
    Path("mine.toml").write_text(
        'recipe = "demo"\nmodel = "miniworld-llama"\nlanguage = "deu_Latn"\nmeasure = "nasca"\n'
        'part = "scores"\nbenchmark = "mini_belebele"\nlimit = 2\npairs = 4\ncluster = "inline"\n'
        f'out = "run"\nswitch = ["chat_template=false"]\nprompt = "{secret}"\nreport = false\n'
    )
    words = ("run", "mine.toml", "--prompt", "cloze", "--language", "fra_Latn")
    assert world.run(*words, monkeypatch=monkeypatch) == 0
    written = Path("run/study.toml").read_text()
    table = tomllib.loads(written)
    assert (table["language"], table["prompt"]) == ("fra_Latn", "cloze")
    assert "report" not in table, "it is no part of the study"
    Path("mine.toml").unlink()
    arguments = json.loads(Path("run/run.json").read_text())["provenance"]["arguments"]
    assert arguments[:2] == ["run", "demo"] and "--no-report" in arguments
    assert recorded(arguments).options.languages == ("fra_Latn",)  # type: ignore[attr-defined]
    capsys.readouterr()
    again = ("run", "run/study.toml", "--no-report")
    assert world.run(*again, monkeypatch=monkeypatch) == 0
    assert "0 cells to compute" in capsys.readouterr().out
    Path("own.py").write_text(
        "from dataclasses import dataclass\nfrom studies.options import Common\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Common):\n  deep: bool = True\n"
        "def study(options: Mine): pass\n"
    )
    Path("own.toml").write_text('recipe = "own.py:study"\ndeep = false\n')
    own = asked("own.toml")
    assert own.words == ["plan", "own.py:study", "--no-deep"]
    assert recorded(["run", *own.words[1:]]).given == own.given == {"--deep": False}
    Path("short.toml").write_text('recipe = "demo"\n')
    assert asked("short.toml").words == ["plan", "demo"]
    assert secret not in asked("demo", "--model", f"https://a:{secret}@b/c").study_file

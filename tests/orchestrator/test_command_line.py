"""The command line as a whole: help of one study, suggestions, completion, lists, JSON, widths."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from rich.console import Console
from rich.table import Table

from orchestrator import listing, recipe, table_width
from orchestrator.__main__ import app, recorded
from orchestrator.flags import Request, StudyCommand
from orchestrator.options import Planning, Running
from studies import languages
from studies.flags import by_flag
from studies.recipes import NAMES, RECIPES
from tests.makers import world


def shown(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    """What a command prints, on one line."""
    assert world.run(*words, monkeypatch=monkeypatch) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    assert world.run(*words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error
    return error


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("name", RECIPES)
def test_help_shows_the_flags_of_the_study_and_no_other(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    text = shown(command, name, "--help", monkeypatch=monkeypatch, capsys=capsys)
    found = set(re.findall(r"│ (--[a-z-]+)", text)) - {"--help"}
    own = by_flag(recipe.find(name).options)
    assert found == {*own, *by_flag({"run": Running, "plan": Planning}[command])}
    for group in own.values():
        if group[0].shown:
            assert f"(default: {group[0].shown})" in text


def test_help_without_a_study_has_the_common_flags_alone(monkeypatch, capsys):
    text = shown("run", "--help", monkeypatch=monkeypatch, capsys=capsys)
    options = text.partition("Example:")[0]
    assert "--out" in options and "--model" not in options and "--part" not in options
    assert ", ".join(NAMES) in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("name", RECIPES)
def test_every_flag_with_a_value_has_an_example_and_so_has_the_study(name: str):
    found = recipe.find(name)
    for flag, group in {**by_flag(found.options), **by_flag(Planning)}.items():
        text = " ".join(one.flag.help for one in group)
        assert text and (group[0].is_switch or re.search(f"such as {flag}[ =]", text)), flag
    command = typer.main.get_command(app).commands["plan"]  # type: ignore[attr-defined]
    asked = command.make_context("plan", [name, *found.example.split()]).obj
    assert found.example and asked.recipe.study(asked.options).grids


def test_a_default_that_a_study_changes_is_the_one_that_help_shows():
    own, demo = (by_flag(recipe.find(name).options) for name in ("neuronxa", "demo"))
    assert (own["--limit"][0].shown, demo["--limit"][0].shown) == ("all", "100")
    assert demo["--limit"][0].flag.help == own["--limit"][0].flag.help
    assert (own["--parallel"][0].shown, demo["--parallel"][0].shown) == ("flores200", "miniworld")


@pytest.mark.parametrize("name", RECIPES)
def test_a_flag_of_another_study_does_not_exist_here(name: str, monkeypatch, capsys):
    every = {study: by_flag(recipe.find(study).options) for study in RECIPES}
    others = {flag for own in every.values() for flag in own} - every[name].keys()
    for flag in sorted(others):
        having = [study for study in RECIPES if flag in every[study]]
        error = refused("plan", name, f"{flag}=1", monkeypatch=monkeypatch, capsys=capsys)
        assert f"the study {name} has no flag {flag} (the {' and '.join(having)} stud" in error


@pytest.mark.parametrize(
    ("study", "switch", "having"),
    [
        ("generate", "lens_norm", "latent-process study has"),
        ("neuronxa", "steer_pos", "latent-process study has"),
        ("generate", "cka", "neuronxa and latent-process and demo studies have"),
    ],
)
def test_a_switch_of_another_study_does_not_exist_here(
    study: str, switch: str, having: str, monkeypatch, capsys
):
    words = ("plan", study, "--model", "m", "--switch", f"{switch}=x")
    error = refused(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert f"the study {study} has no switch {switch} (the {having} it): leave it out" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan", "neuronxa", "--modell", "m"], "no flag --modell; did you mean --model?"),
        (["plan", "neuronx"], "FILE.toml; did you mean neuronxa?"),
        (["plan", "demo", "--part", "score"], "; did you mean scores?"),
        (["plan", "demo", "--measure", "NASCA"], "; did you mean nasca?"),
        (["plan", "demo", "--pooling", "avrage"], "; did you mean average?"),
        (["plan", "demo", "--dtype", "float61"], "; did you mean float16"),
        (["plan", "demo", "--parallel", "flores"], "; did you mean flores200?"),
        (["plan", "demo", "--benchmark", "mini_beleble"], "; did you mean mini_belebele"),
        (["plan", "demo", "--prompt", "clozed"], "; did you mean cloze?"),
        (["plan", "demo", "--switch", "ckaa=biased"], "; did you mean cka?"),
        (["plan", "demo", "--switch", "cka=bias"], "; did you mean biased"),
        (["plan", "demo", "--finetune", "epoch=2"], "; did you mean epochs?"),
        (["plan", "demo", "--language", "rus_Latn"], "did you mean rus_Cyrl?"),
        (["plan", "demo", "--pivot", "rus_Latn"], "did you mean rus_Cyrl?"),
        (["plan", "latent-process", "--control", "randm"], "; did you mean random?"),
        (["plan", "generate", "--engine", "vlm"], "; did you mean vllm?"),
        (["plan", "generate", "-m", "m", "--benchmark", "xqad"], "; did you mean xquad"),
        (["list", "measure"], "; did you mean measures?"),
        (["bench", "--round", "3"], "bench has no flag --round; did you mean --rounds?"),
        (["status", "--jsn", "a"], "status has no flag --jsn; did you mean --json?"),
        (["plan"], "plan needs a recipe: expected one of neuronxa"),
        (["plan", "demo", "more"], "plan takes no more: leave it out"),
        (["plan", "demo", "--limit"], "Option '--limit' requires an argument"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_was_meant(
    words, sentence, monkeypatch, capsys
):
    assert sentence in refused(*words, monkeypatch=monkeypatch, capsys=capsys)


@pytest.mark.parametrize(
    ("code", "meant"),
    [("rus_Latn", "rus_Cyrl"), ("ukr_Latn", "ukr_Cyrl"), ("zho_Latn", "zho_Hans"),
     ("deu_Cyrl", "deu_Latn"), ("DEU_LATN", "deu_Latn"), ("german", "deu_Latn")],
)  # fmt: skip
def test_another_script_means_the_same_language(code: str, meant: str):
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        languages.check([code])


def test_flags_may_stand_before_the_recipe():
    command = typer.main.get_command(app).commands["plan"]  # type: ignore[attr-defined]
    for words in (["--limit", "5", "-m", "m", "demo"], ["demo", "--limit", "5", "-m", "m"]):
        asked = command.make_context("plan", words).obj
        assert (asked.recipe.name, asked.options.limit) == ("demo", 5)
        assert asked.options.models == ("m",)


def test_flags_of_ones_own_may_stand_before_the_recipe_as_well(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom studies.options import Common\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Common):\n  depth: int = 1\n"
        "def study(options: Mine): pass\n"
    )
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    for words in (["--depth", "3", f"{file}:study"], [f"{file}:study", "--depth=3"]):
        assert command.make_context("run", words).obj.options.depth == 3


def test_the_command_of_an_old_run_is_read_again():
    words = [
        *("run", "neuronxa", "--cluster", "inline", "-m", "a", "--model", "b", "--pairs", "all"),
        *("--switch", "cka=debiased", "--template-argument", "x=1", "--no-report"),
    ]
    asked = recorded(words)
    assert isinstance(asked, Request) and asked.recipe.name == "neuronxa"
    assert (asked.options.models, asked.options.pairs) == (("a", "b"), "all")  # type: ignore[attr-defined]
    assert asked.where.cluster == "inline"
    assert recorded(["demo", "--limit", "3"]).options.limit == 3  # type: ignore[attr-defined]
    for lost in (["plan", "demo"], ["status", "a"], ["lost"]):
        with pytest.raises(ValueError, match="is not one of this version"):
            recorded(lost)
    for lost, why in (["--gone"], "has no flag --gone"), (["--limit", "0"], "expected a whole num"):
        with pytest.raises(ValueError, match=f"cannot be read again: .*{why}"):
            recorded(["run", "demo", *lost])


def test_every_command_about_a_study_shares_it():
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    about = {name for name, one in commands.items() if isinstance(one, StudyCommand)}
    assert about == {"run", "plan", "demo", "watch"}


def test_a_flag_of_ones_own_that_every_study_has_is_refused(tmp_path, monkeypatch, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom studies.flags import Options\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Mine(Options):\n  out: str = 'x'\n"
        "def study(options: Mine): pass\n"
    )
    error = refused("plan", f"{file}:study", monkeypatch=monkeypatch, capsys=capsys)
    assert "the option --out is one that every study has: rename it" in error


def complete(line: str) -> list[str]:
    """What a shell is offered for the last word of a line."""
    words = line.split(" ")
    code = (
        "import sys; sys.argv = ['babelscope']; from orchestrator.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    )
    environment = os.environ | {
        "_BABELSCOPE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("'babelscope'", "'/bin/babelscope'")],
        capture_output=True, text=True, cwd=world.ROOT, env=environment, check=False,
    )  # fmt: skip
    *offered, loaded = ran.stdout.split("\n")[:-1]
    assert loaded == "[]", ran.stderr
    return offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("babelscope run neu", ["neuronxa"]),
        ("babelscope run neuronxa --meas", ["--measure"]),
        ("babelscope run demo --measure nasca,me", ["nasca,mexa"]),
        ("babelscope plan demo --language rus", ["rus_Cyrl"]),
        ("babelscope list mea", ["measures"]),
    ],
)
def test_a_shell_completes_without_heavy_imports(line: str, offered: list[str]):
    assert complete(line) == offered


def test_a_shell_executes_no_file_of_the_users(tmp_path: Path):
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "--out" in complete(f"babelscope run {tmp_path}/mine.py:study --ou")
    assert not (tmp_path / "ran").exists()


def test_the_version_is_printed(monkeypatch, capsys):
    assert re.fullmatch(
        r"babelscope \d+\.\d+\S*", shown("--version", monkeypatch=monkeypatch, capsys=capsys)
    )


@pytest.mark.parametrize("what", listing.KINDS)
def test_a_list_has_one_line_for_each_name(what: str, monkeypatch, capsys):
    assert world.run("list", what, monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(listing.KINDS[what]()))
    assert all(line.split() and "…" not in line for line in lines)


def test_lists_are_of_all_there_is(monkeypatch, capsys):
    assert world.run("list", "recipes", monkeypatch=monkeypatch) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RECIPES)
    assert world.run("list", "switches", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cka=biased|debiased" in [line.split()[0] for line in lines]
    assert all(len(line.split()) > 1 for line in lines), "each is explained"


def test_a_plan_in_json_is_alone_on_the_output(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("plan", "demo", "--limit", "3", "--model", "miniworld-llama", "--json")
    assert world.run(*words, monkeypatch=monkeypatch) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cells"] == plan["to_do"] == plan["models"][0]["cells"] > 0
    assert (plan["study"], plan["done"], plan["failed"], plan["too_long"]) == ("demo", 0, 0, [])
    assert plan["models"][0]["model"] == "miniworld-llama"
    assert any("miniworld is embedded" in note for note in plan["notes"])


def lines_of(tables: list[Table], *, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("models", [1, 3, 12])
def test_wide_tables_are_parted_and_lose_nothing(models: int):
    table = Table(title="r over languages", caption="12 languages")
    for name in ("benchmark", "measure", "pooling"):
        table.add_column(name, overflow="fold")
    for number in range(models):
        table.add_column(f"org/model-{number}-instruct", justify="right", overflow="fold")
    for row in ("belebele", "xstorycloze"):
        cells = [f"0.{row[0]}{number:02} [.61,.96]" for number in range(models)]
        table.add_row(row, "nasca", "weighted", *cells)
    parts = table_width.parts(table, width=table_width.WIDTH)
    lines = lines_of(parts, width=table_width.WIDTH)
    assert max(map(len, lines)) <= table_width.WIDTH
    text = "\n".join(lines)
    assert "…" not in text
    for number in range(models):
        assert text.count(f"0.b{number:02}") == text.count(f"0.x{number:02}") == 1
    assert text.count("belebele") == len(parts)
    assert text.count("r over languages") == text.count("12 languages") == 1
    assert table_width.parts(table, width=table_width.PIPED) == [table]

"""Studies of one's own: what a file may do wrong, each in one sentence that names the file."""

from pathlib import Path

import pytest

from orchestrator import recipe, signals
from orchestrator.__main__ import BAD_INPUT, main
from studies.study import Study

HEAD = """
from dataclasses import dataclass; from typing import Literal
from studies.options import Common
from studies.spec import Model
from studies.kinds.choices import ChoiceGrid
from studies.study import Study
M = (Model(id="miniworld-llama"),)
G = (ChoiceGrid(benchmark="mini_belebele", languages=("deu_Latn",), limit=3),)
"""
MINE = "@dataclass(frozen=True, kw_only=True)\nclass Mine(Common):\n"


def made_of(name: str) -> Study:
    """The study of a name with the options' defaults."""
    found = recipe.find(name)
    return found.study(found.options())


MISTAKES: dict[str, tuple[str, str]] = {
    "no function": ("def other(options): pass", "'study' does not exist; the functions there are"),
    "no function at all": ("x = 1", "'study' does not exist; it defines no function"),
    "a constant": ("study = 3", "'study' is no function"),
    "nothing returned": ("def study(options): pass", "returned nothing: expected a studies.study"),
    "a list": ("def study(options): return [1]", "returned an object of type list"),
    "a class's name": ("def study(options): return Study", "returned an object of type type"),
    "a coroutine": ("def study(options):\n  yield 1", "returned an object of type generator"),
    "raises": ("def study(options):\n  return 1 / 0", "line 11: function 'study' failed"),
    "raises a ValueError": ("def study(options):\n  int('x')", "line 11: function 'study' failed"),
    "asks for what is not there": ("def study(options): return options.shots", "AttributeError"),
    "takes nothing, returns nothing": ("def study(): pass", "returned nothing: expected a stud"),
    "takes two": ("def study(options, other): pass", "expected def study() or def study(options)"),
    "keyword only": ("def study(*, options): pass", "expected def study() or def study(options)"),
    "takes a text": ("def study(options: str): pass", "takes <class 'str'>: expected a dataclass"),
    "an annotation": (
        "def study(options: 'Nothing'): pass",
        "annotations of 'study' cannot be rea",
    ),
    "no dataclass of its own": (
        "class Mine(Common):\n  depth: int = 3\ndef study(options: Mine): pass",
        "the options Mine are no dataclass of their own: write @dataclass(frozen=True",
    ),
    "a type of no flag": (
        f"{MINE}  depth: complex = 1j\ndef study(options: Mine): pass",
        "the option depth of Mine has a type that no flag is read as: expected bool, str, int",
    ),
    "names that are numbers": (
        f"{MINE}  depth: Literal[1, 2] = 1\ndef study(options: Mine): pass",
        "the option depth of Mine has a type that no flag is read as",
    ),
    "no default": (
        f"{MINE}  depth: int\ndef study(options: Mine): pass",
        "the option depth of Mine has no default: give it one",
    ),
    "not frozen": (
        "@dataclass\nclass Mine(Common):\n  depth: int = 3\ndef study(options: Mine): pass",
        "cannot inherit non-frozen dataclass from a frozen one",
    ),
    "syntax": ("def study(options:\n  pass", "cannot be read as Python (SyntaxError"),
    "indentation": ("def study(options):\npass", "cannot be read as Python (IndentationError"),
    "an import": ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    "a name": ("study = undefined", "line 10: it cannot be read as Python (NameError"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "stops": ("def study(options):\n  exit()", "function 'study' failed (SystemExit"),
    "recurses": ("def study(options): return study(options)", "RecursionError"),
    "many lines": ("def study(options): raise OSError('a\\nb')", "(OSError: a b)"),
    "no name": ("def study(options): return Study(name='', models=M, grids=G)", "name is ''"),
    "name": ("def study(options): return Study(name=None, models=M, grids=G)", "name is None"),
    "models by id": (
        "def study(options): return Study(name='m', models=('x',), grids=G)",
        "'x' is among the study's models: expected Model",
    ),
    "no models": (
        "def study(options): return Study(name='m', models=(), grids=G)",
        "models are (), expected a tuple of at least one Model",
    ),
    "one grid": (
        "def study(options): return Study(name='m', models=M, grids=G[0])",
        "expected a tuple of at least one Grid",
    ),
    "a grid's name": (
        "def study(options): return Study(name='m', models=M, grids=('belebele',))",
        "'belebele' is among the study's grids: expected Grid",
    ),
    "settings": (
        "def study(options): return Study(name='m', models=M, grids=G, settings={'a': {1}})",
        "settings cannot be kept as JSON",
    ),
    "no settings": (
        "def study(options): return Study(name='m', models=M, grids=G, settings=None)",
        "settings cannot be kept as JSON",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_file(tmp_path: Path, mistake: str) -> None:
    code, sentence = MISTAKES[mistake]
    file = tmp_path / "mine.py"
    file.write_text(f"{HEAD}\n{code}\n")
    with pytest.raises(ValueError, match=r"mine\.py") as caught:
        made_of(f"{file}:study")
    said = str(caught.value)
    assert sentence in said and "\n" not in said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"x = '\xff'", "SyntaxError"),
        (b"x = 1\0", "SyntaxError"),
        (b"", "it defines no function"),
    ],
)
def test_a_file_that_is_no_python(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        made_of(f"{file}:study")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.py:study", "does not exist"),
        ("mine.py", "names no function of the file"),
        ("mine.txt:study", "unknown recipe"),
        ("nothing", "unknown recipe 'nothing'"),
        ("", "unknown recipe ''"),
        (".py:study", "does not exist"),
    ],
)
def test_a_name_that_leads_to_no_function(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        made_of(name)


def test_a_module_beside_the_file_is_said_to_lie_there(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    file = tmp_path / "mine.py"
    file.write_text("import beside")
    with pytest.raises(ValueError, match=f"set PYTHONPATH to {tmp_path}"):
        made_of(f"{file}:study")


@pytest.mark.parametrize("name", ["torch.py", "studies.py", "json.py", "demo.py"])
def test_a_file_may_be_called_as_any_module_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    good = "def study(options): return Study(name='mine', models=M, grids=G)"
    file.write_text(
        "from __future__ import annotations\nimport json\nfrom dataclasses import dataclass\n"
        f"{HEAD}\n@dataclass(slots=True)\nclass Mine:\n  x: int = 1\n\n{good}\n"
    )
    made = made_of(f"{file}:study")
    assert isinstance(made, Study) and made.name == "mine"


def test_our_own_refusals_pass_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from studies.recipes import neuronxa\n"
        "def study(options: neuronxa.Options): return neuronxa.study(options)"
    )
    with pytest.raises(ValueError, match="model") as caught:
        made_of(f"{file}:study")
    assert "failed" not in str(caught.value)


def test_the_command_ends_with_status_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def study(options): return None")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["babelscope", "run", "mine.py:study", "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == BAD_INPUT
    assert "returned nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_signal_while_a_file_is_read_ends_the_command_as_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\ndone = 1\n")
    with pytest.raises(signals.Interrupted), signals.at_once():
        made_of(f"{path}:study")

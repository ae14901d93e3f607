"""README's table has every flag of `run`, and no other."""

import re
from pathlib import Path

import typer.main

from orchestrator.__main__ import app

README = Path(__file__).parents[1] / "README.md"


def test_readme_has_every_flag() -> None:
    text = README.read_text(encoding="utf-8")
    table = text[text.index("| flag | meaning |") : text.index("Every study is one recipe")]
    named = set(re.findall(r"--[a-z][a-z-]*", table))
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    flags = {frozenset((*one.opts, *one.secondary_opts)) for one in command.params}
    flags = {one for one in flags if any(name.startswith("--") for name in one)}
    assert {one for one in flags if not one & named} == set()
    assert named - frozenset().union(*flags) == set()

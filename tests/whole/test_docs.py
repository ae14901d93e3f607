"""The examples of README.md and docs/ run as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from studies.benchmarks import BENCHMARKS
from tests.makers.world import run

ROOT = Path(__file__).parents[2]
# The page about a kind of cell is followed in a copy of the project: test_own_kind.py.
ELSEWHERE = ROOT / "docs" / "own-kind.md"
PAGES = (ROOT / "README.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {ELSEWHERE}))
EXAMPLES = {
    page: blocks
    for page in PAGES
    if (blocks := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def test_there_are_examples():
    assert {page.name for page in EXAMPLES} >= {"README.md", "inside-a-model.md"}


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.benchmarks.BENCHMARKS", dict(BENCHMARKS))  # pages add to them
    exec(compile("\n".join(EXAMPLES[page]), str(page), "exec"), {})


def test_commands_on_the_page_of_analysis_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that ask the table which the page itself writes."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "analysis.md"
    exec(compile("\n".join(EXAMPLES[page]), str(page), "exec"), {})
    lines = re.findall(r"^    babelscope (.*scores\.csv.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert len(lines) > 4
    for line in lines:
        capsys.readouterr()
        assert run(*shlex.split(line), monkeypatch=monkeypatch) == 0, line
        assert capsys.readouterr().out
    assert "tabular" in (tmp_path / "nasca.tex").read_text("utf-8")

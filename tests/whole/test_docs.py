"""The examples of README.md and docs/ run as they stand."""

import re
from pathlib import Path

import pytest

from studies.benchmarks import BENCHMARKS

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

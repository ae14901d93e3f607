"""The page about a kind of cell of one's own, followed literally in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers import world

PAGE = world.ROOT / "docs" / "own-kind.md"
BLOCK = re.compile(r"(?:`([^`\n]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)
EDITED = re.compile(r"In `([^`\n]+)`.*?```diff\n(.*?)\n\+(.*?)```", re.DOTALL)
# How much a kind, a study and their page may take.
FILES, LINES = 2, 150


@pytest.mark.long
def test_four_files_and_two_names_are_a_study(tmp_path: Path) -> None:
    for package in ("studies", "actors", "orchestrator", "analysis", "docs"):
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(world.ROOT / package, tmp_path / package, ignore=leave)
    text = PAGE.read_text(encoding="utf-8")
    lines = printed = ""
    edited = EDITED.findall(text)
    assert len(edited) == FILES
    for file, before, added in edited:
        path = tmp_path / file
        content = path.read_text(encoding="utf-8")
        assert content.count(before) == 1
        path.write_text(
            content.replace(before, f"{before}\n{added.rstrip()}\n    "), encoding="utf-8"
        )
        lines += added
    ran = 0
    for name, kind, content in BLOCK.findall(text):
        if name:
            (tmp_path / name).write_text(content, encoding="utf-8")
            lines += content
        elif kind == "sh":
            printed = ""
            for line in content.splitlines():
                done = subprocess.run(
                    [sys.executable, "-m", "orchestrator", *line.split()[1:]],
                    cwd=tmp_path, capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                printed += done.stdout + done.stderr
                ran += 1
        elif kind == "text":
            for line in content.splitlines():
                assert line in printed, f"{line!r} is not in\n{printed}"
    assert ran == 3
    assert len([line for line in lines.splitlines() if line.strip()]) < LINES
    assert (tmp_path / "runs/tokens/report/tables/tokens.csv").is_file()
    page = (tmp_path / "runs/tokens/report/index.html").read_text(encoding="utf-8")
    assert "what the same sentences cost" in page

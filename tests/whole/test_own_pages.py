"""The pages about studies and benchmarks of one's own, and about scripts, followed literally.

A code block behind a line such as `mine.py`: is saved under that name; a block of commands is run
line by line, and every line of a block of text behind it stands in what they printed.
"""

import json
import re
import shlex
from pathlib import Path

import pytest

from studies.benchmarks import BENCHMARKS
from tests.makers import world

DOCS = world.ROOT / "docs"
BLOCK = re.compile(r"(?:`([^`\n]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)
STATUS = re.compile(r"\s+# exit status (\d)$")


def plain(text: str) -> str:
    """The text with runs of spaces and of a table's lines as one space."""
    return re.sub(r"[\s│]+", " ", text).strip()


def assert_documented(found: dict[str, object], command: str) -> None:
    """The keys of a JSON object, and of the models in it, are those that the page lists."""
    page = (DOCS / "scripts.md").read_text(encoding="utf-8")
    rows = page.partition(f"| `{command}` | meaning |")[2].partition("\n\n")[0].splitlines()[2:]
    named = {key: row for row in rows for key in re.findall("`(\\w+)`", row.split("|")[1])}
    assert named.keys() == found.keys()
    for name in ("models", "too_long"):
        several = found.get(name)
        for one in several if isinstance(several, list) else ():
            assert set(re.findall("`(\\w+)`", named[name].split("|")[2])) == one.keys()


@pytest.mark.long
@pytest.mark.parametrize("page", ["own-study.md", "own-benchmark.md", "scripts.md"])
def test_the_page_does_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.benchmarks.BENCHMARKS", dict(BENCHMARKS))  # pages add to them
    # What is printed into a pipe is not wrapped; help is, by the width of the terminal.
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    printed, commands = "", 0
    for name, kind, content in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if name:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        elif kind == "sh":
            printed = ""
            for line in content.splitlines():
                status = STATUS.search(line)
                words = shlex.split(STATUS.sub("", line))
                assert words[0] == "babelscope"
                ended = world.run(*words[1:], monkeypatch=monkeypatch)
                shown = capsys.readouterr()
                assert ended == int(status[1] if status else 0), shown.err
                if "--json" in words:
                    assert_documented(json.loads(shown.out), words[1])
                printed += shown.out + shown.err
                commands += 1
        elif kind == "text":
            for line in content.splitlines():
                assert plain(line) in plain(printed), line
        else:
            pytest.fail(f"a block of {kind} in {page} is neither saved nor run")
    assert commands

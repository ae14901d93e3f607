"""What others install: the image's recipe, the wheel that it is made of, and how it is cited."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.makers.world import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def sent() -> list[str]:
    """What of the folder the image is built from: .dockerignore leaves out all but these."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [rule.removeprefix("!") for rule in rules if rule.startswith("!")]


def test_the_wheel_of_what_the_image_is_sent_holds_everything(tmp_path: Path):
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in sent():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    code = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in ("actors", "analysis", "orchestrator", "studies")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there


def test_an_image_leaves_out_what_may_be_secret_or_large():
    for name in (".git", ".venv", ".env", "runs", "data", "tests", "docs", "build"):
        assert not any(fnmatch(name, rule) for rule in sent())


def test_the_image_takes_the_arguments_that_it_explains():
    explained = set(re.findall(r"^# ([A-Z]+)  ", DOCKERFILE, re.MULTILINE))
    assert explained == set(re.findall(r"^ARG ([A-Z]+)=", DOCKERFILE, re.MULTILINE))
    page = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--build-arg ([A-Z]+)=", page + DOCKERFILE)) <= explained


def test_an_image_is_no_other_user_than_it_says():
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (\S+)", last, re.MULTILINE) == ["10001"]
    assert 'ENTRYPOINT ["tini", "--", "babelscope"]' in last


@pytest.mark.parametrize(
    ("linter", "paths"),
    [("hadolint", ["Dockerfile"]), ("shellcheck", ["docs/deploy/watch.sbatch", ".ci/run"])],
)
def test_linters_find_nothing(linter: str, paths: list[str]):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(linter, path=path)
    if found is None:
        pytest.skip(f"{linter} is not installed")
    ended = subprocess.run([found, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_it_is_cited_as_what_it_is():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert {"message", "title", "authors"} <= citation.keys(), "which the format requires"

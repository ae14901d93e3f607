"""The shape of the project: which package may import which, and where the heavy imports live."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("studies", "actors", "orchestrator", "analysis")
MAY_IMPORT = {
    "studies": {"studies"},
    "actors": {"actors", "studies"},
    "orchestrator": {"orchestrator", "actors", "studies", "analysis"},
    "analysis": {"analysis", "studies.kinds", "studies.tables"},  # the columns of tables alone
}
HOMES = {
    "ray": ("orchestrator/cluster.py", "orchestrator/workers/head.py"),
    "vllm": ("actors/engine.py",),
    "torch": ("actors/",),
    "transformers": ("actors/",),
    "peft": ("actors/",),
    "accelerate": ("actors/",),
    "bitsandbytes": ("actors/",),
    "lm_eval": ("studies/harness", "actors/harness"),
    "statsmodels": ("analysis/",),
    "matplotlib": ("analysis/",),
    "typer": ("orchestrator/__main__.py", "orchestrator/flags.py"),
}
LONGEST_FILE = 400
LIGHT = {
    "orchestrator.__main__": ("torch", "transformers", "ray", "matplotlib", "pandas", "datasets"),
    "analysis.report": ("torch", "transformers", "ray", "datasets", "actors"),
    "studies.recipes": ("torch", "transformers", "ray", "pandas", "datasets"),
}


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def test_there_are_sources_in_every_package():
    assert {path.relative_to(ROOT).parts[0] for path in sources()} == set(PACKAGES)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path):
    where = str(path.relative_to(ROOT))
    package = where.partition("/")[0]
    for module in imports(path):
        top = module.partition(".")[0]
        if top in PACKAGES:
            may = MAY_IMPORT[package]
            assert top in may or module in may, f"{where} imports {module}"
        assert top != "tests", f"{where} imports {module}"
        for home in HOMES.get(top, (where,)):
            if where.startswith(home):
                break
        else:
            pytest.fail(f"{where} imports {module}, whose home is {HOMES[top]}")


@pytest.mark.parametrize("module", LIGHT)
def test_light_entry_points_stay_light(module: str):
    """Planning runs without torch and ray, a report without ray: not even imported."""
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(result.stdout.split())
    assert module in loaded
    assert not loaded & set(LIGHT[module])


def test_no_file_grows_past_reading():
    too_long = {
        str(path.relative_to(ROOT)): length
        for path in [*sources(), *(ROOT / "tests").rglob("*.py")]
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert not too_long


def test_every_module_says_what_it_is():
    for path in sources():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_packages_are_listed_for_installation():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(listed) == found


def test_data_files_are_listed_for_installation():
    """What is read at run time must be in the wheel, not only in a checkout."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]
    listed = set()
    for package in settings["packages"]:
        for pattern in [*patterns["*"], *patterns.get(package, ())]:
            listed.update((ROOT / package.replace(".", "/")).glob(pattern))
    found = {
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert not {str(path.relative_to(ROOT)) for path in found - listed}

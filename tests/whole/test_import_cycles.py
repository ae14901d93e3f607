"""Imports inside a package go one way too: between its folders and loose modules, and its files."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("studies", "actors", "orchestrator", "analysis")

Edges = set[tuple[str, str]]


def modules(package: str) -> dict[str, Path]:
    """Every module of a package, by its full name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among `known` that a file imports: at its top, in a function, or for its types
    alone, as whoever names another's types depends on it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if (name := inner if inner in known else str(node.module)) in known:
                    yield name


def edges(package: str, *, depth: int | None) -> Edges:
    """Who imports whom inside a package, each by the first `depth` parts of its name."""
    known = modules(package)
    short = {name: ".".join(name.split(".")[:depth]) for name in known}
    found = {
        (short[name], short[other])
        for name, path in known.items()
        for other in imported(path, known)
    }
    return {(name, other) for name, other in found if name != other}


def cycle(found: Edges) -> list[str]:
    """A cycle of imports; empty where there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, other in found:
        sorter.add(name, other)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("depth", [2, None], ids=["folders", "files"])
@pytest.mark.parametrize("package", PACKAGES)
def test_imports_inside_a_package_go_one_way(package: str, depth: int | None):
    found = edges(package, depth=depth)
    assert found, "a package of several files imports some of its own"
    assert not cycle(found)


def test_a_cycle_is_found():
    assert sorted(set(cycle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}))) == ["a", "b", "c"]
    assert not cycle({("a", "b"), ("b", "c"), ("a", "c")})

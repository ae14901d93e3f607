"""Which code runs: our four packages as one program, whatever else has their names.

Stdlib alone, as all of this is also sent to other processes by value: it must run there before
anything is imported. A process takes the packages from a folder in which their source has the
hashes that the command has, and never by the order of a path: a folder `studies` in a working
directory, an older version that is installed, or another copy on PYTHONPATH cannot come between.
"""

import hashlib
import importlib.machinery
import importlib.util
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("studies", "actors", "orchestrator", "analysis")
# What an installation and a checkout have alike; weights of embedded models have hashes of their
# own in the keys of cells.
SOURCE = (".py", ".csv", ".tsv", ".toml", ".html", ".css")


class PackageFinder:
    """Finds packages in given folders; it is asked before any path is searched."""

    def __init__(self, folders: Mapping[str, str], hashes: Mapping[str, str]) -> None:
        """The folder of each package by its name, and the hash of what lay there."""
        self.folders, self.hashes = dict(folders), dict(hashes)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  # the finders' protocol
        target: object = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """The package of this name; nothing for what lies in one, which is found by it."""
        folder = self.folders.get(name)
        if folder is None:
            return None
        first = os.path.join(folder, "__init__.py")
        return importlib.util.spec_from_file_location(
            name, first, submodule_search_locations=[folder]
        )


def import_from(folders: Mapping[str, str], *, hashes: Mapping[str, str] | None = None) -> None:
    """Have this process import the packages from these folders, however they are asked for.

    Args:
        folders: the folder of each package by its name.
        hashes: the hash of the source in each, None where nobody asked.

    Raises:
        ValueError: it has imported one from elsewhere already.
    """
    for name, folder in folders.items():
        there = getattr(sys.modules.get(name), "__path__", None)
        if there is not None and [os.path.realpath(place) for place in there] != [
            os.path.realpath(folder)
        ]:
            raise ValueError(
                f"package {name!r} is imported from {', '.join(there)}, not from {folder}: its "
                "name is one of babelscope's, so rename your own, or start another process"
            )
    if not any(getattr(finder, "folders", None) == folders for finder in sys.meta_path):
        sys.meta_path.insert(0, PackageFinder(folders, hashes or {}))


def hashed(folder: Path) -> str:
    """The SHA-256 of a package's source: every file's path in it, and its content."""
    total = hashlib.sha256()
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix in SOURCE
    )
    for name, path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()


def folders_here() -> dict[str, str]:
    """The folders of the packages that lie beside this file's own."""
    beside = Path(__file__).resolve().parents[2]
    return {name: str(beside / name) for name in PACKAGES}


@cache
def hashes_here() -> dict[str, str]:
    """The hash of each of the packages of this process, as they were when first asked for."""
    return {name: hashed(Path(folder)) for name, folder in folders_here().items()}


def about(hashes: Mapping[str, str]) -> dict[str, str]:
    """The code of this process, for people: its folder, and one hash over all its source."""
    lines = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return {
        "folder": os.path.dirname(folders_here()["orchestrator"]),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def folders_with(hashes: Mapping[str, str], *, first: str) -> dict[str, str]:
    """Where this machine has the packages with these hashes: in the folder `first`, or anywhere
    that Python looks.

    Raises:
        ValueError: one of them is nowhere.
    """
    found = {}
    for name, wanted in hashes.items():
        candidates = [first, *sys.path]
        try:
            spec = importlib.util.find_spec(name)  # an editable install is on no path
        except (ImportError, ValueError):
            spec = None
        candidates += map(os.path.dirname, (spec and spec.submodule_search_locations) or ())
        for place in dict.fromkeys(candidates):
            folder = Path(place) / name
            if (folder / "__init__.py").is_file() and hashed(folder) == wanted:
                found[name] = str(folder)
                break
        else:
            raise ValueError(
                f"package {name!r} is not there as this command has it ({wanted[:12]}): another "
                "version is installed, or its files were changed since the command began; install "
                "the same one, or run the same command again, which continues"
            )
    return found


def apply(settings: Mapping[str, Any]) -> None:
    """Make this process import what the command's process does.

    Args:
        settings: `hashes` of the packages, the `folder` in which they are there, and on the same
            machine its `path` for all other packages and its `directory`.
    """
    if any(getattr(finder, "hashes", None) == settings["hashes"] for finder in sys.meta_path):
        return  # Ray gives one process many calls, and what is imported no longer changes
    os.environ["PYTHONSAFEPATH"] = "1"  # processes begun from here look in no working directory
    if settings["path"] is not None:
        sys.path[:] = settings["path"]
    hashes = settings["hashes"]
    import_from(folders_with(hashes, first=settings["folder"]), hashes=hashes)
    if settings["directory"] is not None:
        os.chdir(settings["directory"])


def import_settings(*, same_machine: bool) -> dict[str, Any]:
    """How this process imports, for `apply` in another one."""
    try:
        directory = os.getcwd()
    except OSError:  # it was removed: nothing can be relative to it
        directory = None
    return {
        "hashes": hashes_here(),
        "folder": os.path.dirname(folders_here()["orchestrator"]),
        "path": path_without_directory() if same_machine else None,
        "directory": directory if same_machine else None,
    }


def path_without_directory() -> list[str]:
    """Where Python looks, without the working directory if it is there for no reason of its own:
    by an empty entry, as in `PYTHONPATH=/mine:`, and in a prompt.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    dropped = {""}
    try:
        here = os.getcwd()
    except OSError:
        here = ""
    if len(given) > 1 and "" in given and here not in map(os.path.abspath, filter(None, given)):
        dropped.add(here)
    return [place for place in sys.path if place not in dropped]


def call(settings: Mapping[str, Any], pickled: bytes) -> Any:
    """Call a function of ours in a process that knows nothing yet."""
    apply(settings)
    function, given = pickle.loads(pickled)
    return function(*given)


class Host:
    """A worker in a process that knows nothing yet; what has gone wrong, `hello` tells."""

    def __init__(self, settings: Mapping[str, Any], pickled: bytes) -> None:
        """Take the command's code, then make the worker of this pickled class."""
        self._fault: Exception | None = None
        try:
            apply(settings)
            self._worker = pickle.loads(pickled)()
        except Exception as error:  # an actor that fails here would tell of it in many lines
            self._fault = error

    def hello(self) -> int:
        """The process that the worker lives in.

        Raises:
            ValueError: it does not run the command's code.
        """
        if self._fault is not None:
            raise self._fault
        process: int = self._worker.hello()
        return process

    def load(self, order: Any) -> Any:
        """As the worker does."""
        return self._worker.load(order)

    def run(self, unit: Any, keys: Sequence[str], *artifacts: bytes) -> Any:
        """As the worker does."""
        return self._worker.run(unit, keys, *artifacts)

    def ask(self, method: str, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """As the worker does."""
        return self._worker.ask(method, given, named)

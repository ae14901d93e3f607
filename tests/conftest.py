"""Fixtures for all tests."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.makers import world

# Where transformers copies a model's own code to; it is read when transformers is imported.
MODULES = os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="hf-modules-")
atexit.register(shutil.rmtree, MODULES, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real rows (`data/`) that lies beside the project on some machines."""
    folder = (world.ROOT / os.environ.get("BABELSCOPE_SHARED", "../shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set BABELSCOPE_SHARED to a folder that holds data/")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the program keeps for later goes with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """A shell starts what it puts in the background, or under nohup, with signals ignored."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _paths_of_programs() -> None:
    """What the command line sets for its own children is not for programs that tests start."""
    os.environ.pop("PYTHONSAFEPATH", None)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.data_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that every other way of running is compared with."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        arguments = world.arguments(root, out, models=world.models(), report=True)
        assert world.run(*arguments, monkeypatch=patch) == 0
    return out


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """One Ray on this machine for all that a file runs on `local` in this process."""
    with world.one_local_ray():
        yield


# Whole studies, real Ray, other libraries and large loops: not for every save (`make quick`).
LONG = (
    *("alignment_rows", "artifacts", "bad_models", "batch_independence", "bench", "capture"),
    *("chaos", "chat", "chat_forms", "cluster", "command_line", "dali", "demo", "docs"),
    "embedded_models",
    *("end_to_end", "examples", "families", "faults", "fetch", "figures_within", "generate_page"),
    *("generate_recipe", "harness", "harness_lm", "hostile_names", "independent", "latent_page"),
    *("latent_process", "lease", "loading", "loop", "miniworld", "model_actor", "named_runs"),
    *("neuronxa", "nodes", "pages", "peers", "places", "proof", "report", "s3", "secrets"),
    *("several_runs", "simulate", "steering_analysis", "sweep", "thoughts", "tidied"),
    *("trend_pages", "trust", "watch_killed"),
)


# Marks whose tests the Makefile finds by the files that name them.
FOUND_BY_NAME = ("ray", "vllm", "quiet", "numeric")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of long files, and see that no mark is out of the Makefile's sight."""
    sources: dict[Path, str] = {}
    for item in items:
        if item.path.stem.removeprefix("test_") in LONG:
            item.add_marker(pytest.mark.long)
        for mark in FOUND_BY_NAME:
            if item.get_closest_marker(mark):
                source = sources.setdefault(item.path, item.path.read_text(encoding="utf-8"))
                assert f"mark.{mark}" in source, f"{item.path} does not name pytest.mark.{mark}"

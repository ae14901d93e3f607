"""Whatever is killed, and whenever: the same command again ends with the undisturbed tables.

Real Ray with two nodes on this machine. `BABELSCOPE_CHAOS_ROUNDS` says how many seeded rounds; a
few by default, as each takes some twenty seconds.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.makers import world
from tests.makers.world import ROOT, same

ROUNDS = int(os.environ.get("BABELSCOPE_CHAOS_ROUNDS", "3"))
# Those come first that no other test brings about.
FAULTS = ("memory", "disk", "raylet", "allocation", "poison", "driver", "actor", "terminate")
IN_WORKERS = ("poison", "memory", "allocation")
# Ray ends processes once so much more of the machine's memory is in use than before the tests:
# more than other tests beside these take and give back.
ROOM_BYTES = 3 << 30
# So much more is taken until Ray ends the process that takes it.
ABOVE_BYTES = 1 << 30
PATIENCE = 240.0

# Small units make many chances to be hit.
DRIVER = (
    "import orchestrator.plan as plan; plan.UNIT_CHARACTERS = 1\n"
    "from orchestrator.__main__ import main; main()"
)

# Loaded by every Python on the nodes: spoils units as a file says, once that file names a language.
SABOTAGE = """
import importlib.abc, importlib.machinery, os, resource, sys, time

MOST = int(os.environ.get("CHAOS_MOST", "0"))

def used():
    lines = [line.split() for line in open("/proc/meminfo")]
    kilobytes = {words[0]: int(words[1]) for words in lines}
    return 1024 * (kilobytes["MemTotal:"] - kilobytes["MemAvailable:"])

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "actors.work":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            run = module.run_unit
            def run_unit(loaded, unit, **named):
                spoil(unit)
                return run(loaded, unit, **named)
            module.run_unit = run_unit
        spec.loader.exec_module = exec_module
        return spec

def spoil(unit):
    try:
        kind, language = open(os.environ["CHAOS_FILE"]).read().split()
    except (KeyError, OSError, ValueError):
        return
    if language not in {cell.language for cell in unit.cells}:
        return
    if kind == "poison":
        raise RuntimeError("a poisoned language")
    os.rename(os.environ["CHAOS_FILE"], os.environ["CHAOS_FILE"] + ".struck")  # only once
    if kind == "memory":  # real pages, until somebody ends this process
        held, until = [], time.monotonic() + 60
        while time.monotonic() < until:
            if used() < MOST:
                held.append(b"x" * 2**26)
            else:
                time.sleep(0.1)
        raise RuntimeError("nobody ended a process that took all the memory")
    # From here on this process gets no memory to speak of: every unit fails or ends it.
    line = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
    limit = int(line.split()[1]) * 1024 + 2**16
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

sys.meta_path.insert(0, Finder())
"""


class Nodes:
    """A Ray cluster of two nodes that can lose one and get another."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self._second = self._cluster.add_node(num_cpus=2)
        self.address = str(self._cluster.address)

    def lose_one(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(num_cpus=2)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def chaos_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos") / "sabotage"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, chaos_file: Path) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setenv("CHAOS_FILE", str(chaos_file))
        whole, used = _memory()
        most = used + ROOM_BYTES + ABOVE_BYTES
        assert most + ABOVE_BYTES < whole, "too little memory is free for running out of it"
        patch.setenv("CHAOS_MOST", str(most))
        patch.setenv("RAY_memory_usage_threshold", str((used + ROOM_BYTES) / whole))
        patch.setenv("RAY_memory_monitor_refresh_ms", "100")
        started = Nodes()
        yield started
        started.close()


@pytest.mark.ray
@pytest.mark.quiet
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_tables_after_a_fault_equal_undisturbed_ones(
    root: Path, undisturbed: Path, tmp_path: Path, nodes: Nodes, chaos_file: Path, seed: int
):
    source = random.Random(seed)
    fault = FAULTS[seed % len(FAULTS)]
    out = tmp_path / "disk" / "run"
    disk = _small_disk(out.parent) if fault == "disk" else None
    try:
        _round(root, out, nodes, chaos_file, fault=fault, source=source)
        # A process without memory works on in smaller batches, which round elsewhere.
        same(out, undisturbed, rounding=1e-5 if fault == "allocation" else 0.0)
        for name in ("alignment", "items", "points"):
            stored = pd.read_parquet(out / "tables" / name)
            per = [column for column in ("key", "item", "side") if column in stored]
            assert not stored.duplicated(per).any()
        assert not list(out.rglob(".*")), "a killed writer left something behind"
        _all_ended()
    finally:
        chaos_file.unlink(missing_ok=True)
        if disk is not None:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _round(
    root: Path, out: Path, nodes: Nodes, chaos_file: Path, *, fault: str, source: random.Random
) -> None:
    """One fault at a random moment, then the same command until it says that all is there."""
    arguments = world.arguments(root, out, "--workers", "2", models=world.models())
    arguments[arguments.index("inline")] = nodes.address
    language = source.choice(world.LANGUAGES[1:])
    struck = chaos_file.with_name(chaos_file.name + ".struck")
    struck.unlink(missing_ok=True)
    if fault in IN_WORKERS:
        chaos_file.write_text(f"{fault} {language}")
    driver = _start(arguments, log=out.parent / "first.log")
    if fault not in IN_WORKERS:
        _wait_for_shards(driver, out, count=source.randint(0, 6))
        time.sleep(source.uniform(0, 1))
        _strike(fault, driver, out, nodes)
    status = driver.wait(timeout=PATIENCE)
    log = (out.parent / "first.log").read_text()
    if fault == "poison":
        assert status == 1, log
        errors = pd.read_parquet(out / "errors.parquet")
        assert set(errors.language) == {language}
        assert errors.error.str.contains("a poisoned language").all()
        chaos_file.unlink()
        arguments.append("--retry-errors")
    elif fault in ("actor", "raylet", "memory", "allocation"):
        assert status == 0, log
        assert struck.exists() == (fault in IN_WORKERS), log
    ballast = out.parent / "ballast"
    ballast.unlink(missing_ok=True)
    again = _start(arguments, log=out.parent / "again.log")
    assert again.wait(timeout=PATIENCE) == 0, (out.parent / "again.log").read_text()


def _start(arguments: list[str], *, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _strike(fault: str, driver: subprocess.Popen[bytes], out: Path, nodes: Nodes) -> None:
    if fault == "driver":
        driver.kill()
    elif fault == "terminate":
        driver.terminate()
    elif fault == "raylet":
        nodes.lose_one()
    elif fault == "actor":
        for process in _workers()[:1]:
            os.kill(process, signal.SIGKILL)
    elif fault == "disk":
        with (out.parent / "ballast").open("wb") as file:
            try:
                while True:
                    file.write(b"0" * 65536)
                    file.flush()
            except OSError:
                pass


def _wait_for_shards(driver: subprocess.Popen[bytes], out: Path, *, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(list(out.glob("tables/*/*.parquet"))) < count and driver.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _small_disk(folder: Path) -> Path:
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: this user may not mount")
    return folder


def _memory() -> tuple[int, int]:
    """The machine's memory and how much of it is in use, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    whole, free = kilobytes["MemTotal"], kilobytes["MemAvailable"]
    return 1024 * whole, 1024 * (whole - free)


def _workers() -> list[int]:
    """Processes of actors that hold a model."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::Worker"):
            found.append(int(path.parent.name))
    return sorted(found)


def _all_ended() -> None:
    deadline = time.monotonic() + 30
    while _workers():
        assert time.monotonic() < deadline, "actors outlive their run"
        time.sleep(0.2)

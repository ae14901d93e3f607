"""An engine that dies is replaced and leaves nothing behind; one that is closed frees memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from actors.loading.engine import HOW_TO_INSTALL
from orchestrator import cluster as clusters
from orchestrator.plan import Plan
from orchestrator.storage.store import Store
from orchestrator.workers.events import Event
from orchestrator.workers.worker import Worker
from studies.study import Study
from studies.unit import Unit
from tests.actors.test_engine import MODELS, model
from tests.makers.world import ROOT
from tests.makers.written import SpreadWorker, asked, unit
from tests.orchestrator.storage.test_artifacts import compute

pytestmark = [
    pytest.mark.skipif(find_spec("vllm") is None, reason=f"no vLLM: {HOW_TO_INSTALL}"),
    pytest.mark.vllm,
    pytest.mark.long,
]

LANGUAGES = ("deu_Latn", "fra_Latn", "spa_Latn")
PROMPTS = [f"Anna has {number} cats and" for number in range(400)]
SHARED_MEMORY = Path("/dev/shm")
GIVEN_BACK_MEGABYTES = 100


def units() -> list[Unit]:
    """The second keeps an engine busy for some seconds; texts of the others end at once."""
    facts = model("miniworld-llama")
    sets = [
        asked(*PROMPTS, language=language, max_new_tokens=300, stop=stop)
        for language, stop in zip(LANGUAGES, ((" ",), (), (" ",)), strict=True)
    ]
    return [unit(facts, one) for one in sets]


def plan() -> Plan:
    planned = units()
    facts = planned[0].model
    return Plan(
        study=Study(name="own", models=(), grids=()), models=(facts,), units=tuple(planned),
        totals={facts.label: len(planned)}, done=0, failed=0, rows=len(planned) * len(PROMPTS),
        characters=sum(one.characters for one in planned), notes=(), pins={}, commits={},
    )  # fmt: skip


def children(process: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


def engine_workers(process: int) -> list[int]:
    """The processes of an engine that is spread, as vLLM names them."""
    names = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in children(process)}
    return [one for one, name in names.items() if b"VLLM" in name]


def wait_until(true: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.ray
@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("worker", [Worker, SpreadWorker])
def test_a_killed_engine_is_replaced_and_leaves_nothing(tmp_path: Path, worker: type[Worker]):
    """SIGKILL in the middle of a unit: of the worker that is the engine, or of the engine's own."""
    shared = set(SHARED_MEMORY.iterdir())
    processes: list[int] = []
    submitted: list[str] = []

    def strike(process: int) -> None:
        time.sleep(0.3)
        targets = [process] if worker is Worker else engine_workers(process)
        assert len(targets) == 1
        os.kill(targets[0], signal.SIGKILL)

    class Watched(clusters.RayCluster):
        def submit(self, worker: int, unit: Unit, artifacts) -> None:
            processes.append(self.process(worker))
            processes.extend(children(processes[-1]))
            super().submit(worker, unit, artifacts)
            submitted.append(unit.id)
            if len(submitted) == 2:
                strike(self.process(worker))

    store = Store(tmp_path)
    outcome = compute(plan(), store, Watched("local", device="cpu", worker=worker))
    assert (outcome.cells, outcome.failed) == (len(LANGUAGES), 0)
    assert len(submitted) == len(LANGUAGES) + 1 and len(set(submitted)) == len(LANGUAGES)
    rows = pd.read_parquet(tmp_path / "tables" / "generations")
    assert len(rows) == len(LANGUAGES) * len(PROMPTS)
    assert not rows.duplicated(["key", "item", "sample"]).any()
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in processes))
    wait_until(lambda: set(SHARED_MEMORY.iterdir()) <= shared)


def test_a_killed_worker_takes_the_processes_of_its_engine_along():
    """As Ray ends an actor: SIGKILL, and nobody to clean up."""
    shared = set(SHARED_MEMORY.iterdir())
    code = (
        "import time\n"
        "from actors.engine import Engine\n"
        "from tests.actors.test_engine import model\n"
        "if __name__ == '__main__':\n"
        "    engine = Engine(model('miniworld-llama'), device='spread', threads=1)\n"
        "    print('open', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        theirs = children(process.pid)
        assert engine_workers(process.pid)
        process.kill()
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in theirs))
    wait_until(lambda: set(SHARED_MEMORY.iterdir()) <= shared)


def megabytes() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def one_event(cluster: clusters.InlineCluster) -> Event:
    event = cluster.wait(seconds=0)
    assert event is not None
    return event


def test_three_models_in_one_process_leave_its_memory_as_it_was():
    cluster = clusters.InlineCluster(device="cpu")
    held = []
    for number, name in enumerate(MODELS):
        facts = model(name)
        cluster.open(number, facts, node="", gpus=0)
        assert one_event(cluster).kind == "open"
        cluster.submit(number, unit(facts, asked(*PROMPTS)), {})
        assert len(one_event(cluster).rows) == len(PROMPTS)
        most = megabytes()
        cluster.kill(number)
        held.append(megabytes())
        assert held[-1] < most - GIVEN_BACK_MEGABYTES
    assert held[-1] < held[0] + GIVEN_BACK_MEGABYTES
    cluster.close()


def test_an_engine_that_failed_takes_no_further_unit(monkeypatch: pytest.MonkeyPatch):
    facts = model("miniworld-llama")
    cluster = clusters.InlineCluster(device="cpu")
    cluster.open(0, facts, node="", gpus=0)
    assert one_event(cluster).kind == "open"

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(cluster._actors[0]._engine, "step", fail)
    cluster.submit(0, unit(facts, asked("a")), {})
    event = one_event(cluster)
    assert (event.kind, event.gone) == ("unit_failed", True)
    assert event.error.endswith(
        "vLLM failed while it wrote: RuntimeError: CUDA error: an illegal memory access was "
        "encountered"
    )
    cluster.open(1, facts, node="", gpus=0)
    assert one_event(cluster).kind == "open"
    cluster.submit(1, unit(facts, asked("a")), {})
    assert one_event(cluster).kind == "done"
    cluster.close()

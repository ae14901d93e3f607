"""A Ray cluster of several local nodes: where workers go, and what the death of anything means.

The nodes claim GPUs that this machine may not have: Ray counts them, and under `auto` the models
run on the CPU.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator import cluster as clusters
from orchestrator.workers.events import Event
from studies.kinds.alignment import AlignmentGrid
from studies.models.facts import facts
from studies.spec import Model
from studies.texts import Bitext
from studies.unit import Unit
from tests.makers.units import of_bitexts
from tests.makers.world import ROOT
from tests.orchestrator.workers.test_places import hostile

pytestmark = pytest.mark.ray
MODEL = facts(Model(id="miniworld-llama"))
SECONDS = 90.0
SOON = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}


class Machines(NamedTuple):
    """Ray's own local nodes, and the cluster as the loop sees it."""

    ray: Any
    there: clusters.RayCluster
    two: str
    one: str


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """A head without anything, a node with two GPUs and one with one."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": SOON}
    local = Cluster(initialize_head=True, head_node_args=head)
    local.add_node(num_cpus=1, num_gpus=2)
    local.add_node(num_cpus=1, num_gpus=1)
    there = clusters.RayCluster(local.address, device="auto")
    names = {node.gpus: node.name for node in there.nodes()}
    yield Machines(local, there, names[2], names[1])
    there.close()
    local.shutdown()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "machines" in request.fixturenames:
        cluster = request.getfixturevalue("machines").there
        for worker in range(20):
            cluster.kill(worker)


def unit(*, pairs: int = 4) -> Unit:
    """Alignment of made-up pairs; many of them take a while."""
    texts = tuple(f"{word} is at home" for word in map(str, range(pairs)))
    ids = tuple(map(str, range(pairs)))
    bitext = Bitext(
        dataset="made",
        language="deu_Latn",
        pivot="eng_Latn",
        ids=ids,
        pivot_texts=texts,
        texts=texts,
    )
    grid = AlignmentGrid(dataset="made", languages=("deu_Latn",), pairs=pairs, measures=("mexa",))
    return of_bitexts(grid, MODEL, bitext)


def events(cluster: clusters.Cluster, *, until: int, seconds: float = SECONDS) -> list[Event]:
    """The next events, so many of them."""
    found: list[Event] = []
    deadline = time.monotonic() + seconds
    while len(found) < until:
        assert time.monotonic() < deadline, found
        event = cluster.wait(seconds=1)
        if event is not None:
            found.append(event)
    return found


def quiet(cluster: clusters.Cluster, *, seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if cluster.wait(seconds=0.2) is not None:
            return False
    return True


def script(
    *code: str, cwd: Path = Path("/"), **environment: str
) -> subprocess.CompletedProcess[str]:
    """A driver of its own, as a process has one connection to Ray."""
    return subprocess.run(
        [sys.executable, *code],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment},
        cwd=cwd,
    )


def test_a_head_without_gpus_is_not_worked_on(machines: Machines):
    nodes = machines.there.nodes()
    assert sorted((node.gpus, node.cpus) for node in nodes) == [(1, 1), (2, 1)]
    assert len({node.name for node in nodes}) == 2
    deadline = time.monotonic() + SECONDS
    while machines.there.growing():  # a busy head says late that no machine comes by itself
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_workers_share_gpus_and_a_killed_one_makes_room(machines: Machines):
    """Two halves fill the one GPU: the third waits for one of them; a spread model takes both."""
    there = machines.there
    for worker in (0, 1, 2):
        there.open(worker, MODEL, node=machines.one, gpus=0.5)
    there.open(3, MODEL, node=machines.two, gpus=2)
    opened = {event.worker: event for event in events(there, until=3)}
    assert {event.kind for event in opened.values()} == {"open"}
    assert 3 in opened and len(opened.keys() & {0, 1, 2}) == 2
    assert {worker: event.about["node"] for worker, event in opened.items()} == {
        worker: machines.two if worker == 3 else machines.one for worker in opened
    }
    assert len({event.about["process"] for event in opened.values()}) == 3
    assert quiet(there)
    first, *_ = opened.keys() & {0, 1}
    (waiting,) = {0, 1, 2} - opened.keys()
    there.submit(first, unit(pairs=3000), {})
    there.kill(first)
    (last,) = events(there, until=1)
    assert (last.worker, last.kind) == (waiting, "open"), "and nothing is heard of the killed one"
    there.submit(waiting, unit(), {})
    (done,) = events(there, until=1)
    assert done.kind == "done" and len(done.rows) == len(unit().cells)


def test_a_worker_outlives_what_its_unit_raises_but_not_sigkill(machines: Machines):
    there = machines.there
    there.open(4, MODEL, node=machines.two, gpus=1)
    (opened,) = events(there, until=1)
    there.submit(4, replace(unit(), model=replace(MODEL, weights="others")), {})
    (event,) = events(there, until=1)
    assert (event.kind, event.gone) == ("unit_failed", False)
    assert "send it to an actor that holds that model" in event.error
    there.submit(4, unit(), {})
    assert events(there, until=1)[0].kind == "done"
    there.submit(4, unit(pairs=3000), {})
    os.kill(int(str(opened.about["process"])), signal.SIGKILL)
    (event,) = events(there, until=1)
    assert (event.worker, event.kind, event.gone) == (4, "unit_failed", True)
    assert "died" in event.error and "\n" not in event.error
    assert quiet(there)
    there.submit(4, unit(), {})
    (late,) = events(there, until=1)
    assert (late.kind, late.gone) == ("unit_failed", True), "never a silence"


def test_a_pinned_model_answers_a_person(machines: Machines):
    with clusters.pin("miniworld-llama", cluster=machines.ray.address) as pinned:
        vectors = pinned.extract(["Anna is at home."], poolings=["last"], layers=[1])
        assert vectors.get("resid_post", state="raw", pooling="last", layer=1).shape[0] == 1
        with pytest.raises(ValueError, match="1 sources for 0 items"):
            pinned.patch([], ["one"])
        with pytest.raises(AttributeError, match="it has extract, score"):
            pinned.train()
    assert len(machines.there.nodes()) == 2, "what ends takes nothing of its neighbours along"


def test_a_folder_that_a_node_lacks_is_named(machines: Machines, tmp_path: Path):
    machines.there.open(6, replace(MODEL, folder=str(tmp_path / "x")), node=machines.one, gpus=0.2)
    (event,) = events(machines.there, until=1)
    assert (event.kind, event.gone) == ("open_failed", False)
    assert f"folder {tmp_path / 'x'} does not exist on node {machines.one}" in event.error


def test_nodes_come_and_die(machines: Machines):
    """One joins and works, and its raylet is killed: that is one event, whatever Ray says of it."""
    there = machines.there
    node = machines.ray.add_node(num_cpus=1, num_gpus=1)
    (joined,) = events(there, until=1)
    assert joined.kind == "joined" and joined.node is not None
    assert joined.node in there.nodes()
    there.open(7, MODEL, node=joined.node.name, gpus=1)
    assert events(there, until=1)[0].kind == "open"
    there.submit(7, unit(pairs=100_000), {})
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    (left,) = events(there, until=1)
    assert (left.kind, left.node) == ("left", joined.node), "its worker is lost by this alone"
    assert joined.node not in there.nodes()
    assert quiet(there)
    there.open(8, MODEL, node=joined.node.name, gpus=1)
    (event,) = events(there, until=1)
    assert (event.kind, event.gone) == ("open_failed", True) and "has left" in event.error
    machines.ray.remove_node(node)


ELSEWHERE = """
import orchestrator.entry
import os, sys, time
from orchestrator import cluster as clusters
from studies.models.facts import facts
from studies.spec import Model
model = facts(Model(id="miniworld-llama"))
cluster = clusters.connect({address!r}, device="auto")
(name,) = (node.name for node in cluster.nodes() if node.gpus == 4)
os.rename({code!r}, {code!r} + ".gone")
cluster.open(0, model, node=name, gpus=1)
while (event := cluster.wait(seconds=1)) is None:
    pass
print(event.kind, event.error, event.traceback)
cluster.close()
"""


def test_code_and_embedded_models_reach_a_node_that_has_neither(machines: Machines, tmp_path: Path):
    """The node's Python lacks the packages, and the driver's own copy is gone when it is needed."""
    import ray

    site = Path(ray.__file__).parents[1]
    venv.create(tmp_path / "venv", with_pip=False)
    (bare,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    (bare / "everything_else.pth").write_text(f"{site}\n")  # .pth files inside are not followed
    code = tmp_path / "code"
    for package in ("studies", "actors", "orchestrator", "analysis"):
        shutil.copytree(ROOT / package, code / package)
    python = str(tmp_path / "venv" / "bin" / "python")
    probe = subprocess.run([python, "-c", "import orchestrator"], capture_output=True, cwd="/")
    assert probe.returncode, "the node's Python must not have the packages"
    command = [python, "-m", "ray.scripts.scripts", "start", f"--address={machines.ray.address}"]
    with subprocess.Popen(
        [*command, "--num-cpus=1", "--num-gpus=4", "--block"],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as node:
        try:
            (joined,) = events(machines.there, until=1)
            assert joined.node is not None and joined.node.gpus == 4
            told = tmp_path / "driver.py"
            told.write_text(ELSEWHERE.format(address=machines.ray.address, code=str(code)))
            evil = hostile(tmp_path / "evil")
            driver = script(str(told), cwd=evil, PYTHONPATH=str(code))
            assert driver.stdout.startswith("open "), driver.stdout + driver.stderr
        finally:
            node.terminate()
            node.wait(30)
    assert events(machines.there, until=1)[0].kind == "left"


LOST = """
import json, os, signal, time
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from orchestrator import cluster as clusters
from orchestrator.workers import listing
from studies.models.facts import facts
from studies.spec import Model
listing.LOST_SECONDS = 3.0
clusters.CLOSE_SECONDS = 1.0
local = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
head = GcsClient(address=local.address)
about = json.loads(head.internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster"))
other = json.dumps(about | {"ray_version": "1.2.3"}).encode()
head.internal_kv_put(b"CLUSTER_METADATA", other, True, namespace=b"cluster")
try:
    clusters.connect(local.address, device="auto")
except ValueError as error:
    print("refused:", error)
head.internal_kv_put(b"CLUSTER_METADATA", json.dumps(about).encode(), True, namespace=b"cluster")
try:
    clusters.connect(local.address, device="cuda")
except ValueError as error:
    print("without:", error)
hashes = clusters.code.hashes_here
clusters.code.hashes_here = lambda: hashes() | {"actors": "0" * 64}
try:
    clusters.connect(local.address, device="auto")
except ValueError as error:
    print("other:", error)
clusters.code.hashes_here = hashes
cluster = clusters.connect(local.address, device="auto")
cluster.open(0, facts(Model(id="miniworld-llama")), node=cluster.nodes()[0].name, gpus=0)
while cluster.wait(seconds=1) is None:
    pass
os.kill(local.head_node.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
began = time.monotonic()
try:
    while True:
        assert cluster.wait(seconds=1) is None
except ValueError as error:
    print("lost:", error)
cluster.close()
print("seconds:", time.monotonic() - began)
local.shutdown()
"""


def test_a_wrong_version_no_gpu_and_a_lost_head_are_one_sentence_each():
    driver = script("-c", LOST, PYTHONPATH=str(ROOT))
    said = dict(line.split(": ", 1) for line in driver.stdout.splitlines() if ": " in line)
    import ray

    assert f"runs Ray 1.2.3 on Python {sys.version.split()[0]}" in said["refused"], driver.stderr
    assert f"this process Ray {ray.__version__}" in said["refused"]
    assert "install ray==1.2.3" in said["refused"]
    assert "has no GPU" in said["without"] and "0 GPUs, 1 CPUs" in said["without"]
    assert "package 'actors' is not there as this command has it (000000000000)" in said["other"]
    assert "is lost: its head has not answered" in said["lost"]
    assert float(said["seconds"]) < 30
    assert driver.returncode == 0, driver.stderr

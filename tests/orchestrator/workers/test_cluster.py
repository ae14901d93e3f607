"""Clusters as the run's loop meets them, and the launcher file as Ray reads it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator import cluster as clusters
from orchestrator.scheduling.actions import Node
from orchestrator.workers import address, gpus, worker
from orchestrator.workers.machines import Listed, Machines
from orchestrator.workers.worker import Look
from studies.models.facts import facts
from studies.spec import Model
from tests.makers import world
from tests.makers.world import ROOT, run, same


def test_unknown_clusters_and_devices_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="unknown cluster 'moon': expected one of inline, local"):
        clusters.check("moon", device="cpu")
    with pytest.raises(ValueError, match="unknown device 'tpu': expected auto, cpu, cuda, spread"):
        clusters.check("inline", device="tpu")
    with pytest.raises(ValueError, match="--device cuda:1: this machine shows no GPU"):
        clusters.check("inline", device="cuda:1")
    with pytest.raises(ValueError, match="--device spread with --cluster auto: its workers are"):
        clusters.check("auto", device="spread")
    clusters.check("local", device="auto")
    clusters.check("head:6379", device="cuda")  # the GPUs are there, not here
    clusters.check("ray://head:10001", device="auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    clusters.check("local", device="cuda")


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that gives one answer to whoever speaks to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            stream, _ = server.accept()
            with stream:
                stream.recv(100)
                stream.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_without_ray_is_a_sentence_within_seconds(monkeypatch: pytest.MonkeyPatch):
    """Of our own waiting: Ray would wait for its head for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(ValueError, match=f"--cluster {nobody}: nothing answers at {nobody}"):
        clusters.connect(nobody, device="auto")
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(ValueError, match=r"--cluster auto: no Ray cluster runs here .*`ray start"):
        clusters.connect("auto", device="auto")
    with (
        answering(b"HTTP/1.1 400 Bad Request\r\n") as dashboard,
        pytest.raises(ValueError, match=r"is not Ray's port for drivers .*8265 is the dashboard"),
    ):
        clusters.connect(dashboard, device="auto")
    assert time.monotonic() - began < 45


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "OutOfMemoryError: 7 worker(s) were killed due to the node running low on memory. Mem",
            "OutOfMemoryError: node n ran low on memory, and Ray killed the worker",
        ),
        (
            "ActorDiedError: The actor died unexpectedly before finishing this task.\nThe actor "
            "died because its node has died. Node Id: 0aca6a05",
            "NodeDiedError: node n died",
        ),
        (
            "ActorUnavailableError: The actor 1 is unavailable: The actor is temporarily "
            "unavailable: IOError: rpc error. The task may or may not have been executed",
            "ActorUnavailableError: no connection to the worker on node n",
        ),
        (
            "ActorDiedError: The actor died unexpectedly.\nThe actor is dead because its worker "
            "process has died. Worker exit type: SYSTEM_ERROR, one cause: the OOM killer",
            "WorkerCrashedError: the worker on node n died: The actor is dead because its worker",
        ),
    ],
)
def test_a_death_is_told_in_one_line(text: str, reason: str):
    told = address.death(text, node="n")
    assert told.startswith(reason)
    assert "\n" not in told


def test_gpus_are_read_as_their_driver_tells():
    found = gpus.parse("35, 1024, 81559\n[N/A], 5, 40960\n")
    assert found == (
        gpus.GpuUse(0.35, 1 << 30, 81559 << 20),
        gpus.GpuUse(0.0, 5 << 20, 40960 << 20),
    )


def listed(name: str, *, gpus: int = 0, cpus: int = 1, host: str = "host") -> Listed:
    return Listed(id=name * 10, host=host, gpus=gpus, cpus=cpus)


def test_machines_come_and_go_under_names_of_their_own():
    head, one, two = listed("h", host="head"), listed("a", gpus=1), listed("b", gpus=2)
    machines = Machines(device="auto")
    nothing = Look(gpus=(), lacks=())
    size = Look(gpus=(gpus.GpuUse(0, 0, 80), gpus.GpuUse(0, 0, 40)), lacks=())
    for there in machines.arrived([head, one, two]):
        machines.looked_at(there.id, size if there == two else nothing)
    machines.settle()
    first, second = Node("host", 1, 1, 0), Node("host-bbbbbbbb", 2, 1, 40)
    assert machines.nodes() == (first, second), "the head is of no use; the smaller GPU counts"
    assert machines.arrived([head, one, two]) == []
    assert machines.departed([head, two]) == [first]
    (back,) = machines.arrived([head, two, again := listed("c", gpus=1)])
    assert back == again
    assert machines.looked_at(again.id, nothing) == Node("host-cccccccc", 1, 1)
    machines.arrived([bare := listed("d", gpus=1, host="bare")])
    assert machines.looked_at(bare.id, Look(gpus=(), lacks=("torch",))) is None
    assert "bare: 1 GPUs, 1 CPUs, lacks torch: install babelscope there" in machines.told()


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", (0, 3)), ("cuda", None), ("auto", (0, 3))]
)
def test_a_machine_without_gpus_serves_every_device_but_cuda(device: str, expected):
    machines = Machines(device=device)
    machines.arrived([there := listed("a", cpus=3)])
    node = machines.looked_at(there.id, Look(gpus=(), lacks=()))
    assert (node and (node.gpus, node.cpus)) == expected


def test_a_model_is_loaded_once_its_predecessor_has_ended():
    process = subprocess.Popen(["sleep", "60"])
    with pytest.raises(ValueError, match=f"process {process.pid}, which held the previous model"):
        worker.wait_for_end([process.pid], seconds=0.1)
    process.kill()
    worker.wait_for_end([process.pid], seconds=60)  # a zombie has given back its memory
    process.wait()
    worker.wait_for_end([process.pid], seconds=0)


def test_an_embedded_model_is_found_where_the_packages_lie_here():
    model = facts(Model(id="miniworld-llama"))
    inside = Path(model.folder).relative_to(worker.studies_folder())
    theirs = replace(model, folder=f"/far/away/studies/{inside}")
    here = worker.found_here(theirs, origin="/far/away/studies", node="n")
    assert here == model
    with pytest.raises(ValueError, match=r"folder /far/away/studies.* does not exist on node n"):
        worker.found_here(theirs, origin="/elsewhere", node="n")
    hub = replace(model, folder="org/model", commit="abc")
    assert worker.found_here(hub, origin="/elsewhere", node="n") == hub


def test_the_inline_cluster_holds_a_person_s_model_too():
    with clusters.pin("miniworld-llama", cluster="inline", device="cpu") as pinned:
        vectors = pinned.extract(["Anna is at home."], poolings=["last"], layers=[1])
        assert vectors.get("resid_post", state="raw", pooling="last", layer=1).shape[0] == 1
    with pytest.raises(ValueError, match="unknown model 'nowhere'"):
        clusters.pin("nowhere", cluster="inline")


@pytest.mark.ray
def test_ray_accepts_the_launcher_file():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    with pytest.raises(Exception, match="head_node_type"):
        validate_config({**config, "head_node_type": "moon"})


def mine(session: str) -> list[str]:
    """Ray's processes of one driver, found by the folder they work in."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if session in line:
            found.append(line)
    return found


@pytest.mark.ray
def test_a_killed_driver_leaves_no_process_and_loses_nothing(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SIGKILL of a driver on real Ray, in the middle of its units; then the same command again."""
    out = tmp_path / "run"
    session = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # socket paths must be short
    code = (
        "import orchestrator.plan as plan; plan.UNIT_CHARACTERS = 1\n"
        "from orchestrator.__main__ import main; main()"
    )
    arguments = world.arguments(root, out, "--workers", "2", models=world.models())
    arguments[arguments.index("inline")] = "local"
    driver = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "RAY_TMPDIR": session},
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("tables/*/*.parquet")):
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.002)
    assert mine(session), "Ray's processes are recognised while they live"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    left = len(list(out.glob("tables/*/*.parquet")))
    deadline = time.monotonic() + 60
    while mine(session):
        assert time.monotonic() < deadline, mine(session)
        time.sleep(0.2)
    shutil.rmtree(session)
    monkeypatch.setattr("orchestrator.plan.UNIT_CHARACTERS", 1)
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert len(list(out.glob("tables/*/*.parquet"))) > left
    same(out, undisturbed)

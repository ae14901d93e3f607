"""Clusters as the run's loop meets them, and the launcher file as Ray reads it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from orchestrator import cluster as clusters
from tests import world
from tests.world import ROOT, run, same


def test_unknown_clusters_and_devices_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="unknown cluster 'moon': expected one of inline, local"):
        clusters.check("moon", device="cpu")
    with pytest.raises(ValueError, match="unknown device 'tpu': expected auto, cpu, cuda or cuda:"):
        clusters.check("inline", device="tpu")
    with pytest.raises(ValueError, match="--device cuda:1: this machine shows no GPU"):
        clusters.check("inline", device="cuda:1")
    clusters.check("local", device="auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    clusters.check("local", device="cuda")


def test_workers_are_as_many_as_there_is_work_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert clusters.default_workers("auto", models=9, units=50) == 3
    assert clusters.default_workers("cpu", models=9, units=50) == 8
    assert clusters.default_workers("cpu", models=2, units=2) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert clusters.default_workers("auto", models=1, units=5) == 5


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

"""Ends that a watch is given: by SLURM before its time is over, and by those who tell everybody."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from orchestrator.watching.processes import LATE_SECONDS
from tests.makers.world import ROOT

SCRIPT = ROOT / "docs" / "deploy" / "watch.sbatch"
NOTED = '#!/bin/sh\necho "$(basename "$0") $*" >> "$NOTES"\n'
# A watch that is told to end takes a moment, as a unit does that is running.
WATCH = """
told=0
trap 'told=$((told + 1)); echo told >> "$NOTES"' TERM
[ "$STUB_SECONDS" = 0 ] && exit "$STUB_STATUS"
for _ in $(seq "$STUB_SECONDS"); do
    sleep 1 & wait $!
    [ "$told" = 0 ] || { sleep 2; exit 130; }
done
"""


@pytest.fixture
def node(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on a node whose SLURM and babelscope only take notes."""
    programs = tmp_path / "programs"
    activate = tmp_path / "babelscope" / ".venv" / "bin" / "activate"
    programs.mkdir()
    activate.parent.mkdir(parents=True)
    activate.write_text(f'export PATH="{programs}:$PATH"\n')
    stubs = {"sbatch": "", "scontrol": "", "squeue": 'echo "$STUB_PENDING"\n', "babelscope": WATCH}
    for name, does in stubs.items():
        (programs / name).write_text(NOTED + does)
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NOTES": str(tmp_path / "notes"),
        "SLURM_JOB_NAME": "babelscope-watch",
        "STUB_PENDING": "",
        "STUB_SECONDS": "0",
        "STUB_STATUS": "0",
    }


def notes(node: dict[str, str]) -> list[str]:
    path = Path(node["NOTES"])
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


@pytest.mark.parametrize("status", [0, 1])
def test_a_slurm_job_looks_and_there_is_a_next_one(node: dict[str, str], status: int):
    node["STUB_STATUS"] = str(status)
    ended = subprocess.run(["bash", str(SCRIPT)], env=node, check=False)
    assert ended.returncode == status
    asked, submitted, looked = notes(node)
    assert asked.startswith("squeue --me") and "--states=PENDING" in asked
    assert submitted == f"sbatch --begin=now+6hours {SCRIPT}"
    assert looked.startswith("babelscope watch neuronxa --once --model ")
    assert f"--out {node['HOME']}/curve" in looked


def test_a_slurm_job_that_is_begun_again_submits_no_second_next(node: dict[str, str]):
    node["STUB_PENDING"] = "77"
    assert subprocess.run(["bash", str(SCRIPT)], env=node, check=False).returncode == 0
    assert [note.split()[0] for note in notes(node)] == ["squeue", "babelscope"]


def test_a_slurm_job_whose_time_is_over_ends_its_watch_and_goes_on_in_the_next(
    node: dict[str, str],
):
    node |= {"STUB_PENDING": "77", "STUB_SECONDS": "60"}
    with subprocess.Popen(["bash", str(SCRIPT)], env=node) as job:
        while not any(note.startswith("babelscope") for note in notes(node)):
            time.sleep(0.05)
        time.sleep(0.5)
        for _ in range(2):  # `--signal=B:TERM@60` tells the script alone, `scancel` once more
            job.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert job.wait(timeout=20) == 130
    assert notes(node)[2:] == [
        *["told"] * 2,
        next(note for note in notes(node) if note.startswith("squeue")),
        "scontrol update JobId=77 StartTime=now",
    ]


@pytest.mark.long
@pytest.mark.parametrize("everybody", [False, True], ids=["its-process", "all-processes"])
def test_a_watch_that_is_told_to_end_ends_in_time_and_continues(everybody: bool, tmp_path: Path):
    """Also where each of its processes is told, as SLURM and Ray do it."""
    store = tmp_path / "store"
    command = [
        *(sys.executable, "-P", "-m", "orchestrator", "watch", "neuronxa", "--once"),
        *("--model", "miniworld-llama", "--parallel", "miniworld", "--measure", "nasca"),
        *("--benchmark", "mini_belebele", "--language", "deu_Latn,fra_Latn,swh_Latn"),
        *("--cluster", "inline", "--no-report", "--out", str(store)),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def states() -> set[str]:
        path = store / "watch.json"
        content = json.loads(path.read_text()) if path.is_file() else {"checkpoints": []}
        return {record["state"] for record in content["checkpoints"]}

    def shards() -> list[Path]:
        return list((store / "tables").rglob("*.parquet")) if store.is_dir() else []

    def keys() -> list[str]:
        """The cells of each shard."""
        tables = [pd.read_parquet(shard, columns=["key"]) for shard in shards()]
        return [key for table in tables for key in table.key.unique()]

    with subprocess.Popen(command, env=environment, start_new_session=True) as watch:
        while not shards():  # the first unit is done, the second goes on
            assert watch.poll() is None
            time.sleep(0.05)
        processes = [psutil.Process(watch.pid), *psutil.Process(watch.pid).children(recursive=True)]
        assert len(processes) >= 3, "the watch, who guards, and the run"
        began = time.monotonic()
        for process in processes if everybody else processes[:1]:
            process.send_signal(signal.SIGTERM)
        assert watch.wait(timeout=120) == 130
        assert time.monotonic() - began < LATE_SECONDS
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive
    assert states() == {"ready"}
    before = keys()
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert states() == {"done"}
    now = keys()
    assert len(now) == len(set(now)), "no cell is in two shards"
    assert set(before) < set(now)

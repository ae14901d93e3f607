"""Commands beside a watch end with it, whatever ends it, and say how they ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.signals import Wish
from orchestrator.watching import processes
from orchestrator.watching.processes import run
from tests.makers.world import ROOT

# A command with a child of its own; both write their numbers down.
FAMILY = "echo $$ >> {0}; sleep 60 & echo $! >> {0}; wait"
ASKER = (
    "import sys; from orchestrator.watching.processes import run; run(['sh', '-c', sys.argv[1]])"
)


def lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def numbers(path: Path, count: int) -> list[int]:
    end = time.monotonic() + 30
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < end
        time.sleep(0.02)
    return [int(one) for one in path.read_text().split()]


def wait_for_end(processes: list[int]) -> None:
    end = time.monotonic() + 10
    while any(map(lives, processes)):
        assert time.monotonic() < end, "a process outlives its watch"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_watch_takes_its_command_and_that_ones_children_along(
    number: signal.Signals, tmp_path: Path
):
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, FAMILY.format(tmp_path / "numbers")], cwd=ROOT
    )
    family = numbers(tmp_path / "numbers", 2)
    assert all(map(lives, family))
    asker.send_signal(number)
    asker.wait()
    wait_for_end(family)


def test_a_command_ends_with_its_guard_too(tmp_path: Path):
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, f"echo $$ > {tmp_path}/numbers; exec sleep 60"], cwd=ROOT
    )
    family = numbers(tmp_path / "numbers", 1)
    parent = int(Path(f"/proc/{family[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    wait_for_end(family)
    assert asker.wait(timeout=10) == 0


def test_how_a_command_ended_is_said():
    ended = run(["sh", "-c", "echo out; echo 'error: it is so' >&2; echo more >&2; exit 2"],
                keep_output=True)  # fmt: skip
    assert (ended.status, ended.output, ended.sentence) == (2, "out\n", "it is so")
    assert run(["sh", "-c", "kill -9 $$"]).sentence == (
        "its process was ended by signal 9, as happens when memory runs out"
    )
    assert run(["sh", "-c", "exit 3"]).sentence == "it ended with status 3: it said nothing"
    assert "No such file" in run(["/nowhere/at/all"]).sentence


def test_a_wish_to_end_is_handed_on_and_then_enforced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wish = Wish()
    wish.ask()
    forever = "while :; do sleep 0.05; done"
    line = f"trap 'echo told > {tmp_path}/told; exit 130' TERM; {forever}"
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.5)  # time for the shell to set its trap
    ended = run(["sh", "-c", line], wish=wish)
    assert ended.interrupted and ended.status == 130 and (tmp_path / "told").exists()
    monkeypatch.setattr(processes, "LATE_SECONDS", 0.5)
    ended = run(["sh", "-c", f"trap '' TERM; {forever}"], wish=wish)
    assert ended.interrupted and ended.status == 128 + signal.SIGKILL


def test_a_command_has_its_time():
    began = time.monotonic()
    ended = run(["sleep", "60"], seconds=0.3)
    assert ended.late and not ended.interrupted and time.monotonic() - began < 20

"""The loop's own duties: hung units, signals, a status for others."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.showing.snapshot import Progress, Snapshot
from orchestrator.showing.status_page import render
from orchestrator.signals import Interrupted, listening
from studies.unit import Unit
from tests.makers import world
from tests.makers.world import ROOT, run, same

# A shell's background job, such as a whole run of the tests, is started with Ctrl-C ignored.
SLOW = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import time, orchestrator.plan as plan; plan.UNIT_CHARACTERS = 1\n"
    "import orchestrator.workers.inline as inline\n"
    "wait = inline.InlineCluster.wait\n"
    "def slowly(self, *, seconds):\n"
    "    time.sleep(0.3)\n"
    "    return wait(self, seconds=seconds)\n"
    "inline.InlineCluster.wait = slowly\n"
    "from orchestrator.__main__ import main; main()"
)


def start(arguments: list[str], *, code: str = SLOW) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_shards(process: subprocess.Popen[str], out: Path, *, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("tables/*/*.parquet"))) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_running_unit_finish_and_the_same_command_continues(
    root: Path, undisturbed: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    arguments = world.arguments(root, out, models=world.models())
    process = start(arguments)
    wait_for_shards(process, out, count=2)
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "the same command continues" in shown
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert 0 < status["done"] < status["cells"]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    same(out, undisturbed)
    assert json.loads((out / "status.json").read_text())["state"] == "finished"


def test_status_tells_from_another_shell_how_far_a_run_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    out = tmp_path / "run"
    process = start(world.arguments(root, out, models=world.models()))
    try:
        wait_for_shards(process, out, count=3)
        deadline = time.monotonic() + 60
        while json.loads((out / "status.json").read_text())["done"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert run("status", str(out), monkeypatch=monkeypatch) == 0
        shown = capsys.readouterr().out
        assert "held by" in shown
        assert str(process.pid) in shown
        assert "running:" in shown
        assert "llama-0-256" in shown
        page = (out / "status.html").read_text(encoding="utf-8")
        assert 'http-equiv="refresh"' in page
        assert "llama-0-256" in page
    finally:
        process.kill()
        process.communicate()
    assert run("status", str(out), monkeypatch=monkeypatch) == 0


def test_a_hung_unit_is_ended_and_done_elsewhere(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first unit never comes back: its deadline passes, its worker is ended."""
    import orchestrator.workers.inline as inline
    from orchestrator.scheduling import schedule

    class Hung(inline.InlineCluster):
        swallowed = 0
        killed = 0

        def submit(self, worker: int, unit: Unit, artifacts: Mapping[str, bytes]) -> None:
            if not Hung.swallowed:
                Hung.swallowed = worker + 1
                return
            super().submit(worker, unit, artifacts)

        def kill(self, worker: int) -> None:
            Hung.killed += worker + 1 == Hung.swallowed
            super().kill(worker)

    late = schedule.Schedule.overdue

    def soon(self: schedule.Schedule, *, now: float) -> list[int]:
        return late(self, now=now + 1e6) if Hung.swallowed and not Hung.killed else []

    monkeypatch.setattr("orchestrator.cluster.InlineCluster", Hung)
    monkeypatch.setattr(schedule.Schedule, "overdue", soon)
    out = tmp_path / "run"
    assert run(*world.arguments(root, out, models=world.models()), monkeypatch=monkeypatch) == 0
    assert Hung.killed == 1
    same(out, undisturbed)


@pytest.fixture
def listened() -> Iterator[None]:
    """Ctrl-C as it is in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listened")
def test_signals_fill_a_wish_and_a_second_one_interrupts():
    before = signal.getsignal(signal.SIGTERM)
    with listening() as wish:
        assert not wish.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert wish.asked
        assert not wish.overdue
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("listened")
def test_a_signal_that_everybody_gets_and_hands_on_is_one_wish():
    with listening() as wish:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert wish.asked
        assert not wish.overdue
        wish.ask(seconds=-1)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)


def progress() -> Progress:
    return Progress(
        study="s",
        totals={"small": 100, "large": 100},
        missing={"small": 100, "large": 50},
        failed_before={},
        work={"small": 10.0, "large": 90.0},
        units=10,
        started=1000.0,
    )


def test_time_left_follows_the_work_and_not_the_count():
    at = progress()
    assert at.snapshot(now=1000).seconds_left is None
    at.loading(0, model="small", node="n", gpus=1, now=1000)
    at.loaded(0, now=1010)
    at.working(0, now=1010)

    class Unit:
        class model:  # noqa: N801
            label = "small"

        cells = (None,) * 100

    at.done(0, Unit(), work=10.0)  # type: ignore[arg-type]
    at.idle(0, now=1020)
    shown = at.snapshot(now=1020)
    assert (shown.done, shown.cells, shown.units_done) == (150, 200, 1)
    # A tenth of the work took ten seconds.
    assert shown.seconds_left == pytest.approx(90)
    assert [model.rate for model in shown.models] == [10.0, 0.0]
    assert shown.models[0].seconds_left == 0
    assert shown.models[1].seconds_left is None
    assert Snapshot.of_json(json.loads(json.dumps(asdict(shown)))) == shown
    with pytest.raises(ValueError, match=r"status\.json does not hold"):
        Snapshot.of_json({"models": []})


def test_one_long_cell_counts_for_more_than_many_short_ones():
    at = progress()
    for worker, (cells, work) in enumerate([(1, 45.0), (30, 5.0)]):
        at.loading(worker, model="large", node="n", gpus=1, now=1000)
        at.loaded(worker, now=1000)
        at.working(worker, now=1000)
        at.done(worker, long_or_short(cells), work=work)  # type: ignore[arg-type]
    shown = at.snapshot(now=1100)
    # Half of all work and five ninths of the model's took 100 seconds.
    assert shown.seconds_left == pytest.approx(100)
    assert shown.models[1].seconds_left == pytest.approx(80)
    at.failed("large", 19)
    assert at.snapshot(now=1100).models[1].seconds_left == 0


def long_or_short(cells: int) -> object:
    return SimpleNamespace(model=SimpleNamespace(label="large"), cells=(None,) * cells)


def test_the_page_reads_itself_again_until_the_end():
    at = progress()
    at.failed("large", 3)
    page = render(at.snapshot(now=1060), root="/runs/<a>")
    assert 'http-equiv="refresh"' in page
    assert "&lt;a&gt;" in page
    assert "1 min 00 s" in page
    at.state = "finished"
    page = render(at.snapshot(now=1060), root="/runs/a")
    assert 'http-equiv="refresh"' not in page
    assert "report/index.html" in page

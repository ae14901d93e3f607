"""One run at a time: races, deaths and pauses of holders, on this machine and on another."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.storage import lease as leases
from orchestrator.storage import process
from orchestrator.storage.files import Files
from orchestrator.storage.lease import Lease, LeaseLostError, holder
from orchestrator.storage.process import Process
from orchestrator.storage.store import Store
from tests.makers.stored import files, fill
from tests.makers.world import ROOT

HOLD = (
    "import sys, time; from orchestrator.storage.store import Store\n"
    "with Store(sys.argv[1]).lock(): print('held', flush=True); time.sleep(float(sys.argv[2]))"
)
# Everyone tries every store at the same moment; who gets it holds it for a while.
RACE = """
import json, sys, time
from orchestrator.storage import files, lease
from orchestrator.storage.store import Store
stores, start, flock = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "flock"
lease.BEAT_SECONDS, lease.READ_BACK_SECONDS = 0.2, 0.1
if not flock:
    files.fcntl.flock = lambda *_: None
for number, store in enumerate(stores):
    time.sleep(max(0, start + 0.7 * number - time.time()))
    try:
        with Store(store).lock():
            began = time.time()
            time.sleep(0.3)
            print(json.dumps([number, began, time.time()]), flush=True)
    except ValueError as error:
        print(json.dumps([number, str(error)]), flush=True)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def race(stores: list[str], *, flock: bool, racers: int = 3) -> None:
    """Let processes race for stores and check that each was held, and by one at a time."""
    begin = str(time.time() + 2)
    arguments = (json.dumps(stores), begin, "flock" if flock else "none")
    running = [start(RACE, *arguments) for _ in range(racers)]
    held: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(stores))}
    for each in running:
        out, problem = each.communicate(timeout=60)
        assert each.returncode == 0, problem
        for line in out.splitlines():
            number, *rest = json.loads(line)
            if len(rest) == 2:
                held[number].append((rest[0], rest[1]))
            else:
                assert "is in use by" in rest[0] and "choose another --out" in rest[0]
    for spans in held.values():
        assert spans, "somebody gets it"
        ordered = sorted(spans)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(ordered))


@pytest.mark.parametrize("flock", [True, False], ids=["flock", "lease alone"])
def test_of_processes_that_race_one_wins(tmp_path: Path, flock: bool):
    race([str(tmp_path / str(number)) for number in range(3)], flock=flock)
    assert {Path(name).name for name in files(tmp_path)} <= {"run.lock"}


def test_of_two_that_see_each_other_the_smaller_goes_first(tmp_path: Path):
    both = sorted((Lease(Files(tmp_path)) for _ in range(2)), key=lambda lease: lease.id)
    for lease in both:
        Lease._own.add(lease.id)
        lease._put(holds=False)
    first, second = both
    waiting = threading.Thread(target=first._win)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive(), "the other might hold it by now: wait for its answer"
    with pytest.raises(ValueError, match="is in use by"):
        second._win()
    second._remove()
    waiting.join(1)
    assert not waiting.is_alive()
    first._remove()


def test_a_second_run_is_told_who_has_the_store_and_since_when(tmp_path: Path):
    store = Store(tmp_path / "run")
    with store.lock():
        other = start(HOLD, str(store.files.local), "0")
        _, problem = other.communicate(timeout=60)
        assert other.returncode != 0
        expected = f"{store.files.local} is in use by {process.here().user} on "
        assert expected in problem
        assert f"process {os.getpid()}, since 20" in problem
        assert str(store.holder()) in problem
    assert store.holder() is None
    free = start(HOLD, str(store.files.local), "0")
    assert free.communicate(timeout=60) == ("held\n", "")


@pytest.mark.parametrize("flock", [True, False], ids=["flock", "lease alone"])
def test_a_killed_holder_is_recognised_at_once(
    tmp_path: Path, flock: bool, monkeypatch: pytest.MonkeyPatch
):
    if not flock:
        monkeypatch.setattr("orchestrator.storage.files.fcntl.flock", lambda *_: None)
    store = Store(tmp_path)
    other = start(HOLD, str(tmp_path), "60")
    assert other.stdout and other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"process {other.pid}"), store.lock():
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    monkeypatch.setattr(leases, "BEAT_SECONDS", 60.0)
    began = time.monotonic()
    with store.lock():
        assert time.monotonic() - began < leases.BEAT_SECONDS, "no heartbeat is waited for"
        assert len(files(tmp_path / "leases")) == 1
    assert files(tmp_path) == set()


def test_a_stopped_process_of_this_machine_keeps_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It may go on at any moment, so no age makes its lease stale."""
    monkeypatch.setattr("orchestrator.storage.files.fcntl.flock", lambda *_: None)
    other = start(HOLD, str(tmp_path), "60")
    assert other.stdout and other.stdout.readline() == "held\n"
    other.send_signal(signal.SIGSTOP)
    (path,) = tmp_path.glob("leases/*.json")
    os.utime(path, (0, 0))
    with pytest.raises(ValueError, match=f"process {other.pid}"), Store(tmp_path).lock():
        pass
    other.kill()
    other.wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.6)


def on(host: str, where: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """A lease as a process of another machine would take it."""
    there = Process(user="ada", host=host, number=17, machine=f"{host} x", born=1)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "here", lambda: there)
        return Lease(Files(where))


def pause(lease: Lease) -> None:
    """The whole process stands still, heartbeat and all."""
    lease._stop.set()
    lease._thread.join()


def age(path: Path, seconds: float) -> None:
    there = path.stat().st_mtime - seconds
    os.utime(path, (there, there))


def test_a_lease_of_another_machine_counts_until_it_is_stale_by_the_stores_clock(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    dead = on("node7", tmp_path, monkeypatch)
    dead.acquire()
    pause(dead)
    (path,) = tmp_path.glob("leases/*.json")
    # Its own clock is a year ahead: nobody asks it.
    said = json.loads(path.read_text()) | {"heartbeat": "2099-01-01 00:00:00+00:00"}
    path.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"in use by ada on node7, process 17, since 20"):
        on("node8", tmp_path, monkeypatch).acquire()
    assert str(holder(Files(tmp_path))).startswith("ada on node7")
    age(path, 1)
    heir = on("node8", tmp_path, monkeypatch)
    heir.acquire()
    assert files(tmp_path) == {f"leases/{heir.id}.json"}
    dead._beat()
    with pytest.raises(LeaseLostError, match=r"was taken over by ada on node8.*what was computed"):
        dead.check()
    heir.check()
    heir.release()


def test_a_holder_that_was_only_slow_stops_before_its_heir_begins(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    """It wakes while the heir, having removed its lease, waits for just that."""
    slow, heir = on("node7", tmp_path, monkeypatch), on("node8", tmp_path, monkeypatch)
    slow.acquire()
    pause(slow)
    age(tmp_path / "leases" / f"{slow.id}.json", 1)
    woken: list[str] = []
    sleep = time.sleep

    def wake(seconds: float) -> None:
        sleep(seconds / 2)
        slow._beat()
        woken.append(slow._lost)
        sleep(seconds / 2)

    with monkeypatch.context() as patch:
        patch.setattr(leases.time, "sleep", wake)
        heir.acquire()
    assert woken and "taken over" in woken[0]
    heir.release()


def test_a_lease_that_its_lost_owner_wrote_again_is_removed_and_the_heir_stays(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    """The pause fell between the look and the write of a heartbeat."""
    slow, heir = on("node7", tmp_path, monkeypatch), on("node8", tmp_path, monkeypatch)
    slow.acquire()
    pause(slow)
    age(tmp_path / "leases" / f"{slow.id}.json", 1)
    heir.acquire()
    slow._put(holds=True)
    assert len(files(tmp_path)) == 2
    slow._beat()
    with pytest.raises(LeaseLostError, match="node8"):
        slow.check()
    heir._beat()
    heir.check()
    assert files(tmp_path) == {f"leases/{heir.id}.json"}
    with pytest.raises(ValueError, match="in use by ada on node8"):
        on("node9", tmp_path, monkeypatch).acquire()
    heir.release()


def test_a_run_that_lost_its_store_writes_no_more(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.storage.files.fcntl.flock", lambda *_: None)
    store = Store(tmp_path)
    with pytest.raises(LeaseLostError, match="was taken over by"), store.lock():  # noqa: PT012
        kept = fill(store, 2)
        (path,) = tmp_path.glob("leases/*.json")
        path.unlink()
        deadline = time.monotonic() + 60
        while store._lease and not store._lease._lost:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = files(tmp_path)
        for write in (
            lambda: fill(store, 1, start=5),
            lambda: store.write_manifest({}),
            lambda: store.write_status({}),
            lambda: store.write_artifact("a", b""),
            lambda: store.compact(min_shards=1),
        ):
            with pytest.raises(LeaseLostError) as refused:
                write()
            assert "\n" not in str(refused.value)
        assert files(tmp_path) == before
        fill(store, 1, start=5)
    assert store.keys() == kept
    assert Store(tmp_path).holder() is None


def test_after_a_long_sleep_the_lease_is_looked_at_before_the_next_write(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    """The machine slept, and the heartbeat has had no turn yet."""
    asleep = on("node7", tmp_path, monkeypatch)
    asleep.acquire()
    pause(asleep)
    (tmp_path / "leases" / f"{asleep.id}.json").unlink()
    asleep.check()
    monkeypatch.setattr(leases, "_clock", lambda: asleep._beaten + 100)
    with pytest.raises(LeaseLostError):
        asleep.check()


def test_the_heart_beats_and_stops_with_the_lock(tmp_path: Path, quick: None):
    store = Store(tmp_path)

    def beats() -> float:
        (path,) = tmp_path.glob("leases/*.json")
        return path.stat().st_mtime

    with store.lock():
        first, deadline = beats(), time.monotonic() + 60
        while beats() == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        said = json.loads(next(tmp_path.glob("leases/*.json")).read_text())
        assert said["process"]["number"] == os.getpid() and said["holds"]
    assert files(tmp_path) == set()
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_store_that_does_not_answer_for_a_while_is_not_lost(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    held = on("node7", tmp_path, monkeypatch)
    held.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(Files, "entries", lambda *_, **__: (_ for _ in ()).throw(OSError("away")))
        time.sleep(0.3)
    time.sleep(0.3)
    held.check()
    assert held._thread.is_alive()
    held.release()


def test_a_lease_that_cannot_be_read_counts_until_it_is_stale(tmp_path: Path, quick: None):
    path = tmp_path / "leases" / "0.json"
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ValueError, match="in use by someone on an unknown host"):
        Lease(Files(tmp_path)).acquire()
    age(path, 1)
    mine = Lease(Files(tmp_path))
    mine.acquire()
    mine.release()


def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("orchestrator.storage.files.fcntl.flock", unknown)
    with Store(tmp_path).lock(), pytest.raises(ValueError, match="in use by"):  # noqa: SIM117
        with Store(tmp_path).lock():
            pass


def test_processes_are_told_apart_though_numbers_are_used_again():
    me = process.here()
    assert process.running(me) is True
    assert process.running(Process(**{**vars_of(me), "born": me.born + 1})) is False
    assert process.running(Process(**{**vars_of(me), "machine": "another"})) is None
    done = subprocess.Popen([sys.executable, "-c", ""])
    gone = Process(**{**vars_of(me), "number": done.pid})
    done.wait()
    assert process.running(gone) is False


def vars_of(one: Process) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__slots__}

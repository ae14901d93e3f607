"""A watch whose clock and evaluations are the test's: what is evaluated, when, and how often."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.watching import loop
from orchestrator.watching.evaluate import Evaluation, Outcome
from orchestrator.watching.loop import Watch
from orchestrator.watching.processes import Ended
from orchestrator.watching.rules import LONGEST_RETRY_SECONDS, RETRY_SECONDS, pause
from tests.makers import folders as files
from tests.makers.watched import STUDY, WEIGHTS, World, checkpoint, request

HOUR = 3600.0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def training(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for step in (5, 10, 20):
        checkpoint(run / f"checkpoint-{step}", seed=step)
    return run


def every(training: Path, *more: str) -> tuple[str, ...]:
    return ("--model", str(training), "--every", "1h", *more)


def test_each_is_evaluated_once_the_newest_first(world: World, training: Path):
    world.clock.plan(0.5 * HOUR, lambda: checkpoint(training / "checkpoint-30", seed=30))
    assert world.until(3.2 * HOUR, *every(training)) == loop.INTERRUPTED
    assert world.evaluated == ["checkpoint-20", "checkpoint-10", "checkpoint-5", "checkpoint-30"]
    assert set(world.states().values()) == {"done"}
    one = world.records["checkpoint-10"]
    assert (one.step, one.model, one.revision) == (10, "run", "checkpoint-10")
    assert one.identity and one.date and one.finished and one.told == ""
    assert world.until(10 * HOUR, *every(training)) == loop.INTERRUPTED
    assert len(world.evaluated) == 4, "another watch of the same store does nothing again"


def test_the_oldest_first(world: World, training: Path):
    world.run("--model", str(training), "--once", "--order", "oldest")
    assert world.evaluated == ["checkpoint-5", "checkpoint-10", "checkpoint-20"]


def test_once_looks_twice_at_what_is_new_and_ends(world: World, training: Path):
    assert world.run("--model", str(training), "--once") == 0
    assert len(world.evaluated) == 3 and world.clock.time < 60
    assert world.run("--model", str(training), "--once") == 0
    assert len(world.evaluated) == 3


def test_once_does_not_wait_for_a_writer(world: World, training: Path):
    for moment in range(1, 100):
        world.clock.plan(moment, lambda: files.touch(training / "checkpoint-20" / WEIGHTS))
    assert world.run("--model", str(training), "--once") == 0
    assert world.evaluated == ["checkpoint-10", "checkpoint-5"]
    assert world.records["checkpoint-20"].reason == "it is evaluated once nothing changes for 10 s"


def test_only_steps_that_are_multiples(world: World, training: Path):
    world.run("--model", str(training), "--once", "--nth", "10")
    assert sorted(world.evaluated) == ["checkpoint-10", "checkpoint-20"]
    assert world.records["checkpoint-5"].reason == "--nth 10 passes it over"


def test_the_watch_ends_once_a_step_is_evaluated(world: World, training: Path):
    world.clock.plan(2.5 * HOUR, lambda: checkpoint(training / "checkpoint-40", seed=40))
    assert world.run(*every(training, "--until", "35")) == 0
    assert sorted(world.evaluated) == ["checkpoint-10", "checkpoint-20", "checkpoint-5"]
    assert 3 * HOUR <= world.clock.time < 3.1 * HOUR
    assert world.records["checkpoint-40"].reason == "beyond --until 35"


def test_what_is_still_being_written_is_not_evaluated(world: World, training: Path):
    """Whole and still for a moment, then changed: it must be still between two looks."""
    late = training / "checkpoint-30"

    def write() -> None:
        checkpoint(late, seed=30)
        (late / WEIGHTS).unlink()

    world.clock.plan(0.5 * HOUR, write)
    world.clock.plan(2.5 * HOUR, lambda: checkpoint(late, seed=31))
    for moment in range(3):
        world.clock.plan(3 * HOUR + 6 * moment, lambda: files.touch(late / WEIGHTS))
    states: list[tuple[float, str]] = []
    for hour in (1.5, 2.6):
        world.clock.plan(
            hour * HOUR, lambda: states.append((world.clock.time, world.states()[late.name]))
        )
    world.until(3 * HOUR + 16, *every(training))
    assert [state for _, state in states] == ["waiting", "waiting"]
    assert late.name not in world.evaluated
    world.until(5 * HOUR, *every(training))
    assert world.evaluated.count(late.name) == 1


def test_one_that_changes_while_it_waits_its_turn_waits_again(world: World, training: Path):
    world.seconds = 100.0
    world.clock.plan(50, lambda: files.touch(training / "checkpoint-10" / WEIGHTS))
    world.run("--model", str(training), "--once")
    assert world.evaluated == ["checkpoint-20", "checkpoint-5", "checkpoint-10"]
    assert world.records["checkpoint-10"].identity


def test_a_broken_one_is_tried_again_and_left_and_stops_no_other(world: World, training: Path):
    tries: list[float] = []

    def outcome(name: str) -> Outcome:
        if not name.endswith("-20"):
            return Outcome()
        tries.append(world.clock.time)
        return Outcome(error="it is broken")

    world.outcomes = outcome
    world.until(12 * HOUR, *every(training, "--retries", "2"))
    assert sorted(world.evaluated) == ["checkpoint-10", "checkpoint-5"]
    record = world.records["checkpoint-20"]
    assert (record.state, record.attempts, record.error) == ("left", 3, "it is broken")
    said = "\n".join(one for one in world.said if "it is broken" in one)
    assert "; it is tried again in 4 min (failure 2)" in said and "; it is left (failure 3)" in said
    waits = [late - early for early, late in pairwise(tries)]
    assert len(waits) == 2
    for wait, expected in zip(waits, (RETRY_SECONDS, 4 * RETRY_SECONDS), strict=True):
        assert expected <= wait <= expected + 2
    files.touch(training / "checkpoint-20" / WEIGHTS)
    world.outcomes = lambda _: Outcome()
    world.until(14 * HOUR, *every(training))
    assert world.states()["checkpoint-20"] == "done", "other files are another chance"


def test_a_failure_is_the_exit_status_of_once(world: World, training: Path):
    world.outcomes = lambda name: Outcome(error="no") if name.endswith("-5") else Outcome()
    assert world.run("--model", str(training), "--once") == loop.SOME_FAILED
    assert world.states()["checkpoint-5"] == "failed"
    assert any("no; a look in 1 min or later tries it again (failure 1)" in x for x in world.said)
    assert world.run("--model", str(training), "--once") == loop.SOME_FAILED
    assert world.records["checkpoint-5"].attempts == 1, "it is not time yet"


def test_a_report_that_cannot_be_written_is_the_exit_status_of_once(
    world: World, training: Path, monkeypatch: pytest.MonkeyPatch
):
    endings = [Ended(1, ("error: the disk is full",)), Ended(0, ())]
    monkeypatch.setattr(loop, "run", lambda *_, **__: endings.pop(0))
    statuses = [world.watch("--model", str(training), "--once", report=True).run() for _ in "ab"]
    assert statuses == [loop.SOME_FAILED, 0] and len(world.evaluated) == 3
    assert world.said.count("the report was not written: the disk is full") == 1


def test_waits_between_tries_grow_and_end():
    waits = [pause(number) for number in range(1, 12)]
    assert waits[0] == RETRY_SECONDS and waits == sorted(waits)
    assert waits[-1] == LONGEST_RETRY_SECONDS


@pytest.mark.parametrize("jump", [100.0, 30 * 24 * HOUR])
def test_a_clock_that_is_put_back_delays_no_try_by_more_than_its_wait(
    jump: float, world: World, training: Path
):
    tries: list[float] = []

    def outcome(name: str) -> Outcome:
        if name.endswith("-20") and not tries:
            tries.append(world.clock.time)
            world.clock.plan(world.clock.time + 1, lambda: world.clock.back(jump))
            return Outcome(error="once")
        return Outcome()

    world.outcomes = outcome
    world.until(0.9 * HOUR, *every(training))
    assert sorted(world.evaluated) == ["checkpoint-10", "checkpoint-20", "checkpoint-5"]
    assert world.records["checkpoint-20"].attempts == 1


def test_a_clock_that_jumps_back_delays_no_look(world: World, training: Path):
    for cron in (True, False):
        late = f"checkpoint-{30 + cron}"
        begin = world.clock.time
        world.clock.plan(begin + 0.2 * HOUR, lambda: world.clock.back(40 * HOUR))
        world.clock.plan(begin + 0.3 * HOUR, lambda late=late: checkpoint(training / late, seed=9))
        when = ("--cron", "0 * * * *") if cron else ("--every", "1h")
        world.until(begin + 2.1 * HOUR, "--model", str(training), *when)
        assert world.evaluated.count(late) == 1


def test_one_that_is_deleted_before_its_turn_is_gone_and_comes_back(world: World, training: Path):
    world.seconds = 100.0
    world.clock.plan(50, lambda: shutil.rmtree(training / "checkpoint-10"))
    world.until(2.5 * HOUR, *every(training))
    assert world.evaluated == ["checkpoint-20", "checkpoint-5"]
    assert world.states()["checkpoint-10"] == "gone"
    assert sum("checkpoint-10 is gone" in sentence for sentence in world.said) == 1
    checkpoint(training / "checkpoint-10", seed=10)
    shutil.rmtree(training / "checkpoint-5")
    world.until(5 * HOUR, *every(training))
    assert world.states() == dict.fromkeys(
        ("checkpoint-5", "checkpoint-10", "checkpoint-20"), "done"
    ), "what is evaluated stays so when it is deleted"


def test_one_that_is_deleted_while_it_is_evaluated_is_gone(world: World, training: Path):
    def outcome(name: str) -> Outcome:
        if not name.endswith("-20"):
            return Outcome()
        shutil.rmtree(training / "checkpoint-20")
        return Outcome(error="no such file")

    world.outcomes = outcome
    assert world.run("--model", str(training), "--once") == 0
    assert world.states()["checkpoint-20"] == "gone"


def test_a_source_that_cannot_be_looked_at_loses_nothing(
    world: World, training: Path, monkeypatch: pytest.MonkeyPatch
):
    (training / "checkpoint-30").mkdir()
    world.run("--model", str(training), "--once")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("orchestrator.watching.discover._below", refused)
    assert world.run("--model", str(training), "--once") == loop.SOME_FAILED
    assert world.states()["checkpoint-30"] == "waiting"


def test_one_that_is_written_anew_is_said_and_its_rows_stay(world: World, training: Path):
    world.run("--model", str(training), "--once")
    before = world.records["checkpoint-10"]
    checkpoint(training / "checkpoint-10", seed=11)
    world.run("--model", str(training), "--once")
    record = world.records["checkpoint-10"]
    assert (record.state, record.identity) == ("rewritten", before.identity)
    assert "a store keeps one set of weights under one name" in record.reason
    assert world.evaluated.count("checkpoint-10") == 1
    said = [one for one in world.said if "checkpoint-10 was written anew" in one]
    assert len(said) == 1
    world.run("--model", str(training), "--once")
    assert len([one for one in world.said if "was written anew" in one]) == 1, "said once"
    checkpoint(training / "checkpoint-10", seed=10)
    world.run("--model", str(training), "--once")
    assert world.states()["checkpoint-10"] == "done", "the weights of its rows are back"


def test_one_that_is_written_anew_while_it_is_evaluated_is_said(world: World, training: Path):
    """The run refuses weights that its plan was not made from, and the store any but the first."""
    late = training / "checkpoint-10"
    tries: list[str] = []

    def outcome(name: str) -> Outcome:
        if not name.endswith("-10") or "back" in tries:
            return Outcome()
        tries.append("failed" if tries else "changed")
        if tries == ["changed"]:
            checkpoint(late, seed=11)
            return Outcome(error="the files are not those that the plan was made from")
        return Outcome(error="computed from another model", refused=True)

    world.outcomes = outcome
    world.until(12 * HOUR, *every(training))
    record = world.records[late.name]
    assert (record.state, record.attempts, tries) == ("rewritten", 0, ["changed", "failed"])
    assert "written anew while it was evaluated" in record.reason and record.told == ""
    assert sum("was written anew while" in one for one in world.said) == 1
    tries.append("back")
    checkpoint(late, seed=10)
    world.until(24 * HOUR, *every(training))
    assert world.states()[late.name] == "done" and world.evaluated.count(late.name) == 1


def test_one_that_is_only_copied_again_is_the_same(world: World, training: Path):
    world.run("--model", str(training), "--once")
    content = (training / "checkpoint-10" / WEIGHTS).read_bytes()
    (training / "checkpoint-10" / WEIGHTS).write_bytes(content)
    world.run("--model", str(training), "--once")
    assert set(world.states().values()) == {"done"} and len(world.evaluated) == 3


def test_a_store_that_a_run_holds_is_waited_for_and_costs_no_try(world: World, training: Path):
    busy: list[float] = []

    def outcome(_: str) -> Outcome:
        if len(busy) < 3:
            busy.append(world.clock.time)
            return Outcome(error="store is in use by me", busy=True, refused=True)
        return Outcome()

    world.outcomes = outcome
    assert world.run("--model", str(training), "--once") == 0
    assert len(world.evaluated) == 3
    assert all(one.attempts == 0 for one in world.records.values())
    assert busy[1] - busy[0] >= loop.BUSY_SECONDS


def test_an_interruption_leaves_a_checkpoint_ready(world: World, training: Path):
    def outcome(_: str) -> Outcome:
        world.wish.ask()
        return Outcome(interrupted=True)

    world.outcomes = outcome
    assert world.run("--model", str(training), "--once") == loop.INTERRUPTED
    assert world.records["checkpoint-20"].state == "ready"
    assert world.records["checkpoint-20"].attempts == 0


def test_another_question_is_asked_of_every_checkpoint_again(world: World, training: Path):
    world.run("--model", str(training), "--once")
    world.run("--model", str(training), "--once", "--pooling", "last")
    assert len(world.evaluated) == 6
    assert any("asked differently than before: 3 checkpoints" in one for one in world.said)


def test_a_preview_writes_nothing(world: World, training: Path):
    world.watch("--model", str(training), "--dry-run", "--nth", "10").preview()
    assert world.said[-3:] == [
        "2 would be evaluated:", f"  {training}@checkpoint-20", f"  {training}@checkpoint-10",
    ]  # fmt: skip
    assert not world.store.files.local.exists()


def test_what_is_waited_for_and_the_next_look_are_said(world: World, training: Path):
    (training / "checkpoint-30").mkdir()
    world.until(1.5 * HOUR, *every(training))
    said = "\n".join(world.said)
    assert "found 4 new:" in said
    assert "checkpoint-30 (no config.json yet)" in said
    assert "the next look is at" in said and ", in 59 min 50 s" in said
    assert "nothing new; 1 wait:" in said and "1 waiting, 3 done" in said


def test_a_disk_that_is_full_for_a_while_does_not_end_the_watch(
    world: World, training: Path, monkeypatch: pytest.MonkeyPatch
):
    watch: Watch = world.watch("--model", str(training), "--once")
    plainly, full = loop.state.write, [3]

    def write(*given: object) -> None:
        if len(world.evaluated) and full[0]:
            full[0] -= 1
            raise OSError(28, "No space left on device")
        plainly(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.state, "write", write)
    assert watch.run() == 0
    assert set(world.states().values()) == {"done"}
    assert any("the disk is full" in one for one in world.said)


def test_converted_models_go_once_they_are_evaluated(world: World, training: Path):
    command = "cp -r {checkpoint} {out}"
    assert world.run("--model", str(training), "--once", "--convert", command) == 0
    assert world.evaluated == ["checkpoint-20", "checkpoint-10", "checkpoint-5"]
    assert not list(world.store.files.local.rglob(WEIGHTS))


def test_a_conversion_that_fails_is_the_failure_of_its_checkpoint(world: World, training: Path):
    command = "case {checkpoint} in *-10) echo no luck >&2; exit 3;; esac; cp -r {checkpoint} {out}"
    keep = ("--keep", "converted=1")
    world.run("--model", str(training), "--once", "--convert", command, *keep)
    assert world.evaluated == ["checkpoint-20", "checkpoint-5"]
    record = world.records["checkpoint-10"]
    assert record.state == "failed" and record.error.endswith("it ended with status 3: no luck")
    kept = world.store.files.local / "converted" / "run"
    assert [path.name for path in kept.iterdir()] == ["checkpoint-5"], "the last one evaluated"


def test_cells_that_failed_before_are_taken_up_whatever_became_of_their_checkpoint(world: World):
    """One that was left and is touched has no tries behind it, but its errors are in the store."""
    asked = request("neuronxa", *STUDY, "--model", "run", "--once")
    words = Evaluation(asked, store=world.store).words("run@step-1")
    assert words.count("--retry-errors") == 1
    asked = request("neuronxa", *STUDY, "--model", "run", "--once", "--retry-errors")
    again = Evaluation(asked, store=world.store).words("run@step-1")
    assert sorted(again) == sorted(words)

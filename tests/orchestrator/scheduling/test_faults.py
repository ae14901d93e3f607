"""What the schedule makes of units that fail, models that do not load, nodes that leave."""

import pytest

from orchestrator.scheduling.actions import Close, Submit
from tests.orchestrator.scheduling.test_schedule import (
    LANGUAGES,
    A,
    B,
    Drive,
    cpu,
    gpu,
    model,
    seconds_of_work,
    unit,
    units,
)


@pytest.mark.parametrize("node", [cpu(1), gpu(1), gpu(2)])
def test_a_failed_unit_is_tried_once_more_in_another_process(node):
    drive = Drive(units(model("m", 60), 1), node)
    drive.open_all()
    ((first, _),) = drive.busy().items()
    assert drive.fail(first) == []
    drive.open_all()
    ((second, _),) = drive.busy().items()
    assert second != first
    assert drive.fail(second) == ["deu_Latn"]
    assert drive.schedule.finished
    assert [error.attempts for error in drive.schedule.errors] == [2]


def test_the_second_try_is_on_another_node_if_there_is_one():
    nodes = [gpu(1, name="one"), gpu(1, name="two")]
    drive = Drive(units(model("m", 60), 1), *nodes)
    drive.open_all()
    ((first, _),) = drive.busy().items()
    node = drive.where[first].node
    drive.fail(first)
    drive.open_all()
    ((second, _),) = drive.busy().items()
    assert drive.where[second].node != node


@pytest.mark.parametrize("node", [cpu(1), cpu(3), gpu(1), gpu(4)])
def test_a_poison_language_is_given_up_alone(node):
    drive = Drive([unit(A, *LANGUAGES), *units(B, 3)], node)
    done = drive.finish(bad=("swh_Latn",))
    assert len(done) == len(LANGUAGES) - 1 + 3
    assert {error.cell.language for error in drive.schedule.errors} == {"swh_Latn"}
    assert {(error.attempts, error.error) for error in drive.schedule.errors} == {(2, "boom")}


def test_a_process_in_which_everything_fails_is_ended():
    drive = Drive(units(A, 6), cpu(1))
    drive.open_all()
    drive.fail(0)
    drive.fail(0)
    drive.step()
    assert Close(0) in drive.log
    drive.finish()
    assert not drive.schedule.errors


def test_a_model_that_cannot_be_loaded_is_given_up_whole_and_alone():
    drive = Drive([*units(A, 4), *units(B, 1)], cpu(2, "one"), cpu(2, "two"))
    nodes = []
    while any(drive.where[worker].model == A for worker in drive.opening):
        worker = next(worker for worker in drive.opening if drive.where[worker].model == A)
        drive.opening.remove(worker)
        nodes.append(drive.where[worker].node)
        drive.schedule.open_failed(worker, error="no weights", traceback="")
        drive.step()
    assert sorted(nodes) == ["one", "two"]
    assert len(drive.schedule.errors) == 4
    assert len(drive.finish()) == 1


def test_a_copy_that_cannot_be_loaded_does_not_end_the_model():
    large = model("large", 8)
    drive = Drive(units(large, 9, characters=seconds_of_work(large, 100)), gpu(2))
    first, second = drive.opening
    drive.schedule.opened(first, now=1)
    for worker in (second, second + 1):
        drive.step()
        assert drive.schedule.open_failed(worker, error="e", traceback="", gone=True) == []
    assert drive.step() == []


def test_a_lost_node_gives_its_units_back_without_an_attempt():
    drive = Drive([*units(A, 1), *units(B, 1)], cpu(1, "one"), cpu(1, "two"))
    drive.open_all()
    lost = drive.schedule.left("one")
    assert len(lost) == 1 and drive.schedule.running(lost[0]) is None
    assert drive.schedule.left("one") == []
    drive.where.pop(lost[0])
    drive.step()
    drive.finish(bad=("deu_Latn",))
    assert {error.attempts for error in drive.schedule.errors} == {2}


def test_a_load_that_hangs_is_overdue_and_tried_elsewhere_with_more_time():
    drive = Drive(units(A, 1), gpu(1, name="one"), gpu(1, name="two"))
    (first,) = drive.opening
    assert drive.schedule.overdue(now=599) == []
    assert drive.schedule.overdue(now=601) == [first]
    assert drive.schedule.running(first) is None
    drive.now = 601
    assert drive.schedule.open_failed(first, error="hung", traceback="", gone=True) == []
    assert drive.schedule.overdue(now=601) == []
    drive.step()
    second = drive.opening[-1]
    assert drive.where[second].node != drive.where[first].node
    assert drive.schedule.overdue(now=601 + 1199) == []
    assert drive.schedule.overdue(now=601 + 1201) == [second]
    assert len(drive.schedule.open_failed(second, error="hung", traceback="", gone=True)) == 1
    assert drive.schedule.finished


def test_a_load_that_has_ended_is_never_overdue():
    drive = Drive(units(A, 1), cpu(1))
    drive.open_all()
    drive.done(0)
    assert drive.schedule.overdue(now=1e9) == []


def test_a_hung_unit_is_overdue_by_what_this_run_has_measured():
    drive = Drive(units(A, 4), cpu(1))
    drive.open_all()
    assert drive.schedule.overdue(now=drive.now + 599) == []
    assert drive.schedule.overdue(now=drive.now + 601) == [0]
    drive.done(0, seconds=1)
    submit = drive.log[-1]
    assert isinstance(submit, Submit) and submit.seconds == 60
    assert drive.schedule.overdue(now=drive.now + 59) == []
    assert drive.schedule.overdue(now=drive.now + 61) == [0]
    drive.fail(0, gone=True)
    assert drive.schedule.running(0) is None
    assert len(drive.finish()) == 3

"""The schedule as a user of a cluster meets it: affinity, retries, splitting, giving up."""

from dataclasses import replace

import pytest

from orchestrator.schedule import Schedule, split
from studies.cells import alignment_cells
from studies.spec import AlignmentGrid, AlignmentWork, Bitext, ModelFacts, Switches, Unit
from tests.test_spec import BITEXT, MODEL

GRID = AlignmentGrid(dataset="flores200", languages=("all",), measures=("mexa",), layers=(1,))


def bitext(language: str) -> Bitext:
    return replace(BITEXT, language=language)


def unit(model: ModelFacts, *languages: str, characters: int = 100) -> Unit:
    bitexts = tuple(bitext(language) for language in languages)
    cells = [cell for text in bitexts for cell in alignment_cells(GRID, model=model, bitext=text)]
    return Unit(
        study="test",
        model=model,
        cells=tuple(cells),
        work=AlignmentWork(bitexts=bitexts, switches=Switches()),
        characters=characters,
    )


def model(name: str) -> ModelFacts:
    return replace(MODEL, name=name, weights=name)


A, B, C = model("a"), model("b"), model("c")
LANGUAGES = ("deu_Latn", "fra_Latn", "swh_Latn", "tur_Latn")


def drain(schedule: Schedule) -> tuple[list[tuple[int, str, bool]], list[str]]:
    """Let every worker do one unit a round; returns (worker, model, load) and keys done."""
    taken, keys = [], []
    while not schedule.finished:
        busy = []
        for worker in range(schedule.workers):
            assignment = schedule.next(worker)
            if assignment:
                taken.append((worker, assignment.unit.model.name, assignment.load))
                busy.append(worker)
        assert busy, "nobody works and it is not finished"
        for worker in busy:
            keys += [cell.key for cell in schedule.done(worker).cells]
    return taken, keys


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_every_cell_is_done_once_and_models_are_loaded_rarely(workers):
    units = [unit(which, language) for language in LANGUAGES for which in (A, B, C)]
    taken, keys = drain(Schedule(units, workers=workers))
    assert sorted(keys) == sorted(cell.key for each in units for cell in each.cells)
    loads = sum(load for *_, load in taken)
    assert loads <= 3 + workers - 1


def test_workers_take_different_models_first():
    schedule = Schedule([unit(A, "deu_Latn"), unit(B, "deu_Latn")], workers=2)
    first, second = schedule.next(0), schedule.next(1)
    assert first is not None
    assert second is not None
    assert {first.unit.model, second.unit.model} == {A, B}


def test_a_second_copy_is_loaded_only_for_much_work():
    for units, expected in ((3, False), (9, True)):
        work = [unit(A, "deu_Latn", characters=number) for number in range(units)]
        schedule = Schedule(work, workers=2)
        assert schedule.next(0) is not None
        assert (schedule.next(1) is not None) is expected


def test_the_longest_unit_of_a_model_comes_first():
    schedule = Schedule(
        [unit(A, "deu_Latn", characters=5), unit(A, "fra_Latn", characters=50)], workers=1
    )
    assignment = schedule.next(0)
    assert assignment is not None
    assert assignment.unit.characters == 50


def test_a_failed_unit_is_tried_by_another_worker():
    schedule = Schedule([unit(A, "deu_Latn")], workers=2)
    assert schedule.next(0) is not None
    assert schedule.next(1) is None
    assert schedule.failed(0, error="boom", traceback="") == []
    assert schedule.next(0) is None
    again = schedule.next(1)
    assert again is not None
    assert again.load
    schedule.done(1)
    assert schedule.finished
    assert not schedule.errors


def test_a_poison_language_is_given_up_alone():
    """One of four languages always fails: the others are done, its cells become errors."""
    schedule = Schedule([unit(A, *LANGUAGES)], workers=1)
    done, steps = set(), 0
    while not schedule.finished:
        steps += 1
        assert steps < 50
        assignment = schedule.next(0)
        assert assignment is not None
        languages = {cell.language for cell in assignment.unit.cells}
        if "swh_Latn" in languages:
            schedule.failed(0, error="boom", traceback="Traceback")
        else:
            done |= {cell.language for cell in schedule.done(0).cells}
    assert done == set(LANGUAGES) - {"swh_Latn"}
    assert {error.cell.language for error in schedule.errors} == {"swh_Latn"}
    assert {(error.attempts, error.error) for error in schedule.errors} == {(2, "boom")}


def test_a_model_that_cannot_be_loaded_is_given_up_whole_and_alone():
    units = [unit(A, language) for language in LANGUAGES] + [unit(B, "deu_Latn")]
    schedule = Schedule(units, workers=1)
    tries = {"a": 0, "b": 0}
    while not schedule.finished:
        assignment = schedule.next(0)
        assert assignment is not None
        name = assignment.unit.model.name
        tries[name] += 1
        if name == "a":
            schedule.model_failed(0, error="no weights", traceback="")
        else:
            schedule.done(0)
    assert tries == {"a": 2, "b": 1}
    assert len(schedule.errors) == sum(len(each.cells) for each in units[:4])


def test_a_worker_that_died_loads_its_model_again():
    schedule = Schedule([unit(A, "deu_Latn"), unit(A, "fra_Latn")], workers=1)
    assert schedule.next(0) is not None
    schedule.lost(0)
    schedule.failed(0, error="died", traceback="")
    again = schedule.next(0)
    assert again is not None
    assert again.load


def test_halves_hold_the_same_cells_with_their_texts():
    whole = unit(A, *LANGUAGES)
    halves = split(whole)
    assert len(halves) == 2
    cells = [cell.key for half in halves for cell in half.cells]
    assert sorted(cells) == sorted(cell.key for cell in whole.cells)
    for half in halves:
        assert isinstance(half.work, AlignmentWork)
        texts = {text.language for text in half.work.bitexts}
        assert texts == {cell.language for cell in half.cells}
    assert split(unit(A, "deu_Latn")) == (unit(A, "deu_Latn"),)

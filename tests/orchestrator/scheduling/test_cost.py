"""Estimates: what they start from, and what they learn."""

from dataclasses import replace

import pytest

from orchestrator.scheduling.cost import RATES, UNIT_SECONDS, Cost, parameters
from tests.orchestrator.scheduling.test_schedule import GB, model, seconds_of_work, unit, units

SMALL, LARGE = model("small", 4), model("large", 40)


def test_estimates_start_from_tokens_and_parameters():
    cost = Cost()
    one = unit(SMALL, "deu_Latn", characters=300_000)
    assert parameters(SMALL) == 1e9
    expected = 100_000 * 1e9 / RATES["gpu"]
    assert cost.seconds(one) == pytest.approx(UNIT_SECONDS + expected)
    assert Cost(device="cpu").seconds(one) > 1000 * cost.seconds(one)


def test_four_bits_are_half_a_byte():
    assert parameters(replace(SMALL, quantisation="4bit")) == 2 * SMALL.bytes


def test_a_finished_unit_corrects_its_model_and_until_measured_the_others():
    cost = Cost()
    small, large = units(SMALL, 1)[0], units(LARGE, 1)[0]
    before = cost.seconds(large)
    for _ in range(30):
        cost.learn(small, 8 * cost.stated(small))
    assert cost.seconds(small) == pytest.approx(8 * cost.stated(small), rel=0.01)
    assert cost.seconds(large) == pytest.approx(8 * before, rel=0.01)
    for _ in range(30):
        cost.learn(large, 2 * cost.stated(large))
    assert cost.seconds(large) == pytest.approx(2 * before, rel=0.1)


def test_kinds_of_work_are_measured_apart():
    cost = Cost()
    aligned = unit(SMALL, "deu_Latn")
    chosen = replace(aligned, kind="choices")
    for _ in range(30):
        cost.learn(aligned, cost.stated(aligned))
        cost.learn(chosen, 50 * cost.stated(chosen))
    assert cost.seconds(chosen) > 20 * cost.seconds(aligned)


def test_one_outlier_moves_an_estimate_only_so_far():
    cost, one = Cost(), unit(SMALL, "deu_Latn")
    for _ in range(20):
        cost.learn(one, cost.stated(one))
    cost.learn(one, 1e6 * cost.stated(one))
    assert cost.seconds(one) < 2.1 * cost.stated(one)


def test_deadlines():
    cost = Cost()
    one = unit(SMALL, "deu_Latn", characters=seconds_of_work(SMALL, 100))
    assert cost.deadline(one) > 100 * 99
    for _ in range(30):
        cost.learn(one, 100.0)
    assert cost.deadline(one) == pytest.approx(1000, rel=0.02)
    assert cost.deadline(unit(SMALL, "deu_Latn", characters=1)) == 60
    cost.learn(one, 900.0)
    assert cost.deadline(one) > 2 * 900


def test_a_load_is_given_time_for_a_slow_line():
    cost = Cost()
    assert cost.load_deadline(SMALL) == 600
    assert cost.load_deadline(LARGE) == LARGE.bytes / 10e6 > 600


def test_loads_are_learned_the_same_way():
    cost = Cost()
    assert cost.load_seconds(LARGE) > cost.load_seconds(SMALL) > 0
    before = cost.load_seconds(LARGE)
    for _ in range(30):
        cost.learned_load(SMALL, Cost().load_seconds(SMALL) / 2)
    assert cost.load_seconds(SMALL) == pytest.approx(Cost().load_seconds(SMALL) / 2, rel=0.02)
    assert cost.load_seconds(LARGE) == pytest.approx(before / 2, rel=0.02)


def test_memory_as_stated_then_as_measured():
    cost = Cost()
    assert cost.bytes(LARGE) == pytest.approx(1.1 * 40 * GB + GB)
    cost.learned_bytes(LARGE, 20 * GB)
    assert cost.bytes(LARGE) == pytest.approx(1.1 * 20 * GB + GB)
    cost.learned_bytes(LARGE, 79 * GB, most=80 * GB)
    assert cost.bytes(LARGE) == 80 * GB


def test_hours_of_a_plan():
    cost = Cost()
    work = units(LARGE, 36, characters=seconds_of_work(LARGE, 100))
    one = cost.hours(work)
    assert one == pytest.approx(1 + cost.load_seconds(LARGE) / 3600, rel=0.01)
    assert cost.hours([]) == 0

"""Strengths and switches of CLAS: what is one strength, and what rows say of it."""

import json
from dataclasses import asdict, fields, replace
from typing import get_args

import pytest

from studies.neuron_options import (
    CATEGORIES,
    PLAIN,
    Category,
    Rescaling,
    Sorting,
    Strength,
    strength,
    text,
)


def test_categories_are_named_once() -> None:
    assert get_args(Category) == CATEGORIES and len(set(CATEGORIES)) == 4


@pytest.mark.parametrize("alpha", [-8.0, -1.0, 0.3, 2.0])
@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0, 10.0])
def test_three_parameters_are_two(alpha: float, factor: float) -> None:
    one = strength(alpha, beta=0.4, gamma=0.2)
    assert one == strength(alpha / factor, beta=0.4 * factor, gamma=0.2 * factor)
    assert one.shared == pytest.approx(0.4 * alpha)
    assert one.specific == pytest.approx(-0.2 * alpha)
    assert one != strength(alpha, beta=0.4, gamma=0.21)
    assert one != strength(alpha, beta=0.41, gamma=0.2)


def test_nothing_is_plain_whatever_its_sign() -> None:
    for one in (
        strength(0.0, beta=0.4, gamma=0.2),
        strength(-0.0, beta=0.4, gamma=0.2),
        strength(-1.0, beta=0.0, gamma=0.0),
        strength(1.0, beta=0.0, gamma=0.0),
    ):
        assert one == PLAIN and str(tuple(one)) == "(0.0, 0.0)"  # -0.0 is equal and is written
    assert not any(PLAIN)


def test_rounding_does_not_make_another_strength() -> None:
    assert 3 * 0.1 != 0.3
    assert strength(3.0, beta=0.1, gamma=0.1) == Strength(0.3, -0.3)


@pytest.mark.parametrize(
    ("one", "flips"),
    [((-1, -1), False), ((-1.01, 0), True), ((0, -1.01), True), ((3, 3), False)],
)
def test_activations_flip_below_minus_one(one: tuple[float, float], flips: bool) -> None:
    assert Strength(*one).flips == flips


def test_the_paper_flips_where_it_says() -> None:
    """At beta .4 those of several languages, and at gamma .2 those of one."""
    flipped = [alpha for alpha in range(-8, 7) if strength(float(alpha), beta=0.4, gamma=0.2).flips]
    assert flipped == [-8, -7, -6, -5, -4, -3, 6]


def test_rows_say_every_switch() -> None:
    told = text(Sorting(), Rescaling(), shared=0.5)
    assert json.loads(told) == {**asdict(Sorting()), **asdict(Rescaling()), "shared": 0.5}
    assert told == json.dumps(json.loads(told), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("record", [Sorting(), Rescaling()])
def test_every_reading_is_told_apart(record: Sorting | Rescaling) -> None:
    for item in fields(record):
        usual = getattr(record, item.name)
        every = {bool: (True, False), float: (usual, 0.5)}.get(type(usual)) or get_args(item.type)
        others = [one for one in every if one != usual]
        assert others
        for other in others:
            assert text(replace(record, **{item.name: other})) != text(record)

"""Changes of level: counted by hand on short series, and how often they are found by chance."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analysis.statistics import segments

Floats = npt.NDArray[np.float64]
SIMULATED = 1000
MOST = float(stats.binom.isf(1e-5, SIMULATED, 0.05)) / SIMULATED


def explained(values: Floats, place: int) -> float:
    """The sum of squares between two parts, as its definition has it."""
    parts = values[:place], values[place:]
    return float(sum(len(part) * (part.mean() - values.mean()) ** 2 for part in parts))


def largest(values: Floats) -> tuple[float, int]:
    """The most that a cut explains, and where."""
    every = [(explained(values, place), place) for place in range(2, len(values) - 1)]
    return max(every)


def test_the_cut_is_where_two_parts_explain_most_and_p_is_that_of_all_orders() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.25, 0.4, 0.55, 0.35, 0.6])
    found = segments.split(values, draws=20_000)
    most, place = largest(values)
    assert found is not None and found.place == place and (found.start, found.end) == (0, 8)
    assert found.before == pytest.approx(values[:place].mean())
    assert found.after == pytest.approx(values[place:].mean())
    orders = np.array(list(permutations(range(8))))
    held = values[orders]
    sums = held.cumsum(axis=1)[:, 1:6] - np.arange(2, 7) * values.mean()
    every = (sums**2 * 8 / (np.arange(2, 7) * np.arange(6, 1, -1))).max(axis=1)
    exact = float((every >= most - 1e-9).mean())
    assert abs(found.p - exact) < 5 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4


def test_below_eight_states_and_without_variation_there_is_nothing_to_find() -> None:
    assert segments.FEWEST == 8
    assert segments.split(np.array([0.0, 0, 0, 0, 1, 1, 1])) is None
    assert segments.split(np.full(20, 0.3)) is None
    assert segments.split(np.array([0.0, 0, 0, 0, 1, 1, 1, 1])).p < 0.05  # type: ignore[union-attr]


@pytest.mark.parametrize("n", [8, 15, 60])
@pytest.mark.parametrize("kind", ["normal", "heavy", "two values"])
def test_states_around_one_level_have_a_change_of_level_once_in_twenty(n: int, kind: str) -> None:
    random = np.random.default_rng([n, len(kind)])
    draw = {
        "normal": lambda: random.normal(size=n),
        "heavy": lambda: random.standard_t(2, size=n),
        "two values": lambda: random.integers(2, size=n).astype(float),
    }[kind]
    found = [segments.split(draw(), draws=199) for _ in range(SIMULATED)]
    assert np.mean([one is not None and one.p < 0.05 for one in found]) <= MOST


def test_a_planted_change_is_found_and_seldom_a_second_one_inside_its_parts() -> None:
    random = np.random.default_rng(7)
    near, inner = 0, 0
    for _ in range(SIMULATED // 2):
        values = random.normal(size=40) + np.where(np.arange(40) < 25, 0.0, 3.0)
        first = segments.split(values, draws=199)
        assert first is not None
        near += abs(first.place - 25) <= 1 and first.p < 0.05
        inner += len(segments.further(values, first, p=first.p, draws=199)) > 0
    assert near > 0.95 * SIMULATED / 2
    assert inner / (SIMULATED / 2) <= float(stats.binom.isf(1e-5, SIMULATED // 2, 0.05)) / 500


def test_several_levels_are_all_found_and_seldom_another() -> None:
    random = np.random.default_rng(5)
    more = 0
    for _ in range(SIMULATED // 4):
        levels = np.repeat([0.2, 0.6, 0.35], 30) + 0.02 * random.normal(size=90)
        first = segments.split(levels, draws=399)
        assert first is not None
        rest = segments.further(levels, first, p=first.p, draws=399)
        found = {first.place, *(cut.place for cut, _ in rest)}
        assert {30, 60} <= found and all(p >= first.p for _, p in rest)
        more += len(found) > 2
    assert more <= float(stats.binom.isf(1e-5, SIMULATED // 4, 0.05))


def test_a_rise_is_called_a_slope_and_what_does_not_stand_is_not_divided() -> None:
    random = np.random.default_rng(6)
    rise = segments.split(np.linspace(0, 1, 30) + 0.01 * random.normal(size=30))
    assert rise is not None and rise.p < 0.05 and rise.slope
    levels = np.repeat([0.2, 0.6], 15) + 0.02 * random.normal(size=30)
    step = segments.split(levels)
    assert step is not None and not step.slope
    assert segments.further(levels, step, p=0.2) == []


def test_more_series_need_more_orders() -> None:
    assert segments.draws_for(1) == segments.DRAWS
    assert 100 / (1 + segments.draws_for(100)) < segments.LEVEL

"""Bridge layers depend on how many neurons there are, and not on how shares of them are rounded."""

import random
from statistics import median

from studies.kinds.categories import bridge_layers

NEURONS = 448
LAYERS, FIRST, BEHIND = 32, 24, 30


def layer(dead: int, specific: int, partial: int) -> dict[str, float]:
    counts = {"dead": dead, "specific": specific, "partial_shared": partial}
    return {name: count / NEURONS for name, count in counts.items()}


def by_counting(scores: list[int]) -> tuple[int, ...]:
    """The rule in whole neurons: the first of the best runs above the median of the window."""
    middle = median(scores)
    runs = [
        (start, end)
        for start in range(len(scores))
        for end in range(start + 1, len(scores) + 1)
        if min(scores[start:end]) > middle
    ]
    if not runs:
        return tuple(range(FIRST + 1, BEHIND + 1))
    start, end = max(runs, key=lambda run: sum(scores[slice(*run)]) - middle * (run[1] - run[0]))
    return tuple(range(FIRST + 1 + start, FIRST + 1 + end))


def test_a_layer_at_the_median_is_not_above_it() -> None:
    """With scores -55, -51, -50, -54, -51, -51 neurons; in fp64 the second -51 is the median."""
    counts = [
        (104, 51, 100), (101, 54, 104), (101, 53, 104), (102, 54, 102), (103, 52, 104),
        (104, 50, 103),
    ]  # fmt: skip
    shares = [layer(0, 0, 0)] * FIRST + [layer(*one) for one in counts] + [layer(0, 0, 0)] * 2
    assert bridge_layers(shares) == (27,)


def test_the_rule_is_that_of_whole_neurons() -> None:
    source = random.Random(0)
    for _ in range(500):
        counts = [
            (source.randint(100, 104), source.randint(50, 54), source.randint(100, 104))
            for _ in range(FIRST, BEHIND)
        ]
        shares = [layer(0, 0, 0)] * FIRST + [layer(*one) for one in counts]
        shares += [layer(0, 0, 0)] * (LAYERS - BEHIND)
        scores = [partial - dead - specific for dead, specific, partial in counts]
        assert bridge_layers(shares) == by_counting(scores), counts

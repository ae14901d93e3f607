"""The slow, obvious twins of the margins of options: loops over every pair of one item's options.

Rows are options of the pivot, columns those of the language. Equal within `EQUAL` is equal.
"""

from collections.abc import Sequence

from torch import Tensor

from tests.makers.oracle import EQUAL, cosine

Matrix = Sequence[Sequence[float]]


def table(one: Sequence[Tensor], other: Sequence[Tensor]) -> list[list[float]]:
    """Cosines of every vector of one side with every one of the other."""
    return [[cosine(row, column) for column in other] for row in one]


def settled(margin: float) -> float:
    """What float64 cannot tell from zero is zero."""
    return 0.0 if abs(margin) <= EQUAL else margin


def mismatched(cross: Matrix) -> list[float]:
    return [
        value
        for row, values in enumerate(cross)
        for column, value in enumerate(values)
        if row != column
    ]


def slow_dali(cross: Matrix) -> float:
    return settled(min(cross[j][j] for j in range(len(cross))) - max(mismatched(cross)))


def slow_local(cross: Matrix) -> float:
    found = []
    for j in range(len(cross)):
        rivals = [cross[j][k] for k in range(len(cross)) if k != j]
        rivals += [cross[k][j] for k in range(len(cross)) if k != j]
        found.append(cross[j][j] - max(rivals))
    return settled(min(found))


def slow_gold_only(cross: Matrix, gold: int) -> float:
    others = [
        value
        for row, values in enumerate(cross)
        for column, value in enumerate(values)
        if (row, column) != (gold, gold)
    ]
    return settled(cross[gold][gold] - max(others))


def slow_strong(cross: Matrix, pivot: Matrix, own: Matrix) -> float:
    rivals = mismatched(cross) + mismatched(pivot) + mismatched(own)
    return settled(min(cross[j][j] for j in range(len(cross))) - max(rivals))


def slow_mexa(cross: Matrix, item: int) -> float:
    others = [other for other in range(len(cross)) if other != item]
    rivals = [cross[item][other] for other in others] + [cross[other][item] for other in others]
    return settled(cross[item][item] - max(rivals))

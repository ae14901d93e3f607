"""Do two languages answer alike? Consistency of rankings, and transfer of right and wrong answers.

Two languages are compared on the items that both have, matched by id, and languages that were asked
the same all at once, as matrix products (arXiv 2505.13141, section 2). Raw transfer rises with
accuracy alone, so it stands beside what independence would give.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.results.answers import Answers, Bools, Floats, Texts, Wholes

Reals = npt.NDArray[np.float64]


class Aligned(NamedTuple):
    """Languages with the same items, options and right answers: K languages, I items, J options."""

    languages: tuple[str, ...]
    items: Texts
    gold: Wholes
    options: Wholes
    prediction: Wholes
    ranks: Floats

    @property
    def correct(self) -> Bools:
        """Which items each language answers right [K, I]."""
        hits: Bools = np.equal(self.prediction, self.gold)
        return hits

    def at(self, places: Wholes) -> "Aligned":
        """These languages on some of the items."""
        return Aligned(
            self.languages, self.items[places], self.gold[places], self.options[places],
            self.prediction[:, places], self.ranks[:, places],
        )  # fmt: skip


class Directed(NamedTuple):
    """What depends on the direction [source, target]."""

    tr_plus: Reals
    tr_minus: Reals
    excess_plus: Reals
    excess_minus: Reals


def directed(left: Aligned, right: Aligned) -> Directed:
    """Transfer from every language on the left to every one on the right, and its excess."""
    hit, into = left.correct.astype(float), right.correct.astype(float)
    wrong = 1 - hit
    same = np.zeros((len(hit), len(into)))
    for option in range(left.ranks.shape[2]):
        same += (wrong * (left.prediction == option)) @ (
            (1 - into) * (right.prediction == option)
        ).T
    accuracy = into.mean(axis=1)
    others = np.where(left.options > 1, 1 / np.maximum(left.options - 1, 1), nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        plus = hit @ into.T / hit.sum(axis=1)[:, None]
        minus = same / wrong.sum(axis=1)[:, None]
        chance = (wrong @ others) / wrong.sum(axis=1)
    return Directed(plus, minus, plus - accuracy, minus - np.outer(chance, 1 - accuracy))


def correlations(left: Aligned, right: Aligned) -> Reals:
    """Spearman's rho of every language on the left with every one on the right."""
    first, second = (standardised(rankings(side)) for side in (left, right))
    found: Reals = np.clip(first @ second.T, -1, 1)
    return found


def rankings(aligned: Aligned) -> Reals:
    """The ranks of all options of all items in one row per language, ranked anew as a whole.

    Ranks are halves at most, so each is a place in a table of how often it occurs.
    """
    there = np.arange(aligned.ranks.shape[2]) < aligned.options[:, None]
    doubled = np.rint(2 * aligned.ranks[:, there]).astype(np.int64)
    places = doubled - doubled.min(initial=0)
    width = int(places.max(initial=0)) + 1
    of_rows = places + width * np.arange(len(places))[:, None]
    counts = np.bincount(of_rows.ravel(), minlength=width * len(places)).reshape(-1, width)
    found: Reals = (np.cumsum(counts, axis=1) - (counts - 1) / 2).ravel()[of_rows]
    return found


def standardised(rows: Reals) -> Reals:
    """Rows of mean 0 and length 1; NaN where one does not vary."""
    centred = rows - rows.mean(axis=1, keepdims=True) if rows.shape[1] else rows
    lengths = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Reals = np.where(lengths > 1e-9, centred / lengths, nan)
    return found


def aligned(group: Sequence[Answers]) -> list[Aligned]:
    """Languages by what they were asked: the same items, options and right answers."""
    kinds: dict[tuple[bytes, ...], list[Answers]] = {}
    for one in group:
        kind = (one.items.tobytes(), one.gold.tobytes(), one.options.tobytes())
        kinds.setdefault(kind, []).append(one)
    return [
        Aligned(
            tuple(one.language for one in same),
            same[0].items,
            same[0].gold,
            same[0].options,
            np.stack([one.prediction for one in same]),
            np.stack([one.ranks for one in same]),
        )
        for same in kinds.values()
    ]


def blocks(group: Sequence[Answers]) -> Iterator[tuple[Aligned, Aligned]]:
    """Every two kinds of languages, both directions, each on the items that the two share."""
    for one, other in combinations_with_replacement(aligned(group), 2):
        if one is other:
            yield one, other
            continue
        left, right = shared(one.items, other.items)
        first, second = one.at(left), other.at(right)
        yield first, second
        yield second, first


def common(one: Answers, other: Answers) -> tuple[Aligned, Aligned]:
    """Two languages on the items they share, which must be the same questions.

    Raises:
        ValueError: a common item has other options or another right answer in the other language.
    """
    (first,), (second,) = aligned([one]), aligned([other])
    left, right = shared(one.items, other.items)
    pair = first.at(left), second.at(right)
    count = int(differing(*pair).sum())
    if count:
        raise ValueError(
            f"{count} of {len(left)} common items differ in options or right answer between "
            f"{one.language} and {other.language} of {one.benchmark}: expected the same questions "
            "in both, so look at the benchmark's files"
        )
    return pair


def differing(left: Aligned, right: Aligned) -> Bools:
    """Which common items are not the same question [I]."""
    found: Bools = (left.gold != right.gold) | (left.options != right.options)
    return found


def shared(one: Texts, other: Texts) -> tuple[Wholes, Wholes]:
    """Where the ids that two sets of items share stand in each of them."""
    if one is other:
        everywhere = np.arange(len(one))
        return everywhere, everywhere
    _, left, right = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return left, right

"""What steering changes, cell by cell: accuracy, agreement with the pivot, and the option taken.

Every steered cell is set against the plain model on the same items in the same language and draw,
item by item, so an interval is that of a paired difference (arXiv 2505.13141, section 5). The pivot
is never steered: its own plain answers are the fixed reference.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.results.agreement import Reals, aligned, differing, rankings, shared, standardised
from analysis.results.answers import SERIES, Answers, Bools, Texts, Wholes
from analysis.statistics.correlate import Z_95
from analysis.statistics.intervals import NO_SPREAD
from analysis.statistics.paired import difference, mcnemar

STEER = "steer"
CONTROLS = ("random", "wrong_language", "wrong_dataset", "orthogonal", "halves")
CELL = (*SERIES, "intervention", "language", "layer", "coefficient", "seed")
OUTCOMES = ("accuracy", "consistency", "transfer")
NUMBERS = [
    f"{part}{outcome}{end}"
    for outcome in OUTCOMES
    for part, end in (("plain_", ""), ("", ""), ("", "_change"), ("", "_low"), ("", "_high"))
]
COLUMNS = [
    *CELL, "n", *NUMBERS, "gained", "lost", "prior_shift", "n_development", "n_held",
    "plain_development", "development_change", "held_change", "held_low", "held_high",
    "held_gained", "held_lost",
]  # fmt: skip


class _Known(NamedTuple):
    """What the cells of one language and draw share: which items are right, and the rankings.

    `items` are the places of those that the pivot's own cell has, `pivot_correct` and `pivot` its
    right answers and standardised ranks there; None where there is no such cell.
    """

    half: Bools
    items: Wholes
    pivot_correct: Bools | None = None
    pivot: Reals | None = None
    before: Reals | None = None
    starts: Wholes | None = None


def effects(answers: Sequence[Answers]) -> pd.DataFrame:
    """One row per steered cell that has its plain one: values before and after, and the change.

    `accuracy` and `transfer` (tr+ from the pivot) are shares, their changes percentage points with
    the interval of Agresti and Min (2005); `p` is McNemar's exact one for accuracy. `consistency`
    with the pivot is a correlation, the interval of its change that of the infinitesimal
    jackknife over items. Both are NaN where the pivot's own cell is missing or asks other
    questions. `prior_shift` is the total-variation distance between the shares of each option
    among the predictions. `development_` values are on the half of the items that a coefficient
    may be chosen on, `held_` ones on the other.
    """
    known: dict[tuple[str, bytes], _Known] = {}
    rows = []
    for steered, plain, pivot in _compared(answers):
        place = plain.key, steered.items.tobytes()
        if place not in known:
            known[place] = _known(plain, pivot)
        rows.append(_effect(steered, plain, known[place]))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["p"] = mcnemar(frame["gained"], frame["lost"])
    frame["held_p"] = mcnemar(frame.pop("held_gained"), frame.pop("held_lost"))
    return frame.sort_values(list(CELL), ignore_index=True)


def option_shares(answers: Sequence[Answers]) -> pd.DataFrame:
    """One row per steered cell and option: its share of the predictions, plain and steered."""
    rows = []
    for steered, plain, _ in _compared(answers):
        before, after = _shares(plain), _shares(steered)
        gold = np.bincount(plain.gold, minlength=len(before)) / len(plain.items)
        for option, (old, new, right) in enumerate(zip(before, after, gold, strict=True)):
            values = {"option": option, "plain_share": old, "share": new, "gold_share": right}
            rows.append(_coordinates(steered) | values)
    columns = [*CELL, "option", "plain_share", "share", "gold_share"]
    return pd.DataFrame(rows, columns=columns)


def against_plain(answers: Sequence[Answers]) -> pd.DataFrame:
    """Is coefficient 0 the plain model? One row per language and draw of the reference cells.

    `agree` of `n` predictions equal those of the plain rows on the same items; all of them should.
    """
    names = ("model", "revision", "benchmark", "prompt", "language")
    plain = {tuple(getattr(one, name) for name in names): one for one in answers if one.is_plain}
    rows = []
    for one in (one for one in answers if one.is_reference):
        place = tuple(getattr(one, name) for name in names)
        if place not in plain:
            continue
        left, right = shared(one.items, plain[place].items)
        same = one.prediction[left] == plain[place].prediction[right]
        counts = {"seed": one.seed, "agree": int(same.sum()), "n": len(left)}
        rows.append(dict(zip(names, place, strict=True)) | counts)
    return pd.DataFrame(rows, columns=[*names, "seed", "agree", "n"])


def in_development(items: Texts) -> Bools:
    """Which items a coefficient may be chosen on: half of them, by a hash of their ids."""
    return np.array([_first_half(str(item)) for item in items], dtype=bool)


@lru_cache(maxsize=100_000)
def _first_half(item: str) -> bool:
    """Whether a hash of an item's id is even."""
    return sha256(item.encode()).digest()[0] % 2 == 0


def _compared(answers: Sequence[Answers]) -> Iterator[tuple[Answers, Answers, Answers | None]]:
    """Every steered cell with the plain one of its language and draw, and that of the pivot."""
    reference = {_place(one, one.language): one for one in answers if one.is_reference}
    for one in answers:
        plain = reference.get(_place(one, one.language))
        if one.is_plain or one.is_reference or plain is None or not len(one.items):
            continue
        left, right = shared(one.items, plain.items)
        pivot = reference.get(_place(one, str(one.pivot)))
        yield one.at(left), plain.at(right), pivot


def _place(one: Answers, language: str) -> tuple[object, ...]:
    """What a reference cell is found by."""
    return (
        one.model, one.revision, one.benchmark, one.prompt, one.pivot, one.seed, language,
    )  # fmt: skip


def _coordinates(steered: Answers) -> dict[str, object]:
    """Where a steered cell stands; switches that were not recorded are an empty text."""
    return {name: getattr(steered, name) for name in CELL} | {"switches": steered.switches or ""}


def _known(plain: Answers, pivot: Answers | None) -> _Known:
    """What is computed once for all steered cells of a language and draw."""
    half = in_development(plain.items)
    if pivot is None:
        return _Known(half, np.arange(0))
    left, right = shared(plain.items, pivot.items)
    (fixed,), (before,) = aligned([pivot.at(right)]), aligned([plain.at(left)])
    if not len(left) or differing(before, fixed).any():
        return _Known(half, np.arange(0))
    return _Known(
        half=half,
        items=left,
        pivot_correct=fixed.correct[0],
        pivot=standardised(rankings(fixed))[0],
        before=standardised(rankings(before))[0],
        starts=np.cumsum(fixed.options) - fixed.options,
    )


def _effect(steered: Answers, plain: Answers, known: _Known) -> dict[str, object]:
    """One row of `effects`."""
    before, after, half = plain.correct, steered.correct, known.half
    whole = difference(before, after)
    chosen, held = (difference(before[part], after[part]) for part in (half, ~half))
    return (
        _coordinates(steered)
        | {"n": len(plain.items), "prior_shift": _prior_shift(plain, steered)}
        | {"gained": whole.gained, "lost": whole.lost}
        | _outcome("accuracy", before.mean(), after.mean(), *whole[:3])
        | _with_pivot(steered, plain, known)
        | {"n_development": int(half.sum()), "n_held": int((~half).sum())}
        | {"plain_development": float(before[half].mean()) if half.any() else nan}
        | {"development_change": chosen.change, "held_change": held.change}
        | {"held_low": held.low, "held_high": held.high}
        | {"held_gained": held.gained, "held_lost": held.lost}
    )


def _outcome(
    name: str, before: float, after: float, change: float, low: float, high: float
) -> dict[str, object]:
    """The columns of one outcome."""
    return {
        f"plain_{name}": float(before),
        name: float(after),
        f"{name}_change": change,
        f"{name}_low": low,
        f"{name}_high": high,
    }


def _with_pivot(steered: Answers, plain: Answers, known: _Known) -> dict[str, object]:
    """Consistency with the pivot and transfer from it, before and after."""
    if known.pivot_correct is None:
        nothing = _outcome("consistency", nan, nan, nan, nan, nan)
        return nothing | _outcome("transfer", nan, nan, nan, nan, nan)
    old, new = (one.correct[known.items][known.pivot_correct] for one in (plain, steered))
    shares = (float(old.mean()), float(new.mean())) if len(old) else (nan, nan)
    (after,) = aligned([steered.at(known.items)])
    return _outcome("transfer", *shares, *difference(old, new)[:3]) | _outcome(
        "consistency", *_consistency(known, standardised(rankings(after))[0])
    )


def _consistency(known: _Known, after: Reals) -> tuple[float, float, float, float, float]:
    """Both consistencies, their difference and its interval.

    An item's influence on a correlation of standardised x and y is the sum over its options of
    x y - r (x^2 + y^2) / 2; the variance of a difference is that of the influences' differences.
    """
    x, before = known.pivot, known.before
    assert x is not None and before is not None and known.starts is not None
    r, s = float(x @ before), float(x @ after)
    moved = x * (after - before) - (s * (x * x + after * after) - r * (x * x + before * before)) / 2
    influences = np.add.reduceat(moved, known.starts)
    n = len(influences)
    spread = sqrt(float(influences @ influences))
    # Where no rank moved there is nothing to estimate a spread from.
    half = Z_95 * spread * sqrt(n / (n - 1)) if n > 1 and spread > NO_SPREAD else nan
    return r, s, s - r, s - r - half, s - r + half


def _shares(one: Answers) -> npt.NDArray[np.float64]:
    """The share of every option among the predictions [J]."""
    counts = np.bincount(one.prediction[one.prediction >= 0], minlength=one.ranks.shape[1])
    return counts / max(1, len(one.items))


def _prior_shift(plain: Answers, steered: Answers) -> float:
    """Total-variation distance between the shares of the options."""
    return float(np.abs(_shares(plain) - _shares(steered)).sum() / 2)

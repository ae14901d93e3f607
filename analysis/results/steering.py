"""What steering changes, cell by cell: accuracy, agreement with the pivot, and the option taken.

Every steered cell is set against the plain model on the same items in the same language and draw,
item by item, so an interval is that of a paired difference (arXiv 2505.13141, section 5). The pivot
is never steered: its own plain answers are the fixed reference.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from analysis.statistics.paired import differences, mcnemar

STEER = "steer"
CONTROLS = ("random", "wrong_language", "wrong_dataset", "orthogonal", "halves")
CELL = (*SERIES, "intervention", "language", "layer", "coefficient", "seed")
OUTCOMES = ("accuracy", "consistency", "transfer")
NUMBERS = [
    f"{part}{outcome}{end}"
    for outcome in OUTCOMES
    for part, end in (("plain_", ""), ("", ""), ("", "_change"), ("", "_low"), ("", "_high"))
]
Column = npt.NDArray[np.floating | np.integer]
COLUMNS = [
    *CELL, "n", *NUMBERS, "gained", "lost", "prior_shift", "n_development", "n_held",
    "plain_development", "development_change", "held_change", "held_low", "held_high",
    "held_gained", "held_lost",
]  # fmt: skip


class _Pivot(NamedTuple):
    """What the pivot answered to a language's items: which it has right, and its ranking.

    `items` are the places of the items that it has; rankings are standardised, `before` that of the
    plain model in the language. `starts` are the places of each item's first option in them.
    """

    items: Wholes
    correct: Bools
    ranking: Reals
    before: Reals
    starts: Wholes


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
    frame = _frame(
        [(steered, _effects(steered, plain, pivot)) for steered, plain, pivot in _together(answers)]
    )
    frame = frame.reindex(columns=COLUMNS)
    frame["p"] = mcnemar(frame["gained"], frame["lost"])
    frame["held_p"] = mcnemar(frame.pop("held_gained"), frame.pop("held_lost"))
    return frame.sort_values(list(CELL), ignore_index=True)


def option_shares(answers: Sequence[Answers]) -> pd.DataFrame:
    """One row per steered cell and option: its share of the predictions, plain and steered."""
    found = []
    for steered, plain, _ in _together(answers):
        shares = _shares([plain, *steered])
        gold = np.bincount(plain.gold, minlength=shares.shape[1]) / len(plain.items)
        options, each = np.arange(shares.shape[1]), [one for one in steered for _ in shares[0]]
        numbers = {"option": options, "plain_share": shares[0], "gold_share": gold}
        tiled = {name: np.tile(column, len(steered)) for name, column in numbers.items()}
        found.append((each, tiled | {"share": shares[1:].ravel()}))
    return _frame(found).reindex(columns=[*CELL, "option", "plain_share", "share", "gold_share"])


def _frame(
    parts: Sequence[tuple[Sequence[Answers], Mapping[str, Column | float]]],
) -> pd.DataFrame:
    """A row per cell: where it stands, and its numbers, one each or one of all."""
    cells = [one for steered, _ in parts for one in steered]
    columns: dict[str, object] = {name: [getattr(one, name) for one in cells] for name in CELL}
    for name in parts[0][1] if parts else ():
        columns[name] = np.concatenate(
            [np.broadcast_to(numbers[name], len(steered)) for steered, numbers in parts]
        )
    frame = pd.DataFrame(columns)
    # Switches that were not recorded are an empty text.
    return frame.assign(switches=frame["switches"].fillna(""))


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


def _together(
    answers: Sequence[Answers],
) -> Iterator[tuple[list[Answers], Answers, Answers | None]]:
    """All steered cells of a language and draw that were asked the same, with the plain one on
    their items, and that of the pivot."""
    reference = {_place(one, one.language): one for one in answers if one.is_reference}
    found: dict[tuple[object, ...], tuple[list[Answers], Answers, Answers | None]] = {}
    for one in answers:
        plain = reference.get(_place(one, one.language))
        if one.is_plain or one.is_reference or plain is None or not len(one.items):
            continue
        left, right = shared(one.items, plain.items)
        one = one.at(left)
        asked = (one.items.tobytes(), one.gold.tobytes(), one.options.tobytes())
        place = (plain.key, str(one.pivot), one.ranks.shape[1], *asked)
        if place not in found:
            pivot = reference.get(_place(one, str(one.pivot)))
            found[place] = [], plain.at(right), pivot
        found[place][0].append(one)
    yield from found.values()


def _place(one: Answers, language: str) -> tuple[object, ...]:
    """What a reference cell is found by."""
    return (
        one.model, one.revision, one.benchmark, one.prompt, one.pivot, one.seed, language,
    )  # fmt: skip


def _effects(
    steered: Sequence[Answers], plain: Answers, pivot: Answers | None
) -> dict[str, Column | float]:
    """The numbers of `effects` [C] of steered cells that were asked what the plain one was."""
    before, after = plain.correct, np.stack([one.correct for one in steered])
    half = in_development(plain.items)
    whole = differences(before, after)
    chosen, held = (differences(before[part], after[:, part]) for part in (half, ~half))
    shares = _shares([plain, *steered])
    return (
        {"n": len(before), "prior_shift": np.abs(shares[1:] - shares[0]).sum(axis=1) / 2}
        | {"gained": whole.gained, "lost": whole.lost}
        | _outcome("accuracy", float(before.mean()), after.mean(axis=1), *whole[:3])
        | _with_pivot(steered, plain, _common(steered[0], plain, pivot))
        | {"n_development": int(half.sum()), "n_held": int((~half).sum())}
        | {"plain_development": float(before[half].mean()) if half.any() else nan}
        | {"development_change": chosen.change, "held_change": held.change}
        | {"held_low": held.low, "held_high": held.high}
        | {"held_gained": held.gained, "held_lost": held.lost}
    )


def _outcome(
    name: str,
    before: float,
    after: Column | float,
    change: Column | float,
    low: Column | float,
    high: Column | float,
) -> dict[str, Column | float]:
    """The columns of one outcome."""
    return {
        f"plain_{name}": before,
        name: after,
        f"{name}_change": change,
        f"{name}_low": low,
        f"{name}_high": high,
    }


def _common(steered: Answers, plain: Answers, pivot: Answers | None) -> _Pivot | None:
    """The pivot on the items that it shares; None without any, or where the questions differ."""
    if pivot is None:
        return None
    left, right = shared(plain.items, pivot.items)
    (fixed,), (before,) = aligned([pivot.at(right)]), aligned([plain.at(left)])
    (after,) = aligned([steered.at(left)])
    if not len(left) or differing(before, fixed).any() or differing(after, fixed).any():
        return None
    return _Pivot(
        items=left,
        correct=fixed.correct[0],
        ranking=standardised(rankings(fixed))[0],
        before=standardised(rankings(before))[0],
        starts=np.cumsum(fixed.options) - fixed.options,
    )


def _with_pivot(
    steered: Sequence[Answers], plain: Answers, pivot: _Pivot | None
) -> dict[str, Column | float]:
    """Consistency with the pivot and transfer from it, before and after."""
    if pivot is None:
        nothing = _outcome("consistency", nan, nan, nan, nan, nan)
        return nothing | _outcome("transfer", nan, nan, nan, nan, nan)
    at = [one.at(pivot.items) for one in steered]
    (together,) = aligned(at)
    old = plain.correct[pivot.items][pivot.correct]
    new = together.correct[:, pivot.correct]
    before, after = (float(old.mean()), new.mean(axis=1)) if len(old) else (nan, nan)
    return _outcome("transfer", before, after, *differences(old, new)[:3]) | _outcome(
        "consistency", *_consistency(pivot, standardised(rankings(together)))
    )


def _consistency(pivot: _Pivot, after: Reals) -> tuple[float, Column, Column, Column, Column]:
    """Both consistencies, their difference and its interval, for rankings of C cells [C, options].

    An item's influence on a correlation of standardised x and y is the sum over its options of
    x y - r (x^2 + y^2) / 2; the variance of a difference is that of the influences' differences.
    """
    x, before = pivot.ranking, pivot.before
    r, s = float(x @ before), after @ x
    squares = s[:, None] * (x * x + after * after) - r * (x * x + before * before)
    influences = np.add.reduceat(x * (after - before) - squares / 2, pivot.starts, axis=1)
    n = influences.shape[1]
    spread = np.sqrt((influences**2).sum(axis=1))
    # Where no rank moved there is nothing to estimate a spread from.
    known = (spread > NO_SPREAD) & (n > 1)
    half = Z_95 * np.where(known, spread, nan) * sqrt(n / max(1, n - 1))
    return r, s, s - r, s - r - half, s - r + half


def _shares(cells: Sequence[Answers]) -> Reals:
    """The share of every option among the predictions of cells with the same items [C, J]."""
    options = np.arange(max(one.ranks.shape[1] for one in cells))
    taken = np.stack([one.prediction for one in cells])
    counts = np.stack([(taken == option).sum(axis=1) for option in options], axis=1)
    found: Reals = counts / max(1, taken.shape[1])
    return found

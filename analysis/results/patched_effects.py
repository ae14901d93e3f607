"""What patches do, layer by layer: corrections, damage, symbols, controls, the best layer held out.

Of `analysis.results.patched` records. Intervals and tests are over items, or over items that come
once for each of several languages.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.results.answers import Bools, Texts, Wholes
from analysis.results.patched import Patched
from analysis.results.steering import in_development
from analysis.statistics import gaps
from analysis.statistics.intervals import of_groups, wilson
from analysis.statistics.paired import benjamini_hochberg, mcnemar

Floats = npt.NDArray[np.float64]


def rates(one: Patched, *, clustered: bool = False) -> pd.DataFrame:
    """A row per layer: what the patch corrects, damages and shifts, with 95 % intervals.

    `correction` is the share of failures whose choice turns right, `damage` that of successes whose
    choice turns wrong, `net` the first less the second, `pivot_wrong` the share of items that the
    pivot answers wrong too whose choice turns right, `shift` the mean change of the right option's
    margin over failures. `copied` is the share of failures and successes whose choice is the
    pivot's own.

    Args:
        one: the answers.
        clustered: items come several times, once per language: intervals of shares then count
            independent ones (`of_groups`); otherwise they are Wilson's.
    """
    right, items = one.right, _codes(one.items)
    size = int(items.max()) + 1
    drawn = gaps.weights(size)
    frame: dict[str, Any] = {"layer": one.layers}
    groups = {
        "correction": (one.failed, right),
        "damage": (one.succeeded, ~right),
        "pivot_wrong": (one.neither, right),
    }
    tallies = {}
    for name, (held, hits) in groups.items():
        sums, counts = gaps.tally(hits[held], items[held], size)
        tallies[name] = sums, counts[:, None]
        frame |= _share(name, sums, counts, clustered=clustered)
    frame["net"] = frame["correction"] - frame["damage"]
    net = gaps.ratios(*tallies["correction"], drawn) - gaps.ratios(*tallies["damage"], drawn)
    frame["net_low"], frame["net_high"] = gaps.of_draws(net)
    known = one.failed & np.isfinite(one.shifts).all(axis=1)
    sums, counts = gaps.tally(one.shifts[known].astype(float), items[known], size)
    n = counts.sum()
    frame["shift"] = sums.sum(axis=0) / n if n else np.full(len(one.layers), np.nan)
    frame["shift_low"], frame["shift_high"] = gaps.ratio_interval(sums, counts[:, None], drawn)
    either = one.failed | one.succeeded
    same = one.predictions[either] == one.pivot_clean[either, None]
    frame["copied"] = same.mean(axis=0) if len(same) else np.nan
    return pd.DataFrame(frame)


def symbols(one: Patched, *, clustered: bool = False) -> pd.DataFrame:
    """A row per layer and group of items: the target's own right option against the source's.

    Of failures and successes (`items`): how often the choice is the item's `own` right option and
    how often the one that is right in the source, `source`, each beside the plain model's share.
    With two options a failure already chooses the symbol that is right in the turned source, so
    only the change from the plain share says what was carried over.
    """
    codes = _codes(one.items)
    size = int(codes.max(initial=-1)) + 1
    parts = []
    for name, held in (("failures", one.failed), ("successes", one.succeeded)):
        frame: dict[str, Any] = {"layer": one.layers}
        for column, hits, plain in (
            ("own", one.right, one.clean == one.gold),
            ("source", one.symbol, one.clean == one.source_gold),
        ):
            sums, counts = gaps.tally(hits[held], codes[held], size)
            frame |= _share(column, sums, counts, clustered=clustered)
            frame[f"{column}_plain"] = float(plain[held].mean()) if held.any() else np.nan
        n = frame.pop("n_own")
        frame.pop("n_source")
        parts.append(pd.DataFrame(frame).assign(items=name, n=n))
    return pd.concat(parts, ignore_index=True)


def against(one: Patched, other: Patched, *, clustered: bool = False) -> pd.DataFrame:
    """A row per shared layer: correction by one patch less that by another, on the same failures.

    `low` and `high` are the 95 % percentiles over resampled items; `p` is McNemar's exact one, or
    with several languages that of random signs by item (`gaps.sign_flips`).
    """
    layers = np.intersect1d(one.layers, other.layers)
    left, right = _pairs(one, other)
    held = one.failed[left]
    left, right = left[held], right[held]
    hits = [
        side.right[rows][:, np.isin(side.layers, layers)]
        for side, rows in ((one, left), (other, right))
    ]
    codes = _codes(one.items[left])
    size = int(codes.max(initial=-1)) + 1
    differences = hits[0].astype(float) - hits[1]
    sums, counts = gaps.tally(differences, codes, size)
    gained, lost = (
        (first & ~second).sum(axis=0) for first, second in ((hits[0], hits[1]), hits[::-1])
    )
    n = len(left)
    frame = pd.DataFrame({"layer": layers, "n": n, "gained": gained, "lost": lost})
    frame["difference"] = differences.mean(axis=0) if n else np.nan
    if not n:
        return frame.assign(low=np.nan, high=np.nan, p=np.nan)
    ends = gaps.ratio_interval(sums, counts[:, None], gaps.weights(size))
    frame["low"], frame["high"] = ends
    exact = mcnemar(frame["gained"], frame["lost"])
    return frame.assign(p=gaps.sign_flips(sums) if clustered else exact)


def adjusted(found: pd.DataFrame, places: Sequence[str]) -> pd.DataFrame:
    """With `p_bh`, over the layers of each place that say something."""
    kept = found["p"].where(~found["uninformative"])
    groups = [found[name] for name in places]
    return found.assign(p_bh=kept.groupby(groups, dropna=False).transform(benjamini_hochberg))


def held_out(one: Patched, layers: Bools, *, control: Patched | None = None) -> dict[str, object]:
    """The layer that is best on half of the items, the first of several, and what it does on the
    others; none where a half has no failure or no success.

    Best is the highest net correction; with a control the largest difference from its correction,
    which the control's cause cannot explain. `value` is that on the other half with its 95 %
    percentile interval over items, `development` on the half that chose.

    Args:
        one: the answers.
        layers: which of its layers may be chosen [L].
        control: answers with the control's state put in.
    """
    nothing: dict[str, object] = {"layer": None, "n_failures": 0, "n_successes": 0}
    names = ("correction", "damage", "net", "value", "low", "high", "development")
    nothing |= dict.fromkeys(names, np.nan)
    first, second = (_values(one, control, half=half) for half in (True, False))
    if not layers.any() or first is None or second is None:
        return nothing
    place = int(np.where(layers, first.value, -np.inf).argmax())
    rest = ~in_development(one.items)
    failed, succeeded = one.failed & rest, one.succeeded & rest
    correction = float(one.right[failed, place].mean())
    damage = float((~one.right[succeeded, place]).mean())
    low, high = gaps.of_draws(second.drawn[:, [place]])
    return {
        "layer": int(one.layers[place]), "n_failures": int(failed.sum()),
        "n_successes": int(succeeded.sum()), "correction": correction, "damage": damage,
        "net": correction - damage, "value": float(second.value[place]), "low": float(low[0]),
        "high": float(high[0]), "development": float(first.value[place]),
    }  # fmt: skip


class _Values(NamedTuple):
    """What layers are chosen by [L], and the same of every resampling [draw, L]."""

    value: Floats
    drawn: Floats


def _values(one: Patched, control: Patched | None, *, half: bool) -> _Values | None:
    """Net correction, or the difference from a control, on one half of the items; None where it
    has no failure or no success."""
    held = in_development(one.items) == half
    failed, succeeded = one.failed & held, one.succeeded & held
    if not failed.any() or not succeeded.any():
        return None
    codes, right = _codes(one.items), one.right
    size = int(codes.max()) + 1
    drawn = gaps.weights(size)
    if control is None:
        sides = []
        for group, hits in ((failed, right), (succeeded, ~right)):
            sums, counts = gaps.tally(hits[group], codes[group], size)
            sides.append((sums, counts[:, None]))
        values = [sums.sum(axis=0) / counts.sum() for sums, counts in sides]
        net = gaps.ratios(*sides[0], drawn) - gaps.ratios(*sides[1], drawn)
        return _Values(values[0] - values[1], net)
    left, other = _pairs(one, control)
    kept = failed[left]
    left, other = left[kept], other[kept]
    if not len(left) or not np.array_equal(one.layers, control.layers):
        return None
    differences = right[left].astype(float) - control.right[other]
    sums, counts = gaps.tally(differences, codes[left], size)
    return _Values(differences.mean(axis=0), gaps.ratios(sums, counts[:, None], drawn))


def _pairs(one: Patched, other: Patched) -> tuple[Wholes, Wholes]:
    """The rows of both that are of one item in one language."""
    first, second = (
        np.char.add(np.char.add(side.languages, " "), side.items) for side in (one, other)
    )
    _, left, right = np.intersect1d(first, second, return_indices=True)
    return left, right


def _codes(items: Texts) -> Wholes:
    """A number for every id."""
    found: Wholes = np.unique(items, return_inverse=True)[1]
    return found


def _share(name: str, sums: Floats, counts: Floats, *, clustered: bool) -> dict[str, Any]:
    """A share by layer with its ends, and of how many it is."""
    n = counts.sum()
    total = sums.sum(axis=0)
    value = total / n if n else np.full(len(total), np.nan)
    if clustered:
        ends = [of_groups(column, counts) for column in sums.T]
        low, high = (np.array([end[side] for end in ends]) for side in (0, 1))
    else:
        low, high = wilson(total, n=np.full(len(total), n))
    return {f"n_{name}": int(n), name: value, f"{name}_low": low, f"{name}_high": high}

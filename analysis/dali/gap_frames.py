"""The gaps of the DALI study: are successes of transfer more often aligned than failures?

Of every language, rule and layer, with tests at one layer, over all layers, and on held-out items.
"""

from collections.abc import Iterator
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.dali.frames import TESTED, Judged, answered
from analysis.layout.material import Material
from analysis.results.answers import SERIES, Bools
from analysis.results.steering import in_development
from analysis.statistics import gaps
from analysis.statistics.intervals import student
from analysis.statistics.paired import benjamini_hochberg

Floats = npt.NDArray[np.float64]


def gap_curves(material: Material) -> pd.DataFrame:
    """By language, rule and layer the shares of successes and failures and their gap."""
    return material.get(_gaps)[0]


def gap_tests(material: Material) -> pd.DataFrame:
    """One row per series, language and rule: the gap at the layer of the highest share, its tests,
    and the gap on one half of the items at the layer with the largest on the other."""
    return material.get(_gaps)[1]


def _gaps(material: Material) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames of gaps."""
    curves, tests = [], []
    for one in material.get(answered):
        for measure, wide, test in _compared(one):
            where: dict[str, Any] = {**one.place, "language": one.cell.language, "measure": measure}
            curves.append(wide.assign(**where))
            tests.append(where | test)
    if not curves:
        return pd.DataFrame(), pd.DataFrame()
    found = pd.DataFrame(tests)
    places = [found[name] for name in (*SERIES, "measure")]
    for name in ("p", "p_permutation", "held_p"):
        adjusted = found[name].groupby(places, dropna=False).transform(benjamini_hochberg)
        found.insert(list(found.columns).index(name) + 1, f"{name}_bh", adjusted)
    return pd.concat(curves, ignore_index=True), found


def _compared(one: Judged) -> Iterator[tuple[str, pd.DataFrame, dict[str, object]]]:
    """By rule the gaps of one cell, layer by layer, and their tests; all share their permutations.

    Only the inner layers are looked for the largest gap.
    """
    cell, inner = one.cell, one.cell.inner
    first, second = one.succeeded, one.failed
    held = [measure for measure in TESTED if cell.asked[measure].any()]
    if not held:
        return
    side = np.column_stack([cell.aligned[measure][:, inner] for measure in held])
    draws = _split_p(side, first, second, count=len(held))
    for measure, (p, p_largest) in zip(held, draws, strict=True):
        hits = cell.aligned[measure]
        found = gaps.gap(hits, first=first, second=second)
        wide = pd.DataFrame(
            {"layer": cell.layers, "inner": inner, "n_success": int(first.sum()),
             "n_failure": int(second.sum()), "success": found.first, "failure": found.second,
             "gap": found.gap, "low": found.low, "high": found.high}
        )  # fmt: skip
        wide["p_permutation"] = np.nan
        wide.loc[inner, "p_permutation"] = p
        place = cell.best(measure)
        assert place is not None
        row = wide.iloc[place]
        sums = [int(hits[group, place].sum()) for group in (first, second)]
        names = ["layer", "n_success", "n_failure", "success", "failure", "gap", "low", "high"]
        test: dict[str, object] = {name: row[name] for name in names}
        test["p"] = gaps.z_test(sums[0], int(first.sum()), sums[1], int(second.sum()))
        test["p_permutation"] = row["p_permutation"]
        known = wide.loc[inner, "gap"].notna().any()
        top = int(np.where(inner, found.gap, -np.inf).argmax()) if known else None
        test["largest_layer"] = cell.layers[top] if top is not None else nan
        test["largest_gap"] = found.gap[top] if top is not None else nan
        test["p_largest"] = p_largest
        yield measure, wide, test | _held(one, hits)


def _split_p(side: Bools, first: Bools, second: Bools, *, count: int) -> list[tuple[Floats, float]]:
    """Permutation p of each rule's layers, and of its largest gap; the draws are the same."""
    parts = np.split(side, count, axis=1)
    found = [gaps.permutation(part, first=first, second=second) for part in parts]
    return [(one.p, one.largest) for one in found]


def _held(one: Judged, hits: Bools) -> dict[str, object]:
    """The layer with the largest gap on half of the items, and the gap on the others."""
    names = ("held_layer", "held_gap", "held_low", "held_high", "held_p")
    nothing: dict[str, object] = dict.fromkeys(names, nan)
    half = in_development(one.cell.items)
    sides = [(one.succeeded & part, one.failed & part) for part in (half, ~half)]
    nothing |= {"n_held_success": int(sides[1][0].sum()), "n_held_failure": int(sides[1][1].sum())}
    if not all(group.any() for side in sides for group in side):
        return nothing
    chosen = gaps.gap(hits, first=sides[0][0], second=sides[0][1])
    place = int(np.where(one.cell.inner, chosen.gap, -np.inf).argmax())
    first, second = sides[1]
    found = gaps.gap(hits[:, [place]], first=first, second=second)
    sums = [int(hits[group, place].sum()) for group in (first, second)]
    return nothing | {
        "held_layer": one.cell.layers[place], "held_gap": found.gap[0], "held_low": found.low[0],
        "held_high": found.high[0],
        "held_p": gaps.z_test(sums[0], int(first.sum()), sums[1], int(second.sum())),
    }  # fmt: skip


def gap_means(material: Material) -> pd.DataFrame:
    """Means over languages of the shares of successes and failures and of the gap, by layer."""
    found = material.get(gap_curves)
    if found.empty:
        return found
    held = found[found["gap"].notna()]
    grouped = held.groupby([*SERIES, "measure", "layer", "inner"], sort=False, dropna=False)
    means = grouped[["success", "failure", "gap"]].mean()
    means.insert(0, "languages", grouped.size())
    for name, ends in (("gap", ("low", "high")), ("success", ("success_low", "success_high")),
                       ("failure", ("failure_low", "failure_high"))):  # fmt: skip
        low, high, _ = student(means[name], sd=grouped[name].std(), n=means["languages"])
        means[ends[0]], means[ends[1]] = low, high
    return means.reset_index()

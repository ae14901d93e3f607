"""What rescaled neurons change: by language, over languages, and beside draws of other neurons.

Levels are percent and changes percentage points, as the CLAS paper prints them. The anchor is never
rescaled but by the control that does just that, so means over languages leave it out.
"""

from collections.abc import Iterable, Mapping
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.results.answers import SERIES
from analysis.results.scaled import (
    ACCURACY,
    CLAS,
    DRAWN,
    IN_ANCHOR,
    MANNER,
    METRICS,
    Cell,
    Compared,
    Floats,
    compared,
)
from analysis.statistics.bootstrap import hierarchical_bootstrap
from analysis.statistics.intervals import of_draws, student
from analysis.statistics.paired import (
    Change,
    among_draws,
    benjamini_hochberg,
    change,
    chosen,
    difference,
    mcnemar,
    prior_corrected,
)

PLACE = [*SERIES, "metric", "scheme", "draw"]
GAINS = [
    *PLACE, "language", "shared", "specific", "n", "before", "after", "change", "low", "high",
    "gained", "lost", "chance", "p_above", "p",
]  # fmt: skip
LEVELS = [*SERIES, "language", "metric", "n", "value", "chance", "p_above"]
BOOT = ["boot_low", "boot_high"]
MEANS = [*PLACE, "idle", "shared", "specific", *Change._fields, *BOOT]
SHARES = [*SERIES, "language", "option", "before", "after", "gold"]
PRIOR = [
    *SERIES, "language", "n", "shift", "top_before", "top_after", "macro_f1_before",
    "macro_f1_after", "accuracy_before", "accuracy_after", "corrected_before", "corrected_after",
]  # fmt: skip


def gains(found: Iterable[Cell]) -> pd.DataFrame:
    """One row per cell beside its reference and metric: level before and after, and the change.

    The interval of an accuracy is that of `difference`, its p McNemar's exact one; of F1 both are
    those of the paired t test over items. `p_bh` is p adjusted over the languages of a scheme
    (Benjamini and Hochberg 1995). `p_above` is the one-sided binomial p that the level before is
    above chance.
    """
    rows = [row for pair in compared(found) for row in _gains(pair)]
    frame = pd.DataFrame(rows, columns=GAINS)
    exact = frame["metric"].isin([ACCURACY, "exact"])
    frame.loc[exact, "p"] = mcnemar(frame.loc[exact, "gained"], frame.loc[exact, "lost"])
    adjusted = [
        benjamini_hochberg(own["p"]) for _, own in frame.groupby(PLACE, dropna=False, sort=False)
    ]
    frame["p_bh"] = pd.concat(adjusted) if adjusted else nan
    idle = frame["shared"].eq(0) & frame["specific"].eq(0)
    places = [*SERIES, "scheme"]
    frame["idle"] = idle.groupby([frame[name] for name in places], dropna=False).transform("all")
    frame["idle"] = frame["idle"].astype(bool)
    return frame.sort_values([*PLACE, "language"], ignore_index=True)


def levels(found: Iterable[Cell]) -> pd.DataFrame:
    """The plain model on the held-out items: one row per language and metric, in percent."""
    rows = [
        {name: getattr(one, name) for name in (*SERIES, "language")}
        | {"metric": metric, "n": len(one.items), "value": 100 * _mean(one.values[metric])}
        | _above_chance(one, metric)
        for one in found
        if one.scheme == "plain"
        for metric in METRICS
        if metric in one.values
    ]
    frame = pd.DataFrame(rows, columns=LEVELS)
    return frame.sort_values([*SERIES, "metric", "language"], ignore_index=True)


def means(found: Iterable[Cell]) -> pd.DataFrame:
    """One row per scheme, draw and metric: `paired.change` over the languages but the anchor.

    `boot_low` and `boot_high` are the interval of the hierarchical bootstrap over languages and
    items; draws of a control have none. `idle` rows changed nothing. The control that rescales the
    anchor itself has that one language.
    """
    groups: dict[tuple[object, ...], list[Compared]] = {}
    for pair in compared(found):
        one = pair.after
        if one.language == one.pivot and one.scheme != IN_ANCHOR:
            continue
        for metric in METRICS:
            if metric in one.values and metric in pair.before.values:
                groups.setdefault((*one.series, metric, one.scheme, one.draw), []).append(pair)
    rows = []
    for place, pairs in groups.items():
        named = dict(zip(PLACE, place, strict=True))
        metric = str(named["metric"])
        before, after = (
            np.array([100 * _mean(one.values[metric]) for one in side])
            for side in zip(*pairs, strict=True)
        )
        low = high = nan
        if named["scheme"] not in DRAWN and not all(pair.after.idle for pair in pairs):
            boot = hierarchical_bootstrap(_matrix(pairs, metric))
            low, high = boot.low, boot.high
        rows.append(
            named
            | {"idle": all(pair.after.idle for pair in pairs)}
            | {name: _only(getattr(pair.after, name) for pair in pairs)
               for name in ("shared", "specific")}
            | change(before, after)._asdict()
            | {"boot_low": low, "boot_high": high}
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=MEANS).astype({"idle": bool})
    return frame.sort_values(PLACE, ignore_index=True)


def against_draws(found: pd.DataFrame, *, over: bool) -> pd.DataFrame:
    """Where the real gain lies among the draws of a control, by metric, of rows of `gains`.

    With `over` one row per control, of means over the real one's languages, and else one per
    language. Draws that lack a language are left out; what is idle has no row. p is one-sided.
    """
    own = found[~found["idle"] & (found["language"] != found["pivot"])]
    places = [*SERIES, "metric", *([] if over else ["language"])]
    rows = []
    for place, group in own.groupby(places, sort=True, dropna=False):
        real = group[group["scheme"] == CLAS].set_index("language")["change"]
        for control in DRAWN if len(real) else ():
            drawn = group[group["scheme"] == control]
            wide = drawn.pivot_table(index="draw", columns="language", values="change")
            wide = wide.reindex(columns=real.index).dropna()
            if wide.empty:
                continue
            values = wide.mean(axis="columns").to_numpy(float)
            rows.append(
                dict(zip(places, place, strict=True))
                | {"control": control, "languages": len(real), "gain": float(real.mean())}
                | {"mean": float(values.mean()), "least": float(values.min())}
                | {"most": float(values.max())} | of_draws(values)._asdict()
                | {"draws" if name == "n" else name: value
                   for name, value in among_draws(float(real.mean()), values)._asdict().items()}
            )  # fmt: skip
    columns = [*places, "control", "languages", "gain", "draws", "mean", "least", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "most", "percentile", "p"])


def option_shares(found: Iterable[Cell]) -> pd.DataFrame:
    """The share of every option among the answers before and after CLAS, and among right ones."""
    rows: list[dict[str, object]] = []
    for pair in _of_choices(found):
        width = max(pair.before.scores.shape[1], int(pair.before.gold.max()) + 1)
        shares = (
            _shares(pair.before.prediction, width), _shares(pair.after.prediction, width),
            _shares(pair.before.gold, width),
        )  # fmt: skip
        for option, (old, new, gold) in enumerate(zip(*shares, strict=True)):
            values = {"option": option, "before": old, "after": new, "gold": gold}
            rows.append(_place(pair.after) | values)
    return pd.DataFrame(rows, columns=SHARES).sort_values(SHARES[:-3], ignore_index=True)


def priors(found: Iterable[Cell]) -> pd.DataFrame:
    """One row per language: what of the change is the prior of the options.

    `shift` is the total-variation distance between the shares of the options before and after,
    `top_` the largest share. Accuracy and macro F1 are percent; `corrected_` is accuracy after
    every option's own mean log-probability is taken off (`paired.prior_corrected`), each side by
    its own.
    """
    rows: list[dict[str, object]] = []
    for pair in _of_choices(found):
        row = _place(pair.after) | {"n": len(pair.after.items)}
        shares = []
        for side, one in (("before", pair.before), ("after", pair.after)):
            usual, corrected = chosen(one.scores, one.gold), prior_corrected(one.scores, one.gold)
            shares.append(np.array(usual.shares))
            row |= {
                f"top_{side}": max(usual.shares), f"macro_f1_{side}": 100 * usual.macro_f1,
                f"accuracy_{side}": 100 * usual.accuracy,
                f"corrected_{side}": 100 * corrected.accuracy,
            }  # fmt: skip
        rows.append(row | {"shift": float(np.abs(shares[0] - shares[1]).sum() / 2)})
    return pd.DataFrame(rows, columns=PRIOR).sort_values([*SERIES, "language"], ignore_index=True)


def prior_means(found: pd.DataFrame) -> pd.DataFrame:
    """Rows of `priors` over languages: each quantity before and after with `paired.change`."""
    rows = []
    for place, own in found.groupby(SERIES, sort=True, dropna=False):
        shared = dict(zip(SERIES, place, strict=True))
        shared |= {"shift": float(own["shift"].mean()), "most": float(own["shift"].max())}
        for quantity in ("accuracy", "corrected", "macro_f1"):
            before, after = (own[f"{quantity}_{side}"].to_numpy(float)
                             for side in ("before", "after"))  # fmt: skip
            rows.append(shared | {"quantity": quantity} | change(before, after)._asdict())
    return pd.DataFrame(rows, columns=[*SERIES, "shift", "most", "quantity", *Change._fields])


def manner(found: Iterable[Cell]) -> pd.DataFrame:
    """How answers are written before and after CLAS, one row per language and quantity.

    `n` texts it is known of on both sides; shares are 0 to 1.
    """
    rows = []
    for pair in compared(found):
        if pair.after.scheme != CLAS or pair.after.idle:
            continue
        for name in MANNER:
            sides = [one.values.get(name, np.empty(0)) for one in pair]
            known = [own[~np.isnan(own)] for own in sides]
            if all(len(own) for own in known):
                values = {"before": float(known[0].mean()), "after": float(known[1].mean())}
                counts = {"n_before": len(known[0]), "n": len(known[1])}
                rows.append(_place(pair.after) | {"quantity": name} | counts | values)
    columns = [*SERIES, "language", "quantity", "n_before", "n", "before", "after"]
    return pd.DataFrame(rows, columns=columns)


def _gains(pair: Compared) -> Iterable[dict[str, Any]]:
    """The rows of one cell."""
    one = pair.after
    names = (*SERIES, "scheme", "draw", "language", "shared", "specific")
    place = {name: getattr(one, name) for name in names}
    for metric in METRICS:
        if metric not in one.values or metric not in pair.before.values:
            continue
        old, new = pair.before.values[metric], one.values[metric]
        kept = ~np.isnan(old + new)
        old, new = old[kept], new[kept]
        numbers = {"before": 100 * _mean(old), "after": 100 * _mean(new)}
        yield (
            place | {"metric": metric, "n": len(old)} | numbers | _above_chance(pair.before, metric)
            | (_of_shares(old, new) if metric in (ACCURACY, "exact") else _of_values(old, new))
        )  # fmt: skip


def _of_shares(old: Floats, new: Floats) -> dict[str, float]:
    """The change of a share of right items."""
    return difference(old > 0.5, new > 0.5)._asdict() | {"p": nan}


def _of_values(old: Floats, new: Floats) -> dict[str, float]:
    """The change of a mean over items; it has no count of items that were gained or lost."""
    moved, n = 100 * (new - old), len(old)
    sd = float(moved.std(ddof=1)) if n > 1 else nan
    low, high, p = (float(end) for end in student(_mean(moved), sd=sd, n=n))
    ends = {"low": low, "high": high, "p": p}
    return {"change": _mean(moved), "gained": int((moved > 0).sum()),
            "lost": int((moved < 0).sum())} | ends  # fmt: skip


def _above_chance(one: Cell, metric: str) -> dict[str, float]:
    """The accuracy of guessing, and the p that the cell is above it."""
    if metric != ACCURACY or one.chance != one.chance:
        return {"chance": nan, "p_above": nan}
    right, n = int(one.values[ACCURACY].sum()), len(one.items)
    p = float(stats.binomtest(right, n, one.chance, alternative="greater").pvalue)
    return {"chance": 100 * one.chance, "p_above": p}


def _of_choices(found: Iterable[Cell]) -> Iterable[Compared]:
    """The rescaled cells whose options have scores, beside their reference."""
    for pair in compared(one for one in found if one.scheme in ("plain", CLAS)):
        scored = pair.before.scores.size and pair.after.scores.size
        if scored and not pair.after.idle and pair.after.language != pair.after.pivot:
            yield pair


def _place(one: Cell) -> dict[str, object]:
    """Where a cell stands."""
    return {name: getattr(one, name) for name in (*SERIES, "language")}


def _matrix(pairs: list[Compared], metric: str) -> Floats:
    """The change of every item in points [language, item], NaN where a language lacks one."""
    ids = sorted({str(item) for pair in pairs for item in pair.after.items})
    places: Mapping[str, int] = {item: place for place, item in enumerate(ids)}
    found = np.full((len(pairs), len(ids)), nan)
    for row, pair in enumerate(pairs):
        moved = 100 * (pair.after.values[metric] - pair.before.values[metric])
        found[row, [places[str(item)] for item in pair.after.items]] = moved
    return found


def _shares(options: Any, width: int) -> Floats:
    """The share of every option."""
    known = options[options >= 0]
    return np.bincount(known, minlength=width)[:width] / max(1, len(options))


def _only(values: Iterable[float]) -> float:
    """The one value of all, NaN where they differ."""
    held = {round(value, 9) for value in values if value == value}
    return held.pop() if len(held) == 1 else nan


def _mean(values: Floats) -> float:
    """The mean of what is known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else nan

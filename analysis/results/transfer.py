"""Frames of agreement between languages: every pair, every language, and the whole (Table 1).

How two languages are compared is in analysis/agreement.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
import pandas as pd
from scipy import stats

from analysis.results import item_draws
from analysis.results.agreement import (
    Aligned,
    aligned,
    blocks,
    common,
    correlations,
    differing,
    directed,
)
from analysis.results.answers import SUBJECT, Answers
from analysis.results.conditions import PIVOT
from analysis.statistics.intervals import wilson
from analysis.statistics.scores import LEVEL

SET = SUBJECT[:-1]
MEASURES = ("consistency", "tr_plus", "tr_minus", "excess_plus", "excess_minus")
PAIR = [*SET, "source", "target", "n", *MEASURES, "differing"]
_NO_INTERVAL: dict[str, object] = {
    f"{name}_{end}": nan
    for name in ("consistency_pivot", "transfer_pivot")
    for end in ("low", "high")
}
BY_LANGUAGE = [
    *SUBJECT, "n", "options", "accuracy", "low", "high", "chance", "p_above_chance", "consistency",
    "transfer_in", "excess_in", "undefined", "pivot", "consistency_pivot",
    "consistency_pivot_low", "consistency_pivot_high", "transfer_pivot", "transfer_pivot_low",
    "transfer_pivot_high", "excess_pivot",
]  # fmt: skip
OVERALL = [
    *SET, "languages", "n", "chance", "above", "accuracy", "accuracy_std",
    *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")),
    "accuracy_low", "accuracy_high", "undefined_plus", "undefined_minus", "differing",
]  # fmt: skip


def pairs(answers: Sequence[Answers]) -> pd.DataFrame:
    """Every ordered pair of languages under one model, benchmark and prompt, plain answers alone.

    `excess_plus` is tr+ less the target's accuracy on the `n` common items. `excess_minus` is tr-
    less (1 - that accuracy) times the mean of 1 / (options - 1) over the items wrong in the
    source. Undefined values are NaN. A pair whose common items are not the same question
    (`differing` of them have other options or another right answer) is not compared: all its
    values are NaN.
    """
    found = [pd.DataFrame(columns=PAIR)]
    for place, group in sets(answers).items():
        frame = pd.concat([_pairs_of(left, right) for left, right in blocks(group)])
        frame = frame[frame["source"] != frame["target"]]
        found.append(frame.assign(**dict(zip(SET, place, strict=True)))[PAIR])
    joined = pd.concat(found[1:] or found, ignore_index=True)
    return joined.sort_values([*SET, "source", "target"], ignore_index=True)


def refusals(found: pd.DataFrame) -> list[dict[str, object]]:
    """The models and benchmarks with pairs that were not compared, and the languages to blame."""
    rows = []
    for place, group in found[found["differing"] > 0].groupby(list(SET), sort=True):
        worst = group.sort_values("differing").iloc[-1]
        counts = pd.concat([group["source"], group["target"]]).value_counts()
        names = [str(name) for name in counts.index if counts[name] > counts.iloc[0] / 2]
        rows.append(
            dict(zip(SET, place, strict=True))
            | {"pairs": len(group), "languages": names}
            | {"differing": worst["differing"], "n": worst["n"]}
        )
    return rows


def sets(answers: Sequence[Answers]) -> dict[tuple[str, ...], list[Answers]]:
    """The plain answers of every model, revision, benchmark and prompt, by language."""
    found: dict[tuple[str, ...], list[Answers]] = {}
    for one in sorted(
        (one for one in answers if one.is_plain and len(one.items)), key=lambda one: one.language
    ):
        place = (one.model, one.revision, one.benchmark, one.prompt)
        found.setdefault(place, []).append(one)
    return dict(sorted(found.items()))


def pivots(answers: Sequence[Answers]) -> dict[tuple[str, ...], str]:
    """The pivot of every set of plain answers: the one most steered toward, else English."""
    named: dict[tuple[str, ...], list[str]] = {}
    for one in answers:
        if one.pivot:
            named.setdefault((one.model, one.revision, one.benchmark), []).append(one.pivot)
    most = {
        place: str(pd.Series(found, dtype=object).value_counts().index[0])
        for place, found in named.items()
    }
    return {place: most.get(place[:3], PIVOT) for place in sets(answers)}


def by_language(answers: Sequence[Answers], *, found: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per model, revision, benchmark, prompt and language of plain answers.

    `consistency` is the mean over the other languages, `transfer_in` and `excess_in` the mean over
    sources; `undefined` counts the sources without a value. `consistency_pivot`, `transfer_pivot`
    (from it) and `excess_pivot` are those with `pivot`, with 95 % intervals over items; the pivot
    itself has none. `p_above_chance` is the one-sided exact binomial probability of that many hits
    or more by chance. `found` are the `pairs`, where the caller has them.
    """
    compared = pairs(answers) if found is None else found
    places = _by_place(compared)
    main = pivots(answers)
    rows: list[dict[str, object]] = []
    for place, group in sets(answers).items():
        held = places.get(place, compared.iloc[:0])
        into = held.groupby("target")
        means = into[["consistency", "tr_plus", "excess_plus"]].mean()
        counts = into["tr_plus"].agg(lambda values: int(values.isna().sum()))
        beside = held[held["source"] == main[place]].set_index("target")
        first = next((one for one in group if one.language == main[place]), None)
        for one in group:
            row = dict(zip(SET, place, strict=True)) | _accuracy(one) | {"pivot": main[place]}
            there = one.language in means.index
            row |= {
                "consistency": means["consistency"].get(one.language, nan),
                "transfer_in": means["tr_plus"].get(one.language, nan),
                "excess_in": means["excess_plus"].get(one.language, nan),
                "undefined": int(counts[one.language]) if there else 0,
                "consistency_pivot": beside["consistency"].get(one.language, nan),
                "transfer_pivot": beside["tr_plus"].get(one.language, nan),
                "excess_pivot": beside["excess_plus"].get(one.language, nan),
            }
            compare = first is not None and row["consistency_pivot"] == row["consistency_pivot"]
            row |= _with_pivot(first, one) if compare and first else _NO_INTERVAL
            rows.append(row)
    return pd.DataFrame(rows, columns=BY_LANGUAGE)


def overall(answers: Sequence[Answers], *, found: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 1: one row per model, revision, benchmark and prompt, over its languages.

    `accuracy` and its `accuracy_std` (ddof 1) are over languages, the others means over all
    ordered pairs of different languages that are defined; `undefined_plus` and `undefined_minus`
    count those that are not, `differing` those that were not compared. Each mean has a 95 %
    interval `_low`, `_high` over items, drawn for all languages at once; it is missing where the
    languages do not share their items. `above` counts the languages whose accuracy is above
    chance (one-sided binomial p < .05).
    """
    compared = pairs(answers) if found is None else found
    places = _by_place(compared)
    rows: list[dict[str, object]] = []
    for place, group in sets(answers).items():
        held = places.get(place, compared.iloc[:0])
        each = pd.DataFrame([_accuracy(one) for one in group])
        refused = held["differing"] > 0
        row: dict[str, object] = dict(zip(SET, place, strict=True)) | {
            "languages": len(group),
            "n": int(each["n"].min()),
            "chance": float(each["chance"].mean()),
            "above": int((each["p_above_chance"] < LEVEL).sum()),
            "accuracy": float(each["accuracy"].mean()),
            "accuracy_std": float(each["accuracy"].std(ddof=1)),
            "undefined_plus": int((held["tr_plus"].isna() & ~refused).sum()),
            "undefined_minus": int((held["tr_minus"].isna() & ~refused).sum()),
            "differing": int(refused.sum()),
        }
        row |= {name: float(held[name].astype(float).mean()) for name in MEASURES}
        kinds = aligned(group)
        ends = item_draws.overall(kinds[0]) if len(kinds) == 1 else {}
        for name in ("accuracy", *MEASURES):
            row[f"{name}_low"], row[f"{name}_high"] = ends.get(name, (nan, nan))
        rows.append(row)
    return pd.DataFrame(rows, columns=OVERALL)


def _by_place(found: pd.DataFrame) -> dict[tuple[object, ...], pd.DataFrame]:
    """The pairs of every model, revision, benchmark and prompt."""
    return {tuple(place): group for place, group in found.groupby(list(SET), sort=False)}


def _accuracy(one: Answers) -> dict[str, object]:
    """Accuracy of a language with Wilson's interval, and its distance from chance."""
    hits, n = int(one.correct.sum()), len(one.items)
    counts = one.options
    chance = float((1 / counts[counts > 0]).mean()) if (counts > 0).any() else nan
    low, high = wilson(np.array([float(hits)]), n=np.array([float(n)]))
    return {
        "language": one.language,
        "n": n,
        "options": float(counts.mean()),
        "accuracy": hits / n,
        "low": float(low[0]),
        "high": float(high[0]),
        "chance": chance,
        "p_above_chance": float(stats.binom.sf(hits - 1, n, chance)) if 0 < chance < 1 else nan,
    }


def _with_pivot(pivot: Answers, one: Answers) -> dict[str, object]:
    """The intervals over items of what a language shares with the pivot."""
    left, right = common(pivot, one)
    ends = item_draws.with_pivot(left, right)
    return {
        f"{name}_{end}": value
        for name, pair in ends.items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }


def _pairs_of(left: Aligned, right: Aligned) -> pd.DataFrame:
    """All pairs of a language on the left, the source, and one on the right."""
    shape = len(left.languages), len(right.languages)
    unlike = int(differing(left, right).sum())
    values = dict.fromkeys(MEASURES, np.full(shape, nan))
    if not unlike and len(left.items):
        values = directed(left, right)._asdict() | {"consistency": correlations(left, right)}
    return pd.DataFrame(
        {
            "source": np.repeat(left.languages, shape[1]),
            "target": np.tile(right.languages, shape[0]),
            "n": len(left.items),
            "differing": unlike,
        }
        | {name: values[name].ravel() for name in MEASURES}
    )

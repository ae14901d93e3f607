"""The numbers of NeuronXA's summary: what was covered, the headline correlation, its rivals."""

from collections.abc import Mapping

import pandas as pd

from analysis.layout import prose, tables
from analysis.layout.material import Material, last, main_metric
from analysis.results import conditions
from analysis.shared.quality import near_chance
from analysis.statistics import correlate, dependent, resample
from analysis.statistics.scores import FEW_LANGUAGES, LEVEL

BASELINE = "mexa"
PLACE = [*correlate.SUBJECT, *correlate.TASK]
Found = Mapping[str, object]


def facts(material: Material) -> Found:
    """Everything that the summary and the warnings say."""
    return scope(material) | finding(material) | warnings(material)


def scope(material: Material) -> dict[str, object]:
    """What was measured on what."""
    scores, accuracies = material.scores, material.accuracies
    columns = ["model", "revision"]
    both = pd.concat([scores[columns], accuracies[columns]]).drop_duplicates()
    pivot = conditions.pivot(material.broad)
    return {
        "models": both["model"].nunique(),
        "states": len(both),
        "languages": len(set(scores["language"]) | set(accuracies["language"])),
        "pairs": [conditions.pairs_in_words(text) for text in conditions.pairs(scores).values()],
        "datasets": sorted(set(scores["dataset"])),
        "pivot": pivot,
        "pivots": sorted(set(scores["pivot"]) - {pivot}),
        "benchmarks": sorted(set(accuracies["benchmark"])),
        "correlations": len(material.correlations),
    }


def finding(material: Material) -> dict[str, object]:
    """The headline correlation with its interval and n, and the other scores on the same terms."""
    headline = material.headline
    found = main_metric(last(material.on_terms), material.accuracies)
    own = conditions.one(found[found["pooling"] == headline.pooling])
    chosen = own[own["measure"] == headline.measure]
    defined = chosen[chosen["r"].notna()]
    nothing: dict[str, object] = {
        "finding": None,
        "others": [],
        "undefined": sorted(set(chosen["note"])),
    }
    if material.correlations.empty or defined.empty:
        return nothing
    points = last(material.main_points).merge(own[PLACE])
    held = material.main_scores
    on = [str(own[name].iloc[0]) for name in ("dataset", "switches") if held[name].nunique() > 1]
    name = ", ".join([f"{headline.pooling} pooling", "mean over layers", *on])
    low, high = float(defined["low"].iloc[0]), float(defined["high"].iloc[0])
    if len(defined) > 1:
        groups = points.merge(defined[PLACE]).groupby(PLACE, sort=True)
        low, high = resample.interval_of_mean([group for _, group in groups])
    return _against(own, points, material) | {
        "finding": {
            "name": f"{headline.measure.upper()} ({name})",
            "count": len(defined),
            "benchmark": defined["benchmark"].iloc[0],
            "note": defined["note"].iloc[0],
            "r": defined["r"].mean(),
            "low": low,
            "high": high,
            "least": defined["r"].min(),
            "most": defined["r"].max(),
            "n": prose.span(defined["n"], ".0f"),
            "above": int((defined["low"] > 0).sum()),
            "below": int((defined["high"] < 0).sum()),
        }
    }


def _against(own: pd.DataFrame, points: pd.DataFrame, material: Material) -> dict[str, object]:
    """The headline score against its baseline, and the means of the other scores."""
    headline = material.headline
    means = own.groupby("measure")["r"].mean().drop(headline.measure, errors="ignore").dropna()
    others = [f"{name.upper()} {means[name]:.2f}" for name in tables.MEASURES if name in means]
    wins = losses = tested = 0
    key = [name for name in own.columns if name in PLACE and name != "measure"]
    wide = points.pivot_table(index=[*key, "language"], columns="measure", values="score")
    accuracy = points.groupby([*key, "language"])["accuracy"].first()
    for _, group in wide.groupby(key, sort=True) if BASELINE in means else ():
        both = group[[headline.measure, BASELINE]].dropna()
        found = dependent.difference(
            both[headline.measure].to_numpy(float), second=both[BASELINE].to_numpy(float),
            y=accuracy.loc[both.index].to_numpy(float),
        )  # fmt: skip
        tested += found.p == found.p
        wins += found.p < LEVEL and found.difference > 0
        losses += found.p < LEVEL and found.difference < 0
    return {
        "others": others, "wins": wins, "losses": losses, "tested": tested,
        "headline": headline.measure.upper(), "baseline": BASELINE.upper(),
    }  # fmt: skip


def warnings(material: Material) -> dict[str, object]:
    """Few languages, and accuracies at chance."""
    found = last(material.on_terms)
    few = found[found["r"].notna() & (found["n"] < FEW_LANGUAGES)]
    counts = material.get(near_chance)
    weak = counts[counts["near"] * 2 >= counts["languages"]]
    return {
        "few": {
            "benchmarks": list(dict.fromkeys(few["benchmark"])),
            "n": prose.span(few["n"], ".0f") if len(few) else "",
            "fewest": FEW_LANGUAGES,
        }
        if len(few)
        else None,
        "weak": [prose.on(row) for row in weak.to_dict("records")],
        "tried": len(counts),
    }

"""Likeness to the anchor before and after rescaling, neuron categories and how stable they are."""

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd
from scipy import stats

from analysis.results.answers import SERIES
from analysis.results.scaled import CLAS, STRENGTH
from analysis.statistics.correlate import pearson, spearman

CATEGORIES = ("dead", "specific", "partial_shared", "all_shared")
# A table of states has no prompt.
STATES = [name for name in SERIES if name != "prompt"]
# Both ways to average a cosine: over items, or that of the means over items.
AGGREGATIONS: Mapping[str, str] = {"mean_of_cos": "", "cos_of_means": "_of_means"}
RESCALED, RESIDUAL = "rescaled", "resid"
PLACE = [*STATES, "site", "aggregation"]
ALIGNED = [
    *PLACE, "where", "layer", "language", "n", *STRENGTH, "before", "after", "change", "idle",
]  # fmt: skip
FITS = [
    *SERIES, "metric", "site", "where", "aggregation", "n", "r", "low", "high", "p", "slope",
    "spearman", "spearman_p", "note",
]  # fmt: skip
SORTED = ["model", "revision", "dataset", "switches", "key"]
# What categories are compared with those of all samples.
PARTS = ("half_1", "half_2", "first", "twice", "mixed")


def alignment(states: pd.DataFrame) -> pd.DataFrame:
    """One row per language, layer, site and way of averaging: the cosine before and after.

    Layer 0 is the mean over the bridge layers. `where` is `rescaled` or `resid`. Rows that two
    cells of one place have (two prompts, which this table does not name) are left out.
    """
    place = [*STATES, "language", "layer", "site"]
    own = states[~states.duplicated(place, keep=False)]
    parts = [
        own.assign(aggregation=name, before=own[f"before{end}"], after=own[f"after{end}"])
        for name, end in AGGREGATIONS.items()
    ]
    found = pd.concat(parts, ignore_index=True)
    where = found["site"].eq(RESIDUAL).map({True: RESIDUAL, False: RESCALED})
    idle = found["shared"].eq(0) & found["specific"].eq(0)
    found = found.assign(where=where, change=found["after"] - found["before"], idle=idle)
    return found[ALIGNED].sort_values([*PLACE, "layer", "language"], ignore_index=True)


def with_gains(found: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """Rows of `alignment` over the bridge layers beside the gain of CLAS in the same language.

    `gain` is in points of `metric`; both are also divided by their largest size over languages, as
    `gain_scaled` and `change_scaled`. What changed nothing has no row, and neither has a model
    whose answers come from several prompts.
    """
    own = gains[(gains["scheme"] == CLAS) & ~gains["idle"]]
    prompts = own.groupby(STATES, dropna=False)["prompt"].transform("nunique")
    own = own.loc[prompts == 1, [*SERIES, "metric", "language", "change"]]
    over = found[(found["layer"] == 0) & ~found["idle"]]
    joined = over.merge(own.rename(columns={"change": "gain"}), on=[*STATES, "language"])
    group = joined.groupby([*PLACE, "metric"], dropna=False)
    for name in ("gain", "change"):
        size = group[name].transform(lambda column: column.abs().max())
        joined[f"{name}_scaled"] = joined[name] / size.where(size > 0)
    return joined


def fits(joined: pd.DataFrame) -> pd.DataFrame:
    """Change of alignment against gain over languages, by site, averaging and metric."""
    rows = []
    places = [*SERIES, "metric", "site", "where", "aggregation"]
    for place, own in joined.groupby(places, sort=True, dropna=False):
        x, y = (own[name].to_numpy(float) for name in ("gain_scaled", "change_scaled"))
        kept = ~np.isnan(x + y)
        straight, ranked = pearson(x[kept], y=y[kept]), spearman(x[kept], y=y[kept])
        known = straight.r == straight.r
        slope = float(stats.linregress(x[kept], y[kept]).slope) if known else nan
        note = straight.note.replace("the score", "the gain")
        rows.append(
            dict(zip(places, place, strict=True)) | straight._asdict()
            | {"note": note.replace("the accuracy", "the change of the cosine")}
            | {"slope": slope, "spearman": ranked.r, "spearman_p": ranked.p}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=FITS)


def clusters(points: pd.DataFrame) -> pd.DataFrame:
    """One row per picture and language: mean silhouette and distance from the anchor, both sides.

    Both are of the space itself, not of the plane.
    """
    places = ["model", "revision", "benchmark", "pivot", "switches", "key", "side"]
    values = ["silhouette", "distance"]
    wide = points.pivot_table(index=places, columns="state", values=values, aggfunc="mean")
    wide = wide.reindex(columns=[(v, s) for v in values for s in ("before", "after")])
    wide.columns = [f"{value}_{state}" for value in values for state in ("before", "after")]
    counts = points[points["state"] == "before"].groupby(places)["item"].nunique().rename("n")
    found = wide.join(counts).reset_index().rename(columns={"side": "language"})
    for value in values:
        found[f"{value}_change"] = found[f"{value}_after"] - found[f"{value}_before"]
    return found


def stability(categories: pd.DataFrame) -> pd.DataFrame:
    """How alike categories from other samples are, means over bridge layers: one row per part.

    `half` is the mean over both halves. `mixed` are categories of permuted languages. Shares are
    those of the part, Jaccard indices those with the categories of all samples (halves: with each
    other).
    """
    own = categories[categories["bridge"] & categories["part"].isin(("all", *PARTS))]
    named = own["part"].replace({"half_1": "half", "half_2": "half"})
    values = ["jaccard_partial_shared", "jaccard_specific", *CATEGORIES]
    grouped = own.assign(part=named).groupby([*SORTED, "part"], sort=True, dropna=False)
    found = grouped[values].mean()
    found.insert(0, "samples", grouped["n"].max())
    found.insert(1, "layers", grouped["layer"].nunique())
    return found.reset_index()

"""The tables of the CLAS study, one frame each (arXiv 2601.16390).

Levels are percent and changes percentage points. Schemes whose strength is 0 change nothing: they
are in the files, marked `idle`, and in no table or figure.
"""

import pandas as pd

from analysis.layout.material import Material, derived
from analysis.results import scaled, scaled_alignment, scaled_gains, scaled_tuning
from analysis.results.answers import SERIES
from analysis.results.scaled import (
    ACCURACY,
    CLAS,
    EXACT,
    F1,
    F1_MIXED,
    IN_ANCHOR,
    INTMU,
    MIXED,
    ON_ANCHOR,
    ON_OTHERS,
    RANDOM,
    UNIFORM,
    Cell,
)
from analysis.results.scaled_alignment import STATES

CONDITIONS = ("prompt", "pivot", "switches")
METHODS = {CLAS: "CLAS", INTMU: "Int-mu"}
SCHEMES = {
    **METHODS, RANDOM: "random neurons", MIXED: "mixed languages", UNIFORM: "uniform",
    ON_ANCHOR: "chosen on the anchor", ON_OTHERS: "chosen on other languages",
    IN_ANCHOR: "the anchor itself rescaled", "intmu_p90": "Int-mu, 90th percentile",
    "intmu_p10": "Int-mu, 10th percentile", "intmu_zero": "Int-mu, zero",
}  # fmt: skip
METRICS = {ACCURACY: "accuracy", F1: "F1", F1_MIXED: "F1, mixed", EXACT: "exact match"}
# The metric that each series is judged by: those of choices, and SQuAD's F1 of written answers.
MAIN = (ACCURACY, F1)


def cells(material: Material) -> list[Cell]:
    """Every cell of held-out answers."""
    return scaled.cells(
        material.answers, material.table("generations"), sources=material.rows.sources
    )


def series(material: Material) -> pd.DataFrame:
    """Every set of answers: a model, benchmark, prompt, anchor and switches.

    Of what was tuned and not answered the anchor is that of the states, where there are any.
    """
    found = [one.series for one in material.get(cells)]
    known = pd.DataFrame(list(dict.fromkeys(found)), columns=SERIES)
    tuning, states = material.table("tuning"), material.table("scaled_states")
    asked = [name for name in SERIES if name != "pivot"]
    left = tuning[asked].drop_duplicates().merge(known, how="left", on=asked, indicator=True)
    left = left.loc[left["_merge"] == "left_only", asked]
    there = states[STATES].drop_duplicates()
    pivots = left.merge(there, on=[name for name in STATES if name != "pivot"])
    return pd.concat([known, pivots[SERIES]], ignore_index=True)


def metric_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main metric of every series."""
    return frame[frame["metric"].isin(MAIN)]


def moved(material: Material) -> pd.DataFrame:
    """Gains of what changed anything, draws of controls left out."""
    found = material.get(gains)
    return found[~found["idle"] & ~found["scheme"].isin(scaled.DRAWN)]


def moved_means(material: Material) -> pd.DataFrame:
    """The same over languages."""
    found = material.get(means)
    return found[~found["idle"] & ~found["scheme"].isin(scaled.DRAWN)]


def unmoved(material: Material) -> pd.DataFrame:
    """The series whose chosen strength is 0, once each."""
    found = material.get(means)
    return found.loc[(found["scheme"] == CLAS) & found["idle"], SERIES].drop_duplicates()


def tests(material: Material) -> pd.DataFrame:
    """CLAS and Int-mu over languages, with every test; see `scaled_gains.means`."""
    found = material.get(moved_means)
    return found[found["scheme"].isin(METHODS)].reset_index(drop=True)


def chance(material: Material) -> pd.DataFrame:
    """Where the mean gain lies among the draws of controls."""
    return scaled_gains.against_draws(material.get(gains), over=True)


def chance_by_language(material: Material) -> pd.DataFrame:
    """The same of each language's gain."""
    return scaled_gains.against_draws(material.get(gains), over=False)


def controls(material: Material) -> pd.DataFrame:
    """Every scheme over languages, a control's draws as one row; `least` and `most` are theirs.

    `kind` orders the schemes. The row of a control has the mean of its draws and the ends of the
    middle 95 % of them in place of the interval over languages and items.
    """
    found = material.get(means)
    own = found[~found["idle"]]
    alone = own[~own["scheme"].isin(scaled.DRAWN)]
    alone = alone.assign(low=alone["boot_low"], high=alone["boot_high"], draws=1)
    alone = alone.rename(columns={"n": "languages"})
    drawn = material.get(chance).rename(columns={"control": "scheme"})
    drawn = drawn.assign(change=drawn["mean"])
    columns = [*SERIES, "metric", "scheme", "languages", "draws", "change", "low", "high"]
    columns += ["shared", "percentile", "p_draws"]
    drawn = drawn.rename(columns={"p": "p_draws"})
    parts = [part.reindex(columns=columns) for part in (alone, drawn) if len(part)]
    every = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    order = {name: place for place, name in enumerate(SCHEMES)}
    every = every.assign(order=every["scheme"].map(order))
    every = every.sort_values([*SERIES, "metric", "order"], ignore_index=True)
    return every.drop(columns="order")


def drawn(material: Material) -> pd.DataFrame:
    """Every draw of a control over languages, of what changed anything."""
    found = material.get(means)
    return found[~found["idle"] & found["scheme"].isin(scaled.DRAWN)]


def tuned(material: Material) -> pd.DataFrame:
    """Every strength in every language on the tuning items."""
    return scaled_tuning.by_language(material.table("tuning"), series=material.get(series))


def curves(material: Material) -> pd.DataFrame:
    """The same over languages."""
    found = material.get(gains)
    return scaled_tuning.curves(material.get(tuned), chosen=found[found["scheme"] == CLAS])


def line(material: Material) -> pd.DataFrame:
    """The strengths to choose from."""
    found = material.get(curves)
    return found[found["kind"] == scaled_tuning.LINE]


def doses(material: Material) -> pd.DataFrame:
    """Shared alone and specific alone, where the doses of one of them were run."""
    found = material.get(curves)
    alone = found["kind"] != scaled_tuning.LINE
    counts = found[alone].groupby([*SERIES, "kind"])["shared"].transform("size")
    return found[alone][counts > 1]


def choices(material: Material) -> pd.DataFrame:
    """The chosen strengths, and what they gain where they were chosen and elsewhere."""
    return scaled_tuning.choices(material.get(tuned), gains=metric_of(material.get(gains)))


def alignment(material: Material) -> pd.DataFrame:
    """Cosine with the anchor by language, layer, site and way of averaging."""
    return scaled_alignment.alignment(material.table("scaled_states"))


def with_gains(material: Material) -> pd.DataFrame:
    """Its change over the bridge layers beside the gain."""
    found = metric_of(material.get(gains))
    return scaled_alignment.with_gains(material.get(alignment), found)


def moved_states(material: Material) -> pd.DataFrame:
    """The cosines over the bridge layers of what changed anything, averaged over items."""
    found = material.get(alignment)
    over = (found["layer"] == 0) & (found["aggregation"] == "mean_of_cos")
    return found[over & ~found["idle"]]


def points(material: Material) -> pd.DataFrame:
    """Prompts in the plane, of what changed anything."""
    found = material.table("scaled_points")
    return found[~(found["shared"].eq(0) & found["specific"].eq(0))]


def categories(material: Material) -> pd.DataFrame:
    """Shares of the categories of neurons, by layer and part of the samples."""
    return material.table("categories")


def bridge(material: Material) -> pd.DataFrame:
    """The bridge layers: model, revision, data set, switches, key, first and last."""
    found = material.table("categories")
    own = found[found["bridge"] & (found["part"] == "all")]
    grouped = own.groupby(scaled_alignment.SORTED, sort=True, dropna=False)["layer"]
    return grouped.agg(first="min", last="max", layers="nunique").reset_index()


def manner(material: Material) -> pd.DataFrame:
    """How answers are written before and after, by language."""
    return scaled_gains.manner(material.get(cells))


def manner_means(material: Material) -> pd.DataFrame:
    """The same over languages but the anchor."""
    found = material.get(manner)
    found = found[found["language"] != found["pivot"]]
    grouped = found.groupby([*SERIES, "quantity"], sort=False, dropna=False)
    sums = grouped.agg(
        languages=("language", "nunique"), texts=("n", "sum"), before=("before", "mean"),
        after=("after", "mean"),
    ).reset_index()  # fmt: skip
    return sums.assign(change=sums["after"] - sums["before"])


def examples(material: Material) -> pd.DataFrame:
    """Table 3: two answers per series that rescaling changed, with the right one.

    German where it was asked, as in the paper, else the language with the most changes. One that
    became better and one that became worse come first, so that neither stands alone.
    """
    rows = material.table("generations")
    pairs = [pair for pair in scaled.compared(material.get(cells)) if pair.after.scheme == CLAS]
    texts = rows.drop_duplicates(["key", "item"]).set_index(["key", "item"])
    found: list[pd.DataFrame] = []
    for place in dict.fromkeys(pair.after.series for pair in pairs):
        options = []
        for pair in pairs:
            before, after = pair
            if after.series != place or after.idle or after.language == after.pivot:
                continue
            if F1 not in after.values and EXACT not in after.values:
                continue
            sides = [
                texts.loc[[(one.key, str(item)) for item in one.items]].reset_index()
                for one in (before, after)
            ]
            own = pd.DataFrame(
                dict(zip(SERIES, place, strict=True))
                | {"language": after.language, "item": after.items}
                | {"right": [" | ".join(one) for one in sides[0]["references"]]}
                | {"before": sides[0]["output"], "after": sides[1]["output"]}
            )
            metric = F1 if F1 in after.values else EXACT
            own = own.assign(
                metric=metric, value_before=before.values[metric], value_after=after.values[metric]
            )
            own = own[own["before"] != own["after"]]
            options.append(own)
        options.sort(key=lambda own: (not own["language"].eq("deu_Latn").any(), -len(own)))
        found += [_two(own) for own in options[:1] if len(own)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _two(own: pd.DataFrame) -> pd.DataFrame:
    """One answer that became better and one that became worse, or the first ones there are."""
    moved = own["value_after"] - own["value_before"]
    first = [own[which].iloc[:1] for which in (moved > 0, moved < 0)]
    rest = own.drop(pd.concat(first).index)
    return pd.concat([*first, rest]).iloc[:2]


gains = derived(cells, scaled_gains.gains)
levels = derived(cells, scaled_gains.levels)
means = derived(cells, scaled_gains.means)
shares = derived(cells, scaled_gains.option_shares)
priors = derived(cells, scaled_gains.priors)
prior_means = derived(priors, scaled_gains.prior_means)
fits = derived(with_gains, scaled_alignment.fits)
clusters = derived(points, scaled_alignment.clusters)
stability = derived(categories, scaled_alignment.stability)

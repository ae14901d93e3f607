"""Our values in the NeuronXA paper's tables of retrieval, pairs of languages and other pivots.

As in analysis/neuronxa/tables.py, each function makes a frame of a table's places and
`compared.OURS`, or the printed cells beside it.
"""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from analysis import published
from analysis.layout import compared, tables
from analysis.layout.material import Material, last, main_metric
from analysis.neuronxa.tables import BENCHMARKS, UNDERSTANDING, column_names, with_columns
from analysis.results import conditions, retrieval
from analysis.statistics import resample
from analysis.statistics.intervals import wilson

OTHER_PIVOTS = ("fra_Latn", "ita_Latn", "deu_Latn")
PIVOTS = ("eng_Latn", "deu_Latn", "fra_Latn", "ita_Latn")
PIVOT_MEASURES = ("MEXA", "NASCA")
MEAN = "average"


def only_detailed(found: pd.Series, printed: pd.DataFrame) -> pd.DataFrame:
    """The cells printed for one model, none where it is not among those that were found."""
    return printed if published.DETAILED in set(found) else printed.iloc[:0]


def language_pairs(material: Material) -> pd.DataFrame:
    """Table 2: NASCA of the printed pairs of languages, whichever of the two is the pivot.

    The interval is Wilson's for the pairs of one layer: layers share sentences, so the mean over
    layers is at most as uncertain.
    """
    scores = last(material.scores)
    chosen = scores[(scores["layer_pool"] == "mean") & scores["complete"]]
    chosen = chosen[(chosen["measure"] == "nasca") & (chosen["pooling"] == "weighted")]
    chosen = conditions.of_main_pairs(chosen, scores=material.scores)
    chosen = chosen[chosen["dataset"].map(published.dataset) == "FLORES-200"]
    names = {
        frozenset((row["language_a"], row["language_b"])): (row["group"], row["pair"])
        for row in printed_pairs().to_dict("records")
    }
    keys = [frozenset(pair) for pair in zip(chosen["language"], chosen["pivot"], strict=True)]
    places = [names.get(key, ("", "")) for key in keys]
    chosen = chosen.assign(
        group=[group for group, _ in places], pair=[pair for _, pair in places],
        column=column_names(chosen), value=chosen["score"],
    )  # fmt: skip
    chosen = chosen[chosen["pair"] != ""].drop_duplicates(["column", "pair", "switches"])
    chosen = pairs_in_order(chosen.sort_values("column", kind="stable"))
    counts = chosen["n"].to_numpy(float)
    low, high = wilson(chosen["value"].to_numpy(float) * counts, n=np.maximum(counts, 1))
    switches = tables.several(chosen, ["switches"])
    return chosen.assign(low=low, high=high)[["group", "pair", *switches, *compared.OURS]]


def pairs_in_order(joined: pd.DataFrame) -> pd.DataFrame:
    """Pairs of languages in the printed order."""
    return tables.ranked(joined, ["pair"], printed_pairs()["pair"])


def printed_pairs() -> pd.DataFrame:
    """The printed pairs of languages, named."""
    printed = published.pairs()
    return printed.assign(pair=printed["language_a"] + " - " + printed["language_b"])


def pairs_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 2."""
    ours = material.get(language_pairs)
    cells = printed_pairs()[["group", "pair", "published"]].assign(column=published.DETAILED)
    if "switches" in ours:
        cells = cells.merge(ours[["switches"]].drop_duplicates(), how="cross")
    return only_detailed(ours["column"], cells)


def groups(material: Material) -> pd.DataFrame:
    """Retrieval by group of languages, under both rules for the layer."""
    found = retrieval.found(last(material.alignment))
    found = retrieval.by_group(retrieval.by_language(found))
    return found.assign(model=column_names(found))


def from_english(material: Material) -> pd.DataFrame:
    """Table 1, whole: the main pivot's groups with `column`, data set and group."""
    found = material.get(groups)
    main = (
        conditions.PIVOT
        if (found["pivot"] == conditions.PIVOT).any()
        else conditions.pivot(material.scores)
    )
    own = found[found["pivot"] == main]
    kinds = own["dataset"].map(published.dataset)
    labels = kinds.str.removesuffix("-200").where(kinds.notna(), own["dataset"])
    return own.assign(column=labels + " " + own["group"])


def english_table(material: Material) -> pd.DataFrame:
    """Table 1."""
    found = material.get(from_english)
    return _retrieved(found, "model", "representation", "direction")


def english_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 1."""
    ways = {"En->xx": "pivot->xx", "xx->En": "xx->pivot", "En<->xx": "both"}
    printed = published.retrieval()
    printed = printed.assign(direction=printed["direction"].map(ways))
    return _under_both_rules(material.get(english_table), printed)


def from_others(material: Material) -> pd.DataFrame:
    """Table 5, whole: the other pivots' groups on FLORES with `column`, group and direction."""
    found = material.get(groups)
    own = found["dataset"].map(published.dataset) == "FLORES-200"
    found = found[own if own.any() else found["dataset"].notna()]
    found = found[found["pivot"] != conditions.PIVOT]
    ways = {"pivot->xx": "src->xx", "xx->pivot": "xx->src"}
    return found.assign(column=found["group"] + " " + found["direction"].replace(ways))


def others_table(material: Material) -> pd.DataFrame:
    """Table 5."""
    return _retrieved(material.get(from_others), "model", "pivot", "representation")


def others_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 5."""
    return _under_both_rules(material.get(others_table), published.retrieval_pivots())


def _retrieved(found: pd.DataFrame, *places: str) -> pd.DataFrame:
    """A table of retrieval in its own columns; switches where they vary."""
    switches = tables.several(found, ["switches"])
    return found[[*places, *switches, "rule", *compared.OURS]]


def _under_both_rules(ours: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """Printed shares under both rules for the layer and every condition of ours."""
    printed = only_detailed(ours["model"], printed.assign(model=published.DETAILED))
    if "switches" in ours:
        printed = printed.merge(ours[["switches"]].drop_duplicates(), how="cross")
    rules = pd.DataFrame({"rule": [retrieval.EACH, retrieval.ONE]})
    return printed.merge(rules, how="cross")


def _of_all_pivots(material: Material) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weighted correlations and their points for every pivot, under the paper's names."""
    found = []
    for frame in (material.correlations, material.points):
        chosen = frame[(frame["layer_pool"] == "mean") & (frame["pooling"] == "weighted")]
        chosen = conditions.of_main_pairs(chosen, scores=material.scores)
        chosen = with_columns(last(main_metric(chosen, material.accuracies)))
        chosen = chosen[chosen["measure"].isin(PIVOT_MEASURES)]
        kinds = chosen["dataset"].map(published.dataset)
        own = kinds == "FLORES-200"
        chosen = chosen[own if own.any() else kinds != "Tatoeba"]
        for name in ("dataset", "switches", "prompt"):
            # One number, one condition: the paper's tables have no room for a second.
            chosen = chosen[chosen[name] == chosen.groupby("task")[name].transform("first")]
        found.append(chosen)
    return found[0], found[1]


def _of_tasks(
    values: pd.DataFrame, points: pd.DataFrame, tasks: Sequence[str]
) -> dict[str, object]:
    """The mean over tasks of one model, pivot and measure; missing where a task is."""
    own = values[values["task"].isin(tasks)].dropna(subset="r")
    if set(own["task"]) != set(tasks):
        return {"value": nan, "low": nan, "high": nan, "n": pd.NA}
    if len(tasks) == 1:
        row = own.iloc[0]
        return {"value": row["r"], "low": row["low"], "high": row["high"], "n": row["n"]}
    held = [group for _, group in points[points["task"].isin(tasks)].groupby("task", sort=True)]
    low, high = resample.interval_of_mean(held)
    return {"value": own["r"].mean(), "low": low, "high": high, "n": own["n"].max()}


def _by_pivot(material: Material, columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Correlations by model, pivot and measure; `columns` names the tasks that each averages.

    Each pivot is a run of its own, and the pivot itself is no point.
    """
    values, points = material.get(_of_all_pivots)
    rows = []
    places = ["column", "pivot", "measure"]
    for names, group in values.groupby(places, sort=True):
        match = (points[places] == list(names)).all(axis="columns")
        for name, tasks in columns.items():
            model, pivot, measure = names
            place = {"model": model, "pivot": pivot, "measure": measure, "column": name}
            rows.append(place | _of_tasks(group, points[match], tasks))
    found = pd.DataFrame(rows, columns=["model", "pivot", "measure", *compared.OURS])
    return found.dropna(subset="value")


def pivot_averages(material: Material) -> pd.DataFrame:
    """Table 6: rows of scores, a column per pivot."""
    found = _by_pivot(material, {MEAN: BENCHMARKS})
    return found.assign(column=found["pivot"])[["model", "measure", *compared.OURS]]


def pivot_averages_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 6."""
    printed = published.pivot_correlations()
    printed = printed[printed["table"] == 6].assign(model=published.DETAILED)
    found = material.get(pivot_averages)
    return only_detailed(found["model"], printed.assign(column=printed["pivot"]))


def pivot_tasks(material: Material) -> pd.DataFrame:
    """Table 7: rows of pivots and scores, a column per task and their average."""
    columns: dict[str, Sequence[str]] = {task: (task,) for task in UNDERSTANDING}
    return _by_pivot(material, columns | {MEAN: UNDERSTANDING})


def pivot_tasks_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 7, and their averages."""
    printed = published.pivot_correlations()
    printed = printed[printed["table"] == 7].assign(model=published.DETAILED)
    printed = printed.assign(column=printed["outcome"])
    means = printed.groupby(["model", "pivot", "measure"], sort=False)["published"].mean()
    printed = pd.concat([printed, means.reset_index().assign(column=MEAN)], ignore_index=True)
    return only_detailed(material.get(pivot_tasks)["model"], printed)

"""Tables 6 and 7: average correlations when another language than English is the pivot.

The one idea: each pivot is a run of its own, and a cell is the mean over tasks of that run's
correlations, the pivot itself left out. The paper prints one model, Llama-3.1-8B.
"""

from collections.abc import Sequence
from math import nan

import pandas as pd

from analysis import compared, published, resample, terms
from analysis.page import Exhibit
from analysis.pages.correlation_tables import BENCHMARKS, UNDERSTANDING, with_columns
from analysis.pages.material import Material, last, main_metric
from analysis.read import listed

MEASURES = ("MEXA", "NASCA")
MEAN = "average"
NAMES = {6: ("Table 6", "other pivots: average of m-ARC, m-MMLU and Belebele"),
         7: ("Table 7", "other pivots: XNLI and BMLAMA-53")}  # fmt: skip
PIVOTS = ("eng_Latn", "deu_Latn", "fra_Latn", "ita_Latn")
FLAGS = "--pivot eng_Latn,deu_Latn,fra_Latn,ita_Latn --parallel flores200 --benchmark "
CAPTION = (
    "Pearson's r over languages (the pivot left out), position-weighted, mean over layers; "
    "intervals of averages: languages resampled. The paper prints Llama-3.1-8B."
)


def exhibits(material: Material) -> list[Exhibit]:
    """Tables 6 and 7."""
    values, points = _of_all_pivots(material)
    return [_table_6(values, points), _table_7(values, points)]


def _of_all_pivots(material: Material) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weighted correlations and their points for every pivot, under the paper's names."""
    found = []
    for frame in (material.correlations, material.points):
        chosen = frame[(frame["layer_pool"] == "mean") & (frame["pooling"] == "weighted")]
        chosen = terms.of_main_pairs(chosen, scores=material.scores)
        chosen = with_columns(last(main_metric(chosen, material.accuracies)))
        chosen = chosen[chosen["measure"].isin(MEASURES)]
        kinds = chosen["dataset"].map(published.dataset)
        own = kinds == "FLORES-200"
        chosen = chosen[own if own.any() else kinds != "Tatoeba"]
        for name in ("dataset", "switches", "prompt"):
            # One number, one condition: the paper's tables have no room for a second.
            chosen = chosen[chosen[name] == chosen.groupby("task")[name].transform("first")]
        found.append(chosen)
    return found[0], found[1]


def _cell(values: pd.DataFrame, points: pd.DataFrame, tasks: Sequence[str]) -> dict[str, object]:
    """The mean over tasks of one model, pivot and measure; missing where a task is."""
    own = values[values["task"].isin(tasks)].dropna(subset="r")
    if set(own["task"]) != set(tasks):
        return {"value": nan, "low": nan, "high": nan, "n": pd.NA}
    if len(tasks) == 1:
        row = own.iloc[0]
        return {"value": row["r"], "low": row["low"], "high": row["high"], "n": row["n"]}
    groups = [group for _, group in points[points["task"].isin(tasks)].groupby("task", sort=True)]
    low, high = resample.interval_of_mean(groups)
    return {"value": own["r"].mean(), "low": low, "high": high, "n": own["n"].max()}


def _cells(
    values: pd.DataFrame, points: pd.DataFrame, columns: dict[str, Sequence[str]]
) -> pd.DataFrame:
    """Every cell by model, pivot and measure; `columns` names the tasks that each averages."""
    rows = []
    places = ["column", "pivot", "measure"]
    for names, group in values.groupby(places, sort=True):
        match = (points[places] == list(names)).all(axis="columns")
        for name, tasks in columns.items():
            model, pivot, measure = names
            place = {"model": model, "pivot": pivot, "measure": measure, "column": name}
            rows.append(place | _cell(group, points[match], tasks))
    return pd.DataFrame(rows, columns=["model", "pivot", "measure", *compared.OURS])


def _table_6(values: pd.DataFrame, points: pd.DataFrame) -> Exhibit:
    """Rows of scores, a column per pivot."""
    name, title = NAMES[6]
    printed = published.pivot_correlations()
    printed = printed[printed["table"] == 6].assign(model=published.DETAILED)
    ours = _cells(values, points, {MEAN: BENCHMARKS}).dropna(subset="value")
    ours["column"] = ours["pivot"]
    return _exhibit(
        ours, printed.assign(column=printed["pivot"]), places=["model", "measure"],
        names=(name, title), file="table_6", wanted=list(dict.fromkeys(printed["pivot"])),
        flags=FLAGS + "harness/m_arc,harness/m_mmlu,harness/belebele",
    )  # fmt: skip


def _table_7(values: pd.DataFrame, points: pd.DataFrame) -> Exhibit:
    """Rows of pivots and scores, a column per task and their average."""
    name, title = NAMES[7]
    printed = published.pivot_correlations()
    printed = printed[printed["table"] == 7].assign(model=published.DETAILED)
    printed = printed.assign(column=printed["outcome"])
    means = printed.groupby(["model", "pivot", "measure"], sort=False)["published"].mean()
    printed = pd.concat([printed, means.reset_index().assign(column=MEAN)], ignore_index=True)
    columns: dict[str, Sequence[str]] = {task: (task,) for task in UNDERSTANDING}
    ours = _cells(values, points, columns | {MEAN: UNDERSTANDING}).dropna(subset="value")
    return _exhibit(
        ours, printed, places=["model", "pivot", "measure"], names=(name, title), file="table_7",
        wanted=["eng_Latn", "deu_Latn"], flags=f"--part scores,transfer {FLAGS}bmlama53",
    )  # fmt: skip


def _exhibit(
    ours: pd.DataFrame, printed: pd.DataFrame, *, places: list[str], names: tuple[str, str],
    file: str, wanted: list[str], flags: str,
) -> Exhibit:  # fmt: skip
    """One of the two tables, or why there is none."""
    name, title = names
    if ours.empty:
        why = f"Empty: no model has scores and accuracies for these tasks ({flags})."
        return Exhibit(name=name, title=title, missing=why)
    if published.DETAILED not in set(ours["model"]):
        printed = printed.iloc[:0]
    joined = compared.join(ours, printed, places=places)
    ranks = {value: rank for rank, value in enumerate((published.DETAILED, *PIVOTS))}
    joined = joined.sort_values(
        places, key=lambda column: column.map(lambda value: f"{ranks.get(value, 99):02d}{value}")
    )
    columns = list(dict.fromkeys([*printed["column"], *ours["column"]]))
    caption = " ".join(part for part in (CAPTION, compared.counted(joined)) if part)
    sheet = compared.sheet(joined, name=file, caption=caption, places=places, columns=columns)
    lacking = [pivot for pivot in wanted if pivot not in set(ours["pivot"])]
    missing = f"Not here: pivot {listed(lacking)} ({flags})." if lacking else ""
    files = {f"{file}_beside_the_paper": joined}
    return Exhibit(name=name, title=title, parts=(sheet,), missing=missing, files=files)

"""Our values in the rows and columns of the NeuronXA paper's tables.

Rows and columns are the paper's wherever one of its models was run; other models stand beside them
without a printed value. Each function makes a frame of a table's places and `compared.OURS`.
"""

from math import nan
from typing import NamedTuple

import pandas as pd

from analysis import published
from analysis.layout import compared, tables
from analysis.layout.material import Material, last, main_metric
from analysis.published import AVERAGE
from analysis.read import label
from analysis.statistics import resample

Groups = dict[tuple[object, ...], pd.DataFrame]

ALIGNED = ("MEXA", "NASCA", "NAVCA")
COMPARED = (*published.BASELINES, *ALIGNED)
UNDERSTANDING = ("XNLI", "BMLAMA-53")
BENCHMARKS = ("m-ARC", "m-MMLU", "Belebele")
BENCHMARK_OF = {task: f"harness/{task.lower().replace('-', '_')}" for task in BENCHMARKS}
BENCHMARK_OF |= {"BMLAMA-53": "bmlama53"}
# Asked as the paper asks: these answers stand in for those of a prompt of our own.
AS_IN_THE_PAPER = ("harness/", "transfer/")
CONDITIONS = ("switches", "prompt")


class Ours(NamedTuple):
    """A printed table's values of ours, its points, and the columns that a model of ours fills."""

    values: pd.DataFrame
    groups: Groups
    places: list[str]
    models: list[str]


class Table(NamedTuple):
    """One printed table of correlations: its number, what it shows, and its rows."""

    number: int
    title: str
    dataset: str
    tasks: tuple[str, ...]
    poolings: tuple[str, ...]
    measures: tuple[str, ...]

    @property
    def flags(self) -> str:
        """The flags that fill it."""
        names = ",".join(BENCHMARK_OF[task] for task in self.tasks if task in BENCHMARK_OF)
        parallel = "tatoeba" if self.dataset == "Tatoeba" else "flores200"
        measures = ",".join(measure.lower() for measure in self.measures)
        parts = "--part scores,transfer " if "XNLI" in self.tasks else ""
        return f"{parts}--parallel {parallel} --measure {measures} --benchmark {names}"

    def ours(self, material: Material) -> Ours:
        """Our correlations in its rows and columns."""
        chosen = main_metric(self.rows(last(material.on_terms)), material.accuracies)
        varying = [name for name in CONDITIONS if len(chosen) and name in tables.varying(chosen)]
        if chosen["dataset"].nunique() > 1:
            varying.insert(0, "dataset")
        places = ["task", "pooling", "measure", *varying]
        values = chosen.rename(columns={"r": "value"})
        points = self.rows(last(material.main_points))
        groups: Groups = {
            tuple(names): group for names, group in points.groupby([*places, "column"], sort=False)
        }
        present = set(values["column"])
        models = [name for name in published.COLUMNS if name in present] or sorted(present)
        averaged = compared.with_average(values, places=places, models=models, groups=groups)
        return Ours(averaged[[*places, *compared.OURS]], groups, places, sorted(present))

    def fill(self, material: Material) -> pd.DataFrame:
        """The values alone."""
        return material.get(self.ours).values

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that belong in it, with `task` and `column`."""
        named = with_columns(frame)
        named = named[named["task"].isin(self.tasks) & named["pooling"].isin(self.poolings)]
        named = named[named["measure"].isin(self.measures)]
        kinds = named["dataset"].map(published.dataset)
        if self.dataset == "Tatoeba":
            return named[kinds == "Tatoeba"]
        own = kinds == self.dataset
        return named[own] if own.any() else named[kinds != "Tatoeba"]

    def printed(self, material: Material) -> pd.DataFrame:
        """Its printed cells, over every condition of ours that varies; none without its models."""
        ours = material.get(self.ours)
        printed = published.correlations()
        printed = printed[printed["table"] == self.number]
        printed = printed[["task", "pooling", "measure", "column", "published", "target"]]
        if (varying := ours.places[3:]) and len(ours.values):
            printed = printed.merge(ours.values[varying].drop_duplicates(), how="cross")
        printed = compared.printed_average(printed, ours=ours.values, places=ours.places)
        return printed if set(ours.models) & set(published.COLUMNS) else printed.iloc[:0]

    def columns(self, ours: pd.DataFrame, printed: pd.DataFrame) -> list[str]:
        """The printed models, then others of ours, then AVG."""
        theirs = [name for name in published.COLUMNS if name in set(printed["column"])]
        models = sorted(set(ours["column"]) - {AVERAGE})
        return [*theirs, *(name for name in models if name not in theirs), AVERAGE]

    def in_order(self, joined: pd.DataFrame) -> pd.DataFrame:
        """Rows in the printed order."""
        known = (*self.tasks, *self.poolings, *self.measures)
        return compared.ranked(joined, known, "column")

    def lacking(self, material: Material) -> list[str]:
        """Tasks, scores or poolings of it that were not run."""
        ours = material.get(self.fill)
        there = ours[ours["value"].notna()]
        lacking = [task for task in self.tasks if task not in set(there["task"])]
        lacking += [name for name in self.measures if name not in set(there["measure"])]
        return lacking + [
            f"{name} pooling" for name in self.poolings if name not in set(there["pooling"])
        ]

    def plain_accuracy(self, material: Material) -> pd.DataFrame:
        """m-ARC by plain accuracy too, where the table shows the normalised one."""
        chosen = self.rows(last(material.on_terms))
        chosen = chosen[(chosen["task"] == "m-ARC") & (chosen["metric"] == "acc")]
        if not (material.accuracies["metric"] == "acc_norm").any():
            chosen = chosen.iloc[:0]
        places = ["task", "pooling", "measure"]
        places += tables.several(chosen, ["switches"])
        ordered = chosen.assign(value=chosen["r"]).sort_values("column", kind="stable")
        return ordered[[*places, *compared.OURS]]


TABLES = (
    Table(3, "transfer (XNLI) and factual knowledge (BMLAMA-53)", "FLORES-200", UNDERSTANDING,
          tables.POOLINGS, ALIGNED),
    Table(4, "m-ARC, m-MMLU and Belebele", "FLORES-200", BENCHMARKS, tables.POOLINGS, ALIGNED),
    Table(8, "CKA, SVCCA and ANC beside ours, on m-ARC, m-MMLU and Belebele", "FLORES-200",
          BENCHMARKS, ("weighted",), COMPARED),
    Table(9, "CKA, SVCCA and ANC beside ours, on XNLI and BMLAMA-53", "FLORES-200", UNDERSTANDING,
          ("weighted",), COMPARED),
    Table(11, "scores from Tatoeba pairs", "Tatoeba", (*BENCHMARKS, "BMLAMA-53"), tables.POOLINGS,
          ALIGNED),
)  # fmt: skip


def with_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows under the paper's names: `task`, `measure`, and `column`, the model's.

    Where a task was asked as the paper does too (by the harness; after fine-tuning), only those
    answers count.
    """
    named = frame.assign(
        task=frame["benchmark"].map(published.task).astype(object),
        measure=frame["measure"].str.upper(),
    )
    asked = named["benchmark"].str.startswith(AS_IN_THE_PAPER)
    named = named[asked | ~named["task"].isin(set(named.loc[asked, "task"]))]
    first = named.groupby("task")["benchmark"].transform("min")
    named = named[named["task"].isna() | (named["benchmark"] == first)]
    return named.assign(column=column_names(named))


def column_names(frame: pd.DataFrame) -> pd.Series:
    """The model of every row by its printed name.

    A model that the paper has not keeps its own name, and so does the second of two with one
    printed name.
    """
    names: dict[tuple[str, str], str] = {}
    pairs = [(str(a), str(b)) for a, b in zip(frame["model"], frame["revision"], strict=True)]
    for model, revision in sorted(set(pairs)):
        name = published.column(model, revision=revision)
        taken = name is None or name in names.values()
        names[model, revision] = label(model, revision=revision) if taken else str(name)
    return pd.Series([names[pair] for pair in pairs], frame.index, dtype=object)


def averages(material: Material) -> pd.DataFrame:
    """Table 10: `measure` by `column`, the tasks of Tables 8 and 9 averaged."""
    rows = []
    for table in _averaged_tables():
        ours = material.get(table.ours)
        models = {name for name in ours.models if name in published.COLUMNS} or set(ours.models)
        for measure in table.measures:
            own = _average_cells(ours.values, measure).dropna(subset="value")
            found: dict[str, object] = {"measure": measure, "column": ", ".join(table.tasks)}
            found |= {"value": nan, "low": nan, "high": nan, "n": pd.NA}
            if len(own) == len(table.tasks):
                groups = [
                    group for key, group in ours.groups.items()
                    if key[2] == measure and key[-1] in models
                ]  # fmt: skip
                low, high = resample.interval_of_mean(groups)
                found |= {"value": own["value"].mean(), "low": low, "high": high}
                found["n"] = max((len(group) for group in groups), default=0)
            rows.append(found)
    return pd.DataFrame(rows)


def averages_if_any(material: Material) -> pd.DataFrame:
    """The same, without rows where none of them could be taken."""
    found = material.get(averages)
    return found.iloc[:0] if found["value"].isna().all() else found


def printed_averages(material: Material) -> pd.DataFrame:
    """The printed means of Table 10 over the models that have a value of ours."""
    rows = []
    for table in _averaged_tables():
        ours = material.get(table.ours)
        printed = table.printed(material)
        for measure in table.measures if set(ours.models) & set(published.COLUMNS) else ():
            own = _average_cells(ours.values, measure).dropna(subset="value")
            cells = _average_cells(printed, measure)
            sound = len(own) == len(table.tasks) and bool(cells["target"].all())
            mean = {"published": cells["published"].mean(), "target": sound}
            rows.append({"measure": measure, "column": ", ".join(table.tasks), **mean})
    return pd.DataFrame(rows, columns=["measure", "column", "published", "target"])


def _averaged_tables() -> list[Table]:
    """The tables that Table 10 averages."""
    return [table for table in TABLES if table.number in (8, 9)]


def _average_cells(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The AVG cells of a score."""
    return frame[(frame["measure"] == measure) & (frame["column"] == AVERAGE)]

"""Tables 3, 4, 8, 9, 10 and 11: correlations of scores with accuracies, the paper's beside ours.

The one idea: the rows and columns are the paper's wherever one of its models was run; other models
stand beside them without a printed value. Tables differ in tasks, scores, poolings and data set
alone, so they are entries of a dict.
"""

from typing import NamedTuple

import pandas as pd

from analysis import compared, published, resample, tables
from analysis.page import Exhibit, Sheet
from analysis.pages.material import Material, last, main_metric
from analysis.published import AVERAGE
from analysis.read import label, listed

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
CAPTION = (
    "Pearson's r over languages, means over layers; under each value our 95 % interval (Fisher's; "
    "AVG: languages resampled), the paper's value, and ours minus it, which is in or out of the "
    "interval."
)
AVERAGES = (
    " AVG is the mean over the models that the paper has too, and the paper's own mean beside it "
    "is over the same ones."
)


class Table(NamedTuple):
    """One printed table: its number, what it shows, and its rows."""

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


class Ours(NamedTuple):
    """A printed table's values of ours, its points, and the columns that a model of ours fills."""

    values: pd.DataFrame
    groups: Groups
    places: list[str]
    models: list[str]


def exhibits(material: Material) -> list[Exhibit]:
    """Tables 3, 4, 8, 9, 11 and then 10, which averages two of them."""
    made = [_exhibit(table, material) for table in TABLES]
    return [*made[:4], _table_10(material), *made[4:]]


def ours_of(table: Table, material: Material) -> Ours:
    """Our correlations in the rows and columns of a printed table."""
    chosen = main_metric(_on(table, last(material.on_terms)), material.accuracies)
    varying = [name for name in CONDITIONS if name in tables.varying(chosen)] if len(chosen) else []
    if chosen["dataset"].nunique() > 1:
        varying.insert(0, "dataset")
    places = ["task", "pooling", "measure", *varying]
    values = chosen.rename(columns={"r": "value"})
    points = _on(table, last(material.main_points))
    groups: Groups = {
        tuple(names): group for names, group in points.groupby([*places, "column"], sort=False)
    }
    present = set(values["column"])
    models = [name for name in published.COLUMNS if name in present] or sorted(present)
    averaged = compared.with_average(values, places=places, models=models, groups=groups)
    return Ours(averaged, groups, places, sorted(present))


def _on(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong in a table, with `task` and `column`."""
    named = with_columns(frame)
    named = named[named["task"].isin(table.tasks) & named["pooling"].isin(table.poolings)]
    named = named[named["measure"].isin(table.measures)]
    kinds = named["dataset"].map(published.dataset)
    if table.dataset == "Tatoeba":
        return named[kinds == "Tatoeba"]
    own = kinds == table.dataset
    return named[own] if own.any() else named[kinds != "Tatoeba"]


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


def printed_of(table: Table, ours: Ours) -> pd.DataFrame:
    """The printed cells of a table, over every condition of ours that varies."""
    printed = published.correlations()
    printed = printed[printed["table"] == table.number]
    printed = printed[["task", "pooling", "measure", "column", "published", "target"]]
    varying = ours.places[3:]
    if varying and len(ours.values):
        printed = printed.merge(ours.values[varying].drop_duplicates(), how="cross")
    return compared.printed_average(printed, ours=ours.values, places=ours.places)


def _exhibit(table: Table, material: Material) -> Exhibit:
    """One printed table."""
    name = f"Table {table.number}"
    ours = ours_of(table, material)
    if ours.values.empty:
        why = f"Empty: no model has both scores and accuracies here ({table.flags})."
        return Exhibit(name=name, title=table.title, missing=why)
    in_paper = [model for model in ours.models if model in published.COLUMNS]
    printed = printed_of(table, ours)
    if not in_paper:
        printed = printed.iloc[:0]
    joined = compared.join(ours.values, printed, places=ours.places)
    joined = _in_order(joined, table, ours.places)
    columns = _columns(printed, ours.models)
    said = [CAPTION]
    if in_paper:
        said += [compared.counted(joined) + AVERAGES]
        if table.number == 9:
            said.append(published.REPEATED)
    sheet = compared.sheet(
        joined, name=f"table_{table.number}", caption=" ".join(said), places=ours.places,
        columns=columns,
    )  # fmt: skip
    return Exhibit(
        name=name,
        title=table.title,
        parts=(sheet, *_plain_accuracy(table, material)),
        missing=_missing(table, ours),
        files={f"table_{table.number}_beside_the_paper": joined},
    )


def _columns(printed: pd.DataFrame, models: list[str]) -> list[str]:
    """The printed models, then others of ours, then AVG."""
    theirs = [name for name in published.COLUMNS if name in set(printed["column"])]
    return [*theirs, *(name for name in models if name not in theirs), AVERAGE]


def _in_order(joined: pd.DataFrame, table: Table, places: list[str]) -> pd.DataFrame:
    """Rows in the printed order."""
    orders = {"task": table.tasks, "pooling": table.poolings, "measure": table.measures}
    return joined.sort_values(
        [*places, "column"],
        key=lambda column: column.map(
            lambda value: (
                f"{orders[column.name].index(value):02d}" if column.name in orders else str(value)
            )
        ),
        kind="stable",
    ).reset_index(drop=True)


def _missing(table: Table, ours: Ours) -> str:
    """Tasks, scores or poolings of the table that were not run, in one sentence."""
    there = ours.values[ours.values["value"].notna()]
    lacking = [task for task in table.tasks if task not in set(there["task"])]
    lacking += [name for name in table.measures if name not in set(there["measure"])]
    lacking += [f"{name} pooling" for name in table.poolings if name not in set(there["pooling"])]
    if not lacking:
        return ""
    return f"Not here: {listed(lacking)} (the whole table: {table.flags})."


def _plain_accuracy(table: Table, material: Material) -> tuple[Sheet, ...]:
    """m-ARC by plain accuracy too, where the table shows the normalised one."""
    chosen = _on(table, last(material.on_terms))
    chosen = chosen[(chosen["task"] == "m-ARC") & (chosen["metric"] == "acc")]
    normed = material.accuracies["metric"] == "acc_norm"
    if chosen.empty or not normed.any():
        return ()
    values = chosen.assign(value=chosen["r"], published=float("nan"), difference=float("nan"))
    sheet = compared.sheet(
        values.assign(inside=None), name=f"table_{table.number}_plain_accuracy",
        caption="m-ARC by plain accuracy; above it is acc_norm, the log-probability per character "
        "(the paper does not say which it took)",
        places=["task", "pooling", "measure", *(["switches"] if values["switches"].nunique() > 1
                                                else [])],
        columns=sorted(set(values["column"])), collapsed=True,
    )  # fmt: skip
    return (sheet,)


def _table_10(material: Material) -> Exhibit:
    """The averages of Tables 8 and 9 over their tasks, by score."""
    name, title = "Table 10", "averages of Tables 8 and 9 over their tasks"
    joined = averages_over_tasks(material)
    if joined["value"].isna().all():
        why = "Empty: it averages Tables 8 and 9, and neither has all of its tasks."
        return Exhibit(name=name, title=title, missing=why)
    joined = joined.sort_values("measure", key=lambda names: names.map(COMPARED.index))
    columns = [", ".join(tasks) for tasks in (BENCHMARKS, UNDERSTANDING)]
    sheet = compared.sheet(
        joined, name="table_10", places=["measure"], columns=columns,
        caption="Mean over tasks of the AVG of Tables 8 and 9; intervals: languages resampled.",
    )  # fmt: skip
    lacking = joined.loc[joined["value"].isna(), "measure"]
    missing = f"Not here in full: {listed(lacking)}." if len(lacking) else ""
    files = {"table_10_beside_the_paper": joined}
    return Exhibit(name=name, title=title, parts=(sheet,), missing=missing, files=files)


def averages_over_tasks(material: Material) -> pd.DataFrame:
    """Table 10: `measure` by `column` (the tasks averaged), ours and the paper's."""
    rows, theirs = [], []
    for table in (one for one in TABLES if one.number in (8, 9)):
        ours = ours_of(table, material)
        printed = printed_of(table, ours)
        column = ", ".join(table.tasks)
        for measure in table.measures:
            own = _average_cells(ours.values, measure).dropna(subset="value")
            groups = [
                group for key, group in ours.groups.items()
                if key[2] == measure and key[-1] in _averaged(ours)
            ]  # fmt: skip
            found = {"measure": measure, "column": column, "value": float("nan")}
            found |= {"low": float("nan"), "high": float("nan"), "n": pd.NA}
            if len(own) == len(table.tasks):
                low, high = resample.interval_of_mean(groups)
                found |= {"value": own["value"].mean(), "low": low, "high": high}
                found["n"] = max((len(group) for group in groups), default=0)
            rows.append(found)
            cells = _average_cells(printed, measure)
            if set(ours.models) & set(published.COLUMNS):
                sound = len(own) == len(table.tasks) and bool(cells["target"].all())
                mean = {"published": cells["published"].mean(), "target": sound}
                theirs.append({"measure": measure, "column": column, **mean})
    printed = pd.DataFrame(theirs, columns=["measure", "column", "published", "target"])
    return compared.join(pd.DataFrame(rows), printed, places=["measure"])


def _average_cells(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The AVG cells of a score."""
    return frame[(frame["measure"] == measure) & (frame["column"] == AVERAGE)]


def _averaged(ours: Ours) -> set[str]:
    """The models whose mean is AVG."""
    return {name for name in ours.models if name in published.COLUMNS} or set(ours.models)

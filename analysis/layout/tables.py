"""The cross-model table: benchmark x pooling x score down, models across, their average last.

The last column is the plain mean of the models' coefficients, as the paper prints it (not of
Fisher's z), over the models that have one. A column that never varies is left out.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.published import AVERAGE
from analysis.read import label

ALL_BENCHMARKS = "mean of benchmarks"
MEASURES = ("cka", "svcca", "anc", "mexa", "nasca", "navca")
POOLINGS = ("weighted", "average", "last")
# Prompts and metrics vary only within one benchmark.
OF_BENCHMARK = ("prompt", "metric")
CONDITIONS = ("dataset", "pairs", "pivot", "switches", *OF_BENCHMARK, "layer_pool")
ROW = ("benchmark", "pooling", "measure")


def cross_model(correlations: pd.DataFrame) -> pd.DataFrame:
    """Pearson's r, one row per benchmark, pooling and measure and one column per model, then AVG.

    Data set, pairs, pivot, switches, prompt, metric and layer pool are columns only where they
    vary. Several benchmarks are followed by rows of their mean, unless one of them has several
    prompts or metrics.
    """
    named = with_label(correlations)
    models = models_of(correlations)
    places = [*ROW, *varying(correlations)]
    wide = named.pivot(index=places, columns="label", values="r").reindex(columns=models)
    wide = in_order(average_models(wide).reset_index())
    wide.columns.name = None
    if correlations["benchmark"].nunique() < 2 or set(OF_BENCHMARK) & set(places):
        return wide
    return pd.concat([wide, benchmark_means(wide, models=models)], ignore_index=True)


def average_models(wide: pd.DataFrame) -> pd.DataFrame:
    """Add the last column: the arithmetic mean over the models that have a coefficient."""
    return wide.assign(**{AVERAGE: wide.mean(axis="columns")})


def benchmark_means(wide: pd.DataFrame, *, models: Sequence[str]) -> pd.DataFrame:
    """Rows of the mean over benchmarks, per pooling, measure and whatever else varies.

    A benchmark missing in a column leaves no mean there: it would not be the same mean.
    """
    values = [*models, AVERAGE]
    places = [name for name in wide.columns if name not in (*values, "benchmark")]
    grouped = wide.groupby(places, sort=False)[values]
    means = grouped.mean().where(grouped.count().eq(grouped.size(), axis="index"))
    return means.reset_index().assign(benchmark=ALL_BENCHMARKS)


def varying(frame: pd.DataFrame) -> list[str]:
    """The conditions that take several values (prompts, metrics: several within one benchmark)."""
    within = frame.groupby("benchmark")[list(OF_BENCHMARK)].nunique().max()
    return [
        name
        for name in CONDITIONS
        if (within[name] if name in OF_BENCHMARK else frame[name].nunique()) > 1
    ]


def with_label(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `label`, the model as people read it."""
    pairs = zip(frame["model"], frame["revision"], strict=True)
    labels = [label(str(model), revision=str(revision)) for model, revision in pairs]
    return frame.assign(label=pd.Series(labels, index=frame.index, dtype=object))


def models_of(frame: pd.DataFrame) -> list[str]:
    """The models of a frame as labels, in order."""
    return sorted(set(with_label(frame)["label"]))


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by benchmark, then pooling and measure in the paper's order, then the rest."""
    places = [name for name in (*ROW, "label", *CONDITIONS) if name in frame.columns]
    return ranked(frame, places, (*POOLINGS, *MEASURES))


def ranked(frame: pd.DataFrame, places: Sequence[str], known: Iterable[str]) -> pd.DataFrame:
    """Rows by some columns, known values in their order and the others after, by name."""
    ranks = {name: rank for rank, name in enumerate(known)}
    return frame.sort_values(
        list(places),
        key=lambda column: column.map(lambda value: f"{ranks.get(str(value), 99):02d}{value}"),
        kind="stable",
        ignore_index=True,
    )


def several(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """The columns among `names` that take several values."""
    return [name for name in names if frame[name].nunique() > 1]

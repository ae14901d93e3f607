"""Every correlation of scores with accuracies: the cross-model table, forests, scatter plots.

Unlike the paper's tables these have whatever benchmarks and models were run. With many models a
figure shows them side by side and the pooling of the headline alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import forest as forests
from analysis.figures import scatter
from analysis.figures.drawing import COLOURS, INK
from analysis.layout import tables
from analysis.layout.exhibit import Note, Plot, Series, Show, Table
from analysis.layout.material import SERIES, Material, main_metric
from analysis.layout.page import Main, Part, Sheet
from analysis.layout.prose import line, number, shared, short, span
from analysis.published import AVERAGE
from analysis.statistics import correlate
from analysis.statistics.correlate import Correlation

NO_MAIN = "no correlation: no --benchmark has accuracies in the languages compared"
COEFFICIENT = ["label", "benchmark", "pooling", "measure", "n", "r", "low", "high", "p"]
COEFFICIENT += ["boot_low", "boot_high"]
COEFFICIENT += ["spearman_r", "spearman_low", "spearman_high", "spearman_p"]
HEADS = {"spearman_r": "rho", "spearman_p": "p (rho)"}
HEADS |= {"spearman_low": "rho low", "spearman_high": "rho high"}
HEADS |= {"boot_low": "resampled low", "boot_high": "resampled high"}
FEW_MODELS = 2
FEW_PICTURES = 6
MOST_ROWS = 24


def statement(found: Correlation, *, of: str = "languages") -> str:
    """A correlation in one line: r, its interval, p and n, or why there is none."""
    if found.r != found.r:
        return found.note.replace("languages", of)
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if found.low == found.low else ""
    return f"r = {found.r:.2f}{interval}, {correlate.p_in_words(found.p)}, n = {found.n} {of}"


def brief(found: Correlation) -> str:
    """r, its interval and n in few letters."""
    if found.r != found.r:
        return "r undefined"
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if found.low == found.low else ""
    return f"r = {found.r:.2f}{interval}, n = {found.n}"


def cross_model(material: Material) -> pd.DataFrame:
    """The cross-model table, empty without correlations."""
    found = material.on_terms
    return tables.cross_model(found) if len(found) else found


def _places(wide: pd.DataFrame, correlations: pd.DataFrame) -> list[str]:
    """What sets the rows of the cross-model table apart."""
    models = tables.models_of(correlations)
    return [name for name in wide.columns if name not in (*models, AVERAGE)]


def _intervals(
    found: pd.DataFrame, wide: pd.DataFrame, said: Callable[[float, float], str]
) -> pd.DataFrame:
    """What is said of the interval of each coefficient in the cross-model table; empty of none."""
    places, models = _places(wide, found), tables.models_of(found)
    texts: dict[tuple[object, ...], str] = {}
    for row in tables.with_label(found).to_dict("records"):
        place = row["label"], *(row[name] for name in places)
        texts[place] = said(row["low"], row["high"]) if row["low"] == row["low"] else ""
    keys = [tuple(row) for row in wide[places].itertuples(index=False, name=None)]
    columns = {model: [texts.get((model, *key), "") for key in keys] for model in models}
    return pd.DataFrame(columns, index=wide.index)


def _table(material: Material, *, collapsed: bool) -> Iterator[Part]:
    """The cross-model table with its intervals."""
    wide = material.get(cross_model)
    if len(wide):
        small = _intervals(material.on_terms, wide, "[{:.2f}, {:.2f}]".format)
        yield Sheet(
            name="cross_model",
            caption=line(shared("cross_model")),
            frame=wide,
            small=small,
            collapsed=collapsed,
        )


def _undefined(material: Material) -> Mapping[str, object] | None:
    """Why coefficients are missing, each reason with how often."""
    found = material.on_terms
    notes = found.loc[found["r"].isna(), "note"].value_counts(sort=False)
    return {"notes": list(notes.items())} if len(notes) else None


def _every(material: Material) -> pd.DataFrame:
    """The full list on the terms of the tables."""
    found = material.on_terms
    noted = found["note"].ne("").any()
    if found.empty:
        return found
    columns = [*COEFFICIENT, *tables.varying(found), *(["note"] if noted else [])]
    return tables.in_order(tables.with_label(found))[columns]


def _intervalled(material: Material) -> pd.DataFrame:
    """Every coefficient with its model's label; of many models in the headline's pooling."""
    named = tables.in_order(tables.with_label(material.on_terms))
    if named["label"].nunique() > FEW_MODELS:
        named = named[named["pooling"] == material.headline.pooling]
    return named


def _by_benchmark(_: Material, named: pd.DataFrame) -> Series:
    """The coefficients of each benchmark, and of each condition where conditions vary."""
    for names, group in named.groupby(["benchmark", *tables.varying(named)], sort=True):
        yield ", ".join(map(str, names)), group.sort_values("label", kind="stable")


def draw_forest(_: Material, rows: pd.DataFrame, name: str) -> Figure:
    """Every coefficient of one benchmark with its interval, grouped by model."""
    found, ticks, line = [], [], 0.0
    for label, group in rows.groupby("label", sort=False):
        ticks.append(forests.Row(line, str(label), heads=True))
        for row in group.to_dict("records"):
            line += 1
            colour = COLOURS.get(str(row["measure"]), INK)
            found.append(forests.Interval(line, row["r"], row["low"], row["high"], colour))
            ticks.append(forests.Row(line, f"{row['measure'].upper()}, {row['pooling']}"))
        line += 1.4
    defined = rows[rows["low"].notna()]
    seen = f"{int((defined['low'] > 0).sum())} of {len(defined)} intervals lie above zero"
    lowest = float(defined["low"].min()) if len(defined) else 0.0
    return forests.forest(
        found, ticks, name=name, seen=seen if len(defined) else "no intervals: too few languages",
        x="Pearson's r over languages, 95 % interval", limits=(min(-0.05, lowest - 0.05), 1.03),
        key={},
    )  # fmt: skip


def of_points(points: pd.DataFrame) -> Correlation:
    """r of the points of one plot."""
    return correlate.pearson(points["score"].to_numpy(float), y=points["accuracy"].to_numpy(float))


def _points(material: Material) -> pd.DataFrame:
    """Score, accuracy and chance of every language in the headline series."""
    chosen = main_metric(material.of_headline(material.main_points), material.accuracies)
    places = [*correlate.TASK, "model", "revision", "language"]
    return chosen.merge(material.accuracies[[*places, "chance"]], on=places)


def _named(material: Material, points: pd.DataFrame) -> Series:
    """The points of every series, named by its model and the conditions that vary."""
    prompts = material.get(_points).groupby("benchmark")["prompt"].nunique().to_dict()
    for names, group in points.groupby([*SERIES, "benchmark", "prompt"], sort=True):
        several = prompts[names[-2]] > 1
        yield material.named(names) + (f" ({names[-1]})" if several else ""), group


def _few(points: pd.DataFrame) -> bool:
    """Whether every model has a figure of its own."""
    return len(tables.models_of(points)) <= FEW_MODELS


def _one_each(material: Material, points: pd.DataFrame) -> Series:
    """The points of every series, where models are few."""
    for said, group in _named(material, points) if _few(points) else ():
        yield f"{said}, {group['benchmark'].iloc[0]}", group


def _together(_: Material, points: pd.DataFrame) -> Series:
    """The points of every benchmark and data set, where models are many."""
    if not _few(points):
        for (dataset, benchmark), group in points.groupby(["dataset", "benchmark"], sort=True):
            yield f"{benchmark}, {dataset}", group


def _score(material: Material) -> str:
    """The axis of scores."""
    return f"score ({material.headline.text}, mean over layers)"


def _draw_one(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """One series."""
    accuracy = f"{rows['benchmark'].iloc[0]} accuracy (share of items correct)"
    return draw_scatter([(said, rows)], name="", score=_score(material), accuracy=accuracy)


def _draw_together(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """A panel per series."""
    name = f"{said}: one point per language"
    return draw_scatter(_named(material, rows), name=name, score=_score(material))


def draw_scatter(
    found: Iterable[tuple[str, pd.DataFrame]], *, name: str, score: str, accuracy: str = "accuracy"
) -> Figure:
    """Score against accuracy, one point per language, with the least-squares line and its band."""
    every = list(found)
    panels = [
        scatter.Panel(
            title=said, note=(brief if name else statement)(of_points(rows)),
            x=rows["score"].to_numpy(float), y=rows["accuracy"].to_numpy(float),
            names=list(rows["language"]), level=float(rows["chance"].mean()),
            fit="share" if of_points(rows).r == of_points(rows).r else "",
        )
        for said, rows in every
    ]  # fmt: skip
    key = "line: least squares with its 95 % band; dashed: chance"
    return scatter.scatter(
        panels, name=name, x=score, y=accuracy, key=key, most_labels=30 if not name else 0
    )


def parts(*, collapsed: bool) -> tuple[Show, ...]:
    """The cross-model table, every coefficient, forests and scatters."""
    return (
        Note(
            text=shared("no_correlation"), warning=True,
            facts=lambda held: {} if held.on_terms.empty else None,
        ),
        partial(_table, collapsed=collapsed),
        Note(
            text=shared("undefined_coefficients"),
            facts=_undefined,
        ),
        Plot(
            name="forest", fill=_intervalled, by=_by_benchmark, draw=draw_forest, size="half",
            caption="{{ said }}: every coefficient with its 95 % interval.", few=FEW_PICTURES,
            fold="Every interval, {{ count }} figures",
        ),
        Plot(
            name="scatter", fill=_points, by=_one_each, draw=_draw_one, size="half",
            caption="{{ said }}: {{ r }}.", facts=lambda rows: {"r": statement(of_points(rows))},
            few=10**9,
        ),
        Plot(
            name="scatter", fill=_points, by=_together, draw=_draw_together, few=FEW_MODELS,
            caption="{{ said }}: score against accuracy, one panel per model.",
            fold="Score against accuracy, a figure per benchmark",
        ),
        Table(
            name="correlations_mean_over_layers", fill=_every, heads=HEADS, most=12,
            caption=shared("every_coefficient"),
        ),
    )  # fmt: skip


def main(material: Material) -> Main | None:
    """The cross-model table for a terminal: a row per benchmark, measure and pooling.

    A cell reads `0.87 [.61,.96]`: r and its 95 % interval. AVG is the mean of the row's models.
    """
    found = material.on_terms
    if found.empty:
        return None
    wide, cut = material.get(cross_model), False
    if len(found[["benchmark", "measure", "pooling"]].drop_duplicates()) > MOST_ROWS:
        first = next(name for name in tables.POOLINGS if (found["pooling"] == name).any())
        found, cut = found[found["pooling"] == first], True
        wide = tables.cross_model(found)
    intervals = _intervals(found, wide, lambda low, high: f" [{short(low)},{short(high)}]")
    heads = ["benchmark", "measure", "pooling"]
    heads += [name for name in _places(wide, found) if name not in heads]
    frame = pd.DataFrame({name.replace("_", " "): wide[name].map(_text) for name in heads})
    for model in tables.models_of(found):
        frame[model] = wide[model].map(number) + intervals[model]
    frame[AVERAGE] = wide[AVERAGE].map(number)
    facts = {"counts": span(found["n"], ".0f"), "cut": cut,
             "notes": list(found.loc[found["r"].isna(), "note"].unique())}  # fmt: skip
    return Main(
        title="Pearson's r between score and accuracy over languages, 95 % intervals",
        caption=line(shared("correlations_in_terminal"), **facts), frame=frame,
        texts=tuple(frame.columns[: len(heads)]),
    )  # fmt: skip


def _text(value: Any) -> str:
    """A place in the table; empty where a mean over benchmarks has none."""
    return "" if value is None or value != value else str(value)

"""The main table of a study as a terminal shows it.

The one idea: the same numbers as the report, in the width of a screen; no figure is drawn, so
nothing that draws is imported.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

import pandas as pd
from rich.table import Table

from analysis import correlate, latent, log_ratio, read, scores, tables, terms, transfer, written
from analysis.answers import answers
from analysis.published import AVERAGE
from analysis.runs import by_study, distinct, record, unlike
from analysis.storage import Folder

MOST_ROWS = 24
LATENT_PROCESS, GENERATE = "latent-process", "generate"
CORRELATED = ("neuronxa", "demo")
MIDDLE = "middle half"
# What is said of a study without a main table.
EMPTY: Mapping[str, str] = {
    LATENT_PROCESS: "no answers of the plain model: --part output computes them",
    GENERATE: "no texts were written",
    "": "no correlation: no --benchmark has accuracies in the languages compared",
}


def main_tables(runs: Sequence[Path | str]) -> list[Table | str]:
    """The main table of every study that `runs` are of, or a sentence where it has none.

    What their reader should know of the runs, such as settings in which they differ, comes first.
    """
    groups = by_study(runs, of_rows=read.study_of)
    shown: list[Table | str] = [f"note: {note}" for note in distinct(runs)[1]]
    for study, named in groups:
        own = distinct(named)[0]
        if len(own) > 1:
            held = [record(Folder(run)) for run in own]
            shown += [f"note: {note}" for note in unlike(own, held)]
        if len(groups) > 1:
            shown.append(f"study {study}:")
        shown += _tables(study, own) or [EMPTY.get(study, EMPTY[""])]
    return shown


def _tables(study: str, runs: Sequence[Path | str]) -> list[Table | str]:
    """The tables of one study: of the latent-process study its Table 1, of plain generation the
    scores of its texts, of NeuronXA and the demo correlations; of any other what it has rows for.
    """
    kinds = {LATENT_PROCESS: transfer_table, GENERATE: written_table}
    kinds |= dict.fromkeys(CORRELATED, correlation_table)
    chosen = [kinds[study]] if study in kinds else list(dict.fromkeys(kinds.values()))
    return [table for make in chosen if (table := make(runs)) is not None]


def written_table(runs: Sequence[Path | str]) -> Table | None:
    """The first score of every benchmark, mean over languages, by model and what wrote it.

    None without texts.
    """
    texts = written.plain(read.rows(runs).generations)
    if texts.empty:
        return None
    found = written.summaries(texts, draws=0)
    prompts = {name: set(own["prompt"]) for name, own in texts.groupby("benchmark")}
    lines: dict[tuple[str, str, str], dict[str, str]] = {
        (str(row["label"]), str(row["engine"]), str(row["sampling"])): {}
        for row in tables.with_label(texts[written.SERIES].drop_duplicates()).to_dict("records")
    }
    heads: list[str] = []
    apart = False
    for names, group in found.groupby(["benchmark", "task", "prompt"], sort=True):
        benchmark, task, prompt = map(str, names)
        metric = written.main_metric(task)
        asked = f"{benchmark} {prompt}" if len(prompts[benchmark]) > 1 else benchmark
        heads.append(f"{asked}: {written.name(metric)}")
        means = written.over_languages(group[group["metric"] == metric])
        apart = apart or not means["common"].all()
        for row in tables.with_label(means).to_dict("records"):
            value = f"{row['value']:.1f}" if task == "translation" else _number(row["value"])
            line = (str(row["label"]), str(row["engine"]), str(row["sampling"]))
            lines[line][heads[-1]] = f"{value} ({row['languages']})"
    shown = Table(title="What was written: means over languages (their number)")
    drawn = texts["sampling"].nunique() > 1
    for name in ("model", "engine", *(["drawn"] if drawn else [])):
        shown.add_column(name, overflow="fold")
    for head in heads:
        shown.add_column(head, justify="right", overflow="fold")
    for (model, engine, sampling), values in sorted(lines.items()):
        first = [model, engine, *([sampling] if drawn else [])]
        shown.add_row(*first, *(values.get(head, "-") for head in heads))
    shown.caption = "over the languages that all models of a column have; intervals: the report"
    if apart:
        shown.caption = "no language is in all rows of a column, so its means are not comparable"
    return shown


def transfer_table(runs: Sequence[Path | str]) -> Table | None:
    """Accuracy, consistency and transfer by model and benchmark, with the middle log ratio.

    The last is the mean over languages and over the middle half of the layers. None without
    answers.
    """
    found = [one for one in answers(runs) if one.is_plain]
    every = transfer.overall(found)
    if every.empty:
        return None
    ratios = log_ratio.over_layers(
        log_ratio.others(latent.cells(runs)), series=latent.SERIES_OF_MEASURE,
        columns=[log_ratio.USUAL],
    )  # fmt: skip
    own = ratios[(ratios["measure"] == latent.LATENT) & (ratios["layers"] == MIDDLE)]
    middle = own.groupby(["model", "revision", "benchmark"])[log_ratio.USUAL].mean()
    prompts = every["prompt"].nunique() > 1
    heads = ["model", "benchmark", *(["prompt"] if prompts else []), "languages", "accuracy"]
    shown = Table(title="Answers over languages, and the log ratio of native and pivot texts")
    for name in [*heads, "consistency", "tr+", "tr-", "tr+ excess", "log ratio"]:
        text = name in ("model", "benchmark", "prompt")
        shown.add_column(name, justify="left" if text else "right", overflow="fold")
    weak = False
    for row in tables.with_label(every).to_dict("records"):
        near = row["above"] * 2 <= row["languages"]
        weak = weak or near
        names = [row["label"], row["benchmark"], *([row["prompt"]] if prompts else [])]
        ratio = middle.get((row["model"], row["revision"], row["benchmark"]), float("nan"))
        shown.add_row(
            *map(str, names), str(row["languages"]),
            f"{_number(row['accuracy'])} ± {_number(row['accuracy_std'])}{' *' if near else ''}",
            *(_number(row[name]) for name in ("consistency", "tr_plus", "tr_minus")),
            _number(row["excess_plus"]), _number(float(ratio)),
        )  # fmt: skip
    shown.caption = (
        "means over languages (± standard deviation) and ordered pairs; log ratio per token over "
        "the middle half of the layers, above 0: native"
    )
    if weak:
        shown.caption += "; * not above chance in half of the languages or more: no conclusions"
    return shown


def correlation_table(runs: Sequence[Path | str], *, layer_pool: str = "mean") -> Table | None:
    """Pearson's r of every score with every accuracy in `runs`, or None where there is none.

    Of several pivots or numbers of pairs the main one is shown, as in the report.
    """
    rows = read.rows(runs)
    by_language = scores.by_language(scores.with_short_switches(rows.alignment))
    enough = terms.many_languages(by_language)
    chosen = terms.main(enough[enough["layer_pool"] == layer_pool], scores=enough)
    found = correlate.correlations(chosen, accuracies=scores.accuracies(rows.items))
    if found.empty:
        return None
    rows_shown = found[["benchmark", "measure", "pooling"]].drop_duplicates()
    if len(rows_shown) <= MOST_ROWS:
        return as_table(found)
    first = next(name for name in tables.POOLINGS if (found["pooling"] == name).any())
    table = as_table(found[found["pooling"] == first])
    table.caption = f"{table.caption}; other poolings are in the report"
    return table


def as_table(correlations: pd.DataFrame) -> Table:
    """A rich table of correlations: a row per benchmark, measure and pooling, a column per model.

    A cell reads `0.87 [.61,.96]`: r and its 95 % interval. AVG is the mean of the row's models.
    """
    wide = tables.cross_model(correlations)
    models = tables.models_of(correlations)
    places = [name for name in wide.columns if name not in (*models, AVERAGE)]
    cells = _cells(correlations, places)
    first = ["benchmark", "measure", "pooling"]
    heads = first + [name for name in places if name not in first]
    shown = Table(title="Pearson's r between score and accuracy over languages, 95 % intervals")
    for name in heads:
        shown.add_column(name.replace("_", " "), overflow="fold")
    for name in (*models, AVERAGE):
        shown.add_column(name, justify="right", overflow="fold")
    for row in wide.to_dict("records"):
        place = tuple(row[name] for name in places)
        values = [cells.get((model, *place)) or _number(row[model]) for model in models]
        shown.add_row(*(_text(row[name]) for name in heads), *values, _number(row[AVERAGE]))
    shown.caption = _caption(correlations)
    return shown


def _cells(correlations: pd.DataFrame, places: list[str]) -> dict[tuple[object, ...], str]:
    """Every coefficient with its interval, by model and place in the table."""
    found: dict[tuple[object, ...], str] = {}
    for row in tables.with_label(correlations).to_dict("records"):
        if not isnan(row["r"]):
            interval = "" if isnan(row["low"]) else f" [{_end(row['low'])},{_end(row['high'])}]"
            found[row["label"], *(row[name] for name in places)] = f"{row['r']:.2f}{interval}"
    return found


def _caption(correlations: pd.DataFrame) -> str:
    """How many languages, and why a coefficient is missing."""
    counts = correlations["n"]
    low, high = int(counts.min()), int(counts.max())
    caption = f"{low} languages" if low == high else f"{low} to {high} languages"
    missing = correlations.loc[correlations["r"].isna(), "note"].unique()
    return "; ".join([f"{caption}, the pivot left out", *(str(note) for note in missing)])


def _number(value: float) -> str:
    """Two decimals, or a dash where there is no number."""
    return "-" if isnan(value) else f"{value:.2f}"


def _end(value: float) -> str:
    """An end of an interval without its leading zero."""
    return f"{value:.2f}".replace("0.", ".", 1)


def _text(value: object) -> str:
    """A place in the table; empty where a mean over benchmarks has none."""
    return "" if value is None or value != value else str(value)

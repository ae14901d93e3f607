"""Every correlation there is: the cross-model table, forest plots, scatter plots, the full list.

The one idea: unlike the paper's tables this one has whatever benchmarks and models were run, and
the points behind each headline coefficient are drawn. With many models a figure shows them side by
side and the pooling of the headline alone.
"""

from collections.abc import Hashable
from typing import NamedTuple

import pandas as pd

from analysis import correlate, published, tables
from analysis.figures.correlations import Panel, forest, panels, scatter, statement
from analysis.page import Fold, Part, Picture, Sheet, Text, file_name
from analysis.pages import words
from analysis.pages.material import SERIES, Material, main_metric

COEFFICIENT = ["label", "benchmark", "pooling", "measure", "n", "r", "low", "high", "p"]
COEFFICIENT += ["boot_low", "boot_high"]
COEFFICIENT += ["spearman_r", "spearman_low", "spearman_high", "spearman_p"]
HEADS = {"label": "model", "spearman_r": "rho", "spearman_p": "p (rho)"}
HEADS |= {"spearman_low": "rho low", "spearman_high": "rho high"}
HEADS |= {"boot_low": "resampled low", "boot_high": "resampled high"}
FEW_MODELS = 2
FEW_PICTURES = 6


class Scatter(NamedTuple):
    """One scatter plot: where it belongs, its name, its points."""

    benchmark: str
    dataset: str
    name: str
    points: pd.DataFrame


def parts(material: Material, *, collapsed: bool) -> tuple[Part, ...]:
    """The cross-model table, every coefficient, forests and scatters."""
    found = material.on_terms
    if found.empty:
        return (Text(lines=(words.NO_CORRELATION,), warning=True),)
    wide = tables.cross_model(found)
    table = Sheet(
        name="cross_model", caption=words.CROSS_MODEL, frame=wide, small=_small(wide, found),
        collapsed=collapsed,
    )  # fmt: skip
    return (table, *_undefined(found), *_forests(material), *_scatters(material), _all(found))


def _undefined(found: pd.DataFrame) -> tuple[Part, ...]:
    """Why coefficients are missing, each reason once with how often."""
    notes = found.loc[found["r"].isna(), "note"].value_counts(sort=False)
    if notes.empty:
        return ()
    return (Text(lines=tuple(f"No coefficient ({n} times): {note}." for note, n in notes.items())),)


def _all(found: pd.DataFrame) -> Sheet:
    """The full list on the terms of the tables."""
    noted = found["note"].ne("").any()
    columns = [*COEFFICIENT, *tables.varying(found), *(["note"] if noted else [])]
    return Sheet(
        name="correlations_mean_over_layers",
        caption="Every correlation: Pearson, Fisher's interval and that of resampled languages, "
        "Spearman with Bonett and Wright's; scores are means over layers (maxima, other pivots and "
        "numbers of pairs are in correlations.csv)",
        frame=tables.in_order(tables.with_label(found))[columns],
        heads=HEADS,
        collapsed=len(found) > 12,
    )


def _small(wide: pd.DataFrame, correlations: pd.DataFrame) -> pd.DataFrame:
    """The intervals that stand under the coefficients of the cross-model table."""
    models = tables.models_of(correlations)
    places = [name for name in wide.columns if name not in (*models, published.AVERAGE)]
    found = {}
    for row in tables.with_label(correlations).to_dict("records"):
        interval = f"[{row['low']:.2f}, {row['high']:.2f}]" if row["low"] == row["low"] else ""
        found[row["label"], *(row[name] for name in places)] = interval
    keys = [tuple(row) for row in wide[places].itertuples(index=False, name=None)]
    columns = {model: [found.get((model, *key), "") for key in keys] for model in models}
    return pd.DataFrame(columns, index=wide.index)


def _forests(material: Material) -> tuple[Part, ...]:
    """One forest plot per benchmark (and per condition, where conditions vary)."""
    named = tables.in_order(tables.with_label(material.on_terms))
    if named["label"].nunique() > FEW_MODELS:
        named = named[named["pooling"] == material.headline.pooling]
    groups = ["benchmark", *tables.varying(named)]
    found: list[Part] = []
    for names, group in named.groupby(groups, sort=True):
        name = ", ".join(str(part) for part in names)
        figure = forest(group.sort_values("label", kind="stable"), name=name)
        caption = f"{name}: every coefficient with its 95 % interval."
        picture = file_name("forest", name)
        found.append(Picture(name=picture, caption=caption, figure=figure, size="half"))
    if len(found) <= FEW_PICTURES:
        return tuple(found)
    return (Fold(caption=f"Every interval, {len(found)} figures", parts=tuple(found)),)


def _scatters(material: Material) -> tuple[Part, ...]:
    """Score against accuracy for the headline series: one figure per benchmark, or per model."""
    chosen = main_metric(material.of_headline(material.main_points), material.accuracies)
    chance = material.accuracies[[*correlate.TASK, "model", "revision", "language", "chance"]]
    joined = chosen.merge(chance, on=[*correlate.TASK, "model", "revision", "language"])
    plots = [
        Scatter(
            str(names[len(SERIES)]),
            str(names[SERIES.index("dataset")]),
            _name(material, names, joined),
            group,
        )
        for names, group in joined.groupby([*SERIES, "benchmark", "prompt"], sort=True)
    ]
    score = f"score ({material.headline.text}, mean over layers)"
    if len(set(tables.models_of(joined))) > FEW_MODELS:
        return _side_by_side(plots, score=score)
    return tuple(_single(plot, score=score) for plot in plots)


def _single(plot: Scatter, *, score: str) -> Picture:
    """One scatter plot with its languages named."""
    found = _correlation(plot.points)
    name = f"{plot.name}, {plot.benchmark}"
    figure = scatter(
        plot.points, name=name, correlation=found, score=score,
        accuracy=f"{plot.benchmark} accuracy (share of items correct)",
    )  # fmt: skip
    caption = f"{name}: {statement(found)}."
    return Picture(name=file_name("scatter", name), caption=caption, figure=figure, size="half")


def _side_by_side(plots: list[Scatter], *, score: str) -> tuple[Part, ...]:
    """One figure per benchmark, a panel per model."""
    found: list[Part] = []
    places = dict.fromkeys((plot.benchmark, plot.dataset) for plot in plots)
    for benchmark, dataset in places:
        own = [plot for plot in plots if (plot.benchmark, plot.dataset) == (benchmark, dataset)]
        drawn = [Panel(plot.name, plot.points, _correlation(plot.points)) for plot in own]
        named = f"{benchmark}, {dataset}"
        figure = panels(drawn, name=f"{named}: one point per language", score=score)
        caption = f"{named}: {score} against accuracy, one panel per model."
        picture = file_name("scatter", benchmark, dataset)
        found.append(Picture(name=picture, caption=caption, figure=figure))
    if len(found) <= FEW_MODELS:
        return tuple(found)
    return (Fold(caption="Score against accuracy, a figure per benchmark", parts=tuple(found)),)


def _correlation(points: pd.DataFrame) -> correlate.Correlation:
    """r of the points of one plot."""
    return correlate.pearson(points["score"].to_numpy(float), y=points["accuracy"].to_numpy(float))


def _name(material: Material, names: tuple[Hashable, ...], joined: pd.DataFrame) -> str:
    """The model, with what tells its series apart."""
    benchmark, prompt = names[-2:]
    several = joined.loc[joined["benchmark"] == benchmark, "prompt"].nunique() > 1
    return material.named(names) + (f" ({prompt})" if several else "")

"""Every correlation of scores with accuracies: the cross-model table, forests, scatter plots.

Unlike the paper's tables these have whatever benchmarks and models were run. With many models a
figure shows them side by side and the pooling of the headline alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from math import isnan
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import forest as forests
from analysis.figures import scatter
from analysis.figures.drawing import COLOURS, INK
from analysis.layout import tables
from analysis.layout.exhibit import Note, Show, Table, folded
from analysis.layout.material import SERIES, Material, main_metric
from analysis.layout.page import Kept, Main, Part, Picture, Sheet, file_name
from analysis.published import AVERAGE
from analysis.statistics import correlate
from analysis.statistics.correlate import Correlation

NONE = (
    "No correlation was computed: it needs alignment scores and accuracies of the same models in "
    "the same languages. Give the run a benchmark, or report it together with a run that has one."
)
NO_MAIN = "no correlation: no --benchmark has accuracies in the languages compared"
CROSS_MODEL = (
    "Pearson's r over languages (the pivot left out) between score and accuracy, with its 95 % "
    "interval; scores are means over layers; AVG is the plain mean of the models' r"
)
EVERY = (
    "Every correlation: Pearson, Fisher's interval and that of resampled languages, Spearman with "
    "Bonett and Wright's; scores are means over layers (maxima, other pivots and numbers of pairs "
    "are in correlations.csv)"
)
COEFFICIENT = ["label", "benchmark", "pooling", "measure", "n", "r", "low", "high", "p"]
COEFFICIENT += ["boot_low", "boot_high"]
COEFFICIENT += ["spearman_r", "spearman_low", "spearman_high", "spearman_p"]
HEADS = {"label": "model", "spearman_r": "rho", "spearman_p": "p (rho)"}
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


def _intervals(material: Material, wide: pd.DataFrame, form: str) -> pd.DataFrame:
    """A text under each coefficient of the cross-model table, empty where there is no interval."""
    found = material.on_terms
    places, models = _places(wide, found), tables.models_of(found)
    texts: dict[tuple[object, ...], str] = {}
    for row in tables.with_label(found).to_dict("records"):
        known = row["low"] == row["low"]
        place = row["label"], *(row[name] for name in places)
        texts[place] = form.format(row["low"], row["high"]) if known else ""
    keys = [tuple(row) for row in wide[places].itertuples(index=False, name=None)]
    columns = {model: [texts.get((model, *key), "") for key in keys] for model in models}
    return pd.DataFrame(columns, index=wide.index)


def _table(*, collapsed: bool) -> Show:
    """The cross-model table with its intervals."""

    def show(material: Material) -> Iterator[Part | Kept]:
        wide = material.get(cross_model)
        if len(wide):
            yield Sheet(
                name="cross_model", caption=CROSS_MODEL, frame=wide,
                small=_intervals(material, wide, "[{:.2f}, {:.2f}]"), collapsed=collapsed,
            )  # fmt: skip

    return show


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


def _forests(material: Material) -> Iterator[Part]:
    """One forest plot per benchmark, and per condition where conditions vary."""
    if material.on_terms.empty:
        return
    named = tables.in_order(tables.with_label(material.on_terms))
    if named["label"].nunique() > FEW_MODELS:
        named = named[named["pooling"] == material.headline.pooling]
    pictures: list[Part] = []
    for names, group in named.groupby(["benchmark", *tables.varying(named)], sort=True):
        name = ", ".join(str(part) for part in names)
        rows = group.sort_values("label", kind="stable")
        pictures.append(
            Picture(
                name=file_name("forest", name),
                caption=f"{name}: every coefficient with its 95 % interval.",
                draw=partial(draw_forest, rows, name),
                size="half",
            )
        )
    yield from folded(
        pictures, few=FEW_PICTURES, more="more", fold="Every interval, {{ count }} figures"
    )


def draw_forest(rows: pd.DataFrame, name: str) -> Figure:
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


def _scatters(material: Material) -> Iterator[Part]:
    """Score against accuracy of the headline series: a figure per model or, of many, a panel."""
    chosen = main_metric(material.of_headline(material.main_points), material.accuracies)
    chance = material.accuracies[[*correlate.TASK, "model", "revision", "language", "chance"]]
    joined = chosen.merge(chance, on=[*correlate.TASK, "model", "revision", "language"])
    few = len(set(tables.models_of(joined))) <= FEW_MODELS
    score = f"score ({material.headline.text}, mean over layers)"
    found: list[Part] = []
    panels: dict[tuple[str, str], list[tuple[str, pd.DataFrame]]] = {}
    for names, group in joined.groupby([*SERIES, "benchmark", "prompt"], sort=True):
        benchmark, prompt = str(names[-2]), names[-1]
        several = joined.loc[joined["benchmark"] == benchmark, "prompt"].nunique() > 1
        said = material.named(names) + (f" ({prompt})" if several else "")
        panels.setdefault((benchmark, str(names[SERIES.index("dataset")])), []).append(
            (said, group)
        )
        if few:
            name = f"{said}, {benchmark}"
            accuracy = f"{benchmark} accuracy (share of items correct)"
            found.append(
                Picture(
                    name=file_name("scatter", name),
                    caption=f"{name}: {statement(of_points(group))}.",
                    draw=partial(
                        draw_scatter, [(name, group)], name="", score=score, accuracy=accuracy
                    ),
                    size="half",
                )
            )
    if few:
        yield from found
        return
    for (benchmark, dataset), own in panels.items():
        name = f"{benchmark}, {dataset}"
        found.append(
            Picture(
                name=file_name("scatter", benchmark, dataset),
                caption=f"{name}: {score} against accuracy, one panel per model.",
                draw=partial(
                    draw_scatter, own, name=f"{name}: one point per language", score=score
                ),
            )
        )
    yield from folded(
        found, few=FEW_MODELS, more="more", fold="Score against accuracy, a figure per benchmark"
    )


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
        Note(text=NONE, facts=lambda held: {} if held.on_terms.empty else None, warning=True),
        _table(collapsed=collapsed),
        Note(
            text="{% for note, count in notes %}No coefficient ({{ count }} times): {{ note }}.\n\n"
            "{% endfor %}",
            facts=_undefined,
        ),
        _forests,
        _scatters,
        Table(
            name="correlations_mean_over_layers", caption=EVERY, fill=_every, heads=HEADS, most=12
        ),
    )


def main(material: Material) -> Main | None:
    """The cross-model table for a terminal: a row per benchmark, measure and pooling.

    A cell reads `0.87 [.61,.96]`: r and its 95 % interval. AVG is the mean of the row's models.
    """
    found = material.on_terms
    if found.empty:
        return None
    caption = _main_caption(found)
    wide = material.get(cross_model)
    if len(found[["benchmark", "measure", "pooling"]].drop_duplicates()) > MOST_ROWS:
        first = next(name for name in tables.POOLINGS if (found["pooling"] == name).any())
        found = found[found["pooling"] == first]
        wide = tables.cross_model(found)
        caption = f"{_main_caption(found)}; other poolings are in the report"
    places, models = _places(wide, found), tables.models_of(found)
    intervals = _intervals(material, wide, "{:.2f} {:.2f}")
    heads = ["benchmark", "measure", "pooling"]
    heads += [name for name in places if name not in heads]
    frame = pd.DataFrame({name.replace("_", " "): wide[name].map(_text) for name in heads})
    for model in models:
        pairs = zip(wide[model], intervals[model], strict=True)
        frame[model] = [_cell(value, ends) for value, ends in pairs]
    frame[AVERAGE] = wide[AVERAGE].map(number)
    return Main(
        title="Pearson's r between score and accuracy over languages, 95 % intervals",
        caption=caption, frame=frame, texts=tuple(frame.columns[: len(heads)]),
    )  # fmt: skip


def _main_caption(found: pd.DataFrame) -> str:
    """How many languages, and why a coefficient is missing."""
    low, high = int(found["n"].min()), int(found["n"].max())
    counts = f"{low} languages" if low == high else f"{low} to {high} languages"
    missing = found.loc[found["r"].isna(), "note"].unique()
    return "; ".join([f"{counts}, the pivot left out", *(str(note) for note in missing)])


def _cell(value: float, ends: str) -> str:
    """A coefficient with its interval."""
    if not ends or isnan(value):
        return number(value)
    low, high = ends.split()
    return f"{value:.2f} [{_end(low)},{_end(high)}]"


def number(value: float) -> str:
    """Two decimals, or a dash where there is no number."""
    return "-" if isnan(value) else f"{value:.2f}"


def _end(text: str) -> str:
    """An end of an interval without its leading zero."""
    return text.replace("0.", ".", 1)


def _text(value: Any) -> str:
    """A place in the table; empty where a mean over benchmarks has none."""
    return "" if value is None or value != value else str(value)

"""Scores by layer, and sentence pairs in the plane: Figures 1 and 2 of NeuronXA."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import curves, heat, points
from analysis.figures.drawing import BLUE, COLOURS, CROWDED, INK, ORANGE
from analysis.layout import prose
from analysis.layout.exhibit import Note, Plot, Series
from analysis.layout.material import SERIES, Material, last
from analysis.layout.page import Size
from analysis.layout.prose import many
from analysis.read import label
from analysis.statistics import scores

PLANE = ["model", "revision", "dataset", "language", "pivot", "pooling", "method", "switches"]
METHODS = {"tsne": "t-SNE", "pca": "PCA"}
PICTURED = "zho_Hans"
MOST_LAYERS = 3
KINDS = {"mexa": "sentence embedding", "nasca": "neuron state", "navca": "neuron value"}


def in_order(measures: pd.Series, known: Mapping[str, object]) -> list[str]:
    """The measures there are: known ones in their order, then the others by name."""
    there = set(measures)
    return [*(name for name in known if name in there), *sorted(there - set(known))]


def crowded(rows: pd.DataFrame) -> Size:
    """The size of a figure with a line per language."""
    return "tall" if rows["language"].nunique() > CROWDED else "half"


def _pairs_in_the_plane(material: Material) -> pd.DataFrame:
    """The points of every series in the paper's language, or the first there is."""
    found = scores.with_short_switches(material.rows.points)
    if found.empty:
        return found
    series = [name for name in PLANE if name != "language"]
    own = found.assign(wanted=found["language"].where(found["language"] != PICTURED, ""))
    first = own.groupby(series)["wanted"].transform("min")
    return found[own["wanted"] == first]


def _others(material: Material) -> dict[str, object] | None:
    """How many languages are not drawn."""
    others = material.rows.points["language"].nunique() - 1
    return {"others": others} if others > 0 else None


def _planes(_material: Material, frame: pd.DataFrame) -> Series:
    """The points of each series, and what they are."""
    for names, group in frame.groupby(PLANE, sort=True):
        model, revision, dataset, language, pivot, pooling, method, _ = (str(n) for n in names)
        shown = label(model, revision=revision)
        count = group["item"].nunique()
        layout = METHODS.get(method, method)
        yield (
            f"{shown}: {count} {pivot} - {language} pairs of {dataset}, {layout}, {pooling}", group
        )  # fmt: skip


def _plane_words(rows: pd.DataFrame, number: int) -> tuple[str, ...]:
    """The words of a figure's file."""
    first = rows.iloc[0].to_dict()
    return (prose.model(first), first["language"], first["method"], str(number))


def draw_pairs(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """A column of panels per measure, a panel per layer, at most three: first, middle and last."""
    language, pivot = str(rows["language"].iloc[0]), str(rows["pivot"].iloc[0])
    measures = in_order(rows["measure"], KINDS)
    columns = [
        _panels_of(rows[rows["measure"] == name], name, pivot, language) for name in measures
    ]
    deep = max(map(len, columns))
    drawn = [
        column[down] if down < len(column) else None for down in range(deep) for column in columns
    ]
    kinds = {
        language: points.Kind(ORANGE, "^", 4, 0.8), pivot: points.Kind(BLUE, "o", 4, 0.8),
    }  # fmt: skip
    return points.plane(
        drawn, name=said, kinds=kinds, key={pivot: pivot, language: language}, across=len(columns),
        side=3.4,
    )  # fmt: skip


def _panels_of(rows: pd.DataFrame, measure: str, pivot: str, language: str) -> list[points.Panel]:
    """The layers of one measure; a line joins the two sides of a pair."""
    layers = sorted(set(rows["layer"]))
    if len(layers) > MOST_LAYERS:
        layers = [layers[0], layers[len(layers) // 2], layers[-1]]
    found = []
    for layer in layers:
        own = rows[rows["layer"] == layer]
        sides = {side: own[own["side"] == side].set_index("item") for side in (pivot, language)}
        shared = sides[pivot].index.intersection(sides[language].index)
        ends = [sides[side].loc[shared, ["x", "y"]].to_numpy(float) for side in (pivot, language)]
        found.append(
            points.Panel(
                title=f"{KINDS.get(measure, measure.upper())}, layer {layer}",
                places={side: of[["x", "y"]].to_numpy(float) for side, of in sides.items()},
                joined=np.stack(ends, axis=1),
            )
        )
    return found


IN_THE_PLANE = (
    Note(
        text="One language is drawn; {{ others }} more are in the run's table `points`.",
        facts=_others,
    ),
    Plot(
        name="points", fill=_pairs_in_the_plane, by=_planes, draw=draw_pairs,
        caption="{{ said }}. A line joins the two sides of a pair; axes have no scale.",
        words=_plane_words,
    ),
)  # fmt: skip


def _by_layer(material: Material) -> pd.DataFrame:
    """Scores by layer in the headline's pooling, last states alone."""
    found = last(material.main_alignment)
    return found[found["pooling"] == material.headline.pooling]


def _series(material: Material, frame: pd.DataFrame, *, headline: bool) -> Series:
    """Every series with its pooling, or with the headline's measure as well."""
    shown = material.headline.text if headline else f"{material.headline.pooling} pooling"
    for names, group in frame.groupby(SERIES, sort=True):
        yield f"{material.named(names)}: {shown}", group


def draw_profiles(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Score by layer, a panel per measure."""
    held = rows.dropna(subset="value")
    panels = []
    for measure in in_order(held["measure"], COLOURS):
        own = held[held["measure"] == measure]
        grid = own.pivot_table(index="layer", columns="language", values="value").sort_index()
        mean = grid.mean(axis="columns")
        peak = int(mean.index[int(mean.argmax())])
        panels.append(
            curves.Panel(
                title=f"{measure.upper()}: mean peaks at layer {peak} ({mean[peak]:.2f})",
                lines=[mean_line(mean)], x="layer", y="score", thin=grid,
                thin_colour=COLOURS.get(measure, INK),
                bottom=min(0.0, float(held["value"].min())),
            )
        )  # fmt: skip
    return curves.curves(panels, name=f"{said} (thin: one language, thick: their mean)", share=True)


def mean_line(mean: pd.Series, *, marker: str = "") -> curves.Line:
    """The thick line of a panel with thin ones."""
    return curves.Line(
        x=mean.index.to_numpy(float), y=mean.to_numpy(float), width=2.2, marker=marker
    )


def _headline_by_layer(material: Material) -> pd.DataFrame:
    """Scores by layer of the headline series, last states alone."""
    return material.of_headline(last(material.main_alignment))


def draw_heat_map(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Language by layer, the best language on top; colours run alike in all maps."""
    every = material.get(_headline_by_layer)["value"]
    grid = heat.best_first(rows, columns="layer", values="value")
    means = grid.mean()
    peak = int(means.index[int(means.argmax())])
    return heat.heat(
        grid, name=said,
        seen=f"highest at layer {peak}: mean {means[peak]:.2f} over {many(len(grid), 'language')}",
        x="layer (0 = embeddings)" if int(grid.columns.min()) == 0 else "layer (block output)",
        bar="score: share of pairs aligned",
        scale=(min(0.0, float(every.min())), heat.ends(every)[1]),
    )  # fmt: skip


BY_LAYER = (
    Plot(
        name="profile", fill=_by_layer, by=partial(_series, headline=False), draw=draw_profiles,
        caption="{{ said }}. Score by layer, one line per language.",
    ),
    Plot(
        name="heat_map", fill=_headline_by_layer, by=partial(_series, headline=True),
        draw=draw_heat_map,
        caption="{{ said }}. Languages by mean score, best on top.", size=crowded,
        fold="Layer by language, {{ count }} heat maps",
    ),
)  # fmt: skip

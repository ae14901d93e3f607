"""Figures 1 and 2: sentence pairs in the plane, and scores by layer.

The one idea: a figure per model, and the conditions that vary in its name. With many models the
heat maps are behind a fold, as the profiles already show where the peak lies.
"""

import pandas as pd

from analysis.figures import heat
from analysis.figures.by_language import CROWDED, heat_map, profiles
from analysis.figures.points import pairs
from analysis.page import Exhibit, Fold, Part, Picture, Text, file_name
from analysis.pages.material import SERIES, Material, last

ONE = ("Figure 1", "sentence pairs in the plane, by embedding and by neuron state")
TWO = ("Figure 2", "scores by layer")
PLANE = ["model", "revision", "dataset", "language", "pivot", "pooling", "method", "switches"]
FEW = 4
PICTURED = "zho_Hans"
MOST_LAYERS = 3


def figure_1(points: pd.DataFrame) -> Exhibit:
    """One figure per model and pair of languages, a panel per measure and layer."""
    name, title = ONE
    if points.empty:
        why = (
            "Empty: no sentence pairs were laid out in the plane (the table `points` has no rows)."
        )
        return Exhibit(name=name, title=title, missing=why)
    pictures: list[Part] = []
    others = points["language"].nunique() - 1
    for names, group in _one_language(points).groupby(PLANE, sort=True):
        model, revision, dataset, language, pivot, pooling, method, _ = (str(n) for n in names)
        shown = f"{model}@{revision}" if revision != "main" else model
        layout = {"tsne": "t-SNE", "pca": "PCA"}.get(method, method)
        count = group["item"].nunique()
        said = f"{shown}: {count} {pivot} - {language} pairs of {dataset}, {layout}, {pooling}"
        figure = pairs(_few_layers(group), name=said, language=language, pivot=pivot)
        caption = f"{said}. A line joins the two sides of a pair; axes have no scale."
        picture = file_name("points", shown, language, method, str(len(pictures)))
        pictures.append(Picture(name=picture, caption=caption, figure=figure))
    found = _folded(pictures, "more pictures of pairs")
    if others:
        line = f"One language is drawn; {others} more are in the run's table `points`."
        found = (Text(lines=(line,)), *found)
    return Exhibit(name=name, title=title, parts=found)


def _one_language(points: pd.DataFrame) -> pd.DataFrame:
    """The paper's language of every series, or the first there is: hundreds say no more."""
    series = [name for name in PLANE if name != "language"]
    own = points.assign(wanted=points["language"].where(points["language"] != PICTURED, ""))
    first = own.groupby(series)["wanted"].transform("min")
    return points[own["wanted"] == first]


def figure_2(material: Material) -> Exhibit:
    """Layer profiles per model, one panel per measure, then a heat map of the headline series."""
    name, title = TWO
    alignment = last(material.main_alignment)
    if alignment.empty:
        return Exhibit(name=name, title=title, missing="Empty: no alignment scores were computed.")
    found = (*_profiles(alignment, material), *_heat_maps(alignment, material))
    return Exhibit(name=name, title=title, parts=found)


def _profiles(alignment: pd.DataFrame, material: Material) -> tuple[Part, ...]:
    """Layer profiles."""
    chosen = alignment[alignment["pooling"] == material.headline.pooling]
    found: list[Part] = []
    for names, group in chosen.groupby(SERIES, sort=True):
        said = f"{material.named(names)}: {material.headline.pooling} pooling"
        figure = profiles(group.dropna(subset="value"), name=said)
        caption = f"{said}. Score by layer, one line per language."
        found.append(Picture(name=file_name("profile", said), caption=caption, figure=figure))
    return _folded(found, "more models by layer")


def _heat_maps(alignment: pd.DataFrame, material: Material) -> tuple[Part, ...]:
    """One heat map per model, for the headline series."""
    found: list[Part] = []
    own = material.of_headline(alignment)
    scale = (min(0.0, float(own["value"].min())), heat.ends(own["value"])[1])
    for names, group in own.groupby(SERIES, sort=True):
        said = f"{material.named(names)}: {material.headline.text}"
        tall = group["language"].nunique() > CROWDED
        found.append(
            Picture(
                name=file_name("heat_map", said),
                caption=f"{said}. Languages by mean score, best on top.",
                figure=heat_map(group, name=said, scale=scale),
                size="tall" if tall else "half",
            )
        )
    if len(found) <= FEW:
        return tuple(found)
    return (Fold(caption=f"Layer by language, {len(found)} heat maps", parts=tuple(found)),)


def _folded(pictures: list[Part], what: str) -> tuple[Part, ...]:
    """The first few pictures, and the others behind a fold."""
    rest = tuple(pictures[FEW:])
    return (*pictures[:FEW], *([Fold(caption=f"{len(rest)} {what}", parts=rest)] if rest else []))


def _few_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """At most three layers of each measure: the first, the middle and the last of those there."""
    kept = []
    for _, group in rows.groupby("measure", sort=False):
        layers = sorted(set(group["layer"]))
        if len(layers) > MOST_LAYERS:
            layers = [layers[0], layers[len(layers) // 2], layers[-1]]
        kept.append(group[group["layer"].isin(layers)])
    return pd.concat(kept)

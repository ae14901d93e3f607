"""States of parallel questions: in the plane, and how alike they are to the pivot's.

The plane is principal components, fitted for each layer alone; similarity has a number, so that it
can be set beside accuracy and consistency.
"""

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import points
from analysis.latent import frames
from analysis.latent.facts import text
from analysis.layout import compared, tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Series, Table
from analysis.layout.material import Material
from analysis.read import label
from analysis.shared import layers

ACROSS = 4


def _planes(material: Material) -> pd.DataFrame:
    """Parallel questions of all languages in the plane."""
    found = frames.of_questions(material.rows.points)
    return found[found["language"] == "all"]


def _plane_names(_: Material, frame: pd.DataFrame) -> Series:
    """The points of each model and benchmark."""
    for (model, revision, benchmark, *_rest), group in frame.groupby(
        [*frames.SIMILAR, "measure"], sort=True
    ):
        count, languages = group["item"].nunique(), group["side"].nunique()
        shown = label(str(model), revision=str(revision))
        yield f"{shown}, {benchmark}: {count} questions in {languages} languages", group


def _similar_names(_: Material, frame: pd.DataFrame) -> Series:
    """The similarities of each model and benchmark."""
    for _names, group in frame.groupby(frames.SIMILAR, sort=True):
        row = group.iloc[0].to_dict()
        own = group[group["language"] != row["pivot"]].dropna(subset="value")
        if len(own):
            shown = label(str(row["model"]), revision=str(row["revision"]))
            yield f"{shown}, {row['benchmark']}: similarity with {row['pivot']}", own


def draw_states(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """A panel per layer, one point per question and language; with many languages their centres.

    Rows need layer, side (the language), pivot, x and y. The pivot is black.
    """
    pivot = str(rows["pivot"].iloc[0])
    codes = sorted(set(rows["side"]))
    kinds, key = points.languages(codes, pivot=pivot)
    layers = sorted(set(rows["layer"]))
    down = -(-len(layers) // ACROSS)
    panels = []
    for layer in layers:
        own = rows[rows["layer"] == layer]
        places = {str(side): of[["x", "y"]].to_numpy(float) for side, of in own.groupby("side")}
        centres = {side: of.mean(axis=0) for side, of in places.items()}
        panels.append(
            points.Panel(
                title=f"layer {layer}", places=places,
                centres=centres if len(codes) > points.FEW else {},
            )
        )  # fmt: skip
    return points.plane(panels, name=said, kinds=kinds, key=key, across=-(-len(layers) // down))


def _similarity(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per model, benchmark and similarity: r over all layers and in the middle."""
    own = tables.with_label(found[found["layers"] != "last quarter"])
    places = ["label", "benchmark", "measure", "layers"]
    places += tables.several(own, ("output_prompt", "switches"))
    columns = {name: name for name in frames.SIMILAR_OUTCOMES}
    cells = own.rename(columns={"outcome": "column"})
    return compared.wide(cells, places=places, columns=columns, value="r", under=frames.under)


PLANE = Exhibit(
    name="Figures 3 and 6", title="parallel questions of all languages in the plane, by layer",
    empty="Empty: no parallel questions were laid out in the plane (--part states).",
    parts=(
        Note(
            text=text("figures_3_and_6_note")
        ),
        Plot(
            name="states", fill=_planes, by=_plane_names, draw=draw_states,
            caption="{{ said }}",
            words=lambda rows, number: (
                label(rows["model"].iloc[0], revision=rows["revision"].iloc[0]),
                rows["benchmark"].iloc[0], str(number),
            ),
        ),
    ),
)  # fmt: skip
SIMILARITY = Exhibit(
    name="Similarity", title="of every language's states with the pivot's (added in version 3)",
    empty="Empty: the states of languages were not compared with the pivot's (--part states).",
    lacking=text("similarity_lacking"),
    facts=lambda material: {"found": len(material.get(frames.similarity_correlations))},
    parts=(
        Note(
            text=text("similarity_note")
        ),
        Plot(
            name="similarity", fill=frames.similarities, by=_similar_names,
            draw=layers.draw_profiles, caption="{{ said }}",
            words=lambda rows, number: (
                rows["model"].iloc[0], rows["revision"].iloc[0], rows["benchmark"].iloc[0],
                str(number),
            ),
        ),
        Table(
            name="similarity", fill=frames.similarity_correlations, shown=_similarity,
            keep="similarity_correlations",
            caption=text("similarity"),
            decimals=2, most=24,
        ),
    ),
)  # fmt: skip

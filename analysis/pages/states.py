"""Figures 3 and 6, and the similarity of states: do languages lie together, and does that pay?

The one idea: states are those of parallel questions at the last prompt token, by layer. The plane
is principal components, fitted for each layer alone; similarity is with the pivot and has a
number, so that it can be set beside accuracy and consistency (METHODS 3.9, 3.11).
"""

import pandas as pd

from analysis import log_ratio, tables
from analysis.figures.by_language import profiles
from analysis.figures.states import plane
from analysis.page import Exhibit, Part, Picture, Sheet, Text, file_name
from analysis.pages.latent_material import PREFIX, Material, folded
from analysis.pages.latent_table import under
from analysis.read import label

THREE = ("Figures 3 and 6", "parallel questions of all languages in the plane, by layer")
SIMILAR = ("Similarity", "of every language's states with the pivot's (added in version 3)")
PLANE = (
    "Two principal components of the states at the last prompt token, one point per question and "
    "language, fitted for each layer alone; axes have no scale. The pivot is black."
)
LIKE = (
    "States of the same questions at the last prompt token, against the pivot's. CKA and the "
    "centred cosine compare how questions differ from one another; the plain cosine holds what all "
    "questions share as well, which is most of it."
)
SIMILARITIES = ("cka", "cosine", "cosine_centred")
TOGETHER = "all"
SERIES = ["model", "revision", "benchmark", "pivot", "pooling", "switches"]
OUTCOMES = ("accuracy", "consistency")


def exhibits(material: Material) -> list[Exhibit]:
    """The plane, and similarities with what they go with."""
    return [_plane(material), _similarity(material)]


def of_questions(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose parallel text is a benchmark's questions, with that benchmark."""
    own = frame[frame["dataset"].str.startswith(PREFIX, na=False)]
    return own.assign(benchmark=own["dataset"].str.removeprefix(PREFIX))


def _plane(material: Material) -> Exhibit:
    """One figure per model and benchmark, a panel per layer."""
    name, title = THREE
    points = of_questions(material.rows.points)
    points = points[points["language"] == TOGETHER]
    if points.empty:
        why = "Empty: no parallel questions were laid out in the plane (--part states)."
        return Exhibit(name=name, title=title, missing=why)
    pictures: list[Part] = []
    groups = points.groupby([*SERIES, "measure"], sort=True)
    for (model, revision, benchmark, pivot, *_), group in groups:
        shown = label(str(model), revision=str(revision))
        count, languages = group["item"].nunique(), group["side"].nunique()
        said = f"{shown}, {benchmark}: {count} questions in {languages} languages"
        figure = plane(group, name=said, pivot=str(pivot))
        stem = file_name("states", shown, str(benchmark), str(len(pictures)))
        pictures.append(Picture(name=stem, caption=said, figure=figure))
    parts = (Text(lines=(PLANE,)), *folded(pictures, "more models in the plane"))
    return Exhibit(name=name, title=title, parts=parts)


def _similarity(material: Material) -> Exhibit:
    """Similarity by layer, and its correlations over languages with the answers."""
    name, title = SIMILAR
    rows = of_questions(material.rows.alignment)
    rows = rows[rows["measure"].isin(SIMILARITIES)]
    if rows.empty:
        why = "Empty: the states of languages were not compared with the pivot's (--part states)."
        return Exhibit(name=name, title=title, missing=why)
    pictures: list[Part] = []
    for (model, revision, benchmark, pivot, *_), group in rows.groupby(SERIES, sort=True):
        own = group[group["language"] != pivot].dropna(subset="value")
        if own.empty:
            continue
        said = f"{label(str(model), revision=str(revision))}, {benchmark}: similarity with {pivot}"
        stem = file_name(
            "similarity", str(model), str(revision), str(benchmark), str(len(pictures))
        )
        figure = profiles(own, name=said)
        pictures.append(Picture(name=stem, caption=said, figure=figure))
    found = correlated(rows, outputs=material.by_language)
    parts: list[Part] = [Text(lines=(LIKE,)), *folded(pictures, "more models by layer")]
    missing = ""
    if len(found):
        parts.append(_sheet(found))
    else:
        missing = "Without answers to the same benchmark, its correlations are missing."
    files = {"similarity_correlations": found} if len(found) else {}
    return Exhibit(name=name, title=title, parts=tuple(parts), missing=missing, files=files)


def correlated(rows: pd.DataFrame, *, outputs: pd.DataFrame) -> pd.DataFrame:
    """Pearson's r over languages of every similarity with accuracy and consistency."""
    series = [*SERIES, "measure"]
    values = log_ratio.over_layers(rows, series=series, columns=["value"])
    return log_ratio.correlations(
        values, outputs=outputs, series=series, column="value", outcomes=OUTCOMES
    )


def _sheet(found: pd.DataFrame) -> Sheet:
    """A row per model, benchmark and similarity: r over all layers and in the middle."""
    own = tables.with_label(found[found["layers"] != "last quarter"])
    places = ["label", "benchmark", "measure", "layers"]
    places += [name for name in ("output_prompt", "switches") if own[name].nunique() > 1]
    cells = {
        (tuple(record[place] for place in places), record["outcome"]): record
        for record in own.to_dict("records")
    }
    rows = [tuple(row) for row in own[places].drop_duplicates().itertuples(index=False)]
    frame = pd.DataFrame(rows, columns=places)
    below = pd.DataFrame(index=frame.index)
    for outcome in OUTCOMES:
        frame[outcome] = [float(cells[row, outcome]["r"]) for row in rows]
        below[outcome] = [under(cells[row, outcome]) for row in rows]
    return Sheet(
        name="similarity",
        caption=(
            "Pearson's r over languages between similarity with the pivot, averaged over layers, "
            "and what the model answers; below, two-sided p (not corrected), n and the 95 % "
            "interval. Spearman's rho is in similarity_correlations.csv"
        ),
        frame=frame,
        heads={"label": "model"},
        small=below,
        decimals=2,
        collapsed=len(frame) > 24,
    )

"""The page of the NeuronXA study: do alignment scores go with accuracy, language by language?

The one idea: everything is drawn from tidy rows, so it works for one model or nine, with or without
accuracies, and says in words what is missing. It does not know how a run was planned.
"""

from collections.abc import Hashable
from typing import NamedTuple

import pandas as pd

from analysis import correlate, published, scores, tables
from analysis.correlation_plots import forest, scatter, statement
from analysis.page import Page, Part, Picture, Section, Sheet, Text, file_name
from analysis.pages import languages, quality, words
from analysis.plots import CROWDED, heat_map, profiles
from analysis.read import Rows, label

SERIES = ["model", "revision", "dataset", "pivot", "switches"]
COEFFICIENT = ["label", "benchmark", "pooling", "measure", "n", "r", "low", "high", "p"]
COEFFICIENT += ["spearman_r", "spearman_low", "spearman_high", "spearman_p"]


class Headline(NamedTuple):
    """The series that figures show: the paper's default where it was run."""

    measure: str
    pooling: str

    @property
    def text(self) -> str:
        """The series as a reader meets it."""
        return f"{self.measure.upper()}, {self.pooling}"


class Material(NamedTuple):
    """The rows of a page and all that is computed from them once."""

    rows: Rows
    alignment: pd.DataFrame
    scores: pd.DataFrame
    accuracies: pd.DataFrame
    correlations: pd.DataFrame
    headline: Headline


def build(rows: Rows) -> Page:
    """All tables and figures of the study."""
    material = _material(rows)
    over_layers = material.correlations[material.correlations["layer_pool"] == "mean"]
    sections = (
        Section(title="Scores against accuracy", parts=_correlation_parts(over_layers)),
        Section(title="Language by language", parts=_scatters(material)),
        Section(title="Inside the models", parts=(*_heat_maps(material), *_profiles(material))),
        Section(
            title="Every language",
            parts=languages.parts(
                material.scores, accuracies=material.accuracies, headline=material.headline
            ),
        ),
        Section(
            title="Data quality and failures",
            parts=quality.parts(rows, scores=material.scores, accuracies=material.accuracies),
        ),
        Section(title="What the numbers mean", parts=(Text(lines=words.METHODS),)),
    )
    return Page(
        title="NeuronXA: do languages that agree inside a model also score alike?",
        summary=words.summary(
            over_layers, scores=material.scores, accuracies=material.accuracies,
            headline=material.headline,
        ),
        sections=tuple(section for section in sections if section.parts),
        files={
            "correlations": material.correlations,
            "scores": material.scores,
            "accuracies": material.accuracies,
        },
    )  # fmt: skip


def _material(rows: Rows) -> Material:
    """Compute once what several sections show."""
    alignment = scores.with_short_switches(rows.alignment)
    by_language = scores.by_language(alignment)
    accuracies = scores.accuracies(rows.items)
    return Material(
        rows=rows,
        alignment=alignment,
        scores=by_language,
        accuracies=accuracies,
        correlations=correlate.correlations(by_language, accuracies=accuracies),
        headline=_headline(alignment),
    )


def _headline(alignment: pd.DataFrame) -> Headline:
    """Weighted NASCA, the paper's default; where it was not run, the first series that was."""
    present = alignment[["measure", "pooling"]].drop_duplicates()
    found = [Headline(*pair) for pair in present.itertuples(index=False, name=None)]
    default = Headline("nasca", "weighted")
    return default if default in found or not found else min(found)


def _correlation_parts(correlations: pd.DataFrame) -> tuple[Part, ...]:
    """The cross-model table, its forest plots, the paper's values beside ours, all coefficients."""
    if correlations.empty:
        return (Text(lines=(words.NO_CORRELATION,), warning=True),)
    wide = tables.cross_model(correlations)
    parts: list[Part] = [
        Sheet(
            name="cross_model",
            caption=words.CROSS_MODEL,
            frame=wide,
            small=_small(wide, correlations),
        )
    ]
    missing = correlations.loc[correlations["r"].isna(), "note"].unique()
    noted = correlations["note"].ne("").any()
    if len(missing):
        parts.append(Text(lines=tuple(f"No coefficient: {note}." for note in missing)))
    parts += _against_paper(correlations)
    parts += _forests(correlations)
    parts.append(
        Sheet(
            name="correlations_mean_over_layers",
            caption="Every correlation: Pearson with Fisher's interval, Spearman with Bonett and "
            "Wright's; scores are means over layers (maxima are in correlations.csv)",
            frame=tables.in_order(tables.with_label(correlations))[
                [*COEFFICIENT, *tables.varying(correlations), *(["note"] if noted else [])]
            ],
            heads={"label": "model", "spearman_r": "rho", "spearman_p": "p (rho)"}
            | {"spearman_low": "rho low", "spearman_high": "rho high"},
            collapsed=len(correlations) > 12,
        )
    )
    return tuple(parts)


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


def _against_paper(correlations: pd.DataFrame) -> list[Part]:
    """Printed values beside ours for the paper's models, and a plain word for the others."""
    parts: list[Part] = [Text(lines=(" ".join(published.standing(correlations)),))]
    compared = published.beside(correlations)
    if compared.empty:
        return parts
    inside = compared["inside"].eq(True).sum()
    caption = (
        f"Published beside ours: {inside} of {len(compared)} printed values lie in our interval. "
        + words.UNLIKE_THE_PAPER
    )
    columns = ["label", "benchmark", "pooling", "measure", "n", "r", "low", "high", "published"]
    if compared["dataset"].nunique() > 1:
        columns.insert(1, "dataset")
    frame = tables.in_order(tables.with_label(compared))[[*columns, "difference", "inside"]]
    return [*parts, Sheet(name="published", caption=caption, frame=frame, heads={"label": "model"})]


def _forests(correlations: pd.DataFrame) -> list[Part]:
    """One forest plot per benchmark (and per condition, where conditions vary)."""
    groups = ["benchmark", *tables.varying(correlations)]
    named = tables.in_order(tables.with_label(correlations))
    parts: list[Part] = []
    for names, group in named.groupby(groups, sort=True):
        values = published.beside(group)
        places = tables.with_label(values)[["label", "measure", "pooling"]]
        printed = dict(
            zip(places.itertuples(index=False, name=None), values["published"], strict=True)
        )
        name = ", ".join(str(part) for part in names)
        figure = forest(group.sort_values("label", kind="stable"), name=name, published=printed)
        caption = f"{name}: every coefficient with its 95 % interval."
        parts.append(
            Picture(name=file_name("forest", name), caption=caption, figure=figure, size="half")
        )
    return parts


def _scatters(material: Material) -> tuple[Part, ...]:
    """One scatter per model and benchmark, for the headline series."""
    chosen = _of_headline(material.scores, material.headline)
    chosen = chosen[chosen["complete"] & (chosen["layer_pool"] == "mean")]
    joined = correlate.points(chosen, accuracies=material.accuracies)
    chance = material.accuracies[[*scores.SET, "chance"]]
    joined = joined.merge(chance, on=scores.SET)
    parts: list[Part] = []
    for names, group in joined.groupby([*SERIES, "benchmark", "prompt"], sort=True):
        name = f"{_series(names, material.scores)}, {names[5]}"
        if joined.loc[joined["benchmark"] == names[5], "prompt"].nunique() > 1:
            name += f" ({names[6]})"
        found = correlate.pearson(
            group["score"].to_numpy(float), y=group["accuracy"].to_numpy(float)
        )
        figure = scatter(
            group, name=name, correlation=found,
            score=f"score ({material.headline.text}, mean over layers): share of pairs aligned",
            accuracy=f"{names[5]} accuracy (share of items correct)",
        )  # fmt: skip
        caption = f"{name}: {statement(found)}."
        picture = file_name("scatter", name)
        parts.append(Picture(name=picture, caption=caption, figure=figure, size="half"))
    return tuple(parts)


def _heat_maps(material: Material) -> list[Part]:
    """One heat map per model, for the headline series."""
    chosen = _of_headline(material.alignment, material.headline)
    parts: list[Part] = []
    for names, group in chosen.groupby(SERIES, sort=True):
        name = f"{_series(names, material.scores)}: {material.headline.text}"
        tall = group["language"].nunique() > CROWDED
        parts.append(
            Picture(
                name=file_name("heat_map", name),
                caption=f"{name}. Languages by mean score, best on top.",
                figure=heat_map(group, name=name),
                size="tall" if tall else "half",
            )
        )
    return parts


def _profiles(material: Material) -> list[Part]:
    """Layer profiles per model, one panel per measure."""
    alignment = material.alignment
    chosen = alignment[alignment["pooling"] == material.headline.pooling]
    parts: list[Part] = []
    for names, group in chosen.groupby(SERIES, sort=True):
        name = f"{_series(names, material.scores)}: {material.headline.pooling} pooling"
        figure = profiles(group, name=name)
        caption = f"{name}. Score by layer, one line per language."
        parts.append(Picture(name=file_name("profile", name), caption=caption, figure=figure))
    return parts


def _of_headline(frame: pd.DataFrame, headline: Headline) -> pd.DataFrame:
    """The rows of the headline series."""
    wanted = (frame["measure"] == headline.measure) & (frame["pooling"] == headline.pooling)
    return frame[wanted]


def _series(places: tuple[Hashable, ...], everything: pd.DataFrame) -> str:
    """A model with the conditions that tell its series apart."""
    names = [str(place) for place in places]
    varying = [
        value
        for name, value in zip(SERIES[2:], names[2:5], strict=True)
        if everything[name].nunique() > 1
    ]
    return ", ".join([label(names[0], revision=names[1]), *varying])

"""Figures 3 and 4: scores over training steps, and scores against translation quality per step.

The one idea: a checkpoint is a revision with a step, and a model is drawn where several of its
states were run. The paper measures translations with COMET, a trained judge; chrF and BLEU need no
second model, so its coefficients stand beside ours without a verdict.
"""

from collections.abc import Hashable

import numpy as np
import pandas as pd

from analysis import checkpoints, correlate, published, terms, translation
from analysis.figures.training import curves
from analysis.figures.training import translation as scatter
from analysis.page import Exhibit, Part, Picture, Sheet, Text, file_name
from analysis.pages.material import Material
from analysis.read import listed

THREE = ("Figure 3", "scores over training steps")
FOUR = ("Figure 4", "scores against the quality of translations over training steps")
STEPS = "--model ID@step-100 --model ID@step-200 ..."
SERIES = ["model", "dataset", "switches", "pooling"]
MOST = 6


def exhibits(material: Material) -> list[Exhibit]:
    """Figures 3 and 4."""
    return [_figure_3(material), _figure_4(material)]


def _figure_3(material: Material) -> Exhibit:
    """Training curves, one figure per model."""
    name, title = THREE
    scores = material.main_scores
    scores = scores[scores["complete"] & (scores["pooling"] == material.headline.pooling)]
    models = checkpoints.trained(scores)
    if not models:
        why = f"Empty: no model was run at several training steps ({STEPS})."
        return Exhibit(name=name, title=title, missing=why)
    parts: list[Part] = []
    for names, group in scores[scores["model"].isin(models)].groupby(SERIES, sort=True):
        if group.groupby("measure")["revision"].nunique().max() < 2:
            continue
        said = f"{_shown(names, scores)}, {material.headline.pooling} pooling"
        caption = f"{said}. Score by training step, one line per language."
        figure = curves(group, name=said)
        parts.append(Picture(name=file_name("training", said), caption=caption, figure=figure))
    return Exhibit(name=name, title=title, parts=tuple(parts))


def _figure_4(material: Material) -> Exhibit:
    """Quality against score over steps, by model and language pair."""
    name, title = FOUR
    if material.rows.generations.empty:
        why = f"Empty: no translations were written ({STEPS} --part translation)."
        return Exhibit(name=name, title=title, missing=why)
    own = translation.quality(material.rows.generations)
    quality = pd.concat([own, material.rows.judged], ignore_index=True)
    scores = material.of_headline(material.scores)
    scores = scores[scores["complete"] & (scores["layer_pool"] == "mean")]
    scores = terms.of_main_pairs(scores, scores=material.scores)
    joined = translation.with_scores(quality, scores=scores)
    places = ["model", "benchmark", "language", "pivot", "prompt", "dataset", "switches"]
    rows: list[dict[str, object]] = []
    pictures: list[Part] = []
    for names, group in joined.groupby(places, sort=True):
        if group["revision"].nunique() < 2:
            continue
        found = {
            str(metric): correlate.pearson(
                own["score"].to_numpy(float), y=own["quality"].to_numpy(float)
            )
            for metric, own in group.groupby("metric", sort=False)
        }
        place = dict(zip(places, names, strict=True))
        for metric, correlation in found.items():
            rows.append(place | {"metric": metric} | correlation._asdict())
        if len(pictures) < MOST:
            pictures.append(_picture(group, place, found, material, number=len(pictures)))
    parts: list[Part] = []
    missing = ""
    if rows:
        parts += [_coefficients(pd.DataFrame(rows), joined), *pictures]
        drawn = len(rows) // len(translation.METRICS)
        if drawn > MOST:
            parts.append(
                Text(lines=(f"Drawn are the first {MOST} of {drawn} pairs of languages.",))
            )
    else:
        missing = (
            "No coefficient: it needs translations and scores of the same pair of languages at "
            f"several training steps ({STEPS})."
        )
    parts.append(_quality_sheet(quality))
    return Exhibit(name=name, title=title, parts=tuple(parts), missing=missing)


def _picture(
    points: pd.DataFrame, place: dict[str, Hashable], found: dict[str, correlate.Correlation],
    material: Material, *, number: int,
) -> Picture:  # fmt: skip
    """Quality against score over the steps of one model and pair of languages."""
    said = f"{place['model']}: {place['pivot']} to {place['language']} ({place['benchmark']})"
    score = f"{material.headline.text}, mean over layers"
    return Picture(
        name=file_name("translation", said, str(number)),
        caption=f"{said}. One point per training step.",
        figure=scatter(points, name=said, score=score, found=found),
    )


def _coefficients(rows: pd.DataFrame, joined: pd.DataFrame) -> Sheet:
    """Pearson's r over steps, and what the paper prints for other judges."""
    printed = published.training()
    theirs = listed(f"{row.metric} {row.published:.4f}" for row in printed.itertuples())
    tokenizers = listed(sorted(set(joined.loc[joined["metric"] == "BLEU", "tokenizer"])))
    rows["note"] = rows["note"].str.replace("languages", "steps")
    frame = rows.drop(columns=[name for name in ("prompt", "dataset", "switches")
                               if rows[name].nunique() < 2])  # fmt: skip
    if frame["note"].eq("").all():
        frame = frame.drop(columns="note")
    caption = (
        f"Pearson's r over training steps, between score and corpus quality (BLEU's tokenizer: "
        f"{tokenizers}). The paper prints {theirs} for its Icelandic run; these judges are trained "
        "models that are not computed here, so the numbers are for reading and not a test."
    )
    heads = {"n": "steps"}
    return Sheet(name="figure_4", caption=caption, frame=frame, heads=heads)


def _quality_sheet(quality: pd.DataFrame) -> Sheet:
    """chrF and BLEU of every set of translations, and COMET where it was run."""
    order = quality["revision"].map(lambda revision: checkpoints.order(str(revision)))
    frame = quality.assign(step=np.where(order < np.inf, order, np.nan))
    frame = frame.sort_values(["model", "language", "metric", "step"], kind="stable")
    caption = "Quality of all translations, 95 % intervals: sentences resampled"
    frame = frame.drop(columns=["step", "engine"]).reset_index(drop=True)
    return Sheet(name="translation_quality", caption=caption, frame=frame, collapsed=True)


def _shown(names: tuple[Hashable, ...], scores: pd.DataFrame) -> str:
    """A model with the conditions that vary."""
    model, *conditions = (str(name) for name in names[:3])
    varying = [
        value
        for name, value in zip(SERIES[1:3], conditions, strict=True)
        if scores[name].nunique() > 1
    ]
    return ", ".join([model, *varying])

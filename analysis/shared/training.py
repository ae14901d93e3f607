"""Scores over training steps, and against the quality of translations: Figures 3 and 4 of NeuronXA.

A checkpoint is a revision with a step, and a model is drawn where several of its states were run.
The paper measures translations with COMET, a trained judge; chrF and BLEU need no second model, so
its coefficients stand beside ours without a verdict.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import published, read
from analysis.figures import curves, over_training, scatter
from analysis.figures.drawing import COLOURS, short
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Series, Table
from analysis.layout.material import Material
from analysis.layout.prose import shared
from analysis.results import conditions
from analysis.shared.coefficients import statement
from analysis.statistics import checkpoints, correlate, translation

STEPS = "--model ID@step-100 --model ID@step-200 ..."
CONDITIONS = ["dataset", "switches"]
PLACES = ["model", "benchmark", "language", "pivot", "prompt", "dataset", "switches"]
MOST = 6
MOST_LABELS = 12


def _curves(material: Material) -> pd.DataFrame:
    """Scores of the models with several states, all of them, in the headline's pooling."""
    scores = material.whole.main_scores
    scores = scores[scores["complete"] & (scores["pooling"] == material.headline.pooling)]
    return scores[scores["model"].isin(checkpoints.trained(scores))]


def _trained(material: Material, frame: pd.DataFrame) -> Series:
    """The scores of each model that several states have, by the conditions that vary."""
    varying = tables.several(material.whole.main_scores, CONDITIONS)
    for names, group in frame.groupby(["model", *CONDITIONS], sort=True):
        if group.groupby("measure")["revision"].nunique().max() < 2:
            continue
        place = dict(zip(["model", *CONDITIONS], map(str, names), strict=True))
        shown = [place["model"], *(place[name] for name in varying)]
        yield f"{', '.join(shown)}, {material.headline.pooling} pooling", group


def draw_training(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Score by training step, a panel per measure that several states have.

    What has no step is the last state and stands beyond the last step.
    """
    steps = {one: checkpoints.step(one) for one in sorted(set(rows["revision"]))}
    known = [float(step) for step in steps.values() if step is not None]
    beyond = (max(known) * 1.12 + 1) if known else 0.0
    places = {one: beyond if step is None else float(step) for one, step in steps.items()}
    states = rows.groupby("measure")["revision"].nunique()
    panels = []
    for measure in (name for name in COLOURS if states.get(name, 0) > 1):
        own = rows[rows["measure"] == measure]
        grid = own.assign(place=own["revision"].map(places))
        grid = grid.pivot_table(index="place", columns="language", values="score").sort_index()
        panels.append(
            over_training.panel(
                grid, title=measure.upper(), y="score, mean over layers", colour=COLOURS[measure],
                ends={short(one): beyond for one, step in steps.items() if step is None},
                bottom=min(0.0, float(np.nanmin(grid.to_numpy()))),
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=f"{said} (thin: one language, thick: their mean, 95 % interval)"
    )


def _quality(material: Material) -> pd.DataFrame:
    """chrF and BLEU of every set of translations, and COMET where it was run."""
    rows = material.whole.rows
    if rows.generations.empty:
        return pd.DataFrame()
    own = translation.quality(rows.generations)
    return pd.concat([own, rows.judged], ignore_index=True)


def _joined(material: Material) -> pd.DataFrame:
    """Quality beside the headline score of the same model, state and pair of languages."""
    quality, material = material.get(_quality), material.whole
    if quality.empty:
        return quality
    scores = material.of_headline(material.scores)
    scores = scores[scores["complete"] & (scores["layer_pool"] == "mean")]
    scores = conditions.of_main_pairs(scores, scores=material.scores)
    joined = translation.with_scores(quality, scores=scores)
    states = joined.groupby(PLACES)["revision"].transform("nunique")
    return joined[states > 1]


def _over_steps(rows: pd.DataFrame) -> dict[str, correlate.Correlation]:
    """r over the steps of one model and pair of languages, by metric."""
    return {
        str(metric): correlate.pearson(
            own["score"].to_numpy(float), y=own["quality"].to_numpy(float)
        )
        for metric, own in rows.groupby("metric", sort=False)
    }


def coefficients(material: Material) -> pd.DataFrame:
    """Pearson's r over training steps, by model, pair of languages and metric."""
    joined = material.get(_joined)
    if joined.empty:
        return joined
    rows: list[dict[str, object]] = []
    for names, group in joined.groupby(PLACES, sort=True):
        place = dict(zip(PLACES, names, strict=True))
        for metric, found in _over_steps(group).items():
            rows.append(place | {"metric": metric} | found._asdict())
    frame = pd.DataFrame(rows)
    frame["note"] = frame["note"].str.replace("languages", "steps")
    alike = [name for name in ("prompt", "dataset", "switches") if frame[name].nunique() < 2]
    return frame.drop(columns=[*alike, *(["note"] if frame["note"].eq("").all() else [])])


def _printed(material: Material) -> Mapping[str, object]:
    """The paper's coefficients, and BLEU's tokenizers."""
    joined = material.get(_joined)
    return {
        "paper": [f"{row.metric} {row.published:.4f}" for row in published.training().itertuples()],
        "tokenizers": sorted(set(joined.loc[joined["metric"] == "BLEU", "tokenizer"])),
    }


def _pictured(_material: Material, frame: pd.DataFrame) -> Series:
    """The first few models and pairs of languages."""
    for number, (_, group) in enumerate(frame.groupby(PLACES, sort=True)):
        if number < MOST:
            yield _pair(group), group


def _pair(rows: pd.DataFrame) -> str:
    """The model, the pair of languages and the texts of some rows."""
    row = rows.iloc[0]
    return f"{row['model']}: {row['pivot']} to {row['language']} ({row['benchmark']})"


def draw_quality(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Score against quality, one point per step, one panel per metric; bars are 95 % intervals.

    Rows need revision, metric, quality, low, high and score.
    """
    panels = []
    for metric, found in _over_steps(rows).items():
        own = rows[rows["metric"] == metric]
        steps = [checkpoints.step(text) for text in own["revision"]]
        panels.append(
            scatter.Panel(
                title=metric, note=statement(found, of="steps"),
                x=own["score"].to_numpy(float), y=own["quality"].to_numpy(float),
                low=own["low"].to_numpy(float), high=own["high"].to_numpy(float),
                names=[read.short_revision(text) if step is None else str(step)
                       for text, step in zip(own["revision"], steps, strict=True)],
                y_label=f"{metric} (95 % interval)",
            )
        )  # fmt: skip
    return scatter.scatter(
        panels,
        name=said,
        x=f"{material.headline.text}, mean over layers",
        share=False,
        across=len(panels),
        most_labels=MOST_LABELS,
    )


def _undrawn(material: Material) -> Mapping[str, object] | None:
    """How many pairs of languages are not drawn."""
    every = len(material.get(coefficients)) // len(translation.METRICS)
    return {"most": MOST, "every": every} if every > MOST else None


def _by_step(quality: pd.DataFrame) -> pd.DataFrame:
    """Quality in the order of training."""
    order = quality["revision"].map(lambda revision: checkpoints.order(str(revision)))
    frame = quality.assign(step=np.where(order < np.inf, order, np.nan))
    frame = frame.sort_values(["model", "language", "metric", "step"], kind="stable")
    return frame.drop(columns=["step", "engine"])


FIGURE_3 = Exhibit(
    name="Figure 3", title="scores over training steps",
    empty=f"Empty: no model was run at several training steps ({STEPS}).",
    parts=(
        Plot(
            name="training", fill=_curves, by=_trained, draw=draw_training,
            caption="{{ said }}. Score by training step, one line per language; thick: the mean.",
            few=10**9,
        ),
    ),
)  # fmt: skip
FIGURE_4 = Exhibit(
    name="Figure 4", title="scores against the quality of translations over training steps",
    empty=f"Empty: no translations were written ({STEPS} --part translation).",
    parts=(
        Table(
            name="figure_4", fill=coefficients,
            caption=shared("figure_4"),
            facts=_printed, heads={"n": "steps"},
        ),
        Plot(
            name="translation", fill=_joined, by=_pictured, draw=draw_quality,
            caption="{{ said }}. One point per training step.",
            words=lambda rows, number: (_pair(rows), str(number)), few=MOST,
        ),
        Note(
            text="Drawn are the first {{ most }} of {{ every }} pairs of languages.",
            facts=_undrawn,
        ),
        Table(
            name="translation_quality", fill=_quality, shown=_by_step,
            caption="Quality of all translations, 95 % intervals: sentences resampled", most=0,
        ),
    ),
    lacking="{% if not found %}No coefficient: it needs translations and scores of the same pair "
    f"of languages at several training steps ({STEPS}).{{% endif %}}",
    facts=lambda material: {"found": len(material.get(coefficients))},
)  # fmt: skip

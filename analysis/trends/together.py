"""Alignment against accuracy along training: their correlation over languages, state by state.

Of the headline score and of the languages that all states have, so that the numbers of two states
are of the same ones.
"""

import numpy as np
import pandas as pd

from analysis.layout.material import Material, main_metric
from analysis.questions.answer import correct
from analysis.statistics import correlate
from analysis.statistics.checkpoints import common
from analysis.trends.course import AT, Course, typed

SET = ["dataset", "switches", "benchmark", "prompt", "metric"]
MEANS = ("score", "accuracy")
COLUMNS = [*AT, *SET, "n", "r", "low", "high", "p", *MEANS, "note"]


def by_state(material: Material, course: Course) -> pd.DataFrame:
    """One row per state and benchmark: r over languages, and the means of both over these.

    p is corrected over all states and benchmarks. Empty where fewer than two states have both.
    """
    rows: list[dict[str, object]] = []
    found = _points(material, course)
    for names, group in found.groupby(SET, sort=True) if len(found) else ():
        wide = group.pivot_table(index="revision", columns="language", values=list(MEANS))
        wide = wide.reindex([name for name in course.order.revisions if name in wide.index])
        scores, accuracies = (wide[name].to_numpy(float) for name in MEANS)
        states, languages = common(~np.isnan(scores + accuracies))
        if states.sum() < 2:
            continue
        for name, x, y in zip(
            wide.index[states], scores[states][:, languages], accuracies[states][:, languages],
            strict=True,
        ):  # fmt: skip
            rows.append(
                course.at[str(name)] | dict(zip(SET, names, strict=True))
                | correlate.pearson(x, y=y)._asdict()
                | {"score": float(x.mean()), "accuracy": float(y.mean())}
            )  # fmt: skip
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return correct(typed(frame)) if rows else frame


def _points(material: Material, course: Course) -> pd.DataFrame:
    """Score and accuracy of every state and language in the metric of each benchmark."""
    if material.rows.alignment.empty or material.rows.items.empty:
        return pd.DataFrame()
    found = material.of_headline(material.main_points)
    found = main_metric(found, material.accuracies)
    return found[found["model"] == course.model]

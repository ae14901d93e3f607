"""What several sections of a page share, computed once from the rows.

The one idea: everything below is a pure function of the rows. Conditions (data set, pairs, pivot,
switches, prompt, metric) stay apart here; which of them a table shows is decided in analysis/terms.
"""

from collections.abc import Hashable
from typing import NamedTuple

import pandas as pd

from analysis import checkpoints, correlate, scores, terms
from analysis.read import Rows, label

SERIES = ["model", "revision", *scores.CONDITIONS]


class Headline(NamedTuple):
    """The series that figures show: the paper's default where it was run."""

    measure: str
    pooling: str

    @property
    def text(self) -> str:
        """The series as a reader meets it."""
        return f"{self.measure.upper()}, {self.pooling}"


class Material(NamedTuple):
    """The rows of a page and all that is computed from them once.

    `scores`, `points` and `correlations` are all there are. Those that answer the main question
    (one pivot, one number of pairs per data set, mean over layers) are `main_scores`, `main_points`
    (by the metric to show) and `on_terms`; `main_alignment` is what they are means of.
    """

    rows: Rows
    alignment: pd.DataFrame
    scores: pd.DataFrame
    accuracies: pd.DataFrame
    points: pd.DataFrame
    correlations: pd.DataFrame
    main_alignment: pd.DataFrame
    main_scores: pd.DataFrame
    main_points: pd.DataFrame
    on_terms: pd.DataFrame
    headline: Headline
    varying: tuple[bool, ...]

    def of_headline(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the headline series."""
        wanted = frame["measure"] == self.headline.measure
        return frame[wanted & (frame["pooling"] == self.headline.pooling)]

    def named(self, places: tuple[Hashable, ...]) -> str:
        """A series (`SERIES`) as people read it: the model and the conditions that vary."""
        model, revision, *conditions = (str(place) for place in places[: len(SERIES)])
        pairs = zip(conditions, self.varying, strict=True)
        shown = [value for value, varies in pairs if varies]
        return ", ".join([label(model, revision=revision), *shown])


def material(rows: Rows) -> Material:
    """Compute once what several sections show."""
    alignment = scores.with_short_switches(rows.alignment)
    by_language = scores.by_language(alignment)
    accuracies = scores.accuracies(rows.items)
    enough = terms.many_languages(by_language)
    points = correlate.points(enough[enough["complete"]], accuracies=accuracies)
    found = correlate.correlations(enough, accuracies=accuracies)
    over_layers = by_language[by_language["layer_pool"] == "mean"]
    main_scores = terms.main(over_layers, scores=by_language)
    main_points = points[(points["layer_pool"] == "mean") & points["main"]]
    return Material(
        rows=rows,
        alignment=alignment,
        scores=by_language,
        accuracies=accuracies,
        points=points,
        correlations=found,
        main_alignment=terms.main(alignment, scores=by_language),
        main_scores=main_scores,
        main_points=terms.main(main_points, scores=by_language),
        on_terms=terms.main(found[found["layer_pool"] == "mean"], scores=by_language),
        headline=headline(alignment),
        varying=tuple(main_scores[name].nunique() > 1 for name in scores.CONDITIONS),
    )


def headline(alignment: pd.DataFrame) -> Headline:
    """Weighted NASCA, the paper's default; where it was not run, the first series that was."""
    present = alignment[["measure", "pooling"]].drop_duplicates()
    found = [Headline(*pair) for pair in present.itertuples(index=False, name=None)]
    default = Headline("nasca", "weighted")
    return default if default in found or not found else min(found)


def last(frame: pd.DataFrame) -> pd.DataFrame:
    """The last state of every model; the others are for the figures over training."""
    return checkpoints.last_states(frame) if len(frame) else frame


def main_metric(frame: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the metric to show for each benchmark."""
    shown = accuracies.loc[accuracies["main"], ["model", "revision", "benchmark", "metric"]]
    return frame.merge(shown.drop_duplicates())

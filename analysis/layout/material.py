"""The rows of a page, and every frame that is computed from them, each once and only if asked for.

All are pure functions of the rows. Conditions (data set, pairs, pivot, switches, prompt, metric)
stay apart; which of them a table shows is decided in analysis/results/conditions.py.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import replace
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
import pandas as pd

from analysis import read, reading
from analysis.layout.tables import several, with_label
from analysis.read import Rows, label
from analysis.results import conditions, latent, steering, transfer, written
from analysis.results.answers import Answers, answers
from analysis.statistics import checkpoints, correlate, scores
from studies.kinds import tables

Value = TypeVar("Value")
# What fills a table or figure: a frame of the material by its name, or a function of the material.
Fill = str | Callable[["Material"], pd.DataFrame]
SERIES = ["model", "revision", *scores.CONDITIONS]
PAIR = ["model", "revision", "benchmark"]
# A model's name and its revision.
State = tuple[str, str]
# The frames of rows that have both.
FRAMES = ("alignment", "items", "generations", "points", "robustness", "vectors", "judged")


class Headline(NamedTuple):
    """The series that figures show: the NeuronXA paper's default where it was run."""

    measure: str
    pooling: str

    @property
    def text(self) -> str:
        """The series as a reader meets it."""
        return f"{self.measure.upper()}, {self.pooling}"


class Computed(Generic[Value]):
    """A frame of the material that is computed once, and notes every time what it was read from.

    A value of the same name that the material was given stands in for it.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        """The frame that a method makes."""
        self.make, self.__doc__ = make, make.__doc__

    @overload
    def __get__(self, held: None, owner: type) -> "Computed[Value]": ...
    @overload
    def __get__(self, held: "Material", owner: type) -> Value: ...
    def __get__(self, held: "Material | None", owner: type) -> "Computed[Value] | Value":
        """The frame of a material."""
        return self if held is None else held.once(self, self.make)


class Material:
    """Frames by name; `given` ones stand in for those that would be computed.

    Of NeuronXA: `scores`, `points` and `correlations` are all there are; those that answer the main
    question (one pivot, one number of pairs per data set, mean over layers) are `main_scores`,
    `main_points` (by the metric to show) and `on_terms`; `main_alignment` is what they are means
    of. Of the latent process: `answers` are the plain and steered ones; `pairs`, `by_language` and
    `overall` those of `analysis.results.transfer`; `effects` has one row per steered cell, `latent`
    one per model, benchmark, language, measure and layer. Of generation: `texts`, and `written`,
    their metrics.
    """

    def __init__(self, rows: Rows, **given: object) -> None:
        """Material of some rows."""
        self.rows = rows
        # That of all states, where this one is without some.
        self.whole = self
        self._without: Collection[State] = frozenset()
        self._made: dict[object, tuple[Any, frozenset[str]]] = {}
        self.__dict__.update(given)

    @overload
    def get(self, make: Fill) -> pd.DataFrame: ...
    @overload
    def get(self, make: Callable[["Material"], Value]) -> Value: ...
    def get(self, make: str | Callable[["Material"], object]) -> object:
        """What a function makes of this material, computed once; or a frame by its name."""
        return attrgetter(make)(self) if isinstance(make, str) else self.once(make, make)

    def once(self, key: object, make: Callable[["Material"], Value]) -> Value:
        """What a function makes of this material, kept by a key with the tables that it reads."""
        if key not in self._made:
            with reading.watched() as found:
                value = make(self)
            self._made[key] = value, frozenset(found)
        kept: Value
        kept, found_before = self._made[key]
        reading.note(*found_before)
        return kept

    def without(self, states: Collection[State]) -> "Material":
        """The same without some states of models; `whole` is then this one."""
        if not states:
            return self
        frames: dict[str, Any] = {
            name: without(getattr(self.rows, name), states) for name in FRAMES
        }
        found = Material(replace(self.rows, **frames))
        found.whole, found._without = self, states
        return found

    def has(self, state: State) -> bool:
        """Whether a state is not left out."""
        return state not in self._without

    def here(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame of all states that this material is of."""
        return without(frame, self._without)

    def table(self, name: str) -> pd.DataFrame:
        """The rows of any table, each once; that of a kind of cell of one's own among them."""

        def rows(_: Material) -> pd.DataFrame:
            found = self.here(read.table(self.rows.sources, name=name))
            return found.drop_duplicates(list(tables()[name].identity), ignore_index=True)

        return self.once(("table", name), rows)

    @Computed
    def alignment(self) -> pd.DataFrame:
        """Alignment scores by layer, with short switches."""
        return scores.with_short_switches(self.rows.alignment)

    @Computed
    def scores(self) -> pd.DataFrame:
        """One score per language, by `scores.by_language`."""
        return scores.by_language(self.alignment)

    @Computed
    def accuracies(self) -> pd.DataFrame:
        """One accuracy per language, by `scores.accuracies`."""
        return scores.accuracies(self.rows.items)

    @Computed
    def broad(self) -> pd.DataFrame:
        """Scores of the pivots that more than a few languages were compared with."""
        return conditions.many_languages(self.scores)

    @Computed
    def points(self) -> pd.DataFrame:
        """Score and accuracy side by side, one row per language."""
        complete = self.broad[self.broad["complete"]]
        return correlate.points(complete, accuracies=self.accuracies)

    @Computed
    def correlations(self) -> pd.DataFrame:
        """Every correlation over languages of a score with an accuracy."""
        return correlate.correlations(self.broad, accuracies=self.accuracies)

    @Computed
    def main_alignment(self) -> pd.DataFrame:
        """The rows of the main pivot and number of pairs."""
        return conditions.main(self.alignment, scores=self.broad)

    @Computed
    def main_scores(self) -> pd.DataFrame:
        """Their means over layers."""
        over_layers = self.scores[self.scores["layer_pool"] == "mean"]
        return conditions.main(over_layers, scores=self.broad)

    @Computed
    def main_points(self) -> pd.DataFrame:
        """The points of the main correlations."""
        chosen = self.points[(self.points["layer_pool"] == "mean") & self.points["main"]]
        return conditions.main(chosen, scores=self.broad)

    @Computed
    def on_terms(self) -> pd.DataFrame:
        """The main correlations."""
        found = self.correlations
        return conditions.main(found[found["layer_pool"] == "mean"], scores=self.broad)

    @Computed
    def headline(self) -> Headline:
        """Weighted NASCA; where it was not run, the first series that was."""
        present = self.alignment[["measure", "pooling"]].drop_duplicates()
        found = [Headline(*pair) for pair in present.itertuples(index=False, name=None)]
        default = Headline("nasca", "weighted")
        return default if default in found or not found else min(found)

    def of_headline(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the headline series."""
        wanted = frame["measure"] == self.headline.measure
        return frame[wanted & (frame["pooling"] == self.headline.pooling)]

    def named(self, places: tuple[Hashable, ...]) -> str:
        """A series (`SERIES`) as people read it: the model and the conditions that vary."""
        model, revision, *conditions = (str(place) for place in places[: len(SERIES)])
        shown = [
            value
            for name, value in zip(scores.CONDITIONS, conditions, strict=True)
            if self.main_scores[name].nunique() > 1
        ]
        return ", ".join([label(model, revision=revision), *shown])

    @Computed
    def answers(self) -> list[Answers]:
        """Every cell's answers, plain and steered."""
        found = answers(self.rows.sources)
        return [one for one in found if self.has((one.model, one.revision))]

    @Computed
    def pairs(self) -> pd.DataFrame:
        """Plain answers by ordered pair of languages."""
        return transfer.pairs(self.answers)

    @Computed
    def by_language(self) -> pd.DataFrame:
        """Plain answers by language."""
        return transfer.by_language(self.answers, found=self.pairs)

    @Computed
    def overall(self) -> pd.DataFrame:
        """Plain answers by model, benchmark and prompt."""
        return transfer.overall(self.answers, found=self.pairs)

    @property
    def weak(self) -> pd.DataFrame:
        """The rows of `overall` in which half of the languages or more are at chance."""
        return self.overall[self.overall["above"] * 2 <= self.overall["languages"]]

    @property
    def sound(self) -> pd.DataFrame:
        """The other rows of `overall`."""
        return self.overall.drop(self.weak.index)

    def firm(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the pairs of model and benchmark that are not `weak` under every prompt.

        Those without plain answers stay, as nothing speaks against them.
        """
        sound, known = (
            set(one[PAIR].itertuples(index=False, name=None)) for one in (self.sound, self.overall)
        )
        places = frame[PAIR].itertuples(index=False, name=None)
        kept = [place in sound or place not in known for place in places]
        return frame[pd.Series(kept, index=frame.index, dtype=bool)]

    @Computed
    def effects(self) -> pd.DataFrame:
        """What steering changes, cell by cell."""
        return steering.effects(self.answers)

    @Computed
    def latent(self) -> pd.DataFrame:
        """Latent probabilities of answer texts, by `latent.cells`."""
        return self.here(latent.cells(self.rows.sources))

    @Computed
    def texts(self) -> pd.DataFrame:
        """Texts of plain models."""
        return written.plain(self.rows.generations)

    @Computed
    def written(self) -> pd.DataFrame:
        """Their metrics."""
        return written.summaries(self.texts)


def derived(
    fill: str | Callable[["Material"], object], make: Callable[[Any], pd.DataFrame]
) -> Callable[["Material"], pd.DataFrame]:
    """What a function makes of a frame of the material."""
    return lambda material: make(material.get(fill))


def without(frame: pd.DataFrame, states: Collection[State]) -> pd.DataFrame:
    """The rows of a frame but those of some states, where it has states."""
    if not states or not {"model", "revision"} <= set(frame):
        return frame
    left = [
        (str(model), str(revision)) in states
        for model, revision in zip(frame["model"], frame["revision"], strict=True)
    ]
    return frame[~np.array(left, dtype=bool)].reset_index(drop=True)


def last(frame: pd.DataFrame) -> pd.DataFrame:
    """The last state of every model; the others are for the figures over training."""
    return checkpoints.last_states(frame) if len(frame) else frame


def main_metric(frame: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """The rows of the metric to show for each benchmark."""
    shown = accuracies.loc[accuracies["main"], ["model", "revision", "benchmark", "metric"]]
    return frame.merge(shown.drop_duplicates())


def named_by(
    *fixed: str, varying: tuple[str, ...] = (), within: tuple[str, ...] = ()
) -> Callable[[Material, pd.DataFrame], list[tuple[str, pd.DataFrame]]]:
    """What divides a frame into series, called by the `fixed` columns and what varies.

    A condition of `varying` is part of the name where one group of `within` has several of its
    values; `label`, the model, is added to the frame.
    """

    def divide(_: Material, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        held = with_label(frame)
        found = []
        for names, group in held.groupby([*fixed, *varying], sort=True, dropna=False):
            place = dict(zip([*fixed, *varying], names, strict=True))
            alike = held
            for name in within:
                alike = alike[alike[name] == place[name]]
            shown = [*fixed, *several(alike, varying)]
            found.append((", ".join(str(place[name]) for name in shown), group))
        return found

    return divide

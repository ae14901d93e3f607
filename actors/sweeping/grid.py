"""The questions and settings of a sweep, and a place for every answer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from actors.intervention.setting import Setting
from actors.model import LoadedModel
from actors.prediction.predict import Layout, Question

# Log-probabilities [setting][question][option][token].
Swept = list[list[list[list[float]]]]


class Grid(NamedTuple):
    """Questions to answer under settings, each of which is known by its place in `found`.

    `plain` are the places that the plain model's answers are for.
    """

    loaded: LoadedModel
    questions: Sequence[Question]
    settings: Mapping[int, Setting]
    plain: Sequence[int]
    found: Swept

    def keep(
        self, places: Sequence[int], question: int, layout: Layout, values: Sequence[float]
    ) -> None:
        """Note what was read of one question's `layout` under the settings at these places."""
        logs = layout.by_option(values)
        for place in places:
            self.found[place][question] = logs

"""What the sections of the latent-process page share, computed once from the rows.

The one idea: everything below is a pure function of the rows, one frame for each of the study's
questions. Models, benchmarks, prompts and switches stay apart; nothing is chosen here.
"""

from typing import NamedTuple

import pandas as pd

from analysis import latent, steering, transfer
from analysis.answers import Answers, answers
from analysis.page import Fold, Part
from analysis.read import Rows

# A parallel text that is a benchmark's questions is named so.
PREFIX = "questions/"
FEW = 4
PAIR = ["model", "revision", "benchmark"]


class Material(NamedTuple):
    """The rows of a page and all that is computed from them once.

    `answers` are the plain and steered answers; `pairs`, `by_language` and `overall` are those of
    `analysis.transfer`: the plain ones by pair of languages, by language, and by model and
    benchmark. `effects` is `analysis.steering.effects`, one row per steered cell; `latent` is
    `analysis.latent.cells`, one row per model, benchmark, language, measure and layer.
    """

    rows: Rows
    answers: list[Answers]
    pairs: pd.DataFrame
    by_language: pd.DataFrame
    overall: pd.DataFrame
    effects: pd.DataFrame
    latent: pd.DataFrame

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

        Those of which no plain answers are known stay, as nothing speaks against them.
        """
        sound, known = (
            set(one[PAIR].itertuples(index=False, name=None)) for one in (self.sound, self.overall)
        )
        places = frame[PAIR].itertuples(index=False, name=None)
        kept = [place in sound or place not in known for place in places]
        return frame[pd.Series(kept, index=frame.index, dtype=bool)]


def material(rows: Rows) -> Material:
    """Compute once what several sections show."""
    found = answers(rows.sources)
    pairs = transfer.pairs(found)
    return Material(
        rows=rows,
        answers=found,
        pairs=pairs,
        by_language=transfer.by_language(found, found=pairs),
        overall=transfer.overall(found, found=pairs),
        effects=steering.effects(found),
        latent=latent.cells(rows.sources),
    )


def folded(pictures: list[Part], what: str) -> tuple[Part, ...]:
    """The first few pictures, and the others behind a fold."""
    rest = tuple(pictures[FEW:])
    return (*pictures[:FEW], *([Fold(caption=f"{len(rest)} {what}", parts=rest)] if rest else []))

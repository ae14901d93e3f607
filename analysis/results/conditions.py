"""Which rows answer the main question: one pivot, one number of pairs per data set, last states.

Pivot, pairs and data set are conditions and never mixed in one number, so a table first chooses.
English is the pivot and 100 the pairs where they were run, as in the paper (NeuronXA, section 3);
otherwise what was run most. Switches are not chosen: several are shown as several, and only a
summary takes `one`.
"""

import pandas as pd

from analysis import published
from analysis.read import UNKNOWN_PAIRS

PIVOT = "eng_Latn"
PAIRS = "100"
ALL = "all"
FEWEST = 3


def pivot(frame: pd.DataFrame) -> str:
    """The main pivot: English where it was used, else the most frequent; empty without rows."""
    counts = frame["pivot"].value_counts()
    if PIVOT in counts.index or counts.empty:
        return PIVOT if len(counts) else ""
    return str(counts.index[0])


def pairs(frame: pd.DataFrame) -> dict[str, str]:
    """The number of pairs to show for each data set: 100 if run, `all` only if nothing else was."""
    found = {}
    for dataset, group in frame.groupby("dataset", sort=True):
        counts = group["pairs"].value_counts()
        some = [str(name) for name in counts.index if name != ALL]
        if PAIRS in some:
            found[str(dataset)] = PAIRS
        else:
            found[str(dataset)] = some[0] if some else ALL
    return found


def main(frame: pd.DataFrame, *, scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main pivot and the main number of pairs; what these are, `scores` say."""
    chosen = of_pivot(frame, pivot=pivot(scores))
    return of_main_pairs(chosen, scores=scores)


def of_pivot(frame: pd.DataFrame, *, pivot: str) -> pd.DataFrame:
    """The rows of one pivot."""
    return frame[frame["pivot"] == pivot]


def of_main_pairs(frame: pd.DataFrame, *, scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main number of pairs of their data set."""
    return frame[frame["pairs"] == frame["dataset"].map(pairs(scores))]


def many_languages(scores: pd.DataFrame) -> pd.DataFrame:
    """Without the pivots that only a few pairs of languages were compared with.

    They serve a table of pairs; a correlation over them would not be defined. Kept where there is
    nothing else.
    """
    counts = scores.groupby("pivot")["language"].transform("nunique")
    enough = counts >= FEWEST
    return scores[enough] if enough.any() else scores


def pairs_in_words(text: str) -> str:
    """`100 sentence pairs`, `all sentence pairs`."""
    if text == UNKNOWN_PAIRS:
        return "an unrecorded number of sentence pairs"
    return f"{text} sentence pairs"


def one(frame: pd.DataFrame) -> pd.DataFrame:
    """One data set, one setting of the switches and one prompt per benchmark: a single series.

    FLORES-200 where it was used, else what was run most.
    """
    if frame.empty:
        return frame
    datasets = [str(name) for name in frame["dataset"].value_counts().index]
    first = [name for name in datasets if published.dataset(name) == "FLORES-200"]
    frame = frame[frame["dataset"] == (first or datasets)[0]]
    frame = frame[frame["switches"] == frame["switches"].value_counts().index[0]]
    prompts = frame.groupby("benchmark")["prompt"]
    return frame[frame["prompt"] == prompts.transform(lambda found: found.mode().iloc[0])]

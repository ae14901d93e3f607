"""How good written translations are: chrF and BLEU over a whole set, with intervals.

A corpus score says with which tokenizer it was made, since BLEU of a language written without
spaces depends on it. Intervals are over resampled sentences, from a fixed seed.
"""

import csv
from functools import cache
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from analysis.statistics.intervals import NONE, of_draws
from analysis.statistics.resample import drawn

SET = ["model", "revision", "benchmark", "language", "pivot", "prompt", "engine"]
METRICS = ("chrF", "BLEU")
# `sampling` of rows (read.py) whose tokens were not drawn.
GREEDY = "greedy"
# Of all languages; what writes a translation scores its sentences by the same.
TOKENIZERS = Path(__file__).parents[2] / "studies" / "bleu_tokenizers.csv"


@cache
def tokenizer(language: str) -> str:
    """sacrebleu's tokenizer for a language: of words where one is installed, else characters."""
    spoken, _, script = language.partition("_")
    for row in csv.DictReader(TOKENIZERS.read_text(encoding="utf-8").splitlines()):
        if row["language"] in ("", spoken) and row["script"] in ("", script):
            there = not row["module"] or find_spec(row["module"])
            return row["tokenizer"] if there else row["otherwise"]
    raise AssertionError("the table's last row is for every language")


def plain(generations: pd.DataFrame) -> pd.DataFrame:
    """Translations by the model as it is, each of the most probable tokens: one to a sentence."""
    kept = generations["pivot"].notna() & generations["intervention"].isna()
    if "sampling" in generations:
        kept &= generations["sampling"] == GREEDY
    return generations[kept]


def quality(generations: pd.DataFrame) -> pd.DataFrame:
    """One row per model, revision, benchmark, language pair, prompt and metric.

    Columns beside those: `value`, `low`, `high` (95 %), `n` sentences and `tokenizer`. Only
    `plain` ones that have references.
    """
    rows = [
        dict(zip(SET, names, strict=True)) | row
        for names, group in plain(generations).groupby(SET, sort=True, dropna=False)
        for row in corpora(group, str(names[SET.index("language")]))
    ]
    columns = [*SET, "metric", "value", "low", "high", "texts", "tokenizer"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"texts": "n"})


def corpora(texts: pd.DataFrame, language: str, *, fewest: int = 2) -> list[dict[str, object]]:
    """chrF and BLEU of the texts that have references, with 95 % percentile intervals.

    Items are drawn, the same for both; an interval is missing below `fewest` items, and where every
    draw scores alike. Where items have several samples, a score is the mean over
    the corpora of first samples, second ones, and so on.

    sacrebleu's own bootstrap fails where a draw scores an exact 0 (release 2.6), hence only its
    counts per sentence are taken.
    """
    right = texts["references"].map(lambda one: one is not None and len(one) > 0)
    held = texts[right.astype(bool)]
    if held.empty:
        return []
    kind = tokenizer(language)
    scorers: dict[str, Any] = {"chrF": CHRF(), "BLEU": BLEU(tokenize=kind)}
    places, items = pd.factorize(held["item"])
    sample = held["sample"].to_numpy() if "sample" in held else np.zeros(len(held))
    again = drawn(len(items)) if len(items) >= fewest else None
    rows: list[dict[str, object]] = []
    for metric, scorer in scorers.items():
        values, resampled = [], []
        for one in np.unique(sample):
            own = held[sample == one]
            references = list(map(list, zip_longest(*own["references"])))
            counts = np.array(
                scorer._extract_corpus_statistics(list(own["output"].fillna("")), references)
            )
            values.append(_score(scorer, counts.sum(axis=0)))
            if again is not None:
                mine = again[:, places[sample == one]] @ counts
                resampled.append([_score(scorer, draw) for draw in mine])
        ends = of_draws(np.mean(resampled, axis=0)) if resampled else NONE
        found = {"metric": metric, "value": float(np.mean(values)), "texts": len(held)}
        rows.append(
            found | ends._asdict() | {"tokenizer": kind if metric == "BLEU" else "characters"}
        )
    return rows


def _score(scorer: Any, counts: npt.NDArray[np.float64]) -> float:
    """The corpus score of counts that are summed over texts."""
    return float(scorer._compute_score_from_stats(list(counts)).score)


def with_scores(quality: pd.DataFrame, *, scores: pd.DataFrame) -> pd.DataFrame:
    """Quality beside the alignment score of the same model, revision and pair of languages.

    Which of the two was the pivot of the score does not matter: the score is the same.
    """
    left = quality.assign(pair=_pairs(quality), quality=quality["value"])
    right = scores.assign(pair=_pairs(scores))
    kept = ["model", "revision", "pair", "measure", "pooling", "dataset", "switches", "score"]
    right = right[kept].drop_duplicates([name for name in kept if name != "score"])
    return left.drop(columns="value").merge(right, on=["model", "revision", "pair"])


def _pairs(frame: pd.DataFrame) -> pd.Series:
    """Both languages of every row, in one order."""
    both = zip(frame["language"].astype(str), frame["pivot"].astype(str), strict=True)
    return pd.Series([" - ".join(sorted(pair)) for pair in both], frame.index, dtype=object)

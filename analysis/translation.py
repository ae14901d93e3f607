"""How good written translations are: chrF and BLEU over a whole set, with intervals.

The one idea: a corpus score says with which tokenizer it was made, since BLEU of a language written
without spaces depends on it. Intervals are over resampled sentences, from a fixed seed. It does not
know what is compared with the scores.
"""

import csv
from functools import cache
from importlib.util import find_spec
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from analysis.intervals import of_draws

DRAWS = 1000
SEED = 0
SET = ["model", "revision", "benchmark", "language", "pivot", "prompt", "engine"]
METRICS = ("chrF", "BLEU")
# `sampling` of rows (read.py) whose tokens were not drawn.
GREEDY = "greedy"
# Of all languages; what writes a translation scores its sentences by the same.
TOKENIZERS = Path(__file__).parents[1] / "studies" / "bleu_tokenizers.csv"


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
    written = plain(generations)
    held = written["references"].map(lambda texts: texts is not None and len(texts) > 0)
    rows = []
    for names, group in written[held.astype(bool)].groupby(SET, sort=True, dropna=False):
        place = dict(zip(SET, names, strict=True))
        kind = tokenizer(str(place["language"]))
        scorers: dict[str, Any] = {"chrF": CHRF(), "BLEU": BLEU(tokenize=kind)}
        outputs, references = list(group["output"].fillna("")), _streams(group["references"])
        for metric, scorer in scorers.items():
            value = scorer.corpus_score(outputs, references).score
            low, high = interval(scorer, outputs, references=references)
            rows.append(
                place
                | {"metric": metric, "value": float(value), "low": low, "high": high}
                | {"n": len(outputs)}
                | {"tokenizer": kind if metric == "BLEU" else "characters"}
            )
    columns = [*SET, "metric", "value", "low", "high", "n", "tokenizer"]
    return pd.DataFrame(rows, columns=columns)


def interval(
    scorer: Any, outputs: list[str], *, references: list[list[str | None]]
) -> tuple[float, float]:
    """95 % percentile interval of a corpus score over resampled sentences.

    Missing for one sentence, and where every draw scores alike.

    sacrebleu's own bootstrap fails where a draw scores an exact 0 (release 2.6), hence only its
    counts per sentence are taken.
    """
    if len(outputs) < 2:
        return nan, nan
    counts = np.array(scorer._extract_corpus_statistics(outputs, references))
    random = np.random.default_rng(SEED)
    draws = random.multinomial(len(outputs), np.full(len(outputs), 1 / len(outputs)), size=DRAWS)
    values = [float(scorer._compute_score_from_stats(list(row)).score) for row in draws @ counts]
    return of_draws(np.array(values))


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


def _streams(references: pd.Series) -> list[list[str | None]]:
    """References as sacrebleu takes them: all first ones, all second ones, ...; None for none."""
    lists = [list(texts) for texts in references]
    most = max(len(texts) for texts in lists)
    return [
        [texts[number] if number < len(texts) else None for texts in lists]
        for number in range(most)
    ]

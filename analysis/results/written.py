"""What written texts are worth: every metric of a set of texts, with its interval.

Items are drawn, and the samples of an item with it, so intervals know that the texts written for
one prompt are alike. What one engine wrote is never counted with what another did. Source of the
scores: docs/tables.md, `generations`.
"""

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd

from analysis.read import label
from analysis.statistics.intervals import NONE, Ends, of_draws, of_groups
from analysis.statistics.resample import drawn
from analysis.statistics.translation import corpora

# What is asked, and what wrote it and how.
ASKED = ["benchmark", "task", "pivot", "language"]
SERIES = ["model", "revision", "prompt", "sampling", "engine"]
COLUMNS = [*ASKED, *SERIES, "metric", "value", "low", "high", "items", "samples", "texts"]
COLUMNS += ["tokenizer"]
# The scores of a task, the one to compare by first.
METRICS: Mapping[str, tuple[str, ...]] = {
    "span": ("f1_mixed", "f1", "exact"),
    "number": ("exact", "answered"),
    "translation": ("chrF", "BLEU"),
    "text": (),
}
MEANS: Mapping[str, tuple[str, ...]] = {
    "span": ("f1_mixed", "f1", "exact"),
    "number": ("exact", "answered"),
    "translation": ("chrF_sentence", "BLEU_sentence"),
    "text": (),
}
# The score of one text, by which texts are set in order.
OF_ONE: Mapping[str, str] = {"span": "f1_mixed", "number": "exact", "translation": "chrf"}
# What is said of any text: in which language, and how it goes on and ends.
WRITING = ("in_language", "in_script", "repetition", "stopped", "tokens", "truncated", "empty")
ANY = "_any"
NAMES: Mapping[str, str] = {
    "f1_mixed": "F1 mixed",
    "f1": "F1",
    "exact": "exact match",
    "answered": "number found",
    "in_language": "in the language",
    "in_script": "in the script",
}
# What is no share: from 0 to any number, or to 100.
AMOUNTS = ("tokens", "chrF_sentence", "BLEU_sentence")
FEWEST = 4
NO_LANGUAGE, NO_SCRIPT, UNKNOWN = "und", "Zyyy", "not recorded"


def main_metric(task: str) -> str:
    """The metric that stands for a task: its first score, or being in the language asked for."""
    return next(iter(METRICS[task]), "in_language")


def name(metric: str) -> str:
    """A metric as people read it."""
    if metric.endswith(ANY):
        return f"{name(metric.removesuffix(ANY))}, best of n"
    return NAMES.get(metric, metric)


def plain(generations: pd.DataFrame) -> pd.DataFrame:
    """Texts of plain models. Where `task` was not kept it is translation, or text without a pivot.

    `score` is that of the one text, NaN where its task has none.
    """
    found = generations[generations["intervention"].isna()].reset_index(drop=True)
    kind = found["pivot"].notna().map({True: "translation", False: "text"})
    found["task"] = found["task"].where(found["task"].notna(), kind)
    found["pivot"] = found["pivot"].astype(object).where(found["pivot"].notna(), None)
    for column in ("prompt", "engine"):
        found[column] = found[column].fillna(UNKNOWN)
    score = pd.Series(nan, found.index)
    for task, column in OF_ONE.items():
        score = score.where(found["task"] != task, found[column])
    return found.assign(score=score.astype(float), empty=found["output"].fillna("").eq(""))


def summaries(texts: pd.DataFrame) -> pd.DataFrame:
    """One row per set of texts (`ASKED` and `SERIES`) and metric, of rows as `plain` returns them.

    `value` is a mean over the samples of all items, or the corpus score of each sample's texts,
    averaged; `low` and `high` are its 95 % interval. Of several samples the metrics that end in
    `_any` take the best of an item's. `texts` is how many a value is of: `in_language` is the share
    of those whose language could be told. chrF and BLEU are from 0 to 100, tokens a number, all
    else a share.
    """
    rows: list[dict[str, object]] = []
    for names, group in texts.groupby([*ASKED, *SERIES], sort=True, dropna=False):
        place = dict(zip([*ASKED, *SERIES], names, strict=True))
        place |= {"items": group["item"].nunique(), "samples": group["sample"].nunique()}
        task, language = str(place["task"]), str(place["language"])
        rows += [place | row for row in _shares(group, task, language)]
        if task == "translation":
            ordered = group.sort_values(["item", "sample"])
            scored = corpora(ordered, language, fewest=FEWEST)
            rows += [place | row for row in scored]
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.assign(pivot=found["pivot"].astype(object).where(found["pivot"].notna(), None))


def over_languages(found: pd.DataFrame) -> pd.DataFrame:
    """The mean of one metric of one benchmark over the languages that all series have.

    One row per series with `value`, `languages` and `common`: False where no language is in all,
    so that every series has the mean over its own.
    """
    known = with_places(found.dropna(subset="value"))
    if known.empty:
        return pd.DataFrame(columns=[*SERIES, "value", "languages", "common"])
    wide = known.pivot_table(index=["pivot_text", "language"], columns=SERIES, values="value")
    whole = wide.dropna()
    common = len(whole) > 0
    used = whole if common else wide
    frame = pd.DataFrame({"value": used.mean(), "languages": used.count(), "common": common})
    return frame.reset_index()


def with_places(found: pd.DataFrame) -> pd.DataFrame:
    """The frame with `pivot_text`, the pivot or an empty text, which groups and sorts."""
    return found.assign(pivot_text=found["pivot"].fillna("").astype(str))


def with_series(found: pd.DataFrame) -> pd.DataFrame:
    """The frame with `series`, the model and whatever else sets its rows apart, and its engine.

    Prompt and sampling are named where the frame has several, the engine always is.
    """
    several = [column for column in ("prompt", "sampling") if found[column].nunique() > 1]
    names = []
    for row in found[SERIES].to_dict("records"):
        shown = label(str(row["model"]), revision=str(row["revision"]))
        names.append(f"{shown} ({', '.join(str(row[name]) for name in [*several, 'engine'])})")
    return found.assign(series=pd.Series(names, found.index, dtype=object))


def _shares(group: pd.DataFrame, task: str, language: str) -> list[dict[str, object]]:
    """Means over texts. A text that a metric says nothing of is not counted in it."""
    values = _values(group, task, language)
    by_item = values.groupby(group["item"], sort=True)
    sums, counts = by_item.sum(), by_item.count()
    if group["sample"].nunique() > 1 and task in ("span", "number"):
        best = by_item.max()[list(MEANS[task])].add_suffix(ANY)
        sums, counts = sums.join(best.fillna(0)), counts.join(best.notna().astype(int))
    total, of = sums.sum(), counts.sum()
    return [
        {"metric": metric, "value": total[metric] / of[metric] if of[metric] else nan}
        | _ends(sums[metric], counts[metric], share=metric not in AMOUNTS)._asdict()
        | {"texts": int(of[metric])}
        for metric in sums.columns
    ]


def _ends(sums: pd.Series, counts: pd.Series, *, share: bool) -> Ends:
    """The interval of a mean over texts, from its sums and counts by item.

    Wilson's where a text has a share or has not, and where a share does not vary; else percentiles
    over drawn items, from 4 items up.
    """
    summed, counted = sums.to_numpy(float), counts.to_numpy(float)
    if share and np.equal(np.mod(summed, 1), 0).all():
        return of_groups(summed, counted)
    if len(summed) < FEWEST:
        return NONE
    times = drawn(len(summed))
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = of_draws((times @ summed) / (times @ counted))
    return of_groups(summed, counted) if share and ends.low != ends.low else ends


def _values(group: pd.DataFrame, task: str, language: str) -> pd.DataFrame:
    """One column per metric, NaN where it does not apply to a text or could not be told."""
    spoken, _, script = language.partition("_")
    own = {
        "chrF_sentence": group["chrf"],
        "BLEU_sentence": group["bleu"],
        "answered": group["answer"].notna().where(group["exact"].notna()),
    }
    found = {metric: own[metric] if metric in own else group[metric] for metric in MEANS[task]}
    if spoken != NO_LANGUAGE:
        told = group["written_language"].notna()
        found["in_language"] = group["written_language"].eq(language).where(told)
    if script != NO_SCRIPT:
        told = group["written_script"].notna()
        found["in_script"] = group["written_script"].eq(script).where(told)
    for metric in ("repetition", "stopped", "tokens", "truncated", "empty"):
        found[metric] = group[metric]
    return pd.DataFrame(
        {metric: pd.to_numeric(column).astype(float) for metric, column in found.items()},
        index=group.index,
    )

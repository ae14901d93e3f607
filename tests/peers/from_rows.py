"""Kinds of numbers that follow from stored rows: scores of texts, means, intervals, correlations.

Imports nothing of ours.
"""

import math
import re
import string
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from compared import EXACT, Compared, Run, kind
from scipy import stats

SHARES = ("exact", "answered", "in_language", "in_script")
# A text whose only number nobody could read otherwise: plain digits, no sign, unit or fraction.
ONE_NUMBER = re.compile(r"[^\d.,%$/^\\*+-]*?\b([0-9]+)\b[^\d.,%$/^\\*+-]*", re.ASCII)


@kind
def answers(run: Run, compared: Compared) -> None:
    """Scores of texts: SQuAD's exact match and F1; a number that equals the right one."""
    for row in run.rows("generations"):
        where = (row.model, row.language, row.item)
        if row.task == "span":
            exact, f1 = squad(row.output, row.references)
            compared.number((*where, "exact"), row.exact, exact)
            compared.number((*where, "f1"), row.f1, f1)
        if row.task == "number":
            found = ONE_NUMBER.fullmatch(row.output)
            if found and row.output.isascii() and not re.search("[A-Za-z][0-9]", row.output):
                compared.same((*where, "answer"), row.answer, str(int(found[1])))
                right = int(found[1]) == float(row.references[0].replace(",", ""))
                compared.number((*where, "exact"), row.exact, right)
            elif not any(letter.isnumeric() for letter in row.output):
                compared.same((*where, "answer"), row.answer, None)
                compared.number((*where, "exact"), row.exact, 0)
            else:
                compared.undecided += 1


def squad(text: str, references: list[str]) -> tuple[float, float]:
    """SQuAD v1.1's exact match and F1, the best over the right answers."""

    def words(text: str) -> list[str]:
        bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()

    def f1(own: list[str], right: list[str]) -> float:
        common = sum((Counter(own) & Counter(right)).values())
        return 2 * common / (len(own) + len(right)) if common else 0.0

    own = words(text)
    pairs = [words(reference) for reference in references]
    return max(float(own == right) for right in pairs), max(f1(own, right) for right in pairs)


@kind
def chance(run: Run, compared: Compared) -> None:
    """Probabilities under chance: of a mutual nearest neighbour, of an accuracy."""
    for row in run.rows("alignment"):
        if row.measure not in ("mexa", "nasca", "navca"):
            continue
        own = stats.binom.sf(round(row.value * row.n) - 1, row.n, 1 / (2 * row.n - 1))
        where = (row.model, row.language, row.measure, row.pooling, row.layer)
        compared.number((*where, "p_null"), row.p_null, own, allowed=EXACT * own)
    # NeuronXA's table asks whether an accuracy differs from chance, the other whether it is above.
    tests = (("accuracies", "p_chance", "two-sided"), ("by_language", "p_above_chance", "greater"))
    for name, column, side in tests:
        for cell in run.csv(name):
            n, share = int(cell["n"]), float(cell["accuracy"])
            p = stats.binomtest(round(share * n), n, float(cell["chance"]), alternative=side).pvalue
            where = (name, cell["language"], column)
            compared.number(where, cell[column], p, allowed=EXACT * p)


@kind
def intervals(run: Run, compared: Compared) -> None:
    """95 % intervals of shares: Wilson's."""
    found = [
        (name, cell, float(cell["accuracy"]), int(cell["n"]))
        for name in ("accuracies", "by_language")
        for cell in run.csv(name)
    ]
    for cell in run.csv("written"):
        share = cell["metric"] in SHARES and cell["value"] and cell["samples"] == "1"
        if share and float(cell["texts"]):
            found.append(("written", cell, float(cell["value"]), int(float(cell["texts"]))))
    for name, cell, share, n in found:
        own = stats.binomtest(round(share * n), n).proportion_ci(method="wilson")
        for column, end in (("low", own.low), ("high", own.high)):
            compared.number((name, cell["language"], column), cell[column], end)


def _plain_items(run: Run, cell: dict[str, str]) -> pd.DataFrame:
    """The plain items of a CSV row's model and benchmark."""
    items = run.table("items")
    names = [name for name in ("model", "benchmark", "prompt") if name in cell]
    found = items[items["intervention"].isna()]
    for name in names:
        found = found[found[name] == cell[name]]
    return found


def _accuracy(items: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """The share of right items by language."""
    column = "correct_norm" if metric == "acc_norm" else "correct"
    return items.assign(right=items[column].astype(float)).groupby("language")["right"].mean()


def _scores(run: Run, cell: dict[str, str]) -> "pd.Series[float]":
    """A measure's values by language, over layers as a CSV row says."""
    rows = run.table("alignment")
    for name in ("model", "dataset", "pairs", "pivot", "measure", "pooling"):
        rows = rows[rows[name].astype(str) == cell[name]]
    return rows.groupby("language")["value"].agg(cell["layer_pool"])


@kind
def correlations(run: Run, compared: Compared) -> None:
    """Pearson's and Spearman's correlation of scores with accuracies over languages."""
    for cell in run.csv("correlations"):
        score = _scores(run, cell)
        accuracy = _accuracy(_plain_items(run, cell), cell["metric"])
        both = pd.concat([score, accuracy], axis=1, join="inner").drop(
            cell["pivot"], errors="ignore"
        )
        both = both.dropna()
        where = tuple(cell[name] for name in ("model", "measure", "pooling", "layer_pool"))
        compared.number((*where, "n"), cell["n"], len(both))
        x, y = both.to_numpy().T
        # What differs in the last places of float64 is one value.
        varied = len(both) > 2 and all(
            np.ptp(each) > 1e-12 * max(1, abs(each).max()) for each in (x, y)
        )
        pearson = stats.pearsonr(x, y).statistic if varied else None
        spearman = stats.spearmanr(x, y).statistic if varied else None
        compared.number((*where, "r"), cell["r"], pearson)
        compared.number((*where, "spearman_r"), cell["spearman_r"], spearman)


@kind
def consistency(run: Run, compared: Compared) -> None:
    """How alike two languages rank options, and what right and wrong answers they share."""
    for cell in run.csv("pairs"):
        items = _plain_items(run, cell)
        first, second = (
            items[items["language"] == cell[side]].set_index("item")
            for side in ("source", "target")
        )
        both = first.join(second, how="inner", rsuffix="_2")
        ranks = [np.concatenate(both[name].to_list()) for name in ("ranks", "ranks_2")]
        right, other = both["correct"].astype(bool), both["correct_2"].astype(bool)
        alike = ~right & ~other & (both["prediction"] == both["prediction_2"])
        found = {
            "n": len(both),
            "consistency": stats.spearmanr(*ranks).statistic,
            "tr_plus": (right & other).sum() / right.sum() if right.any() else math.nan,
            "tr_minus": alike.sum() / (~right).sum() if (~right).any() else math.nan,
        }
        for column, own in found.items():
            where = (cell["model"], cell["source"], cell["target"], column)
            compared.number(where, cell[column], own)


@kind
def means(run: Run, compared: Compared) -> None:
    """Cells of the report that are means of rows."""
    for name in ("accuracies", "by_language"):
        for cell in run.csv(name):
            own = _accuracy(_plain_items(run, cell), cell.get("metric", "acc"))
            where = (name, cell["model"], cell["language"])
            compared.number(where, cell["accuracy"], own[cell["language"]])
    for cell in run.csv("scores"):
        where = ("scores", cell["model"], cell["language"], cell["measure"], cell["pooling"])
        compared.number(where, cell["score"], _scores(run, cell)[cell["language"]])
    for cell in run.csv("written"):
        if cell["metric"] in ("exact", "f1", "f1_mixed"):
            rows = run.rows(
                "generations", model=cell["model"], benchmark=cell["benchmark"],
                language=cell["language"], prompt=cell["prompt"].split(" (")[0],
            )  # fmt: skip
            own = np.mean([getattr(row, cell["metric"]) for row in rows])
            where = ("written", cell["model"], cell["language"], cell["metric"])
            compared.number(where, cell["value"], own)
    for cell in run.csv("steering_effects"):
        if cell["intervention"] == "steer":
            _steered(run, cell, compared)


def _steered(run: Run, cell: dict[str, str], compared: Compared) -> None:
    """Accuracies with a vector and without, over the same items."""
    same: dict[str, Any] = {
        name: cell[name] for name in ("model", "benchmark", "language", "prompt")
    }
    same["seed"] = float(cell["seed"])
    pushed = run.rows(
        "items", **same, intervention="steer",
        layer=float(cell["layer"]), coefficient=float(cell["coefficient"]),
    )  # fmt: skip
    before = run.rows("items", **same, intervention="steer", layer=None)
    for column, rows in (("accuracy", pushed), ("plain_accuracy", before)):
        own = np.mean([row.correct for row in rows])
        where = ("steering_effects", cell["language"], cell["layer"], cell["coefficient"], column)
        compared.number(where, cell[column], own)

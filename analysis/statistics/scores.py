"""From rows to one number per language: a score over layers, an accuracy over items.

Every number keeps what qualifies it: pairs, ties, layers, items, chance, interval.
"""

import json
from functools import lru_cache

import pandas as pd
from scipy import stats

from analysis.statistics.intervals import wilson

LAYER_POOLS = ("mean", "max")
LEVEL = 0.05
# A correlation over fewer languages may be of any size by chance.
FEW_LANGUAGES = 10
CONDITIONS = ["dataset", "pairs", "pivot", "switches"]
SERIES = ["model", "revision", *CONDITIONS, "measure", "pooling"]
SET = ["model", "revision", "benchmark", "prompt", "metric", "language"]
# Answered by text of its own, so that the length of an option matters: the harness prints both.
NORMED = ("m_arc",)


def by_language(alignment: pd.DataFrame) -> pd.DataFrame:
    """One row per series, language and layer pool: `score` is the mean or the maximum over layers.

    Every layer in the rows counts: 0..L for MEXA, as in its code, and 1..L for NASCA and NAVCA.
    `complete` is false where a language lacks a layer that another language of its series has, or
    where the value of a layer is undefined (`undefined` counts those). `margin` is the mean over
    layers; `tokens` and `pivot_tokens` are those of the texts.
    """
    grouped = alignment.groupby([*SERIES, "language"], sort=True)
    found = grouped.agg(
        mean=("value", "mean"),
        max=("value", "max"),
        defined=("value", "count"),
        layers=("layer", "nunique"),
        n=("n", "min"),
        ties=("ties", "sum"),
        p_null=("p_null", "min"),
        truncated=("truncated", "max"),
        margin=("margin", "mean"),
        duplicates=("duplicates", "max"),
        tokens=("tokens", "max"),
        pivot_tokens=("pivot_tokens", "max"),
    ).reset_index()
    most = alignment.groupby(SERIES)["layer"].nunique().rename("most").reset_index()
    found = found.merge(most, on=SERIES)
    found["undefined"] = found["layers"] - found["defined"]
    found["complete"] = found["defined"] == found["most"]
    names = [name for name in found.columns if name not in (*LAYER_POOLS, "defined", "most")]
    return found.melt(
        id_vars=names, value_vars=list(LAYER_POOLS), var_name="layer_pool", value_name="score"
    )


def accuracies(items: pd.DataFrame) -> pd.DataFrame:
    """One row per model, benchmark, prompt, metric and language, over the plain items.

    `metric` is `acc`, and for benchmarks answered by texts of unequal length also `acc_norm` (the
    log-probability per character). `main` marks the one to show: `acc_norm` where it was kept.
    `low` and `high` are Wilson's 95 % interval, `chance` the mean of 1 / options, `p_chance` the
    exact two-sided binomial p of the accuracy under chance.
    """
    plain = items[items["intervention"].isna()]
    both = plain["correct_norm"].notna()
    both &= plain["benchmark"].str.rsplit("/").str[-1].isin(NORMED)
    normed = plain[both].assign(correct=plain.loc[both, "correct_norm"], metric="acc_norm")
    found = _accuracies(pd.concat([plain.assign(metric="acc"), normed], ignore_index=True))
    places = [name for name in SET if name not in ("metric", "language")]
    kept = (
        (found["metric"] == "acc_norm").groupby([found[name] for name in places]).transform("any")
    )
    found["main"] = (found["metric"] == "acc_norm") == kept
    return found


def _accuracies(plain: pd.DataFrame) -> pd.DataFrame:
    """Hits over items, with what qualifies them."""
    plain = plain.assign(
        chance=1 / plain["options"].astype(float),
        hit=plain["correct"].astype(float),
        cut=plain["truncated"].eq(True).astype(float),
    )
    found = (
        plain.groupby(SET, sort=True)
        .agg(n=("hit", "size"), hits=("hit", "sum"), chance=("chance", "mean"), cut=("cut", "sum"))
        .reset_index()
    )
    found["accuracy"] = found["hits"] / found["n"]
    hits, n = found["hits"].to_numpy(float), found["n"].to_numpy(float)
    found["low"], found["high"] = wilson(hits, n=n)
    chances = found["chance"].to_numpy(float)
    found["p_chance"] = [
        _binomial_p(int(k), n=int(m), chance=float(chance))
        for k, m, chance in zip(hits, n, chances, strict=True)
    ]
    found["truncated"] = found["cut"].astype(int)
    return found.drop(columns=["hits", "cut"])


@lru_cache(maxsize=65536)
def _binomial_p(hits: int, *, n: int, chance: float) -> float:
    """Exact two-sided binomial p; missing where the number of options is unknown or 1."""
    if not 0 < chance < 1:
        return float("nan")
    return float(stats.binomtest(hits, n, chance).pvalue)


def with_short_switches(alignment: pd.DataFrame) -> pd.DataFrame:
    """Name switches by what varies among the rows: `include_bos=false`, not the whole JSON."""
    texts = sorted(set(alignment["switches"].dropna()))
    if len(texts) < 2:
        return alignment
    settings = [json.loads(text) for text in texts]
    names = sorted({name for setting in settings for name in setting})
    varying = [name for name in names if len({str(s.get(name)) for s in settings}) > 1]
    short = {
        text: ", ".join(f"{name}={json.dumps(setting.get(name))}" for name in varying)
        for text, setting in zip(texts, settings, strict=True)
    }
    return alignment.assign(switches=alignment["switches"].map(short))


def blocks_alone(alignment: pd.DataFrame) -> pd.DataFrame:
    """The rows without layer 0: MEXA's code counts the embeddings as a layer, others do not."""
    return alignment[alignment["layer"] > 0]


def fertility(by_language: pd.DataFrame) -> pd.Series:
    """Tokens of the language's texts per token of the pivot's, missing where not recorded."""
    return by_language["tokens"].astype(float) / by_language["pivot_tokens"].astype(float)

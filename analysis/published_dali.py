"""Reference values of the DALI study: computed from outputs that its authors released.

The paper's own tables are not at hand; these are of Llama-3.1-8B with five examples in the prompt,
layers 0 to 31. As in analysis/published, a comparison is made only like with like.
"""

import json
from functools import cache

import pandas as pd

from analysis.published import FOLDER, in_print

MODEL = "Llama-3.1-8B"
MODELS = {"meta-llama/llama-3.1-8b": MODEL, "meta-llama/meta-llama-3.1-8b": MODEL}
BENCHMARKS = {"belebele": "Belebele", "xstorycloze": "XStoryCloze", "xcopa": "XCOPA"}
PIVOT = "eng_Latn"
# Columns of the reference, as the page calls them.
COLUMNS = {
    "mean_of_max": "mean of maxima",
    "pearson_max": "Pearson, maximum",
    "pearson_mean": "Pearson, mean",
    "spearman_max": "Spearman, maximum",
}


def task(model: str, *, revision: str, benchmark: str, pivot: str) -> str | None:
    """The paper's name of a benchmark, where the model and the pivot are the paper's too."""
    if in_print(model, revision=revision, models=MODELS) is None or pivot != PIVOT:
        return None
    return BENCHMARKS.get(benchmark.lower())


def pooling(switches: str) -> str:
    """Which state of a text is compared, of the switches of a row."""
    held = json.loads(switches) if switches else {}
    return str(held.get("dali_pool", "last"))


@cache
def reference() -> pd.DataFrame:
    """One row per value: task, pooling, measure, column, published."""
    wide = pd.read_csv(FOLDER / "dali_reference.csv").rename(columns={"score": "measure"})
    long = wide.melt(
        id_vars=["task", "pooling", "measure"], value_vars=list(COLUMNS), var_name="column",
        value_name="published",
    )  # fmt: skip
    return long.assign(column=long["column"].map(COLUMNS)).dropna(ignore_index=True)


@cache
def gaps() -> pd.DataFrame:
    """One row per language of XCOPA: task, language, gap, p_one_sided, successes, failures."""
    return pd.read_csv(FOLDER / "dali_gaps.csv")

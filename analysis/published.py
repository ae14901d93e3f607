"""The values that the NeuronXA paper prints, and the names by which ours meet them.

A comparison is made only like with like: the paper's own model, data set, task and pivot. Every
table comes as long rows with the places of a table of ours. What stays different all the same is
for the reader to weigh.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "published"
AVERAGE = "AVG"
MODELS = {
    "meta-llama/llama-3.1-8b": "Llama-3.1-8B",
    "meta-llama/meta-llama-3.1-8b": "Llama-3.1-8B",
    "meta-llama/meta-llama-3-8b": "Llama-3-8B",
    "meta-llama/llama-3-8b": "Llama-3-8B",
    "meta-llama/llama-2-7b-hf": "Llama-2-7B",
    "meta-llama/llama-3.2-3b": "Llama-3.2-3B",
    "qwen/qwen2.5-14b": "Qwen2.5-14B",
    "qwen/qwen2.5-7b": "Qwen2.5-7B",
    "mistralai/mistral-7b-v0.3": "Mistral-7B-v0.3",
    "allenai/olmo-2-1124-7b": "OLMo-2-7B",
    "zai-org/glm-4-9b": "GLM-4-9B",
    "zai-org/glm-4-9b-hf": "GLM-4-9B",
    "thudm/glm-4-9b": "GLM-4-9B",
    "thudm/glm-4-9b-hf": "GLM-4-9B",
}
COLUMNS = tuple(dict.fromkeys(MODELS.values()))
DETAILED = "Llama-3.1-8B"
TASKS = {
    "xnli": "XNLI",
    "bmlama": "BMLAMA-53",
    "bmlama53": "BMLAMA-53",
    "marc": "m-ARC",
    "arcmultilingual": "m-ARC",
    "mmmlu": "m-MMLU",
    "belebele": "Belebele",
}
DATASETS = {
    "flores": "FLORES-200",
    "flores200": "FLORES-200",
    "floresplus": "FLORES-200",
    "tatoeba": "Tatoeba",
}
BASELINES = ("CKA", "SVCCA", "ANC")


def column(model: str, *, revision: str) -> str | None:
    """The paper's name of a model, or None where the model is not in the paper."""
    return in_print(model, revision=revision, models=MODELS)


def in_print(model: str, *, revision: str, models: Mapping[str, str]) -> str | None:
    """A paper's name of a model, by the names of its models; None where it has none.

    A named revision is another checkpoint; a commit is only a pinned way to write `main`. A folder
    on disk has no owner in its name: it is taken for the model it is named after.
    """
    if revision != "main" and not re.fullmatch(r"[0-9a-f]{40}", revision):
        return None
    folders = {name.rpartition("/")[2]: shown for name, shown in models.items()}
    return models.get(model.lower()) or folders.get(model.lower())


def task(benchmark: object) -> str | None:
    """The paper's name of a benchmark, the harness's among them; None where it has none."""
    return TASKS.get(_plain(benchmark))


def dataset(name: object) -> str | None:
    """The paper's name of a parallel text, or None where it has none."""
    return DATASETS.get(_plain(name))


@cache
def correlations() -> pd.DataFrame:
    """Every printed correlation: table, dataset, task, pooling, measure, column, published.

    The column `AVG` is the paper's own average. `target` is false for cells that are known to be
    wrong in print.
    """
    printed = _file("neuronxa_correlations").rename(
        columns={"parallel_dataset": "dataset", "score": "measure", "model": "column"}
    )
    printed = printed.rename(columns={"pearson_r": "published"})
    bad = (printed["table"] == 9) & (printed["task"] == "BMLAMA")
    bad &= printed["measure"].isin(BASELINES) & printed["column"].isin([DETAILED, AVERAGE])
    short = printed["task"].replace("BMLAMA", "BMLAMA-53")
    return printed.assign(task=short, target=~bad)


@cache
def retrieval() -> pd.DataFrame:
    """Table 1 in percent: representation, direction, column (data set and group), published."""
    names = {"flores_head": "FLORES head", "flores_long_tail": "FLORES long-tail"}
    names |= {"tatoeba_head": "Tatoeba head", "tatoeba_long_tail": "Tatoeba long-tail"}
    return _long(_file("neuronxa_retrieval"), ["representation", "direction"], names)


@cache
def retrieval_pivots() -> pd.DataFrame:
    """Table 5 in percent: pivot, representation, column (group and direction), published."""
    names = {
        f"{short}_{way}": f"{group} {shown}"
        for short, group in (("head", "head"), ("tail", "long-tail"))
        for way, shown in (("pivot_to_xx", "src->xx"), ("xx_to_pivot", "xx->src"), ("both", "both"))
    }
    return _long(_file("neuronxa_retrieval_pivots"), ["pivot", "representation"], names)


@cache
def pairs() -> pd.DataFrame:
    """Table 2: group, language_a, language_b, published (NASCA of Llama-3.1-8B)."""
    return _file("neuronxa_pairs").rename(columns={"nasca": "published"})


@cache
def pivot_correlations() -> pd.DataFrame:
    """Tables 6 and 7: table, outcome, pivot, measure, published (Llama-3.1-8B)."""
    names = {"score": "measure", "pearson_r": "published"}
    return _file("neuronxa_pivot_correlations").rename(columns=names)


@cache
def training() -> pd.DataFrame:
    """Figure 4: metric and published r over steps between NASCA and translation quality."""
    return _file("neuronxa_training").rename(columns={"pearson_r": "published"})


def _file(name: str) -> pd.DataFrame:
    """One file of printed values."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def _long(wide: pd.DataFrame, places: list[str], names: dict[str, str]) -> pd.DataFrame:
    """Printed columns as rows, under the names they have here."""
    long = wide.melt(id_vars=places, value_vars=list(names), var_name="column")
    return long.rename(columns={"value": "published"}).assign(column=long["column"].map(names))


def _plain(name: object) -> str:
    """A data set's name without case and punctuation, and without the hub's or harness's owner."""
    return re.sub(r"[^a-z0-9]", "", str(name).rsplit("/", 1)[-1].lower())

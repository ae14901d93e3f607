"""The correlations that the NeuronXA paper prints, and ours beside them.

The one idea: a comparison is made only like with like: the paper's own model, its parallel data
set, its task, English as pivot and the mean over layers. All else is said to be not in the paper.
What stays different all the same (few-shot prompts, fine-tuning on XNLI, the languages) is for the
reader to weigh: this file does not know how our accuracies were measured.
"""

import re
from collections.abc import Hashable, Mapping
from functools import cache
from math import isnan
from pathlib import Path

import pandas as pd

FILE = Path(__file__).parent / "published" / "neuronxa_correlations.csv"
MAIN_TABLES = (3, 4, 11)
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


@cache
def correlations() -> pd.DataFrame:
    """Every printed Pearson correlation: table, parallel_dataset, task, pooling, score, model."""
    return pd.read_csv(FILE)


def column(model: str, *, revision: str) -> str | None:
    """The paper's name of a model, or None where the model is not in the paper.

    A named revision is another checkpoint; a commit is only a pinned way to write `main`.
    """
    if revision != "main" and not re.fullmatch(r"[0-9a-f]{40}", revision):
        return None
    return MODELS.get(model.lower())


def beside(ours: pd.DataFrame) -> pd.DataFrame:
    """Our correlations with the paper's, for its models, data and settings alone.

    `inside` says whether the printed value lies in our 95 % interval; missing without an interval.
    """
    printed = correlations()
    printed = printed[printed["table"].isin(MAIN_TABLES)]
    index = ["parallel_dataset", "task", "pooling", "score", "model"]
    values = printed.set_index(index)["pearson_r"].to_dict()
    found = []
    for row in ours.to_dict("records"):
        value = values.get(_place(row))
        if value is None or isnan(row["r"]):
            continue
        interval = not isnan(row["low"])
        found.append(
            {name: row[name] for name in ("model", "revision", "dataset", "benchmark", "pooling")}
            | {name: row[name] for name in ("measure", "n", "r", "low", "high")}
            | {"published": value, "difference": row["r"] - value}
            | {"inside": row["low"] <= value <= row["high"] if interval else None}
        )
    columns = ["model", "revision", "dataset", "benchmark", "pooling", "measure", "n", "r", "low"]
    return pd.DataFrame(found, columns=[*columns, "high", "published", "difference", "inside"])


def standing(ours: pd.DataFrame) -> list[str]:
    """One sentence per model: in the paper, not in the paper, or in it with nothing to compare."""
    compared = beside(ours)
    sentences = []
    for model, revision in ours[["model", "revision"]].drop_duplicates().itertuples(index=False):
        name = column(str(model), revision=str(revision))
        count = int(((compared["model"] == model) & (compared["revision"] == revision)).sum())
        shown = str(model) if revision in ("main", "") else f"{model}@{str(revision)[:12]}"
        if name is None:
            sentences.append(f"{shown}: not in the paper.")
        elif count:
            values = "1 value" if count == 1 else f"{count} values"
            sentences.append(f"{shown}: {name} in the paper, {values} compared.")
        else:
            sentences.append(
                f"{shown}: {name} in the paper, but nothing here was measured on its terms "
                "(data set, task, English as pivot, mean over layers)."
            )
    return sentences


def _place(row: Mapping[Hashable, object]) -> tuple[str | None, ...] | None:
    """Where the paper prints the value of this row of ours, if it does."""
    if row["pivot"] != "eng_Latn" or row["layer_pool"] != "mean":
        return None
    return (
        DATASETS.get(_plain(row["dataset"])),
        TASKS.get(_plain(row["benchmark"])),
        str(row["pooling"]),
        str(row["measure"]).upper(),
        column(str(row["model"]), revision=str(row["revision"])),
    )


def _plain(name: object) -> str:
    """A data set's name without case and punctuation, and without the hub's owner."""
    return re.sub(r"[^a-z0-9]", "", str(name).rsplit("/", 1)[-1].lower())

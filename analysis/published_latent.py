"""The values that the latent-process paper prints (arXiv 2505.13141v2), and their names.

As in analysis/published, a comparison is made only like with like. The paper does not say whether
its models are the base or the instruction-tuned ones, so either stands beside them.
"""

from functools import cache

import pandas as pd

from analysis.published import FOLDER, in_print

SHORT = {
    "google/gemma-2-2b": "Gemma 2 2B",
    "google/gemma-2-9b": "Gemma 2 9B",
    "google/gemma-2-27b": "Gemma 2 27B",
    "qwen/qwen2.5-3b": "Qwen 2.5 3B",
    "qwen/qwen2.5-7b": "Qwen 2.5 7B",
    "qwen/qwen2.5-32b": "Qwen 2.5 32B",
}
TUNED = {"google": "-it", "qwen": "-instruct"}
MODELS = SHORT | {f"{name}{TUNED[name.split('/')[0]]}": shown for name, shown in SHORT.items()}
COLUMNS = tuple(SHORT.values())
# The harness asks with examples and templates of its own, and its m_mmlu is another translation.
BENCHMARKS = {"belebele": "Belebele", "mmmlu": "mMMLU", "m_hellaswag": "mHellaSwag"}
MEASURES = ("accuracy", "accuracy_std", "consistency", "tr_plus", "tr_minus")


def model_name(model: str, *, revision: str) -> str | None:
    """The paper's name of a model, or None where the model is not in the paper."""
    return in_print(model, revision=revision, models=MODELS)


def benchmark(name: str) -> str | None:
    """The paper's name of a benchmark, or None where it has none."""
    return BENCHMARKS.get(name.lower())


@cache
def transfer() -> pd.DataFrame:
    """Table 1, one row per value: model, benchmark, measure, published.

    Accuracies and their standard deviation over languages are shares, as ours.
    """
    wide = pd.read_csv(FOLDER / "latent_process_transfer.csv").rename(
        columns={"accuracy_percent": "accuracy"}
        | {"positive_transfer": "tr_plus", "negative_transfer": "tr_minus"}
    )
    wide[["accuracy", "accuracy_std"]] /= 100
    return wide.melt(
        id_vars=["model", "benchmark"],
        value_vars=list(MEASURES),
        var_name="measure",
        value_name="published",
    )


@cache
def log_ratio() -> pd.DataFrame:
    """Table 2: model, benchmark, outcome, published (Pearson's r), stars.

    Outcomes are accuracy, consistency and transfer_in. `stars` 0 may have been one star in print.
    """
    printed = pd.read_csv(FOLDER / "latent_process_log_ratio.csv")
    found = printed.rename(columns={"pearson_r": "published"})
    return found.assign(outcome=found["outcome"].replace("positive_transfer_in", "transfer_in"))

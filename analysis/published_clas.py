"""The values that the CLAS paper prints (arXiv 2601.16390v1), and their names.

As in analysis/published, a comparison is made only like with like. Table 1 is accuracy on XNLI,
Table 2 token F1 on XQuAD. Levels are percent and changes percentage points, as printed.
"""

from functools import cache

import pandas as pd

from analysis.published import AVERAGE, FOLDER, in_print

LLAMA, QWEN = "Llama-3.1-8B-Instruct", "Qwen2.5-7B-Instruct"
MODELS = {
    "meta-llama/llama-3.1-8b-instruct": LLAMA,
    "meta-llama/meta-llama-3.1-8b-instruct": LLAMA,
    "qwen/qwen2.5-7b-instruct": QWEN,
}
COLUMNS = (LLAMA, QWEN)
# The harness asks for the texts of the verdicts, the paper for a digit.
BENCHMARKS = {"xnli": "XNLI", "xquad": "XQuAD"}
METRICS = {"accuracy_percent": "accuracy", "token_f1_percent": "f1"}
# A language's own score without intervention, and what either method adds to it.
CONDITIONS = {"base": "base", "int_mu_delta": "int_mu", "clas_delta": "clas"}
ANCHOR = "eng_Latn"
SD = "SD"
LANGUAGES = {
    "ar": "arb_Arab",
    "bg": "bul_Cyrl",
    "de": "deu_Latn",
    "el": "ell_Grek",
    "en": ANCHOR,
    "es": "spa_Latn",
    "fr": "fra_Latn",
    "hi": "hin_Deva",
    "ro": "ron_Latn",
    "ru": "rus_Cyrl",
    "sw": "swh_Latn",
    "th": "tha_Thai",
    "tr": "tur_Latn",
    "ur": "urd_Arab",
    "vi": "vie_Latn",
    "zh": "zho_Hans",
}
# The gains of the abstract: percent of the base score, both models' averages summed.
RELATIVE_GAINS = {"XNLI": 2.3, "XQuAD": 3.4}
PLACES = ["benchmark", "metric", "model"]


def model_name(model: str, *, revision: str) -> str | None:
    """The paper's name of a model, or None where the model is not in the paper."""
    return in_print(model, revision=revision, models=MODELS)


def benchmark(name: str) -> str | None:
    """The paper's name of a benchmark, or None where it has none."""
    return BENCHMARKS.get(name.lower())


@cache
def tables() -> pd.DataFrame:
    """Tables 1 and 2, one row per language: table, benchmark, metric, language, model, and scores.

    `base` is the score, `int_mu` and `clas` the changes of it.
    """
    printed = pd.read_csv(FOLDER / "clas_scores.csv").rename(columns=CONDITIONS)
    return printed.assign(
        language=printed["language"].map(LANGUAGES), metric=printed["metric"].map(METRICS)
    )


@cache
def cells() -> pd.DataFrame:
    """The same, one row per value: benchmark, metric, model, language, column, published."""
    return _long(tables())


@cache
def summary() -> pd.DataFrame:
    """The last rows of both tables, as `cells`: language is AVG, then SD.

    AVG is the mean score and the mean changes, English among them. SD is over the other languages
    (ddof 1) and of the scores themselves, whatever the column.
    """
    claims = _claims()
    names = {
        AVERAGE: ("mean_base_with_en", "mean_int_mu_with_en", "mean_gain_with_en"),
        SD: ("std_base", "std_int_mu", "std_clas"),
    }
    rows = [
        claims[PLACES].assign(language=row, **{
            column: claims[name] for column, name in zip(CONDITIONS.values(), of, strict=True)
        })
        for row, of in names.items()
    ]  # fmt: skip
    return _long(pd.concat(rows, ignore_index=True))


@cache
def p_values() -> pd.DataFrame:
    """Paired t-tests of CLAS against the base: benchmark, metric, model, languages, p, below.

    They are two-sided and over the languages but English. Of Table 1 the paper gives only a bound
    that p is `below`, of Table 2 `p` itself; the other is NaN.
    """
    names = {"n_languages": "languages", "paired_t_p": "p", "threshold": "below"}
    return _claims().rename(columns=names)[[*PLACES, *names.values()]]


def _claims() -> pd.DataFrame:
    """What the paper says of its tables, one row per benchmark and model."""
    metrics = tables()[["benchmark", "metric"]].drop_duplicates()
    return pd.read_csv(FOLDER / "clas_claims.csv").merge(metrics, on="benchmark")


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """One row per value."""
    return wide.melt(
        id_vars=[*PLACES, "language"],
        value_vars=list(CONDITIONS.values()),
        var_name="column",
        value_name="published",
    )

"""What the log ratio says over languages: its curve, where it crosses 0, what it correlates with.

A language is a point. The pivot is none, as its ratio is 0 by construction; bands are Student's t
over languages, taken as independent. Source: arXiv 2505.13141, Figure 2, Table 2.
"""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.results.answers import SERIES
from analysis.results.latent import LATENT, RATIOS, SHUFFLED, UNITS
from analysis.statistics import correlate, dependent
from analysis.statistics.intervals import student

Floats = npt.NDArray[np.float64]

# Which layers a language's mean log ratio is taken over: by depth, as a share of the last layer.
LAYERS: Mapping[str, tuple[float, float]] = {
    "all analysed": (0.0, 1.0),
    "middle half": (0.25, 0.75),
    "last quarter": (0.75, 1.0),
}
OUTCOMES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "consistency": "consistency",
    "transfer_in": "incoming transfer",
}
POINT = ["model", "revision", "benchmark", "language"]
FERTILITY = "native_fertility"
USUAL = "mean_of_logs_token"
MEASURES = (LATENT, SHUFFLED)
RATIO_COLUMNS = tuple(f"{ratio}_{unit}" for unit in UNITS for ratio in RATIOS)


def others(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of all languages but the pivot."""
    return cells[cells["language"] != cells["pivot"]]


def curves(cells: pd.DataFrame, *, column: str) -> pd.DataFrame:
    """Mean over languages of a column by series, measure and layer, with the 95 % t band.

    Columns: SERIES, measure, layer, n (languages), mean, low, high; the band of one language is
    missing.
    """
    rows = []
    for names, group in others(cells).groupby([*SERIES, "measure", "layer"], sort=True):
        values = group[column].dropna().to_numpy(float)
        mean, low, high = t_interval(values)
        place = dict(zip([*SERIES, "measure", "layer"], names, strict=True))
        rows.append(place | {"n": len(values), "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=[*SERIES, "measure", "layer", "n", "mean", "low", "high"])


def t_interval(values: Floats) -> tuple[float, float, float]:
    """The mean of values with its 95 % t interval, missing for one value and for equal ones."""
    if not len(values):
        return nan, nan, nan
    mean = float(values.mean())
    if len(values) == 1:
        return mean, nan, nan
    low, high, _ = student(mean, sd=values.std(ddof=1), n=len(values))
    return mean, float(low), float(high)


def crossings(curves: pd.DataFrame) -> pd.DataFrame:
    """By series: the first layer from which the mean log ratio stays above 0, and what it was.

    Columns: SERIES, n (languages), crossing (missing where the last layer is not above 0),
    surely (the same for the lower end of the band), lowest (the layer of the least mean) and its
    mean, last (the mean at the last layer).
    """
    rows = []
    for names, group in curves[curves["measure"] == LATENT].groupby(SERIES, sort=True):
        ordered = group.sort_values("layer")
        least = ordered.iloc[int(ordered["mean"].to_numpy(float).argmin())]
        rows.append(
            dict(zip(SERIES, names, strict=True))
            | {"n": int(ordered["n"].max())}
            | {"crossing": _stays_above(ordered["layer"], ordered["mean"])}
            | {"surely": _stays_above(ordered["layer"], ordered["low"])}
            | {"lowest": int(least["layer"]), "lowest_mean": float(least["mean"])}
            | {"last": float(ordered["mean"].iloc[-1])}
        )
    columns = [*SERIES, "n", "crossing", "surely", "lowest", "lowest_mean", "last"]
    return pd.DataFrame(rows, columns=columns).astype({"crossing": "Int64", "surely": "Int64"})


def over_layers(
    frame: pd.DataFrame, *, series: Sequence[str], columns: Sequence[str]
) -> pd.DataFrame:
    """Means over layers by language: all analysed ones, the middle half, the last quarter.

    A language that lacks a layer which another of its series has is left out: its mean would not
    be of the same layers. Columns: series, language, layers (a name of LAYERS), and `columns`.
    """
    parts = []
    top = frame.groupby(list(series))["layer"].transform("max")
    depth = frame["layer"] / top
    for name, (above, upto) in LAYERS.items():
        own = frame[(depth > above) & (depth <= upto)]
        grouped = own.groupby([*series, "language"], sort=True)
        means = grouped[list(columns)].mean().reset_index()
        means["held"] = grouped["layer"].nunique().to_numpy()
        most = own.groupby(list(series))["layer"].nunique().rename("most").reset_index()
        means = means.merge(most, on=list(series))
        complete = means[means["held"] == means["most"]].drop(columns=["held", "most"])
        parts.append(complete.assign(layers=name))
    return pd.concat(parts, ignore_index=True)


def correlations(
    values: pd.DataFrame,
    *,
    outputs: pd.DataFrame,
    series: Sequence[str],
    column: str,
    outcomes: Sequence[str] = tuple(OUTCOMES),
    given: str | None = None,
) -> pd.DataFrame:
    """Every correlation over languages of a value with an outcome of the answers.

    One row per series, layers, output prompt and outcome: Pearson's r with interval and p, its
    Holm-adjusted p over all outcomes, models and benchmarks of the same layers, Spearman's, and
    with `given` the partial r without what both share with that column. Where the output was asked
    with the same prompt as well as others, only that one counts.

    Args:
        values: series, language, layers and the column.
        outputs: `analysis.results.transfer.by_language`.
        series: what sets one correlation apart from another, model and benchmark among it.
        column: which value.
        outcomes: columns of `outputs`.
        given: a column of `values`.
    """
    points = points_of(values, outputs=outputs)
    rows = []
    for names, group in points.groupby([*series, "layers", "output_prompt"], sort=True):
        place = dict(zip([*series, "layers", "output_prompt"], names, strict=True))
        for outcome in outcomes:
            known = group.dropna(subset=[column, outcome])
            x, y = known[column].to_numpy(float), known[outcome].to_numpy(float)
            ranked = correlate.spearman(x, y=y)
            row = place | {"outcome": outcome} | correlate.pearson(x, y=y)._asdict()
            row |= {f"spearman_{name}": value for name, value in ranked._asdict().items()}
            if given is not None:
                rest = dependent.partial(x, y=y, given=known[given].to_numpy(float))
                row |= {f"partial_{name}": value for name, value in rest._asdict().items()}
            rows.append(row)
    if not rows:
        return pd.DataFrame(columns=[*series, "layers", "output_prompt", "outcome", "r", "p", "n"])
    found = pd.DataFrame(rows)
    found["p_holm"] = found.groupby("layers")["p"].transform(correlate.holm)
    return found.drop(columns=["spearman_n", "partial_n"], errors="ignore")


def points_of(values: pd.DataFrame, *, outputs: pd.DataFrame) -> pd.DataFrame:
    """Values and what the model answered side by side, one row per language but the pivot."""
    own = others(values)
    answered = outputs.rename(columns={"prompt": "output_prompt"})
    joined = own.merge(answered, on=POINT, suffixes=("", "_output"))
    if "prompt" not in own:
        return joined
    same = joined["prompt"] == joined["output_prompt"]
    asked = same.groupby([joined[name] for name in POINT[:3]]).transform("any")
    return joined[same | ~asked]


def stars(p: float) -> str:
    """`***` below .001, `**` below .01, `*` below .05, as the paper marks them."""
    return "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else ""


def _stays_above(layers: pd.Series, means: pd.Series) -> int | None:
    """The first layer from which every value is above 0, None where the last one is not."""
    below = np.flatnonzero(~(means.to_numpy(float) > 0))
    first = int(below[-1]) + 1 if len(below) else 0
    return int(layers.iloc[first]) if first < len(layers) else None

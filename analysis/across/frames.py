"""The rows and the tests of questions between papers, over languages.

Languages are the units, so p-values say as much as there are languages, and they are taken as
independent.
"""

from math import nan

import pandas as pd

from analysis.clas import frames as clas
from analysis.dali import frames as dali
from analysis.layout.material import Material
from analysis.questions.answer import correct
from analysis.questions.correlate import compare_correlations, correlate
from analysis.results import log_ratio
from analysis.results.answers import SERIES
from analysis.results.latent import LATENT, SERIES_OF_MEASURE
from analysis.results.log_ratio import USUAL
from analysis.results.option_alignment import DALI

MIDDLE = "middle half"
STATE = ["model", "revision"]
RATIO = [*SERIES, "output_prompt"]
# Conditions of the scores that the alignment of options has not; `scored` are their switches.
SCORED = ["pooling", "dataset", "pairs", "scored"]
FAILURE = [*SERIES, *SCORED]
GAIN = [*SERIES, "metric", "site"]
NASCA = "nasca"
# Languages below which a coefficient is not worth a figure.
FEWEST = 4


def ratios(material: Material) -> pd.DataFrame:
    """One row per language: its mean log ratio over the middle half of the layers, and what it
    takes over from other languages beyond what its accuracy alone would give (`excess_in`)."""
    found = log_ratio.others(material.latent)
    found = found[found["measure"] == LATENT]
    if found.empty or material.by_language.empty:
        return pd.DataFrame()
    values = log_ratio.over_layers(found, series=SERIES_OF_MEASURE, columns=[USUAL])
    values = values[values["layers"] == MIDDLE]
    points = log_ratio.points_of(values, outputs=material.by_language)
    points = points.rename(columns={USUAL: "log_ratio"})
    return _enough(points.dropna(subset=["log_ratio", "excess_in"]), RATIO)


def ratio_tests(material: Material) -> pd.DataFrame:
    """Does the log ratio go with excess transfer? Pearson and Spearman over languages."""
    points = material.get(ratios)
    if points.empty:
        return points
    found = [
        correlate(points, "log_ratio", "excess_in", by=RATIO, method=method, correction="none")
        for method in ("pearson", "spearman")
    ]
    return _together(found)


def failures(material: Material) -> pd.DataFrame:
    """One row per language and layer: NASCA, the share of items that DALI aligns, and the share of
    items right in the pivot that the language gets wrong."""
    scores = material.alignment
    scores = scores[scores["measure"] == NASCA]
    if scores.empty:
        return pd.DataFrame()
    scores = scores[scores["pooling"] == material.headline.pooling]
    rows = []
    for one in material.get(dali.answered):
        failed, succeeded = int(one.failed.sum()), int(one.succeeded.sum())
        if not failed + succeeded:
            continue
        n, shares = one.cell.share(DALI)
        rows += [
            {**one.place, "language": one.cell.language, "layer": int(layer), "items": n,
             "dali": float(share), "failures": failed / (failed + succeeded)}
            for layer, share, inner in zip(one.cell.layers, shares, one.cell.inner, strict=True)
            if inner
        ]  # fmt: skip
    if not rows:
        return pd.DataFrame()
    places = [*STATE, "language", "pivot", "layer"]
    named = scores.rename(columns={"value": NASCA, "switches": "scored"})
    found = pd.DataFrame(rows).merge(named[[*places, *SCORED, NASCA]], on=places)
    return _enough(found, [*FAILURE, "layer"])


def failure_tests(material: Material) -> pd.DataFrame:
    """By layer, does NASCA go with failures of transfer more than DALI does? Williams' test."""
    points = material.get(failures)
    if points.empty:
        return points
    return compare_correlations(points, NASCA, "dali", "failures", by=[*FAILURE, "layer"])


def failure_curves(material: Material) -> pd.DataFrame:
    """The two correlations of `failure_tests` by layer, with their intervals."""
    points = material.get(failures)
    if points.empty:
        return points
    found = correlate(points, [NASCA, "dali"], "failures", by=[*FAILURE, "layer"])
    return found.rename(columns={"estimate": "r"})


def gains(material: Material) -> pd.DataFrame:
    """One row per language: what CLAS gains, how much nearer its states come to the anchor's, and
    how far the shares of the options shift."""
    found, priors = material.get(clas.with_gains), material.get(clas.priors)
    if found.empty or priors.empty:
        return pd.DataFrame()
    own = found[found["aggregation"] == "mean_of_cos"]
    keys = [name for name in (*SERIES, "language") if name in priors.columns]
    found = own.merge(priors[[*keys, "shift"]], on=keys)
    return _enough(found.dropna(subset=["gain", "change", "shift"]), GAIN)


def gain_tests(material: Material) -> pd.DataFrame:
    """Do gains follow the change of alignment, or the shift of the labels? Each also with the other
    taken out."""
    points = material.get(gains)
    if points.empty:
        return points
    found = []
    for one, other in (("change", "shift"), ("shift", "change")):
        for given in ((), (other,)):
            asked = correlate(points, one, "gain", by=GAIN, given=given, correction="none").assign(
                given=", ".join(given)
            )
            found.append(asked)
    return _together(found)


def _enough(points: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The rows of questions with enough languages."""
    if points.empty:
        return points
    return points[points.groupby(by, dropna=False)["language"].transform("nunique") >= FEWEST]


def _together(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Several answers as one, corrected together."""
    whole = pd.concat(found, ignore_index=True)
    return correct(whole) if len(whole) else whole.assign(p_corrected=nan)

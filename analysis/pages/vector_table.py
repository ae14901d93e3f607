"""The steering vectors themselves: how long they are, and how well they are known.

The one idea: a vector is weighed against the states it is added to, and against the difference of
two halves of the pivot's own questions, which is what a vector of no content would be.
"""

import pandas as pd

from analysis import tables
from analysis.page import Exhibit, Sheet

NAME, TITLE = "Vectors", "length and reliability of the steering vectors by layer"
CAPTION = (
    "Means over languages and draws. Length in the model's own units; share: of the mean length of "
    "the states it is added to, at the last prompt token; halves: the length of the same for two "
    "halves of the pivot's own questions, which is sampling alone; reliability: cosine of the "
    "vectors of two halves of the questions, with its range over languages."
)
PLACES = ["label", "benchmark", "pivot", "prompt", "layer"]
HEADS = {"label": "model", "norm": "length", "share": "share of the state's length"}


def exhibit(vectors: pd.DataFrame) -> Exhibit:
    """One row per model, benchmark and layer."""
    if vectors.empty:
        why = "Empty: no steering vectors were made (--part steering)."
        return Exhibit(name=NAME, title=TITLE, missing=why)
    found = by_layer(vectors)
    known = [name for name in ("prompt", "pivot") if found[name].nunique() == 1]
    if found["halves"].isna().all():
        known.append("halves")
    sheet = Sheet(
        name="steering_vectors", caption=CAPTION, frame=found.drop(columns=known), heads=HEADS,
        collapsed=len(found) > 40,
    )  # fmt: skip
    return Exhibit(name=NAME, title=TITLE, parts=(sheet,), files={"vectors": vectors})


def by_layer(vectors: pd.DataFrame) -> pd.DataFrame:
    """Means of what qualifies the vectors, one row per model, benchmark, prompt and layer."""
    held = tables.with_label(vectors)
    held = held.assign(share=held["norm"] / held["resid_norm"])
    control = held["language"] == held["pivot"]
    found = (
        held[~control]
        .groupby(PLACES, sort=True)
        .agg(
            languages=("language", "nunique"),
            draws=("seed", "nunique"),
            n=("n", "max"),
            norm=("norm", "mean"),
            share=("share", "mean"),
            reliability=("reliability", "mean"),
            least=("reliability", "min"),
            most=("reliability", "max"),
        )
        .reset_index()
    )
    halves = held[control].groupby(PLACES)["norm"].mean().rename("halves").reset_index()
    return found.merge(halves, on=PLACES, how="left")

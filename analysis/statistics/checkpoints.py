"""Revisions as steps of training, and the last state of every model.

The digits at the end of a revision are its step (`step-2000`, `checkpoint-300`), a commit's hash is
no step, and a state without one (`main`) is the last.
"""

import re
from math import inf

import pandas as pd

HASH = re.compile(r"[0-9a-f]{7,40}")
STEP = re.compile(r"(?:^|[^0-9])([0-9]+)$")


def step(revision: str) -> int | None:
    """The training step of a revision, or None for a state that is no step."""
    if HASH.fullmatch(revision) and not revision.isdecimal():
        return None
    found = STEP.search(revision)
    return int(found[1]) if found and len(revision) < 40 else None


def order(revision: str) -> float:
    """What sorts revisions by training: a state without a step comes last."""
    found = step(revision)
    return inf if found is None else float(found)


def trained(frame: pd.DataFrame) -> list[str]:
    """The models with several states, at least one of them a step."""
    revisions = frame[["model", "revision"]].drop_duplicates()
    return sorted(
        str(model)
        for model, group in revisions.groupby("model", sort=True)
        if len(group) > 1 and group["revision"].map(step).notna().any()
    )


def last_states(frame: pd.DataFrame) -> pd.DataFrame:
    """Only the last state of every model: what is no step, or the highest step."""
    places = frame["revision"].map(lambda revision: order(str(revision)))
    return frame[places == places.groupby(frame["model"]).transform("max")]

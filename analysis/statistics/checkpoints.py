"""Revisions as steps of training, their order, and what several states have in common.

A step is the number behind `step`, `checkpoint`, `ckpt` or `iter` in a revision's name, else the
digits at its end (`step-2000`, `checkpoint-300`, `step1000-tokens4B`); a commit's hash is no step,
and a state without one (`main`) is the last.
"""

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Bools = npt.NDArray[np.bool_]
Axis = Literal["step", "date", ""]

HASH = re.compile(r"[0-9a-f]{7,40}")
NAMED = re.compile(r"(?:steps?|checkpoints?|ckpt|iter(?:ation)?s?)[-_]?([0-9]+)", re.IGNORECASE)
STEP = re.compile(r"(?:^|[^0-9])([0-9]+)$")
# A state with fewer of the languages than this share of the most is in no mean over languages.
ENOUGH = 0.5


class Order(NamedTuple):
    """The states of one model in the order of training.

    Attributes:
        revisions: those whose place is known, the first one first.
        places: where each stands: its step, or its date in days; what has no step lies beyond.
        axis: what `places` are; empty where no order is known.
        unplaced: revisions with neither, of which there are several.
        mixed: what stands before the steps in their names, where that differs: other phases of a
            training whose steps begin anew, which steps alone cannot tell.
    """

    revisions: tuple[str, ...]
    places: tuple[float, ...]
    axis: Axis
    unplaced: tuple[str, ...]
    mixed: tuple[str, ...]


def step(revision: str) -> int | None:
    """The training step of a revision, or None for a state that is no step."""
    if len(revision) >= 40 or (HASH.fullmatch(revision) and not revision.isdecimal()):
        return None
    found = _match(revision)
    return int(found[1]) if found else None


def order(revision: str) -> float:
    """What sorts revisions by training: a state without a step comes last."""
    found = step(revision)
    return inf if found is None else float(found)


def ordered(revisions: Sequence[str], *, dates: Mapping[str, pd.Timestamp]) -> Order:
    """The states of one model in order: by step, or by date where steps do not say it.

    One state without a step is the last. Where several have none, or names differ before their
    step, dates say the order if all states have one.

    Args:
        revisions: each once.
        dates: when a revision was made, as far as that is known.
    """
    steps = {one: step(one) for one in revisions}
    stepped = [one for one in revisions if steps[one] is not None]
    others = [one for one in revisions if steps[one] is None]
    fronts = tuple(sorted({_front(one) for one in stepped}))
    mixed = fronts if len(fronts) > 1 else ()
    if (mixed or len(others) > 1 or not stepped) and all(one in dates for one in revisions):
        days = {one: dates[one].timestamp() / 86400 for one in revisions}
        known = sorted(revisions, key=lambda one: (days[one], order(one), one))
        return Order(tuple(known), tuple(days[one] for one in known), "date", (), ())
    last = others if len(others) == 1 and stepped else []
    known = [*sorted(stepped, key=lambda one: (order(one), one)), *last]
    highest = max((order(one) for one in stepped), default=0.0)
    places = tuple(min(order(one), highest * 1.12 + 1) for one in known)
    unplaced = () if last else tuple(sorted(others))
    return Order(tuple(known), places, "step" if known else "", unplaced, mixed)


def common(there: Bools) -> tuple[Bools, Bools]:
    """Which states and languages a mean over languages is of, so that it is always the same ones.

    Every state that has at least half as many languages as the one with most, and the languages
    that all of these have. A state that lacks more would leave too few for the others.

    Args:
        there: which state has which language [T, L].

    Returns:
        States [T] and languages [L]; none where no language is in all of the states.
    """
    counts = there.sum(axis=1)
    enough = np.maximum(1, ENOUGH * counts.max(initial=0))
    states: Bools = counts >= enough
    languages: Bools = np.logical_and.reduce(there[states], axis=0, initial=states.any())
    return states if languages.any() else np.zeros_like(states), languages


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


def _match(revision: str) -> re.Match[str] | None:
    """Where a name has its step: the last one that is named, else the digits at the end."""
    named = list(NAMED.finditer(revision))
    return named[-1] if named else STEP.search(revision)


def _front(revision: str) -> str:
    """What stands before the step, without its word."""
    found = _match(revision)
    assert found is not None
    text = revision[: found.start(1)].strip("-_")
    return re.sub(r"[-_]?(?:global[-_])?(?:steps?|checkpoints?|ckpt|iter(?:ation)?s?)$", "", text,
                  flags=re.IGNORECASE)  # fmt: skip

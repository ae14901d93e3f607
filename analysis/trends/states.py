"""The states of a model that were run, when each was made, and those that came to nothing.

Dates are those of `watch.json`, which watching a training run leaves in the folder of the results:
a record per checkpoint, `ID@REVISION`, with its `date` and what became of it (`state`). Without it
the names of revisions say the step.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.storage.folder import Folder, StorageError

FILE = "watch.json"
FAILED, REWRITTEN = "failed", "rewritten"
# What became of a checkpoint that has no rows.
LOST = {FAILED: "failed", "left": "was given up", "gone": "was gone before it was evaluated"}


class Record(NamedTuple):
    """What `watch.json` says of one checkpoint; empty texts and no date where it says nothing."""

    model: str
    revision: str
    date: pd.Timestamp | None
    state: str
    error: str


class Watched(NamedTuple):
    """The records of some runs, and sentences on what of them cannot be read."""

    records: tuple[Record, ...]
    notes: tuple[str, ...]


def watched(runs: Sequence[Path | str]) -> Watched:
    """The records of every run that has a `watch.json`; one that is damaged is a note."""
    records: list[Record] = []
    notes: list[str] = []
    for run in map(Folder, runs):
        try:
            held = json.loads(run.read(FILE).decode("utf-8"))
            records += [_record(one) for one in held["checkpoints"]]
        except FileNotFoundError:
            continue
        except StorageError:
            raise
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            notes.append(
                f"{run.text(FILE)} is damaged, so no dates of checkpoints are known from it: "
                "delete it, and the next watch writes it anew."
            )
    return Watched(tuple(records), tuple(notes))


def of_model(records: Iterable[Record], model: str) -> dict[str, Record]:
    """The records of a model of the rows by revision, the last of several.

    Rows call a folder by its last part, and an adapted or quantised model by its own name and what
    was done to it (`llama+4bit`).
    """
    names = {model, model.partition("+")[0]}
    return {
        one.revision: one for one in records if one.model in names or Path(one.model).name in names
    }


def dates(records: Mapping[str, Record]) -> dict[str, pd.Timestamp]:
    """When each revision was made, as far as that is known."""
    return {name: one.date for name, one in records.items() if one.date is not None}


def lost(records: Mapping[str, Record], *, there: Iterable[str]) -> list[str]:
    """What became of checkpoints that have no rows, or rows of other weights than now."""
    known = set(there)
    said = []
    for name, one in sorted(records.items()):
        why = f" ({one.error})" if one.error else ""
        if one.state in LOST and name not in known:
            said.append(f"{name} {LOST[one.state]}{why}")
        elif one.state in (FAILED, "left") and name in known:
            said.append(f"{name} failed before all of its rows were there{why}")
        elif one.state == REWRITTEN and name in known:
            said.append(f"{name} was written anew after it was evaluated{why}")
    return said


def _record(one: Mapping[str, Any]) -> Record:
    """One record; what rows call the model stands in it once its checkpoint was evaluated.

    Raises:
        KeyError: it has no name.
        ValueError: its date is no date.
    """
    model, _, revision = str(one["name"]).rpartition("@")
    date = one.get("date")
    return Record(
        model=str(one.get("model") or model or revision),
        revision=str(one.get("revision") or (revision if model else "main")),
        date=None if not date else pd.to_datetime(date, utc=True),
        state=str(one.get("state") or ""),
        error=" ".join(str(one.get("error") or "").split()).rstrip("."),
    )  # fmt: skip

"""The states of a model that were run, when each was made, and those that came to nothing.

Dates are those of `watch.json`, which watching a training run leaves in the folder of the results:
a record per checkpoint, `ID@REVISION`, with its `date` and what became of it (`state`). Without it
the names of revisions say the step.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.storage.folder import Folder
from analysis.trends.measured import Measured

FILE = "watch.json"
# What became of a checkpoint whose rows are missing, or are not those of its present weights.
LOST = {"failed": "failed", "left": "was left out", "gone": "was gone before it was evaluated"}
REWRITTEN = "rewritten"


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
            records += [_record(name, one) for name, one in _entries(held)]
        except FileNotFoundError:
            continue
        except (ValueError, AttributeError, TypeError) as error:
            notes.append(
                f"{run.text(FILE)} cannot be read ({str(error).splitlines()[0]}), so no dates are "
                "known from it: let the watcher write it again, or move it away."
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
    """What became of checkpoints that have no rows, or other rows than they would have now."""
    known = set(there)
    said = []
    for name, one in sorted(records.items()):
        why = f" ({one.error})" if one.error else ""
        if one.state in LOST:
            rest = ", some of its rows are here" if name in known else ""
            said.append(f"{name} {LOST[one.state]}{why}{rest}")
        elif one.state == REWRITTEN and name in known:
            said.append(f"{name} was written anew after it was evaluated{why}")
    return said


def revisions(measured: Iterable[Measured]) -> list[str]:
    """The states that any measure has."""
    return sorted({name for one in measured for name in one.revisions})


def _entries(held: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and records, of a list of records or a mapping by name, alone or as `checkpoints`."""
    found = held.get("checkpoints", held) if isinstance(held, dict) else held
    if isinstance(found, dict):
        yield from ((name, one) for name, one in found.items() if isinstance(one, dict))
    else:
        yield from ((one["name"], one) for one in found)


def _record(name: str, one: Mapping[str, Any]) -> Record:
    """One record.

    Raises:
        ValueError: its date is no date.
    """
    model, _, revision = name.rpartition("@")
    date = one.get("date")
    when = None if date is None else pd.to_datetime(date, utc=True)
    return Record(
        model=(model or revision).rstrip("/"), revision=revision if model else "main", date=when,
        state=str(one.get("state") or ""), error=" ".join(str(one.get("error") or "").split()),
    )  # fmt: skip

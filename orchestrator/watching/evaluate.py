"""Evaluate one checkpoint: `babelscope run` with it as the only model, in a process of its own.

So a crash in native code or a lack of memory is one checkpoint that failed, and every checkpoint is
computed, keyed and stored as if somebody had typed the command.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from analysis.storage.record import error_files
from analysis.storage.redact import redact
from orchestrator import study_file
from orchestrator.flags import Request
from orchestrator.options import Where
from orchestrator.signals import Wish
from orchestrator.storage.store import Store
from orchestrator.watching.processes import BABELSCOPE, run
from studies.flags import Given, by_flag
from studies.models.facts import facts
from studies.spec import Model, digest, label

MODEL, OUT, REPORT, RETRY = "--model", "--out", "--report", "--retry-errors"
CELLS_FAILED, BAD_INPUT = 1, 2


class Known(NamedTuple):
    """A model as the rows call it, and what its weights contribute to their keys."""

    model: str
    revision: str
    identity: str


class Outcome(NamedTuple):
    """What became of an evaluation: all is well where `error` is empty and nothing else holds.

    Attributes:
        error: why it failed, in one sentence.
        interrupted: it was ended because the watch is to end.
        busy: another run holds the store.
        refused: the store or the study does not take it; nothing was computed.
    """

    error: str = ""
    interrupted: bool = False
    busy: bool = False
    refused: bool = False


class Evaluation:
    """One study, asked of one checkpoint after the other."""

    def __init__(self, asked: Request, *, store: Store) -> None:
        """Name the study and where its rows go."""
        self.asked, self._store = asked, store
        own = by_flag(asked.recipe.options)
        self._flags = {**own, **by_flag(Where)}
        taken = {name: one for name, one in asked.given.items() if name not in (MODEL, OUT)}
        self._given: Mapping[str, Given] = {
            name: one for name, one in taken.items() if name in self._flags
        }
        # What is asked of a checkpoint, whichever it is and wherever it is computed.
        self.study = digest(
            [asked.recipe.name, sorted([name, one] for name, one in taken.items() if name in own)]
        )

    def words(self, model: str) -> list[str]:
        """The command line for one model; cells that failed before are taken up again, as whoever
        looks at a checkpoint anew has a reason to.
        """
        given = study_file.words(self._given, flags=self._flags)
        retry = [] if RETRY in given else [RETRY]
        last = [f"{MODEL}={model}", f"{OUT}={self._store.files.where}", "--no-report"]
        return ["run", self.asked.recipe.name, *given, *retry, *last]

    def run(self, model: str, *, wish: Wish) -> Outcome:
        """Evaluate a model."""
        ended = run([*BABELSCOPE, *self.words(model)], wish=wish)
        if ended.interrupted:
            return Outcome(interrupted=ended.status != 0)
        if ended.status == 0:
            return Outcome()
        said = ended.sentence
        if ended.status == BAD_INPUT:
            busy = f"{self._store.address} is in use by " in said
            return Outcome(error=said, busy=busy, refused=True)
        spoken = any(line.startswith("error: ") for line in ended.lines)
        failed = ended.status == CELLS_FAILED and not spoken
        return Outcome(error=(self._failed_cells(model) if failed else "") or said)

    def known(self, *, folder: Path | None, id: str, revision: str | None) -> Known | None:
        """What the store calls a model that was evaluated; None where it has no rows under a name
        of its own, as its weights are those of another.
        """
        manifest = self._store.manifest() or {}
        models, pins = manifest.get("models"), manifest.get("pins")
        place = id if folder is None else str(folder.resolve())
        for entry in models if isinstance(models, list) else []:
            if (
                entry.get("revision") == (revision or "main")
                and place in (entry.get("folder"), entry.get("name"))
                and entry.get("quantisation") == getattr(self.asked.options, "quantise", None)
                and bool(entry.get("adapter")) == bool(getattr(self.asked.options, "adapter", None))
                and isinstance(pins, dict)
            ):
                known = label(entry["name"], revision=entry["revision"])
                identity = str(pins.get(f"model {known}", ""))
                return Known(entry["name"], entry["revision"], identity)
        return None

    def identity(self, *, id: str, revision: str | None) -> Known:
        """The same from the files as they are now, which are hashed.

        Raises:
            ValueError: they are no model that can be used.
        """
        found = facts(self._model(id, revision))
        return Known(found.name, found.revision, found.identity)

    def twin(self, identity: str) -> str:
        """The model of the store that has these weights, empty where none has."""
        pins = (self._store.manifest() or {}).get("pins")
        for name, pinned in pins.items() if isinstance(pins, dict) else ():
            if pinned == identity and name.startswith("model "):
                return str(name).removeprefix("model ")
        return ""

    def _model(self, id: str, revision: str | None) -> Model:
        """A model as the study's options open it."""
        options: Any = self.asked.options
        names = ("dtype", "trust_remote_code", "adapter")
        given = {name: getattr(options, name) for name in names if hasattr(options, name)}
        quantised = getattr(options, "quantise", None)
        return Model(id=id, revision=revision, quantisation=quantised, **given)

    def _failed_cells(self, model: str) -> str:
        """How many cells of a model failed, and why one of them did."""
        name, _, revision = model.rpartition("@") if "@" in model else (model, "", "main")
        names = {name, os.path.basename(os.path.realpath(os.path.expanduser(name)))}
        reasons: list[str] = []
        for entry in error_files(self._store.files):
            with self._store.files.opened(entry) as source:
                rows = pq.read_table(source, columns=["model", "revision", "error"]).to_pylist()
            reasons += [
                str(row["error"])
                for row in rows
                if row["revision"] == revision and row["model"].partition("+")[0] in names
            ]
        if not reasons:
            return ""
        return f"{len(reasons):,} cells failed, such as: {redact(reasons[0])}"

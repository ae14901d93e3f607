"""Training runs made by hand, and a watch whose clock and evaluations are the test's."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from orchestrator.__main__ import app
from orchestrator.flags import Request
from orchestrator.signals import Wish
from orchestrator.storage.files import Files
from orchestrator.storage.store import Store
from orchestrator.watching import state
from orchestrator.watching.command import WatchCommand
from orchestrator.watching.discover import Discovery
from orchestrator.watching.evaluate import Evaluation, Known, Outcome
from orchestrator.watching.loop import Watch
from orchestrator.watching.options import Watching
from studies.models.facts import facts
from studies.spec import Model
from tests.makers import tiny

STUDY = ("--parallel", "miniworld", "--language", "deu_Latn", "--pairs", "5", "--measure", "nasca")
START = 1_800_000_000.0


class FakeClock:
    """Time that passes only in `sleep`; `back` puts the wall clock back, not the other one."""

    def __init__(self) -> None:
        self.time, self.shift = 0.0, START
        self.at: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> float:
        return self.shift + self.time

    def elapsed(self) -> float:
        return self.time

    def back(self, seconds: float) -> None:
        self.shift -= seconds

    def plan(self, time: float, event: Callable[[], object]) -> None:
        """Have something happen once so much time has passed."""
        self.at.append((time, event))

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds
        for due in [one for one in self.at if one[0] <= self.time]:
            self.at.remove(due)
            due[1]()


def checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A whole tiny model, other weights for every seed."""
    made = tiny.make("llama").folder
    shutil.copytree(made, folder, dirs_exist_ok=True)
    if seed:
        weights = {name: one + seed / 64 for name, one in load_file(f"{made}/{WEIGHTS}").items()}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


WEIGHTS = "model.safetensors"


def request(*words: str) -> Request:
    """What a command line asks for."""
    import typer

    command = typer.main.get_command(app).commands["watch"]  # type: ignore[attr-defined]
    assert isinstance(command, WatchCommand)
    found = command.make_context("watch", [*words]).obj
    assert isinstance(found, Request)
    return found


class World:
    """A store, a clock, and a watch in which `outcomes` says what becomes of each evaluation.

    `evaluated` are the checkpoints that were, in order; `said` is what people read.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.store = Store(folder / "store")
        self.clock, self.wish = FakeClock(), Wish()
        self.evaluated: list[str] = []
        self.said: list[str] = []
        self.outcomes: Callable[[str], Outcome] = lambda _: Outcome()
        self.seconds = 0.0
        self._planned: dict[str, Known] = {}
        patch.setattr(Evaluation, "run", self._run)
        patch.setattr(Evaluation, "known", self._known)

    def watch(self, *words: str, sources: Any = None, report: bool = False) -> Watch:
        """A watch of a command line, which writes no report unless that is asked for."""
        asked = request("neuronxa", *STUDY, *words, *([] if report else ["--no-report"]))
        assert isinstance(asked.where, Watching)
        options: Any = asked.options
        named = options.models if "--model" in asked.given else ()
        return Watch(
            asked,
            Discovery(asked.where, sources=named if sources is None else sources, code=False),
            store=self.store,
            files=Files(self.store.files.where),
            wish=self.wish,
            tell=self.said.append,
            clock=self.clock,
        )

    def run(self, *words: str) -> int:
        return self.watch(*words).run()

    def until(self, time: float, *words: str) -> int:
        """Watch until so much time has passed."""
        self.wish.asked = False
        self.clock.plan(time, self.wish.ask)
        return self.run(*words)

    @property
    def records(self) -> dict[str, state.Record]:
        """What `watch.json` says, by the last part of names."""
        found = state.read(Files(self.store.files.where)).records
        return {name.rpartition("/")[2].rpartition("@")[2]: one for name, one in found.items()}

    def states(self) -> dict[str, str]:
        return {name: one.state for name, one in self.records.items()}

    def _run(self, model: str, *, wish: Wish) -> Outcome:
        """In place of a child process, which hashes the weights when it begins."""
        planned: dict[str, Known] = {}
        with suppress(ValueError):
            id, _, revision = model.rpartition("@")
            found = facts(Model(id=id, revision=revision))
            planned[model] = Known(found.name, found.revision, found.identity)
        if self.seconds:
            self.clock.sleep(self.seconds)
        outcome = self.outcomes(model)
        if not outcome.refused:
            self._planned |= planned
        if outcome == Outcome():
            self.evaluated.append(model.rpartition("@")[2])
        return outcome

    def _known(self, *, folder: Path | None, id: str, revision: str | None) -> Known | None:
        return self._planned.get(f"{id}@{revision}")

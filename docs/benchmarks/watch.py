"""Measure a watch that has seen many checkpoints: python docs/benchmarks/watch.py NEW_FOLDER.

Makes a training run of the embedded model and a store with a million rows of its checkpoints, all
of them seen and evaluated, then starts a watch and lets it look again and again. Nothing is
evaluated there: what is measured is what a look costs, and what memory it leaves behind. At last
one more checkpoint comes, and the command evaluates it beside those rows.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from store import fill, unit

from orchestrator import recipe
from orchestrator.flags import Request
from orchestrator.signals import Wish
from orchestrator.storage.files import Files
from orchestrator.storage.store import Store
from orchestrator.watching import state
from orchestrator.watching.discover import Discovery
from orchestrator.watching.evaluate import Evaluation
from orchestrator.watching.loop import Watch
from orchestrator.watching.options import Watching
from orchestrator.watching.state import Record
from studies.flags import read
from studies.miniworld import LANGUAGES, model_folder
from studies.unit import Unit

STUDY = "neuronxa"
ASKED = {
    "--parallel": ["miniworld"], "--benchmark": ["mini_belebele"],
    "--language": ["deu_Latn,fra_Latn,swh_Latn"], "--limit": ["20"],
}  # fmt: skip
WORDS = [f"{name}={value}" for name, (value,) in ASKED.items()]
PIVOT = "eng_Latn"
# Rows of one layer: three measures in three poolings.
WHOLE = 9


def checkpoint(run: Path, number: int, *, step: int) -> None:
    """A checkpoint that holds the embedded model as it was after so many steps."""
    shutil.copytree(model_folder("miniworld-llama", revision=f"step-{step}"), run / name(number))


def name(number: int) -> str:
    """What the folder of a checkpoint is called."""
    return f"step-{number}"


def training(run: Path, *, count: int) -> None:
    """A run with so many checkpoints, whose files are links to the same few."""
    checkpoint(run, 1, step=1000)
    for number in range(2, count + 1):
        other = run / name(number)
        other.mkdir()
        for path in (run / name(1)).iterdir():
            os.link(path, other / path.name)


def babelscope(*words: str) -> float:
    """Run the command line; returns the seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "orchestrator", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def evaluated(run: Path, store: Store, *, count: int, rows: int) -> None:
    """A store of all checkpoints: the first by the command, the others' rows made up."""
    where = store.files.where
    babelscope("run", STUDY, f"--model={run}@{name(1)}", *WORDS, f"--out={where}", "--no-report")
    languages = [code for code in LANGUAGES if code != PIVOT][:10]
    each = -(-rows // (count * len(languages) * WHOLE)) * WHOLE

    def units() -> Iterator[Unit]:
        for number in range(2, count + 1):
            for language in languages:
                yield unit(
                    model=run.name, revision=name(number), dataset="miniworld", language=language,
                    rows=each, study=STUDY,
                )  # fmt: skip

    fill(store, units())
    record: Any = store.recorded()
    (first,) = record["models"]
    others = [
        {**first, "revision": name(number), "folder": str((run / name(number)).resolve())}
        for number in range(2, count + 1)
    ]
    cells = {f"{run.name}@{one['revision']}": each * len(languages) for one in others}
    with store.lock():
        store.write_manifest(
            {**record, "models": [first, *others], "cells": {**record["cells"], **cells}}
        )


def memory() -> float:
    """The memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Hours:
    """A clock of which every wait is an hour long, and after so many of them enough."""

    def __init__(self, most: int) -> None:
        """Somebody wants the end after `most` waits."""
        self.time, self.most, self.wish = 0.0, most, Wish()
        self.seconds: list[float] = []
        self.memory: list[float] = []
        self._began = time.perf_counter()

    def now(self) -> float:
        """Since some day."""
        return 1_800_000_000 + self.time

    def elapsed(self) -> float:
        """Since the beginning."""
        return self.time

    def sleep(self, _seconds: float) -> None:
        """An hour, and a note of what the look before it took."""
        self.seconds.append(time.perf_counter() - self._began)
        self.memory.append(memory())
        self.time += 3600
        if len(self.seconds) >= self.most:
            self.wish.ask()
        self._began = time.perf_counter()


def request(run: Path, store: Store) -> Request:
    """What a command line would ask for."""
    found = recipe.find(STUDY)
    given = {"--model": [str(run)], **ASKED}
    where = Watching(every="1h", out=store.files.where, report=False)
    return Request(recipe=found, options=read(found.options, given), where=where, given=given)


def looks(run: Path, store: Store, *, most: int) -> None:
    """What a first look costs, and what others do once everything is evaluated."""
    discovery = Discovery(Watching(every="1h"), sources=[str(run)], code=False)
    began = time.perf_counter()
    found = discovery.look({}).found
    whole = sum(not one.lacks for one in found.values())
    print(f"| a first look, {whole:,} whole | {time.perf_counter() - began:.2f} s | |")
    watched = state.Watched(study=Evaluation(request(run, store), store=store).study)
    for one in found.values():
        watched.put(
            Record(name=one.name, source=one.source, step=one.step, fingerprint=one.fingerprint,
                   state="done", identity="i" * 64, date=one.date, finished=one.date,
                   model=run.name, revision=one.revision or "")
        )  # fmt: skip
    files = Files(store.files.where)
    state.write(files, watched)

    began = time.perf_counter()
    clock = Hours(most)
    watch = Watch(
        request(run, store), Discovery(Watching(every="1h"), sources=[str(run)], code=False),
        store=store, files=files, wish=clock.wish, tell=lambda _: None, clock=clock,
    )  # fmt: skip
    print(f"| the file read | {time.perf_counter() - began:.2f} s | |")
    watch.run()
    each = f"{np.median(clock.seconds):.3f} s, {max(clock.seconds):.3f} at most"
    grown = clock.memory[-1] - clock.memory[len(clock.memory) // 10]
    left = f"{clock.memory[-1]:.0f} MB, {grown:+.1f} MB over the last nine tenths"
    print(f"| {most:,} looks, each with all that is noted | {each} | {left} |")
    began = time.perf_counter()
    state.write(files, watched)
    print(f"| watch.json written | {time.perf_counter() - began:.3f} s | |")


def one_more(run: Path, store: Store, *, number: int) -> None:
    """What a new checkpoint costs beside all those rows, and in a store of its own."""
    checkpoint(run, number, step=3500)
    asked = [f"--model={run}@{name(number)}", *WORDS, "--no-report"]
    watching = [f"--model={run}", *WORDS, "--once", "--cross=nasca 9", "--on-cross=true"]
    beside, alone = f"--out={store.files.where}", f"--out={store.files.where}-alone"

    def line(what: str, *words: str) -> None:
        print(f"| {what} | {babelscope(*words):.1f} s | |", flush=True)

    line("one more planned, alone", "run", STUDY, *asked, alone, "--dry-run")
    line("one more planned, beside shards as they were written", "run", STUDY, *asked, beside,
         "--dry-run")  # fmt: skip
    line("one more evaluated, alone", "run", STUDY, *asked, alone)
    line("the watch, which evaluates one and compares it", "watch", STUDY, *watching, beside,
         "--no-report")  # fmt: skip
    checkpoint(run, number + 1, step=5000)
    line("the same again, beside merged shards", "watch", STUDY, *watching, beside, "--no-report")
    line("its report", "report", store.files.where)


def main() -> None:
    """Make it all, then look."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoints", type=int, default=1000)
    parser.add_argument("--looks", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    run, store = asked.folder / "run", Store(asked.folder / "store")
    training(run, count=asked.checkpoints)
    evaluated(run, store, count=asked.checkpoints, rows=asked.rows)
    print(f"| cells in the store | {len(store.keys()):,} | |", flush=True)
    looks(run, store, most=asked.looks)
    one_more(run, store, number=asked.checkpoints + 1)


if __name__ == "__main__":
    main()

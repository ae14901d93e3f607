"""Measure a watch that has seen many checkpoints: python docs/benchmarks/watch.py NEW_FOLDER.

Makes folders of checkpoints and a store with many shards, all of them seen and evaluated, then
starts a watch and lets it look again and again. Nothing is evaluated: what is measured is what a
look costs, and what memory it leaves behind.
"""

import json
import os
import resource
import time
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from store import fill

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


def training(folder: Path, *, count: int) -> None:
    """A run with so many checkpoints, whose files are links to the same few."""
    first = folder / "checkpoint-1"
    first.mkdir(parents=True)
    (first / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1}))
    (first / "tokenizer.json").write_text("{}")
    for name in ("tokenizer_config.json", "generation_config.json", "trainer_state.json"):
        (first / name).write_text("{}")
    save_file({"model.layers.0.w": np.zeros((8, 8), np.float32)}, first / "model.safetensors")
    for step in range(2, count + 1):
        other = folder / f"checkpoint-{step}"
        other.mkdir()
        for path in first.iterdir():
            os.link(path, other / path.name)


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
    found = recipe.find("neuronxa")
    given = {"--model": [str(run)]}
    where = Watching(every="1h", out=store.files.where, report=False)
    return Request(recipe=found, options=read(found.options, given), where=where, given=given)


def main() -> None:
    """Make it all, then look."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoints", type=int, default=1000)
    parser.add_argument("--looks", type=int, default=500)
    parser.add_argument("--shards", type=int, default=10_000)
    asked = parser.parse_args()
    run, store = asked.folder / "run", Store(asked.folder / "store")
    training(run, count=asked.checkpoints)
    fill(store, shards=asked.shards, rows=100)
    discovery = Discovery(Watching(every="1h"), sources=[str(run)], code=False)

    began = time.perf_counter()
    found = discovery.look({}).found
    whole = sum(not one.lacks for one in found.values())
    print(f"| a first look, {whole:,} whole | {time.perf_counter() - began:.2f} s | |")
    study = Evaluation(request(run, store), store=store).study
    watched = state.Watched(study=study)
    for one in found.values():
        watched.put(
            Record(name=one.name, source=one.source, fingerprint=one.fingerprint, state="done",
                   identity="i" * 64, date=one.date, model="run", revision=one.revision or "")
        )  # fmt: skip
    files = Files(store.files.where)
    state.write(files, watched)

    began = time.perf_counter()
    clock = Hours(asked.looks)
    watch = Watch(
        request(run, store), Discovery(Watching(every="1h"), sources=[str(run)], code=False),
        store=store, files=files, wish=clock.wish, tell=lambda _: None, clock=clock,
    )  # fmt: skip
    print(f"| the file read | {time.perf_counter() - began:.2f} s | |")
    watch.run()
    each = f"{np.median(clock.seconds):.3f} s, {max(clock.seconds):.3f} at most"
    grown = clock.memory[-1] - clock.memory[len(clock.memory) // 10]
    left = f"{clock.memory[-1]:.0f} MB, {grown:+.1f} MB over the last nine tenths"
    print(f"| {asked.looks:,} looks, each with all that is noted | {each} | {left} |")
    began = time.perf_counter()
    state.write(files, watched)
    print(f"| watch.json written | {time.perf_counter() - began:.3f} s | |")


if __name__ == "__main__":
    main()

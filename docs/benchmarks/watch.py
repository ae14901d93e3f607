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

from orchestrator.storage.files import Files
from orchestrator.storage.store import Store
from orchestrator.watching import state
from orchestrator.watching.discover import Discovery
from orchestrator.watching.options import Watching
from orchestrator.watching.state import Record


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
    watched = state.Watched()
    for one in found.values():
        watched.put(
            Record(name=one.name, source=one.source, fingerprint=one.fingerprint, state="done",
                   identity="i" * 64, date=one.date, model="run", revision=one.revision or "")
        )  # fmt: skip
    files = Files(store.files.where)
    state.write(files, watched)

    began = time.perf_counter()
    watched = state.read(files)
    discovery = Discovery(Watching(every="1h"), sources=[str(run)], code=False)
    discovery.look(watched.records)
    print(f"| the file read and a look after it | {time.perf_counter() - began:.2f} s | |")
    seconds, before = [], memory()
    for number in range(asked.looks):
        began = time.perf_counter()
        discovery.look(watched.records)
        seconds.append(time.perf_counter() - began)
        if number == asked.looks // 10:
            before = memory()
    grown = memory() - before
    each = f"{np.median(seconds):.3f} s, {max(seconds):.3f} at most"
    left = f"{memory():.0f} MB, {grown:+.1f} MB over the last nine tenths"
    print(f"| {asked.looks:,} looks, each | {each} | {left} |")
    began = time.perf_counter()
    state.write(files, watched)
    print(f"| watch.json written | {time.perf_counter() - began:.3f} s | |")


if __name__ == "__main__":
    main()

"""Measure the store of a million cells: python docs/benchmarks/store.py FOLDER_OR_S3_ADDRESS.

Writes SHARDS shards of ROWS rows each, reads the keys and the counts, merges the shards, and reads
again; every reading in a process of its own, whose peak memory is printed. The address must be new.
"""

import resource
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable

from orchestrator.results import keep
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from studies.content import Together
from studies.kinds.alignment import AlignmentGrid
from studies.spec import Cell, ModelFacts, Row, Switches
from studies.unit import Part, Unit

SWITCHES = Switches()


def unit(
    *, model: str, language: str, rows: int, revision: str = "main", dataset: str = "flores200",
    study: str = "store",
) -> Unit:  # fmt: skip
    """A unit of one language: `rows` cells of three measures, three poolings and many layers."""
    cells = tuple(
        Cell(
            table="alignment",
            model=model,
            revision=revision,
            language=language,
            scope=f"{model}@{revision}",
            dataset=dataset,
            pivot="eng_Latn",
            measure=("mexa", "nasca", "navca")[place % 3],
            pooling=("weighted", "average", "last")[place // 3 % 3],
            layer=place // 9,
        )
        for place in range(rows)
    )
    about = ModelFacts(
        name=model, revision=revision, folder="", weights="", tokenizer="",
        dtype="float32", layers=99, width=1, neurons=1, context=1, bytes=1,
    )  # fmt: skip
    grid = AlignmentGrid(dataset=dataset, languages=("all",), switches=SWITCHES)
    part = Part(cells=cells, content=Together(parts=()), characters=1)
    return Unit(study=study, model=about, kind="alignment", grid=grid, parts=(part,))


def row(cell: Cell, *, study: str = "store") -> Row:
    """A row with a value of its own."""
    columns = ("model", "revision", "dataset", "language", "pivot", "measure", "pooling", "layer")
    value = int(cell.key[:8], 16) / 2**32
    return {
        **dict.fromkeys(ALL_TABLES["alignment"].schema.names),
        **{name: getattr(cell, name) for name in columns},
        **{
            "study": study,
            "n": 100,
            "pairs": "100",
            "duplicates": 0,
            "value": value,
            "ties": 0,
            "p_null": 1e-9,
        },
        **{"key": cell.key, "switches": SWITCHES.text(), "truncated": 0},
    }


def fill(store: Store, units: Iterable[Unit]) -> float:
    """Write each unit as a shard; returns the seconds of the writing alone."""
    seconds = 0.0
    with store.lock():
        for one in units:
            content = [row(cell, study=one.study) for cell in one.cells]
            began = time.perf_counter()
            keep(store, one, content)
            seconds += time.perf_counter() - began
    return seconds


def show(address: str, what: str) -> None:
    """One measurement, in this process."""
    from analysis import read

    store = Store(address)
    work: dict[str, Callable[[], object]] = {
        "keys": lambda: len(store.keys()),
        "count_by_model": lambda: sum(store.count_by_model()[0].values()),
        "compact": store.compact,
        "read.table": lambda: len(read.table([address], name="alignment")),
    }
    began = time.perf_counter()
    found = work[what]()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| {what}: {found:,} | {seconds:.1f} s | {peak:.2f} GB |", flush=True)


def main() -> None:
    """Write, then measure."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--what")
    asked = parser.parse_args()
    if asked.what:
        show(asked.address, asked.what)
        return
    units = (
        unit(
            model=f"organisation/model-{number % 20}",
            language=f"l{number:05d}_Latn",
            rows=asked.rows,
        )
        for number in range(asked.shards)
    )
    seconds = fill(Store(asked.address), units)
    each = seconds / asked.shards * 1000
    what = f"write {asked.shards:,} shards of {asked.rows} rows"
    print(f"| {what} | {seconds:.1f} s, {each:.1f} ms each | |", flush=True)
    reading = ("keys", "count_by_model", "read.table")
    for step in (*reading, "compact", *reading):
        subprocess.run([sys.executable, __file__, asked.address, "--what", step], check=True)


if __name__ == "__main__":
    main()

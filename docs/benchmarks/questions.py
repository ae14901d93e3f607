"""Time questions over a large run: python docs/benchmarks/questions.py NEW_FOLDER [--report].

Writes a run: of every model and language plain answers to as many items as make ROWS rows, scores
of alignment in every layer, and LAYERS x COEFFICIENTS steered cells of ITEMS answers each. Then
every step runs in a process of its own, whose peak memory is printed, and all of them in one. A
folder that is there already is only read. What the answers say is made up; their columns, types and
files are those of real runs.
"""

import json
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from loky import get_reusable_executor

from orchestrator.storage.files import Files
from orchestrator.storage.shards import Shards
from orchestrator.storage.tables import ALL_TABLES
from studies.languages import known_languages
from studies.prompt_options import Steering, text
from studies.spec import Switches

PIVOT = "eng_Latn"
BENCHMARK, DATASET, PROMPT = "belebele", "flores200", "belebele-letters"
MEASURES, POOLINGS = ("mexa", "nasca", "navca"), ("weighted", "average", "last")
OPTIONS = 4
FOREIGN = "items.csv"


class Made:
    """A made-up run, unit by unit; of one model and language always the same."""

    def __init__(self, asked: Namespace) -> None:
        """Take the sizes."""
        self.asked = asked
        self.models = [f"organisation/model-{number}" for number in range(asked.models)]
        codes = known_languages(DATASET)
        self.languages = [PIVOT, *(code for code in codes if code != PIVOT)][: asked.languages]
        self.each = -(-asked.rows // (asked.models * len(self.languages)))
        steps = np.linspace(-3, 3, asked.coefficients + 1 - asked.coefficients % 2)
        self.coefficients = steps[steps != 0][: asked.coefficients]
        self.study = {"study": "latent-process"}

    def write(self, folder: str) -> None:
        """Every shard, as a run that has just ended leaves them."""
        files = Files(folder)
        shards = Shards(files, ALL_TABLES)
        record = {"version": 2, **self.study, "settings": {}, "pins": {}}
        files.put("run.json", json.dumps(record).encode())
        pairs = enumerate(product(self.models, self.languages))
        for number, (model, language) in pairs:
            units = self.unit(number, model=model, language=language)
            for place, (name, rows) in enumerate(units):
                schema = ALL_TABLES[name].schema
                whole = [
                    rows[field.name].cast(field.type)
                    if field.name in rows
                    else pa.nulls(len(rows["key"]), field.type)
                    for field in schema
                ]
                unit = sha256(f"{place} of {number}".encode()).hexdigest()
                shards.write(
                    f"tables/{name}/{unit}.parquet",
                    pa.table(whole, schema=schema),
                    belongs={**self.study, "settings": {}, "pins": {}},
                )

    def unit(
        self, number: int, *, model: str, language: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tables of one model and language, as columns by their names."""
        random = np.random.default_rng(number)
        skill = 0.3 + 0.4 * random.random()
        if language != PIVOT:
            yield "alignment", self._alignment(random, skill, model=model, language=language)
        gold = np.random.default_rng(0).integers(OPTIONS, size=self.each)
        answers = partial(self._answers, random, skill, model=model, language=language)
        yield "items", answers(gold, cells=1)
        if len(self.coefficients):
            points = 1 + len(self.coefficients) * self.asked.layers
            held = gold[: self.asked.items]
            yield "items", answers(held, cells=points) | self._steered(len(held))

    def _answers(
        self,
        random: np.random.Generator,
        skill: float,
        gold: npt.NDArray[np.int64],
        *,
        cells: int,
        model: str,
        language: str,
    ) -> dict[str, Any]:
        """Answers of some cells to the same questions."""
        size = cells * len(gold)
        right = np.tile(gold, cells)
        scores = random.normal(-4, 1, (size, OPTIONS)).astype(np.float32).astype(float)
        scores[np.arange(size), right] += 2 * skill
        ranks = OPTIONS - scores.argsort(axis=1).argsort(axis=1)
        offsets = np.arange(0, OPTIONS * size + 1, OPTIONS, dtype=np.int32)
        prediction = scores.argmax(axis=1)
        names = [f"{model}/{language}/{cells}/{one}" for one in range(cells)]
        keys = [sha256(name.encode()).hexdigest() for name in names]
        items = [f"item-{one:05d}" for one in range(len(gold))]
        return self._same(size, study="latent-process", model=model, revision="main") | {
            **self._same(size, benchmark=BENCHMARK, language=language, prompt=PROMPT),
            "item": pa.array(items * cells),
            "gold": pa.array(right),
            "prediction": pa.array(prediction),
            "correct": pa.array(prediction == right),
            "correct_norm": pa.array(prediction == right),
            "scores": pa.ListArray.from_arrays(offsets, scores.ravel()),
            "ranks": pa.ListArray.from_arrays(offsets, ranks.ravel().astype(float)),
            "mass": pa.array(random.random(size)),
            "key": pa.array(np.repeat(keys, len(gold))),
            "truncated": pa.array(np.zeros(size, bool)),
        }

    def _steered(self, items: int) -> dict[str, Any]:
        """What tells steered cells apart: the first of them is the plain model."""
        points = list(product(range(1, self.asked.layers + 1), self.coefficients))
        layers = [None, *(layer for layer, _ in points)]
        coefficients = [0.0, *(coefficient for _, coefficient in points)]
        size = items * len(layers)
        return self._same(size, intervention="steer", pivot=PIVOT, switches=text(Steering())) | {
            "layer": pa.array([one for one in layers for _ in range(items)], pa.int32()),
            "coefficient": pa.array(np.repeat(coefficients, items)),
            "seed": pa.array(np.zeros(size, np.int32)),
        }

    def _alignment(
        self, random: np.random.Generator, skill: float, *, model: str, language: str
    ) -> dict[str, Any]:
        """Scores of every measure, pooling and layer."""
        places = list(product(MEASURES, POOLINGS, range(self.asked.layers + 1)))
        size = len(places)
        keys = [sha256(f"{model}{language}{place}".encode()).hexdigest() for place in places]
        measure, pooling, layer = (list(column) for column in zip(*places, strict=True))
        value = np.clip(skill + random.normal(0, 0.1, size), 0, 1)
        return (
            self._same(size, study="latent-process", model=model, revision="main")
            | {
                **self._same(size, dataset=DATASET, language=language, pivot=PIVOT, pairs="100"),
                **self._same(size, switches=Switches().text()),
                "measure": pa.array(measure),
                "pooling": pa.array(pooling),
                "layer": pa.array(layer),
                "value": pa.array(value),
                "key": pa.array(keys),
            }
            | {
                name: pa.array(np.full(size, number))
                for name, number in {"n": 100, "tokens": 2000, "pivot_tokens": 1000}.items()
            }
        )

    @staticmethod
    def _same(size: int, **values: str) -> dict[str, Any]:
        """Columns of one value."""
        return {name: pa.repeat(value, size) for name, value in values.items()}


def steps(folder: str) -> dict[str, Callable[[], pd.DataFrame]]:
    """What is timed, by name; `table` is what one has of a run that somebody else made."""
    from analysis.questions.correlate import correlate
    from analysis.questions.foreign import read
    from analysis.questions.tidy import cells, items, languages

    task = ("model", "benchmark", "prompt", "pooling")
    cell = ["model", "language", "intervention", "layer", "coefficient"]
    return {
        "items": lambda: items(folder),
        "items, steered too, their means": lambda: (
            items(folder, steered=True, columns=("correct",))
            .groupby(cell, dropna=False, observed=True)["correct"]
            .agg(["mean", "size"])
        ),
        "cells": lambda: cells(folder),
        "cells of alignment": lambda: cells(folder, kind="alignment"),
        "languages": lambda: languages(folder),
        "correlations, families apart": lambda: correlate(
            languages(folder), MEASURES, "accuracy", by=task, cluster="family"
        ),
        "table": lambda: read(
            Path(folder) / FOREIGN, unit=("model", "language", "item"), numbers=("correct",)
        ),
    }


def write_foreign(folder: str) -> None:
    """The plain answers as a table that says nothing of runs."""
    from analysis.questions.tidy import items

    columns = ["model", "language", "item", "correct", "margin", "family"]
    items(folder)[columns].to_csv(Path(folder) / FOREIGN, index=False)


def report(folder: str) -> int:
    """Write the run's report; returns how many rows its tables have."""
    from analysis import report

    built = report.build([folder])
    report.write(built, out=Path(folder) / "report")
    return sum(len(sheet.frame) for page in built.pages for sheet in page.page.sheets)


def show(folder: str, what: str) -> None:
    """One measurement in this process: rows, seconds, and the most memory it ever had.

    The processor's seconds count all threads and the imports, and the processes that draw a
    report's figures; on a busy machine they say more.
    """
    every = steps(folder)
    began = time.perf_counter()
    if what == "report":
        count = report(folder)
    else:
        count = sum(len(every[name]()) for name in (every if what == "all" else (what,)))
    seconds = time.perf_counter() - began
    if what == "report":
        # Processes are counted once they have ended.
        get_reusable_executor().shutdown(wait=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    whole = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    processor = sum(one.ru_utime + one.ru_stime for one in whole)
    print(
        f"| {what}: {count:,} rows | {seconds:.1f} s ({processor:.1f} s of processor) "
        f"| {peak:.2f} GB |",
        flush=True,
    )


def main() -> None:
    """Write, then measure."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--models", type=int, default=9)
    parser.add_argument("--languages", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--coefficients", type=int, default=12)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--report", action="store_true", help="also time the run's report")
    parser.add_argument("--what", help="one step, in this process")
    asked = parser.parse_args()
    if asked.what:
        show(asked.folder, asked.what)
        return
    if not Path(asked.folder).exists():
        began = time.perf_counter()
        Made(asked).write(asked.folder)
        write_foreign(asked.folder)
        print(f"| write | {time.perf_counter() - began:.1f} s | |", flush=True)
    for step in (*steps(asked.folder), "all", *(["report"] if asked.report else [])):
        subprocess.run([sys.executable, __file__, asked.folder, "--what", step], check=True)


if __name__ == "__main__":
    main()

"""A small study as a user runs it: data in four languages, two models, the command line."""

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn")
PAIRS = 12
STORIES = 6


def sentences(language: str) -> list[str]:
    """Different in every language, the same in every call."""
    source = random.Random(language)
    letters = "abcdefghijklmnop"
    return [
        " ".join("".join(source.choices(letters, k=source.randint(2, 7))) for _ in range(5))
        for _ in range(PAIRS)
    ]


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data_root(folder: Path) -> Path:
    """flores200 in four languages and xstorycloze in three (German is missing)."""
    for language in LANGUAGES:
        rows = [{"id": i, "sentence": text} for i, text in enumerate(sentences(language), 1)]
        write_lines(folder / "flores200" / f"{language}.jsonl", rows)
    for code in ("en", "es", "sw"):
        words = random.Random(f"story {code}")
        stories = []
        for number in range(STORIES):
            texts = ["".join(words.choices("abcdef ", k=20)).strip() + "." for _ in range(6)]
            story: dict[str, object] = {
                f"input_sentence_{place}": text for place, text in enumerate(texts[:4], 1)
            }
            story |= {"id": number, "story_id": f"s{number}"}
            story |= {"sentence_quiz1": texts[4], "sentence_quiz2": texts[5]}
            stories.append(story | {"answer_right_ending": 1 + number % 2})
        write_lines(folder / "xstorycloze" / f"{code}.jsonl", stories)
    return folder


def models() -> list[str]:
    """Folders of two tiny models of different families."""
    from tests.makers import tiny

    return [tiny.make(family).folder for family in ("llama", "qwen2")]


def arguments(
    root: Path, out: Path, *extra: str, models: list[str], report: bool = False
) -> list[str]:
    """The command line of a small study over that data."""
    named = [part for model in models for part in ("--model", model)]
    return [
        *("run", "neuronxa", *named, "--parallel", "flores200", "--pairs", "8"),
        *("--language", "all", "--benchmark", "xstorycloze", "--data-root", str(root)),
        *("--out", str(out), "--cluster", "inline", *extra),
        "--report" if report else "--no-report",
    ]


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command line in this process; returns its exit status."""
    from orchestrator.__main__ import main

    monkeypatch.setattr(sys, "argv", ["babelscope", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@contextmanager
def one_local_ray() -> Iterator[None]:
    """Inside the block one Ray, started here, serves whoever asks for `local` in this process."""
    from orchestrator.cluster import RaySession
    from orchestrator.workers.worker import Worker

    held = RaySession("local", cpu_only=False, worker=Worker)
    try:
        yield
    finally:
        held.close(broken=False)


def table(out: Path, name: str) -> pd.DataFrame:
    """A table in an order of its own, so that equal contents are equal frames."""
    frame = pd.read_parquet(out / "tables" / name)
    order = [column for column in ("key", "item", "side") if column in frame]
    return frame.sort_values(order).reset_index(drop=True)


def same(one: Path, other: Path, *, rounding: float = 0.0) -> None:
    """Every value of every table; with `rounding`, numbers to that share of them.

    Where memory ran short, batches were smaller, and sums were rounded elsewhere. A picture made
    by t-SNE amplifies that, so that its places are then not compared.
    """
    for name in ("alignment", "items", "points"):
        left, right = table(one, name), table(other, name)
        if not rounding:
            pd.testing.assert_frame_equal(left, right, check_exact=True)
            continue
        if name == "points":
            left, right = (frame.drop(columns=["x", "y"]) for frame in (left, right))
        if name == "items":
            scores = [np.array(frame.scores.tolist()) for frame in (left, right)]
            np.testing.assert_allclose(*scores, rtol=rounding)
            left, right = (frame.drop(columns="scores") for frame in (left, right))
        pd.testing.assert_frame_equal(left, right, check_exact=False, rtol=rounding)

"""Runs of one model along its training, made by hand: every answer of every state is planted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.makers.analysis_rows import ITEMS, alignment_rows, write_run

Bools = npt.NDArray[np.bool_]
LANGUAGES = ("deu_Latn", "fra_Latn", "rus_Cyrl", "swh_Latn", "tur_Latn", "zho_Hans")
# Answers by state and language, or scores.
Answers = Mapping[str, Mapping[str, Bools]]
Scores = Mapping[str, Mapping[str, float]]


def answer_rows(
    answers: Answers, *, model: str = "m/one", benchmark: str = "belebele", cut: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows of answers; all items of the states named in `cut` were cut."""
    parts = []
    for revision, by_language in answers.items():
        for language, right in by_language.items():
            n = len(right)
            parts.append(
                pd.DataFrame(
                    {"item": [f"{number:04d}" for number in range(n)], "correct": right,
                     "prediction": np.where(right, 0, 1)}
                ).assign(
                    study="neuronxa", model=model, revision=revision, benchmark=benchmark,
                    language=language, intervention=None, layer=None, coefficient=None, gold=0,
                    scores=[[0.0, -1.0, -1.0, -1.0]] * n, ranks=[[1.0, 2.0, 3.0, 4.0]] * n,
                    key=f"{model}@{revision}/{benchmark}/{language}", prompt="plain",
                    truncated=revision in cut, correct_norm=None,
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)[ITEMS.names]


def score_rows(scores: Scores, *, model: str = "m/one", layers: int = 1) -> pd.DataFrame:
    """Rows of NASCA by state and language."""
    parts = [
        alignment_rows(model, scores=dict(own), measures=("nasca",), revision=name, layers=layers)
        for name, own in scores.items()
    ]
    return pd.concat(parts, ignore_index=True)


def write(
    folder: Path,
    *,
    answers: Answers | None = None,
    scores: Scores | None = None,
    dates: Mapping[str, str] | None = None,
    model: str = "m/one",
    cut: Sequence[str] = (),
    errors: pd.DataFrame | None = None,
) -> Path:
    """A run folder; `dates` of its revisions are those of a `watch.json`."""
    tables = {}
    if answers is not None:
        tables["items"] = answer_rows(answers, model=model, cut=cut)
    if scores is not None:
        tables["alignment"] = score_rows(scores, model=model)
    write_run(folder, errors=errors, record={"study": "neuronxa"}, **tables)
    if dates is not None:
        watch(folder, {name: {"date": date, "state": "done"} for name, date in dates.items()},
              model=model)  # fmt: skip
    return folder


def watch(folder: Path, records: Mapping[str, Mapping[str, object]], *, model: str) -> None:
    """A `watch.json` with a record for each revision."""
    held = [{"name": f"{model}@{name}", **one} for name, one in records.items()]
    (folder / "watch.json").write_text(json.dumps({"checkpoints": held}), encoding="utf-8")


def drawn(
    revisions: Sequence[str],
    *,
    languages: Sequence[str] = LANGUAGES,
    items: int = 40,
    seed: int = 0,
    rise: float = 0.0,
    shared: float = 0.0,
) -> dict[str, dict[str, Bools]]:
    """Answers drawn anew at each state, right half of the time and `rise` more at each later one.

    `shared` is how much of what moves an item at a state all languages have in common.
    """
    random = np.random.default_rng(seed)
    found: dict[str, dict[str, Bools]] = {}
    for number, name in enumerate(revisions):
        common = random.normal(size=items)
        own = {code: random.normal(size=items) for code in languages}
        found[name] = {
            code: shared * common + np.sqrt(1 - shared**2) * noise < rise * number
            for code, noise in own.items()
        }
    return found


def steps(count: int) -> list[str]:
    """Names of revisions."""
    return [f"step-{100 * (number + 1)}" for number in range(count)]

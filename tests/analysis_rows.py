"""Runs in the schema of docs/tables.md, made by hand for the tests of analysis.

Accuracies follow from planted scores, so that a test knows what correlation to expect.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LANGUAGES: tuple[str, ...] = (
    "deu_Latn",
    "fra_Latn",
    "rus_Cyrl",
    "tur_Latn",
    "swh_Latn",
    "zho_Hans",
    "ell_Grek",
)
LANGUAGES += ("hin_Deva", "arb_Arab", "yor_Latn", "fin_Latn", "ind_Latn")
SWITCHES = '{"include_bos":true,"last_layer":"raw"}'
ALIGNMENT = pa.schema(
    [(name, pa.string()) for name in ("study", "model", "revision", "dataset", "language")]
    + [("pivot", pa.string()), ("measure", pa.string()), ("pooling", pa.string())]
    + [("layer", pa.int32()), ("n", pa.int32()), ("value", pa.float64()), ("ties", pa.int32())]
    + [("p_null", pa.float64()), ("key", pa.string()), ("switches", pa.string())]
    + [("truncated", pa.int32())]
)
ITEMS = pa.schema(
    [(name, pa.string()) for name in ("study", "model", "revision", "benchmark", "language")]
    + [("item", pa.string()), ("intervention", pa.string()), ("layer", pa.int32())]
    + [("coefficient", pa.float64()), ("gold", pa.int32()), ("prediction", pa.int32())]
    + [("correct", pa.bool_()), ("scores", pa.list_(pa.float64()))]
    + [("ranks", pa.list_(pa.float64())), ("key", pa.string()), ("prompt", pa.string())]
    + [("truncated", pa.bool_())]
)


def alignment_rows(
    model: str,
    *,
    scores: dict[str, float],
    layers: int = 4,
    measures: tuple[str, ...] = ("mexa", "nasca", "navca"),
    poolings: tuple[str, ...] = ("weighted",),
    n: int = 100,
    revision: str = "main",
) -> pd.DataFrame:
    """Rows whose mean over layers is the given score of the language, exactly."""
    rows = []
    for language, score in scores.items():
        for measure in measures:
            for pooling in poolings:
                first = 0 if measure == "mexa" else 1
                places = np.arange(first, layers + 1)
                bend = np.sin(np.pi * (places - first + 0.5) / len(places))
                bend = bend - bend.mean()
                values = score + bend * min(score, 1 - score) * 0.8
                for layer, value in zip(places, values, strict=True):
                    place = f"{model}@{revision}/{language}/{measure}/{pooling}/{layer}/{n}"
                    rows.append(
                        {"study": "neuronxa", "model": model, "revision": revision}
                        | {"dataset": "flores200", "language": language, "pivot": "eng_Latn"}
                        | {"measure": measure, "pooling": pooling, "layer": int(layer), "n": n}
                        | {"value": float(value), "ties": 0, "p_null": 1e-6, "key": place}
                        | {"switches": SWITCHES, "truncated": 0}
                    )
    return pd.DataFrame(rows, columns=ALIGNMENT.names)


def item_rows(
    model: str,
    *,
    accuracies: dict[str, float],
    benchmark: str = "belebele",
    n: int = 200,
    options: int = 4,
    revision: str = "main",
) -> pd.DataFrame:
    """Rows with round(accuracy * n) correct items per language."""
    rows = []
    for language, accuracy in accuracies.items():
        hits = round(accuracy * n)
        for number in range(n):
            correct = number < hits
            scores = [0.0 if option == (0 if correct else 1) else -1.0 for option in range(options)]
            rows.append(
                {"study": "neuronxa", "model": model, "revision": revision}
                | {"benchmark": benchmark, "language": language, "item": f"{number:04d}"}
                | {"intervention": None, "layer": None, "coefficient": None, "gold": 0}
                | {"prediction": 0 if correct else 1, "correct": correct, "scores": scores}
                | {"ranks": scores, "key": f"{model}@{revision}/{benchmark}/{language}/{n}"}
                | {"prompt": f"{benchmark}-plain", "truncated": False}
            )
    return pd.DataFrame(rows, columns=ITEMS.names)


def write_run(
    folder: Path,
    *,
    alignment: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    errors: pd.DataFrame | None = None,
    record: dict[str, object] | None = None,
) -> Path:
    """A run folder as the store lays it out, in two shards per table."""
    for name, frame, schema in (("alignment", alignment, ALIGNMENT), ("items", items, ITEMS)):
        if frame is None:
            continue
        place = folder / "tables" / name
        place.mkdir(parents=True, exist_ok=True)
        half = len(frame) // 2
        for number, part in enumerate((frame.iloc[:half], frame.iloc[half:])):
            table = pa.Table.from_pandas(part, schema=schema, preserve_index=False)
            pq.write_table(table, place / f"{number}.parquet")
    folder.mkdir(parents=True, exist_ok=True)
    if errors is not None:
        errors.to_parquet(folder / "errors.parquet")
    if record is not None:
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def planted(seed: int, *, languages: tuple[str, ...] = LANGUAGES) -> dict[str, float]:
    """One score per language, spread over most of 0..1."""
    draws = np.random.default_rng(seed).uniform(0.05, 0.95, len(languages))
    return dict(zip(languages, draws.tolist(), strict=True))


def follow(
    scores: dict[str, float], *, slope: float, start: float, noise: float, seed: int
) -> dict[str, float]:
    """accuracy = start + slope * score + noise, English included at the top."""
    random = np.random.default_rng(seed)
    values = {
        language: float(np.clip(start + slope * score + noise * random.normal(), 0, 1))
        for language, score in scores.items()
    }
    return values | {"eng_Latn": min(1.0, start + slope)}

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
    + [("truncated", pa.int32()), ("pairs", pa.string()), ("forward", pa.float64())]
    + [("backward", pa.float64()), ("margin", pa.float64()), ("duplicates", pa.int32())]
    + [("tokens", pa.int32()), ("pivot_tokens", pa.int32()), ("constant", pa.int32())]
)
ITEMS = pa.schema(
    [(name, pa.string()) for name in ("study", "model", "revision", "benchmark", "language")]
    + [("item", pa.string()), ("intervention", pa.string()), ("layer", pa.int32())]
    + [("coefficient", pa.float64()), ("gold", pa.int32()), ("prediction", pa.int32())]
    + [("correct", pa.bool_()), ("scores", pa.list_(pa.float64()))]
    + [("ranks", pa.list_(pa.float64())), ("key", pa.string()), ("prompt", pa.string())]
    + [("truncated", pa.bool_()), ("correct_norm", pa.bool_())]
)
SCHEMAS = {
    "alignment": ALIGNMENT,
    "items": ITEMS,
    "generations": pa.schema(
        [(name, pa.string()) for name in ("study", "model", "revision", "benchmark", "language")]
        + [("pivot", pa.string()), ("item", pa.string()), ("intervention", pa.string())]
        + [("layer", pa.int32()), ("coefficient", pa.float64()), ("prompt", pa.string())]
        + [("engine", pa.string()), ("output", pa.string()), ("references", pa.list_(pa.string()))]
        + [("source", pa.string())]
        + [("tokens", pa.int32()), ("stopped", pa.bool_()), ("truncated", pa.bool_())]
        + [("key", pa.string())]
    ),
    "points": pa.schema(
        [(name, pa.string()) for name in ("study", "model", "revision", "dataset", "language")]
        + [("pivot", pa.string()), ("measure", pa.string()), ("pooling", pa.string())]
        + [("layer", pa.int32()), ("method", pa.string()), ("item", pa.string())]
        + [("side", pa.string()), ("x", pa.float64()), ("y", pa.float64()), ("key", pa.string())]
        + [("switches", pa.string())]
    ),
    "robustness": pa.schema(
        [(name, pa.string()) for name in ("study", "model", "revision", "dataset", "language")]
        + [("pivot", pa.string()), ("measure", pa.string()), ("pooling", pa.string())]
        + [("layer", pa.int32()), ("n", pa.int32()), ("pairs", pa.string())]
        + [("check", pa.string()), ("value", pa.float64()), ("low", pa.float64())]
        + [("high", pa.float64()), ("p", pa.float64()), ("samples", pa.int32())]
        + [("key", pa.string()), ("switches", pa.string())]
    ),
}


def alignment_rows(
    model: str,
    *,
    scores: dict[str, float],
    layers: int = 4,
    measures: tuple[str, ...] = ("mexa", "nasca", "navca"),
    poolings: tuple[str, ...] = ("weighted",),
    n: int = 100,
    revision: str = "main",
    dataset: str = "flores200",
    pivot: str = "eng_Latn",
    pairs: str = "100",
    fertility: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Rows whose mean over layers is the given score of the language, exactly.

    The margin is a fifth of the value, and both directions are a bit easier than both at once.
    """
    rows = []
    for language, score in scores.items():
        for measure in measures:
            baseline = measure in ("cka", "svcca", "anc")
            for pooling in poolings:
                first = 1 if measure in ("nasca", "navca") else 0
                places = np.arange(first, layers + 1)
                bend = np.sin(np.pi * (places - first + 0.5) / len(places))
                bend = bend - bend.mean()
                values = score + bend * min(score, 1 - score) * 0.8
                for layer, value in zip(places, values, strict=True):
                    place = f"{model}@{revision}/{dataset}/{pivot}/{language}/{measure}/{pooling}"
                    known = {
                        "ties": 0,
                        "p_null": 1e-6,
                        "forward": min(1.0, value + 0.02),
                        "backward": min(1.0, value + 0.01),
                        "margin": value / 5,
                    }
                    rows.append(
                        {"study": "neuronxa", "model": model, "revision": revision}
                        | {"dataset": dataset, "language": language, "pivot": pivot}
                        | {"measure": measure, "pooling": pooling, "layer": int(layer), "n": n}
                        | {"value": float(value), "key": f"{place}/{layer}/{n}/{pairs}"}
                        | (dict.fromkeys(known) if baseline else known)
                        | {"switches": SWITCHES, "truncated": 0, "pairs": pairs, "duplicates": 0}
                        | {"tokens": round(1000 * (fertility or {}).get(language, 1.5))}
                        | {"pivot_tokens": 1000, "constant": 0}
                    )
    return pd.DataFrame(rows, columns=ALIGNMENT.names)


def retrieval_rows(
    model: str,
    *,
    best: dict[str, int],
    top: dict[str, float],
    layers: int = 4,
    measure: str = "nasca",
    dataset: str = "flores200",
    pivot: str = "eng_Latn",
) -> pd.DataFrame:
    """Rows over all pairs whose share in both directions peaks at the planted layer and value.

    Each layer away from the best costs a tenth; the two directions are 0.04 and 0.02 higher.
    """
    rows = alignment_rows(
        model, scores=dict.fromkeys(best, 0.5), layers=layers, measures=(measure,), n=1012,
        dataset=dataset, pivot=pivot, pairs="all",
    )  # fmt: skip
    away = (rows["layer"] - rows["language"].map(best)).abs()
    rows["value"] = rows["language"].map(top) - 0.1 * away
    rows["forward"], rows["backward"] = rows["value"] + 0.04, rows["value"] + 0.02
    return rows


def item_rows(
    model: str,
    *,
    accuracies: dict[str, float],
    benchmark: str = "belebele",
    n: int = 200,
    options: int = 4,
    revision: str = "main",
    normed: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Rows with round(accuracy * n) correct items per language, and as many by the norm."""
    rows = []
    for language, accuracy in accuracies.items():
        hits = round(accuracy * n)
        normed_hits = None if normed is None else round(normed[language] * n)
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
                | {"correct_norm": None if normed_hits is None else number < normed_hits}
            )
    return pd.DataFrame(rows, columns=ITEMS.names)


def generation_rows(
    model: str,
    *,
    revision: str,
    outputs: list[str],
    references: list[list[str]],
    language: str = "isl_Latn",
    pivot: str = "eng_Latn",
) -> pd.DataFrame:
    """Translations from the pivot with their references."""
    place = f"{model}@{revision}/{pivot}/{language}"
    rows = [
        {"study": "neuronxa", "model": model, "revision": revision, "benchmark": "flores200"}
        | {"language": language, "pivot": pivot, "item": f"{number:04d}", "intervention": None}
        | {"layer": None, "coefficient": None, "prompt": "translate", "engine": "hf 5"}
        | {"output": output, "references": texts, "tokens": len(output.split()), "stopped": True}
        | {"truncated": False, "key": place, "source": f"Sentence {number}."}
        for number, (output, texts) in enumerate(zip(outputs, references, strict=True))
    ]
    return pd.DataFrame(rows, columns=SCHEMAS["generations"].names)


def point_rows(
    model: str,
    *,
    spread: dict[str, float],
    count: int = 20,
    language: str = "zho_Hans",
    pivot: str = "eng_Latn",
    layers: tuple[int, ...] = (2,),
) -> pd.DataFrame:
    """Both sides of each pair, `spread` apart by measure."""
    random = np.random.default_rng(0)
    rows = []
    for measure, apart in spread.items():
        for layer in layers:
            for number, (x, y) in enumerate(random.normal(size=(count, 2))):
                for side, move in ((pivot, 0.0), (language, apart)):
                    rows.append(
                        {"study": "neuronxa", "model": model, "revision": "main"}
                        | {"dataset": "tatoeba", "language": language, "pivot": pivot}
                        | {"measure": measure, "pooling": "weighted", "layer": layer}
                        | {"method": "tsne", "item": f"{number:03d}", "side": side}
                        | {"x": x + move, "y": y, "key": f"{model}/{measure}/{layer}"}
                        | {"switches": SWITCHES}
                    )
    return pd.DataFrame(rows, columns=SCHEMAS["points"].names)


def robustness_rows(alignment: pd.DataFrame, *, chance: float = 0.01) -> pd.DataFrame:
    """Every check of every cell of mutual nearest neighbours, by simple rules from its value."""
    held = alignment[~alignment["measure"].isin(["cka", "svcca", "anc"])]
    nothing = {"low": None, "high": None, "p": None, "samples": 0}
    parts = []
    for check, change in (
        ("permutation", {"value": chance, "p": 0.001, "samples": 1000}),
        ("bootstrap", {"low": held["value"] - 0.05, "high": held["value"] + 0.05, "samples": 1000}),
        ("half_1", {"value": held["value"] + 0.02}),
        ("half_2", {"value": held["value"] - 0.02}),
        ("distinct", {"value": held["value"] + 0.01}),
        ("hubness", {"value": 1.5}),
        ("csls", {"value": held["value"] + 0.03}),
        ("length_matched", {"value": held["value"] - 0.02 * held["layer"], "samples": 5}),
        (
            "length_random",
            {"value": held["value"] + 0.05, "low": held["value"] - 0.03, "samples": 100},
        ),
    ):
        parts.append(held.assign(check=check, **(nothing | change)))  # type: ignore[arg-type]
    frame = pd.concat(parts, ignore_index=True)
    return frame[SCHEMAS["robustness"].names]


def write_run(
    folder: Path,
    *,
    errors: pd.DataFrame | None = None,
    record: dict[str, object] | None = None,
    **tables: pd.DataFrame,
) -> Path:
    """A run folder as the store lays it out, in two shards per table (named by keyword)."""
    for name, frame in tables.items():
        place = folder / "tables" / name
        place.mkdir(parents=True, exist_ok=True)
        half = len(frame) // 2
        schema = pa.schema([field for field in SCHEMAS[name] if field.name in frame.columns])
        for number, part in enumerate((frame.iloc[:half], frame.iloc[half:])):
            table = pa.Table.from_pandas(part, schema=schema, preserve_index=False)
            pq.write_table(table, place / f"{number}.parquet")
    folder.mkdir(parents=True, exist_ok=True)
    if errors is not None:
        errors.to_parquet(folder / "errors.parquet")
    if record is not None:
        (folder / "run.json").write_text(json.dumps({"version": 2, **record}), encoding="utf-8")
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

"""Read the Parquet shards of one or several runs as one tidy frame per table.

The one idea: a key is an answer, so the same key in two runs is one row, and a table across models
is a read. This file knows columns and keys; it does not know what a measure or a benchmark means.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TEXT, WHOLE, REAL = pa.string(), pa.int32(), pa.float64()
SCHEMAS: Mapping[str, pa.Schema] = {
    "alignment": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("n", WHOLE), ("value", REAL)]
        + [("ties", WHOLE), ("p_null", REAL), ("key", TEXT), ("switches", TEXT)]
        + [("truncated", WHOLE)]
    ),
    "items": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "item")]
        + [("intervention", TEXT), ("layer", WHOLE), ("coefficient", REAL), ("gold", WHOLE)]
        + [("prediction", WHOLE), ("correct", pa.bool_()), ("options", WHOLE), ("key", TEXT)]
        + [("prompt", TEXT), ("truncated", pa.bool_())]
    ),
    "errors": pa.schema(
        [(name, TEXT) for name in ("key", "table", "model", "revision", "dataset", "benchmark")]
        + [("language", TEXT), ("pivot", TEXT), ("measure", TEXT), ("pooling", TEXT)]
        + [("layer", WHOLE), ("intervention", TEXT), ("coefficient", REAL), ("attempts", WHOLE)]
        + [("error", TEXT), ("traceback", TEXT)]
    ),
}
ALIGNMENT_CELL = ["model", "revision", "dataset", "language", "pivot", "measure", "pooling"]
ALIGNMENT_CELL += ["layer", "switches"]
ITEMS_CELL = ["model", "revision", "benchmark", "language", "prompt", "intervention", "layer"]
ITEMS_CELL += ["coefficient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Everything the runs hold: one frame per table, their run.json, and what reading left out.

    `items` carries `options`, the number of options, in place of the lists `scores` and `ranks`.
    `errors` holds failures that no later attempt answered.
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    errors: pd.DataFrame
    runs: tuple[Mapping[str, object], ...]
    notes: tuple[str, ...]


def rows(runs: Sequence[Path]) -> Rows:
    """All tables of `runs` together, every answer once."""
    for run in runs:
        _refuse_no_run(run)
    if not runs:
        raise ValueError("no run was named: expected at least one run folder")
    notes: list[str] = []
    alignment = _once(table(runs, name="alignment"), per=["key"], notes=notes)
    alignment = _one_answer(alignment, cell=ALIGNMENT_CELL, size="n", notes=notes)
    items = _once(table(runs, name="items"), per=["key", "item"], notes=notes)
    items["items"] = items.groupby("key")["item"].transform("size")
    items = _one_answer(items, cell=ITEMS_CELL, size="items", notes=notes).drop(columns="items")
    errors = table(runs, name="errors").drop_duplicates("key", keep="last")
    answered = pd.concat([alignment["key"], items["key"]])
    errors = errors[~errors["key"].isin(answered)].reset_index(drop=True)
    return Rows(
        alignment=alignment,
        items=items,
        errors=errors,
        runs=tuple(_record(run) for run in runs),
        notes=tuple(notes),
    )


def table(runs: Sequence[Path], *, name: str) -> pd.DataFrame:
    """One table of every run, rows as stored; a run without it adds nothing."""
    schema = SCHEMAS[name]
    parts = [_shard(path, schema) for run in runs for path in _shards(run, name)]
    joined = pa.concat_tables([schema.empty_table(), *parts])
    frame: pd.DataFrame = joined.to_pandas()
    return frame


def label(model: str, *, revision: str) -> str:
    """The model as people read it: its name, with the revision unless that is the default."""
    return model if revision in ("main", "") else f"{model}@{revision[:12]}"


def _refuse_no_run(run: Path) -> None:
    """Say what is missing where a run was expected."""
    if not run.is_dir():
        raise ValueError(f"no run at {run}: there is no such folder; name the --out of a run")
    if not any((run / part).exists() for part in ("run.json", "tables", "errors.parquet")):
        raise ValueError(
            f"no run at {run}: expected run.json or tables/ in it; name the --out of a run"
        )


def _shards(run: Path, name: str) -> list[Path]:
    """The files of a table, in a fixed order. A shard still being written has another suffix."""
    if name == "errors":
        return [path for path in [run / "errors.parquet"] if path.exists()]
    return sorted((run / "tables" / name).glob("*.parquet"))


def _shard(path: Path, schema: pa.Schema) -> pa.Table:
    """One file in the columns of the schema; a column that the file lacks is missing throughout."""
    file = pq.ParquetFile(path)
    present = set(file.schema_arrow.names)
    wanted = [name for name in schema.names if name in present]
    if "options" in schema.names and "scores" in present:
        wanted.append("scores")
    found = file.read(columns=wanted)
    columns = []
    for column in schema:
        if column.name == "options" and "scores" in present:
            values = pc.list_value_length(found["scores"])
        elif column.name in present:
            values = found[column.name]
        else:
            values = pa.nulls(found.num_rows, column.type)
        columns.append(values.cast(column.type))
    return pa.table(columns, schema=schema)


def _once(frame: pd.DataFrame, *, per: list[str], notes: list[str]) -> pd.DataFrame:
    """Drop repeated answers, and say so where the repeat went by another model's name."""
    repeated = frame[frame.duplicated(per, keep="first")]
    kept = frame.drop_duplicates(per, keep="first").reset_index(drop=True)
    if repeated.empty:
        return kept
    first = kept.drop_duplicates("key").set_index("key")["model"]
    renamed = repeated[repeated["model"] != repeated["key"].map(first)]
    pairs = zip(renamed["model"], renamed["key"].map(first), strict=True)
    for model, same in sorted(set(pairs)):
        notes.append(f"{model} and {same} are the same weights and data: shown once, as {same}.")
    return kept


def _one_answer(
    frame: pd.DataFrame, *, cell: list[str], size: str, notes: list[str]
) -> pd.DataFrame:
    """Of several answers to one cell (other pairs, limit or dtype) keep the largest, and say so."""
    keys = frame[[*cell, "key", size]].drop_duplicates("key")
    ordered = keys.sort_values(size, kind="stable")
    kept = ordered.drop_duplicates(cell, keep="last")
    if len(kept) == len(keys):
        return frame
    left = keys[~keys["key"].isin(kept["key"])]
    where = ", ".join(sorted(set(left["model"])))
    notes.append(
        f"{len(left)} cells have more than one answer ({where}; other pairs, limit or dtype): the "
        f"one with the most {'pairs' if size == 'n' else 'items'} is shown, the latest if equal."
    )
    return frame[frame["key"].isin(kept["key"])].reset_index(drop=True)


def _record(run: Path) -> Mapping[str, object]:
    """The run.json of a run as it stands, with the run's folder name; empty where there is none."""
    path = run / "run.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}: expected a JSON object")
    return {"run": run.resolve().name, **content}


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Names as a sentence reads them, cut after `most`."""
    names = list(dict.fromkeys(values))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest

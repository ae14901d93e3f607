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

from analysis.judges import judged
from analysis.places import Entry, Place, StorageError

# The newest version of a store (`version` in run.json) whose tables are read here.
VERSION = 2
TEXT, WHOLE, REAL = pa.string(), pa.int32(), pa.float64()
SCHEMAS: Mapping[str, pa.Schema] = {
    "alignment": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("n", WHOLE), ("value", REAL)]
        + [("ties", WHOLE), ("p_null", REAL), ("key", TEXT), ("switches", TEXT)]
        + [("truncated", WHOLE), ("pairs", TEXT), ("forward", REAL), ("backward", REAL)]
        + [("margin", REAL), ("duplicates", WHOLE), ("tokens", WHOLE), ("pivot_tokens", WHOLE)]
        + [("constant", WHOLE)]
    ),
    "items": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "item")]
        + [("intervention", TEXT), ("layer", WHOLE), ("coefficient", REAL), ("gold", WHOLE)]
        + [("prediction", WHOLE), ("correct", pa.bool_()), ("options", WHOLE), ("key", TEXT)]
        + [("prompt", TEXT), ("truncated", pa.bool_()), ("correct_norm", pa.bool_())]
    ),
    "generations": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "pivot")]
        + [("item", TEXT), ("intervention", TEXT), ("layer", WHOLE), ("coefficient", REAL)]
        + [("prompt", TEXT), ("engine", TEXT), ("output", TEXT), ("references", pa.list_(TEXT))]
        + [("source", TEXT)]
        + [("tokens", WHOLE), ("stopped", pa.bool_()), ("truncated", pa.bool_()), ("key", TEXT)]
    ),
    "points": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("method", TEXT)]
        + [("item", TEXT), ("side", TEXT), ("x", REAL), ("y", REAL), ("key", TEXT)]
        + [("switches", TEXT)]
    ),
    "robustness": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("n", WHOLE), ("pairs", TEXT)]
        + [("check", TEXT), ("value", REAL), ("low", REAL), ("high", REAL), ("p", REAL)]
        + [("samples", WHOLE), ("key", TEXT), ("switches", TEXT)]
    ),
    "errors": pa.schema(
        [(name, TEXT) for name in ("key", "table", "model", "revision", "dataset", "benchmark")]
        + [("language", TEXT), ("pivot", TEXT), ("measure", TEXT), ("pooling", TEXT)]
        + [("layer", WHOLE), ("intervention", TEXT), ("coefficient", REAL), ("attempts", WHOLE)]
        + [("error", TEXT), ("traceback", TEXT)]
    ),
}
ALIGNMENT_CELL = ["model", "revision", "dataset", "language", "pivot", "measure", "pooling"]
ALIGNMENT_CELL += ["layer", "switches", "pairs"]
ITEMS_CELL = ["model", "revision", "benchmark", "language", "prompt", "intervention", "layer"]
ITEMS_CELL += ["coefficient"]
GENERATIONS_CELL = [*ITEMS_CELL, "pivot", "engine"]
# One row of a table whose key may stand for several.
POINT = ["key", "measure", "pooling", "layer", "method", "item", "side"]
CHECK = ["key", "measure", "pooling", "layer", "check"]
UNKNOWN_PAIRS = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Everything the runs hold: one frame per table, their run.json, and what reading left out.

    `items` carries `options`, the number of options, in place of the lists `scores` and `ranks`.
    `errors` holds failures that no later attempt answered. A table or a column that no run has is
    empty; `pairs` of a run that did not keep it is "not recorded".
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    errors: pd.DataFrame
    generations: pd.DataFrame
    points: pd.DataFrame
    robustness: pd.DataFrame
    judged: pd.DataFrame
    runs: tuple[Mapping[str, object], ...]
    notes: tuple[str, ...]

    @property
    def studies(self) -> list[str]:
        """The studies that asked for these rows, the most frequent first."""
        tables = (self.alignment, self.items, self.generations, self.points, self.robustness)
        names = pd.concat([frame["study"] for frame in tables]).dropna()
        named = [str(run["study"]) for run in self.runs if run.get("study")]
        return list(dict.fromkeys([*map(str, names.value_counts().index), *named]))


def rows(runs: Sequence[Path | str]) -> Rows:
    """All tables of `runs` together, every answer once. A run is a folder or an s3:// address.

    Raises:
        ValueError: there is no run, a newer version wrote it, or a shard of it is damaged.
    """
    records = []
    for run in runs:
        _refuse_no_run(Place(run))
        records.append(_record(Place(run)))
    if not runs:
        raise ValueError("no run was named: expected at least one run folder")
    notes: list[str] = []
    alignment = _once(table(runs, name="alignment"), per=["key"], notes=notes)
    alignment["pairs"] = alignment["pairs"].fillna(UNKNOWN_PAIRS)
    alignment = _one_answer(alignment, cell=ALIGNMENT_CELL, size="n", notes=notes)
    items = _once(table(runs, name="items"), per=["key", "item"], notes=notes)
    items = _most_items(items, cell=ITEMS_CELL, notes=notes)
    written = _once(table(runs, name="generations"), per=["key", "item"], notes=notes)
    written = _most_items(written, cell=GENERATIONS_CELL, notes=notes)
    points = _once(table(runs, name="points"), per=POINT, notes=notes)
    checks = _once(table(runs, name="robustness"), per=CHECK, notes=notes)
    checks["pairs"] = checks["pairs"].fillna(UNKNOWN_PAIRS)
    errors = table(runs, name="errors").drop_duplicates("key", keep="last")
    answers = (alignment, items, written, points, checks)
    answered = pd.concat([frame["key"] for frame in answers])
    errors = errors[~errors["key"].isin(answered)].reset_index(drop=True)
    return Rows(
        alignment=alignment,
        items=items,
        errors=errors,
        generations=written,
        points=points,
        robustness=checks,
        judged=judged(runs),
        runs=tuple(records),
        notes=tuple(notes),
    )


def table(runs: Sequence[Path | str], *, name: str) -> pd.DataFrame:
    """One table of every run, rows as stored; a run without it adds nothing.

    A run that goes on may merge its shards while they are read: rows may then come twice.
    """
    schema = SCHEMAS[name]
    parts = [shard for run in runs for shard in _shards(Place(run), name, schema)]
    joined = pa.concat_tables([schema.empty_table(), *parts])
    frame: pd.DataFrame = joined.to_pandas()
    return frame


def label(model: str, *, revision: str) -> str:
    """The model as people read it: its name, with the revision unless that is the default."""
    return model if revision in ("main", "") else f"{model}@{revision[:12]}"


def _refuse_no_run(run: Place) -> None:
    """Say what is missing where a run was expected."""
    if run.is_local and not run.local.is_dir():
        raise ValueError(
            f"no run at {run.address}: there is no such folder; name the --out of a run"
        )
    if not {"run.json", "tables", "errors", "errors.parquet"} & set(run.children()):
        raise ValueError(
            f"no run at {run.address}: expected run.json or tables/ in it; name the --out of a run"
        )


def _shards(run: Place, name: str, schema: pa.Schema) -> list[pa.Table]:
    """The rows of a table, file by file in the order of their names."""
    parts = run.gather(
        lambda: _files(run, name), read=lambda entry: _shard(run, entry, schema=schema)
    )
    return [shard for _, shard in sorted(parts, key=lambda part: part[0])]


def _files(run: Place, name: str) -> list[Entry]:
    """The files that hold a table now; errors lie in one file and, while a run goes on, in more."""
    if name != "errors":
        return _parquet(run.entries(f"tables/{name}"))
    whole = run.entry("errors.parquet")
    return ([whole] if whole else []) + _parquet(run.entries("errors"))


def _parquet(entries: list[Entry]) -> list[Entry]:
    """The Parquet files among some files."""
    return [entry for entry in entries if entry.name.endswith(".parquet")]


def _shard(run: Place, entry: Entry, *, schema: pa.Schema) -> pa.Table:
    """One file in the columns of the schema; a column that the file lacks is missing throughout.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with run.opened(entry) as source:
            return _columns(
                pq.ParquetFile(source, pre_buffer=True, page_checksum_verification=True), schema
            )
    except (FileNotFoundError, StorageError):
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{run.text(entry.name)} is damaged ({str(error).splitlines()[0]}): move it out of "
            "tables/ and run the study's command again, which computes its cells anew"
        ) from error


def _columns(file: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
    """The columns of the schema; where lists are counted, their lengths."""
    present = set(file.schema_arrow.names)
    wanted = [name for name in schema.names if name in present]
    if "options" in schema.names and "scores" in present:
        wanted.append("scores")
    found = file.read(columns=wanted, use_threads=False)
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


def _most_items(frame: pd.DataFrame, *, cell: list[str], notes: list[str]) -> pd.DataFrame:
    """One answer per cell of a table of items: the one with the most of them."""
    counted = frame.assign(items=frame.groupby("key")["item"].transform("size"))
    return _one_answer(counted, cell=cell, size="items", notes=notes).drop(columns="items")


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


def _record(run: Place) -> Mapping[str, object]:
    """The run.json of a run as it stands, with the run's folder name; empty where there is none."""
    where = run.text("run.json")
    try:
        text = run.read("run.json")
    except FileNotFoundError:
        text = b"{}"
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where} is not valid JSON: restore it, or leave this run out") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds {type(content).__name__}: expected a JSON object")
    if content.get("version", 0) > VERSION:
        raise ValueError(
            f"{run.address} was written by a newer Babelscope (store version {content['version']}, "
            f"this one knows {VERSION}): update, or leave this run out"
        )
    return {"run": run.name, **content}


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Names as a sentence reads them, cut after `most`."""
    names = list(dict.fromkeys(values))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest

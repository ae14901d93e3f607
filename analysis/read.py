"""Read the Parquet shards of one or several runs as one tidy frame per table.

A key is an answer, so the same key in two runs is one row, and a table across models is a read. Of
millions of rows no frame is made: `shards` hands them out one shard at a time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis import reading
from analysis.comet import judged
from analysis.storage import seal
from analysis.storage.folder import Entry, Folder, StorageError
from analysis.storage.record import Record, error_files, parquet, stranger
from analysis.storage.runs import distinct, record, refuse_no_run, unlike
from studies.kinds import tables
from studies.tables import ERRORS, schema_of

Value = TypeVar("Value")
ALIGNMENT_CELL = ["model", "revision", "dataset", "language", "pivot", "measure", "pooling"]
ALIGNMENT_CELL += ["layer", "switches", "pairs"]
ITEMS_CELL = ["model", "revision", "benchmark", "language", "prompt", "intervention", "layer"]
ITEMS_CELL += ["coefficient"]
GENERATIONS_CELL = [*ITEMS_CELL, "pivot", "engine", "sampling"]
VECTORS_CELL = ["model", "revision", "benchmark", "language", "pivot", "prompt", "seed", "layer"]
# One row of a table whose key may stand for several.
TEXTS = ["key", "item", "sample"]
POINT = ["key", "measure", "pooling", "layer", "method", "item", "side"]
CHECK = ["key", "measure", "pooling", "layer", "check"]
UNKNOWN_PAIRS = "not recorded"
# Columns of which no frame is made: `shards` reads them, where they are wanted. Instead of the list
# `scores` frames have `options`, its length.
NOT_IN_FRAMES = {
    "items": ("scores", "ranks", "option_start", "pivot", "seed", "switches"),
    "generations": ("thought",),
}
# Files that this process found to be whole and of their run: a report reads each several times.
_INTACT: set[tuple[str, Entry]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Everything the runs hold: one frame per table, their run.json, and what reading left out.

    `items` are answers of the plain model; it carries `options`, the number of options, in place of
    the lists `scores` and `ranks`. `generations` carries `sampling`, how tokens were drawn, in
    words: greedy where it was not kept, as nothing else was known. Answers under an intervention
    and the table `lens` are too many for a frame: `shards` reads them from `sources`, the runs, and
    `beside` counts them by study. `errors` holds failures that no later attempt answered. A table
    or a column that no run has is empty; `pairs` of a run that did not keep it is "not recorded".
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    errors: pd.DataFrame
    generations: pd.DataFrame
    points: pd.DataFrame
    robustness: pd.DataFrame
    vectors: pd.DataFrame
    judged: pd.DataFrame
    sources: tuple[Path | str, ...]
    beside: Mapping[str, int]
    runs: tuple[Mapping[str, object], ...]
    notes: tuple[str, ...]

    def __getattribute__(self, name: str) -> Any:
        """An attribute; of a frame its table is noted as read."""
        reading.note(*reading.FRAMES.get(name, ()))
        return object.__getattribute__(self, name)

    @property
    def studies(self) -> list[str]:
        """The studies that asked for these rows, the most frequent first."""
        tables = (self.alignment, self.items, self.generations, self.points, self.robustness)
        counts = Counter(self.beside)
        for frame in (*tables, self.vectors):
            names = frame["study"].value_counts()
            counts.update({str(name): int(count) for name, count in names.items()})
        named = [str(run["study"]) for run in self.runs if run.get("study")]
        return list(dict.fromkeys([*(name for name, _ in counts.most_common()), *named]))


def rows(runs: Sequence[Path | str]) -> Rows:
    """All tables of `runs` together, every answer once. A run is a folder or an s3:// address.

    Raises:
        ValueError: there is no run, a newer version wrote it, or a shard of it is damaged.
    """
    if not runs:
        raise ValueError("no run was named: expected at least one run folder")
    for run in runs:
        refuse_no_run(Folder(run))
    runs, notes = distinct(runs)
    records = [record(Folder(run)) for run in runs]
    notes += unlike(runs, records)
    alignment = _once(table(runs, name="alignment"), per=["key"], notes=notes)
    alignment["pairs"] = alignment["pairs"].fillna(UNKNOWN_PAIRS)
    alignment = _one_answer(alignment, cell=ALIGNMENT_CELL, size="n", notes=notes)
    plain, beside = _plain_items(runs)
    for shard in shards(runs, name="lens", columns=["study"]):
        beside.update(_counts(shard["study"]))
    items = _once(plain, per=["key", "item"], notes=notes)
    items = _most_items(items, cell=ITEMS_CELL, notes=notes)
    written = _written(runs, notes=notes)
    points = _once(table(runs, name="points"), per=POINT, notes=notes)
    checks = _once(table(runs, name="robustness"), per=CHECK, notes=notes)
    checks["pairs"] = checks["pairs"].fillna(UNKNOWN_PAIRS)
    vectors = _once(table(runs, name="vectors"), per=["key", "layer"], notes=notes)
    vectors = _one_answer(vectors, cell=VECTORS_CELL, size="n", notes=notes)
    return Rows(
        alignment=alignment,
        items=items,
        errors=_unanswered(runs),
        generations=written,
        points=points,
        robustness=checks,
        vectors=vectors,
        judged=judged(runs),
        sources=tuple(runs),
        beside=dict(beside),
        runs=tuple(records),
        notes=tuple(notes),
    )


def study_of(run: Path | str) -> str:
    """The study that most rows of a run are of, empty where it has none."""
    return next(iter(rows([run]).studies), "")


def table(runs: Sequence[Path | str], *, name: str) -> pd.DataFrame:
    """One table of every run, rows as stored; a run without it adds nothing.

    A run that goes on may merge its shards while they are read: rows may then come twice.
    """
    schema = _schema(name)
    parts = [schema.empty_table()]
    for run in runs:
        found = _gathered(Folder(run), name, read=partial(_columns, schema=schema))
        parts += [shard.cast(schema) for _, shard in sorted(found, key=lambda part: part[0])]
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return frame


def shards(
    runs: Sequence[Path | str], *, name: str, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """One table of every run, shard by shard as `table` reads it, in the columns asked for.

    `lens`, and the lists of `items` (`scores`, `ranks`), are read so alone. Rows may come twice,
    from two runs or from shards that are being merged: whoever uses them drops what repeats.

    Raises:
        ValueError: a shard is damaged.
    """
    types = _types(name)
    schema = schema_of({column: types[column] for column in columns or types})
    for run in runs:
        for _, shard in _gathered(Folder(run), name, read=partial(_columns, schema=schema)):
            # Texts lie in memory as dictionaries until their shard's turn comes.
            yield shard.cast(schema)


def label(model: str, *, revision: str) -> str:
    """The model as people read it: its name, with the revision unless that is the default."""
    return model if revision in ("main", "") else f"{model}@{revision[:12]}"


def _types(name: str) -> dict[str, str]:
    """The columns that a table may be asked for, with their types."""
    types = (tables() | {ERRORS.name: ERRORS})[name].types
    return types | {"options": "int32"} if "scores" in types else types


def _schema(name: str) -> pa.Schema:
    """The columns of a table's frame."""
    left_out = NOT_IN_FRAMES.get(name, ())
    return schema_of(
        {column: kind for column, kind in _types(name).items() if column not in left_out}
    )


class _Items(NamedTuple):
    """What a shard of items holds: the plain model's rows, and how many others by study."""

    plain: pa.Table
    others: Counter[str]


def _plain_items(runs: Sequence[Path | str]) -> tuple[pd.DataFrame, Counter[str]]:
    """The answers of the plain model, and the number of other rows by study."""
    schema, others = _schema("items"), Counter[str]()
    parts = [schema.empty_table()]
    for run in runs:
        found = _gathered(Folder(run), "items", read=_split_items)
        for _, shard in sorted(found, key=lambda part: part[0]):
            parts.append(shard.plain.cast(schema))
            others.update(shard.others)
    plain: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return plain, others


def _split_items(file: pq.ParquetFile) -> _Items:
    """The rows without an intervention; where there are none, no other column is read."""
    schema = _schema("items")
    marks = _columns(file, pa.schema([schema.field("study"), schema.field("intervention")]))
    plain = pc.is_null(marks["intervention"])
    others = _counts(marks["study"].filter(pc.invert(plain)))
    if not pc.any(plain).as_py():
        return _Items(schema.empty_table(), others)
    return _Items(_columns(file, schema).filter(plain), others)


def _written(runs: Sequence[Path | str], *, notes: list[str]) -> pd.DataFrame:
    """The texts, each once; where two engines wrote one cell, those of the run named first."""
    every = table(runs, name="generations")
    every["sample"] = every["sample"].fillna(0).astype(int)
    settings = every["settings"].fillna("").astype(str)
    every["sampling"] = settings.map({text: _sampling(text) for text in settings.unique()})
    writers = every.drop_duplicates(["key", "engine"])
    twice = writers[writers.duplicated("key", keep=False)]
    if len(twice):
        engines, models = (sorted(set(twice[name].dropna())) for name in ("engine", "model"))
        notes.append(
            f"{twice['key'].nunique()} cells of texts were written by several engines "
            f"({listed(engines)}; {listed(models)}): shown as in the run named first."
        )
    once = _once(every, per=TEXTS, notes=notes)
    # Draws of one control have the same coordinates, and each is an answer of its own.
    changed = once["intervention"].notna()
    plain = _most_items(once[~changed], cell=GENERATIONS_CELL, notes=notes)
    return pd.concat([plain, once[changed]], ignore_index=True) if changed.any() else plain


def _sampling(settings: str) -> str:
    """How tokens were drawn, in words."""
    drawn = json.loads(settings)["sampling"] if settings else {"temperature": 0}
    if not drawn["temperature"]:
        return "greedy"
    several = f", {drawn['n']} texts a prompt" if drawn["n"] > 1 else ""
    return (
        f"temperature {drawn['temperature']:g}, top_p {drawn['top_p']:g}, "
        f"seed {drawn['seed']}{several}"
    )


def _counts(studies: pa.ChunkedArray) -> Counter[str]:
    """How many rows each study asked for."""
    pairs = pc.value_counts(studies.combine_chunks()).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in pairs if pair["values"]})


def _unanswered(runs: Sequence[Path | str]) -> pd.DataFrame:
    """The failed cells, each once as it failed last, without those that have rows by now."""
    errors = table(runs, name="errors").drop_duplicates("key", keep="last")
    keys = schema_of({"key": "string"})
    for name in sorted(set(errors["table"].dropna())):
        for run in runs if len(errors) else ():
            for _, shard in _gathered(Folder(run), name, read=partial(_columns, schema=keys)):
                errors = errors[~errors["key"].isin(pc.unique(shard["key"]).to_pylist())]
    return errors.reset_index(drop=True)


def _gathered(
    run: Folder, name: str, *, read: Callable[[pq.ParquetFile], Value]
) -> Iterator[tuple[Entry, Value]]:
    """What `read` makes of every file of a table, each as soon as it is there."""
    reading.note(name)
    own = record(run)
    return run.gather(
        lambda: _files(run, name), read=lambda entry: _shard(run, entry, own=own, read=read)
    )


def _files(run: Folder, name: str) -> list[Entry]:
    """The files that hold a table now."""
    return error_files(run) if name == "errors" else parquet(run.entries(f"tables/{name}"))


def _shard(
    run: Folder, entry: Entry, *, own: Record, read: Callable[[pq.ParquetFile], Value]
) -> Value:
    """What `read` makes of one file.

    Raises:
        ValueError: the file is damaged, or of another run.
    """
    try:
        if (run.where, entry) in _INTACT:
            with run.opened(entry) as source:
                return read(_parquet_file(source))
        content = run.read(entry.name)
        if seal.intact(content) is False:
            raise pa.ArrowInvalid("its bytes are not those that were written")
        file = _parquet_file(pa.BufferReader(content))
        if not (foreign := stranger(file, own if "study" in own else None)):
            _INTACT.add((run.where, entry))
            return read(file)
    except (FileNotFoundError, StorageError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{run.text(entry.name)} is damaged ({str(error).splitlines()[0]}): run the study's "
            "command again with --verify, which computes its cells anew, or move it out of tables/"
        ) from error
    raise ValueError(
        f"{run.text(entry.name)} {foreign}: it is of another run; move it out of tables/, or "
        "report both runs together"
    )


def _parquet_file(source: pa.NativeFile) -> pq.ParquetFile:
    """A file for reading, its texts as dictionaries."""
    metadata = pq.read_metadata(source)
    fields = metadata.schema.to_arrow_schema()
    return pq.ParquetFile(
        source,
        metadata=metadata,
        pre_buffer=True,
        page_checksum_verification=True,
        read_dictionary=[field.name for field in fields if pa.types.is_string(field.type)],
    )


def _columns(file: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
    """The columns of the schema, texts as dictionaries; a column that the file lacks is missing.

    `options` are the lengths of the lists `scores`.
    """
    present = set(file.schema_arrow.names)
    wanted = [name for name in schema.names if name in present]
    if "options" in schema.names and "scores" in present.difference(wanted):
        wanted.append("scores")
    found = file.read(columns=wanted, use_threads=False)
    columns = []
    for column in schema:
        if column.name == "options" and "scores" in present:
            values = pc.list_value_length(found["scores"]).cast(column.type)
        elif column.name in present:
            values = found[column.name]
        else:
            values = pa.nulls(found.num_rows, column.type)
        columns.append(values)
    return pa.table(columns, names=schema.names)


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


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Names as a sentence reads them, cut after `most`."""
    names = list(dict.fromkeys(values))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest

"""Read the Parquet shards of one or several runs as one tidy frame per table.

A key is an answer, so the same key in two runs is one row, and a table across models is a read. Of
millions of rows no frame is made: `shards` hands them out one shard at a time.
"""

import json
import re
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
from analysis.once import most_items, once, one_answer
from analysis.storage.folder import Folder
from analysis.storage.record import Record
from analysis.storage.runs import distinct, record, refuse_no_run, unlike
from analysis.storage.shards import chosen, gathered
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
# Of a repository (SHA-1 or SHA-256).
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
POINT = ["key", "measure", "pooling", "layer", "method", "item", "side"]
CHECK = ["key", "measure", "pooling", "layer", "check"]
UNKNOWN_PAIRS = "not recorded"
# Columns of which no frame is made: `shards` reads them, where they are wanted. Instead of the list
# `scores` frames have `options`, its length.
NOT_IN_FRAMES = {
    "items": ("scores", "ranks", "option_start", "pivot", "seed", "switches"),
    "generations": ("thought",),
}


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
    runs, records, notes = named(runs)
    scores = alignment(runs, notes=notes)
    plain, beside = _plain_items(runs)
    for shard in shards(runs, name="lens", columns=["study"]):
        beside.update(_counts(shard["study"]))
    items = once(plain, per=["key", "item"], notes=notes)
    items = most_items(items, cell=ITEMS_CELL, notes=notes)
    written = _written(runs, notes=notes)
    points = once(table(runs, name="points"), per=POINT, notes=notes)
    checks = once(table(runs, name="robustness"), per=CHECK, notes=notes)
    checks["pairs"] = checks["pairs"].fillna(UNKNOWN_PAIRS)
    vectors = once(table(runs, name="vectors"), per=["key", "layer"], notes=notes)
    vectors = one_answer(vectors, cell=VECTORS_CELL, size="n", notes=notes)
    return Rows(
        alignment=scores,
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


class Named(NamedTuple):
    """Runs, each folder once, their run.json, and sentences on what they differ in."""

    runs: tuple[Path | str, ...]
    records: list[Record]
    notes: list[str]


def named(runs: Sequence[Path | str]) -> Named:
    """The runs that were named, looked at before any row of them is read.

    Raises:
        ValueError: there is no run, or a newer version wrote it.
    """
    if not runs:
        raise ValueError("no run was named: expected at least one run folder")
    for run in runs:
        refuse_no_run(Folder(run))
    own, notes = distinct(runs)
    records = [record(Folder(run)) for run in own]
    return Named(own, records, notes + unlike(own, records))


def alignment(runs: Sequence[Path | str], *, notes: list[str]) -> pd.DataFrame:
    """The table `alignment`, every answer once; `notes` gains what is to be said of it."""
    frame = once(table(runs, name="alignment"), per=["key"], notes=notes)
    frame["pairs"] = frame["pairs"].fillna(UNKNOWN_PAIRS)
    return one_answer(frame, cell=ALIGNMENT_CELL, size="n", notes=notes)


def study_of(run: Path | str) -> str:
    """The study that most rows of a run are of, empty where it has none."""
    return next(iter(rows([run]).studies), "")


def table(runs: Sequence[Path | str], *, name: str) -> pd.DataFrame:
    """One table of every run, rows as stored; a run without it adds nothing.

    A run that goes on may merge its shards while they are read: rows may then come twice.
    """
    reading.note(name)
    schema = _schema(name)
    parts = [schema.empty_table()]
    for run in runs:
        found = gathered(Folder(run), name, read=partial(chosen, schema=schema))
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
    schema = columns_of(name, columns or list(_types(name)))
    for shard in reduced(runs, name=name, schema=schema, make=lambda found: found):
        # Texts lie in memory as dictionaries until their shard's turn comes.
        yield shard.cast(schema)


def reduced(
    runs: Sequence[Path | str],
    *,
    name: str,
    schema: pa.Schema,
    make: Callable[[pa.Table], Value],
    plain: bool = False,
) -> Iterator[Value]:
    """What `make` keeps of each shard, so that no more of it lies in memory.

    Args:
        runs: the runs.
        name: the table.
        schema: the columns that are read, as `columns_of` has them.
        make: called with a shard, its texts as dictionaries, in the thread that reads it.
        plain: of `items`, the rows without an intervention alone.

    Raises:
        ValueError: a shard is damaged.
    """

    def read(file: pq.ParquetFile) -> Value:
        found = _split_items(file, schema=schema).plain if plain else chosen(file, schema)
        return make(found)

    reading.note(name)
    for run in runs:
        for _, kept in gathered(Folder(run), name, read=read):
            yield kept


def columns_of(name: str, columns: Sequence[str]) -> pa.Schema:
    """Some columns of a table with their types."""
    types = _types(name)
    return schema_of({column: types[column] for column in columns})


def label(model: str, *, revision: str) -> str:
    """The model as people read it: its name, with the revision unless that is the default."""
    return model if revision in ("main", "") else f"{model}@{short_revision(revision)}"


def short_revision(revision: str) -> str:
    """A revision as people read it: of a commit its beginning.

    Any other name stays whole: `checkpoint-1000` and `checkpoint-1500` begin alike.
    """
    return revision[:12] if COMMIT.fullmatch(revision) else revision


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
        found = gathered(Folder(run), "items", read=partial(_split_items, schema=schema))
        for _, shard in sorted(found, key=lambda part: part[0]):
            parts.append(shard.plain.cast(schema))
            others.update(shard.others)
    plain: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return plain, others


def _split_items(file: pq.ParquetFile, *, schema: pa.Schema) -> _Items:
    """The rows without an intervention; where there are none, no other column is read."""
    marks = chosen(file, columns_of("items", ["study", "intervention"]))
    plain = pc.is_null(marks["intervention"])
    others = _counts(marks["study"].filter(pc.invert(plain)))
    if not pc.any(plain).as_py():
        return _Items(schema.empty_table(), others)
    return _Items(chosen(file, schema).filter(plain), others)


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
    texts = once(every, per=TEXTS, notes=notes)
    # Draws of one control have the same coordinates, and each is an answer of its own.
    changed = texts["intervention"].notna()
    plain = most_items(texts[~changed], cell=GENERATIONS_CELL, notes=notes)
    return pd.concat([plain, texts[changed]], ignore_index=True) if changed.any() else plain


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
            for _, shard in gathered(Folder(run), name, read=partial(chosen, schema=keys)):
                errors = errors[~errors["key"].isin(pc.unique(shard["key"]).to_pylist())]
    return errors.reset_index(drop=True)


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Names as a sentence reads them, cut after `most`."""
    names = list(dict.fromkeys(values))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest

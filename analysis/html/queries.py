"""From a line of a table on the page to its rows: code that reads them, ready to be copied.

A line is of some models, benchmarks, languages, layers. Where these are columns of a table of rows
that the line was computed from, they narrow it; what does not narrow it is said in the code. The
page holds each condition once, and its script puts those of a line together.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis import read
from analysis.html.cells import key
from analysis.layout.page import Sheet
from analysis.reading import PLAIN_ITEMS
from analysis.storage.redact import redact
from studies.kinds import tables
from studies.tables import COORDINATES, Table

# What else sets rows apart beside the coordinates of cells.
APART = (
    *("prompt", "item", "side", "check", "method", "engine", "site", "part", "state", "sample"),
    *("task", "metric", "switches", "pairs"),
)
# Of a table with interventions, these are of one; elsewhere a layer is one that was looked at.
OF_INTERVENTION = ("layer", "coefficient")
# Columns of people's tables in which a model goes by its label.
LABELLED = ("label", "model", "series")
MODEL = ("model", "revision")
# Where the conditions of a line stand in the code.
WHERE = "WHERE"
CODE = """import pandas as pd
import pyarrow.dataset as ds

runs = {runs}
where = (
    {where}
)
parts = [ds.dataset(f"{{run}}/tables/{name}").to_table(filter=where) for run in runs]
{name} = pd.concat(part.to_pandas() for part in parts).drop_duplicates({identity})
"""


class Known(NamedTuple):
    """What a table of rows holds: the code that reads it, the values that narrow it, the models.

    `every` has the values of all tables, by column and by the text of a cell.
    """

    code: str
    values: Mapping[str, pd.Series]
    models: Sequence[tuple[str, ...]]
    every: Mapping[str, Mapping[str, object]] = {}


class _Held(NamedTuple):
    """The runs that have rows of a table, every column's values, and the models."""

    runs: Sequence[Path | str]
    values: Mapping[str, pd.Series]
    models: Sequence[tuple[str, ...]]


class _Distinct(NamedTuple):
    """The same of one shard; without rows it has no models."""

    values: Mapping[str, pa.Array]
    models: set[tuple[str, ...]]


class Queries(NamedTuple):
    """What the script of a page needs.

    `code` is the code of every table of rows; `where` the condition of every value, by table and
    column; `of` says of each sheet, by its name, which columns narrow which table, and how.
    """

    code: Mapping[str, str]
    where: Mapping[str, Mapping[str, Mapping[str, str]]]
    of: Mapping[str, Sequence[tuple[str, Mapping[str, int], Sequence[str], str]]]

    def text(self) -> str:
        """The code and the conditions as JSON, harmless inside a page."""
        found = json.dumps({"code": self.code, "where": self.where}, ensure_ascii=False)
        return found.replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")

    def of_sheet(self, sheet: Sheet) -> str:
        """What narrows the rows of a sheet, as JSON; empty where nothing leads to rows."""
        found = self.of.get(sheet.name, ())
        return json.dumps(found, ensure_ascii=False) if found else ""


def queries(sheets: Iterable[Sheet], *, sources: Sequence[Path | str]) -> Queries:
    """The code that leads from the lines of some tables to the rows of some runs."""
    sheets = list(sheets)
    names = sorted({name for sheet in sheets for name in sheet.read})
    of_table = {name: "items" if name == PLAIN_ITEMS else name for name in names}
    held = {name: _held(tables()[name], sources) for name in {*of_table.values()} & tables().keys()}
    known = _together(
        {
            name: _known(tables()[table], held[table], plain=name == PLAIN_ITEMS)
            for name, table in of_table.items() if table in held and held[table].runs
        }
    )  # fmt: skip
    where: dict[str, dict[str, dict[str, str]]] = {name: {} for name in known}
    of: dict[str, list[tuple[str, Mapping[str, int], Sequence[str], str]]] = {}
    for sheet in sheets:
        for name in (name for name in _wanted(sheet.read) if name in known):
            one = known[name]
            columns = _narrowing(sheet, one)
            for column, place in columns.items():
                values = sheet.frame.iloc[:, place]
                found = where[name].setdefault(column, {})
                found |= _conditions(values, one, column)
            fixed, unsaid = _of_all(sheet, one)
            if columns or fixed:
                loose = _loose(one, narrowed={*columns, *sheet.of} - {*unsaid})
                of.setdefault(sheet.name, []).append((name, columns, fixed, loose))
    return Queries({name: one.code for name, one in known.items()}, where, of)


def _wanted(tables_read: Iterable[str]) -> list[str]:
    """The tables to read, in order; all of `items` has the answers of the plain model."""
    found = sorted(tables_read)
    return [name for name in found if name != PLAIN_ITEMS or "items" not in found]


def _known(table: Table, held: _Held, *, plain: bool) -> Known:
    """A table of rows, of `items` the answers of the plain model alone where they are `plain`."""
    values = {column: found for column, found in held.values.items() if found.notna().any()}
    if plain:
        values = {
            column: found for column, found in values.items()
            if column not in ("intervention", "coefficient", "layer")
        }  # fmt: skip
    code = CODE.format(
        runs=json.dumps([redact(str(run)) for run in held.runs], ensure_ascii=False),
        name=table.name,
        where=f"{_condition('intervention', None)}\n    & {WHERE}" if plain else WHERE,
        identity=json.dumps(list(table.identity)),
    )
    return Known(f"# {table.name}: one row per {table.row}\n{code}", values, held.models)


def _together(known: Mapping[str, Known]) -> dict[str, Known]:
    """The tables, each with the values and the models of all of them."""
    every: dict[str, dict[str, object]] = {}
    for one in known.values():
        for column, values in one.values.items():
            every.setdefault(column, {}).update({key(value): value for value in values})
    models = sorted({pair for one in known.values() for pair in one.models})
    return {name: one._replace(every=every, models=models) for name, one in known.items()}


def _held(table: Table, sources: Sequence[Path | str]) -> _Held:
    """What the rows of a table have, read once."""
    columns = [
        column for column, kind in table.types.items()
        if column in (*COORDINATES, *APART) and column != "key" and not kind.startswith("list")
    ]  # fmt: skip
    schema = read.columns_of(table.name, columns)
    runs: list[Path | str] = []
    found: list[_Distinct] = []
    for run in sources:
        parts = read.reduced([run], name=table.name, schema=schema, make=_distinct)
        there = [part for part in parts if part.models]
        found += there
        runs += [run] if there else []
    values = {
        field.name: pd.Series(
            pc.unique(pa.chunked_array([part.values[field.name] for part in found])).to_pylist(),
            dtype=object,
        )
        for field in schema
        if found
    }
    return _Held(runs, values, sorted({pair for part in found for pair in part.models}))


def _distinct(shard: pa.Table) -> _Distinct:
    """The values of every column of a shard, each once, and its models with their revisions."""
    values = {field.name: pc.unique(shard[field.name]) for field in shard.schema}
    texts = {
        name: found.dictionary_decode() if pa.types.is_dictionary(found.type) else found
        for name, found in values.items()
    }
    if all(len(texts[name]) == 1 for name in MODEL):
        return _Distinct(texts, {tuple(str(texts[name][0]) for name in MODEL)})
    pairs = pa.table([shard[name].cast(pa.string()) for name in MODEL], names=MODEL)
    rows = pairs.group_by(list(MODEL)).aggregate([]).to_pylist()
    return _Distinct(texts, {tuple(str(row[name]) for name in MODEL) for row in rows})


def _narrowing(sheet: Sheet, known: Known) -> dict[str, int]:
    """The columns of a sheet that narrow a table of rows, with their places in the sheet.

    A model by its label counts for the two columns that name it.
    """
    places = {str(column): place for place, column in enumerate(sheet.frame.columns)}
    told = {*places, *sheet.of}
    changed = "intervention" in known.values and "intervention" not in told
    found = {}
    for column, place in places.items():
        raw = column in known.values and not (changed and column in OF_INTERVENTION)
        if column in LABELLED and not {"model", "revision"} <= told:
            found["label"] = place
        elif raw:
            found[column] = place
    return found


def _of_all(sheet: Sheet, known: Known) -> tuple[list[str], list[str]]:
    """The conditions of what all rows of a sheet are of, and the columns of which rows say other.

    A condition that is short there, such as switches, is no value of the rows.
    """
    fixed: list[str] = []
    unsaid: list[str] = []
    changed = "intervention" in known.values and "intervention" not in sheet.of
    for column, value in sheet.of.items():
        if column in known.values and not (changed and column in OF_INTERVENTION):
            found = _conditions(pd.Series([value], dtype=object), known, column)
            fixed += found.values()
            unsaid += [] if found else [column]
    return fixed, unsaid


def _conditions(values: pd.Series, known: Known, column: str) -> dict[str, str]:
    """The condition of every value of a sheet's column that rows have, by the text of its cell.

    A value that only another table has narrows this one to nothing, as it should.
    """
    if column == "label":
        return _of_models(values, known)
    there = known.every[column]
    if column == "measure":
        # People's tables name measures in capitals.
        there = {str(name).upper(): value for name, value in there.items()} | dict(there)
    return {
        text: _condition(column, there[text])
        for value in values.drop_duplicates()
        if (text := key(value)) in there
    }


def _of_models(values: pd.Series, known: Known) -> dict[str, str]:
    """The condition of every model by its label, where one model alone has that label."""
    found: dict[str, list[str]] = {}
    for pair in known.models:
        said = [_condition(*one) for one in zip(MODEL, pair, strict=True)]
        found.setdefault(read.label(pair[0], revision=pair[1]), []).append("\n    & ".join(said))
    labels = values.astype(str).unique()
    return {text: found[text][0] for text in labels if len(found.get(text, ())) == 1}


def _condition(column: str, value: object) -> str:
    """A condition on one column as pyarrow writes it."""
    field = f"ds.field({json.dumps(column)})"
    if value is None or value != value:
        return f"{field}.is_null()"
    literal = (
        value
        if isinstance(value, bool | int | float)
        else json.dumps(str(value), ensure_ascii=False)
    )
    return f"({field} == {literal})"


def _loose(known: Known, *, narrowed: set[str]) -> str:
    """The columns that still have several values, as a comment; empty without any."""
    if "label" in narrowed:
        narrowed = narrowed | set(MODEL)
    left = [
        f"{name} (null: the plain model)" if name == "intervention" else name
        for name, values in known.values.items() if name not in narrowed and len(values) > 1
    ]  # fmt: skip
    return f"# of every {', '.join(left)}\n" if left else ""

"""What the tables of results look like: every column with its type and meaning.

A kind of cell declares its table once, in studies/kinds/; what writes rows, what reads them and
docs/tables.md all follow from that declaration.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow

TYPES = (
    *("string", "int32", "double", "bool"),
    *("list of string", "list of int32", "list of double"),
)


class Columns(NamedTuple):
    """One or several columns, `a, b`, of one type or of one each, `string, int32`."""

    names: str
    meaning: str
    types: str


string, int32, double, boolean, strings, int32s, doubles = (
    partial(Columns, types=name) for name in TYPES
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of results.

    Attributes:
        name: its folder in a run.
        row: what a row is, such as `(cell, item)`.
        columns: all columns, in their order.
        identity: the columns whose values together belong to one row.
        about: what a reader has to know beside the columns, "" for nothing.
    """

    name: str
    row: str
    columns: tuple[Columns, ...]
    identity: tuple[str, ...] = ("key",)
    about: str = ""

    @property
    def types(self) -> dict[str, str]:
        """The type of every column, by its name."""
        found: dict[str, str] = {}
        for each in self.columns:
            names, types = each.names.split(", "), each.types.split(", ")
            found |= dict(
                zip(names, types * len(names) if len(types) == 1 else types, strict=False)
            )
        return found

    def schema(self) -> "pyarrow.Schema":
        """The columns as Arrow has them."""
        return schema_of(self.types)


def schema_of(types: dict[str, str]) -> "pyarrow.Schema":
    """Columns of these types as Arrow has them."""
    import pyarrow as pa

    plain = {
        "string": pa.string(),
        "int32": pa.int32(),
        "double": pa.float64(),
        "bool": pa.bool_(),
    }
    lists = {f"list of {name}": pa.list_(kind) for name, kind in plain.items()}
    return pa.schema([(name, (plain | lists)[kind]) for name, kind in types.items()])


# Columns that several tables have.
STUDY = string("study", "name of the study that asked for the row")
MODEL = string(
    "model, revision",
    "the model's name, with its adapter or quantisation, and its revision (`main` by default)",
)
BENCHMARK = string("benchmark", "name of the benchmark, such as `belebele`")
LANGUAGE = string("language", "language of the questions, such as `deu_Latn`")
ITEM = string("item", "id of the question, the same in every language")
GOLD = int32("gold", "index of the right option, from 0")
PROMPT = string("prompt", "name of the prompt, followed by every `--switch` that changes it")
KEY = string("key", "SHA-256 of everything that changes the cell's answer, in hex")
# What of a cell is a column of its rows, wherever the table has that column.
COORDINATES = (
    *("model", "revision", "dataset", "benchmark", "language", "pivot", "measure", "pooling"),
    *("layer", "intervention", "coefficient", "seed", "key"),
)

ERRORS = Table(
    name="errors",
    row="cell that failed and was given up",
    columns=(
        KEY,
        string("table", "the table that its rows would be in"),
        MODEL,
        Columns(
            "dataset, benchmark, language, pivot, measure, pooling, layer, intervention, "
            "coefficient",
            "the cell's coordinates, as in that table",
            "string, string, string, string, string, string, int32, string, double",
        ),
        int32("attempts", "number of attempts; 0 where a cell that it needs failed"),
        string("error, traceback", "the last error as one line, and in full"),
    ),
)

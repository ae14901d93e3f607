"""Units and rows small enough to read, for the tests of the store."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from orchestrator.errors import CellError
from orchestrator.results import error_row, keep
from orchestrator.storage.store import Store
from orchestrator.storage.tables import ALL_TABLES
from studies.kinds.alignment import AlignmentGrid
from studies.kinds.choices import ChoiceGrid
from studies.spec import Cell, ModelFacts, Row
from studies.unit import Unit
from tests.makers.units import of_cells

MODEL = ModelFacts(
    name="a", revision="main", folder="a", weights="w", tokenizer="t", dtype="float32",
    layers=2, width=4, neurons=8, context=64, bytes=1,
)  # fmt: skip


def unit(*languages: str, layers: int = 2) -> Unit:
    """Alignment cells of some languages."""
    cells = [
        Cell(
            table="alignment", model="a", revision="main", language=language, scope="s",
            dataset="flores200", pivot="eng_Latn", measure="mexa", pooling="average", layer=layer,
        )
        for language in languages
        for layer in range(layers)
    ]  # fmt: skip
    grid = AlignmentGrid(dataset="flores200", languages=languages)
    return of_cells("alignment", grid, MODEL, (cells, None))


def choice_unit(*languages: str) -> Unit:
    """Accuracy cells of some languages."""
    cells = [
        Cell(
            table="items", model="a", revision="main", language=language, scope="s",
            benchmark="belebele",
        )
        for language in languages
    ]  # fmt: skip
    grid = ChoiceGrid(benchmark="belebele", languages=languages)
    return of_cells("choices", grid, MODEL, (cells, None))


def rows(of: Unit) -> list[Row]:
    """The rows of a unit: one for each cell, or three items for each."""
    if of.table == "items":
        return [_item(of.study, cell, item=str(item)) for cell in of.cells for item in range(3)]
    return [
        {
            **dict.fromkeys(ALL_TABLES["alignment"].schema.names),
            "study": of.study,
            "model": cell.model,
            "revision": cell.revision,
            "dataset": cell.dataset,
            "language": cell.language,
            "pivot": cell.pivot,
            "measure": cell.measure,
            "pooling": cell.pooling,
            "layer": cell.layer,
            "n": 2,
            "value": 0.5,
            "ties": 0,
            "p_null": 0.25,
            "key": cell.key,
            "switches": "{}",
            "truncated": 0,
        }
        for cell in of.cells
    ]


def _item(study: str, cell: Cell, *, item: str) -> Row:
    return {
        **dict.fromkeys(ALL_TABLES["items"].schema.names),
        "study": study,
        "model": cell.model,
        "revision": cell.revision,
        "benchmark": cell.benchmark,
        "language": cell.language,
        "item": item,
        "intervention": None,
        "layer": None,
        "coefficient": None,
        "gold": 0,
        "prediction": 1,
        "correct": False,
        "correct_norm": True,
        "scores": [-1.0, -0.5],
        "ranks": [2.0, 1.0],
        "key": cell.key,
        "prompt": "plain",
        "truncated": False,
        "pivot": None,
        "seed": None,
        "switches": None,
    }


def check(unit: Unit, found: Sequence[Row]) -> None:
    """The rows are those of the unit's cells, as the store takes them."""
    ALL_TABLES[unit.table].check(found, keys={cell.key for cell in unit.cells})


def fill(store: Store, number: int, *, start: int = 0) -> set[str]:
    """Write many units of two cells each; returns their keys."""
    keys: set[str] = set()
    for each in range(start, start + number):
        one = unit(f"l{each:04d}_Latn")
        keep(store, one, rows(one))
        keys |= {cell.key for cell in one.cells}
    return keys


def error(cell: Cell, text: str = "boom") -> Row:
    """The row of a cell that failed."""
    return error_row(CellError(cell=cell, attempts=2, error=text, traceback="Tr"))


def files(root: Path) -> set[str]:
    """All files below a folder, hidden ones included, the lock aside."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return found - {"run.lock"}


def flip(path: Path, *, column: str) -> None:
    """Turn one bit among the values of a column of a shard."""
    group = pq.read_metadata(path).row_group(0)
    chunks = {chunk.path_in_schema: chunk for chunk in map(group.column, range(group.num_columns))}
    chunk = chunks[column]
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    place = start + chunk.total_compressed_size // 2
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

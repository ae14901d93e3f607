"""What a table is stands in one place: the page, the files and the readers follow from it."""

import runpy
from pathlib import Path

import pytest

from studies.kinds import tables
from studies.tables import COORDINATES, TYPES
from tests.makers import world

DOCS = world.ROOT / "docs"


def test_the_page_says_what_is_declared():
    write = runpy.run_path(str(DOCS / "tables.py"))
    text = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert write["page"](text) == text, "run `python docs/tables.py`"


@pytest.mark.parametrize("name", tables())
def test_a_table_has_the_columns_that_every_table_has(name: str):
    table = tables()[name]
    assert {"study", "model", "revision", "language", "key"} <= table.types.keys()
    assert set(table.identity) <= table.types.keys()
    assert set(table.types.values()) <= set(TYPES)
    assert sum(len(each.names.split(", ")) for each in table.columns) == len(table.types)
    for each in table.columns:
        assert len(each.types.split(", ")) in (1, len(each.names.split(", "))), each.names
    cell = {"study", *COORDINATES}
    assert set(table.types) - cell, "a table has columns of its own"


def test_every_kind_has_a_file_in_each_package():
    from studies.kinds import KINDS

    for package in ("studies", "actors"):
        files = {path.stem for path in (Path(world.ROOT) / package / "kinds").glob("*.py")}
        assert files - {"__init__", "resources"} == set(KINDS)

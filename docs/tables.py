"""Write the tables' columns into docs/tables.md, as the kinds of cells declare them.

python docs/tables.py
"""

from pathlib import Path

from studies.kinds import tables
from studies.tables import Table

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- from studies/kinds -->\n", "<!-- end -->\n"


def section(table: Table) -> str:
    """A table's heading and columns."""
    rows = [f"| {each.names} | {each.types} | {each.meaning} |" for each in table.columns]
    lines = [
        f"## {table.name}: one row per {table.row}",
        *([table.about, ""] if table.about else []),
    ]
    return "\n".join([*lines, "| column | type | meaning |", "|---|---|---|", *rows, ""])


def page(text: str) -> str:
    """The page with every table as it is declared now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(map(section, tables().values())) + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

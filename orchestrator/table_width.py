"""Tables that are wider than a terminal, in parts that fit: no value is cut."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

# A terminal that is narrow by today's standards, and the width of files for people.
WIDTH = 100
# Wider than any table: what is piped to a program or a file is never wrapped.
PIPED = 10_000
# Longer headings of values are broken behind a hyphen or a slash.
HEADING = 14


def parts(table: Table, *, width: int) -> list[Table]:
    """The table, or several that share its first columns, each at most so wide if words allow.

    Columns that are justified to the right hold values, which are not wrapped; the others say what
    a row is about and stand in every part.
    """
    usual = sum(_width(column) + 3 for column in table.columns) + 1  # padding and lines
    if usual <= width:
        return [table]
    about = [column for column in table.columns if column.justify != "right"]
    groups: list[list[Column]] = []
    for column in (column for column in table.columns if column.justify == "right"):
        narrow = [*about, *(groups[-1] if groups else []), column]
        if groups and sum(_width(each, broken=True) + 2 for each in narrow) <= width:
            groups[-1].append(column)
        else:
            groups.append([column])
    if not groups:
        return [table]
    made = [_part(table, [*about, *group]) for group in groups]
    made[0].title = table.title
    made[-1].caption = table.caption
    return made


def _part(table: Table, columns: Sequence[Column]) -> Table:
    """A table of some of the columns, with less space between them."""
    part = Table(padding=(0, 0, 0, 1), pad_edge=False)
    for column in columns:
        part.add_column(
            _broken(str(column.header)) if column.justify == "right" else column.header,
            justify=column.justify,
            overflow=column.overflow,
            no_wrap=column.no_wrap,
            style=column.style,
        )
    rows = zip(*(column.cells for column in columns), strict=True)
    for row, cells in zip(table.rows, rows, strict=True):
        part.add_row(*cells, style=row.style)
    return part


def _width(column: Column, *, broken: bool = False) -> int:
    """What a column takes: values as they stand, other texts wrapped between words."""
    console = Console(width=PIPED)
    values = column.justify == "right"
    heading = _broken(str(column.header)) if broken and values else column.header
    found = [Measurement.get(console, console.options, each) for each in (heading, *column.cells)]
    return max(one.maximum if values else one.minimum for one in found)


def _broken(heading: str) -> str:
    """A heading on several lines where it is long."""
    lines = [""]
    for piece in re.findall(r"[^-/]+[-/]?|[-/]", heading):
        if lines[-1] and len(lines[-1]) + len(piece) > HEADING:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)

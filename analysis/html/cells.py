"""The cells of a table as a page shows them: three decimals, dashes, and short fingerprints."""

import re
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup, escape

from analysis.layout.page import Main, Sheet

MISSING = "–"
# Fingerprints and keys, as long as a commit or a SHA-256, and how much of one is shown.
FINGERPRINT = re.compile(r"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")
SHOWN = 10
# What is set right though it is a text: a number, or one with its interval behind it.
NUMERIC = re.compile(r"[-+−]?\d*\.?\d+(?:e[-+]?\d+)?(?: ?%| [\[±(].*| \*)?")
LONG = 60


class Entry(NamedTuple):
    """One cell of a table.

    `text` is shown, `small` a second line; `value` is what sorting, copying and queries take where
    it is not the text itself, such as a number in full precision.
    """

    text: str
    small: str
    value: str
    number: bool

    @property
    def look(self) -> str:
        """The class of the cell: number, long text, lines, or none."""
        if self.number or self.text == MISSING:
            return "n"
        if len(self.text) > LONG:
            return "long"
        return "lines" if "\n" in self.text else ""


def entries(sheet: Sheet) -> list[list[Entry]]:
    """The cells of a table, row by row."""
    small = sheet.small
    found = []
    for number, row in enumerate(sheet.frame.to_dict("records")):
        line = []
        for column, value in row.items():
            has_small = small is not None and column in small.columns
            below = str(small[column].iloc[number]) if small is not None and has_small else ""
            line.append(_entry(str(column), value, below, decimals=sheet.decimals))
        found.append(line)
    return found


def key(value: object) -> str:
    """What stands for a value where rows are looked up: the text that a cell of it is known by."""
    found = _entry("", value, "", decimals=3)
    return found.value or found.text


def head(sheet: Sheet, column: str) -> str:
    """The head of a column for people; names of ours lose their underscores."""
    shown = str(sheet.heads.get(column, column))
    return shown.replace("_", " ") if shown == shown.lower() else shown


def main_sheet(main: Main, *, name: str) -> Sheet:
    """The table that a terminal shows, for the page."""
    caption = f"{main.title}: {main.caption}" if main.caption else main.title
    return Sheet(name=name, caption=caption, frame=main.frame, read=main.read)


def fingerprints(text: str) -> Markup:
    """A text in which fingerprints are short, and in full where the pointer rests."""
    found, at = Markup(), 0
    for one in FINGERPRINT.finditer(text):
        found += escape(text[at : one.start()])
        found += Markup('<abbr title="{}">{}…</abbr>').format(one[0], one[0][:SHOWN])
        at = one.end()
    return found + escape(text[at:])


def _entry(column: str, value: object, small: str, *, decimals: int) -> Entry:
    """One cell; a number is kept in nine digits, a fingerprint in full."""
    if value is None or value is pd.NA or value != value:
        return Entry(text=MISSING, small=small, value="", number=False)
    if isinstance(value, bool):
        return Entry(text="yes" if value else "no", small=small, value="", number=False)
    if isinstance(value, int):
        return Entry(text=str(value), small=small, value="", number=True)
    if isinstance(value, float):
        text, full = _decimal(column, value, decimals=decimals), f"{value:.9g}"
        return Entry(text=text, small=small, value="" if text == full else full, number=True)
    text = str(value)
    if FINGERPRINT.fullmatch(text):
        return Entry(text=f"{text[:SHOWN]}…", small=small, value=text, number=False)
    return Entry(text=text, small=small, value="", number=NUMERIC.fullmatch(text) is not None)


def _decimal(column: str, value: float, *, decimals: int) -> str:
    """The table's decimals; a small p as a power of ten."""
    is_p = column == "p" or column.endswith("_p") or "p_null" in column
    return f"{value:.0e}" if is_p and 0 < value < 0.001 else f"{value:.{decimals}f}"

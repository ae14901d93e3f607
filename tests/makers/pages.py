"""What a page says and shows, for tests that look for words and numbers on it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from rich.console import Console

from analysis import report, terminal
from analysis.layout.page import Page, Sheet, Text


def said(parts: Iterable[object]) -> str:
    """Every paragraph among some parts."""
    return " ".join(line for part in parts if isinstance(part, Text) for line in part.lines)


def all_said(page: Page) -> str:
    """Every paragraph of a page, its summary, warnings and captions among them."""
    captions = [sheet.caption for sheet in page.sheets]
    return " ".join([*page.summary, *page.warnings, said(page.parts), *captions])


def sheets(parts: Iterable[object]) -> dict[str, pd.DataFrame]:
    """Every table among some parts, by its file's name."""
    return {part.name: part.frame for part in parts if isinstance(part, Sheet)}


def in_terminal(*runs: Path) -> str:
    """What the terminal shows of a report."""
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for one in terminal.main_tables(report.build(runs)):
        console.print(one, markup=False)
    return console.export_text()

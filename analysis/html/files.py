"""The files beside a page: CSV of tables and of what figures draw, LaTeX of short tables."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis.layout.page import Page, Sheet

LONGEST_TEX = 80
# A name that is no Unicode text, such as a folder's in another encoding, is written in escapes.
UNWRITABLE: Literal["backslashreplace"] = "backslashreplace"
# What a spreadsheet takes for the beginning of a formula, and what it reads as a number.
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_tables(page: Page, errors: pd.DataFrame, folder: Path) -> list[Path]:
    """CSV of every table in full precision; LaTeX of those short enough for a paper."""
    frames = {sheet.name: sheet.frame for sheet in page.sheets} | dict(page.files)
    if len(errors):
        frames["errors"] = errors
    written = [write_csv(frame, folder / f"{name}.csv") for name, frame in frames.items()]
    for sheet in page.sheets:
        if text := latex(sheet):
            path = folder / f"{sheet.name}.tex"
            path.write_text(text, encoding="utf-8", errors=UNWRITABLE)
            written.append(path)
    return written


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """The frame in full precision as a spreadsheet may open it."""
    for_spreadsheets(frame).to_csv(path, index=False, errors=UNWRITABLE)
    return path


def write_numbers(frame: pd.DataFrame, path: Path) -> Path:
    """What draws a figure, without what says nothing there: keys, and switches that never vary."""
    left = ["study", "key"]
    if "switches" in frame and frame["switches"].nunique(dropna=False) < 2:
        left.append("switches")
    return write_csv(frame.drop(columns=left, errors="ignore"), path)


def latex(sheet: Sheet) -> str:
    """The table as LaTeX, empty where it is too long for a paper."""
    if len(sheet.frame) > LONGEST_TEX:
        return ""
    shown = sheet.frame.rename(columns=dict(sheet.heads))
    text: str = shown.to_latex(
        index=False, escape=True, float_format=f"%.{sheet.decimals}f", na_rep="--"
    )
    return text


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before every text that a spreadsheet would run as a formula.

    Numbers stay as they are, also where they are texts. Parquet has the texts themselves.
    """
    kept = frame.rename(columns=_harmless)
    for place, kind in enumerate(kept.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            kept.isetitem(place, [_harmless(value) for value in kept.iloc[:, place]])
    return kept


def _harmless(value: object) -> object:
    """A text that is no formula; anything else as it is."""
    return _no_formula(value) if isinstance(value, str) else value


@lru_cache(maxsize=100_000)
def _no_formula(text: str) -> str:
    """The same for a text; columns repeat theirs."""
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text

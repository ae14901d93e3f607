"""The files beside a page: CSV of tables and of what figures draw, LaTeX of short tables."""

import re
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
from pyarrow import csv

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
    """The frame in full precision as a spreadsheet may open it: texts in quotes, missing empty."""
    kept = for_spreadsheets(frame)
    columns = [_column(kept.iloc[:, place]) for place in range(kept.shape[1])]
    csv.write_csv(pa.table(columns, names=[_written(name) for name in kept.columns]), path)
    return path


def _column(column: pd.Series) -> pa.Array:
    """The values of a column, texts as texts."""
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) or getattr(kind, "storage", "") == "pyarrow":
        return pa.Array.from_pandas(column)
    missing = column.isna().to_numpy()
    texts = [None if gone else _written(one) for one, gone in zip(column, missing, strict=True)]
    return pa.array(texts, pa.string())


def _written(value: object) -> str:
    """A value as a text that every file can hold."""
    return str(value).encode("utf-8", UNWRITABLE).decode("utf-8")


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
            kept.isetitem(place, _each_harmless(kept.iloc[:, place]).array)
    return kept


def _each_harmless(column: pd.Series) -> pd.Series:
    """The values of a column; in one of texts alone every text is looked at once."""
    if not isinstance(column.dtype, pd.StringDtype):
        return pd.Series([_harmless(value) for value in column], column.index, dtype=object)
    texts = {text: _harmless(text) for text in column.dropna().unique()}
    changed = any(text != harmless for text, harmless in texts.items())
    return column.map(lambda text: texts.get(text, text)) if changed else column


def _harmless(value: object) -> object:
    """A text that is no formula; anything else as it is."""
    harmful = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if harmful else value

"""The report of one or several runs: one HTML page, with tables and figures as files beside it.

The page stands alone: figures, styles and its few lines of script are inside it, so it can be
mailed or put on any shelf. What a page holds is analysis/exhibits' to say.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import pages, read
from analysis.figures import drawing, theme
from analysis.layout.page import Page, Sheet, file_name
from analysis.shared import examples
from analysis.storage.folder import Folder
from analysis.storage.runs import by_study, distinct, record, unlike

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_TEX = 80
# A name that is no Unicode text, such as a folder's in another encoding, is written in escapes.
UNWRITABLE: Literal["backslashreplace"] = "backslashreplace"
# What a spreadsheet takes for the beginning of a formula, and what it reads as a number.
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Built(NamedTuple):
    """The page of one study, and what its runs differ in."""

    study: str
    page: Page
    rows: read.Rows
    notes: tuple[str, ...]


class Report(NamedTuple):
    """A page for every study that the runs are of, and what is to be said of their names."""

    pages: tuple[Built, ...]
    notes: tuple[str, ...]


class ReportFiles(NamedTuple):
    """What was written: the page, and the files beside it."""

    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


class Entry(NamedTuple):
    """One cell of a table on the page; `order` is what sorting compares."""

    text: str
    small: str
    order: str
    number: bool


def build(runs: Sequence[Path | str]) -> Report:
    """The pages of `runs`, one per study; figures are drawn when they are written.

    Raises:
        ValueError: there is no run, a newer version wrote it, or a shard of it is damaged.
    """
    return Report(
        pages=tuple(
            _built(group.study, group.runs) for group in by_study(runs, of_rows=read.study_of)
        ),
        notes=tuple(distinct(runs)[1]),
    )


def _built(study: str, runs: Sequence[Path | str]) -> Built:
    """The page of one study."""
    rows = read.rows(runs)
    own = distinct(runs)[0]
    notes = unlike(own, [record(Folder(run)) for run in own]) if len(own) > 1 else []
    return Built(study, pages.build(rows), rows, tuple(notes))


def write(report: Report, *, out: Path) -> ReportFiles:
    """Write out/index.html, out/tables/*.csv|tex and out/figures/*.svg|png.

    Several studies have a page each, out/STUDY/index.html, and out/index.html names them.
    """
    if len(report.pages) == 1:
        return _write_one(report.pages[0], out=out)
    found: list[ReportFiles] = []
    listed: list[dict[str, object]] = []
    taken: set[str] = set()
    for built in report.pages:
        folder = _folder(built.study, taken)
        found.append(_write_one(built, out=out / folder))
        names = [str(run["run"]) for run in built.rows.runs]
        listed.append({"study": built.study, "folder": folder, "page": built.page, "runs": names})
    html = out / "index.html"
    index = _environment().get_template("index.html").render(studies=listed)
    html.write_text(index, encoding="utf-8", errors=UNWRITABLE)
    return ReportFiles(
        html=html,
        tables=tuple(path for files in found for path in files.tables),
        figures=tuple(path for files in found for path in files.figures),
    )


def _folder(study: str, taken: set[str]) -> str:
    """A folder's name for a study, no other's; `taken` is added to."""
    name = file_name(study).strip(".") or "study"
    while name.lower() in taken or name in ("tables", "figures"):
        name += "_"
    taken.add(name.lower())
    return name


def _write_one(built: Built, *, out: Path) -> ReportFiles:
    """The page of one study, with its files beside it."""
    page = replace(built.page, sections=(*built.page.sections, examples.section(built.rows)))
    for folder in (out / "tables", out / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    tables = _write_tables(page, built.rows, out / "tables")
    figures: list[Path] = []
    drawings: dict[str, Markup] = {}
    for picture in page.pictures:
        stem = out / "figures" / picture.name
        drawings[picture.name] = inline(
            drawing.save(picture.figure, stem=stem), name=picture.name, title=picture.caption
        )
        figures += [stem.parent / f"{stem.name}.svg", stem.parent / f"{stem.name}.png"]
    html = out / "index.html"
    html.write_text(_render(page, built.rows, drawings), encoding="utf-8", errors=UNWRITABLE)
    return ReportFiles(html=html, tables=tuple(tables), figures=tuple(figures))


def inline(svg: str, *, name: str, title: str) -> Markup:
    """An SVG element for use among others in a page: its ids made its own, its size left to CSS."""
    own = re.sub(r"[^A-Za-z0-9]", "", name)
    text = re.sub(r'\bid="', f'id="{own}_', svg)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}_", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = theme.with_variables(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    head = Markup('<svg role="img" aria-label="{}" ').format(title)
    return head + Markup(text.removeprefix("<svg ").strip())


def entries(sheet: Sheet) -> list[list[Entry]]:
    """The cells of a table as the page shows them: three decimals, dashes for what is missing."""
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


def _entry(column: str, value: object, small: str, *, decimals: int) -> Entry:
    """One cell; numbers are set right and sort as numbers, missing ones last."""
    if value is None or value is pd.NA or value != value:
        return Entry(text="–", small=small, order="", number=False)
    if isinstance(value, bool):
        return Entry(text="yes" if value else "no", small=small, order=str(value), number=False)
    if isinstance(value, int):
        return Entry(text=str(value), small=small, order=str(value), number=True)
    if isinstance(value, float):
        text = _decimal(column, value, decimals=decimals)
        return Entry(text=text, small=small, order=f"{value:.9g}", number=True)
    return Entry(text=str(value), small=small, order=str(value), number=False)


def _decimal(column: str, value: float, *, decimals: int) -> str:
    """The table's decimals; a small p as a power of ten."""
    is_p = column == "p" or column.endswith("_p") or "p_null" in column
    return f"{value:.0e}" if is_p and 0 < value < 0.001 else f"{value:.{decimals}f}"


def _write_tables(page: Page, rows: read.Rows, folder: Path) -> list[Path]:
    """CSV of every table in full precision; LaTeX of those short enough for a paper."""
    frames = {sheet.name: sheet.frame for sheet in page.sheets} | dict(page.files)
    if len(rows.errors):
        frames["errors"] = rows.errors
    written = []
    for name, frame in frames.items():
        path = folder / f"{name}.csv"
        for_spreadsheets(frame).to_csv(path, index=False, errors=UNWRITABLE)
        written.append(path)
    for sheet in page.sheets:
        if len(sheet.frame) <= LONGEST_TEX:
            path = folder / f"{sheet.name}.tex"
            shown = sheet.frame.rename(columns=dict(sheet.heads))
            path.write_text(
                shown.to_latex(
                    index=False, escape=True, float_format=f"%.{sheet.decimals}f", na_rep="--"
                ),
                encoding="utf-8",
                errors=UNWRITABLE,
            )
            written.append(path)
    return written


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
    """A text that is no formula."""
    text = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if text else value


def _render(page: Page, rows: read.Rows, drawings: Mapping[str, Markup]) -> str:
    """The page as HTML."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            page=page,
            drawings=drawings,
            dark=theme.dark_variables(drawings.values()),
            runs=[_run(run) for run in rows.runs],
            notes=list(dict.fromkeys(note for run in rows.runs for note in _notes(run))),
        )
    )


def _environment() -> Environment:
    """The templates, in which every value is text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {"entries": entries, "card": theme.CARD}
    return environment


def _run(run: Mapping[str, object]) -> dict[str, object]:
    """A run.json as the page lists it: name, models as a table, all else flattened to lines."""
    models = run.get("models")
    left: tuple[str, ...] = ("run", "notes")
    frame = pd.DataFrame()
    if isinstance(models, list) and all(isinstance(model, dict) for model in models):
        left, frame = (*left, "models"), pd.DataFrame(models)
    plain = frame.map(lambda value: _text(value) if isinstance(value, list | dict) else value)
    sheet = Sheet(name="models", caption="models", frame=plain)
    return {
        "name": run["run"],
        "models": sheet,
        "lines": _flat({key: value for key, value in run.items() if key not in left}),
    }


def _notes(run: Mapping[str, object]) -> list[str]:
    """The notes that a run carries for its readers."""
    notes = run.get("notes", [])
    return [str(note) for note in notes] if isinstance(notes, list) else [str(notes)]


def _flat(value: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested objects as dotted names with their values as text."""
    lines: list[tuple[str, str]] = []
    for name, part in value.items():
        if isinstance(part, dict):
            lines += _flat(part, f"{prefix}{name}.")
        else:
            lines.append((f"{prefix}{name}", _text(part)))
    return lines


def _text(value: object) -> str:
    """A value of run.json in words."""
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(str(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

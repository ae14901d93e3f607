"""The report of one or several runs: one HTML page, with tables and figures as files beside it.

The page stands alone: figures, styles and its script are inside it, so it can be mailed or put on
any shelf. What a page holds is analysis/exhibits' to say, what it looks like analysis/html's.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from analysis import pages, read
from analysis.exhibits import across
from analysis.figures import drawing
from analysis.figures.inline import inline
from analysis.figures.saving import save_all
from analysis.html import files, lead, methods, queries, render
from analysis.html.files import UNWRITABLE
from analysis.layout.material import Material
from analysis.layout.page import Fold, Page, Picture, file_name, unfolded
from analysis.layout.prose import Block, line
from analysis.shared import examples
from analysis.storage.folder import Folder
from analysis.storage.runs import by_study, distinct, record, unlike


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
    """What was written: the page, and beside it tables, figures and the numbers of each."""

    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    numbers: tuple[Path, ...]


def build(runs: Sequence[Path | str]) -> Report:
    """The pages of `runs`, one per study; figures are drawn when they are written.

    Raises:
        ValueError: there is no run, a newer version wrote it, or a shard of it is damaged.
    """
    pages = [_built(group.study, group.runs) for group in by_study(runs, of_rows=read.study_of)]
    if len(pages) > 1 and (between := _across(runs)) is not None:
        pages.append(between)
    return Report(pages=tuple(pages), notes=tuple(distinct(runs)[1]))


def _across(runs: Sequence[Path | str]) -> Built | None:
    """The page of questions between studies, where any has the rows that it needs."""
    rows = read.rows(runs)
    page = across.page(Material(rows))
    return None if page is None else Built(across.STUDY, page, rows, ())


def _built(study: str, runs: Sequence[Path | str]) -> Built:
    """The page of one study."""
    rows = read.rows(runs)
    own = distinct(runs)[0]
    notes = unlike(own, [record(Folder(run)) for run in own]) if len(own) > 1 else []
    return Built(study, pages.build(rows), rows, tuple(notes))


def write(report: Report, *, out: Path) -> ReportFiles:
    """Write out/index.html, out/tables/*.csv|tex and out/figures/*.svg|png|csv.

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
    index = render.environment().get_template("index.html").render(studies=listed)
    html.write_text(index, encoding="utf-8", errors=UNWRITABLE)
    return ReportFiles(
        html=html,
        tables=tuple(path for one in found for path in one.tables),
        figures=tuple(path for one in found for path in one.figures),
        numbers=tuple(path for one in found for path in one.numbers),
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
    page = lead.with_lead(page)
    for folder in (out / "tables", out / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    tables = files.write_tables(page, built.rows.errors, out / "tables")
    figures, numbers = list[Path](), list[Path]()
    drawings: dict[str, render.Drawn] = {}
    lacking: set[str] = set()
    room = render.Room()
    # What is seen without opening a fold has the first claim on the page's room.
    folded = {one.name for one in _folded(page)}
    pictures = sorted(page.pictures, key=lambda one: one.name in folded)
    stems = [out / "figures" / picture.name for picture in pictures]
    drawn = save_all(
        ((picture.figure, stem) for picture, stem in zip(pictures, stems, strict=True)),
        count=len(pictures),
    )
    for picture, stem, saved in zip(pictures, stems, drawn, strict=True):
        svg = inline(saved.svg, name=picture.name, title=picture.caption)
        lacking |= saved.lacking
        drawings[picture.name] = render.drawn(picture, svg, room)
        figures += [stem.parent / f"{stem.name}.{kind}" for kind in ("svg", "png")]
        numbers.append(files.write_numbers(picture.numbers, stem.parent / f"{stem.name}.csv"))
    shown = [*page.sheets, *(one.numbers for one in drawings.values() if one.numbers)]
    text = render.render(
        page,
        drawings=drawings,
        whole=render.whole(page.sheets, room),
        queries=queries.queries(shown, sources=built.rows.sources),
        method=methods.method(built.rows, study=built.study),
        runs=built.rows.runs,
        notes=[*_notes(built.rows), *_letters(lacking)],
    )
    html = out / "index.html"
    html.write_text(text, encoding="utf-8", errors=UNWRITABLE)
    return ReportFiles(html, tuple(tables), tuple(figures), tuple(numbers))


def _folded(page: Page) -> list[Picture]:
    """The figures inside folds."""
    parts = (part for section in page.sections for part in section.parts)
    return [
        one for part in parts if isinstance(part, Fold)
        for one in unfolded([part]) if isinstance(one, Picture)
    ]  # fmt: skip


def _notes(rows: read.Rows) -> list[str]:
    """The notes that runs carry for their readers, each once."""
    found: list[str] = []
    for run in rows.runs:
        notes = run.get("notes", [])
        found += [str(note) for note in notes] if isinstance(notes, list) else [str(notes)]
    return list(dict.fromkeys(found))


def _letters(lacking: set[str]) -> list[str]:
    """What is to be said of letters that no installed font has; nothing where all are there."""
    if not lacking:
        return []
    facts = {"letters": sorted(lacking)[:8], "scripts": drawing.scripts(lacking)}
    return [line(Block("shared.jinja", "letters_without_font"), **facts)]

"""Which page a study has: its own, or the neutral page of whatever its rows can show.

The neutral page is put together from the pages of the studies that have such rows, without the
values that a paper prints.
"""

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from analysis.exhibits import demo, generate, latent_process, page_of
from analysis.layout.exhibit import StudyPage
from analysis.layout.material import Material
from analysis.layout.page import Fold, Page, Part, Picture, Section, Sheet
from analysis.layout.prose import line, shared
from analysis.read import Rows
from analysis.shared.training import FIGURE_3
from analysis.trends import page as trends
from studies.kinds import tables

# What the pages put together here show, or what nobody reads as numbers.
SHOWN = ("alignment", "robustness", "points", "items", "lens", "vectors", "generations", "training")
PLACES = ["model", "revision", "dataset", "benchmark", "language", "pivot", "layer"]
MOST = 40


def build(rows: Rows) -> Page:
    """The page of the study that asked for most of these rows.

    Where several states of a model were run, what it did along its training comes first. Of many
    states everything else is of the last ones, which it says.
    """
    study = next(iter(rows.studies), "")
    whole = Material(rows)
    earlier = trends.earlier(whole)
    material = whole.without(earlier)
    own = page_of(study)
    page = own.build(material) if own is not None else neutral(material, study=study)
    filled = {one.title for one in page.exhibits.values() if one.parts}
    drawn = set(whole.main_scores["measure"]) if FIGURE_3.title in filled else ()
    shown = trends.section(whole, drawn=drawn)
    names = {*(sheet.name for sheet in page.sheets), *(one.name for one in page.pictures)}
    return replace(
        page,
        sections=trends.onto(page.sections, tuple(_renamed(shown.parts, names))),
        files={**page.files, **shown.files},
        summary=(*shown.findings, *page.summary),
        warnings=(*trends.left_out(whole, earlier), *page.warnings),
    )


def neutral(material: Material, *, study: str) -> Page:
    """The sections that the tables of these rows fill, one study's after another's."""
    rows = material.rows
    kinds: list[StudyPage] = []
    others = [section for name in tables() if (section := _other(material, name)) is not None]
    if rows.beside:
        kinds.append(latent_process.PAGE)
    nothing = rows.generations.empty and not others
    if len(rows.alignment) or (not rows.beside and (len(rows.items) or nothing)):
        kinds.append(demo.PAGE)
    if len(rows.generations):
        kinds.append(generate.PAGE)
    pages = [kind.build(material) for kind in kinds]
    taken: set[str] = set()
    sections = [
        replace(section, parts=tuple(_renamed(section.parts, taken)))
        for page in pages
        for section in page.sections
    ]
    sections = [*others, *sections]
    mains = (kind.main_of(material) for kind in (latent_process.PAGE, generate.PAGE, demo.PAGE))
    return Page(
        title=f"Study {study}" if study else "A study without a name",
        summary=tuple(dict.fromkeys(line for page in pages for line in page.summary)),
        warnings=tuple(dict.fromkeys(line for page in pages for line in page.warnings)),
        sections=tuple(_once(sections)),
        files={name: frame for page in pages for name, frame in page.files.items()},
        main=tuple(main for main in mains if main is not None),
        no_main=demo.PAGE.no_main,
    )


def _other(material: Material, name: str) -> Section | None:
    """A table that no page knows: means of its numbers by model and language; None without rows."""
    found = material.table(name) if name not in SHOWN else pd.DataFrame()
    if found.empty:
        return None
    places = [one for one in PLACES if one in found and found[one].notna().any()]
    numbers = [one for one in found.select_dtypes("number") if one not in places]
    frame = found.groupby(places, sort=True, dropna=False)[numbers].mean()
    frame.insert(0, "rows", found.groupby(places, sort=True, dropna=False).size())
    caption = line(shared("table_of_a_kind"), name=name, row=tables()[name].row)
    sheet = Sheet(
        name=name, caption=caption, frame=frame.reset_index(), collapsed=len(frame) > MOST
    )
    return Section(title=f"Table {name}", parts=(sheet,))


def _once(sections: Iterable[Section]) -> Iterable[Section]:
    """Sections of one title one after the other under it."""
    found: dict[str, Section] = {}
    for section in sections:
        before = found.get(section.title)
        parts = (*before.parts, *section.parts) if before else section.parts
        found[section.title] = replace(section, parts=parts)
    return found.values()


def _renamed(parts: Iterable[Part], taken: set[str]) -> Iterable[Part]:
    """The parts, each table and figure under a file name that no other has; `taken` is added to."""
    for part in parts:
        if isinstance(part, Fold):
            yield replace(part, parts=tuple(_renamed(part.parts, taken)))
        elif isinstance(part, Sheet | Picture):
            name = part.name
            while name in taken:
                name += "_"
            taken.add(name)
            yield replace(part, name=name)
        else:
            yield part

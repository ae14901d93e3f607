"""What a reader wants first: the main table and the main figure, before all sections.

They are taken from their sections, where a link says where they are now.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from analysis.html.cells import main_sheet
from analysis.layout.page import Fold, Page, Part, Picture, Pointer, Section, Sheet, unfolded

Named = TypeVar("Named", Sheet, Picture)
TITLE = "Main result"
MAIN = "main_table"
TABLE_THERE = "This table is at the top of the page."
FIGURE_THERE = "One of these figures is at the top of the page."


def with_lead(page: Page) -> Page:
    """The page with its main table and its main figure in a section of their own, the first.

    The table is the one that the page names as its lead, else what a terminal shows; the figure is
    the one that it names, else the first. Without either the page stays as it is.
    """
    parts: list[Part] = []
    sections = page.sections
    table = _named(page.sheets, page.lead_table)
    if table is not None:
        parts.append(replace(table, collapsed=False))
        sections = _without(sections, table, Pointer(text=TABLE_THERE))
    elif page.main:
        parts.append(main_sheet(page.main[0], name=MAIN))
    figure = _named(page.pictures, page.lead_figure) or next(iter(page.pictures), None)
    if figure is not None:
        parts.append(figure)
        sections = _without(sections, figure, Pointer(text=FIGURE_THERE))
    lead = (Section(title=TITLE, parts=tuple(parts)),) if parts else ()
    return replace(page, sections=(*lead, *sections))


def _named(parts: Iterable[Named], name: str) -> Named | None:
    """The first part of that name, or whose name begins with it and a dash."""
    for part in parts if name else ():
        if part.name == name or part.name.startswith(f"{name}-"):
            return part
    return None


def _without(sections: Iterable[Section], gone: Part, instead: Pointer) -> tuple[Section, ...]:
    """The sections with a link in the place of one part."""
    return tuple(
        replace(section, parts=tuple(_replaced(section.parts, gone, instead)))
        for section in sections
    )


def _replaced(parts: Iterable[Part], gone: Part, instead: Pointer) -> Iterable[Part]:
    """The parts with a link in the place of one, inside a fold too."""
    for part in parts:
        if part is gone:
            yield instead
        elif isinstance(part, Fold) and any(one is gone for one in unfolded([part])):
            yield replace(part, parts=tuple(_replaced(part.parts, gone, instead)))
        else:
            yield part

"""The page of a study of one's own: whatever its rows can show, under its own name.

The one idea: rows say what was asked, so a page is put together from those of the studies that have
such rows. It sets nothing beside a paper's printed values that the paper did not print.
"""

from collections.abc import Iterable
from dataclasses import replace

from analysis.page import Fold, Page, Part, Picture, Section, Sheet
from analysis.pages import demo, generate, latent_process
from analysis.read import Rows


def build(rows: Rows, *, study: str) -> Page:
    """The sections that the tables of these rows fill, one study's after another's."""
    makers = []
    if rows.beside:
        makers.append(latent_process.build)
    elif len(rows.alignment) or len(rows.items) or not len(rows.generations):
        makers.append(demo.build)
    if rows.beside and len(rows.alignment):
        makers.append(demo.build)
    if len(rows.generations):
        makers.append(generate.build)
    pages = [make(rows) for make in makers]
    taken: set[str] = set()
    sections = [
        replace(section, parts=tuple(_renamed(section.parts, taken)))
        for page in pages
        for section in page.sections
    ]
    return Page(
        title=f"Study {study}" if study else "A study without a name",
        summary=tuple(dict.fromkeys(line for page in pages for line in page.summary)),
        warnings=tuple(dict.fromkeys(line for page in pages for line in page.warnings)),
        sections=tuple(_once(sections)),
        files={name: frame for page in pages for name, frame in page.files.items()},
    )


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

"""Cut a unit in two, so that a language that fails is found among those that do not.

Who runs the halves, and when, is unknown here.
"""

from dataclasses import replace
from typing import Any

from studies.spec import AlignmentWork, Unit, Work


def split(unit: Unit) -> tuple[Unit, ...]:
    """The unit in two halves by language; a single language's cells share their prompts and stay.

    The halves hold the same cells in all, each with the texts it needs.
    """
    work = unit.work
    contents = work.bitexts if isinstance(work, AlignmentWork) else work.sets
    together = isinstance(work, AlignmentWork) and work.together
    if len(contents) < 2 or together:
        return (unit,)
    spoken = list(dict.fromkeys(content.language for content in contents))
    if len(spoken) < 2:
        return (unit,)
    middle = len(spoken) // 2
    halves = []
    for languages in (set(spoken[:middle]), set(spoken[middle:])):
        part = [content for content in contents if content.language in languages]
        half = _of_languages(work, languages)
        cells = tuple(cell for cell in unit.cells if cell.language in languages)
        characters = max(1, unit.characters * len(part) // len(contents))
        halves.append(replace(unit, cells=cells, work=half, characters=characters))
    return tuple(halves)


def _of_languages(work: Work, languages: set[str]) -> Work:
    """The work with the texts of some languages alone."""
    if isinstance(work, AlignmentWork):
        return replace(work, bitexts=tuple(b for b in work.bitexts if b.language in languages))
    kept: Any = tuple(each for each in work.sets if each.language in languages)
    return replace(work, sets=kept)

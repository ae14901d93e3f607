"""Cut a unit in two, so that a language that fails is found among those that do not.

Who runs the halves, and when, is unknown here.
"""

from dataclasses import replace

from studies.spec import AlignmentWork, ChoiceWork, Unit


def split(unit: Unit) -> tuple[Unit, ...]:
    """The unit in two halves by language; a single language's cells share their prompts and stay.

    The halves hold the same cells in all, each with the texts it needs.
    """
    work = unit.work
    contents = work.bitexts if isinstance(work, AlignmentWork) else work.sets
    if len(contents) < 2:
        return (unit,)
    middle = len(contents) // 2
    halves = []
    for part in (contents[:middle], contents[middle:]):
        languages = {content.language for content in part}
        if isinstance(work, AlignmentWork):
            half: AlignmentWork | ChoiceWork = replace(
                work, bitexts=tuple(b for b in work.bitexts if b.language in languages)
            )
        else:
            half = replace(work, sets=tuple(s for s in work.sets if s.language in languages))
        cells = tuple(cell for cell in unit.cells if cell.language in languages)
        characters = max(1, unit.characters * len(part) // len(contents))
        halves.append(replace(unit, cells=cells, work=half, characters=characters))
    return tuple(halves)

"""Cut a unit in two, so that a language that fails is found among those that do not."""

from dataclasses import replace

from studies.unit import Unit


def split(unit: Unit) -> tuple[Unit, ...]:
    """The unit in two halves by language; the parts of one language stay together."""
    languages = list(dict.fromkeys(part.content.language for part in unit.parts))
    if len(languages) < 2:
        return (unit,)
    middle = len(languages) // 2
    return tuple(
        replace(unit, parts=tuple(part for part in unit.parts if part.content.language in half))
        for half in (set(languages[:middle]), set(languages[middle:]))
    )

"""Values as people type them: read strictly, so that no two ways of writing mean one thing unsaid.

Numbers are written in ASCII digits, names in ASCII without spaces; a list is parted by commas and
names nothing twice. Which flag or file a value comes from is the caller's to say.
"""

import difflib
import os
import re
import unicodedata
from collections.abc import Hashable, Iterable
from math import isfinite
from typing import TypeVar

WHOLE = re.compile(r"0|[1-9][0-9]*")
NUMBER = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# The largest whole number of a table's columns.
MOST = 2**31 - 1

Value = TypeVar("Value", bound=Hashable)


def quoted(text: str) -> str:
    """A value in a message: in quotes where it would otherwise be misread."""
    return text if text and all("!" <= one <= "~" for one in text) else repr(text)


def whole(text: str, what: str, *, least: int) -> int:
    """A whole number from `least`.

    Raises:
        ValueError: it is written in another way, or out of range.
    """
    digits = WHOLE.fullmatch(text) is not None
    if not digits or len(text) > len(str(MOST)) or not least <= int(text) <= MOST:
        most = f" to {MOST}" if digits and int(text[:20]) > MOST else ""
        raise ValueError(f"{what} {quoted(text)}: expected a whole number from {least}{most}")
    return int(text)


def number(text: str, what: str) -> float:
    """A finite number, such as 2 or -0.5; there is one zero.

    Raises:
        ValueError: it is none, or written in another way.
    """
    value = float(text) if NUMBER.fullmatch(text) else float("nan")
    if not isfinite(value):
        raise ValueError(f"{what} {quoted(text)}: expected a number such as 2 or -0.5")
    return value + 0.0


def unknown(what: str, name: str, *, known: Iterable[str], others: str = "") -> ValueError:
    """The error for a name that is looked up in vain: what there is, and what was likely meant.

    Args:
        what: what the name should be one of, such as `measure`.
        known: the names there are.
        others: what else could be named, such as `, or FILE.py:function`.
    """
    there = list(known)
    return ValueError(
        f"unknown {what} {name!r}: expected one of {', '.join(there)}{others}{meant(name, there)}"
    )


def meant(name: str, known: Iterable[str]) -> str:
    """`; did you mean mexa?`, or nothing where no known name is close."""
    # The dashes of flags would make all of them alike.
    by_folded = {each.casefold().lstrip("-"): each for each in known}
    wanted = name.casefold().lstrip("-")
    close = difflib.get_close_matches(wanted, by_folded, n=3, cutoff=0.6)
    named = [by_folded[each] for each in ([wanted] if wanted in by_folded else close)]
    return f"; did you mean {' or '.join(named)}?" if named else ""


def blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return not any(one.isprintable() and not one.isspace() for one in text)


def refuse_hidden(text: str, what: str) -> None:
    """Raise ValueError for characters in a name that cannot be seen, or look like a space."""
    for one in text:
        if not one.isprintable() or one.isspace():
            name = unicodedata.name(one, "a control character")
            raise ValueError(
                f"{what} {quoted(text)} holds U+{ord(one):04X} ({name}): expected a name without "
                "spaces and characters that cannot be seen; type it again"
            )


def listed(values: Iterable[str] | None, what: str) -> tuple[str, ...]:
    """The parts of a flag's values, each of which may be a list such as `a,b` or `a, b`.

    Raises:
        ValueError: a part is empty, holds what cannot be seen, or comes twice.
    """
    parts: list[str] = []
    for value in values or ():
        first, *rest = value.split(",")
        parts += _filled(value, [first, *(part.lstrip(" ") for part in rest)], what)
    for part in parts:
        refuse_hidden(part, what)
    return once(parts, what)


def paths_listed(values: Iterable[str] | None, what: str) -> tuple[str, ...]:
    """As `listed`, but a comma in the path of a file or folder that exists parts nothing.

    A path may be followed by `@REVISION`.

    Raises:
        ValueError: a part is empty, or comes twice, or names no path and holds what cannot be seen.
    """
    parts: list[str] = []
    for value in values or ():
        rest = value.split(",")
        while rest:
            sizes = range(len(rest), 0, -1)
            joined = [(",".join(rest[:size]), size) for size in sizes]
            # A space behind a comma may belong to the path, or stand before it.
            texts = [(form, size) for one, size in joined for form in (one, one.lstrip(" "))]
            part, size = next((each for each in texts if _is_place(each[0])), ("", 1))
            if not part:
                (part,) = _filled(value, rest[:1], what)
                part = part if part == value.split(",")[0] else part.lstrip(" ")
                refuse_hidden(part, what)
            parts.append(part)
            rest = rest[size:]
    return once(parts, what)


def once(values: Iterable[Value], what: str) -> tuple[Value, ...]:
    """The values.

    Raises:
        ValueError: one comes twice.
    """
    found: dict[Value, None] = {}
    for value in values:
        if value in found:
            raise ValueError(f"{what} {quoted(str(value))} is given twice: name it once")
        found[value] = None
    return tuple(found)


def at_revision(name: str) -> tuple[str, str | None]:
    """A name and the revision behind its `@`; an `@` in a path that exists belongs to the path.

    Raises:
        ValueError: nothing stands before or behind the `@`.
    """
    if is_path(name):
        return name, None
    places = [place for place, one in enumerate(name) if one == "@"]
    of_path = (place for place in reversed(places) if is_path(name[:place]))
    place = next(of_path, places[0] if places else None)
    if place is None:
        return name, None
    identifier, revision = name[:place], name[place + 1 :]
    if not identifier or not revision:
        lacks = "revision behind" if identifier else "name before"
        raise ValueError(f"model {name!r} has no {lacks} its @: expected ID or ID@REVISION")
    return identifier, revision


def is_path(name: str) -> bool:
    """Whether a file or folder has this path; `~` is the user's own folder."""
    return bool(name) and os.path.exists(os.path.expanduser(name))


def _is_place(text: str) -> bool:
    """Whether this is a path, or a path and a revision, which holds a comma only if it is there."""
    ends = [place for place, one in enumerate(text) if one == "@" and is_path(text[:place])]
    return is_path(text) or any(
        "," not in text[end:] or is_path(f"{text[:end]}/{text[end + 1 :]}") for end in ends
    )


def _filled(value: str, parts: list[str], what: str) -> list[str]:
    if any(blank(part) for part in parts):
        raise ValueError(f"{what} {quoted(value)} has an empty part: expected a value, or a,b,c")
    return parts

"""Open the files that people hand over, whatever they turn out to be: data sets and prompts.

A file is a regular one, of UTF-8, with lines of bearable length that end in a line feed. Anything
else is refused, with its name and line.
"""

import json
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# Longer than any book in a data set; a file without line ends would take all memory.
LONGEST_LINE = 32 << 20
SHOWN = 40


def refuse_irregular(path: Path) -> None:
    """Raise ValueError for what cannot be read as a file: it is absent, or a pipe or device."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with path.open("rb"):
                return
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
    raise ValueError(f"{path} is {kind}: expected a regular file")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line of a file with its number from 1, without its end.

    Raises:
        ValueError: it cannot be read, is not UTF-8, or has lines that do not end.
    """
    refuse_irregular(path)
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(raw) > LONGEST_LINE:
                raise ValueError(
                    f"{where} is longer than {LONGEST_LINE >> 20} MiB: expected one entry to a line"
                )
            try:
                # Not splitlines: a JSON string may hold U+2028 or U+0085 as they are.
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{where} is not UTF-8 text: {error}") from error
            line = line.removesuffix("\n").removesuffix("\r")
            if "\r" in line:
                raise ValueError(
                    f"{where} has a carriage return without a line feed: expected lines that end "
                    "in a line feed; convert the file, with `tr '\\r' '\\n'` for example"
                )
            yield number, line


def parse(line: str, *, where: str) -> object:
    """What a line of JSON holds; every text in it can be encoded.

    Raises:
        ValueError: it is not JSON, or no value that a program could keep.
    """
    try:
        value = json.loads(line, object_pairs_hook=_fields, parse_constant=_refuse_constant)
        if "\\u" in line:  # half of a pair of surrogates can only come from an escape
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} has {error.object[error.start]!a}, half of a surrogate pair, which is no "
            "character: expected both halves, or the character itself"
        ) from error
    except RecursionError as error:
        raise ValueError(f"{where} is nested too deeply: expected a flat object") from error
    except ValueError as error:  # JSONDecodeError, and what the hooks and Python's limits refuse
        raise ValueError(f"{where} is not JSON: {error}") from error
    return value


def objects(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Every object of a file of JSON lines with its place, `line 3`; blank lines are none.

    Raises:
        ValueError: a line cannot be read, or holds something else.
    """
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        value = parse(line, where=where)
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected an object, found {line[:SHOWN]!r}")
        yield f"line {number}", value


def unique(pairs: list[tuple[str, object]], *, message: str) -> dict[str, object]:
    """An object of JSON in which no name occurs twice, as the second would win unnoticed.

    Raises:
        ValueError: one does: the `message`, with {name}.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(message.format(name=repr(twice)))
    return found


_fields = partial(unique, message="field {name} stands there twice")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")

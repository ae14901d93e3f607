"""Study files: what a command line asks of a study, as TOML with the same names as the flags.

    recipe = "neuronxa"
    model = ["Qwen/Qwen2.5-7B", "meta-llama/Llama-3.1-8B"]
    pairs = 100
    switch = ["cka=biased"]

Values are read as if they were typed: what a flag accepts, its key does.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.storage.redact import redact
from studies.flags import BoundFlag, Given
from studies.values import blank

NAME = "study.toml"
RECIPE = "recipe"
HEAD = "# babelscope run {name} repeats this run; flags beside it replace those here\n"
WHOLE = re.compile(r"0|[1-9][0-9]{0,9}")


def read(path: Path) -> tuple[str, dict[str, object]]:
    """The recipe that a study file names, and everything else that it says.

    Raises:
        ValueError: there is no such file, it is no TOML, or it names no recipe.
    """
    import tomllib  # no other command needs it

    try:
        # Paths may hold bytes that are no UTF-8, as on the command line.
        content = path.read_bytes().decode("utf-8", "surrogateescape")
        table = tomllib.loads(content)
    except OSError as error:
        raise ValueError(f"study file {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"study file {path} is no TOML: {error}") from error
    name = table.pop(RECIPE, None)
    if not isinstance(name, str) or not name:
        raise ValueError(f'study file {path} names no recipe: add {RECIPE} = "neuronxa"')
    return name, table


def given(
    table: Mapping[str, object],
    *,
    flags: Mapping[str, tuple[BoundFlag, ...]],
    refuse: Callable[[str], str],
) -> dict[str, Given]:
    """What a study file gives, by flag.

    Args:
        table: the file without its recipe.
        flags: the flags there are.
        refuse: the sentence about a flag that there is not.

    Raises:
        ValueError: a key is no flag, or its value cannot stand behind one.
    """
    found: dict[str, Given] = {}
    for key, value in table.items():
        name = f"--{key}"
        if name not in flags:
            raise ValueError(f"study file: {refuse(name)}")
        one = flags[name][0]
        if one.is_switch != isinstance(value, bool):
            expected = "true or false" if one.is_switch else "a text, a number or a list of them"
            raise ValueError(f"study file: {key} = {value!r}: expected {expected}")
        if isinstance(value, bool):
            found[name] = value
            continue
        several = value if isinstance(value, list) else [value]
        if len(several) != 1 and not (one.several and several):
            raise ValueError(
                f"study file: {key} has {len(several)} values: expected "
                f"{'at least one' if one.several else 'one'}"
            )
        texts = [_text(key, each) for each in several]
        for text in texts:
            if text == "" or (blank(text) and not one.flag.verbatim):
                raise ValueError(
                    f"study file: {key} {text!r} is empty: give a value, or leave it out"
                )
        found[name] = texts
    return found


def text(recipe: str, given: Mapping[str, Given]) -> str:
    """The study file that gives the same, without secrets."""
    lines = [HEAD.format(name=NAME), f"{RECIPE} = {_value(recipe)}\n"]
    for name, value in given.items():
        key = name.removeprefix("--")
        if isinstance(value, bool):
            lines.append(f"{key} = {str(value).lower()}\n")
        elif len(value) == 1:
            lines.append(f"{key} = {_value(value[0])}\n")
        else:
            lines.append(f"{key} = [{', '.join(map(_value, value))}]\n")
    return "".join(lines)


def words(given: Mapping[str, Given], *, flags: Mapping[str, tuple[BoundFlag, ...]]) -> list[str]:
    """What is given, as words of a command line."""
    found = []
    for name, value in given.items():
        if not isinstance(value, bool):
            found += [f"{name}={text}" for text in value]
        elif value:
            found.append(name)
        elif flags[name][0].default:
            found.append(name.replace("--", "--no-", 1))
    return found


def _text(key: str, value: object) -> str:
    """A value as it would be typed."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"study file: {key} = {value!r}: expected a text, a number or a list of them")


def _value(text: str) -> str:
    """A text as TOML: a number where it reads as the same text again."""
    if WHOLE.fullmatch(text):
        return text
    return json.dumps(redact(text), ensure_ascii=False).replace("\x7f", "\\u007f")

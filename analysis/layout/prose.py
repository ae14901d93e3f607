"""Sentences from templates: numbers are filled in, paragraphs are divided by blank lines.

Templates are strings beside a table or figure, or blocks of a file in analysis/exhibits. Whether a
sentence stands at all is the template's to say; every number in it is computed elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from analysis.read import label, listed

FOLDER = Path(__file__).parents[1] / "exhibits"
# What stands for a blank line of a template: a control character that values never hold.
BREAK = "\x1e"


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def span(values: Iterable[float], form: str = ".2f") -> str:
    """One number, or the ends of several; what rounds to nothing has no sign."""
    held = pd.Series(list(values))
    low, high = (format(float(end), form) for end in (held.min(), held.max()))
    low, high = (
        text.replace("-", "").replace("+", "") if float(text) == 0 else text for text in (low, high)
    )
    return low if low == high else f"{low} to {high}"


def interval(low: float, high: float, form: str = ".2f") -> str:
    """Both ends in words, empty where there is no interval."""
    return f"{low:{form}} to {high:{form}}" if low == low else ""


def model(row: Mapping[Any, Any]) -> str:
    """The model of a row as people read it."""
    return label(str(row["model"]), revision=str(row["revision"]))


def on(row: Mapping[Any, Any]) -> str:
    """The model and the benchmark of a row."""
    return f"{model(row)} on {row['benchmark']}"


def _marked(source: str) -> str:
    """A template with a mark where its paragraphs are divided."""
    return source.replace("\n\n", BREAK)


class _Loader(FileSystemLoader):
    """Templates whose blank lines divide paragraphs, whatever stands in their blocks."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        """A template's source, marked."""
        source, path, fresh = super().get_source(environment, template)
        return _marked(source), path, fresh


ENVIRONMENT = Environment(loader=_Loader(FOLDER), autoescape=False, undefined=StrictUndefined)
ENVIRONMENT.filters |= {
    "listed": listed, "many": many, "span": span, "form": format, "model": model, "on": on,
}  # fmt: skip
ENVIRONMENT.globals |= {"interval": interval}


def say(template: str, **facts: object) -> tuple[str, ...]:
    """The paragraphs of a template string."""
    return _paragraphs(_compiled(template).render(**_plain(facts)))


def block(file: str, name: str, **facts: object) -> tuple[str, ...]:
    """The paragraphs of one block of a file."""
    template = ENVIRONMENT.get_template(file)
    return _paragraphs("".join(template.blocks[name](template.new_context(_plain(facts)))))


@lru_cache(maxsize=1024)
def _compiled(template: str) -> Template:
    """A template string, read once."""
    return ENVIRONMENT.from_string(_marked(template))


def _plain(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts whose texts hold no line break and no mark, however deep."""
    return {name: _in_a_line(one) for name, one in facts.items()}


def _in_a_line(value: object) -> object:
    """The same for one value."""
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, list | tuple):
        return [_in_a_line(one) for one in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _paragraphs(text: str) -> tuple[str, ...]:
    """Paragraphs without their line breaks."""
    return tuple(" ".join(one.split()) for one in text.split(BREAK) if one.strip())

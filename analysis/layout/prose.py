"""Sentences from templates: numbers are filled in, paragraphs are divided by blank lines.

Templates are strings beside a table or figure, or blocks of a file in analysis/exhibits. Whether a
sentence stands at all is the template's to say; every number in it is computed elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

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


def number(value: float) -> str:
    """Two decimals, or a dash where there is no number."""
    return f"{value:.2f}" if value == value else "-"


def short(value: float, decimals: int = 2) -> str:
    """A number without the zero before its point, where it is a share or a correlation."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and decimals > 1 else text


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


class _Environment(Environment):
    """Templates in which `row.items` is a row's own item of that name before it is a method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An item of a mapping, or an attribute."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


ENVIRONMENT = _Environment(loader=_Loader(FOLDER), autoescape=False, undefined=StrictUndefined)
ENVIRONMENT.filters |= {
    "listed": listed, "many": many, "span": span, "form": format, "model": model, "on": on,
}  # fmt: skip
ENVIRONMENT.globals |= {"interval": interval}


class Block(NamedTuple):
    """A named block of a file in analysis/exhibits, to be used like a template string."""

    file: str
    name: str


def shared(name: str) -> Block:
    """A block of the sentences that the pages of several studies share."""
    return Block("shared.jinja", name)


def say(template: str | Block, **facts: object) -> tuple[str, ...]:
    """The paragraphs of a template."""
    held = _plain(facts)
    if isinstance(template, str):
        return _paragraphs(_compiled(template).render(**held))
    file = ENVIRONMENT.get_template(template.file)
    return _paragraphs("".join(file.blocks[template.name](file.new_context(held))))


def line(template: str | Block, **facts: object) -> str:
    """The same in one line, such as a caption."""
    return " ".join(say(template, **facts))


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

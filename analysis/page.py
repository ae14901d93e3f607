"""What a page is made of: sections of text, tables and figures, before any file format.

The one idea: a study's page says what to show and the report says how it looks, so neither knows
the other. Frames keep full precision and plain column names: they are also the CSV files.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Literal

import pandas as pd
from matplotlib.figure import Figure

LONGEST_NAME = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Paragraphs; `warning` ones are set apart."""

    kind: ClassVar[str] = "text"
    lines: tuple[str, ...]
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table. `name` is its file; `heads` renames columns for people; `small` is a second line.

    `small` has the frame's index and some of its columns, as lines of text. `collapsed` hides it
    behind its caption; one that is not `on_page` is its caption and its file.
    """

    kind: ClassVar[str] = "sheet"
    name: str
    caption: str
    frame: pd.DataFrame
    heads: Mapping[str, str] = field(default_factory=dict)
    small: pd.DataFrame | None = None
    collapsed: bool = False
    decimals: int = 3
    on_page: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure. `name` is its file; a `tall` one scrolls inside its card."""

    kind: ClassVar[str] = "picture"
    name: str
    caption: str
    figure: Figure
    size: Literal["half", "wide", "tall"] = "wide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The title of one table or figure of a paper, inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Parts behind their caption: what a reader may want but not first."""

    kind: ClassVar[str] = "fold"
    caption: str
    parts: tuple["Part", ...]


Part = Text | Sheet | Picture | Heading | Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One table or figure of a paper: its name, what it shows, and its parts.

    `missing` says in one sentence what it lacks and what would fill it; without parts the whole of
    it is missing. `files` are tables worth keeping that the page does not print.
    """

    name: str
    title: str
    parts: tuple[Part, ...] = ()
    missing: str = ""
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """`filled`, `partly` or `empty`."""
        if not self.parts:
            return "empty"
        return "partly" if self.missing else "filled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it, in order."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A study's results: title, the main numbers in plain words, sections, and files beside them.

    `warnings` stand right below the numbers: what a reader must know before quoting them.
    `files` are tables worth keeping that the page does not print.
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def parts(self) -> list[Part]:
        """Every part in order, those inside a fold too."""
        return [
            part
            for section in self.sections
            for outer in section.parts
            for part in (outer.parts if isinstance(outer, Fold) else (outer,))
        ]

    @property
    def sheets(self) -> list[Sheet]:
        """Every table, in order."""
        return [part for part in self.parts if isinstance(part, Sheet)]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure, in order."""
        return [part for part in self.parts if isinstance(part, Picture)]


def shown(title: str, exhibits: Sequence[Exhibit]) -> Section:
    """Exhibits one after the other; an empty one is a heading and the sentence why."""
    parts: list[Part] = []
    for exhibit in exhibits:
        parts += [Heading(text=f"{exhibit.name}: {exhibit.title}"), *exhibit.parts]
        if exhibit.missing:
            parts.append(Text(lines=(exhibit.missing,)))
    return Section(title=title, parts=tuple(parts))


def file_name(*words: str) -> str:
    """Words as one file name: letters, digits, dots, underscores; the hub's slash becomes `--`.

    One that is too long for a file system ends in a digest of what is cut off.
    """
    plain = (word.replace("/", "--") for word in words if word)
    name = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-") for word in plain)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"

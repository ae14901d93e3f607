"""What a page is made of: sections of text, tables and figures, before any file format.

Frames keep full precision and plain column names: they are also the CSV files. How a page looks is
the report's and the terminal's.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Literal

import pandas as pd
from matplotlib.figure import Figure

LONGEST_NAME = 150
Size = Literal["half", "wide", "tall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Paragraphs; `warning` ones are set apart."""

    kind: ClassVar[str] = "text"
    lines: tuple[str, ...]
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table. `name` is its file; `heads` renames columns for people; `small` is a second line.

    `small` has the frame's index and some of its columns, as lines of text. `kept` are frames for
    files of their own that the page does not print. `collapsed` hides it behind its caption.
    `read` names the tables of rows that it was computed from, `of` what all of its rows are of
    (such as one model), by columns of those tables.
    """

    kind: ClassVar[str] = "sheet"
    name: str
    caption: str
    frame: pd.DataFrame
    heads: Mapping[str, str] = field(default_factory=dict)
    small: pd.DataFrame | None = None
    kept: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    collapsed: bool = False
    decimals: int = 3
    read: frozenset[str] = frozenset()
    of: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure, drawn when asked for. `name` is its file; a `tall` one scrolls in its card.

    `numbers` is the frame that draws it, for a file beside it; `read` names the tables of rows
    that it was computed from.
    """

    kind: ClassVar[str] = "picture"
    name: str
    caption: str
    draw: Callable[[], Figure]
    numbers: pd.DataFrame
    size: Size = "wide"
    read: frozenset[str] = frozenset()

    @property
    def figure(self) -> Figure:
        """The drawing, made anew."""
        return self.draw()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Where a part is that a reader looks for here: at the top of the page."""

    kind: ClassVar[str] = "pointer"
    text: str


Part = Text | Sheet | Picture | Heading | Fold | Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One table or figure of a paper as far as it is filled.

    `missing` says in one sentence what it lacks and what would fill it; without parts the whole of
    it is missing.
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
class Main:
    """The main table of a study as texts, for a terminal; `texts` are columns set left.

    `read` names the tables of rows that it was computed from.
    """

    title: str
    caption: str
    frame: pd.DataFrame
    texts: tuple[str, ...]
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it, in order."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A study's results: title, the main numbers in plain words, sections, and files beside them.

    `warnings` stand right below the numbers: what a reader must know before quoting them. `files`
    are tables worth keeping that the page does not print, `exhibits` what became of each. The
    terminal shows `main`, or `no_main` where there is none. `lead_table` and `lead_figure`
    are what a reader wants first, by their names or the beginnings of them.
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    exhibits: Mapping[str, Shown] = field(default_factory=dict)
    main: tuple[Main, ...] = ()
    no_main: str = ""
    lead_table: str = ""
    lead_figure: str = ""

    @property
    def parts(self) -> list[Part]:
        """Every part in order, those inside a fold too."""
        return unfolded(part for section in self.sections for part in section.parts)

    @property
    def sheets(self) -> list[Sheet]:
        """Every table, in order."""
        return [part for part in self.parts if isinstance(part, Sheet)]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure, in order."""
        return [part for part in self.parts if isinstance(part, Picture)]


def unfolded(parts: Iterable[Part]) -> list[Part]:
    """The parts in order, those inside a fold in its place."""
    return [one for part in parts for one in (part.parts if isinstance(part, Fold) else (part,))]


def file_name(*words: str) -> str:
    """Words as one file name: letters, digits, dots, underscores; the hub's slash becomes `--`.

    One that is too long for a file system ends in a digest of what is cut off.
    """
    plain = (word.replace("/", "--") for word in words if word)
    name = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-") for word in plain)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"

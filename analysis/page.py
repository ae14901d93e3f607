"""What a page is made of: sections of text, tables and figures, before any file format.

The one idea: a study's page says what to show and the report says how it looks, so neither knows
the other. Frames keep full precision and plain column names: they are also the CSV files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Paragraphs; `warning` ones are set apart."""

    kind: ClassVar[str] = "text"
    lines: tuple[str, ...]
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table. `name` is its file; `heads` renames columns for people; `small` is a second line.

    `small` has the frame's index and some of its columns, as text. `collapsed` hides it behind
    its caption.
    """

    kind: ClassVar[str] = "sheet"
    name: str
    caption: str
    frame: pd.DataFrame
    heads: Mapping[str, str] = field(default_factory=dict)
    small: pd.DataFrame | None = None
    collapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure. `name` is its file; a `tall` one scrolls inside its card."""

    kind: ClassVar[str] = "picture"
    name: str
    caption: str
    figure: Figure
    size: Literal["half", "wide", "tall"] = "wide"


Part = Text | Sheet | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it, in order."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A study's results: title, the main numbers in plain words, sections, and files beside them.

    `files` are tables worth keeping that the page does not print.
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def sheets(self) -> list[Sheet]:
        """Every table, in order."""
        parts = [part for section in self.sections for part in section.parts]
        return [part for part in parts if isinstance(part, Sheet)]

    @property
    def pictures(self) -> list[Picture]:
        """Every figure, in order."""
        parts = [part for section in self.sections for part in section.parts]
        return [part for part in parts if isinstance(part, Picture)]


def file_name(*words: str) -> str:
    """Words as one file name: letters, digits, dots, underscores; the hub's slash becomes `--`."""
    plain = (word.replace("/", "--") for word in words if word)
    return "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-") for word in plain)

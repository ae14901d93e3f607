"""A report's page as its reader has it: tables with their cells, and the code behind a line."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

MISSING = "–"


@dataclass
class Cell:
    """A cell: what it shows, and what stands for it where that is not the same."""

    text: str = ""
    value: str | None = None
    title: str | None = None

    @property
    def key(self) -> str:
        return self.text if self.value is None else self.value


@dataclass
class Table:
    """A table of the page, its first rows and those that are shown when asked for."""

    caption: str
    read: list[Any] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)


class Reader(HTMLParser):
    """Collects tables, ids, tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.queries = ""
        self._read: list[Any] = []
        self._at = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.tags.append((tag, found))
        if found.get("class") == "table":
            self._read = json.loads(found.get("data-read", "[]"))
        elif found.get("role") == "region":
            self.tables.append(Table(found["aria-label"], self._read))
        elif tag == "tr" and self.tables and self._at != "head":
            self.tables[-1].rows.append([])
        elif tag == "td":
            self.tables[-1].rows[-1].append(
                Cell(value=found.get("data-v"), title=found.get("title"))
            )
        elif tag == "th":
            self.tables[-1].heads.append("")
        if tag in ("td", "th", "small"):
            self._at = tag
        elif tag == "thead":
            self._at = "head"
        elif tag == "script" and found.get("id") == "queries":
            self._at = "queries"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "small", "thead", "script"):
            self._at = "head" if tag == "th" else ""

    def handle_data(self, text: str) -> None:
        if self._at == "td":
            self.tables[-1].rows[-1][-1].text += text
        elif self._at == "th":
            self.tables[-1].heads[-1] += text
        elif self._at == "queries":
            self.queries += text


class Page:
    """A page that was written."""

    def __init__(self, path: Path) -> None:
        reader = Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        reader.close()
        self.tables, self.tags = reader.tables, reader.tags
        self.queries = json.loads(reader.queries)

    def table(self, caption: str) -> Table:
        """The only table whose caption begins so."""
        (found,) = [one for one in self.tables if one.caption.startswith(caption)]
        return found

    def code(self, table: Table, row: int) -> dict[str, str]:
        """The code behind a line, by the table of rows: what the page's script copies."""
        found = {}
        for name, columns, fixed, loose in table.read:
            where, notes = list(fixed), []
            for column, place in columns.items():
                key = table.rows[row][place].key
                condition = self.queries["where"][name][column].get(key)
                if condition is None:
                    head = json.dumps(table.heads[place], ensure_ascii=False)
                    said = json.dumps(key, ensure_ascii=False)
                    notes.append(f"# {head} {said} names no single value there\n")
                else:
                    where.append(condition)
            first, rest = self.queries["code"][name].split("\n", 1)
            joined = "\n    & ".join(where)

            def put(match: re.Match[str], joined: str = joined) -> str:
                behind = match[1] or ""
                return behind + joined if joined else ("" if behind else "None")

            body = re.sub(r"(\n {4}& )?WHERE", put, rest, count=1)
            found[name] = f"{first}\n{loose}{''.join(notes)}{body}"
        return found

    def found(self, table: Table, row: int) -> dict[str, pd.DataFrame]:
        """The rows that the code behind a line reads."""
        frames = {}
        for name, code in self.code(table, row).items():
            names: dict[str, Any] = {}
            exec(code, names)  # what a reader pastes into Python
            frames[name] = names[re.match(r"# (\w+):", code)[1]]  # type: ignore[index]
        return frames

"""The literature of what was used: entries of references.bib, chosen by their keywords.

A keyword is a kind of thing and its name, such as `data:flores200`, `study:dali`, `measure:cka`,
`setting:lens_norm`, `engine:vllm` or `task:translation`. A data set that is added gets its entry
there, and nothing else knows of it.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "references.bib"
ENTRY = re.compile(r"@\w+\{([^,\s]+),\n.*?\n\}", re.DOTALL)
KEYWORDS = re.compile(r",\n  keywords = \{([^}]*)\}")
FIELD = r"\n  {} = \{{(.*)\}},?\n"
ACCENT = re.compile(r"\\['`^\"cv~.](?:\{\\?(\w)\}|(\w))")


class Reference(NamedTuple):
    """An entry: its key, its text without the keywords, and what it is the source of."""

    key: str
    text: str
    uses: frozenset[str]

    @property
    def short(self) -> str:
        """As a sentence names it: `Del and Fishel 2022`."""
        names = [one.split(",")[0] for one in _field(self.text, "author").split(" and ")]
        plain = [re.sub(r"[{}]", "", ACCENT.sub(r"\1\2", name)) for name in names]
        first = " and ".join(plain) if len(plain) == 2 and "others" not in plain else plain[0]
        several = len(plain) > 2 or "others" in plain
        return f"{first}{' et al.' if several else ''} {_field(self.text, 'year')}"


@cache
def every() -> tuple[Reference, ...]:
    """All entries, in the order of the file."""
    text = FILE.read_text(encoding="utf-8")
    found = []
    for entry in ENTRY.finditer(text):
        uses = KEYWORDS.search(entry[0])
        assert uses is not None, f"{entry[1]} names nothing that it is the source of"
        names = frozenset(name.strip() for name in uses[1].split(","))
        found.append(Reference(entry[1], KEYWORDS.sub("", entry[0]), names))
    return tuple(found)


def of(*uses: str) -> list[Reference]:
    """The entries of some uses, in the order of the file."""
    return [one for one in every() if one.uses & set(uses)]


def cited(use: str) -> str:
    """The sources of one use as a sentence names them, in brackets; empty where none is known."""
    found = "; ".join(one.short for one in of(use))
    return f"({found})" if found else ""


def _field(text: str, name: str) -> str:
    """A field of an entry, empty where it has none."""
    found = re.search(FIELD.format(name), text)
    return found[1] if found else ""

"""What a study's page is made of, as data: tables, figures and notes with what fills them.

A study lists its exhibits in analysis/exhibits/STUDY.py: for each table or figure its name and
title, the function from the shared material to the frame that fills it, the published values to
stand beside it, the function that draws it, and a template of its caption. `build` fills the list
from the material of some rows; an exhibit that nothing fills says in one sentence what would.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.layout import compared, prose
from analysis.layout.material import Material
from analysis.layout.page import (
    Fold,
    Heading,
    Kept,
    Main,
    Page,
    Part,
    Picture,
    Section,
    Sheet,
    Shown,
    Size,
    Text,
    file_name,
)

Fill = Callable[[Material], pd.DataFrame]
Facts = Callable[[Material], Mapping[str, object] | None]
# A part of an exhibit: what it shows of some material.
Show = Callable[[Material], Iterable[Part | Kept]]
FEW = 4


def nothing(_: Material) -> Mapping[str, object]:
    """A template without numbers."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Note:
    """Paragraphs from a template, left out where the facts are None."""

    text: str
    facts: Facts = nothing
    warning: bool = False

    def __call__(self, material: Material) -> Iterator[Part | Kept]:
        """Its paragraphs."""
        facts = self.facts(material)
        if facts is not None and (lines := prose.say(self.text, **facts)):
            yield Text(lines=lines, warning=self.warning)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, left out where nothing fills it; its file is `name`.csv.

    `shown` makes what people read of the filled frame, and second lines for some columns if it
    returns two frames; the frame is kept whole as `keep`.csv if that is a name. More rows than
    `most` are folded.
    """

    name: str
    fill: Fill
    caption: str
    facts: Facts = nothing
    heads: Mapping[str, str] = field(default_factory=dict)
    shown: Callable[[pd.DataFrame], pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]] | None = None
    keep: str = ""
    decimals: int = 3
    most: float = float("inf")

    def __call__(self, material: Material) -> Iterator[Part | Kept]:
        """The table and its file."""
        found = material.get(self.fill)
        if found.empty:
            return
        shown = found if self.shown is None else self.shown(found)
        frame, small = shown if isinstance(shown, tuple) else (shown, None)
        facts = {"rows": len(frame), **(self.facts(material) or {})}
        yield Sheet(
            name=self.name, caption=" ".join(prose.say(self.caption, **facts)),
            frame=frame.reset_index(drop=True), heads=self.heads, decimals=self.decimals,
            small=small,
            collapsed=len(frame) > self.most,
        )  # fmt: skip
        if self.keep:
            yield Kept(name=self.keep, frame=found)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A table of the paper: our values, and under each its interval and the printed value.

    `fill` gives the places of the table's rows, then `compared.OURS`; `published` the printed cells
    by the same places. `order` sorts the rows, `columns` makes the columns across of ours and the
    printed cells: by default the printed ones, then others of ours. Both values are kept as
    `name`_beside_the_paper.csv, if there are printed ones.
    """

    name: str
    fill: Fill
    caption: str
    published: Fill | None = None
    facts: Facts = nothing
    order: Callable[[pd.DataFrame], pd.DataFrame] = lambda joined: joined
    columns: Callable[[pd.DataFrame, pd.DataFrame], Sequence[str]] | None = None
    decimals: int = 3
    collapsed: bool = False

    def __call__(self, material: Material) -> Iterator[Part | Kept]:
        """The table, and both values in one file."""
        ours = material.get(self.fill)
        if ours.empty:
            return
        places = [name for name in ours.columns if name not in compared.OURS]
        printed = ours.iloc[:0] if self.published is None else self.published(material)
        joined = (
            compared.alone(ours)
            if self.published is None
            else compared.join(ours, printed, places=places)
        )
        joined = self.order(joined)
        columns = list(dict.fromkeys([*printed["column"], *ours["column"]]))
        if self.columns is not None:
            columns = list(self.columns(ours, printed))
        facts = {"counted": compared.counted(joined), **(self.facts(material) or {})}
        yield compared.sheet(
            joined, name=self.name, caption=" ".join(prose.say(self.caption, **facts)),
            places=places, columns=columns, decimals=self.decimals, collapsed=self.collapsed,
        )  # fmt: skip
        if self.published is not None:
            yield Kept(name=f"{self.name}_beside_the_paper", frame=joined)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure for every series of a frame; the later ones are folded.

    `by` names the series and divides the frame. `draw` gets the material, a series' rows and the
    heading. Heading and caption know `said`, the series, and `facts` of its rows. The file is
    called by `name` and the series, or by `name` and the `words` of its rows and number. With
    `fold` all are folded under that caption where they are more than `few`.
    """

    name: str
    fill: Fill
    by: Callable[[Material, pd.DataFrame], Iterable[tuple[str, pd.DataFrame]]]
    draw: Callable[[Material, pd.DataFrame, str], Figure]
    caption: str
    heading: str = "{{ said }}"
    facts: Callable[[pd.DataFrame], Mapping[str, object]] = lambda _: {}
    words: Callable[[pd.DataFrame, int], Sequence[str]] | None = None
    size: Callable[[pd.DataFrame], Size] = lambda _: "wide"
    few: int = FEW
    more: str = "more models"
    fold: str = ""

    def __call__(self, material: Material) -> Iterator[Part | Kept]:
        """The figures."""
        found = material.get(self.fill)
        pictures: list[Part] = []
        for said, rows in self.by(material, found) if len(found) else ():
            words = (said,) if self.words is None else self.words(rows, len(pictures))
            facts = {"said": said, **self.facts(rows)}
            heading, caption = (
                " ".join(prose.say(text, **facts)) for text in (self.heading, self.caption)
            )
            pictures.append(
                Picture(
                    name=file_name(self.name, *words),
                    caption=caption,
                    draw=partial(self.draw, material, rows, heading),
                    size=self.size(rows),
                )
            )
        yield from folded(pictures, few=self.few, more=self.more, fold=self.fold)


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Parts behind a caption."""

    caption: str
    parts: Sequence[Show]

    def __call__(self, material: Material) -> Iterator[Part | Kept]:
        """The fold, where something is in it."""
        held = tuple(one for part in self.parts for one in part(material))
        if found := tuple(one for one in held if not isinstance(one, Kept)):
            yield Fold(caption=self.caption, parts=found)
        yield from (one for one in held if isinstance(one, Kept))


def folded(
    pictures: Sequence[Part], *, few: int = FEW, more: str, fold: str = ""
) -> Iterator[Part]:
    """The first few pictures and the others behind a fold; with `fold` all behind it or none."""
    if fold and len(pictures) > few:
        caption = " ".join(prose.say(fold, count=len(pictures)))
        yield Fold(caption=caption, parts=tuple(pictures))
        return
    yield from pictures[:few]
    if rest := tuple(pictures[few:]):
        yield Fold(caption=f"{len(rest)} {more}", parts=rest)


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One table or figure of a paper, or of our own.

    `empty` says why nothing is shown and what would fill it, `lacking` what is missing of it, empty
    where nothing is. `files` are frames worth keeping that the page does not print.
    """

    name: str
    title: str
    parts: Sequence[Show]
    empty: str | Callable[[Material], str]
    lacking: Callable[[Material], str] = lambda _: ""
    files: Mapping[str, Fill] = field(default_factory=dict)

    def show(self, material: Material) -> Shown:
        """What the material fills of it; notes count only where there is nothing else to fill."""
        made = [(part, list(part(material))) for part in self.parts]
        solid = any(not isinstance(part, Note) for part, _ in made)
        filled = any(
            found and not (isinstance(part, Note) and (solid or part.facts is nothing))
            for part, found in made
        )
        if not filled:
            why = self.empty if isinstance(self.empty, str) else self.empty(material)
            return Shown(name=self.name, title=self.title, missing=why)
        every = [one for _, found in made for one in found]
        kept = {one.name: one.frame for one in every if isinstance(one, Kept)}
        return Shown(
            name=self.name, title=self.title, missing=self.lacking(material),
            parts=tuple(one for one in every if not isinstance(one, Kept)),
            files=kept | {name: material.get(fill) for name, fill in self.files.items()},
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A section: exhibits by name, then parts that are no exhibits."""

    title: str
    exhibits: Sequence[str] = ()
    parts: Sequence[Show] = ()


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """The page of one study.

    `study` is its name in the rows. `exhibits` are its tables and figures, and `topics` its
    sections, of some material where they depend on it; without any, there is one of all exhibits.
    `prose` is a file beside it with the blocks `summary`, `warnings` and `methods`, for which
    `facts` has the numbers. `main` makes what the terminal shows, `no_main` says why there is none.
    With `index` the page begins with what of the paper is here; without, exhibits that nothing
    fills are left out.
    """

    study: str
    title: str
    exhibits: Sequence[Exhibit] = ()
    topics: Callable[[Material], Sequence[Topic]] | None = None
    prose: str = ""
    facts: Facts = nothing
    main: Callable[[Material], Main | None] = lambda _: None
    no_main: str = "this study has no main table; its report has all of them"
    files: Mapping[str, Fill] = field(default_factory=dict)
    index: str = ""

    def build(self, material: Material) -> Page:
        """The page that the material fills."""
        shown = {one.name: one.show(material) for one in self.exhibits}
        facts = self.facts(material) or {}
        topics: Sequence[Topic] = (
            (Topic(title="Results", exhibits=[one.name for one in self.exhibits]),)
            if self.topics is None
            else self.topics(material)
        )
        used = {name for topic in topics for name in topic.exhibits}
        sections = [self._section(topic, shown, material) for topic in topics]
        if self.index:
            sections.insert(0, self._index(list(shown.values()), facts))
        said = {
            name: prose.block(self.prose, name, **facts) if self.prose else ()
            for name in ("summary", "warnings", "methods")
        }
        if said["methods"]:
            parts = (Text(lines=said["methods"]),)
            sections.append(Section(title="What the numbers mean", parts=parts))
        files = {name: material.get(fill) for name, fill in self.files.items()}
        held = [one for one in shown.values() if one.name in used]
        return Page(
            title=self.title,
            summary=said["summary"],
            warnings=said["warnings"],
            sections=tuple(section for section in sections if section.parts),
            files={name: frame for name, frame in files.items() if len(frame)}
            | {name: frame for one in held for name, frame in one.files.items()},
            exhibits=shown,
            main=tuple(one for one in (self.main(material),) if one is not None),
            no_main=self.no_main,
        )

    def _section(self, topic: Topic, shown: Mapping[str, Shown], material: Material) -> Section:
        """Exhibits one after the other; an empty one is a heading and the sentence why."""
        parts: list[Part] = []
        for name in topic.exhibits:
            exhibit = shown[name]
            if exhibit.parts or self.index:
                parts += [Heading(text=f"{name}: {exhibit.title}"), *exhibit.parts]
                if exhibit.missing:
                    parts.append(Text(lines=(exhibit.missing,)))
        for part in topic.parts:
            parts += [one for one in part(material) if not isinstance(one, Kept)]
        return Section(title=topic.title, parts=tuple(parts))

    def _index(self, shown: Sequence[Shown], facts: Mapping[str, object]) -> Section:
        """Every table and figure of the paper: filled, partly filled, or empty and why."""
        frame = pd.DataFrame(
            [
                {"exhibit": one.name, "shows": one.title, "here": one.state}
                | {"what is missing": one.missing}
                for one in shown
                if one.name.startswith(("Figure", "Table"))
            ]
        )
        filled = int((frame["here"] != "empty").sum())
        caption = f"{filled} of the paper's {len(frame)} tables and figures have values here"
        lines = prose.say(self.index, **facts)
        return Section(
            title="What of the paper is here",
            parts=(
                *((Text(lines=lines),) if lines else ()),
                Sheet(name="what_is_here", caption=caption, frame=frame),
            ),
        )

"""What a study's page is made of, as data: tables, figures and notes with what fills them.

A study lists its exhibits in analysis/exhibits/STUDY.py: for each table or figure its name and
title, the function from the shared material to the frame that fills it, the published values to
stand beside it, the function that draws it, and a template of its caption. `build` fills the list
from the material of some rows; an exhibit that nothing fills says in one sentence what would.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis import reading
from analysis.layout import compared, prose
from analysis.layout.material import Fill, Material
from analysis.layout.page import (
    Fold,
    Heading,
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
    unfolded,
)

Template = str | prose.Block
Facts = Callable[[Material], Mapping[str, object] | None]
# A part of an exhibit: what it shows of some material.
Show = Callable[[Material], Iterable[Part]]
# The name of a series, and its rows.
Series = Iterable[tuple[str, pd.DataFrame]]
FEW = 4


def nothing(_: Material) -> Mapping[str, object]:
    """A template without numbers."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Note:
    """Paragraphs from a template, left out where the facts are None."""

    text: Template
    facts: Facts = nothing
    warning: bool = False

    def __call__(self, material: Material) -> Iterator[Part]:
        """Its paragraphs."""
        facts = self.facts(material)
        if facts is not None and (lines := prose.say(self.text, **facts)):
            yield Text(lines=lines, warning=self.warning)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, left out where nothing fills it; its file is `name`.csv.

    `shown` makes what people read of the filled frame, and second lines for some columns if it
    returns two frames; the frame is kept whole as `keep`.csv if that is a name. More rows than
    `most` are folded. `heads` renames columns for people; `label` is the model in every table.
    """

    name: str
    fill: Fill
    caption: Template
    facts: Facts = nothing
    heads: Mapping[str, str] = field(default_factory=dict)
    shown: Callable[[pd.DataFrame], pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]] | None = None
    keep: str = ""
    decimals: int = 3
    most: float = float("inf")

    def __call__(self, material: Material) -> Iterator[Part]:
        """The table and its file."""
        found, read = filled(material, self.fill)
        if found.empty:
            return
        shown = found if self.shown is None else self.shown(found)
        frame, small = shown if isinstance(shown, tuple) else (shown, None)
        facts = {"rows": len(frame), **(self.facts(material) or {})}
        yield Sheet(
            name=self.name,
            caption=prose.line(self.caption, **facts),
            frame=frame.reset_index(drop=True),
            heads={"label": "model", **self.heads},
            small=small,
            kept={self.keep: found} if self.keep else {},
            collapsed=len(frame) > self.most,
            decimals=self.decimals,
            read=read,
        )


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
    caption: Template
    published: Fill | None = None
    facts: Facts = nothing
    order: Callable[[pd.DataFrame], pd.DataFrame] = lambda joined: joined
    columns: Callable[[pd.DataFrame, pd.DataFrame], Sequence[str]] = lambda ours, printed: [
        *printed["column"],
        *ours["column"],
    ]
    decimals: int = 3
    collapsed: bool = False

    def __call__(self, material: Material) -> Iterator[Part]:
        """The table, and both values in one file."""
        ours, read = filled(material, self.fill)
        if ours.empty:
            return
        places = [name for name in ours.columns if name not in compared.OURS]
        printed = ours.iloc[:0]
        joined = compared.alone(ours)
        if self.published is not None:
            printed = material.get(self.published)
            joined = compared.join(ours, printed, places=places)
        joined = self.order(joined)
        columns = dict.fromkeys(self.columns(ours, printed))
        facts = {"counted": compared.counted(joined), **(self.facts(material) or {})}
        frame, small = compared.wide(
            joined, places=places, columns={name: name for name in columns}, value="value",
            under=partial(compared.under, decimals=self.decimals),
        )  # fmt: skip
        file = f"{self.name}_beside_the_paper"
        yield Sheet(
            name=self.name,
            caption=prose.line(self.caption, **facts),
            frame=frame,
            small=small,
            kept={} if self.published is None else {file: joined},
            collapsed=self.collapsed,
            decimals=self.decimals,
            read=read,
        )


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
    by: Callable[[Material, pd.DataFrame], Series]
    draw: Callable[[Material, pd.DataFrame, str], Figure]
    caption: Template
    heading: Template = "{{ said }}"
    facts: Callable[[pd.DataFrame], Mapping[str, object]] = lambda _: {}
    words: Callable[[pd.DataFrame, int], Sequence[str]] | None = None
    size: Size | Callable[[pd.DataFrame], Size] = "wide"
    few: int = FEW
    fold: Template = ""

    def __call__(self, material: Material) -> Iterator[Part]:
        """The figures."""
        found, read = filled(material, self.fill)
        pictures: list[Part] = []
        for said, rows in self.by(material, found) if len(found) else ():
            words = (said,) if self.words is None else self.words(rows, len(pictures))
            facts = {"said": said, **self.facts(rows)}
            heading = prose.line(self.heading, **facts)
            pictures.append(
                Picture(
                    name=file_name(self.name, *words),
                    caption=prose.line(self.caption, **facts),
                    draw=partial(self.draw, material, rows, heading),
                    numbers=rows,
                    read=read,
                    size=self.size(rows) if callable(self.size) else self.size,
                )
            )
        yield from folded(pictures, few=self.few, fold=self.fold)


def filled(material: Material, fill: Fill) -> tuple[pd.DataFrame, frozenset[str]]:
    """A frame of the material, and the tables of rows that it was computed from."""
    with reading.watched() as found:
        frame = material.get(fill)
    return frame, frozenset(found)


def folded(pictures: Sequence[Part], *, few: int = FEW, fold: Template = "") -> Iterator[Part]:
    """The first few pictures and the others behind a fold; with `fold` all behind it or none."""
    first = 0 if fold and len(pictures) > few else few
    yield from pictures[:first]
    if rest := tuple(pictures[first:]):
        caption = fold if first == 0 and fold else prose.shared("more")
        yield Fold(caption=prose.line(caption, count=len(rest)), parts=rest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """One table or figure of a paper, or of our own.

    `empty` is the template of why nothing is shown and what would fill it, `lacking` that of what
    is missing of it, empty where nothing is; `facts` has the numbers of both. `files` are frames
    worth keeping that the page does not print.
    """

    name: str
    title: str
    parts: Sequence[Show]
    empty: Template
    lacking: Template = ""
    facts: Facts = nothing
    files: Mapping[str, Fill] = field(default_factory=dict)

    def show(self, material: Material) -> Shown:
        """What the material fills of it; notes count only where there is nothing else to fill."""
        made = [(part, parts_of(part, material)) for part in self.parts]
        solid = any(not isinstance(part, Note) for part, _ in made)
        filled = any(
            found and not (isinstance(part, Note) and (solid or part.facts is nothing))
            for part, found in made
        )
        missing = prose.line(self.lacking if filled else self.empty, **self.facts(material) or {})
        if not filled:
            return Shown(name=self.name, title=self.title, missing=missing)
        parts = tuple(one for _, found in made for one in found)
        files = {name: material.get(fill) for name, fill in self.files.items()}
        return Shown(
            name=self.name,
            title=self.title,
            missing=missing,
            parts=parts,
            files=_kept(parts) | files,
        )


def parts_of(show: Show, material: Material) -> list[Part]:
    """The parts that are shown, each with the tables of rows that they were computed from."""
    with reading.watched() as found:
        made = list(show(material))
    return [_computed_from(part, frozenset(found)) for part in made]


def _computed_from(part: Part, tables: frozenset[str]) -> Part:
    """The part, and those inside it, with these tables unless it names its own."""
    if isinstance(part, Fold):
        return replace(part, parts=tuple(_computed_from(one, tables) for one in part.parts))
    if isinstance(part, Sheet | Picture) and not part.read:
        return replace(part, read=tables)
    return part


def _kept(parts: Iterable[Part]) -> dict[str, pd.DataFrame]:
    """The frames that tables keep for files of their own."""
    sheets = [part for part in unfolded(parts) if isinstance(part, Sheet)]
    return {name: frame for sheet in sheets for name, frame in sheet.kept.items()}


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A section: exhibits, and parts that are none."""

    title: str
    parts: Sequence[Exhibit | Show]


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """The page of one study.

    `study` is its name in the rows. `topics` are its sections, made of the material where they
    depend on it. `prose` is a file beside it with the blocks `summary`, `warnings` and `methods`,
    for which `facts` has the numbers. `main` makes what the terminal shows, `no_main` says why
    there is none. `paper` are the tables and figures of its paper, in their order: the page begins
    with the block `paper` and a list of what of them is here. Without a paper, exhibits that
    nothing fills are left out. `lead_table` and `lead_figure` name what a reader wants first:
    what the terminal shows and the first figure where they are empty or not there.
    """

    study: str
    title: str
    topics: Sequence[Topic] | Callable[[Material], Sequence[Topic]]
    prose: str = ""
    facts: Facts = nothing
    main: Callable[[Material], Main | None] = lambda _: None
    no_main: str = "this study has no main table; its report has all of them"
    files: Mapping[str, Fill] = field(default_factory=dict)
    paper: Sequence[Exhibit] = ()
    lead_table: str = ""
    lead_figure: str = ""

    def build(self, material: Material) -> Page:
        """The page that the material fills."""
        facts = self.facts(material) or {}
        shown: dict[str, Shown] = {}
        with reading.watched() as found:
            topics = self.topics(material) if callable(self.topics) else self.topics
        sections = [self._section(topic, material, shown, frozenset(found)) for topic in topics]
        blocks = ("summary", "warnings", "methods", *(("paper",) if self.paper else ()))
        said = {
            name: prose.say(prose.Block(self.prose, name), **facts) if self.prose else ()
            for name in blocks
        }
        if self.paper:
            here = [shown[one.name] for one in self.paper]
            sections.insert(0, _coverage(here, said["paper"]))
        if said["methods"]:
            (title,) = prose.say(prose.shared("methods_title"))
            sections.append(Section(title=title, parts=(Text(lines=said["methods"]),)))
        files = {name: material.get(fill) for name, fill in self.files.items()}
        main = self.main_of(material)
        held = {name: frame for one in shown.values() for name, frame in one.files.items()}
        return Page(
            title=self.title,
            summary=said["summary"],
            warnings=said["warnings"],
            sections=tuple(section for section in sections if section.parts),
            files={name: frame for name, frame in files.items() if len(frame)}
            | _kept(part for section in sections for part in section.parts)
            | held,
            exhibits=shown,
            main=() if main is None else (main,),
            no_main=self.no_main,
            lead_table=self.lead_table,
            lead_figure=self.lead_figure,
        )

    def main_of(self, material: Material) -> Main | None:
        """The main table, with the tables of rows that it was computed from."""
        with reading.watched() as found:
            main = self.main(material)
        return None if main is None else replace(main, read=frozenset(found))

    def _section(
        self, topic: Topic, material: Material, shown: dict[str, Shown], read: frozenset[str]
    ) -> Section:
        """Its parts; an exhibit has a heading, an empty one the sentence why. Adds to `shown`.

        `read` are the tables that the topic itself was made of.
        """
        parts: list[Part] = []
        for part in topic.parts:
            if not isinstance(part, Exhibit):
                parts += [_computed_from(one, read) for one in parts_of(part, material)]
                continue
            one = shown[part.name] = part.show(material)
            if one.parts or self.paper:
                parts += [Heading(text=f"{one.name}: {one.title}"), *one.parts]
                parts += [Text(lines=(one.missing,))] if one.missing else []
        return Section(title=topic.title, parts=tuple(parts))


def _coverage(shown: Sequence[Shown], lines: tuple[str, ...]) -> Section:
    """Every table and figure of the paper: filled, partly filled, or empty and why."""
    frame = pd.DataFrame(
        [
            {"exhibit": one.name, "shows": one.title, "here": one.state}
            | {"what is missing": one.missing}
            for one in shown
        ]
    )
    filled = int((frame["here"] != "empty").sum())
    title, caption = prose.say(prose.shared("coverage"), filled=filled, every=len(frame))
    sheet = Sheet(name="what_is_here", caption=caption, frame=frame)
    return Section(title=title, parts=(*((Text(lines=lines),) if lines else ()), sheet))

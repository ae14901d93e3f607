"""Points in the plane: sentences or questions by panel, a colour and a mark for each kind.

Both sides of a pair may be joined by a thin line; axes have no scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.drawing import GREY, INK, STYLE, heading_inches, title, without_scale
from analysis.figures.heat import script
from analysis.figures.labels import label_points

Floats = npt.NDArray[np.float64]
# Up to so many kinds each has a colour of its own.
FEW = 20
MARKS = "osD^vP*X<>hp8d"
COMMON = 9
OTHER = "other"
GAP = 0.12
RASTERIZED_FROM = 500


class Kind(NamedTuple):
    """How points of one kind look; `size` in points."""

    colour: str
    mark: str
    size: float = 3.4
    alpha: float = 0.75


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Places by kind, [n, 2] each; `joined` are the ends of lines, [line, end, 2].

    `centres` are drawn large and named.
    """

    title: str
    places: Mapping[str, Floats]
    joined: Floats | None = None
    centres: Mapping[str, Floats] = field(default_factory=dict)


def plane(
    drawn: Sequence[Panel | None],
    *,
    name: str,
    kinds: Mapping[str, Kind],
    key: Mapping[str, str],
    across: int,
    side: float = 2.7,
) -> Figure:
    """The panels, `across` in a row, None for an empty place.

    Args:
        drawn: what is drawn.
        name: the heading.
        kinds: how each kind looks; the first of them lies on top.
        key: names of kinds for the key, by kind.
        across: panels in a row.
        side: inches of a panel.
    """
    down = -(-len(drawn) // across)
    columns = min(len(key), 2 + 2 * across)
    below = 0.25 + 0.2 * -(-len(key) // columns)
    width = across * (side + GAP) + GAP
    heading = title(name, width=width - 2 * GAP)
    above = 0.4 + heading_inches(heading)
    height = above + down * (side + 0.25) + below
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(down, across, squeeze=False)
        figure.subplots_adjust(
            left=GAP / width, right=1 - GAP / width, top=1 - above / height, bottom=below / height,
            wspace=0.06, hspace=0.14,
        )  # fmt: skip
        found = list(grid.flat)
        for number, axes in enumerate(found):
            panel = drawn[number] if number < len(drawn) else None
            if panel is None:
                axes.set_visible(False)
            else:
                _panel(axes, panel, kinds)
        entries = [
            Line2D([], [], linestyle="", marker=kinds[kind].mark, color=kinds[kind].colour,
                   markersize=4.5, markeredgewidth=0)
            for kind in key
        ]  # fmt: skip
        figure.legend(
            entries, list(key.values()), loc="lower center", ncols=columns, frameon=False,
            fontsize=7.5, handletextpad=0.2, columnspacing=1.0,
        )  # fmt: skip
        figure.suptitle(
            heading, x=GAP / width, y=1 - 0.08 / height, ha="left", va="top", fontsize=10
        )
    return figure


def languages(codes: Sequence[str], *, pivot: str) -> tuple[dict[str, Kind], dict[str, str]]:
    """How languages look, and what the key calls them; the pivot is black and first.

    Few languages have a colour each and a mark by script; of many the colour is the script's too,
    and the key has the pivot and the common scripts.
    """
    ordered = sorted(codes, key=lambda code: (code != pivot, script(code), code))
    many = len(ordered) > FEW
    colours = _by_script(ordered) if many else _by_language(ordered)
    colours[pivot] = INK
    scripts = list(dict.fromkeys(script(code) for code in ordered))
    marks = {name: MARKS[place % len(MARKS)] for place, name in enumerate(scripts)}
    size, alpha = (1.8, 0.35) if many else (3.4, 0.75)
    kinds = {code: Kind(colours[code], marks[script(code)], size, alpha) for code in ordered}
    if not many:
        return kinds, {code: code for code in ordered}
    key = {ordered[0]: ordered[0]}
    others = ordered[1:]
    for name in _common(others):
        own = [code for code in others if script(code) == name]
        key[own[0]] = f"{name} ({len(own)})"
    rest = [code for code in others if colours[code] == GREY]
    return kinds, key | ({rest[0]: f"{OTHER} ({len(rest)})"} if rest else {})


def _panel(axes: Axes, panel: Panel, kinds: Mapping[str, Kind]) -> None:
    """The points of one panel, those of one look drawn together, the first kind on top."""
    if panel.joined is not None:
        axes.add_collection(
            LineCollection(list(panel.joined), colors=GREY, linewidths=0.5, alpha=0.7)
        )
    there = [kind for kind in reversed(list(kinds)) if kind in panel.places]
    total = sum(len(places) for places in panel.places.values())
    for look, own in _by_look(there, kinds).items():
        places = np.concatenate([panel.places[kind] for kind in own])
        axes.plot(
            places[:, 0], places[:, 1], look.mark, color=look.colour, alpha=look.alpha,
            markersize=look.size, markeredgewidth=0, rasterized=total > RASTERIZED_FROM,
        )  # fmt: skip
    axes.set_title(panel.title, fontsize=9)
    without_scale(axes)
    if not panel.centres:
        return
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    for look, own in _by_look(there, kinds).items():
        places = np.stack([panel.centres[kind] for kind in own])
        axes.plot(
            places[:, 0], places[:, 1], look.mark, color=look.colour, markersize=4.5,
            markeredgecolor="white", markeredgewidth=0.5,
        )  # fmt: skip
    places = np.stack([panel.centres[kind] for kind in there])
    label_points(axes, places[:, 0], places[:, 1], [kind.partition("_")[0] for kind in there])


def _by_look(there: Sequence[str], kinds: Mapping[str, Kind]) -> dict[Kind, list[str]]:
    """Kinds that look alike, together."""
    found: dict[Kind, list[str]] = {}
    for kind in there:
        found.setdefault(kinds[kind], []).append(kind)
    return found


def _by_language(codes: Sequence[str]) -> dict[str, str]:
    """A colour for each of a few languages."""
    found = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab20"].colors]  # type: ignore[attr-defined]
    return dict(zip(codes, [*found[::2], *found[1::2]], strict=False))


def _by_script(codes: Sequence[str]) -> dict[str, str]:
    """A colour for each of the most common scripts, grey for the others."""
    found = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab10"].colors]  # type: ignore[attr-defined]
    plain = [colour for colour in found if colour != "#7f7f7f"]
    colours = dict(zip(_common(codes), plain, strict=False))
    return {code: colours.get(script(code), GREY) for code in codes}


def _common(codes: Sequence[str]) -> list[str]:
    """The scripts of most languages, the most common first."""
    counts = pd.Series([script(code) for code in codes]).value_counts()
    ordered = sorted(counts.index, key=lambda name: (-int(counts[name]), str(name)))
    return [str(name) for name in ordered[:COMMON]]

"""Parallel questions of all languages in the plane of their states (arXiv 2505.13141, Figure 3).

The one idea: with few languages colour is the language and the mark its script; with many colour is
the script and a label stands at the centre of each language that has room for one. Axes have no
scale and are fitted for each layer alone.
"""

from textwrap import wrap

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.correlations import label_points
from analysis.figures.drawing import GREY, INK, STYLE

# Up to so many languages each has a colour of its own.
FEW = 20
ACROSS = 4
MARKS = "osD^vP*X<>hp8d"
COMMON = 9
OTHER = "other"
SIDE, GAP = 2.7, 0.12
LETTERS_PER_INCH = 11


def plane(rows: pd.DataFrame, *, name: str, pivot: str) -> Figure:
    """A panel per layer; rows need layer, side (the language), x and y. The pivot is black."""
    layers = sorted(set(rows["layer"]))
    languages = sorted(set(rows["side"]), key=lambda code: (code != pivot, script(code), code))
    many = len(languages) > FEW
    colours = _by_script(languages) if many else _by_language(languages)
    colours[pivot] = INK
    marks = _marks(languages)
    down = -(-len(layers) // ACROSS)
    across = -(-len(layers) // down)
    entries = _entries(languages, colours=colours, marks=marks, many=many)
    columns = min(len(entries), 2 + 2 * across)
    below = 0.25 + 0.2 * -(-len(entries) // columns)
    lines = wrap(name, int(across * (SIDE + GAP) * LETTERS_PER_INCH))
    above = 0.42 + 0.17 * len(lines)
    height = above + down * (SIDE + 0.25) + below
    width = across * (SIDE + GAP) + GAP
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(down, across, squeeze=False)
        figure.subplots_adjust(
            left=GAP / width, right=1 - GAP / width, top=1 - above / height, bottom=below / height,
            wspace=0.06, hspace=0.14,
        )  # fmt: skip
        for axes in list(grid.flat)[len(layers) :]:
            axes.set_visible(False)
        for axes, layer in zip(grid.flat, layers, strict=False):
            own = rows[rows["layer"] == layer]
            _panel(axes, own, languages=languages, colours=colours, marks=marks, many=many)
            axes.set_title(f"layer {layer}", fontsize=9)
        figure.legend(
            handles=entries, loc="lower center", ncols=columns, frameon=False, fontsize=7.5,
            handletextpad=0.2, columnspacing=1.0,
        )  # fmt: skip
        place = {"x": GAP / width, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
        figure.suptitle("\n".join(lines), fontsize=10, **place)
    return figure


def script(code: str) -> str:
    """The script of a language's code: `Latn` of `deu_Latn`."""
    return code.rpartition("_")[2]


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    languages: list[str],
    colours: dict[str, str],
    marks: dict[str, str],
    many: bool,
) -> None:
    """All points of one layer, and with many languages a label at the centre of each."""
    there = [code for code in reversed(languages) if (rows["side"] == code).any()]
    for code, own in _drawn_together(there, colours=colours, marks=marks).items():
        points = rows[rows["side"].isin(own)]
        axes.plot(
            points["x"], points["y"], marks[code], color=colours[code],
            alpha=0.35 if many else 0.75, markersize=1.8 if many else 3.4, markeredgewidth=0,
            rasterized=len(rows) > 500,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#CCCCCC")
    if many:
        axes.set_xlim(axes.get_xlim())
        axes.set_ylim(axes.get_ylim())
        centres = rows.groupby("side")[["x", "y"]].mean()
        for code, own in _drawn_together(there, colours=colours, marks=marks).items():
            axes.plot(
                centres.loc[own, "x"], centres.loc[own, "y"], marks[code], color=colours[code],
                markersize=4.5, markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip
        places = centres.loc[there].to_numpy(float)
        label_points(axes, places[:, 0], places[:, 1], [code.partition("_")[0] for code in there])


def _drawn_together(
    languages: list[str], *, colours: dict[str, str], marks: dict[str, str]
) -> dict[str, list[str]]:
    """The languages of one colour and mark, under the first of them."""
    found: dict[tuple[str, str], list[str]] = {}
    for code in languages:
        found.setdefault((colours[code], marks[code]), []).append(code)
    return {codes[0]: codes for codes in found.values()}


def _by_language(languages: list[str]) -> dict[str, str]:
    """A colour for each of a few languages."""
    found = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab20"].colors]  # type: ignore[attr-defined]
    order = [*found[::2], *found[1::2]]
    return dict(zip(languages, order, strict=False))


def _by_script(languages: list[str]) -> dict[str, str]:
    """A colour for each of the most common scripts, grey for the others."""
    common = _common(languages)
    found = [matplotlib.colors.to_hex(colour) for colour in matplotlib.colormaps["tab10"].colors]  # type: ignore[attr-defined]
    plain = [colour for colour in found if colour != "#7f7f7f"]
    by_script = dict(zip(common, plain, strict=False))
    return {code: by_script.get(script(code), GREY) for code in languages}


def _common(languages: list[str]) -> list[str]:
    """The scripts of most languages, the most common first."""
    counts = pd.Series([script(code) for code in languages]).value_counts()
    ordered = sorted(counts.index, key=lambda name: (-int(counts[name]), str(name)))
    return [str(name) for name in ordered[:COMMON]]


def _marks(languages: list[str]) -> dict[str, str]:
    """A mark for each script, repeated where there are more scripts than marks."""
    scripts = list(dict.fromkeys(script(code) for code in languages))
    by_script = {name: MARKS[place % len(MARKS)] for place, name in enumerate(scripts)}
    return {code: by_script[script(code)] for code in languages}


def _entries(
    languages: list[str], *, colours: dict[str, str], marks: dict[str, str], many: bool
) -> list[Line2D]:
    """The legend: languages if few, else the pivot and the common scripts."""
    if not many:
        named = {code: code for code in languages}
    else:
        named = {languages[0]: languages[0]}
        for name in _common(languages[1:]):
            first = next(code for code in languages[1:] if script(code) == name)
            named[first] = f"{name} ({sum(script(code) == name for code in languages)})"
        rest = [code for code in languages[1:] if colours[code] == GREY]
        named |= {rest[0]: f"{OTHER} ({len(rest)})"} if rest else {}
    return [
        Line2D([], [], linestyle="", marker=marks[code], color=colours[code], markersize=4.5,
               markeredgewidth=0, label=text)
        for code, text in named.items()
    ]  # fmt: skip

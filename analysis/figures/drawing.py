"""What all figures share: colours, letters, margins, panels, and how a figure is saved.

Names are plain text, whatever is in them: none is read as mathematics, no edge cuts one off, and of
a long one at a tick or in a key the middle is left out, which its dots say.
"""

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from textwrap import wrap

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

# Any two of these lie apart for every kind of colour vision, and no two are the same grey: a test
# computes both. Where lines or points of several colours meet, their marks differ too.
BLUE, ORANGE, GREEN, GREY, INK = "#0060B5", "#FA5300", "#088D50", "#9AA0A6", "#222222"
PURPLE, SKY, BROWN = "#831C72", "#66C0EB", "#4E2E00"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN, GREY, INK)
# Grid lines, and the axes of what has no scale.
LIGHT, FRAME = "#E3E3E3", "#CCCCCC"
# More rows or lines than one screen shows.
CROWDED = 40
COLOURS: Mapping[str, str] = {
    "mexa": ORANGE,
    "nasca": BLUE,
    "navca": GREEN,
    "cka": PURPLE,
    "svcca": SKY,
    "anc": BROWN,
}
# Text on the cells of a heat map, which are the same on a light page and on a dark one.
ON_LIGHT, ON_DARK = "#111111", "#fefefe"
# Tried in this order for every letter, as far as they are installed; the first one always is.
NOTO = (
    *("CJK SC", "CJK JP", "CJK KR", "Arabic", "Hebrew", "Devanagari", "Bengali", "Gurmukhi"),
    *("Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao"),
    *("Khmer", "Myanmar", "Ethiopic", "Georgian", "Armenian", "Tifinagh", "NKo", "Ol Chiki"),
    *("Meetei Mayek", "Thaana", "Symbols"),
)
FONTS = (
    "DejaVu Sans",
    *(f"Noto Sans {script}" for script in NOTO),
    "Noto Serif Tibetan",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "Nirmala UI",
    "Segoe UI",
)
_THERE = set(font_manager.get_font_names())
SANS = [name for name in FONTS if name in _THERE] or ["DejaVu Sans"]
MONO = ["DejaVu Sans Mono", *SANS[1:]]
STYLE: dict[str, object] = {
    "font.family": SANS,
    # A model may be called $\frac{1$.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "babelscope",
}
WIDTH = 5.6
# Of a title, which is set in 10 points, the height of a line, and the width of one beside tick
# labels, in inches.
LETTERS_PER_INCH, LINE_INCHES, TITLE_WIDTH = 12.4, 0.18, WIDTH - 1.2
EDGE_INCHES = 0.08
LONGEST_LABEL = 44
PNG_DOTS_PER_INCH = 130
# Of what is drawn as an image inside an SVG: a thousand thin lines.
RASTER_DOTS_PER_INCH = 100
# What SVG is measured in.
POINTS_PER_INCH = 72


def save(figure: Figure, *, stem: Path, lacking: set[str] | None = None) -> str:
    """Write stem.svg and stem.png; return the drawing as SVG with its letters as text.

    The edge of the picture is that of what is drawn, so no label is cut. Letters that no installed
    font has are drawn as boxes in the two files; they are added to `lacking`.
    """
    path, text = StringIO(), StringIO()
    with matplotlib.rc_context(STYLE), _letters(set() if lacking is None else lacking):
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
        # No engine at all: with any, matplotlib draws once more before each file.
        figure.set_layout_engine(None)
        svg = partial(
            figure.savefig, format="svg", metadata={"Date": None}, dpi=RASTER_DOTS_PER_INCH,
            bbox_inches=_edge(figure, RendererBase, dots=POINTS_PER_INCH),
        )  # fmt: skip
        svg(path)
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            svg(text)
        figure.savefig(
            stem.parent / f"{stem.name}.png", dpi=PNG_DOTS_PER_INCH,
            bbox_inches=_edge(
                figure, FigureCanvasAgg(figure).get_renderer, dots=PNG_DOTS_PER_INCH
            ),
        )  # fmt: skip
    (stem.parent / f"{stem.name}.svg").write_text(path.getvalue(), encoding="utf-8")
    return text.getvalue()[text.getvalue().index("<svg") :]


def _edge(figure: Figure, renderer: Callable[[], RendererBase], *, dots: float) -> Bbox:
    """The edge of what is drawn, in inches, as a renderer measures letters at a resolution.

    Found once for each kind of file: matplotlib's own "tight" draws the whole figure once more.
    """
    figure.set_dpi(dots)
    return figure.get_tightbbox(renderer()).padded(EDGE_INCHES)


@contextmanager
def _letters(lacking: set[str]) -> Iterator[None]:
    """A block in which letters without a font are collected, not warned of one by one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        said = str(one.message)
        if found := re.match(r"Glyph (\d+) ", said):
            lacking.add(chr(int(found[1])))
        # Labels that are longer than a figure widen it.
        elif not said.startswith("constrained_layout not applied"):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def scripts(letters: Iterable[str]) -> list[str]:
    """The scripts of some letters, as Unicode names them: `Devanagari`; marks and signs by name."""
    names = (unicodedata.name(letter, "other signs") for letter in letters)
    return sorted({name.split()[0].capitalize() for name in names})


def margins() -> ConstrainedLayoutEngine:
    """A layout that keeps labels off each other and off the edge, in inches."""
    return ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)


def panels(
    count: int,
    *,
    across: int,
    inches: tuple[float, float],
    above: float,
    least: float = 4.6,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """`count` sets of axes, `across` in a row, each of so many inches, `above` for the heading."""
    across = max(1, min(across, count))
    down = -(-count // across)
    size = (max(least, inches[0] * across), above + inches[1] * down)
    figure = Figure(figsize=size, layout=margins())
    grid = figure.subplots(down, across, sharey=sharey, squeeze=False)
    for axes in list(grid.flat)[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat)[:count]


def tall(count: int, *, width: float, below: float = 0.0) -> tuple[Figure, Axes]:
    """A figure whose height grows with its rows, so that every label keeps its own line.

    `below` is room under a crowded figure, in inches.
    """
    if count <= CROWDED:
        figure = Figure(figsize=(width, 1.25 + max(0.8, 0.2 * count)), layout=margins())
        return figure, figure.subplots()
    # So many labels that finding a layout takes longer than drawing: inches are counted instead.
    height = 2.2 + below + 0.125 * count
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=0.8 / width, right=1 - 0.12 / width, top=1 - 0.6 / height,
        bottom=(0.55 + below) / height,
    )  # fmt: skip
    return figure, figure.subplots()


def rows_down(axes: Axes, codes: Sequence[str]) -> None:
    """Codes of languages down the side."""
    size = 8 if len(codes) <= CROWDED else 6
    axes.set_yticks(range(len(codes)), codes, fontsize=size, family=MONO)
    axes.tick_params(axis="y", length=0)


def without_scale(axes: Axes) -> None:
    """Axes whose coordinates have no meaning of their own: a frame and nothing else."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(FRAME)


def title(name: str, seen: str = "", *, width: float = TITLE_WIDTH, size: float = 10) -> str:
    """What is drawn, then what is seen, in lines of so many inches at a size in points."""
    letters = width * LETTERS_PER_INCH * 10 / size
    return "\n".join(line for part in (name, seen) for line in _lines(part, letters))


def heading_inches(heading: str) -> float:
    """How high a title of several lines is."""
    return LINE_INCHES * (heading.count("\n") + 1)


def short(name: str) -> str:
    """A name for a tick or a key; of a long one the middle is left out."""
    half = LONGEST_LABEL // 2
    return name if len(name) <= LONGEST_LABEL else f"{name[:half]} ... {name[-half:]}"


def _lines(text: str, letters: float) -> list[str]:
    """The text in lines, of half as many letters where they are twice as wide."""
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return wrap(text, max(12, int(letters / 2 if wide else letters)))

"""What all figures share: colours, letters, margins, and how one is saved.

The one idea: it draws on the object interface alone, so no window, no global state and no order of
calls. Languages are named by code: every label is Latin script.
"""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from textwrap import wrap

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#9AA0A6", "#222222"
PURPLE, SKY, YELLOW = "#AA4499", "#56B4E9", "#B8860B"
COLOURS: Mapping[str, str] = {
    "mexa": ORANGE,
    "nasca": BLUE,
    "navca": GREEN,
    "cka": PURPLE,
    "svcca": SKY,
    "anc": YELLOW,
}
STYLE: dict[str, object] = {
    "font.family": "DejaVu Sans",
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
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "babelscope",
}
WIDTH = 5.6
TITLE_LETTERS = 62
PNG_DOTS_PER_INCH = 130
# Of what is drawn as an image inside an SVG: a thousand thin lines.
RASTER_DOTS_PER_INCH = 100


def save(figure: Figure, *, stem: Path) -> str:
    """Write stem.svg and stem.png; return the SVG element, ready to stand inside a page."""
    buffer = StringIO()
    with matplotlib.rc_context(STYLE):
        if figure.get_layout_engine() is not None:
            # The layout is found once here, not once more for each of the two files.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=RASTER_DOTS_PER_INCH)
        figure.savefig(stem.parent / f"{stem.name}.png", dpi=PNG_DOTS_PER_INCH)
    text = buffer.getvalue()
    (stem.parent / f"{stem.name}.svg").write_text(text, encoding="utf-8")
    return text[text.index("<svg") :]


def margins() -> ConstrainedLayoutEngine:
    """A layout that keeps labels off each other and off the edge, in inches."""
    return ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)


def title(name: str, seen: str) -> str:
    """What is drawn, then what is seen, in lines that fit the narrowest figure."""
    return "\n".join(line for part in (name, seen) for line in wrap(part, TITLE_LETTERS))

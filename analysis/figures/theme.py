"""Figures on a dark page: every colour of a drawing gets its counterpart there.

A drawing inside a page names its colours as CSS variables that fall back to themselves, and the
page redefines them where the reader's screen is dark. Greys change places, colours become lighter
until they stand out, and what lies on a heat map's cells stays. Files beside the page are light.
"""

import re
from collections.abc import Iterable
from colorsys import hls_to_rgb, rgb_to_hls

from matplotlib.colors import to_hex, to_rgb

from analysis.figures.drawing import BLUE, BROWN, GREEN, ON_DARK, ON_LIGHT, ORANGE, PURPLE, SKY

# The dark page's own card, and the lightness of black and of almost white there.
CARD = "#1e2329"
BLACK, WHITE = 0.93, 0.17
# Below this saturation a colour is a grey.
GREY = 0.12
# WCAG 2.1's contrast of graphical objects, success criterion 1.4.11.
CONTRAST = 3.0
STEP = 0.02
# Of the colours of series, which keep as far apart on a dark page as on a light one.
OF_SERIES = {
    BLUE: "#3295ec", ORANGE: "#f57f23", GREEN: "#50dda1", PURPLE: "#d64ab8", SKY: "#b4e9fe",
    BROWN: "#d5b270",
}  # fmt: skip
USED = re.compile(r"((?:fill|stroke|stop-color): ?)(#[0-9a-f]{6})\b")
VARIABLE = re.compile(r"var\(--c([0-9a-f]{6}),")


def with_variables(svg: str) -> str:
    """The drawing with `var(--cRRGGBB, #RRGGBB)` in place of the colours of its lines and areas."""
    return USED.sub(lambda found: found[1] + _variable(found[2]), svg)


def dark_variables(drawings: Iterable[str]) -> str:
    """Declarations of all variables that drawings use, with their colours on a dark page."""
    colours = sorted({colour for svg in drawings for colour in VARIABLE.findall(svg)})
    return " ".join(f"--c{colour}: {dark(f'#{colour}')};" for colour in colours)


def dark(colour: str) -> str:
    """A colour's counterpart on a dark page."""
    if colour == "#ffffff":
        return CARD
    if colour.upper() in OF_SERIES:
        return OF_SERIES[colour.upper()]
    hue, lightness, saturation = rgb_to_hls(*to_rgb(colour))
    if saturation < GREY or lightness in (0.0, 1.0):
        lightness = BLACK - (BLACK - WHITE) * lightness
    while contrast(to_hex(hls_to_rgb(hue, lightness, saturation)), CARD) < CONTRAST:
        if saturation < GREY or lightness > 1 - STEP:
            break
        lightness += STEP
    return str(to_hex(hls_to_rgb(hue, lightness, saturation)))


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _variable(colour: str) -> str:
    """A colour as the page can redefine it."""
    if colour in (ON_DARK, ON_LIGHT):
        return colour
    return f"var(--c{colour[1:]}, {colour})"


def _luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

"""Labels beside points, placed where they meet neither a point nor one another.

A label that finds no free place is left out.
"""

from typing import NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt

from analysis.figures.drawing import GREY, INK

Floats = npt.NDArray[np.float64]

LABEL_POINTS = 7.0
RINGS_POINTS = (5.0, 11.0, 18.0, 26.0)
ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 325, 215])


class Box(NamedTuple):
    """A rectangle in points on the page."""

    left: float
    bottom: float
    right: float
    top: float


def label_points(axes: matplotlib.axes.Axes, x: Floats, y: Floats, names: list[str]) -> None:
    """Write each name near its point, nearest free place first, with a hair line when far."""
    scale = 72 / axes.figure.dpi
    places = axes.transData.transform(np.column_stack([x, y])) * scale
    frame = axes.get_window_extent()
    inside = Box(frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    taken = [Box(a - 3, b - 3, a + 3, b + 3) for a, b in places]
    for index, name in enumerate(names):
        spot = free_place(tuple(places[index]), name=name, taken=taken, inside=inside)
        if spot is None:
            continue
        taken.append(spot)
        left, bottom = spot.left - places[index][0], spot.bottom - places[index][1]
        far = _gap(spot, places[index]) > RINGS_POINTS[0] + 1
        axes.annotate(
            name, (x[index], y[index]), (left, bottom), textcoords="offset points", color=INK,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4},
            fontsize=LABEL_POINTS, ha="left", va="bottom", zorder=2.5,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5} if far else None,
        )  # fmt: skip


def free_place(point: tuple[float, ...], *, name: str, taken: list[Box], inside: Box) -> Box | None:
    """The nearest rectangle for a label that meets nothing, or None where all are taken."""
    width, height = 0.62 * LABEL_POINTS * len(name), 1.25 * LABEL_POINTS
    for ring in RINGS_POINTS:
        for angle in ANGLES:
            across, up = np.cos(angle), np.sin(angle)
            left = point[0] + ring * across - width * (1 - across) / 2
            bottom = point[1] + ring * up - height * (1 - up) / 2
            spot = Box(left, bottom, left + width, bottom + height)
            fits = spot.left >= inside.left and spot.right <= inside.right
            fits = fits and spot.bottom >= inside.bottom and spot.top <= inside.top
            if fits and not any(_meet(spot, other) for other in taken):
                return spot
    return None


def _meet(one: Box, other: Box) -> bool:
    """Whether two rectangles overlap."""
    across = one.left < other.right and other.left < one.right
    return across and one.bottom < other.top and other.bottom < one.top


def _gap(spot: Box, point: Floats) -> float:
    """Distance from a point to the nearest edge of a rectangle."""
    across = max(spot.left - point[0], point[0] - spot.right, 0.0)
    up = max(spot.bottom - point[1], point[1] - spot.top, 0.0)
    return float(np.hypot(across, up))

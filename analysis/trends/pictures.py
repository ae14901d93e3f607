"""The figures of a model along its training: a measure by state, and alignment against accuracy."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import read
from analysis.figures import curves, over_training, scatter
from analysis.figures.drawing import COLOURS, INK, short
from analysis.layout.exhibit import folded
from analysis.layout.page import Part, Picture, Size, file_name
from analysis.shared.coefficients import statement
from analysis.statistics import correlate
from analysis.trends import together
from analysis.trends.course import PLACE, Course
from analysis.trends.measured import Measured, Place

# Figures before the others are folded, panels of a figure, and labels beside points.
FEW, MOST_PANELS, MOST_LABELS = 6, 9, 14


def of_measures(course: Course, order: Sequence[Place], drawn: Collection[str]) -> Iterator[Part]:
    """A figure per measure, its benchmarks and data sets beside each other."""
    held = {one.place: one for one in course.measured}
    groups: dict[str, list[Measured]] = {}
    for place in order:
        if place.measure not in drawn:
            groups.setdefault(place.measure, []).append(held[place])
    pictures: list[Part] = [
        Picture(
            name=file_name("trend", course.model, measure),
            caption=f"{course.model}: {measure} over training.",
            draw=partial(draw, course, measured[:MOST_PANELS]),
            numbers=_levels(course, measured[:MOST_PANELS]),
            size="half" if len(measured) == 1 else "wide",
        )
        for measure, measured in groups.items()
    ]
    yield from folded(pictures, few=FEW)


def _levels(course: Course, measured: Sequence[Measured]) -> pd.DataFrame:
    """The means over languages that a figure shows."""
    levels = course.levels
    held = [(levels[PLACE] == list(one.place)).all(axis="columns") for one in measured]
    return levels[np.logical_or.reduce(held)].reset_index(drop=True)


def draw(course: Course, measured: Sequence[Measured]) -> Figure:
    """A panel per benchmark or data set of a measure: languages thin, their mean thick."""
    panels = []
    for one in measured:
        places = _places(course)
        known = [(name, state) for name, state in course.places(one)]
        grid = pd.DataFrame(
            one.values[[state for _, state in known]],
            index=[places[name] for name, _ in known], columns=list(one.languages),
        )  # fmt: skip
        levels = course.levels
        own = levels[(levels[PLACE] == list(one.place)).all(axis="columns")]
        of, conditions = one.place.of, one.place.conditions
        panels.append(
            over_training.panel(
                grid, title=f"{of}, {conditions}" if conditions else of,
                y=one.place.measure, x=_axis(course), ends=_beyond(course),
                colour=COLOURS.get(one.place.measure, INK),
                band=(own["low"].to_numpy(float), own["high"].to_numpy(float)),
            )
        )  # fmt: skip
    return curves.curves(
        panels,
        name=f"{course.model}: {measured[0].place.measure} (thin: one language, thick: their mean, "
        "95 % interval)",
    )


def _axis(course: Course) -> str:
    """The axis across."""
    return "date" if course.order.axis == "date" else "training step"


def _places(course: Course) -> dict[str, float]:
    """Where each state stands."""
    return dict(zip(course.order.revisions, course.order.places, strict=True))


def _beyond(course: Course) -> dict[str, float]:
    """A last state without a step, by its name."""
    last = course.newest
    without = course.order.axis == "step" and course.at[last]["step"] is None
    return {short(last): course.order.places[-1]} if without else {}


def of_correlation(course: Course, found: pd.DataFrame, headline: str) -> Iterator[Part]:
    """Alignment against accuracy, of rows of `together.by_state`: r, and the means of both."""
    size: Size = "half" if found[together.SET].drop_duplicates().shape[0] == 1 else "wide"
    yield Picture(
        name=file_name("trend", course.model, "correlation"),
        caption=f"{course.model}: {headline} against accuracy over training.",
        draw=partial(draw_together, course, found, headline),
        numbers=found,
        size=size,
    )
    yield Picture(
        name=file_name("trend", course.model, "means"),
        caption=f"{course.model}: mean {headline} and mean accuracy, a point per state.",
        draw=partial(draw_means, course, found, headline),
        numbers=found,
        size=size,
    )


def draw_together(course: Course, found: pd.DataFrame, headline: str) -> Figure:
    """r over languages by state with Fisher's interval, a panel per benchmark."""
    places = _places(course)
    panels = []
    for names, own in list(found.groupby(together.SET, sort=True))[:MOST_PANELS]:
        known = own.dropna(subset="r")
        r = known["r"].to_numpy(float)
        of = f"{r[0]:.2f} to {r[-1]:.2f}" if len(r) else own["note"].iloc[-1]
        panels.append(
            curves.Panel(
                title=f"{names[2]}: r {of} ({own['n'].iloc[-1]} languages)",
                lines=[curves.Line(
                    x=np.array([places[str(name)] for name in known["revision"]]), y=r,
                    low=known["low"].to_numpy(float), high=known["high"].to_numpy(float),
                    width=2.2, marker="o" if len(r) <= over_training.MARKED else "",
                )],
                x=_axis(course), y="Pearson's r over languages", zero=True, ends=_beyond(course),
                bottom=-1.0, top=1.0, dates=course.order.axis == "date",
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=f"{course.model}: {headline} against accuracy (95 % interval)"
    )


def draw_means(course: Course, found: pd.DataFrame, headline: str) -> Figure:
    """Mean score against mean accuracy, a point per state, a panel per benchmark.

    Levels of one training rise together whatever the cause, so r is that of their changes.
    """
    panels = []
    for names, own in list(found.groupby(together.SET, sort=True))[:MOST_PANELS]:
        x, y = own["score"].to_numpy(float), own["accuracy"].to_numpy(float)
        steps = correlate.pearson(np.diff(x), y=np.diff(y))
        panels.append(
            scatter.Panel(
                title=str(names[2]), note=statement(steps, of="changes between states"), x=x, y=y,
                names=[read.short_revision(name) if step is pd.NA else str(step)
                       for name, step in zip(own["revision"], own["step"], strict=True)],
                y_label="mean accuracy",
            )
        )  # fmt: skip
    return scatter.scatter(
        panels, name=f"{course.model} over training", x=f"mean {headline}", share=False,
        across=min(3, len(panels)), most_labels=MOST_LABELS,
    )  # fmt: skip

"""What steering vectors have to do with single items: their alignment, and what patches change.

Two questions between papers: does steering toward the pivot bring the options of failed items
nearer to their translations, and does a patch with the pivot's state change a question in the
direction in which a steering vector would?
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from analysis.dali import frames
from analysis.dali.figures import ITEMS
from analysis.dali.frames import ALL, FAILURES, SUCCESSES
from analysis.dali.text import BY_SERIES, MOST_ROWS, text, varying
from analysis.figures import curves
from analysis.layout import prose, tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Table
from analysis.layout.material import Material
from analysis.results import patched, toward_pivot
from analysis.results.answers import SERIES, Bools, Texts
from analysis.results.toward_pivot import Values
from analysis.statistics import gaps
from analysis.statistics.paired import benjamini_hochberg
from analysis.statistics.scores import LEVEL

Floats = npt.NDArray[np.float64]

GROUPS = (ALL, SUCCESSES, FAILURES)
SETTING = ["steered_layer", "coefficient"]
STEERED = [*SERIES, *SETTING, "items", "layer", "languages", "n", "plain", "steered", "change",
           "low", "high", "p"]  # fmt: skip
DIRECTIONS = [*SERIES, "items", "layer", "languages", "n", "cosine", "low", "high"]


def steered(material: Material) -> pd.DataFrame:
    """By series, setting, group of items and layer the share aligned, plain and steered.

    All languages together; `low` and `high` are the 95 % percentiles of the change over resampled
    items, the same in all languages, and `p` is that of random signs by item.
    """
    rows: list[dict[str, Any]] = []
    cells = toward_pivot.steered(material.rows.sources)
    for place, several in _grouped(cells, ("layer", "coefficient")).items():
        judged = _judged(material, several)
        for prompt, groups in judged.items():
            named = _named(several[0], prompt, switches=str(several[0].place["switches"]))
            setting = dict(zip(SETTING, place[-2:], strict=True))
            for name in GROUPS:
                rows += [
                    {**named, **setting, "items": name, **row}
                    for row in _changes(several, groups[name])
                ]
    return pd.DataFrame(rows, columns=STEERED)


def at_best(material: Material) -> pd.DataFrame:
    """The rows of the layer in which most items are aligned without steering, over all items: it
    is chosen without a look at what steering does. `p_bh` is adjusted over the table."""
    found = material.get(steered)
    if found.empty:
        return found.assign(p_bh=[])
    every = found[found["items"] == ALL].sort_values(["plain", "layer"], ascending=[False, True])
    best = every.drop_duplicates([*SERIES, *SETTING])[[*SERIES, *SETTING, "layer"]]
    held = found.merge(best, on=[*SERIES, *SETTING, "layer"])
    return held.assign(p_bh=benjamini_hochberg(held["p"]))


def directions(material: Material) -> pd.DataFrame:
    """By series, group of items and layer the mean cosine of patches with the steering vector.

    Groups are those of the patched answers of the same prompt, where there are any. Intervals are
    95 % percentiles over resampled items, the same in all languages.
    """
    cells = toward_pivot.directions(material.rows.sources)
    matched = {
        tuple(one.place[name] for name in toward_pivot.PLACE): one
        for one in patched.cells(material.rows.sources).kept
        if one.place["intervention"] == patched.MATCHED
    }
    rows: list[dict[str, Any]] = []
    for several in _grouped(cells, ()).values():
        groups: dict[str, list[Bools]] = {name: [] for name in GROUPS}
        for one in several:
            groups[ALL].append(np.ones(len(one.items), bool))
            own = matched.get(tuple(str(one.place[name]) for name in toward_pivot.PLACE))
            for name, held in ((SUCCESSES, "succeeded"), (FAILURES, "failed")):
                known = own.items[getattr(own, held)] if own is not None else np.empty(0, np.str_)
                groups[name].append(np.isin(one.items, known))
        named = _named(several[0], str(several[0].place["prompt"]), switches="")
        for name in GROUPS:
            rows += [{**named, "items": name, **row} for row in _means(several, groups[name])]
    return pd.DataFrame(rows, columns=DIRECTIONS)


def _grouped(
    cells: list[Values], setting: tuple[str, ...]
) -> dict[tuple[object, ...], list[Values]]:
    """The languages of each series and setting."""
    found: dict[tuple[object, ...], list[Values]] = {}
    for one in cells:
        names = ("model", "revision", "benchmark", "pivot", "prompt", "switches", *setting)
        found.setdefault(tuple(one.place.get(name) for name in names), []).append(one)
    return found


def _named(one: Values, prompt: str, *, switches: str) -> dict[str, str]:
    """The series of a cell and of the prompt of its answers."""
    names = {name: str(one.place[name]) for name in ("model", "revision", "benchmark", "pivot")}
    return {name: {**names, "prompt": prompt, "switches": switches}[name] for name in SERIES}


def _judged(material: Material, several: list[Values]) -> dict[str, dict[str, list[Bools]]]:
    """By prompt of the plain answers, the items of each group, language by language; without
    answers all items under the prompt ""."""
    found = material.get(frames.answers)
    first = several[0].place
    same = (found["model"] == first["model"]) & (found["revision"] == first["revision"])
    own = found[same & (found["benchmark"] == first["benchmark"])]
    made: dict[str, dict[str, list[Bools]]] = {}
    for prompt in sorted(set(own["prompt"])) or [""]:
        asked = own[own["prompt"] == prompt]
        right = {
            str(language): set(group.loc[group["correct"], "item"])
            for language, group in asked.groupby("language")
        }
        groups: dict[str, list[Bools]] = {name: [] for name in GROUPS}
        for one in several:
            pivot, here = (right.get(str(one.place[name])) for name in ("pivot", "language"))
            known = pivot is not None and here is not None
            both = _among(one.items, (pivot or set()) & (here or set()))
            alone = _among(one.items, (pivot or set()) - (here or set()))
            groups[ALL].append(np.ones(len(one.items), bool))
            groups[SUCCESSES].append(both & known)
            groups[FAILURES].append(alone & known)
        made[prompt] = groups
    return made


def _among(items: Texts, ids: set[str]) -> Bools:
    """Which items are among the ids."""
    return np.array([item in ids for item in items], bool)


def _changes(several: list[Values], groups: list[Bools]) -> list[dict[str, Any]]:
    """Shares of a group's items by layer, plain and steered, all languages together."""
    plain, after, codes = _stacked(several, groups, ("plain", "steered"))
    if not len(codes):
        return []
    layers = several[0].layers
    change = after.astype(float) - plain
    sums, counts = gaps.tally(change, codes, int(codes.max()) + 1)
    low, high = gaps.ratio_interval(sums, counts[:, None], gaps.weights(len(counts)))
    p = gaps.sign_flips(sums)
    return [
        {"layer": int(layer), "languages": sum(bool(one.any()) for one in groups),
         "n": len(codes), "plain": float(plain[:, at].mean()),
         "steered": float(after[:, at].mean()), "change": float(change[:, at].mean()),
         "low": float(low[at]), "high": float(high[at]), "p": float(p[at])}
        for at, layer in enumerate(layers)
    ]  # fmt: skip


def _stacked(
    several: list[Values], groups: list[Bools], names: tuple[str, str]
) -> tuple[Bools, Bools, npt.NDArray[np.intp]]:
    """Whether the group's items are aligned, by both columns, and a number for every item."""
    first, second = (
        np.concatenate([one.aligned(name)[held] for one, held in zip(several, groups, strict=True)])
        for name in names
    )
    items = np.concatenate([one.items[held] for one, held in zip(several, groups, strict=True)])
    return first, second, np.unique(items, return_inverse=True)[1]


def _means(several: list[Values], groups: list[Bools]) -> list[dict[str, Any]]:
    """Mean cosines of a group's items by layer, all languages together."""
    layers = several[0].layers
    for one in several[1:]:
        layers = np.intersect1d(layers, one.layers)
    values = np.concatenate(
        [
            one.columns["cosines"][held][:, np.isin(one.layers, layers)]
            for one, held in zip(several, groups, strict=True)
        ]
    )
    items = np.concatenate([one.items[held] for one, held in zip(several, groups, strict=True)])
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        return []
    values, codes = values[known], np.unique(items[known], return_inverse=True)[1]
    sums, counts = gaps.tally(values, codes, int(codes.max()) + 1)
    low, high = gaps.ratio_interval(sums, counts[:, None], gaps.weights(len(counts)))
    return [
        {"layer": int(layer), "languages": sum(bool(one.any()) for one in groups),
         "n": len(values), "cosine": float(values[:, at].mean()), "low": float(low[at]),
         "high": float(high[at])}
        for at, layer in enumerate(layers)
    ]  # fmt: skip


def draw_steered(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """The change of the share aligned, by the layer that is read; a panel per setting."""
    panels: list[curves.Panel] = []
    for (layer, coefficient), own in rows.groupby(SETTING, sort=True):
        panels.append(
            curves.Panel(
                title=f"steered in layer {layer:.0f} by {coefficient:g}",
                lines=curves.lines_of(own, line="items", looks=ITEMS, y="change", most=(-1, 1)),
                x="layer read", y="" if panels else "change of the share aligned", zero=True,
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=said, key="right", inches=(3.4, 2.7), share=True,
        seen="steered less plain, all languages; band: 95 %",
    )  # fmt: skip


def draw_directions(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """The mean cosine of patches with the steering vector by layer."""
    panel = curves.Panel(
        title="patch and steering vector", x="layer", y="mean cosine", zero=True, top=1.0,
        lines=curves.lines_of(rows, line="items", looks=ITEMS, y="cosine", most=(-1, 1)),
    )  # fmt: skip
    return curves.curves(
        [panel], name=said, key="right", inches=(3.6, 2.7), seen="all languages; band: 95 %"
    )


def _shown(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The changes at the best layer for people."""
    held = tables.with_label(found).rename(columns={"p_bh": "q_p"})
    columns = ["label", "benchmark", *varying(held), *SETTING, "layer", "items", "languages", "n"]
    columns += ["plain", "steered", "change", "p", "q_p"]
    ends = [
        f"[{low:+.2f}, {high:+.2f}]" if low == low else ""
        for low, high in zip(held["low"], held["high"], strict=True)
    ]
    return held[columns].reset_index(drop=True), pd.DataFrame({"change": ends})


def _read(material: Material) -> Mapping[str, object] | None:
    """What steering does to failures, by series and setting, in words."""
    found = material.get(at_best)
    own = found[found["items"] == FAILURES] if len(found) else found
    rows = [
        {**row, "on": prose.on(row), "clear": bool(row["p_bh"] < LEVEL)}
        for row in own.to_dict("records")
    ]
    return {"rows": rows} if rows else None


def _pointing(material: Material) -> Mapping[str, object] | None:
    """Where patches point most along the vector, by series."""
    found = material.get(directions)
    every = found[found["items"] == ALL]
    rows = [
        {**own.nlargest(1, "cosine").iloc[0].to_dict(), "on": prose.on(own.iloc[0].to_dict()),
         "first": own.iloc[0].to_dict(), "last": own.iloc[-1].to_dict()}
        for _, own in every.groupby(SERIES, sort=True)
    ]  # fmt: skip
    return {"rows": rows} if rows else None


STEERING = Exhibit(
    name="Steering and alignment", title="does steering toward the pivot align failed items?",
    empty=text("no_steering"),
    parts=(
        Note(text=text("steering_read"), facts=_read),
        Plot(
            name="steered_alignment", fill=steered, by=BY_SERIES, draw=draw_steered,
            caption=text("steered_alignment"),
        ),
        Table(
            name="steered_best", fill=at_best, shown=_shown, caption=text("steered_best"),
            heads={"steered_layer": "steered in", "layer": "layer read", "q_p": "q"},
            most=MOST_ROWS,
        ),
    ),
    files={"steered_alignment_all": steered},
)  # fmt: skip
POINTING = Exhibit(
    name="Patches and steering vectors", title="do patches and steering vectors point one way?",
    empty=text("no_steering"),
    parts=(
        Note(text=text("pointing_read"), facts=_pointing),
        Plot(
            name="patch_directions", fill=directions, by=BY_SERIES, draw=draw_directions,
            caption=text("patch_directions"),
        ),
    ),
    files={"patch_directions_all": directions},
)  # fmt: skip

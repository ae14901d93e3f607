"""Figures of patched answers: what each kind of patch corrects, and whether it is the symbol."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.dali import patch_frames
from analysis.figures import curves, heat
from analysis.figures.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY
from analysis.layout.material import Material
from analysis.results.patched import CONTROLS, MATCHED, PERMUTED, SAME_SYMBOL

NAMES = {
    MATCHED: "same question in the pivot", PERMUTED: "the same, options permuted",
    SAME_SYMBOL: "another question, same symbol", "other_symbol": "another question, other symbol",
    "own_language": "another question, own language", "noise": "random direction",
}  # fmt: skip
LOOKS = {
    MATCHED: curves.Look(NAMES[MATCHED], INK, "-", "o"),
    PERMUTED: curves.Look(NAMES[PERMUTED], BLUE, "-", "s"),
    SAME_SYMBOL: curves.Look(NAMES[SAME_SYMBOL], ORANGE, "-", "D"),
    "other_symbol": curves.Look(NAMES["other_symbol"], PURPLE, "--", "^"),
    "own_language": curves.Look(NAMES["own_language"], GREEN, "--", "v"),
    "noise": curves.Look(NAMES["noise"], GREY, ":", "P"),
}
BANDS = (MATCHED, SAME_SYMBOL)
LAYER = "layer"
LAST = "dotted: last layer, the source's answer by construction"


def draw_rates(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Correction, damage and shift by layer, a panel each, a line per kind of patch.

    Rows are those of `patch_frames.rates` of one series, all languages together.
    """
    panels: list[curves.Panel] = []
    for column, title in (
        ("correction", "failures turned right"), ("damage", "successes turned wrong"),
        ("shift", "shift of the right option"),
    ):  # fmt: skip
        if rows[column].notna().sum() == 0:
            continue
        own = _as_lines(rows, column)
        bounds = (0.0, 1.0) if column != "shift" else (-np.inf, np.inf)
        lines = curves.lines_of(own, line="intervention", looks=_there(own), y=column, most=bounds)
        if column == "correction":
            lines += _pivot_wrong(rows)
        panels.append(
            curves.Panel(
                title=title, lines=lines, x=LAYER, ends=_last(rows), zero=column == "shift",
                y={"correction": "share of failures", "damage": "share of successes",
                   "shift": "change of log-odds, failures"}[column],
                bottom=0 if column != "shift" else None,
            )
        )  # fmt: skip
    return curves.curves(
        panels,
        name=said,
        key="right",
        inches=(3.3, 2.7),
        seen=_seen(rows, "all languages; band: 95 %"),
    )


def draw_symbols(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Right option of the target against the symbol that is right in the source, by layer.

    Rows are those of `patch_frames.symbols` of one series, all languages together.
    """
    panels: list[curves.Panel] = []
    for items, title in (("failures", "failures"), ("successes", "successes")):
        own = rows[(rows["items"] == items) & (rows["n"] > 0)]
        if own.empty:
            continue
        lines = []
        for column, label, colour in (
            ("own", "the target's right option (concept)", BLUE),
            ("source", "the symbol right in the source", ORANGE),
        ):
            looks = {True: curves.Look(label, colour)}
            held = own.assign(one=True, low=own[f"{column}_low"], high=own[f"{column}_high"])
            lines += curves.lines_of(held, line="one", looks=looks, y=column, most=(0, 1))
        plain = float(own["source_plain"].iloc[0])
        panels.append(
            curves.Panel(
                title=f"{own['n'].iloc[0]} {title}", lines=lines, x=LAYER, bottom=0,
                ends=_last(own), y="" if panels else "share of choices",
                levels={"that symbol, plain model": plain},
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=said, key="right", inches=(3.4, 2.7), share=True, least=9.4,
        seen=_seen(rows, "options of the pivot's question permuted; band: 95 %"),
    )  # fmt: skip


def draw_contrasts(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Correction by the matched patch less that by each control, by layer.

    Rows are those of `patch_frames.contrasts` of one series, all languages together.
    """
    held = rows[rows["difference"].notna()]
    there = [name for name in CONTROLS if (held["control"] == name).any()]
    looks = {name: LOOKS[name]._replace(label=f"less {NAMES[name]}") for name in there}
    own = held.assign(
        low=held["low"].where(held["control"] == SAME_SYMBOL),
        high=held["high"].where(held["control"] == SAME_SYMBOL),
    )
    panel = curves.Panel(
        title="", x=LAYER, y="difference of correction", zero=True, ends=_last(own),
        lines=curves.lines_of(own, line="control", looks=looks, y="difference"),
    )  # fmt: skip
    return curves.curves(
        [panel], name=said, key="right", inches=(4.2, 2.9), least=8.6,
        seen=_seen(rows, "the same failures; band: 95 % over items"),
    )  # fmt: skip


def draw_map(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Net correction by language and layer; rows are of the matched patch, a row per language."""
    held = rows[rows["net"].notna()]
    grid = heat.best_first(held, columns="layer", values="net")
    scale = heat.around_zero(material.get(patch_frames.SINGLE["rates"])["net"])
    return heat.heat(
        grid, name=said, seen=f"{len(grid)} languages with failures and successes",
        x=LAYER, bar="correction less damage", scale=scale,
    )  # fmt: skip


def _as_lines(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column with the bands of some kinds."""
    banded = rows["intervention"].isin(BANDS)
    ends = {end: rows[f"{column}_{end}"].where(banded) for end in ("low", "high")}
    return rows.assign(**ends)


def _pivot_wrong(rows: pd.DataFrame) -> list[curves.Line]:
    """The matched patch on items that the pivot answers wrong too, where there are any."""
    own = rows[(rows["intervention"] == MATCHED) & rows["pivot_wrong"].notna()].sort_values("layer")
    if own.empty:
        return []
    return [
        curves.Line(
            x=own["layer"].to_numpy(float), y=own["pivot_wrong"].to_numpy(float), colour=SKY,
            style="-.", marker="*", label="same question, pivot wrong too",
        )
    ]  # fmt: skip


def _last(rows: pd.DataFrame) -> dict[str, float]:
    """A dotted line at the last layer, without a text, which would lie on the curves."""
    marked = rows.loc[rows["uninformative"], "layer"]
    return {"": float(marked.max())} if len(marked) else {}


def _seen(rows: pd.DataFrame, text: str) -> str:
    """The second line of a heading, with what the dotted line is where there is one."""
    return f"{text}; {LAST}" if rows["uninformative"].any() else text


def _there(rows: pd.DataFrame) -> dict[str, curves.Look]:
    """The looks of the kinds of patch there are."""
    known = set(rows["intervention"])
    return {name: look for name, look in LOOKS.items() if name in known}

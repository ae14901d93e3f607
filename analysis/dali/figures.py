"""Figures of alignment: levels by layer, gaps between successes and failures, and languages.

Layers are those that a best one is chosen from; the last, behind the final norm, is in the files.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.dali import frames, gap_frames
from analysis.dali.frames import ALL, FAILURES, SUCCESSES, TESTED
from analysis.figures import curves, forest, scatter
from analysis.figures.drawing import BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY
from analysis.layout.material import Material
from analysis.results.answers import SERIES
from analysis.results.option_alignment import DALI, MEXA, STRONG
from analysis.statistics.correlate import p_in_words
from analysis.statistics.scores import LEVEL

NAMES = {
    DALI: "DALI", STRONG: "DALI, strong", "local": "local", "gold_only": "right option alone",
    MEXA: "MEXA_T", "dali_3": "DALI, 3 options", "strong_3": "strong, 3 options",
    "dali_2": "DALI, 2 options", "strong_2": "strong, 2 options",
}  # fmt: skip
# All items come last: they lie on the successes where a language answers most items right.
ITEMS = {
    SUCCESSES: curves.Look("both right", BLUE),
    FAILURES: curves.Look("pivot right, language wrong", ORANGE),
    ALL: curves.Look("all items", INK, "--", "."),
}
NULLS = {
    "permuted": curves.Look("control: options permuted", GREY, "--"),
    "mismatched": curves.Look("control: another item", PURPLE, ":"),
}
RULES = {
    DALI: curves.Look(NAMES[DALI], INK), STRONG: curves.Look(NAMES[STRONG], ORANGE),
    "local": curves.Look(NAMES["local"], SKY, "--"),
    "gold_only": curves.Look(NAMES["gold_only"], GREEN), MEXA: curves.Look(NAMES[MEXA], BLUE),
}  # fmt: skip
REDUCED = {
    DALI: curves.Look("DALI, all options", INK),
    "dali_3": curves.Look(NAMES["dali_3"], BLUE, "--"),
    "dali_2": curves.Look(NAMES["dali_2"], SKY, ":"),
    STRONG: curves.Look("strong, all options", ORANGE),
    "strong_3": curves.Look(NAMES["strong_3"], BROWN, "--"),
    "strong_2": curves.Look(NAMES["strong_2"], PURPLE, ":"),
}
MOST_PANELS = 12
LAYER = "layer (0: embeddings)"


def same(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a frame that are of the series of others."""
    if frame.empty:
        return frame
    held = [frame[name] == rows[name].iloc[0] for name in SERIES]
    return frame[np.logical_and.reduce(held)]


def draw_levels(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Share aligned by layer, a panel per rule: all items, successes, failures, and controls.

    Rows are those of `frames.level_curves` of one series.
    """
    each = same(material.get(frames.levels), rows)
    inner = rows[rows["inner"]]
    panels: list[curves.Panel] = []
    for measure in TESTED:
        own = inner[inner["measure"] == measure]
        if own.empty:
            continue
        there = _there(own["items"], ITEMS)
        if len(there) > 1:
            whole = own["items"] == ALL
            own = own.assign(low=own["low"].mask(whole), high=own["high"].mask(whole))
        lines = curves.lines_of(own, line="items", looks=there, y="share", most=(0, 1))
        if measure == DALI:
            nulls = inner[inner["measure"].isin(NULLS)]
            looks = _there(nulls["measure"], NULLS)
            lines += curves.lines_of(nulls, line="measure", looks=looks, y="share", most=(0, 1))
        thin = each[(each["measure"] == measure) & (each["items"] == ALL) & each["inner"]]
        chance = float(own.loc[own["items"] == ALL, "chance"].mean())
        panels.append(
            curves.Panel(
                title=NAMES[measure], lines=lines, x=LAYER, bottom=0, levels={"chance": chance},
                thin=thin.pivot_table(index="layer", columns="language", values="share"),
                y="" if panels else "share of items aligned",
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=said, key="right", inches=(3.0, 2.6),
        seen="mean over languages (thin: each); band: 95 %",
    )  # fmt: skip


def draw_rules(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Kappa of every rule by layer, and of fewer options where there are more than two.

    Rows are those of `frames.level_curves` of one series.
    """
    own = rows[rows["inner"] & (rows["items"] == ALL)]
    own = own.drop(columns=["low", "high"]).rename(
        columns={"kappa_low": "low", "kappa_high": "high"}
    )
    titles = [("every rule", RULES)]
    if own["measure"].isin(["dali_2", "dali_3"]).any():
        titles.append(("the right and the likeliest wrong options", REDUCED))
    panels = [
        curves.Panel(
            title=title, x=LAYER, y="" if place else "kappa (0: chance, 1: all aligned)", zero=True,
            lines=curves.lines_of(
                own, line="measure", looks=_there(own["measure"], looks), y="kappa", most=(-1, 1)
            ),
        )
        for place, (title, looks) in enumerate(titles)
    ]  # fmt: skip
    return curves.curves(
        panels, name=said, key="right", inches=(3.6, 2.8), share=True, least=8.4,
        seen="mean over languages; band: 95 %",
    )  # fmt: skip


def draw_gaps(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Gap by layer, a panel per rule: mean over languages, and a thin line for each.

    Rows are those of `gap_frames.gap_means` of one series.
    """
    each = same(material.get(gap_frames.gap_curves), rows)
    look = {True: curves.Look("mean over languages", INK)}
    panels: list[curves.Panel] = []
    for measure in TESTED:
        own = rows[(rows["measure"] == measure) & rows["inner"]]
        if own.empty:
            continue
        thin = each[(each["measure"] == measure) & each["inner"]]
        panels.append(
            curves.Panel(
                title=NAMES[measure], x=LAYER, zero=True, y="" if panels else "gap",
                thin=thin.pivot_table(index="layer", columns="language", values="gap"),
                lines=curves.lines_of(own, line="inner", looks=look, y="gap", most=(-1, 1)),
                corners=("above 0: successes are aligned more often", ""),
            )
        )  # fmt: skip
    return curves.curves(
        panels, name=said, inches=(3.2, 2.6), share=True,
        seen="mean over languages (thin: each); band: 95 % over languages",
    )  # fmt: skip


def draw_gap_languages(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Gap of DALI by layer with its band over items, a panel for each of the first languages.

    Rows are those of `gap_frames.gap_curves` of one series and rule.
    """
    own = rows[rows["inner"] & rows["gap"].notna()]
    look = {True: curves.Look("gap", BLUE)}
    panels = [
        curves.Panel(
            title=f"{language}: {group['n_success'].iloc[0]} successes, "
            f"{group['n_failure'].iloc[0]} failures",
            x=LAYER, y="" if place % 3 else "gap", zero=True,
            lines=curves.lines_of(group, line="inner", looks=look, y="gap"),
        )
        for place, (language, group) in enumerate(own.groupby("language", sort=True))
    ]  # fmt: skip
    return curves.curves(
        panels[:MOST_PANELS], name=said, inches=(2.9, 2.2), share=True, size=8,
        seen="band: 95 % over items (Newcombe)",
    )  # fmt: skip


def draw_forest(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Gap by language with its interval: at the layer of the highest share, and on held-out items.

    Rows are those of `gap_frames.gap_tests` of one series and rule.
    """
    ordered = rows.sort_values("gap", ascending=False, na_position="last")
    found, labels = [], []
    for place, row in enumerate(ordered.to_dict("records")):
        labels.append(forest.Row(float(place), str(row["language"])))
        if row["gap"] != row["gap"]:
            found.append(forest.Interval(float(place), float("nan"), 0.0, 0.0))
            continue
        clear = bool(row["p_bh"] < LEVEL)
        colour = BLUE if clear else GREY
        found.append(
            forest.Interval(place - 0.15, row["gap"], row["low"], row["high"], colour, "o")
        )
        if row["held_gap"] == row["held_gap"]:
            found.append(
                forest.Interval(
                    place + 0.18, row["held_gap"], row["held_low"], row["held_high"], ORANGE, "s"
                )
            )
    ends = ordered[["low", "high", "held_low", "held_high"]].to_numpy(float)
    far = float(np.nanmax(np.abs(ends), initial=0.1))
    return forest.forest(
        found, labels, name=said, seen="", x="gap of aligned shares, successes less failures",
        limits=(-1.05 * far, 1.05 * far), codes=True,
        key={
            "layer of the highest share, q < .05": (BLUE, "o"),
            "the same, not significant": (GREY, "o"),
            "layer chosen on the other half of the items": (ORANGE, "s"),
        },
    )  # fmt: skip


def draw_languages(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Accuracy against alignment, a point per language, a panel per rule.

    Rows are those of `frames.scores` of one series and one pooling.
    """
    found = same(material.get(frames.correlations), rows)
    pool = str(rows["pool"].iloc[0])
    panels = []
    for measure in TESTED:
        own = rows[rows["measure"] == measure].dropna(subset=["score", "accuracy"])
        if own.empty:
            continue
        line = found[(found["measure"] == measure) & (found["pool"] == pool)].iloc[0]
        panels.append(
            scatter.Panel(
                title=f"{NAMES[measure]}, {POOL_NAMES[pool]}", note=_r(line),
                x=own["score"].to_numpy(float), y=own["accuracy"].to_numpy(float),
                names=list(own["language"]), fit="share", level=float(own["chance"].mean()),
            )
        )  # fmt: skip
    return scatter.scatter(
        panels, name=said, x="share of items aligned", y="accuracy", share=False,
        key="line: least squares with its 95 % band; dashed: chance",
    )  # fmt: skip


POOL_NAMES = {"max": "highest layer", "mean": "mean of layers"}


def _r(line: pd.Series) -> str:
    """A correlation in words."""
    if line["r"] != line["r"]:
        return str(line["note"])
    ends = f" [{line['low']:.2f}, {line['high']:.2f}]" if line["low"] == line["low"] else ""
    rho = f", rho {line['spearman_r']:.2f}"
    return f"r {line['r']:.2f}{ends}{rho}, {p_in_words(line['p'])}"


def _there(values: pd.Series, looks: dict[str, curves.Look]) -> dict[str, curves.Look]:
    """The looks of the values there are."""
    known = set(values)
    return {name: look for name, look in looks.items() if name in known}

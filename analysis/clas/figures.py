"""How the figures of the CLAS study are drawn, each from the rows of one series.

Neurons that serve several languages are blue everywhere, those of one orange; what is plain is
grey, and what is rescaled blue.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.clas import frames
from analysis.figures import bars, curves, forest, heat, points, scatter
from analysis.figures.drawing import BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY
from analysis.layout.material import Material
from analysis.results.answers import SERIES
from analysis.results.scaled import CLAS, DRAWN, MIXED
from analysis.results.scaled_alignment import CATEGORIES, RESCALED, RESIDUAL
from analysis.results.scaled_tuning import SHARED_ALONE, SPECIFIC_ALONE
from analysis.statistics.correlate import p_in_words

# Neighbours in the stack are far apart in grey, too.
AREAS = {"dead": GREY, "specific": PURPLE, "partial_shared": SKY, "all_shared": BLUE}
NAMES = {
    "dead": "dead", "specific": "language-specific", "partial_shared": "partial-shared",
    "all_shared": "all-shared",
}  # fmt: skip
PARTS = {
    "all": "data set (mean over texts)", "instance_last": "each text, last token",
    "instance_any": "each text, any token",
}  # fmt: skip
SITES = {RESCALED: "rescaled activation", RESIDUAL: "residual stream"}
LINES = (BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN, INK)
STRENGTH = "shared strength (alpha x beta)"
# Cells of Figure 7 across: bins of the change of alignment.
BINS = 9
STRIP = 0.22


def draw_categories(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Stacked shares of the categories by layer, a panel per way of counting, the bridge marked.

    Rows are those of the table `categories`, of one model.
    """
    layers = rows.loc[rows["bridge"] & (rows["part"] == "all"), "layer"]
    band = {"bridge": (float(layers.min()) - 0.5, float(layers.max()) + 0.5)} if len(layers) else {}
    panels: list[curves.Panel] = []
    for part, title in PARTS.items():
        own = rows[rows["part"] == part].sort_values("layer")
        if own.empty:
            continue
        x, below, lines = own["layer"].to_numpy(float), np.zeros(len(own)), []
        for category in CATEGORIES:
            top = below + 100 * own[category].to_numpy(float)
            lines.append(
                curves.Line(x=x, y=top, low=below, high=top, label=NAMES[category],
                            colour=AREAS[category], width=2, alpha=0.85)
            )  # fmt: skip
            below = top
        panels.append(
            curves.Panel(title=title, lines=lines, x="layer", spans=band, bottom=0.0, top=100.0,
                         y="" if panels else "share of neurons (%)")
        )  # fmt: skip
    return curves.curves(
        panels, name=said, share=True, key="below", inches=(3.0, 2.6), above=0.9, least=6.0
    )


def draw_alignment(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Cosine to the anchor before and after, two bars per language, a panel per site.

    Rows need where, language, before and after.
    """
    first = rows[rows["where"] == RESCALED]
    order = list((first if len(first) else rows).sort_values("before", ascending=False)["language"])
    there = [where for where in SITES if (rows["where"] == where).any()]
    values = rows[["where", "language", "before", "after"]].rename(columns={"language": "label"})
    panels = {
        SITES[where]: values[values["where"] == where].set_index("label").reindex(order)
        .reset_index()
        for where in there
    }  # fmt: skip
    return bars.sides(
        panels, name=said, seen="numbers: after less before", x="cosine to the anchor",
        key=("before", "after"),
    )  # fmt: skip


def draw_fit(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Change of alignment against gain, both in parts of their largest size, a panel per site."""
    fits = material.get(frames.fits)
    panels: list[scatter.Panel] = []
    for where, title in SITES.items():
        own = rows[rows["where"] == where]
        if own.empty:
            continue
        place = [*SERIES, "metric", "site", "aggregation"]
        found = fits.merge(own[place].drop_duplicates()).iloc[0]
        panels.append(
            scatter.Panel(
                title=title, note=in_words(found), x=own["gain_scaled"].to_numpy(float),
                y=own["change_scaled"].to_numpy(float), names=list(own["language"]), fit="line",
                zero=True, y_label="" if panels else "change of cosine / its largest",
            )
        )  # fmt: skip
    return scatter.scatter(panels, name=said, x="gain / its largest", across=2, share=True)


def in_words(found: pd.Series) -> str:
    """A correlation as a figure and a caption say it."""
    if found["r"] != found["r"]:
        return str(found["note"])
    return (
        f"r = {found['r']:.2f}, slope {found['slope']:.2f}, {p_in_words(found['p'])}; "
        f"Spearman {found['spearman']:.2f}, n = {found['n']}"
    )


def draw_points(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Prompts of all languages in the plane, before and after, each fitted by itself."""
    pivot = str(rows["pivot"].iloc[0])
    kinds, key = points.languages(sorted(set(rows["side"])), pivot=pivot)
    panels = []
    for state in ("before", "after"):
        own = rows[rows["state"] == state]
        places = {str(side): of[["x", "y"]].to_numpy(float) for side, of in own.groupby("side")}
        centres = {side: of.mean(axis=0) for side, of in places.items()}
        away = own[own["side"] != pivot].drop_duplicates("side")["distance"].mean()
        title = f"{state}: silhouette {own['silhouette'].mean():.3f}, distance {away:.3f}"
        panels.append(points.Panel(title=title, places=places, centres=centres))
    return points.plane(panels, name=said, kinds=kinds, key=key, across=2, side=3.6)


def draw_strengths(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Metric by strength on the tuning items, a line per model; a star is the chosen strength.

    Rows need label, shared, value, change, low, high, flips and chosen.
    """
    lines: list[curves.Line] = []
    stars: list[curves.Line] = []
    for number, (label, own) in enumerate(rows.groupby("label", sort=True)):
        own = own.sort_values("shared")
        colour, mark = LINES[number % len(LINES)], curves.MARKS[number % len(curves.MARKS)]
        lines.append(_dose(own, "shared", str(label), colour, mark))
        chosen = own[own["chosen"]]
        if len(chosen):
            stars.append(_star(chosen, "shared", colour, "chosen" if not stars else ""))
    key = "band: 95 % of the change over languages"
    panel = curves.Panel(
        title="", lines=[*lines, *stars], x=STRENGTH, y=metric_of(rows), origin=True,
        spans=_flips(rows, "shared"),
    )  # fmt: skip
    return curves.curves([panel], name=said, seen=key, key="right", inches=(5.6, 3.0), above=0.9)


def draw_doses(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Metric by the strength of one category alone, a panel for each, a line per model."""
    panels: list[curves.Panel] = []
    for kind, column in ((SHARED_ALONE, "shared"), (SPECIFIC_ALONE, "specific")):
        own = rows[rows["kind"] == kind]
        if own.empty:
            continue
        lines = [
            _dose(one.sort_values(column), column, str(label), LINES[number % len(LINES)],
                  curves.MARKS[number % len(curves.MARKS)])
            for number, (label, one) in enumerate(own.groupby("label", sort=True))
        ]  # fmt: skip
        panels.append(
            curves.Panel(
                title=kind, lines=lines, x=f"{column} strength", origin=True,
                y="" if panels else metric_of(rows), spans=_flips(own, column),
            )
        )  # fmt: skip
    key = "band: 95 % of the change over languages"
    return curves.curves(panels, name=said, seen=key, key="right", share=True, above=0.8)


def metric_of(rows: pd.DataFrame) -> str:
    """The axis of a metric in percent."""
    return f"{frames.METRICS[str(rows['metric'].iloc[0])]} (%)"


def draw_gain_map(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Gain of every language, each in the column of its change of alignment.

    Rows need language, change (of the cosine) and gain (points).
    """
    ends = np.linspace(rows["change"].min(), rows["change"].max(), BINS + 1)
    if not ends[-1] > ends[0]:
        ends = ends[0] + np.linspace(-0.001, 0.001, BINS + 1)
    bins = np.clip(np.searchsorted(ends, rows["change"].to_numpy(float), "right") - 1, 0, BINS - 1)
    middle = (ends[:-1] + ends[1:]) / 2
    ordered = rows.assign(bin=bins).sort_values("change", ascending=False)
    grid = ordered.pivot_table(index="language", columns="bin", values="gain")
    grid = grid.reindex(index=list(ordered["language"]), columns=range(BINS))
    decimals = 3 if ends[-1] - ends[0] > 0.02 else 4
    grid.columns = [f"{value:+.{decimals}f}" for value in middle]
    return heat.heat(
        grid, name=said, seen="the language that came nearest to the anchor on top",
        x="change of cosine (middle of its ninth)", bar="gain (points)",
        scale=heat.around_zero(rows["gain"]), form="+.1f",
    )  # fmt: skip


def draw_controls(material: Material, rows: pd.DataFrame, said: str) -> Figure:
    """CLAS beside every control: intervals, and the draws of a control as a strip of points.

    Rows are those of `frames.controls`, of one series and metric.
    """
    draws = material.get(frames.drawn).merge(rows[[*SERIES, "metric"]].drop_duplicates())
    found: list[forest.Interval] = []
    labels: list[forest.Row] = []
    spread: list[float] = []
    for height, row in enumerate(rows.to_dict("records")):
        scheme = str(row["scheme"])
        counted = f" ({row['draws']:.0f} draws)" if scheme in DRAWN else ""
        labels.append(forest.Row(float(height), f"{frames.SCHEMES[scheme]}{counted}"))
        if scheme in DRAWN:
            values = np.sort(draws.loc[draws["scheme"] == scheme, "change"].to_numpy(float))
            spread += list(values)
            for place, value in enumerate(values):
                shift = STRIP * ((place % 3) - 1)
                found.append(
                    forest.Interval(height + shift, float(value), np.nan, np.nan, GREY, ".")
                )
            found.append(
                forest.Interval(float(height), row["change"], row["low"], row["high"],
                                PURPLE if scheme == MIXED else INK, "|")
            )  # fmt: skip
            continue
        colour = BLUE if scheme == CLAS else ORANGE if scheme.startswith("intmu") else INK
        found.append(
            forest.Interval(float(height), row["change"], row["low"], row["high"], colour, "o")
        )
    every = np.array([*spread, *rows["change"], *rows["low"], *rows["high"]], float)
    every = every[np.isfinite(every)]
    low, high = min(0.0, float(every.min())), max(0.0, float(every.max()))
    room = 0.08 * max(high - low, 0.1)
    return forest.forest(
        found, labels, name=said, seen="held-out items, mean over languages but the anchor",
        x=f"change of {frames.METRICS[str(rows['metric'].iloc[0])]} (points)",
        limits=(low - room, high + room),
        key={
            "CLAS, 95 % over languages and items": (BLUE, "o"),
            "one draw of a control": (GREY, "."),
            "mean of the draws, middle 95 %": (INK, "|"),
        },
    )  # fmt: skip


def draw_shares(_: Material, rows: pd.DataFrame, said: str) -> Figure:
    """Share of every option among the answers before and after, and among the right ones."""
    means = rows.groupby("option", sort=True)[["before", "after", "gold"]].mean().reset_index()
    shown = means.rename(columns={"gold": "mark"}).assign(
        label=[f"option {option}" for option in means["option"]]
    )
    return bars.sides(
        {"mean over languages but the anchor": shown}, name=said, seen="numbers: after less before",
        x="share of the answers", key=("before", "after"), mark="right answers",
    )  # fmt: skip


def _dose(rows: pd.DataFrame, column: str, label: str, colour: str, mark: str) -> curves.Line:
    """Metric by strength, with a band of the change around the level."""
    level, change = rows["value"].to_numpy(float), rows["change"].to_numpy(float)
    low, high = (level - change + rows[end].to_numpy(float) for end in ("low", "high"))
    # At 0 nothing changes, and the band is a point.
    low, high = (np.where(np.isnan(end), level, end) for end in (low, high))
    return curves.Line(
        x=rows[column].to_numpy(float), y=level, low=np.clip(low, 0, 100), marker=mark,
        high=np.clip(high, 0, 100), label=label, colour=colour,
    )  # fmt: skip


def _star(rows: pd.DataFrame, column: str, colour: str, label: str) -> curves.Line:
    """The chosen strength."""
    return curves.Line(
        x=rows[column].to_numpy(float)[:1], y=rows["value"].to_numpy(float)[:1], marker="*",
        size=13, colour=colour, style="", label=label,
    )  # fmt: skip


def _flips(rows: pd.DataFrame, column: str) -> dict[str, tuple[float, float]]:
    """Ranges of one strength at which activations change their sign, by whose they are."""
    other = {"shared": "specific", "specific": "shared"}[column]
    moved = rows[rows[column] != 0]
    found = {f"{column} flips": (-np.inf, -1.0)}
    # How fast the other strength moves with this one, which beta and gamma say.
    ratios = {round(float(one), 6) for one in moved[other] / moved[column]} - {0.0}
    if len(ratios) == 1:
        edge = -1 / ratios.pop()
        found[f"{other} flips"] = (edge, np.inf) if edge > 0 else (-np.inf, edge)
    return found

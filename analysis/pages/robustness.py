"""What a coefficient rests on: layers counted, margins, fertility, the difference between scores.

The one idea: each question is asked of the same points as the tables, so every answer is one row
beside the coefficient it qualifies, and one sentence says what came out.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis import correlate, dependent, scores, tables, terms
from analysis.page import Part, Sheet, Text
from analysis.pages.material import Material, last

Row = dict[str, object]
TASK = ["label", "benchmark"]
LONG = 12
NO_MARGINS = (
    "Margins were not recorded in these runs, so only the shares of aligned pairs are shown."
)
NO_TOKENS = "Tokens were not recorded in these runs, so nothing is corrected for fertility."
PAIRS = (("nasca", "mexa"), ("navca", "mexa"), ("nasca", "navca"))


def parts(material: Material) -> tuple[Part, ...]:
    """Every check of the correlations, each a sentence and a table."""
    points = last(material.main_points)
    points = terms.one(points[points["pooling"] == material.headline.pooling])
    if points.empty:
        return (Text(lines=("Nothing to check: there is no correlation.",)),)
    points, places = tables.with_label(points), TASK
    return (
        *_differences(points, places),
        *_margins(points, places),
        *_fertility(points, places),
        *_layers(material, points, places),
    )


def _differences(points: pd.DataFrame, places: list[str]) -> tuple[Part, ...]:
    """Which of two scores goes with accuracy more; they share it, so the test is dependent."""
    rows: list[Row] = []
    for names, group in points.groupby(places, sort=True):
        wide = group.pivot_table(index="language", columns="measure", values="score")
        accuracy = group.drop_duplicates("language").set_index("language")["accuracy"]
        for one, other in PAIRS:
            if one not in wide or other not in wide:
                continue
            both = wide[[one, other]].dropna()
            found = dependent.difference(
                both[one].to_numpy(float), second=both[other].to_numpy(float),
                y=accuracy.loc[both.index].to_numpy(float),
            )  # fmt: skip
            shown = found._asdict()
            shown = {name: shown[name] for name in shown if name not in ("t", "between")}
            rows.append(
                {**dict(zip(places, names, strict=True)), "scores": f"{one} - {other}".upper()}
                | shown
            )
    if not rows:
        return ()
    frame = _without_empty_notes(pd.DataFrame(rows))
    caption = "Differences between correlations with the same accuracies; intervals by Zou (2007)"
    sheet = _sheet("differences", caption, frame)
    known = frame[frame["p"].notna()]
    if known.empty:
        return (Text(lines=("No two scores can be compared with each other here.",)), sheet)
    above = int(((known["p"] < scores.LEVEL) & (known["difference"] > 0)).sum())
    below = int(((known["p"] < scores.LEVEL) & (known["difference"] < 0)).sum())
    line = (
        f"Does one score go with accuracy more than another? Of {len(known)} comparisons the first "
        f"named is higher in {above} and lower in {below} (Williams' test for correlations that "
        "share the accuracies, 5 %, not corrected for their number)."
    )
    return (Text(lines=(line,)), sheet)


def _margins(points: pd.DataFrame, places: list[str]) -> tuple[Part, ...]:
    """The continuous margin beside the share of aligned pairs."""
    held = points[points["margin"].notna()]
    if held.empty:
        return (Text(lines=(NO_MARGINS,)),)
    frame = _pairs_of(held, places, "margin", lambda _, y, group: correlate.pearson(
        group["margin"].to_numpy(float), y=y
    ))  # fmt: skip
    caption = (
        "r of the share of aligned pairs, and of the mean margin (own similarity minus the best "
        "competitor's), which has no threshold"
    )
    line = _compared(
        frame, "margin", "The continuous margin in place of the share of aligned pairs"
    )
    return (Text(lines=(line,)), _sheet("margins", caption, frame))


def _fertility(points: pd.DataFrame, places: list[str]) -> tuple[Part, ...]:
    """What is left of a correlation once tokens per pivot token are taken out."""
    held = points.assign(fertility=scores.fertility(points))
    held = held[held["fertility"] > 0]
    if held.empty:
        return (Text(lines=(NO_TOKENS,)),)
    frame = _pairs_of(held, places, "partial", lambda x, y, group: dependent.partial(
        x, y=y, given=np.log(group["fertility"].to_numpy(float))
    ))  # fmt: skip
    caption = (
        "r, and the partial correlation given log fertility (tokens of the language's texts per "
        "token of the pivot's), which follows how well a tokenizer knows a language"
    )
    line = _compared(frame, "partial", "Given fertility, the same correlations")
    return (Text(lines=(line,)), _sheet("given_fertility", caption, frame))


def _layers(material: Material, points: pd.DataFrame, places: list[str]) -> tuple[Part, ...]:
    """MEXA without the embeddings as a layer, which its code counts."""
    rows = material.main_alignment
    rows = rows[(rows["measure"] == "mexa") & (rows["pooling"] == material.headline.pooling)]
    own = points[points["measure"] == "mexa"]
    if own.empty or not (rows["layer"] == 0).any():
        return ()
    blocks = scores.by_language(scores.blocks_alone(rows))
    blocks = blocks[(blocks["layer_pool"] == "mean") & blocks["complete"]]
    key = [*scores.SERIES, "language"]
    held = own.merge(blocks[[*key, "score"]].rename(columns={"score": "blocks"}), on=key)
    frame = _pairs_of(held, places, "blocks", lambda _, y, group: correlate.pearson(
        group["blocks"].to_numpy(float), y=y
    ))  # fmt: skip
    caption = "MEXA over layers 0 to L, as in its code and everywhere above, and over blocks 1 to L"
    line = _compared(frame, "blocks", "MEXA without layer 0")
    return (Text(lines=(line,)), _sheet("mexa_layers", caption, frame))


def _pairs_of(
    points: pd.DataFrame, places: list[str], name: str,
    other: Callable[..., correlate.Correlation],
) -> pd.DataFrame:  # fmt: skip
    """r of the scores and a second coefficient over the same languages, by task and measure."""
    rows: list[Row] = []
    for names, group in points.groupby([*places, "measure"], sort=True):
        x, y = group["score"].to_numpy(float), group["accuracy"].to_numpy(float)
        plain, second = correlate.pearson(x, y=y), other(x, y, group)
        rows.append(
            dict(zip([*places, "measure"], names, strict=True))
            | {"n": plain.n, "r": plain.r, name: second.r}
            | {f"{name} low": second.low, f"{name} high": second.high, "note": second.note}
        )
    return _without_empty_notes(tables.in_order(pd.DataFrame(rows)))


def _compared(frame: pd.DataFrame, name: str, what: str) -> str:
    """The mean of r and of the second coefficient, in words."""
    known = frame.dropna(subset=["r", name])
    if known.empty:
        return f"{what}: not defined here."
    means = known.groupby("measure", sort=False)[["r", name]].mean()
    said = [f"{str(measure).upper()} {row['r']:.2f} becomes {row[name]:.2f}"
            for measure, row in means.iterrows()]  # fmt: skip
    return f"{what}: {', '.join(said)} (mean r over {len(known)} coefficients)."


def _sheet(name: str, caption: str, frame: pd.DataFrame) -> Sheet:
    """A table that hides where it is long."""
    heads = {"label": "model"}
    return Sheet(
        name=name, caption=caption, frame=frame, heads=heads, collapsed=len(frame) > LONG
    )  # fmt: skip


def _without_empty_notes(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the column of notes where nothing is noted."""
    return frame.drop(columns="note") if frame["note"].eq("").all() else frame

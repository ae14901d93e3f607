"""What a coefficient rests on: layers counted, margins, fertility, the difference between scores.

Each question is asked of the same points as the tables, so every answer is one row beside the
coefficient it qualifies, and one sentence says what came out.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.layout import tables
from analysis.layout.exhibit import Note, Show, Table, Template
from analysis.layout.material import Material, last
from analysis.layout.prose import shared
from analysis.results import conditions
from analysis.statistics import correlate, dependent, scores

TASK = ["label", "benchmark"]
LONG = 12
NO_MARGINS = (
    "Margins were not recorded in these runs, so only the shares of aligned pairs are shown."
)
NO_TOKENS = "Tokens were not recorded in these runs, so nothing is corrected for fertility."
PAIRS = (("nasca", "mexa"), ("navca", "mexa"), ("nasca", "navca"))
Found = Mapping[str, object]
Second = Callable[..., correlate.Correlation]


def points(material: Material) -> pd.DataFrame:
    """The points of the headline pooling, a single series."""
    found = last(material.main_points)
    return conditions.one(found[found["pooling"] == material.headline.pooling])


def differences(material: Material) -> pd.DataFrame:
    """Which of two scores goes with accuracy more; they share it, so the test is dependent."""
    held = material.get(points)
    rows: list[dict[str, object]] = []
    for names, group in tables.with_label(held).groupby(TASK, sort=True):
        wide = group.pivot_table(index="language", columns="measure", values="score")
        accuracy = group.drop_duplicates("language").set_index("language")["accuracy"]
        for one, other in PAIRS:
            if one not in wide or other not in wide:
                continue
            both = wide[[one, other]].dropna()
            found = dependent.difference(
                both[one].to_numpy(float), second=both[other].to_numpy(float),
                y=accuracy.loc[both.index].to_numpy(float),
            )._asdict()  # fmt: skip
            shown = {name: found[name] for name in found if name not in ("t", "between")}
            place = dict(zip(TASK, names, strict=True))
            rows.append(place | {"scores": f"{one} - {other}".upper()} | shown)
    return _without_empty_notes(pd.DataFrame(rows))


def margins(material: Material) -> pd.DataFrame:
    """The continuous margin beside the share of aligned pairs."""
    held = material.get(points)
    return _both(held[held["margin"].notna()], "margin", lambda _, y, group: correlate.pearson(
        group["margin"].to_numpy(float), y=y
    ))  # fmt: skip


def given_fertility(material: Material) -> pd.DataFrame:
    """What is left of a correlation once tokens per pivot token are taken out."""
    held = material.get(points)
    held = held.assign(fertility=scores.fertility(held)) if len(held) else held
    held = held[held["fertility"] > 0] if len(held) else held
    return _both(held, "partial", lambda x, y, group: dependent.partial(
        x, y=y, given=np.log(group["fertility"].to_numpy(float))
    ))  # fmt: skip


def without_embeddings(material: Material) -> pd.DataFrame:
    """MEXA without the embeddings as a layer, which its code counts."""
    rows = material.main_alignment
    rows = rows[(rows["measure"] == "mexa") & (rows["pooling"] == material.headline.pooling)]
    held = material.get(points)
    own = held[held["measure"] == "mexa"]
    if own.empty or not (rows["layer"] == 0).any():
        return own.iloc[:0]
    blocks = scores.by_language(scores.blocks_alone(rows))
    blocks = blocks[(blocks["layer_pool"] == "mean") & blocks["complete"]]
    key = [*scores.SERIES, "language"]
    joined = own.merge(blocks[[*key, "score"]].rename(columns={"score": "blocks"}), on=key)
    return _both(joined, "blocks", lambda _, y, group: correlate.pearson(
        group["blocks"].to_numpy(float), y=y
    ))  # fmt: skip


def _both(held: pd.DataFrame, name: str, other: Second) -> pd.DataFrame:
    """r of the scores and a second coefficient over the same languages, by task and measure."""
    if held.empty:
        return held
    rows: list[dict[str, object]] = []
    for names, group in tables.with_label(held).groupby([*TASK, "measure"], sort=True):
        x, y = group["score"].to_numpy(float), group["accuracy"].to_numpy(float)
        plain, second = correlate.pearson(x, y=y), other(x, y, group)
        rows.append(
            dict(zip([*TASK, "measure"], names, strict=True))
            | {"n": plain.n, "r": plain.r, name: second.r}
            | {f"{name} low": second.low, f"{name} high": second.high, "note": second.note}
        )
    return _without_empty_notes(tables.in_order(pd.DataFrame(rows)))


def _without_empty_notes(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the column of notes where nothing is noted."""
    return frame.drop(columns="note") if len(frame) and frame["note"].eq("").all() else frame


def _tested(material: Material) -> Found | None:
    """How many differences of two scores are clear."""
    frame = material.get(differences)
    if frame.empty:
        return None
    known = frame[frame["p"].notna()]
    clear = known["p"] < scores.LEVEL
    above, below = clear & (known["difference"] > 0), clear & (known["difference"] < 0)
    return {"known": len(known), "above": int(above.sum()), "below": int(below.sum())}


def _question(
    name: str, fill: Callable[[Material], pd.DataFrame], *, column: str, what: str,
    caption: Template, none: str = "",
) -> tuple[Show, ...]:  # fmt: skip
    """A sentence on how a second coefficient compares, and the table of both."""

    def facts(material: Material) -> Found | None:
        frame = material.get(fill)
        if material.get(points).empty or (frame.empty and not none):
            return None
        known = frame.dropna(subset=["r", column]) if len(frame) else frame
        means = known.groupby("measure", sort=False)[["r", column]].mean() if len(known) else known
        rows = [(str(measure).upper(), *pair) for measure, *pair in means.itertuples()]
        return {"what": what, "lacking": none, "empty": frame.empty, "means": rows, "n": len(known)}

    return (
        Note(text=shared("second_coefficient"), facts=facts),
        Table(name=name, fill=fill, caption=caption, most=LONG),
    )


PARTS: tuple[Show, ...] = (
    Note(
        text="Nothing to check: there is no correlation.",
        facts=lambda material: {} if material.get(points).empty else None,
    ),
    Note(
        text=shared("differences_tested"),
        facts=_tested,
    ),
    Table(
        name="differences", fill=differences,
        caption=shared("differences"),
        most=LONG,
    ),
    *_question(
        "margins",
        margins, column="margin",
        what="The continuous margin in place of the share of aligned pairs",
        caption=shared("margins"),
        none=NO_MARGINS,
    ),
    *_question(
        "given_fertility",
        given_fertility, column="partial", what="Given fertility, the same correlations",
        caption=shared("given_fertility"),
        none=NO_TOKENS,
    ),
    *_question(
        "mexa_layers",
        without_embeddings, column="blocks", what="MEXA without layer 0",
        caption=shared("mexa_layers"),
    ),
)  # fmt: skip

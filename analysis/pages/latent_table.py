"""Table 2: does the log ratio go with accuracy, consistency and incoming transfer?

The one idea: the paper prints one coefficient per model, benchmark and outcome, of the ratio's mean
over layers; beside it stand the middle and the end of the model, as the mean mixes layers on both
sides of 0. The token unit depends on how a tokenizer cuts a script, so tokens per character are
taken out once.
"""

from collections.abc import Hashable, Mapping
from math import isnan, nan
from typing import Any

import pandas as pd

from analysis import compared, log_ratio, published_latent, tables
from analysis.correlate import p_in_words
from analysis.latent import LATENT, SERIES
from analysis.log_ratio import FERTILITY, OUTCOMES, USUAL
from analysis.page import Exhibit, Part, Sheet, Text
from analysis.pages.latent_material import Material
from analysis.read import listed

TWO = ("Table 2", "the log ratio against accuracy, consistency and incoming transfer")
CAPTION = (
    "Pearson's r over languages, the pivot left out, between the mean log ratio per token and what "
    "the model answers. Below: two-sided p, n and stars (* .05, ** .01, *** .001, not corrected), "
    "the 95 % interval (Fisher's), and the printed value with its stars. Spearman's rho, Holm's "
    "adjusted p and partial r are in log_ratio_correlations.csv."
)
FIRST = "all analysed"


def exhibits(material: Material) -> list[Exhibit]:
    """Table 2."""
    name, title = TWO
    if material.latent.empty:
        why = "Empty: no option texts were read at layers (--part latent)."
        return [Exhibit(name=name, title=title, missing=why)]
    found = correlations(material)
    if found.empty:
        why = "Empty: no answers of the same models to the same benchmarks (--part output)."
        return [Exhibit(name=name, title=title, missing=why)]
    printed = published(found)
    joined = compared.join(
        found.rename(columns={"r": "value", "outcome": "column"}), printed, places=_places(found)
    )
    joined = joined[joined["value"].notna() | joined["n"].notna()]
    lines = [line for line in (compared.counted(joined), fertility(found)) if line]
    parts: list[Part] = [_sheet(found, printed)]
    weak = found.drop(material.firm(found).index)
    if len(weak):
        where = listed(weak["label"] + " on " + weak["benchmark"], most=8)
        line = f"Answers not above chance, so nothing is to be concluded: {where}."
        parts.insert(0, Text(lines=(line,), warning=True))
    if lines:
        parts.append(Text(lines=tuple(lines)))
    files = {"log_ratio_correlations": found}
    return [Exhibit(name=name, title=title, parts=tuple(parts), files=files)]


def correlations(material: Material) -> pd.DataFrame:
    """Every coefficient of the table, by `analysis.log_ratio.correlations`."""
    cells = material.latent[material.latent["measure"] == LATENT]
    values = log_ratio.over_layers(cells, series=SERIES, columns=[USUAL, FERTILITY])
    found = log_ratio.correlations(
        values, outputs=material.by_language, series=SERIES, column=USUAL, given=FERTILITY
    )
    if found.empty:
        return found
    order = {name: place for place, name in enumerate(log_ratio.LAYERS)}
    named = tables.with_label(found).assign(order=found["layers"].map(order))
    ordered = named.sort_values([*SERIES, "output_prompt", "order"], kind="stable")
    return ordered.drop(columns="order").reset_index(drop=True)


def published(found: pd.DataFrame) -> pd.DataFrame:
    """The printed value of every coefficient that has one: our places, column, published, stars.

    The paper's mean is over all analysed layers.
    """
    own = found[found["layers"] == FIRST]
    names = zip(own["model"], own["revision"], strict=True)
    named = own.assign(
        paper=[
            published_latent.model_name(str(one), revision=str(rev)) or "" for one, rev in names
        ],
        task=[published_latent.benchmark(str(name)) or "" for name in own["benchmark"]],
    )
    printed = published_latent.log_ratio().rename(columns={"model": "paper", "benchmark": "task"})
    joined = named.merge(printed, on=["paper", "task", "outcome"])
    places = _places(found)
    return joined.rename(columns={"outcome": "column"})[[*places, "column", "published", "stars"]]


def fertility(found: pd.DataFrame) -> str:
    """What is left of the coefficients without the part of tokens per character, in words."""
    own = found[(found["layers"] == FIRST) & found["r"].notna() & found["partial_r"].notna()]
    if own.empty:
        return ""
    change = (own["partial_r"] - own["r"]).abs()
    before, after = int((own["p"] < 0.05).sum()), int((own["partial_p"] < 0.05).sum())
    turned = int((own["partial_r"] * own["r"] < 0).sum())
    said = (
        "With the tokens per character of each language taken out of both sides (partial "
        f"correlation), r over all analysed layers changes by {change.mean():.2f} on average and "
        f"at most {change.max():.2f}; {before} of {len(own)} coefficients have p < .05 without "
        f"and {after} with that"
    )
    return said + (f", and {turned} turn their sign." if turned else ".")


def _places(found: pd.DataFrame) -> list[str]:
    """What sets a row of the table apart, conditions where they vary."""
    conditions = ("prompt", "output_prompt", "pivot", "switches")
    varying = [name for name in conditions if found[name].nunique() > 1]
    if found.groupby("benchmark")[["prompt", "output_prompt"]].nunique().max().max() < 2:
        varying = [name for name in varying if name not in ("prompt", "output_prompt")]
    return ["label", "benchmark", *varying, "layers"]


def _sheet(found: pd.DataFrame, printed: pd.DataFrame) -> Sheet:
    """A row per model, benchmark and choice of layers; what qualifies a value stands below it."""
    places = _places(found)
    rows = [tuple(row) for row in found[places].drop_duplicates().itertuples(index=False)]
    joined = found.rename(columns={"outcome": "column"}).merge(
        printed, how="left", on=[*places, "column"]
    )
    cells = {
        (tuple(record[place] for place in places), record["column"]): record
        for record in joined.to_dict("records")
    }
    frame = pd.DataFrame(rows, columns=places)
    below = pd.DataFrame(index=frame.index)
    for outcome, head in OUTCOMES.items():
        own = [cells[row, outcome] for row in rows]
        frame[head] = [float(record["r"]) for record in own]
        below[head] = [under(record) for record in own]
    return Sheet(
        name="log_ratio_table", caption=CAPTION, frame=frame, heads={"label": "model"},
        small=below, decimals=2, collapsed=len(frame) > 40,
    )  # fmt: skip


def under(record: Mapping[Hashable, Any]) -> str:
    """The lines under a coefficient, or why there is none."""
    lines = []
    if isnan(record["r"]):
        lines.append(str(record["note"]).removeprefix("undefined: "))
    else:
        p = p_in_words(record["p"]).replace("0.", ".")
        lines.append(f"{log_ratio.stars(record['p'])} {p}, n = {record['n']}".strip())
        if not isnan(record["low"]):
            lines.append(f"[{_short(record['low'])}, {_short(record['high'])}]")
    printed = record.get("published", nan)
    if printed == printed:
        lines.append(f"paper {printed:.1f}{'*' * int(record['stars'])}".replace("0.", "."))
    return "\n".join(lines)


def _short(value: float) -> str:
    """A correlation without the zero before its point."""
    return f"{value:.2f}".replace("0.", ".", 1)

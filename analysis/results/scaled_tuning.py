"""How the strength of rescaling was chosen: what every strength does, and what the choice is worth.

Tuning items are reported nowhere else, so what the choice gains on them and does not on the others
is its optimism.
"""

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd

from analysis.results.answers import SERIES
from analysis.results.scaled import CLAS, ON_ANCHOR, ON_OTHERS, STRENGTH
from analysis.statistics.intervals import student

LINE, SHARED_ALONE, SPECIFIC_ALONE = "line", "shared alone", "specific alone"
# A table of tuning has no pivot.
ASKED = [name for name in SERIES if name != "pivot"]
CURVE = [
    *SERIES, "metric", "kind", *STRENGTH, "languages", "n", "value", "change", "low", "high",
    "macro_f1", "top_share", "flips", "chosen",
]  # fmt: skip
CHOICES = [
    *SERIES, "metric", "way", *STRENGTH, "least", "most", "edge", "flips", "tuning", "tuning_n",
    "held_out", "languages", "optimism",
]  # fmt: skip
# Decimals beyond which two strengths are one.
DIGITS = 9


def by_language(tuning: pd.DataFrame, *, series: pd.DataFrame) -> pd.DataFrame:
    """The rows of `tuning` with their pivot, in percent, and the change from strength 0 in points.

    `series` are rows of `SERIES`. Of several answers to one place (another split, other bridge
    layers) the last is kept.
    """
    found = tuning.merge(series.drop_duplicates(), on=ASKED)
    places = [*SERIES, "language", *STRENGTH]
    found = found.assign(**{name: found[name].round(DIGITS) + 0.0 for name in STRENGTH})
    last = found.drop_duplicates([*SERIES, "language"], keep="last")[[*SERIES, "language", "key"]]
    found = found.merge(last).drop_duplicates(places, keep="last")
    found = found.assign(value=100 * found["value"], macro_f1=100 * found["macro_f1"])
    plain = found[found["shared"].eq(0) & found["specific"].eq(0)]
    plain = plain[[*SERIES, "language", "value"]].rename(columns={"value": "plain"})
    found = found.merge(plain, how="left", on=[*SERIES, "language"])
    # Shares of the same items differ in their last bits where they are equal.
    return found.assign(change=(found["value"] - found["plain"]).round(DIGITS) + 0.0)


def curves(found: pd.DataFrame, *, chosen: pd.DataFrame) -> pd.DataFrame:
    """Means over languages but the anchor by strength, of rows of `by_language`.

    `kind` is `line` where both move together, as alpha moves them, else which of them moves alone;
    strength 0 is on all three. `low` and `high` are the interval of the change over languages
    (Student's t); `flips` says that some activations change their sign. `chosen` has the strength
    of each series.
    """
    own = found[found["language"] != found["pivot"]]
    kinds = ["metric", *STRENGTH]
    rows: list[dict[str, object]] = []
    for place, group in own.groupby([*SERIES, *kinds], sort=True, dropna=False):
        moved = group["change"].to_numpy(float)
        sd = float(moved.std(ddof=1)) if len(moved) > 1 else nan
        low, high, _ = student(moved.mean(), sd=sd, n=len(moved))
        named = dict(zip([*SERIES, *kinds], place, strict=True))
        rows.append(
            named
            | {"languages": len(group), "n": int(group["n"].max())}
            | {name: float(group[name].mean())
               for name in ("value", "change", "macro_f1", "top_share")}
            | {"low": float(low), "high": float(high)}
            | {"flips": bool(group["shared"].min() < -1 or group["specific"].min() < -1)}
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=[name for name in CURVE if name not in ("kind", "chosen")])
    marks = chosen[[*SERIES, *STRENGTH]].round(dict.fromkeys(STRENGTH, DIGITS)).drop_duplicates()
    frame = frame.merge(marks.assign(chosen=True), how="left", on=[*SERIES, *STRENGTH])
    frame["chosen"] = frame["chosen"].eq(True)
    parts = [group for _, one in frame.groupby(SERIES, dropna=False) for group in _kinds(one)]
    return pd.concat([frame.iloc[:0].assign(kind=""), *parts], ignore_index=True)[CURVE]


def choices(found: pd.DataFrame, *, gains: pd.DataFrame) -> pd.DataFrame:
    """One row per series and way of choosing: the strength, and its gain where it was chosen.

    `tuning` is the mean change over the languages and items that the strength was chosen on,
    `held_out` that over all languages but the anchor on the other items, in points; `optimism` is
    the first less the second where both are over the same languages. `edge` says that the strength
    is the least or the greatest that there was to choose. A way that chooses for each language has
    the least and the greatest strength (`least`, `most`).
    """
    rows = []
    held = gains[gains["scheme"].isin((CLAS, ON_ANCHOR, ON_OTHERS))]
    for place, group in held.groupby([*SERIES, "metric", "scheme"], sort=True, dropna=False):
        named = dict(zip([*SERIES, "metric", "way"], place, strict=True))
        own = found[(found[SERIES] == [named[name] for name in SERIES]).all(axis="columns")]
        own = own[own["metric"] == named["metric"]]
        if own.empty:
            continue
        grid = sorted(set(_line(own)["shared"]))
        on = _chosen_on(own, group, way=str(named["way"]))
        strengths = group.drop_duplicates([*STRENGTH])
        gain = float(group["change"].mean())
        same = named["way"] != ON_ANCHOR
        rows.append(
            named
            | {name: float(strengths[name].iloc[0]) if len(strengths) == 1 else nan
               for name in STRENGTH}
            | {"least": float(group["shared"].min()), "most": float(group["shared"].max())}
            | {"edge": len(grid) > 1 and bool(group["shared"].round(DIGITS)
                                              .isin([grid[0], grid[-1]]).any())}
            | {"flips": bool((group[list(STRENGTH)] < -1).any(axis=None))}
            | {"tuning": on, "tuning_n": int(own["n"].max()), "held_out": gain}
            | {"languages": group["language"].nunique(), "optimism": on - gain if same else nan}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=CHOICES)


def _kinds(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The points of one series by what moves."""
    plain = frame["shared"].eq(0) & frame["specific"].eq(0)
    alone = {
        SHARED_ALONE: frame["specific"].eq(0) & ~plain,
        SPECIFIC_ALONE: frame["shared"].eq(0) & ~plain,
    }
    found = [_line(frame).assign(kind=LINE)]
    found += [frame[own | plain].assign(kind=kind) for kind, own in alone.items() if own.any()]
    return found


def _line(frame: pd.DataFrame) -> pd.DataFrame:
    """The strengths to choose from; where beta or gamma is 0, all that move the other alone."""
    plain = frame["shared"].eq(0) & frame["specific"].eq(0)
    both = frame["shared"].ne(0) & frame["specific"].ne(0)
    if both.any():
        return frame[both | plain]
    return frame[frame["specific"].eq(0)]


def _chosen_on(tuning: pd.DataFrame, group: pd.DataFrame, *, way: str) -> float:
    """The mean change at the chosen strength over what it was chosen on."""
    held: Mapping[tuple[str, float, float], float] = {
        (str(row["language"]), row["shared"], row["specific"]): row["change"]
        for row in tuning.to_dict("records")
    }
    pivot = str(group["pivot"].iloc[0])
    steered = [one for one in sorted(set(tuning["language"])) if one != pivot]
    found = []
    for row in group.to_dict("records"):
        counted = {
            CLAS: steered, ON_ANCHOR: [pivot],
            ON_OTHERS: [one for one in steered if one != row["language"]],
        }[way]  # fmt: skip
        at = (round(row["shared"], DIGITS) + 0.0, round(row["specific"], DIGITS) + 0.0)
        known = [held[one, *at] for one in counted if (one, *at) in held]
        found.append(float(np.mean(known)) if known else nan)
    return float(np.mean(found)) if found else nan

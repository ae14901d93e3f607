"""How often a translation is found among all sentences, by group of languages (Tables 1 and 5).

The layer is chosen in two ways that the paper leaves open, side by side: the best one of every
language and direction, or one layer for all languages of a data set. `groups.csv` holds the paper's
head languages; every other language is long-tail.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from analysis import published
from analysis.results.conditions import ALL
from analysis.statistics.resample import mean_interval
from analysis.statistics.scores import CONDITIONS

FILE = Path(__file__).parents[1] / "groups.csv"
HEAD, TAIL = "head", "long-tail"
REPRESENTATIONS = {"mexa": "Embedding", "nasca": "NAS"}
DIRECTIONS = {"forward": "pivot->xx", "backward": "xx->pivot", "value": "both"}
EACH, ONE = "best layer of each language", "one layer for all languages"
SERIES = ["model", "revision", *CONDITIONS, "representation", "direction"]


@cache
def head_languages(dataset: str) -> frozenset[str]:
    """The head languages of a data set, by the paper's name of it."""
    groups = pd.read_csv(FILE)
    own = groups["dataset"].map(published.dataset) == dataset
    return frozenset(groups.loc[own & (groups["group"] == HEAD), "language"])


def found(alignment: pd.DataFrame) -> pd.DataFrame:
    """One row per series, language and layer: the share found, in each direction and in both.

    Only rows over all sentence pairs, position-weighted, of the two representations compared.
    """
    wanted = (alignment["pairs"] == ALL) & (alignment["pooling"] == "weighted")
    rows = alignment[wanted & alignment["measure"].isin(REPRESENTATIONS)]
    rows = rows[rows["language"] != rows["pivot"]]
    rows = rows.assign(representation=rows["measure"].map(REPRESENTATIONS))
    kept = [name for name in SERIES if name != "direction"] + ["language", "layer", "n"]
    long = rows.melt(
        id_vars=kept, value_vars=list(DIRECTIONS), var_name="direction", value_name="share"
    )
    return long.assign(direction=long["direction"].map(DIRECTIONS)).dropna(subset="share")


def by_language(found: pd.DataFrame) -> pd.DataFrame:
    """One row per series, rule and language: `share` at the layer that the rule chooses."""
    if found.empty:
        return found.assign(rule="")
    best = found.loc[found.groupby([*SERIES, "language"])["share"].idxmax()].assign(rule=EACH)
    means = found.groupby([*SERIES, "layer"])["share"].mean().reset_index()
    top = means.loc[means.groupby(SERIES)["share"].idxmax(), [*SERIES, "layer"]]
    return pd.concat([best, found.merge(top).assign(rule=ONE)], ignore_index=True)


def by_group(languages: pd.DataFrame) -> pd.DataFrame:
    """Mean, interval over resampled languages and n of each group, in percent.

    `layers` names the layer, or the range of layers, that the rule chose.
    """
    rows = []
    named = languages.assign(group=[
        _group(str(dataset), str(code))
        for dataset, code in zip(languages["dataset"], languages["language"], strict=True)
    ])  # fmt: skip
    places = [*SERIES, "rule", "group"]
    for names, part in named.groupby(places, sort=False):
        shares = part["share"].to_numpy(float) * 100
        low, high = mean_interval(shares)
        first, last = int(part["layer"].min()), int(part["layer"].max())
        rows.append(
            dict(zip(places, names, strict=True))
            | {"value": float(shares.mean()), "low": low, "high": high, "n": len(shares)}
            | {"layers": f"{first}" if first == last else f"{first} to {last}"}
        )
    return pd.DataFrame(rows, columns=[*places, "value", "low", "high", "n", "layers"])


def _group(dataset: str, language: str) -> str:
    """Head or long-tail; a data set that the paper has no groups for is one group."""
    name = published.dataset(dataset)
    if name is None:
        return "every language"
    return HEAD if language in head_languages(name) else TAIL

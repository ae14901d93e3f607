"""Tables 1 and 2 in long form: our cells, and the printed ones of the same models and data."""

from collections.abc import Iterator
from math import nan

import numpy as np
import pandas as pd

from analysis import published_clas
from analysis.clas import frames
from analysis.layout.compared import OURS, Record
from analysis.layout.material import Material
from analysis.published import AVERAGE
from analysis.published_clas import SD
from analysis.results.answers import SERIES
from analysis.results.scaled import ACCURACY, CLAS, EXACT, INTMU
from analysis.statistics.scores import LEVEL

PLACE = [*SERIES, "metric", "language"]
# The prompt that the paper describes: options are asked for by a digit.
DIGIT = "digit"
COLUMNS = {"base": "base", "int_mu": "Int-mu", "clas": "CLAS"}
OF_SCHEME = {INTMU: "int_mu", CLAS: "clas"}


def cells(material: Material) -> pd.DataFrame:
    """Our cells: base and both changes by language, then AVG and SD, one row per value.

    AVG includes the anchor, which is left as it is; SD is over the other languages (ddof 1) and of
    the scores themselves, as the paper has both. `p` and `p_bh` are those of the change; where the
    chosen strength is 0 the change is missing, and `idle` is true.
    """
    found = material.get(frames.levels)
    gains = material.get(frames.gains)
    rows: list[dict[str, object]] = []
    for place, base in found.groupby([*SERIES, "metric"], sort=True, dropna=False):
        named = dict(zip([*SERIES, "metric"], place, strict=True))
        if named["metric"] == EXACT:
            continue
        own = gains[(gains[list(named)] == list(named.values())).all(axis="columns")]
        rows += [named | row for row in _of_series(base, own, pivot=str(named["pivot"]))]
    columns = [*PLACE, *OURS, "p", "p_bh", "idle", "of"]
    return pd.DataFrame(rows, columns=columns)


def printed(material: Material) -> pd.DataFrame:
    """The printed cells of the series that the paper has, in percent and points.

    The last rows are to be read and not to be compared where ours are of other languages.
    """
    places = material.get(cells)[[*SERIES, "metric"]].drop_duplicates()
    named = places.assign(
        paper=[
            published_clas.model_name(str(model), revision=str(revision)) or ""
            for model, revision in zip(places["model"], places["revision"], strict=True)
        ],
        task=[published_clas.benchmark(str(name)) or "" for name in places["benchmark"]],
    )
    asked = named["metric"].ne(ACCURACY) | named["prompt"].str.split(",").str[0].eq(DIGIT)
    theirs = pd.concat([published_clas.cells(), published_clas.summary()], ignore_index=True)
    theirs = theirs.rename(columns={"model": "paper", "benchmark": "task"})
    found = named[asked].merge(theirs, on=["paper", "task", "metric"])
    return found.assign(target=_alike(found, material.get(cells)))[
        [*PLACE, "column", "published", "target"]
    ]


def _alike(found: pd.DataFrame, ours: pd.DataFrame) -> list[bool]:
    """Whether each printed value is of what ours is: a mean is, over the same languages alone."""
    of = [*SERIES, "metric"]
    summed = (AVERAGE, SD)
    theirs, own = (
        frame[~frame["language"].isin(summed)].groupby(of, dropna=False)["language"].agg(frozenset)
        for frame in (found, ours)
    )
    return [
        row["language"] not in summed
        or theirs[tuple(row[name] for name in of)] == own[tuple(row[name] for name in of)]
        for row in found.to_dict("records")
    ]


def p_values(material: Material) -> pd.DataFrame:
    """The printed p of CLAS, `p_paper` as text, by series and metric."""
    found = material.get(printed)[[*SERIES, "metric"]].drop_duplicates()
    if found.empty:
        return found.assign(p_paper="")
    claims = published_clas.p_values().rename(columns={"model": "paper", "benchmark": "task"})
    named = found.assign(
        paper=[
            published_clas.model_name(str(model), revision=str(revision)) or ""
            for model, revision in zip(found["model"], found["revision"], strict=True)
        ],
        task=[published_clas.benchmark(str(name)) or "" for name in found["benchmark"]],
    )
    joined = named.merge(claims, on=["paper", "task", "metric"])
    texts = [
        f"{row['p']:g}" if row["p"] == row["p"] else f"< {row['below']:g}"
        for row in joined.to_dict("records")
    ]
    return joined[[*SERIES, "metric"]].assign(p_paper=texts)


def under(cell: Record) -> str:
    """What stands under a change beside its interval: its p, or how many it is over."""
    if cell.get("of", nan) > cell["n"]:
        return f"{cell['n']:.0f} languages"
    p = float(str(cell.get("p_bh", nan)))
    if p != p:
        return ""
    mark = " *" if p < LEVEL else ""
    words = f"p {p:.2f}" if p >= 0.01 else f"p {p:.3f}" if p >= 0.001 else f"p {p:.0e}"
    return words.replace(" 0.", " .") + mark


def _of_series(
    base: pd.DataFrame, gains: pd.DataFrame, *, pivot: str
) -> Iterator[dict[str, object]]:
    """The rows of one table."""
    levels = base.set_index("language")
    names = sorted(levels.index, key=lambda code: (code == pivot, code))
    for language in names:
        level = levels.loc[language]
        yield _cell(language, "base", float(level["value"]), n=int(level["n"]))
    steered = levels[levels.index != pivot]["value"].astype(float)
    yield _cell(AVERAGE, "base", float(levels["value"].mean()), n=len(levels))
    yield _cell(SD, "base", _sd(steered.to_numpy(float)), n=len(steered))
    for scheme, column in OF_SCHEME.items():
        own = gains[(gains["scheme"] == scheme) & (gains["language"] != pivot)]
        idle = bool(own["idle"].any())
        for row in own.to_dict("records"):
            ends = {name: nan if idle else row[name] for name in ("low", "high", "p", "p_bh")}
            value = nan if idle else float(row["change"])
            yield _cell(str(row["language"]), column, value, n=row["n"]) | ends | {"idle": idle}
        if own.empty or idle:
            continue
        changes = own["change"].to_numpy(float)
        # The anchor's own change is 0, as nothing is done to it.
        every = [*changes, 0.0] if pivot in levels.index else changes
        yield _cell(AVERAGE, column, float(np.mean(every)), n=len(every)) | {"of": len(levels)}
        yield _cell(SD, column, _sd(own["after"].to_numpy(float)), n=len(own))


def _cell(language: str, column: str, value: float, *, n: int) -> dict[str, object]:
    """One value without an interval."""
    return {"language": language, "column": column, "value": value, "n": n,
            "low": nan, "high": nan, "p": nan, "p_bh": nan, "idle": False, "of": nan}  # fmt: skip


def _sd(values: np.ndarray) -> float:
    """The standard deviation over languages."""
    return float(values.std(ddof=1)) if len(values) > 1 else nan

"""Table 2: how well single pairs of languages agree, neither of them English but once.

The one idea: the score of a pair is the same from both sides, so any run in which one of the two is
the pivot answers it. The interval is Wilson's for the pairs of one layer: layers share sentences,
so the mean over layers is at most as uncertain.
"""

import numpy as np
import pandas as pd

from analysis import compared, published, terms
from analysis.intervals import wilson
from analysis.page import Exhibit
from analysis.pages.correlation_tables import column_names
from analysis.pages.material import Material, last
from analysis.read import listed

NAME, TITLE = "Table 2", "NASCA between pairs of languages"
FLAGS = "--part pairs --pair deu_Latn:fra_Latn ..., or all of them with --paper"
CAPTION = (
    "NASCA, position-weighted, mean over layers: the share of sentence pairs that are each other's "
    "nearest neighbours. Under each value Wilson's 95 % interval for its number of pairs, and the "
    "paper's value (Llama-3.1-8B)."
)


def exhibit(material: Material) -> Exhibit:
    """The printed pairs, by model."""
    printed = published.pairs()
    printed = printed.assign(pair=printed["language_a"] + " - " + printed["language_b"])
    ours = values(material, wanted=printed)
    if ours.empty:
        why = f"Empty: none of its pairs of languages was compared ({FLAGS})."
        return Exhibit(name=NAME, title=TITLE, missing=why)
    places = ["group", "pair", *(["switches"] if ours["switches"].nunique() > 1 else [])]
    cells = printed[["group", "pair", "published"]].assign(column=published.DETAILED)
    if "switches" in places:
        cells = cells.merge(ours[["switches"]].drop_duplicates(), how="cross")
    if published.DETAILED not in set(ours["column"]):
        cells = cells.iloc[:0]
    joined = compared.join(ours, cells, places=places)
    order = list(printed["pair"])
    joined = joined.sort_values("pair", key=lambda column: column.map(order.index), kind="stable")
    caption = " ".join(part for part in (CAPTION, compared.counted(joined)) if part)
    columns = sorted(dict.fromkeys(joined["column"]), key=lambda name: name != published.DETAILED)
    sheet = compared.sheet(joined, name="table_2", caption=caption, places=places, columns=columns)
    lacking = [pair for pair in order if pair not in set(ours["pair"])]
    missing = f"Not here: {listed(lacking)} ({FLAGS})." if lacking else ""
    files = {"table_2_beside_the_paper": joined}
    return Exhibit(name=NAME, title=TITLE, parts=(sheet,), missing=missing, files=files)


def values(material: Material, *, wanted: pd.DataFrame) -> pd.DataFrame:
    """Our scores of the wanted pairs of languages, whichever of the two is the pivot."""
    scores = last(material.scores)
    chosen = scores[(scores["layer_pool"] == "mean") & scores["complete"]]
    chosen = chosen[(chosen["measure"] == "nasca") & (chosen["pooling"] == "weighted")]
    chosen = terms.of_main_pairs(chosen, scores=material.scores)
    chosen = chosen[chosen["dataset"].map(published.dataset) == "FLORES-200"]
    names = {
        frozenset((row["language_a"], row["language_b"])): (row["group"], row["pair"])
        for row in wanted.to_dict("records")
    }
    keys = [frozenset(pair) for pair in zip(chosen["language"], chosen["pivot"], strict=True)]
    places = [names.get(key, ("", "")) for key in keys]
    chosen = chosen.assign(
        group=[group for group, _ in places], pair=[pair for _, pair in places],
        column=column_names(chosen), value=chosen["score"],
    )  # fmt: skip
    chosen = chosen[chosen["pair"] != ""].drop_duplicates(["column", "pair", "switches"])
    counts = chosen["n"].to_numpy(float)
    low, high = wilson(chosen["value"].to_numpy(float) * counts, n=np.maximum(counts, 1))
    return chosen.assign(low=low, high=high)

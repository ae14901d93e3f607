"""Tables 1 and 5: finding translations among all sentences, by embeddings and by neuron states.

The one idea: the paper's layer rule is open, so both readings stand side by side, and the printed
value beside each. Shares are in percent, as printed.
"""

import pandas as pd

from analysis import compared, published, retrieval, terms
from analysis.page import Exhibit
from analysis.pages.correlation_tables import column_names
from analysis.pages.material import Material, last
from analysis.read import listed

FIVE = ("fra_Latn", "ita_Latn", "deu_Latn")
RULE = (
    "A sentence is found where it is more similar to its translation than to any other sentence; "
    "position-weighted, all sentence pairs, in percent. The layer: the best one of each language "
    "and direction (our reading of the paper's max-pooling), or one for all languages. "
)
UNDER = "Under each value its 95 % interval over resampled languages, and the paper's value."
GROUPS = (
    "Head languages are the paper's lists: 68 of FLORES-200 (the paper counts 213 languages, its "
    "own split makes 204 with English), and of Tatoeba the 42 codes printed, English among them "
    "(the paper says 36 head and 76 long-tail)."
)
FLAGS = "--part retrieval"


def exhibits(material: Material) -> list[Exhibit]:
    """Tables 1 and 5."""
    found = retrieval.found(last(material.alignment))
    groups = retrieval.by_group(retrieval.by_language(found))
    groups = groups.assign(model=column_names(groups))
    return [_table_1(groups, material), _table_5(groups)]


def _table_1(groups: pd.DataFrame, material: Material) -> Exhibit:
    """English to and from every language, by data set and group."""
    name, title = "Table 1", "retrieval of translations by embeddings and neuron states"
    pivot = terms.PIVOT if (groups["pivot"] == terms.PIVOT).any() else terms.pivot(material.scores)
    ours = groups[groups["pivot"] == pivot]
    if ours.empty:
        why = f"Empty: no scores over all sentence pairs ({FLAGS} --parallel flores200 or tatoeba)."
        return Exhibit(name=name, title=title, missing=why)
    kinds = ours["dataset"].map(published.dataset)
    labels = kinds.str.removesuffix("-200").where(kinds.notna(), ours["dataset"])
    ours = ours.assign(column=labels + " " + ours["group"])
    printed = published.retrieval()
    ways = {"En->xx": "pivot->xx", "xx->En": "xx->pivot", "En<->xx": "both"}
    printed = printed.assign(direction=printed["direction"].map(ways), model=published.DETAILED)
    lacking = [name for name in dict.fromkeys(printed["column"]) if name not in set(ours["column"])]
    flags = f"{FLAGS} --parallel flores200, and again with tatoeba"
    missing = f"Not here: {listed(lacking)} ({flags})." if lacking else ""
    return _exhibit(
        ours, printed, places=["model", "representation", "direction"], names=(name, title),
        file="table_1", missing=missing,
    )  # fmt: skip


def _table_5(groups: pd.DataFrame) -> Exhibit:
    """Other pivots, on FLORES."""
    name, title = "Table 5", "retrieval with French, Italian and German as pivot"
    flags = f"{FLAGS} --parallel flores200 --pivot {','.join(FIVE)}"
    own = groups["dataset"].map(published.dataset) == "FLORES-200"
    ours = groups[(own if own.any() else groups["dataset"].notna())]
    ours = ours[ours["pivot"] != terms.PIVOT]
    if ours.empty:
        return Exhibit(name=name, title=title, missing=f"Empty: no such pivot was run ({flags}).")
    ways = {"pivot->xx": "src->xx", "xx->pivot": "xx->src"}
    ours = ours.assign(column=ours["group"] + " " + ours["direction"].replace(ways))
    lacking = [pivot for pivot in FIVE if pivot not in set(ours["pivot"])]
    missing = f"Not here: pivot {listed(lacking)} ({flags})." if lacking else ""
    printed = published.retrieval_pivots().assign(model=published.DETAILED)
    return _exhibit(
        ours, printed, places=["model", "pivot", "representation"], names=(name, title),
        file="table_5", missing=missing,
    )  # fmt: skip


def _exhibit(
    ours: pd.DataFrame, printed: pd.DataFrame, *, places: list[str], names: tuple[str, str],
    file: str, missing: str,
) -> Exhibit:  # fmt: skip
    """One table under both rules for the layer."""
    conditions = [name for name in ("switches",) if ours[name].nunique() > 1]
    places = [*places, *conditions, "rule"]
    if published.DETAILED not in set(ours["model"]):
        printed = printed.iloc[:0]
    rules = pd.DataFrame({"rule": [retrieval.EACH, retrieval.ONE]})
    printed = (
        printed.merge(ours[conditions].drop_duplicates(), how="cross") if conditions else printed
    )
    printed = printed.merge(rules, how="cross")
    joined = compared.join(ours, printed, places=places)
    order = [published.DETAILED, *retrieval.REPRESENTATIONS.values()]
    order += [*retrieval.DIRECTIONS.values(), *FIVE]
    ranks = {name: rank for rank, name in enumerate(order)}
    joined = joined.sort_values(
        places, key=lambda column: column.map(lambda value: f"{ranks.get(value, 99):02d}{value}"),
        kind="stable",
    )  # fmt: skip
    columns = sorted(
        dict.fromkeys([*printed["column"], *ours["column"]]),
        key=lambda column: ("long-tail" in column) if file == "table_5" else False,
    )
    counts = ours.groupby("column" if file == "table_1" else "group")["n"].max()
    sizes = listed(f"{count} {group}" for group, count in counts.items())
    caption = f"{RULE}{UNDER} {GROUPS} Languages here: {sizes}. {compared.counted(joined)}"
    sheet = compared.sheet(
        joined, name=file, caption=caption.strip(), places=places, columns=columns, decimals=1
    )
    name, title = names
    files = {f"{file}_beside_the_paper": joined, f"{file}_layers": ours}
    return Exhibit(name=name, title=title, parts=(sheet,), missing=missing, files=files)

"""Figures 1 to 8: categories of neurons, likeness to the anchor, and what each strength does."""

from collections.abc import Mapping

import pandas as pd

from analysis.clas import facts, figures, frames
from analysis.clas.facts import text
from analysis.clas.scores import BY_SERIES, named, signed
from analysis.layout import tables
from analysis.layout.exhibit import Exhibit, Note, Plot, Table
from analysis.layout.material import Material, named_by
from analysis.results.scaled_alignment import RESCALED, RESIDUAL

BY_MODEL = named_by("label", "dataset", varying=("switches", "key"), within=("label", "dataset"))
BY_STATES = named_by(
    "label", "benchmark", varying=("pivot", "switches"), within=("label", "benchmark")
)
BY_BENCHMARK = named_by("benchmark", varying=frames.CONDITIONS, within=("benchmark",))
MOST_ROWS = 14
STRENGTHS = "{{ said }}: shared {{ shared }}, specific {{ specific }}"


def _bridge(rows: pd.DataFrame) -> Mapping[str, object]:
    """The bridge layers and the samples of one model."""
    own = rows[rows["part"] == "all"]
    layers = sorted(set(own.loc[own["bridge"], "layer"]))
    return {
        "layers": f"{layers[0]} to {layers[-1]}" if len(layers) > 1 else "".join(map(str, layers)),
        "count": own["layer"].nunique(), "n": int(own["n"].max()),
        "languages": int(own["languages"].max()), "instances": rows["part"].nunique() > 1,
    }  # fmt: skip


def _shares(found: pd.DataFrame) -> pd.DataFrame:
    """Shares over bridge layers and over all layers, by way of counting."""
    own = tables.with_label(found[found["part"].isin(list(figures.PARTS))])
    values = list(figures.NAMES)
    parts = []
    for layers, rows in (("bridge", own[own["bridge"]]), ("all layers", own)):
        means = rows.groupby(["label", "dataset", "key", "part"], sort=True)[values].mean()
        parts.append(means.reset_index().assign(layers=layers))
    shown = pd.concat(parts).sort_values(["label", "dataset", "key", "part"], kind="stable")
    shown = shown.assign(part=shown["part"].map(figures.PARTS)).rename(columns=figures.NAMES)
    return shown[["label", "dataset", "part", "layers", *figures.NAMES.values()]]


def _mean_of_cos(material: Material) -> pd.DataFrame:
    """The points of Figures 3 and 7, with cosines averaged over items."""
    found = material.get(frames.with_gains)
    return found[found["aggregation"] == "mean_of_cos"]


def _residual(material: Material) -> pd.DataFrame:
    """Those of the residual stream, or of the rescaled site where there is no other."""
    found = material.get(_mean_of_cos)
    own = found[found["where"] == RESIDUAL]
    return own if len(own) else found[found["where"] == RESCALED]


def _fits(found: pd.DataFrame) -> pd.DataFrame:
    """Correlations for people."""
    columns = ["where", "aggregation", "n", "r", "low", "high", "p", "slope", "spearman"]
    columns += ["spearman_p", *(["note"] if found["note"].ne("").any() else [])]
    shown = found.assign(where=found["where"].map(figures.SITES))
    shown = shown.assign(aggregation=shown["aggregation"].str.replace("_", " "))
    return named(shown, *columns)


def _clusters(found: pd.DataFrame) -> pd.DataFrame:
    """Silhouettes and distances for people."""
    held = tables.with_label(found)
    columns = ["silhouette_before", "silhouette_after", "distance_before", "distance_after"]
    return held[["label", "benchmark", "language", "n", *columns]]


def _cluster_means(rows: pd.DataFrame) -> Mapping[str, object]:
    """Means of one picture, the anchor left out of distances."""
    sides = rows.groupby("state")["silhouette"].mean()
    others = rows[rows["side"] != rows["pivot"]]
    centres = others.drop_duplicates(["state", "side"]).groupby("state")["distance"].mean()
    known = {"before", "after"} <= set(sides.index)
    return {
        "known": known, "items": rows["item"].nunique(), "languages": rows["side"].nunique(),
        **{f"silhouette_{state}": float(sides.get(state, float("nan")))
           for state in ("before", "after")},
        **{f"distance_{state}": float(centres.get(state, float("nan")))
           for state in ("before", "after")},
    }  # fmt: skip


def _strength(rows: pd.DataFrame) -> Mapping[str, object]:
    """The strength, the sites and the counts of one series."""
    row = rows.iloc[0]
    return {
        "shared": signed(row["shared"]),
        "specific": signed(row["specific"]),
        "n": int(row["n"]),
    }


def _tuned(rows: pd.DataFrame) -> Mapping[str, object]:
    """Counts and the chosen strengths of one figure over models."""
    chosen = rows[rows["chosen"]]
    return {
        "n": int(rows["n"].max()), "languages": int(rows["languages"].max()),
        "chosen": [f"{row['label']} {signed(row['shared'])}" for row in chosen.to_dict("records")],
        "flips": bool(rows["flips"].any()),
    }  # fmt: skip


FIGURE_1 = Exhibit(
    name="Figure 1", title="categories of neurons by layer",
    empty="Empty: neurons were not sorted (--part neurons).",
    parts=(
        Note(text=text("figure_1_note")),
        Plot(
            name="categories", fill=frames.categories, by=BY_MODEL, draw=figures.draw_categories,
            caption=text("figure_1"), facts=_bridge,
        ),
        Table(
            name="category_shares", fill=frames.categories, shown=_shares, keep="categories",
            caption=text("category_shares"), most=MOST_ROWS,
        ),
    ),
)  # fmt: skip
FIGURES_2_AND_8 = Exhibit(
    name="Figures 2 and 8", title="cosine to the anchor in the bridge layers, before and after",
    empty=text("not_moved"), facts=facts.changed,
    parts=(
        Note(text=text("figures_2_and_8_note")),
        Plot(
            name="alignment", fill=frames.moved_states, by=BY_STATES, draw=figures.draw_alignment,
            heading=STRENGTHS, caption=text("figures_2_and_8"), facts=_strength,
        ),
    ),
    files={"alignment": frames.alignment},
)  # fmt: skip
FIGURE_3 = Exhibit(
    name="Figure 3", title="change of alignment against gain",
    empty=text("not_moved"), facts=facts.changed,
    parts=(
        Note(text=text("figure_3_note")),
        Plot(
            name="alignment_and_gain", fill=_mean_of_cos, by=BY_SERIES, draw=figures.draw_fit,
            heading=STRENGTHS, caption=text("figure_3"), facts=_strength,
        ),
        Table(
            name="alignment_and_gain", fill=frames.fits, shown=_fits,
            keep="alignment_and_gain_fits",
            caption=text("figure_3_table"), heads={"spearman_p": "p of Spearman's"}, decimals=2,
        ),
    ),
    files={"alignment_and_gain_points": frames.with_gains},
)  # fmt: skip
FIGURE_4 = Exhibit(
    name="Figure 4", title="prompts of all languages in the plane, before and after",
    empty=text("not_moved"), facts=facts.changed,
    parts=(
        Note(text=text("figure_4_note")),
        Plot(
            name="plane", fill=frames.points, by=BY_STATES, draw=figures.draw_points,
            caption=text("figure_4"), facts=_cluster_means,
        ),
        Table(
            name="clusters", fill=frames.clusters, shown=_clusters, keep="clusters_by_language",
            caption=text("clusters"), most=MOST_ROWS,
        ),
    ),
)  # fmt: skip
FIGURE_5 = Exhibit(
    name="Figure 5", title="metric by strength, on the tuning items",
    empty="Empty: no strength was tried (--part steering).",
    parts=(
        Note(text=text("figure_5_note")),
        Plot(
            name="strengths", fill=frames.line, by=BY_BENCHMARK, draw=figures.draw_strengths,
            caption=text("figure_5"), facts=_tuned, size="half",
        ),
    ),
    files={"strengths": frames.curves, "strengths_by_language": frames.tuned},
)  # fmt: skip
FIGURE_6 = Exhibit(
    name="Figure 6", title="one category of neurons alone",
    empty=text("figure_6_empty"), facts=facts.changed,
    parts=(
        Note(text=text("figure_6_note")),
        Plot(
            name="doses", fill=frames.doses, by=BY_BENCHMARK, draw=figures.draw_doses,
            caption=text("figure_6"), facts=_tuned,
        ),
    ),
)  # fmt: skip
FIGURE_7 = Exhibit(
    name="Figure 7", title="gain by language and change of alignment",
    empty=text("not_moved"), facts=facts.changed,
    parts=(
        Note(text=text("figure_7_note")),
        Plot(
            name="gain_map", fill=_residual, by=BY_SERIES, draw=figures.draw_gain_map,
            caption=text("figure_7"), size="half",
            facts=lambda rows: {"site": figures.SITES[str(rows["where"].iloc[0])]},
        ),
    ),
)  # fmt: skip
STABILITY = Exhibit(
    name="Stability of the categories", title="the same neurons from other samples?",
    empty="Empty: neurons were not sorted (--part neurons).",
    parts=(
        Table(
            name="stability", fill=frames.stability,
            shown=lambda found: tables.with_label(found)[
                ["label", "dataset", "part", "samples", "layers", "jaccard_partial_shared",
                 "jaccard_specific", "partial_shared", "specific"]
            ],
            keep="stability_by_part", caption=text("stability"),
            heads={
                "jaccard_partial_shared": "Jaccard, partial-shared",
                "jaccard_specific": "Jaccard, specific", "layers": "bridge layers",
                "partial_shared": "share partial-shared", "specific": "share specific",
            },
            decimals=2,
        ),
        Note(
            text=text("unstable"),
            facts=lambda material: {"where": facts.unstable(material)},
            warning=True,
        ),
    ),
)  # fmt: skip

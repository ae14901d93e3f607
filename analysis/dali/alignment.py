"""Exhibits of alignment: its level by layer, successes against failures, and languages."""

from collections import Counter
from collections.abc import Callable, Mapping
from math import nan
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import published_dali
from analysis.dali import figures, frames, gap_frames
from analysis.dali.figures import NAMES
from analysis.dali.frames import TESTED
from analysis.dali.text import BY_SERIES, MOST_ROWS, text, varying
from analysis.layout import compared, tables
from analysis.layout.exhibit import Beside, Exhibit, Note, Plot, Table
from analysis.layout.material import Fill, Material
from analysis.layout.prose import shared
from analysis.results import option_alignment
from analysis.results.answers import SERIES
from analysis.results.option_alignment import DALI

NO_ALIGNMENT = "Empty: no options were compared (--part alignment)."

# By names that tables write small numbers of in full.
P_VALUES = {"p_bh": "bh_p", "p_permutation": "permutation_p", "p_largest": "largest_p",
            "held_p_bh": "held_bh_p"}  # fmt: skip


def places(frame: pd.DataFrame) -> list[str]:
    """The columns that name a series for people."""
    return ["label", "benchmark", *varying(frame)]


def rule_means(material: Material) -> pd.DataFrame:
    """One row per series and rule: means over languages of the highest share and of kappa there,
    of chance and of both null controls, and the layer that is the best in most languages."""
    found = material.get(frames.level_table)
    if found.empty:
        return found
    grouped = found.groupby([*SERIES, "measure"], sort=False, dropna=False)
    names = ["share", "chance", "kappa", "permuted", "mismatched", "mean_over_layers"]
    means = grouped[names].mean()
    means.insert(0, "languages", grouped.size())
    means["layer"] = found["layer"].where(found["share"] > 0).groupby(
        [found[name] for name in (*SERIES, "measure")], sort=False, dropna=False
    ).agg(_commonest)  # fmt: skip
    return _ranked(means.reset_index())


def _commonest(layers: pd.Series) -> str:
    """The layer that comes most often, the first of several, and in how many languages; a language
    without an aligned item has none."""
    counts = Counter(int(layer) for layer in layers.dropna())
    if not counts:
        return "none"
    layer = min(counts, key=lambda one: (-counts[one], one))
    return f"{layer} ({counts[layer]} of {len(layers)})"


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by series, then by rule in their order."""
    order = {name: place for place, name in enumerate(NAMES)}
    keyed = frame.assign(order=frame["measure"].map(order))
    ordered = keyed.sort_values([*SERIES, "order"], kind="stable", ignore_index=True)
    return ordered.drop(columns="order")


def _rules(found: pd.DataFrame) -> pd.DataFrame:
    """Means of every rule for people; controls stand beside the rule that they are of."""
    held = tables.with_label(found)
    nulls = list(option_alignment.NULLS)
    held[nulls] = held[nulls].where(held["measure"] == DALI)
    held["measure"] = held["measure"].map(NAMES)
    columns = [*places(held), "measure", "languages", "layer", "share", "chance", "kappa"]
    return held[[*columns, *nulls, "mean_over_layers"]]


def _languages(found: pd.DataFrame) -> pd.DataFrame:
    """Every language's best layer of DALI."""
    held = tables.with_label(found[found["measure"] == DALI])
    columns = [*places(held), "language", "n", "layer", "share", "low", "high", "chance", "kappa"]
    return held[[*columns, *option_alignment.NULLS, "mean_over_layers"]]


def _nulls(material: Material) -> Mapping[str, object] | None:
    """Series whose control exceeds independent chance by far."""
    found = material.get(rule_means)
    own = found[found["measure"] == DALI] if len(found) else found
    high = [row for row in own.to_dict("records") if _high(row)]
    return {"rows": high} if high else None


def _high(row: Mapping[Any, Any]) -> bool:
    """Whether another item's options are aligned more often than chance and a tenth of the rule."""
    return bool(row["mismatched"] > row["chance"] + 0.1 * row["share"])


def _plot(
    name: str, fill: Fill, draw: Callable[[Material, pd.DataFrame, str], Figure], **rest: Any
) -> Plot:
    """A figure per series."""
    return Plot(name=name, fill=fill, by=BY_SERIES, draw=draw, caption=text(name), **rest)


LEVELS = Exhibit(
    name="Alignment by layer", title="how many items have every option nearest its translation?",
    empty=NO_ALIGNMENT,
    lacking="{% if not answered %}Without the lines of successes and failures: no answers to the "
    "same items in both languages (--part answers).{% endif %}",
    facts=lambda material: {"answered": bool(material.get(frames.answered))},
    parts=(
        _plot("alignment_by_layer", frames.level_curves, figures.draw_levels),
        Table(
            name="alignment", fill=rule_means, shown=_rules, caption=text("alignment"),
            heads={
                "measure": "rule", "layer": "best layer", "share": "highest share",
                "permuted": "options permuted", "mismatched": "another item",
                "mean_over_layers": "mean of layers",
            },
            most=MOST_ROWS,
        ),
        Note(text=text("nulls_high"), facts=_nulls, warning=True),
        Table(
            name="alignment_languages", fill=frames.level_table, shown=_languages,
            keep="alignment_best_layers",
            caption="DALI at the best layer of every language: {{ rows }} rows",
            heads={"layer": "best layer", "mean_over_layers": "mean of layers",
                   "permuted": "options permuted", "mismatched": "another item"},
            most=MOST_ROWS // 2,
        ),
    ),
    files={"alignment_levels": frames.levels, "alignment_curves": frames.level_curves},
)  # fmt: skip


RULES = Exhibit(
    name="Every rule", title="all rules above chance, on one scale", empty=NO_ALIGNMENT,
    parts=(_plot("alignment_rules", frames.level_curves, figures.draw_rules),),
)  # fmt: skip
FEWER = Exhibit(
    name="Reduced options", title="DALI with two and three of more options",
    empty=text("no_reduced"), facts=lambda material: {"there": len(material.get(frames.levels))},
    parts=(
        Table(
            name="reduced_options",
            fill=lambda material: _reduced(material.get(rule_means)),
            caption=text("reduced_options"),
            heads={"measure": "rule", "layer": "best layer", "share": "highest share"},
        ),
    ),
)  # fmt: skip


def _reduced(found: pd.DataFrame) -> pd.DataFrame:
    """The rules with fewer options, beside those with all."""
    if found.empty:
        return found
    kept = found.loc[found["measure"].isin(option_alignment.REDUCED), SERIES].drop_duplicates()
    held = tables.with_label(found.merge(kept, on=SERIES))
    held = held[held["measure"].isin(figures.REDUCED)]
    held = held.assign(measure=held["measure"].map(NAMES))
    columns = [*places(held), "measure", "languages", "layer", "share", "chance", "kappa"]
    return held[columns]


def _gap_table(found: pd.DataFrame) -> pd.DataFrame:
    """Gaps of DALI by language, for people."""
    held = tables.with_label(found[found["measure"] == DALI])
    columns = [*places(held), "language", "n_success", "n_failure", "layer", "success", "failure"]
    columns += ["gap", "p", "p_bh", "p_permutation", "p_largest", "held_layer", "held_gap"]
    return held[[*columns, "held_p_bh"]].rename(columns=P_VALUES)


def _gap_facts(material: Material) -> Mapping[str, object] | None:
    """Languages without a gap, by series."""
    found = material.get(gap_frames.gap_tests)
    if found.empty:
        return None
    own = found[found["measure"] == DALI]
    rows = []
    for _, group in own.groupby(SERIES, sort=True, dropna=False):
        none = group[group["gap"].isna()]
        if len(none):
            first = group.iloc[0].to_dict()
            rows.append({
                "model": first["model"], "revision": first["revision"],
                "benchmark": first["benchmark"], "languages": list(none["language"]),
                "no_failure": int((none["n_failure"] == 0).sum()), "of": len(group),
            })  # fmt: skip
    return {"rows": rows} if rows else None


def xcopa_gaps(material: Material) -> pd.DataFrame:
    """Our gaps on XCOPA beside those of the released outputs, for the paper's model."""
    found = material.get(gap_frames.gap_tests)
    if found.empty:
        return found
    own = found[found["measure"] == DALI]
    own = own.assign(task=[_task(row) for row in own.to_dict("records")])
    own = own[own["switches"].map(published_dali.pooling) == "last"]
    both = tables.with_label(own).merge(
        published_dali.gaps(), on=["task", "language"], suffixes=("", "_reference")
    )
    columns = [*places(both), "language", "gap", "low", "high", "p", "n_success", "n_failure"]
    return both[[*columns, "gap_reference", "p_one_sided", "successes", "failures"]].rename(
        columns={"p_one_sided": "released_p"}
    )


def _task(row: Mapping[Any, Any]) -> str:
    """The paper's name of a row's benchmark where it is comparable, else empty."""
    found = published_dali.task(
        str(row["model"]), revision=str(row["revision"]), benchmark=str(row["benchmark"]),
        pivot=str(row["pivot"]),
    )  # fmt: skip
    return found or ""


GAPS = Exhibit(
    name="Transfer gap", title="are successes of transfer aligned more often than failures?",
    empty=text("no_gap"),
    facts=lambda material: {"aligned": len(material.get(frames.levels))},
    parts=(
        _plot("transfer_gap", frames.known(gap_frames.gap_means, "gap"), figures.draw_gaps),
        _plot(
            "transfer_gap_languages", frames.only(gap_frames.gap_tests, "measure", DALI),
            figures.draw_forest,
        ),
        Note(text=text("gap_undefined"), facts=_gap_facts),
        Table(
            name="transfer_gaps", fill=gap_frames.gap_tests, shown=_gap_table,
            keep="transfer_gaps_all", caption=text("transfer_gaps"),
            heads={
                "n_success": "successes", "n_failure": "failures", "success": "aligned, successes",
                "failure": "aligned, failures", "p": "p (z-test)", "bh_p": "q",
                "permutation_p": "p (permuted)", "largest_p": "p, largest of layers",
                "held_layer": "chosen layer",
                "held_gap": "gap, other half", "held_bh_p": "q, other half",
            },
            most=MOST_ROWS,
        ),
        Table(
            name="xcopa_gaps", fill=xcopa_gaps, caption=text("xcopa_gaps"),
            heads={"gap_reference": "released: gap", "released_p": "released: p",
                   "successes": "released: successes", "failures": "released: failures"},
        ),
        _plot(
            "transfer_gap_by_layer",
            frames.known(frames.only(gap_frames.gap_curves, "measure", DALI), "gap"),
            figures.draw_gap_languages, few=0,
            fold="Every language's gap by layer, {{ count }} figures",
        ),
    ),
    files={"transfer_gap_curves": gap_frames.gap_curves},
)  # fmt: skip


def correlation_cells(material: Material) -> pd.DataFrame:
    """Every coefficient as a cell of a table, by series and rule."""
    found = material.get(frames.correlations)
    if found.empty:
        return found
    held = tables.with_label(_ranked(found))
    conditions = varying(held)
    rows = []
    for place, group in held.groupby([*SERIES, "measure"], sort=False, dropna=False):
        first = group.iloc[0].to_dict()
        named = dict(zip([*SERIES, "measure"], place, strict=True))
        where = {"model": first["label"], "benchmark": named["benchmark"]}
        where |= {name: named[name] for name in conditions}
        where |= {"rule": NAMES[str(named["measure"])]}
        where |= {"languages": int(first["n"])}
        cells = [("mean of maxima", *_mean(group))]
        for row in group.to_dict("records"):
            pool = "maximum" if row["pool"] == "max" else "mean"
            cells.append((f"Pearson, {pool}", row["r"], row["low"], row["high"]))
            ends = (row["spearman_low"], row["spearman_high"])
            cells.append((f"Spearman, {pool}", row["spearman_r"], *ends))
        rows += [
            {**where, "column": column, "value": value, "low": low, "high": high, "n": first["n"]}
            for column, value, low, high in cells
        ]
    return pd.DataFrame(rows)


def _mean(group: pd.DataFrame) -> tuple[float, float, float]:
    """The mean over languages of the highest share, with its ends."""
    own = group[group["pool"] == "max"]
    if own.empty:
        return nan, nan, nan
    return tuple(own[["mean_score", "mean_low", "mean_high"]].iloc[0])


def reference_cells(material: Material) -> pd.DataFrame:
    """The reference values at the places of `correlation_cells`."""
    ours = material.get(correlation_cells)
    held = tables.with_label(material.get(frames.correlations))
    held = held.assign(
        task=[_task(row) for row in held.to_dict("records")],
        pooling=held["switches"].map(published_dali.pooling),
    )
    both = held.merge(published_dali.reference(), on=["task", "pooling", "measure"])
    both = both.assign(model=both["label"], rule=both["measure"].map(NAMES), languages=both["n"])
    where = [name for name in ours.columns if name not in compared.OURS]
    return both[[*where, "column", "published"]].drop_duplicates()


def _by_resource(found: pd.DataFrame) -> pd.DataFrame:
    """The coefficients inside groups of languages, for people."""
    held = tables.with_label(_ranked(found)).assign(rule=lambda own: own["measure"].map(NAMES))
    held = held.rename(columns={"pool": "over layers", "n": "languages", "spearman_r": "rho"})
    held = held.rename(columns={"resource": "resources", "spearman_p": "rho_p"})
    columns = [*places(held), "resources", "rule", "over layers", "languages"]
    return held[[*columns, "r", "low", "high", "p", "rho", "rho_p"]]


def _notes(material: Material) -> Mapping[str, object] | None:
    """Why coefficients are missing."""
    found = material.get(frames.correlations)
    own = found[found["measure"].isin(TESTED)] if len(found) else found
    counts = Counter(str(note) for note in own.loc[own["r"].isna(), "note"]) if len(own) else {}
    return {"notes": list(counts.items())} if counts else None


LANGUAGES = Exhibit(
    name="Languages", title="does alignment go with accuracy over languages?",
    empty=text("no_languages"),
    facts=lambda material: {"aligned": len(material.get(frames.levels))},
    parts=(
        _plot(
            "alignment_accuracy",
            frames.known(frames.only(frames.scores, "pool", "max"), "accuracy"),
            figures.draw_languages,
        ),
        Beside(
            name="alignment_correlations", fill=correlation_cells, published=reference_cells,
            caption=text("alignment_correlations"),
            order=lambda joined: compared.ranked(joined, NAMES.values()),
            columns=lambda *_: ["mean of maxima", "Pearson, maximum", "Spearman, maximum",
                                "Pearson, mean", "Spearman, mean"],
            decimals=2,
        ),
        Note(text=shared("undefined_coefficients"), facts=_notes),
        Table(
            name="alignment_correlations_by_resource",
            fill=frames.known(frames.resource_correlations, "r", "spearman_r"), shown=_by_resource,
            caption=text("alignment_correlations_by_resource"), decimals=2, most=0,
        ),
        _plot(
            "alignment_accuracy_mean",
            frames.known(frames.only(frames.scores, "pool", "mean"), "accuracy"),
            figures.draw_languages, few=0,
            fold="The same with means over layers, {{ count }} figures",
        ),
    ),
    files={"alignment_scores": frames.scores, "alignment_coefficients": frames.correlations},
)  # fmt: skip

"""The part of a page that says what is wrong or weak: failures, gaps, cuts, ties, chance.

The one idea: silence must mean that a check was made and found nothing, so every check has a
sentence either way. It does not judge the study's question.
"""

import pandas as pd

from analysis.page import Part, Sheet, Text
from analysis.pages import option_mass
from analysis.read import Rows, label, listed
from analysis.scores import LEVEL

COORDINATES = ["table", "model", "revision", "dataset", "benchmark", "language", "error"]
ALIGNED = 0.001


def parts(rows: Rows, *, scores: pd.DataFrame, accuracies: pd.DataFrame) -> tuple[Part, ...]:
    """Warnings first, then the checks that found nothing, then tables."""
    checks = [*_chance(accuracies), _gaps(scores), _undefined(scores), _cut(rows)]
    checks += [_aligned(scores), _duplicates(rows), option_mass.said(rows.items)]
    weak = [*rows.notes, *(line for wrong, line in checks if wrong)]
    fine = tuple(line for wrong, line in checks if not wrong and line)
    found: list[Part] = list(failures(rows.errors))
    if weak:
        found.append(Text(lines=tuple(weak), warning=True))
    if fine:
        found.append(Text(lines=fine))
    return (*found, *_chance_sheet(accuracies), *_ties(scores))


def near_chance(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Per model and benchmark: languages, and how many are not told from chance at 5 %."""
    tested = accuracies.assign(near=~(accuracies["p_chance"] < LEVEL))
    tested = tested[tested["main"]]
    groups = ["model", "revision", "benchmark", "prompt"]
    counts = tested.groupby(groups, sort=True)["near"].agg(["sum", "size"])
    return counts.rename(columns={"sum": "near", "size": "languages"}).reset_index()


def _chance(accuracies: pd.DataFrame) -> list[tuple[bool, str]]:
    """Accuracies that chance explains, in words: all together, then the worst one by one."""
    counts = near_chance(accuracies)
    if counts.empty:
        return []
    near, tested = int(counts["near"].sum()), int(counts["languages"].sum())
    found = [
        (
            near > 0,
            f"{near} of {tested} accuracies are not distinguishable from chance (exact binomial "
            "test, two-sided, 5 %, not corrected for their number).",
        )
    ]
    for row in counts[counts["near"] * 2 >= counts["languages"]].to_dict("records"):
        line = (
            f"{label(row['model'], revision=row['revision'])}, {row['benchmark']}: accuracies are "
            f"not distinguishable from chance in {row['near']} of {row['languages']} languages: "
            "correlations with them say little."
        )
        found.append((True, line))
    return found


def _chance_sheet(accuracies: pd.DataFrame) -> tuple[Part, ...]:
    """The same count for every model and benchmark."""
    counts = near_chance(accuracies)
    if counts.empty:
        return ()
    caption = "Languages not distinguishable from chance, by model and benchmark"
    heads = {"near": "not distinguishable"}
    sheet = Sheet(name="near_chance", caption=caption, frame=counts, heads=heads, collapsed=True)
    return (sheet,)


def _gaps(scores: pd.DataFrame) -> tuple[bool, str]:
    """Languages whose layers are not all there."""
    partial = scores[~scores["complete"] & (scores["undefined"] == 0)]
    if partial.empty:
        return False, "Every language has every layer of its series." if len(scores) else ""
    where = {
        f"{label(model, revision=revision)} {measure}: {language}"
        for model, revision, measure, language in partial[
            ["model", "revision", "measure", "language"]
        ].itertuples(index=False, name=None)
    }
    return True, (
        "Layers are missing, so these languages are left out of the correlations (their layer "
        f"means would not be comparable): {listed(sorted(where))}."
    )


def _undefined(scores: pd.DataFrame) -> tuple[bool, str]:
    """Languages where a measure has no value at some layer."""
    once = scores[(scores["layer_pool"] == "mean") & (scores["undefined"] > 0)]
    if once.empty:
        return False, ""
    where = (
        f"{label(row['model'], revision=row['revision'])} {row['measure']}: {row['language']} "
        f"({row['undefined']} layers)"
        for row in once.to_dict("records")
    )
    return True, (
        "A measure is undefined at some layers (vectors without variation), so these languages are "
        f"left out of its correlations: {listed(where)}."
    )


def _duplicates(rows: Rows) -> tuple[bool, str]:
    """Sentence pairs of which a text occurs more than once: the strict rule counts against them."""
    known = rows.alignment.dropna(subset="duplicates")
    if known.empty:
        return False, "Repeated texts were not counted." if len(rows.alignment) else ""
    sets = known.groupby(["dataset", "pivot", "language", "pairs"])[["duplicates", "n"]].max()
    repeated = sets[sets["duplicates"] > 0]
    if repeated.empty:
        return False, "No text occurs twice among the sentence pairs of a language."
    worst = repeated.sort_values("duplicates", ascending=False, kind="stable")
    named = (
        f"{row['language']} of {row['dataset']} {row['duplicates']:.0f} of {row['n']:.0f}"
        for row in worst.reset_index().to_dict("records")
    )
    total, pairs = int(repeated["duplicates"].sum()), int(sets["n"].sum())
    return True, (
        f"{total} of {pairs} sentence pairs have a text that occurs more than once, in "
        f"{len(repeated)} of {len(sets)} sets of pairs; equal texts tie, and the strict rule "
        f"counts a tie as not aligned. Most: {listed(named, most=6)}."
    )


def _cut(rows: Rows) -> tuple[bool, str]:
    """Texts that were cut to a model's context."""
    texts = rows.alignment.groupby(["model", "revision", "dataset", "language"])["truncated"].max()
    items = int(rows.items["truncated"].eq(True).sum())
    if not texts.sum() and not items:
        return False, "No text was cut to fit a model's context."
    return True, (
        f"Cut to fit a model's context: {int(texts.sum())} parallel texts and {items} of "
        f"{len(rows.items)} benchmark items."
    )


def _aligned(scores: pd.DataFrame) -> tuple[bool, str]:
    """Series that are never above what similarities without information would give."""
    if scores.empty:
        return False, ""
    once = scores[(scores["layer_pool"] == "mean") & scores["p_null"].notna()]
    none = once[~(once["p_null"] < ALIGNED)]
    line = (
        f"{len(none)} of {len(once)} scores (by model, language, measure and pooling) have no "
        f"layer above uninformative similarities (exact p < {ALIGNED:g}, not corrected for layers)."
    )
    return len(none) > 0, line


def failures(errors: pd.DataFrame) -> tuple[Part, ...]:
    """Every failed cell, cells with the same error on one line."""
    if errors.empty:
        return (Text(lines=("No cell failed.",)),)
    grouped = errors.groupby(COORDINATES, dropna=False, sort=True)
    counts = grouped.agg(cells=("key", "size"), attempts=("attempts", "max")).reset_index()
    failed = "1 cell failed and is" if len(errors) == 1 else f"{len(errors)} cells failed and are"
    line = f"{failed} missing from everything above. The same command, run again, tries again."
    return (
        Text(lines=(line,), warning=True),
        Sheet(
            name="failures",
            caption=f"Failed cells: {len(errors)}",
            frame=counts.dropna(axis="columns", how="all"),
            collapsed=len(counts) > 30,
        ),
    )


def _ties(scores: pd.DataFrame) -> tuple[Part, ...]:
    """Pairs lost to exact ties, which the strict rule counts as not aligned."""
    once = scores[scores["layer_pool"] == "mean"]
    total = int(once["ties"].sum())
    if not total:
        return (Text(lines=("No pair was lost to an exact tie.",)),) if len(once) else ()
    tried = once.assign(tried=once["n"] * once["layers"], tied=once["ties"] > 0)
    found = (
        tried.groupby(["model", "revision", "measure", "pooling"], sort=True)
        .agg(ties=("ties", "sum"), tried=("tried", "sum"), languages_with_ties=("tied", "sum"))
        .reset_index()
    )
    found["share_of_pairs"] = found["ties"] / found["tried"]
    found = found[found["ties"] > 0].drop(columns="tried").reset_index(drop=True)
    caption = (
        f"Exact ties: {total} pairs (over all layers) failed only because a competitor was exactly "
        "as similar; the strict rule counts them as not aligned"
    )
    return (Sheet(name="ties", caption=caption, frame=found, collapsed=len(found) > 12),)

"""The tables of the latent-process study, one frame each (arXiv 2505.13141)."""

from math import isnan, nan

import pandas as pd

from analysis import published_latent
from analysis.layout import compared, tables
from analysis.layout.material import Material, derived
from analysis.layout.prose import short
from analysis.read import label
from analysis.results import log_ratio, steering, steering_means
from analysis.results.answers import SERIES
from analysis.results.latent import LATENT, SERIES_OF_MEASURE, SHUFFLED
from analysis.results.log_ratio import FERTILITY, USUAL
from analysis.results.steering import STEER
from analysis.statistics.correlate import p_in_words

FIRST = "all analysed"
MIDDLE = "middle half"
MARK = "not above chance"
PLACE = ["label", "benchmark", "prompt"]
# A parallel text that is a benchmark's questions is named so.
PREFIX = "questions/"
SIMILARITIES = ("cka", "cosine", "cosine_centred")
SIMILAR = ["model", "revision", "benchmark", "pivot", "pooling", "switches"]
SIMILAR_OUTCOMES = ("accuracy", "consistency")
COLUMNS = {
    "accuracy": "accuracy",
    "accuracy_std": "± over languages",
    "consistency": "consistency",
    "tr_plus": "tr+",
    "tr_minus": "tr-",
    "excess_plus": "tr+ excess",
    "excess_minus": "tr- excess",
}
# What the paper says of its models, where the ratio is above 0 (section 4, on Figure 2a).
PAPER: dict[str, str] = {
    "Gemma 2 2B": "below in the middle",
    "Gemma 2 9B": "below in the middle",
    "Gemma 2 27B": "from layer 22",
    "Qwen 2.5 3B": "below in the middle",
    "Qwen 2.5 7B": "from layer 4",
    "Qwen 2.5 32B": "from layer 40",
}
VECTORS = ["label", "benchmark", "pivot", "prompt", "layer"]


def several(material: Material) -> pd.DataFrame:
    """Plain answers over two languages or more."""
    return material.overall[material.overall["languages"] > 1]


def transfer(material: Material) -> pd.DataFrame:
    """Table 1: accuracy, consistency and transfer over languages, a column for each."""
    many = material.get(several)
    rows = []
    for place, row in zip(many.index, many.to_dict("records"), strict=True):
        mark = f", {MARK}" if place in material.weak.index else ""
        shared = {
            "model": label(str(row["model"]), revision=str(row["revision"])),
            "benchmark": row["benchmark"],
            "prompt": row["prompt"],
            "languages above chance": f"{row['above']} of {row['languages']}{mark}",
            "n": row["n"],
        }
        for measure, head in COLUMNS.items():
            ends = {end: row.get(f"{measure}_{end}", nan) for end in ("low", "high")}
            rows.append(shared | {"column": head, "value": row[measure]} | ends)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    varies = frame.groupby(["model", "benchmark"])["prompt"].nunique().max() > 1
    prompt = ["prompt"] if varies else []
    places = ["model", "benchmark", *prompt, "languages above chance"]
    return frame[[*places, *compared.OURS]]


def transfer_beside(material: Material) -> pd.DataFrame:
    """The printed cells of Table 1."""
    ours, many = material.get(transfer), material.get(several)
    names = {
        label(str(model), revision=str(revision)): published_latent.model_name(
            str(model), revision=str(revision)
        )
        for model, revision in zip(many["model"], many["revision"], strict=True)
    }
    own = ours.drop(columns=["value", "low", "high", "n"]).assign(
        paper=ours["model"].map(names),
        printed_on=ours["benchmark"].map(str).map(published_latent.BENCHMARKS),
    )
    printed = published_latent.transfer().rename(
        columns={"model": "paper", "benchmark": "printed_on", "measure": "column"}
    )
    printed["column"] = printed["column"].map(COLUMNS)
    return own.dropna(subset=["paper", "printed_on"]).merge(
        printed, on=["paper", "printed_on", "column"]
    )


def correlations(material: Material) -> pd.DataFrame:
    """Table 2: every coefficient over languages of the mean log ratio with what is answered.

    Of the mean over all layers, as the paper has it, and of the middle and the end of the model, as
    the first mixes layers on both sides of 0.
    """
    cells = material.latent[material.latent["measure"] == LATENT]
    if cells.empty or material.by_language.empty:
        return pd.DataFrame()
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


def correlation_places(found: pd.DataFrame) -> list[str]:
    """What sets a row of Table 2 apart, conditions where they vary."""
    varying = tables.several(found, ("prompt", "output_prompt", "pivot", "switches"))
    if found.groupby("benchmark")[["prompt", "output_prompt"]].nunique().max().max() < 2:
        varying = [name for name in varying if name not in ("prompt", "output_prompt")]
    return ["label", "benchmark", *varying, "layers"]


def correlations_beside(found: pd.DataFrame) -> pd.DataFrame:
    """The printed coefficients, of the mean over all layers: places, column, published, stars."""
    own = found[found["layers"] == FIRST]
    named = own.assign(
        paper=_paper_names(own),
        task=[published_latent.benchmark(str(name)) or "" for name in own["benchmark"]],
    )
    printed = published_latent.log_ratio().rename(columns={"model": "paper", "benchmark": "task"})
    joined = named.merge(printed, on=["paper", "task", "outcome"])
    places = correlation_places(found)
    return joined.rename(columns={"outcome": "column"})[[*places, "column", "published", "stars"]]


def under(record: compared.Record) -> str:
    """The lines under a coefficient, or why there is none."""
    lines = []
    if isnan(record["r"]):
        lines.append(str(record["note"]).removeprefix("undefined: "))
    else:
        p = p_in_words(record["p"]).replace("0.", ".")
        lines.append(f"{log_ratio.stars(record['p'])} {p}, n = {record['n']}".strip())
        if not isnan(record["low"]):
            lines.append(f"[{short(record['low'])}, {short(record['high'])}]")
    printed = record.get("published", nan)
    if printed == printed:
        lines.append(f"paper {printed:.1f}{'*' * int(record['stars'])}".replace("0.", "."))
    return "\n".join(lines)


def others(material: Material) -> pd.DataFrame:
    """The cells of all languages but the pivot, with their models' labels."""
    return tables.with_label(log_ratio.others(material.latent))


def crossings(material: Material) -> pd.DataFrame:
    """Where the log ratio crosses 0, by model and benchmark, and what the paper says.

    `middle` is its mean over the middle half of the layers, and `of_another_question` that of the
    control.
    """
    return crossing_of(material.get(others))


def crossing_of(cells: pd.DataFrame) -> pd.DataFrame:
    """The same of some cells."""
    if cells.empty:
        return cells
    found = log_ratio.crossings(log_ratio.curves(cells, column=USUAL))
    means = log_ratio.over_layers(cells, series=SERIES_OF_MEASURE, columns=[USUAL])
    means = means[means["layers"] == MIDDLE]
    middle = means.pivot_table(index=SERIES, columns="measure", values=USUAL)
    middle = middle.reindex(columns=list(log_ratio.MEASURES)).reset_index()
    middle.columns = [*SERIES, "middle", "of_another_question"]
    found = found.merge(middle, how="left", on=SERIES)
    return found.assign(paper=[PAPER.get(name, "") for name in _paper_names(found)])


def _paper_names(frame: pd.DataFrame) -> list[str]:
    """The paper's name of every row's model, empty where it has none."""
    names = zip(frame["model"], frame["revision"], strict=True)
    return [published_latent.model_name(str(a), revision=str(b)) or "" for a, b in names]


def shuffled(material: Material) -> pd.DataFrame:
    """The control of the log ratio: r of the two over languages and layers, and their difference.

    The own options' part of the ratio is what the control lacks.
    """
    cells = material.get(others)
    found = cells.pivot_table(
        index=[*PLACE, "language", "layer"], columns="measure", values=USUAL
    ) if len(cells) else cells  # fmt: skip
    if SHUFFLED not in found or LATENT not in found:
        return pd.DataFrame()
    rows = []
    for place, group in found.dropna().groupby(PLACE, sort=True):
        own, other = group[LATENT], group[SHUFFLED]
        rows.append(
            dict(zip(PLACE, place, strict=True))
            | {"own options": float(own.mean()), "another question's": float(other.mean())}
            | {"difference": float((own - other).mean()), "r": float(own.corr(other))}
            | {"languages": group.index.get_level_values("language").nunique()}
        )
    frame = pd.DataFrame(rows)
    return frame.drop(columns="prompt") if frame["prompt"].nunique() == 1 else frame


def of_questions(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose parallel text is a benchmark's questions, with that benchmark."""
    own = frame[frame["dataset"].str.startswith(PREFIX, na=False)]
    return own.assign(benchmark=own["dataset"].str.removeprefix(PREFIX))


def similarities(material: Material) -> pd.DataFrame:
    """Similarity of every language's states with the pivot's, by layer."""
    rows = of_questions(material.rows.alignment)
    return rows[rows["measure"].isin(SIMILARITIES)]


def similarity_correlations(material: Material) -> pd.DataFrame:
    """Pearson's r over languages of every similarity with accuracy and consistency."""
    rows = material.get(similarities)
    if rows.empty or material.by_language.empty:
        return pd.DataFrame()
    series = [*SIMILAR, "measure"]
    values = log_ratio.over_layers(rows, series=series, columns=["value"])
    return log_ratio.correlations(
        values, outputs=material.by_language, series=series, column="value",
        outcomes=SIMILAR_OUTCOMES,
    )  # fmt: skip


def prompts(material: Material) -> pd.DataFrame:
    """Table 3: which prompt asked what."""
    kinds = {
        "output": material.overall, "option texts": material.latent,
        "vectors": material.rows.vectors,
    }  # fmt: skip
    rows = [
        {"benchmark": benchmark, "asked for": kind, "prompt": prompt}
        | {"models": len(group[["model", "revision"]].drop_duplicates())}
        for kind, frame in kinds.items()
        for (benchmark, prompt), group in frame.groupby(["benchmark", "prompt"], sort=True)
    ]
    frame = pd.DataFrame(rows)
    return frame.sort_values(["benchmark", "asked for"], ignore_index=True) if rows else frame


def steered(material: Material) -> pd.DataFrame:
    """What the real vector changes, cell by cell."""
    return material.effects[material.effects["intervention"] == STEER]


def choices(material: Material) -> pd.DataFrame:
    """Coefficients chosen on one half of the items, and their effect on the other."""
    found = steering_means.choices(material.get(steered))
    return found if len(found) and found["candidates"].max() > 1 else found.iloc[:0]


def draws(material: Material) -> pd.DataFrame:
    """The spread over draws of the questions, where there are several."""
    found = steering_means.over_seeds(material.get(steered))
    return found[found["seeds"] > 1]


def option_shares(material: Material) -> pd.DataFrame:
    """The share of every option before and after steering."""
    shares = steering.option_shares(material.answers)
    return shares[shares["intervention"] == STEER]


def option_prior(material: Material) -> pd.DataFrame:
    """Shifts of the shares of the options, and the shares themselves in words."""
    found = material.get(steered)
    if found.empty:
        return found
    places = [*SERIES, "layer", "coefficient"]
    shift = (
        found.groupby(places)["prior_shift"]
        .agg(shift="mean", most="max", languages="size")
        .reset_index()
    )
    grouped = material.get(option_shares).groupby([*places, "option"], sort=True)
    each = grouped[["plain_share", "share", "gold_share"]].mean()
    texts = each.apply(
        lambda row: f"{row['plain_share']:.2f} to {row['share']:.2f} ({row['gold_share']:.2f})",
        axis=1,
    )
    by_option = texts.unstack("option").add_prefix("option ").reset_index()
    return shift.merge(by_option, on=places).rename(columns={"languages": "language x draw"})


def vectors_by_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of what qualifies the vectors, one row per model, benchmark, prompt and layer.

    A vector is weighed against the states it is added to, and against the difference of two halves
    of the pivot's own questions, which is what a vector of no content would be.
    """
    if rows.empty:
        return rows
    held = tables.with_label(rows)
    held = held.assign(share=held["norm"] / held["resid_norm"])
    control = held["language"] == held["pivot"]
    found = (
        held[~control]
        .groupby(VECTORS, sort=True)
        .agg(
            languages=("language", "nunique"),
            draws=("seed", "nunique"),
            n=("n", "max"),
            norm=("norm", "mean"),
            share=("share", "mean"),
            reliability=("reliability", "mean"),
            least=("reliability", "min"),
            most=("reliability", "max"),
        )
        .reset_index()
    )
    halves = held[control].groupby(VECTORS)["norm"].mean().rename("halves").reset_index()
    return found.merge(halves, on=VECTORS, how="left")


# Means over languages of every dose and outcome, of the real vector and of controls.
doses = derived("effects", steering_means.over_languages)
# How the change of accuracy goes with plain accuracy.
trends = derived(steered, steering_means.trends)
# The real vector less every control.
against_controls = derived("effects", steering_means.against_controls)
# Whether coefficient 0 answers as the plain run did.
against_plain = derived("answers", steering.against_plain)
vectors = derived("rows.vectors", vectors_by_layer)

"""Table 1 and Figure 1: accuracy, consistency and transfer between languages.

The one idea: raw transfer rises with accuracy alone, so its excess over independence stands beside
it in the table and in a second map. Where a model's accuracies are chance's, rankings say nothing,
and the row says so.
"""

import pandas as pd

from analysis import compared, published_latent, tables, transfer
from analysis.figures import heat
from analysis.page import Exhibit, Part, Picture, Text, file_name
from analysis.pages.latent_material import Material, folded
from analysis.read import label

ONE = ("Table 1", "accuracy, consistency and transfer over languages")
MAP = ("Figure 1", "transfer of right answers between all languages")
EMPTY = "Empty: no answers of the plain model in two languages or more (--part output)."
COLUMNS = {
    "accuracy": "accuracy",
    "accuracy_std": "± over languages",
    "consistency": "consistency",
    "tr_plus": "tr+",
    "tr_minus": "tr-",
    "excess_plus": "tr+ excess",
    "excess_minus": "tr- excess",
}
CAPTION = (
    "Means over languages (accuracy, with its standard deviation, ddof 1) and over all ordered "
    "pairs of different languages. Consistency: Spearman's rho of the options' ranks; tr+: share "
    "of the items right in the source that are right in the target; tr-: share of the wrong ones "
    "with the same wrong answer. Excess: less what independent answers of the same accuracy would "
    "give. Under each value its 95 % interval over items, the printed value, and ours minus it."
)
ORDER = (
    "Languages by script, then by code (families are not known here). The diagonal and pairs "
    "without a value are grey."
)
MARK = "not above chance"


def exhibits(material: Material) -> list[Exhibit]:
    """Table 1 and Figure 1."""
    many = material.overall[material.overall["languages"] > 1]
    if many.empty:
        return [Exhibit(name=name, title=title, missing=EMPTY) for name, title in (ONE, MAP)]
    return [_table(many, material), _maps(material)]


def _table(many: pd.DataFrame, material: Material) -> Exhibit:
    """The means of every model and benchmark beside the printed ones."""
    name, title = ONE
    ours, places = _ours(many, weak=material.weak)
    joined = compared.join(ours, _printed(ours, places), places=places)
    sheet = compared.sheet(
        joined, name="table_1", caption=f"{CAPTION} {compared.counted(joined)}".strip(),
        places=places, columns=list(COLUMNS.values()),
    )  # fmt: skip
    parts: list[Part] = [sheet]
    if lines := _at_chance(material.weak):
        parts.append(Text(lines=lines, warning=True))
    if lines := (*transfer.refusals(material.pairs), *_undefined(many)):
        parts.append(Text(lines=lines))
    files = {"table_1_beside_the_paper": joined}
    missing = "" if joined["published"].notna().any() else _not_printed()
    return Exhibit(name=name, title=title, parts=tuple(parts), missing=missing, files=files)


def _ours(many: pd.DataFrame, *, weak: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Our values in the rows and columns of the table, and what sets its rows apart."""
    rows = []
    for place, row in zip(many.index, many.to_dict("records"), strict=True):
        mark = f", {MARK}" if place in weak.index else ""
        shared = {
            "model": label(str(row["model"]), revision=str(row["revision"])),
            "paper": published_latent.model_name(str(row["model"]), revision=str(row["revision"])),
            "benchmark": row["benchmark"],
            "prompt": row["prompt"],
            "languages above chance": f"{row['above']} of {row['languages']}{mark}",
            "n": row["n"],
        }
        for measure, head in COLUMNS.items():
            ends = {end: row.get(f"{measure}_{end}", float("nan")) for end in ("low", "high")}
            rows.append(shared | {"column": head, "value": row[measure]} | ends)
    frame = pd.DataFrame(rows)
    varies = frame.groupby(["model", "benchmark"])["prompt"].nunique().max() > 1
    return frame, [
        "model", "benchmark", *(["prompt"] if varies else []), "languages above chance",
    ]  # fmt: skip


def _printed(ours: pd.DataFrame, places: list[str]) -> pd.DataFrame:
    """The printed value of every one of ours that has one."""
    own = ours[[*places, "paper", "column"]]
    own = own.assign(printed_on=own["benchmark"].map(str).map(published_latent.BENCHMARKS))
    printed = published_latent.transfer().rename(
        columns={"model": "paper", "benchmark": "printed_on", "measure": "column"}
    )
    printed["column"] = printed["column"].map(COLUMNS)
    return own.dropna(subset=["paper", "printed_on"]).merge(
        printed, on=["paper", "printed_on", "column"]
    )


def _not_printed() -> str:
    """Why there is no printed value."""
    return (
        "No value of the paper stands here, as it has none of these models on these benchmarks: "
        f"its models are {', '.join(published_latent.COLUMNS)} (--model google/gemma-2-2b-it and "
        f"so on), its benchmarks {', '.join(published_latent.BENCHMARKS)} (--benchmark)."
    )


def _at_chance(weak: pd.DataFrame) -> tuple[str, ...]:
    """One sentence per model and benchmark whose rankings say nothing."""
    return tuple(
        f"{label(str(row['model']), revision=str(row['revision']))} on {row['benchmark']}: nothing "
        f"can be concluded from its rankings, as accuracy is {row['accuracy']:.3f} on average "
        f"where chance is {row['chance']:.3f}, above it (one-sided binomial p < .05) in "
        f"{row['above']} of {row['languages']} languages."
        for row in weak.to_dict("records")
    )


def _undefined(many: pd.DataFrame) -> tuple[str, ...]:
    """How many pairs have no transfer, where some have none."""
    plus, minus = int(many["undefined_plus"].sum()), int(many["undefined_minus"].sum())
    if not plus + minus:
        return ()
    return (
        f"Left out of the means: {plus} ordered pairs whose source has no right answer (tr+), "
        f"{minus} whose source has no wrong one (tr-).",
    )


def _maps(material: Material) -> Exhibit:
    """Two maps per model and benchmark: the raw transfer, and its excess."""
    name, title = MAP
    parts: list[Part] = []
    named = tables.with_label(material.pairs)
    prompts = named.groupby(["label", "benchmark"])["prompt"].nunique()
    scales = {
        "tr_plus": heat.ends(named["tr_plus"]),
        "excess_plus": heat.around_zero(named["excess_plus"]),
    }
    for place, group in named.groupby(["label", "benchmark", "prompt"], sort=True):
        shown, benchmark, prompt = (str(part) for part in place)
        several = prompts[shown, benchmark] > 1
        parts += _pair(
            group, scales=scales, said=", ".join([shown, benchmark, *([prompt] if several else [])])
        )
    return Exhibit(name=name, title=title, parts=folded(parts, "more maps"))


def _pair(group: pd.DataFrame, *, scales: dict[str, tuple[float, float]], said: str) -> list[Part]:
    """The two maps of one model and benchmark, on the scales of all."""
    crowded = group["target"].nunique() > heat.MOST_NUMBERED
    numbers = "" if crowded else " Numbers are hundredths."
    parts: list[Part] = []
    for value, bar, what in (
        ("tr_plus", "tr+ (share of items)", "transfer of right answers"),
        ("excess_plus", "tr+ less the target's accuracy", "excess transfer"),
    ):
        figure = heat.pairs(
            group, value=value, name=f"{said}: {what}", bar=bar, scale=scales[value]
        )
        caption = f"{said}: {what} from source (row) to target (column). {ORDER}{numbers}"
        parts.append(
            Picture(
                name=file_name(value, said),
                caption=caption,
                figure=figure,
                size="tall" if crowded else "half",
            )
        )
    return parts

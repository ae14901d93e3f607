"""Does a score say more of accuracy than tokens and script do? All models in one regression.

Scores go with how well a language is tokenized and whether its script is the pivot's, and so does
accuracy. Each measure is fitted beside both, over all languages and models at once.
"""

from collections.abc import Mapping

import pandas as pd

from analysis.layout.exhibit import Exhibit, Note, Table
from analysis.layout.material import Material, main_metric
from analysis.layout.prose import Block
from analysis.questions.answer import correct
from analysis.questions.regress import regress
from analysis.statistics import scores

BY = ["benchmark", "measure"]
PLACE = ["model", "revision", "dataset", "pairs", "pivot", "switches", "measure", "pooling"]
COVARIATES = ("fertility", "other_script")
# Models below which their differences are constants of their own and not draws.
FEWEST_MODELS = 5
MODEL = "score"
LANGUAGES = "languages"


def rows(material: Material) -> pd.DataFrame:
    """One row per model, language, benchmark and measure in the headline's pooling: `accuracy`,
    `score`, tokens per token of the pivot, and whether the script is another than the pivot's."""
    points = main_metric(material.main_points, material.accuracies)
    points = points[points["pooling"] == material.headline.pooling]
    known = material.main_scores.assign(fertility=scores.fertility)
    places = [*PLACE, "language"]
    found = points.merge(known[[*places, "fertility"]], on=places, how="left")
    script = {code: code.partition("_")[2] for code in {*found["language"], *found["pivot"]}}
    other = found["language"].map(script) != found["pivot"].map(script)
    return found.assign(
        other_script=other.astype(int), state=found["model"] + "@" + found["revision"].astype(str)
    )


def regressions(material: Material) -> pd.DataFrame:
    """Every term of every measure and benchmark, p-values corrected over the whole table."""
    found = material.get(rows)
    if found.empty:
        return found
    table = pd.concat(
        [_fitted(own) for _, own in found.groupby("benchmark", sort=True)], ignore_index=True
    )
    # A constant is no question: its p is in no correction.
    asked = table["p"].where(table["p_corrected"].notna())
    table = correct(table.assign(p=asked)).assign(p=table["p"])
    sizes = found.groupby(BY).agg(models=("state", "nunique"), languages=("language", "nunique"))
    return table.merge(sizes.reset_index(), on=BY)


def _fitted(found: pd.DataFrame) -> pd.DataFrame:
    """Every measure of one benchmark, beside what is recorded of all of its rows and varies."""
    kept = [name for name in COVARIATES if found[name].nunique() > 1 and found[name].notna().all()]
    states = found["state"].nunique()
    terms = [MODEL, *kept, *(["(1 | language)"] if states > 1 else [])]
    if states > 1:
        terms.append("(1 | state)" if states >= FEWEST_MODELS else "C(state)")
    return regress(
        found, f"accuracy ~ {' + '.join(terms)}", by=BY, outcome="gaussian", correction="holm"
    )


def _scores(material: Material) -> pd.DataFrame:
    """The rows of the scores alone."""
    found = material.get(regressions)
    return found[found["term"] == MODEL] if len(found) else found


def _shown(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coefficients for people: accuracy per standard deviation of the score."""
    held = found.assign(measure=found["measure"].str.upper()).rename(columns={"p_corrected": "q_p"})
    ends = [
        f"[{low:+.3f}, {high:+.3f}]" if low == low else ""
        for low, high in zip(held["low"], held["high"], strict=True)
    ]
    columns = [*BY, "models", "languages", "n", "estimate", "p", "q_p"]
    return held[columns].reset_index(drop=True), pd.DataFrame({"estimate": ends})


def _facts(material: Material) -> Mapping[str, object]:
    """What was held alike, and what each measure says beyond it."""
    found = material.get(regressions)
    own = material.get(_scores)
    terms = found["term"] if len(found) else pd.Series(dtype=object)
    every = found["benchmark"].nunique() if len(found) else 0
    kept = [
        name if found.loc[terms == name, "benchmark"].nunique() == every else f"{name} (in part)"
        for name in COVARIATES if (terms == name).any()
    ]  # fmt: skip
    random = len(found) and (found["part"] == "random").any()
    return {"covariates": kept, "random": bool(random), "readings": list(own.get("reading", ())),
            "notes": sorted({note for note in own.get("note", ()) if note})}  # fmt: skip


CAUSES = Exhibit(
    name="Other causes", title="does a score say more than tokens and script do?",
    empty="Empty: no model has both scores and accuracies.",
    parts=(
        Note(text=Block("neuronxa.jinja", "causes"), facts=_facts),
        Table(
            name="causes", fill=_scores, shown=_shown,
            caption=Block("neuronxa.jinja", "causes_table"),
            heads={"estimate": "accuracy per SD of the score", "q_p": "p, Holm"}, most=40,
        ),
    ),
    files={"causes_all": regressions},
)  # fmt: skip

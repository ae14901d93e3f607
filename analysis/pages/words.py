"""The sentences of the NeuronXA page: the summary with its numbers, and the notes on method.

The one idea: a stranger reads only this. Every claim is computed and comes with its interval and
its n, and what weakens it stands beside it as a warning.
"""

import pandas as pd

from analysis import correlate, dependent, published, resample, tables, terms
from analysis.pages.material import Headline, Material, last, main_metric
from analysis.pages.quality import near_chance
from analysis.read import label, listed

NO_CORRELATION = (
    "No correlation was computed: it needs alignment scores and accuracies of the same models in "
    "the same languages. Give the run a benchmark, or report it together with a run that has one."
)
CROSS_MODEL = (
    "Pearson's r over languages (the pivot left out) between score and accuracy, with its 95 % "
    "interval; scores are means over layers; AVG is the plain mean of the models' r"
)
UNLIKE_THE_PAPER = (
    "The paper asks m-ARC, m-MMLU and Belebele with five examples in the prompt through the "
    "harness, and XNLI after fine-tuning on English; where a run does otherwise, weigh a "
    "difference accordingly. Models that the paper has not have no printed value beside them."
)
FEW_LANGUAGES = 10
LEVEL = 0.05
_PLACE = [*correlate.SUBJECT, *correlate.TASK]
METHODS = (
    "Every score asks one question of n parallel sentence pairs at one layer: for how many pairs "
    "is each sentence the other's strictly nearest neighbour, by cosine, among all n? A score of 1 "
    "means that every pair is found, and uninformative similarities give about 1 / (2n - 1).",
    "MEXA compares hidden states, at layers 0 (embeddings) to L: Kargaran et al., MEXA (arXiv "
    "2410.05873). NASCA compares neuron states (which feed-forward neurons are active) and NAVCA "
    "neuron values, at layers 1 to L: NeuronXA (ACL 2025, arXiv 2507.14900).",
    "CKA, SVCCA and ANC are the paper's baselines: how similar two languages' vectors are as whole "
    "sets (Kornblith et al. 2019, Raghu et al. 2017) or neuron by neuron (Del and Fishel 2022). "
    "They know no neighbours, so they have no ties, no directions and no p_null.",
    "Pooling turns tokens into one vector: weighted (a token counts as much as its position), "
    "average, or last (the last token alone). A language's score is the mean over layers.",
    "p_null is the exact binomial probability of a score at least as high if similarities carried "
    "no information; the smallest over layers is shown, not corrected for their number.",
    "Alignment scores of several pivots, data sets, numbers of pairs, switches, prompts and "
    "metrics "
    "are never mixed in one number. A table shows English as pivot and 100 pairs where they were "
    "run; m-ARC is shown by acc_norm (log-probability per character) where it was kept.",
    "Correlations are over languages, the pivot left out. Pearson's interval is Fisher's, that "
    "of an "
    "average of correlations resamples languages (1000 draws, one seed, all models at once); "
    "Spearman's uses the standard error of Bonett and Wright (2000), its p is exact up to 8 "
    "languages. Both take languages as independent, which related languages are not, so the "
    "intervals are too narrow rather than too wide. Accuracy intervals are Wilson's. A mean or a "
    "coefficient has no interval where the values, or all resampled ones, are alike.",
    "All scores also follow how much text of a language a model has seen: a high correlation alone "
    "does not show that alignment causes accuracy.",
)


def summary(material: Material) -> tuple[str, ...]:
    """What was covered, what was found, and how the scores compare: three sentences to quote."""
    found = main_metric(last(material.on_terms), material.accuracies)
    own = terms.one(found[found["pooling"] == material.headline.pooling])
    chosen = own[own["measure"] == material.headline.measure]
    defined = chosen[chosen["r"].notna()]
    sentences = [_scope(material)]
    if material.correlations.empty:
        missing = "It holds no accuracies to set beside the scores."
        if material.accuracies.size and not material.scores.size:
            missing = "It holds no alignment scores to set beside the accuracies."
        sentences.append(missing)
    elif defined.empty:
        sentences.append(f"No correlation is defined: {listed(sorted(set(chosen['note'])))}.")
    else:
        points = last(material.main_points)
        points = points.merge(own[_PLACE])
        sentences += [_finding(defined, points, material.headline, _on(own, material))]
        sentences += [_against(own, points, material.headline)]
    return tuple(sentence for sentence in sentences if sentence)


def warnings(material: Material) -> tuple[str, ...]:
    """What a reader must know before quoting: few languages, accuracies at chance."""
    found = last(material.on_terms)
    found = found[found["r"].notna()]
    few = found[found["n"] < FEW_LANGUAGES]
    said = []
    if len(few):
        counts = sorted(set(few["n"]))
        ends = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        named = listed(dict.fromkeys(few["benchmark"]))
        said.append(
            f"Few languages: the correlations with {named} rest on {ends} languages; below "
            f"{FEW_LANGUAGES} a correlation can be anything, whatever its size."
        )
    counts_near = near_chance(material.accuracies)
    weak = counts_near[counts_near["near"] * 2 >= counts_near["languages"]]
    if len(weak):
        where = listed(
            (f"{label(row['model'], revision=row['revision'])} on {row['benchmark']}"
             for row in weak.to_dict("records")), most=6,
        )  # fmt: skip
        said.append(
            f"Chance: in {len(weak)} of {_many(len(counts_near), 'pair')} of model and benchmark, "
            "at "
            "least half of the languages are answered no better than chance could, so correlations "
            f"there say little ({where})."
        )
    return tuple(said)


def _scope(material: Material) -> str:
    """What was measured on what."""
    scores, accuracies = material.scores, material.accuracies
    columns = ["model", "revision"]
    both = pd.concat([scores[columns], accuracies[columns]]).drop_duplicates()
    models = both["model"].nunique()
    states = f" ({len(both)} states)" if len(both) > models else ""
    languages = set(scores["language"]) | set(accuracies["language"])
    said = f"{_many(models, 'model')}{states} in {_many(len(languages), 'language')}"
    if len(scores):
        counts = [terms.pairs_in_words(text) for text in terms.pairs(scores).values()]
        said += f", alignment on {listed(counts)} from {listed(sorted(set(scores['dataset'])))}"
        pivot = terms.pivot(scores)
        others = sorted(set(scores["pivot"]) - {pivot})
        said += f" against {pivot}" + (f" (and {listed(others, most=4)})" if others else "")
    if len(accuracies):
        said += f", accuracy on {listed(sorted(set(accuracies['benchmark'])))}"
    return f"This report covers {said}."


def _on(own: pd.DataFrame, material: Material) -> str:
    """The data set and the switches of a series, where there are several."""
    held = material.main_scores
    named = [str(own[name].iloc[0]) for name in ("dataset", "switches") if held[name].nunique() > 1]
    return f", {', '.join(named)}" if named else ""


def _finding(defined: pd.DataFrame, points: pd.DataFrame, headline: Headline, on: str) -> str:
    """The headline correlation, with its interval and n."""
    name = f"{headline.measure.upper()} ({headline.pooling} pooling, mean over layers{on})"
    if len(defined) == 1:
        row = defined.iloc[0]
        interval = f" (95 % interval {row.low:.2f} to {row.high:.2f})"
        if row.low != row.low:
            interval = f" ({row.note})"
        return (
            f"{name} and {row.benchmark} accuracy correlate at r = {row.r:.2f}{interval}, over "
            f"{row.n} languages."
        )
    low, high = resample.interval_of_mean(_groups(points, defined))
    interval = (
        f" (95 % interval {low:.2f} to {high:.2f}, languages resampled)" if low == low else ""
    )
    counts = sorted(set(defined["n"]))
    over = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    clear, below = int((defined["low"] > 0).sum()), int((defined["high"] < 0).sum())
    said = (
        f"{name} correlates with accuracy over languages at r = {defined['r'].mean():.2f} on "
        f"average{interval}, from {defined['r'].min():.2f} to {defined['r'].max():.2f} over "
        f"{len(defined)} "
        f"pairs of model and benchmark with {over} languages each; the 95 % interval lies above "
        f"zero in {clear} of them"
    )
    return said + (f" and below zero in {below}." if below else ".")


def _against(own: pd.DataFrame, points: pd.DataFrame, headline: Headline) -> str:
    """The headline score against its baseline, and the other scores, on the same terms."""
    means = own.groupby("measure")["r"].mean().drop(headline.measure, errors="ignore").dropna()
    if means.empty:
        return ""
    listing = listed(
        f"{name.upper()} {means[name]:.2f}" for name in tables.MEASURES if name in means
    )
    said = f"On the same terms the other scores reach {listing}"
    baseline = "mexa"
    if baseline not in means:
        return f"{said}."
    key = [name for name in own.columns if name in (*_PLACE, "language") and name != "measure"]
    wide = points.pivot_table(index=[*key, "language"], columns="measure", values="score")
    accuracy = points.groupby([*key, "language"])["accuracy"].first()
    wins = losses = tested = 0
    for _, group in wide.groupby(key, sort=True):
        both = group[[headline.measure, baseline]].dropna()
        found = dependent.difference(
            both[headline.measure].to_numpy(float), second=both[baseline].to_numpy(float),
            y=accuracy.loc[both.index].to_numpy(float),
        )  # fmt: skip
        tested += found.p == found.p
        wins += found.p < LEVEL and found.difference > 0
        losses += found.p < LEVEL and found.difference < 0
    if not tested:
        return f"{said}."
    return (
        f"{said}; {headline.measure.upper()} goes with accuracy more than {baseline.upper()} in "
        f"{wins} and less in {losses} of {tested} pairs of model and benchmark (Williams' test, 5 "
        "%)."
    )


def _groups(points: pd.DataFrame, defined: pd.DataFrame) -> list[pd.DataFrame]:
    """The points of every coefficient."""
    held = points.merge(defined[_PLACE])
    return [group for _, group in held.groupby(_PLACE, sort=True)]


def in_the_paper(material: Material) -> str:
    """Which of the models the paper has, said once."""
    frame = last(material.on_terms if len(material.on_terms) else material.scores)
    states = sorted(set(zip(frame["model"], frame["revision"], strict=True)))
    names = {state: published.column(*state[:1], revision=state[1]) for state in states}
    known = [f"{label(a, revision=b)} ({names[a, b]})" for a, b in states if names[a, b]]
    others = [label(a, revision=b) for a, b in states if not names[a, b]]
    said = f"In the paper: {listed(known)}. " if known else "None of these models is in the paper. "
    if known and others:
        said += f"Not in the paper, hence without a printed value: {listed(others)}. "
    return said + (UNLIKE_THE_PAPER if known else "Its tables below have our values alone.")


def _many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

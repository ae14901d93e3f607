"""The sentences of the NeuronXA page: the summary with its numbers, and the notes on method.

The one idea: a stranger reads only this. Every claim is computed, and what weakens it stands in
the same paragraph.
"""

import pandas as pd

from analysis import tables
from analysis.pages.quality import near_chance
from analysis.read import listed

NO_CORRELATION = (
    "No correlation was computed: it needs alignment scores and accuracies of the same models in "
    "the same languages. Give the run a benchmark, or report it together with a run that has one."
)
CROSS_MODEL = (
    "Pearson's r over languages (the pivot left out) between score and accuracy, with its 95 % "
    "interval; scores are means over layers; AVG is the plain mean of the models' r"
)
UNLIKE_THE_PAPER = (
    "The paper answers Belebele, m-ARC and m-MMLU with five examples in the prompt, XNLI after "
    "fine-tuning on English, and has its own set of languages: weigh a difference accordingly."
)
METHODS = (
    "Every score asks one question of n parallel sentence pairs at one layer: for how many pairs "
    "is each sentence the other's strictly nearest neighbour, by cosine, among all n? A score of 1 "
    "means that every pair is found, and uninformative similarities give about 1 / (2n - 1).",
    "MEXA compares hidden states, at layers 0 (embeddings) to L: Kargaran et al., MEXA (arXiv "
    "2410.05873). NASCA compares neuron states (which feed-forward neurons are active) and NAVCA "
    "neuron values, at layers 1 to L: NeuronXA (ACL 2025, arXiv 2507.14900).",
    "Pooling turns tokens into one vector: weighted (a token counts as much as its position), "
    "average, or last (the last token alone). A language's score is the mean over layers.",
    "p_null is the exact binomial probability of a score at least as high if similarities carried "
    "no information; the smallest over layers is shown, not corrected for their number.",
    "Correlations are over languages, the pivot left out. Pearson's interval is Fisher's; "
    "Spearman's uses the standard error of Bonett and Wright (2000), its p is exact up to 8 "
    "languages. Both take languages as independent, which related languages are not, so the "
    "intervals are too narrow rather than too wide. Accuracy intervals are Wilson's.",
    "All scores also follow how much text of a language a model has seen: a high correlation alone "
    "does not show that alignment causes accuracy.",
)


def summary(
    correlations: pd.DataFrame,
    *,
    scores: pd.DataFrame,
    accuracies: pd.DataFrame,
    headline: tuple[str, str],
) -> tuple[str, ...]:
    """The main numbers in plain words."""
    sentences = [_scope(scores, accuracies)]
    chosen = correlations[correlations["measure"] == headline[0]]
    chosen = chosen[chosen["pooling"] == headline[1]]
    defined = chosen[chosen["r"].notna()]
    if correlations.empty:
        sentences.append("It holds no accuracies to set beside the scores.")
        if accuracies.size and not scores.size:
            sentences[-1] = "It holds no alignment scores to set beside the accuracies."
    elif defined.empty:
        sentences.append(f"No correlation is defined: {listed(sorted(set(chosen['note'])))}.")
    else:
        sentences.append(_finding(defined, headline))
        sentences.append(_others(correlations, headline))
    return tuple(sentence for sentence in (*sentences, _caution(accuracies)) if sentence)


def _scope(scores: pd.DataFrame, accuracies: pd.DataFrame) -> str:
    """What was measured on what."""
    columns = ["model", "revision"]
    both = pd.concat([scores[columns], accuracies[columns]]).drop_duplicates()
    languages = set(scores["language"]) | set(accuracies["language"])
    said = f"{_many(len(both), 'model')} in {_many(len(languages), 'language')}"
    if len(scores):
        pairs = sorted(set(scores["n"]))
        count = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
        said += (
            f", alignment on {count} sentence pairs from {listed(sorted(set(scores['dataset'])))}"
        )
    if len(accuracies):
        said += f", accuracy on {listed(sorted(set(accuracies['benchmark'])))}"
    return f"This report covers {said}."


def _finding(defined: pd.DataFrame, headline: tuple[str, str]) -> str:
    """The headline correlation."""
    name = f"{headline[0].upper()} ({headline[1]} pooling, mean over layers)"
    if len(defined) == 1:
        row = defined.iloc[0]
        interval = f" (95 % interval {row.low:.2f} to {row.high:.2f})" if row.low == row.low else ""
        return (
            f"{name} and {row.benchmark} accuracy correlate at r = {row.r:.2f}{interval}, over "
            f"{row.n} languages."
        )
    clear = int((defined["low"] > 0).sum())
    below = int((defined["high"] < 0).sum())
    ends = f"from {defined['r'].min():.2f} to {defined['r'].max():.2f}"
    said = (
        f"{name} correlates with accuracy over languages at r = {defined['r'].mean():.2f} on "
        f"average, {ends} over {len(defined)} pairs of model and benchmark; the 95 % interval "
        f"lies above zero in {clear} of them"
    )
    return said + (f" and below zero in {below}." if below else ".")


def _others(correlations: pd.DataFrame, headline: tuple[str, str]) -> str:
    """The other measures under the same pooling, in one sentence."""
    same = correlations[correlations["pooling"] == headline[1]]
    means = same.groupby("measure")["r"].mean().drop(headline[0], errors="ignore").dropna()
    listing = [f"{name.upper()} {means[name]:.2f}" for name in tables.MEASURES if name in means]
    return f"On the same terms: {', '.join(listing)}." if listing else ""


def _caution(accuracies: pd.DataFrame) -> str:
    """How far the accuracies carry a correlation."""
    counts = near_chance(accuracies)
    weak = counts[counts["near"] * 2 >= counts["languages"]]
    if weak.empty:
        return ""
    return (
        f"Caution: in {len(weak)} of {_many(len(counts), 'pair')} of model and benchmark, at least "
        "half of the languages are answered no better than chance could: correlations there say "
        "little."
    )


def _many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""The sentences of the latent-process page: what was found in plain words, and what weakens it.

The one idea: where a model answers a benchmark no better than by chance, nothing inside it says how
it answers, so such pairs give no numbers here, only a warning.
"""

import pandas as pd

from analysis import log_ratio, steering, steering_means, tables
from analysis.pages.latent_figures import crossing_table
from analysis.pages.latent_material import PAIR, Material
from analysis.pages.latent_table import FIRST, correlations
from analysis.read import label, listed

NOTHING = (
    "The answers are not above chance: no conclusions. In every pair of model and benchmark half "
    "of the languages or more are answered no better than by chance (one-sided binomial p > .05), "
    "so neither agreement between languages nor anything inside the models says how they answer."
)
NO_OUTPUT = "No plain answers were computed, so nothing here is set beside what the models answer."
MOST = 4
FEW_LANGUAGES = 10
METHODS = (
    "Output: the options are ranked by the prompt that Table 3 names; consistency is Spearman's "
    "rho of the ranks of all options in two languages, tr+ the share of what one language answers "
    "right that another does too, tr- the share of its wrong answers that another repeats. Raw "
    "tr+ rises with accuracy by itself: the excess is tr+ less the target's accuracy.",
    "Latent: at a layer, the log-probability of an option's text in the question's language and "
    "in the pivot, both after the native question, through the model's own final norm and head "
    "(logit lens; what differs is among the switches). The probability of a text is the geometric "
    "mean over its tokens, characters or bytes. Above 0 the log ratio is for the native text.",
    "The log ratio depends on the tokenizer: a script cut into bytes has easy continuations. The "
    "options of another question (the dashed line) and the other units show how much of it that "
    "is.",
    "States: the residual stream after a block at the last prompt token, of the same questions in "
    "every language.",
    "Steering: the mean difference of the pivot's states and a language's, over drawn questions, "
    "is added at one layer; all numbers are on the questions that were not drawn.",
    "Correlations are over languages without the pivot; languages count as independent, which "
    "related ones are not, so the intervals are too narrow rather than too wide. The logit lens "
    "reads early layers badly: a tuned lens may say otherwise.",
    "Intervals: shares of items have Wilson's, also where all or none are right; means over "
    "languages Student's, and other numbers percentiles over drawn items, neither where the values "
    "are all alike, as nothing then says how far another could lie.",
    "Source: Language-specific latent process hinders cross-lingual performance, arXiv 2505.13141.",
)


def summary(material: Material) -> tuple[str, ...]:
    """What was covered and what was found, on what is answered above chance alone."""
    said = [_scope(material)]
    if material.overall.empty:
        said.append(NO_OUTPUT)
    elif len(material.weak) == len(material.overall):
        return (*said, NOTHING)
    else:
        said.append(_output(material))
    said += [_crossing(material), _goes_with(material), _steering(material)]
    return tuple(sentence for sentence in said if sentence)


def warnings(material: Material) -> tuple[str, ...]:
    """Chance first, then few languages, then what was cut or dropped."""
    said = []
    weak, every = material.weak, material.overall
    if len(weak):
        where = listed((_place(row) for row in weak.to_dict("records")), most=8)
        said.append(
            f"Chance: in {len(weak)} of {_many(len(every), 'pair')} of model and benchmark half of "
            f"the languages or more are answered no better than by chance ({where}); nothing is to "
            "be concluded from what stands below about them."
        )
    few = every[every["languages"] - 1 < FEW_LANGUAGES]
    if len(few):
        counts = sorted(set(few["languages"] - 1))
        said.append(
            f"Few languages: correlations over {listed(map(str, counts))} languages can be "
            "anything, whatever their size."
        )
    return tuple(said)


def _scope(material: Material) -> str:
    """What was asked of what."""
    frames = [material.by_language, material.latent]
    every = pd.concat([frame[["model", "revision", "benchmark", "language"]] for frame in frames])
    models = every[["model", "revision"]].drop_duplicates()
    named = listed(label(str(a), revision=str(b)) for a, b in models.itertuples(index=False))
    benchmarks = listed(sorted(set(every["benchmark"])))
    if every.empty:
        return "This report covers no answers and no latent probabilities."
    return (
        f"This report covers {_many(len(models), 'model')} ({named}) on {benchmarks} in "
        f"{_many(every['language'].nunique(), 'language')}."
    )


def _output(material: Material) -> str:
    """Accuracy, consistency and transfer of what is answered above chance."""
    own = material.sound
    each = material.by_language.merge(own[[*PAIR, "prompt"]])["accuracy"]
    return (
        f"Accuracy by language runs from {each.min():.2f} to {each.max():.2f} (mean over "
        f"languages: {_range(own['accuracy'])}; chance {_range(own['chance'])}). Two languages "
        f"rank the options of a question alike at a consistency of {_range(own['consistency'])} "
        "(0: by chance, 1: always). Of what one language answers right, another does "
        f"{_range(own['tr_plus'])} (tr+), which is {_range(own['excess_plus'], form='+.2f')} "
        "more than its accuracy alone would give."
    )


def _crossing(material: Material) -> str:
    """From which layer native texts are the more probable."""
    cells = material.firm(material.latent)
    if cells.empty:
        return ""
    found = tables.with_label(crossing_table(cells))
    last = cells.groupby(["model", "revision"])["layer"].max()
    said = []
    for row in found.to_dict("records"):
        deep = last[row["model"], row["revision"]]
        where = f"from layer {row['crossing']} of {deep}"
        if pd.isna(row["crossing"]):
            where = "never" if row["last"] <= 0 and row["lowest_mean"] <= 0 else "not at the end"
        said.append(f"{where} in {row['label']} on {row['benchmark']}")
    return (
        "Native option texts are more probable than the pivot's (log ratio per token above 0, "
        f"mean over languages): {listed(said, most=MOST)}."
    )


def _goes_with(material: Material) -> str:
    """What the mean log ratio goes with, over languages."""
    if material.latent.empty or material.by_language.empty:
        return ""
    found = material.firm(correlations(material))
    found = found[found["layers"] == FIRST]
    if found.empty:
        return ""
    said = []
    for outcome, shown in log_ratio.OUTCOMES.items():
        own = found[(found["outcome"] == outcome) & found["r"].notna()]
        if len(own):
            clear = int((own["p_holm"] < 0.05).sum())
            said.append(f"{shown} r = {_range(own['r'])} ({clear} of {len(own)} with p < .05)")
    if not said:
        return f"No correlation with the log ratio is defined: {found['note'].iloc[0]}."
    return (
        "Over languages the mean log ratio goes with "
        f"{'; with '.join(said)}; p are adjusted for their number (Holm)."
    )


def _steering(material: Material) -> str:
    """What a vector toward the pivot does where it was not chosen, and what a control does."""
    effects = material.firm(material.effects)
    means = steering_means.chosen_means(steering_means.choices(effects))
    if means.empty:
        return ""
    controls = steering_means.against_controls(effects)
    controls = controls[controls["outcome"] == "accuracy"]
    changes, above, judged, better = [], 0, 0, 0
    for _, group in means.groupby(list(steering.SERIES), dropna=False, sort=True):
        best = group.iloc[int(group["development_change"].to_numpy(float).argmax())]
        changes.append(best["held_change"])
        above += bool(best["low"] > 0)
        same = [*steering.SERIES, "layer"]
        beside = controls[(controls[same] == best[same]).all(axis="columns")]
        judged += len(beside) > 0
        better += len(beside) > 0 and bool((beside["real"] > beside["control"]).all())
    said = (
        "Steering toward the pivot, with layer and coefficient chosen on half of the questions, "
        f"changes accuracy on the other half by {_range(pd.Series(changes), form='+.1f')} points "
        f"on average over languages; the 95 % interval lies above 0 in {above} of "
        f"{_many(len(changes), 'pair')} of model and benchmark."
    )
    if judged:
        said += (
            f" At that layer the vector does better than every control in {better} of {judged} "
            "(at one coefficient, on all questions; Controls has them all)."
        )
    return said


def _place(row: dict[object, object]) -> str:
    """A model and benchmark."""
    return f"{label(str(row['model']), revision=str(row['revision']))} on {row['benchmark']}"


def _range(values: pd.Series, *, form: str = ".2f") -> str:
    """One number, or the ends of several; what rounds to nothing has no sign."""
    low, high = (format(float(end), form) for end in (values.min(), values.max()))
    low, high = (
        text.replace("-", "").replace("+", "") if float(text) == 0 else text for text in (low, high)
    )
    return low if low == high else f"{low} to {high}"


def _many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

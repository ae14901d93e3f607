"""The sentences of the page of written texts: the summary, what weakens it, and what numbers mean.

The one idea: a score is quoted with the engine that wrote what it is of, and what a reader must
know before quoting it stands first.
"""

import pandas as pd

from analysis import written
from analysis.read import listed
from analysis.tables import with_label
from analysis.written import METRICS, name

TITLE = "Plain generation: what do models write in each language, and how good is it?"
NOTHING = "This report covers no written texts."
MOST = 8
WRITING = (
    "Beside the score: share of texts in the language asked for (of those whose language could be "
    "told) and in its script, share of 4-grams that repeat earlier ones, share that ended by "
    "itself, mean tokens, share of prompts that were cut, share of empty texts"
)
METHODS = (
    "Exact match and F1 are those of SQuAD v1.1 (Rajpurkar et al. 2016): lower case, without ASCII "
    "punctuation and English articles, words between spaces, the best over the right answers. "
    "Chinese, Japanese and Thai have no spaces between words, so there this F1 is nearly exact "
    "match.",
    "F1 mixed is MLQA's (Lewis et al. 2020): without punctuation of any script and the language's "
    "own articles, and with every character a token where words are not spaced. MLQA does so for "
    "Chinese; here Japanese, Thai, Lao, Khmer, Burmese and Tibetan are treated alike.",
    "The number of a text is the last one behind the last word that announces an answer, else the "
    "last of the text, with digits of any script and the language's decimal sign; it counts by "
    "value, and numbers in words are not read. Number found: the share of texts with any number.",
    "chrF and BLEU are sacrebleu's over all sentences of a language, 0 to 100; BLEU of languages "
    "written without spaces depends on the tokenizer that is named. Means over sentences are in "
    "written.csv only.",
    "The language of a text is py3langid's guess among the benchmarks' languages; short texts "
    "cannot be told, and the share is of those that can, whose number stands beside it. The script "
    "is that of most letters. Repetition is the share of 4-grams of words (of characters where "
    "words are not spaced) that stand earlier in the text.",
    "Intervals of shares (exact match, in the language, ended by itself and so on) are Wilson's, "
    "95 %; texts written for one prompt are alike, so with several of them n is the effective one "
    "(Franco et al. 2019). Intervals of F1, chrF and BLEU are percentiles over 1000 draws of the "
    "items from a fixed seed, samples of one item together: none below 4 items, and none for chrF "
    "and BLEU where every draw scores alike; where F1 does not vary it is Wilson's. The mean over "
    "languages is over those that all columns of a table have, without an interval.",
    "Where several texts are drawn for a prompt, a score is the mean over them (of a translation: "
    "of the corpus scores of the first texts, the second ones, and so on); best of n counts the "
    "best of an item's, which rises with n.",
    "Engines compute the same model with other kernels and other noise, so texts differ between "
    "engines and versions. No number here mixes two of them.",
)


def summary(texts: pd.DataFrame, found: pd.DataFrame) -> tuple[str, ...]:
    """What was written by what, the score of every benchmark, and how it is written."""
    if texts.empty:
        return (NOTHING,)
    models = texts[["model", "revision"]].drop_duplicates()
    scope_line = (
        f"This report covers {len(texts)} texts by {_many(len(models), 'model')} in "
        f"{_many(texts['language'].nunique(), 'language')}. {writers(texts)}"
    )
    scores = [
        _score(str(benchmark), str(task), own)
        for (benchmark, task), own in found.groupby(["benchmark", "task"], sort=True)
        if METRICS[str(task)]
    ]
    return (scope_line, *filter(None, scores), _manner(texts, found))


def warnings(texts: pd.DataFrame, found: pd.DataFrame) -> tuple[str, ...]:
    """Engines mixed in a comparison, prompts cut, unfinished thoughts, languages not written, empty
    texts."""
    said = []
    for benchmark, own in texts.groupby("benchmark", sort=True):
        if own["engine"].nunique() > 1:
            said.append(
                f"Engines: {benchmark} was written by more than one. {writers(own)} A difference "
                "between their columns may be the engine's."
            )
    said += _unlike(texts)
    cut = texts[texts["truncated"].eq(True)]
    if len(cut):
        said.append(
            f"Cut: {len(cut)} of {len(texts)} texts follow a prompt that was cut to fit a model's "
            f"context ({_most(cut)})."
        )
    thinking = texts[texts["in_thought"].eq(True)]
    if len(thinking):
        said.append(
            f"Thoughts: {len(thinking)} of {len(texts)} texts end inside a thought, before any "
            f"answer, and are scored as having none ({_most(thinking)}): ask for more tokens with "
            "--max-new-tokens, or for no thought, such as with --template-argument "
            "enable_thinking=false."
        )
    for metric, of in (("in_language", "language"), ("in_script", "script")):
        none = found[(found["metric"] == metric) & (found["value"] == 0)]
        none = none[none["texts"] >= written.FEWEST]
        if len(none):
            shown = with_label(none).to_dict("records")
            where = (f"{row['label']} on {row['benchmark']}: {row['language']}" for row in shown)
            said.append(
                f"Not written: in {_many(len(none), 'set')} of texts, of which the {of} of at "
                f"least {written.FEWEST} could be told, not one is in the {of} asked for "
                f"({listed(where, most=MOST)})."
            )
    empty = texts[texts["empty"]]
    if len(empty):
        said.append(f"Empty: {len(empty)} of {len(texts)} texts are empty ({_most(empty)}).")
    return tuple(said)


def _unlike(texts: pd.DataFrame) -> list[str]:
    """Columns of one table that were not asked the same, or whose texts end elsewhere."""
    said = []
    alike = [*written.ASKED, "prompt", "sampling"]
    ends = texts.groupby(alike, dropna=False)["settings"].nunique().gt(1)
    if ends.any():
        where = listed(sorted(set(ends[ends].index.get_level_values("benchmark"))))
        said.append(
            f"Ends: on {where}, texts in one language end after different numbers of tokens or "
            "before different stops, so their scores are not comparable."
        )
    asked = texts.groupby([*written.ASKED, *written.SERIES], dropna=False)["item"].agg(frozenset)
    items = asked.groupby(written.ASKED, dropna=False).nunique().gt(1)
    if items.any():
        where = listed(sorted(set(items[items].index.get_level_values("benchmark"))))
        said.append(
            f"Items: on {where}, columns were not asked the same items in every language, so a "
            "difference may be that of the items."
        )
    return said


def writers(texts: pd.DataFrame) -> str:
    """Which engine and version wrote the texts of which models, as a sentence."""
    engines = texts["engine"]
    if engines.nunique() == 1:
        return f"All was written by {engines.iloc[0]}."
    named = with_label(texts).groupby(engines)["label"]
    by = [f"{engine} ({listed(sorted(set(own)), most=MOST)})" for engine, own in named]
    return f"Written by {'; '.join(by)}."


def scope(texts: pd.DataFrame) -> str:
    """What was asked in one benchmark."""
    prompts = listed(sorted(set(texts["prompt"])))
    samplings = listed(sorted(set(texts["sampling"])), most=MOST)
    items = texts.groupby("language")["item"].nunique()
    low, high = int(items.min()), int(items.max())
    each = str(low) if low == high else f"{low} to {high}"
    pivots = sorted(set(texts["pivot"].dropna()))
    source = f", translated from {listed(pivots)}" if pivots else ""
    return (
        f"{each} items in each of {_many(len(items), 'language')}{source}; prompt: {prompts}; "
        f"drawn: {samplings}. {writers(texts)}"
    )


def scores_caption(found: pd.DataFrame, metric: str, *, common: bool) -> str:
    """What a table of scores shows, and what wrote the texts."""
    said = f"By language: {name(metric)}, with its 95 % interval over items"
    kinds = found.groupby("tokenizer")["language"].agg(lambda own: listed(sorted(set(own)), most=4))
    if metric == "BLEU":
        said += f"; tokenizer {'; '.join(f'{kind}: {own}' for kind, own in kinds.items())}"
    if not common:
        said += "; no language is in all columns, so their means are over different languages"
    return f"{said}. {writers(found)}"


def examples_caption(task: str) -> str:
    """The rule that examples are chosen by."""
    column = written.OF_ONE.get(task)
    if column is None:
        return "Up to two empty texts, and others in an order drawn by a hash of their ids"
    return (
        f"Up to two empty texts, and of the others the best and the worst by {column} of the text, "
        "in equal number; equals in an order drawn by a hash of their ids"
    )


def _score(benchmark: str, task: str, found: pd.DataFrame) -> str:
    """The first score of one benchmark: best model and worst, means over languages."""
    metric = written.main_metric(task)
    own = found[found["metric"] == metric]
    if own["value"].isna().all():
        return ""
    means = written.with_series(written.over_languages(own)).sort_values("value", ascending=False)
    best, worst = means.iloc[0], means.iloc[-1]
    form = ".1f" if task == "translation" else ".2f"
    named = f"{best['value']:{form}} in {best['series']}"
    if len(means) > 1:
        named = f"from {worst['value']:{form}} in {worst['series']} to {named}"
    languages = own.groupby("language")["value"].mean()
    languages = languages.sort_values(ascending=False, kind="stable")
    ends = (
        f"; best language {languages.index[0]} ({languages.iloc[0]:{form}}), worst "
        f"{languages.index[-1]} ({languages.iloc[-1]:{form}})"
        if len(languages) > 1
        else ""
    )
    over = f"mean over {_many(int(best['languages']), 'language')}"
    if not means["common"].all():
        over = "means over different languages"
    return f"{benchmark}: {name(metric)} ({over}) is {named}{ends}."


def _manner(texts: pd.DataFrame, found: pd.DataFrame) -> str:
    """In which language, how repetitively, and how texts end, over all."""
    own = found[found["metric"] == "in_language"]
    told = int(own["texts"].sum())
    said = f"The language could be told of {told} of {len(texts)} texts"
    if told:
        share = float((own["value"] * own["texts"]).sum()) / told
        said += f", and {share:.0%} of them are in the language asked for"
    repeated, ended = texts["repetition"].mean(), texts["stopped"].eq(True).mean()
    if repeated == repeated:
        said += f"; {repeated:.0%} of a text's 4-grams repeat earlier ones on average"
    return f"{said}; {ended:.0%} of the texts ended by themselves."


def _most(texts: pd.DataFrame) -> str:
    """Where most of some texts are, by model and benchmark."""
    places = with_label(texts)["label"] + " on " + texts["benchmark"]
    return listed(
        (f"{place}: {count}" for place, count in places.value_counts().items()), most=MOST
    )


def _many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Correlations against scipy and numpy computed apart, against the paper, and where undefined."""

from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis import published, read
from analysis.layout import tables
from analysis.statistics import correlate, resample, scores
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

POINTS = [(0.1, 0.3), (0.4, 0.35), (0.35, 0.5), (0.8, 0.55), (0.9, 0.9), (0.6, 0.45), (0.2, 0.1)]


def columns(count: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.array(POINTS[:count])
    return values[:, 0], values[:, 1]


@pytest.mark.parametrize("count", [4, 5, 7])
def test_pearson_equals_scipy_with_its_fisher_interval(count: int) -> None:
    x, y = columns(count)
    found, expected = correlate.pearson(x, y=y), stats.pearsonr(x, y)
    interval = expected.confidence_interval(0.95)
    assert found.r == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert (found.n, found.note) == (count, "")


def test_spearman_is_pearson_of_ranks_with_an_exact_p_and_a_wider_interval() -> None:
    x, y = columns(7)
    y = y.copy()
    y[1] = y[2]
    found = correlate.spearman(x, y=y)
    ranks = stats.rankdata(x), stats.rankdata(y)
    rho = np.corrcoef(*ranks)[0, 1]
    assert found.r == pytest.approx(rho, abs=1e-12)
    exact = stats.permutation_test(
        (ranks[1],), lambda order: abs(np.corrcoef(ranks[0], order)[0, 1]) + 1e-12,
        permutation_type="pairings", alternative="greater", n_resamples=10_000,
    )  # fmt: skip
    assert found.p == pytest.approx(exact.pvalue, abs=1e-9)
    half = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / 4)
    assert found.low == pytest.approx(np.tanh(np.arctanh(rho) - half), abs=1e-9)
    assert found.high == pytest.approx(np.tanh(np.arctanh(rho) + half), abs=1e-9)


def test_spearman_of_many_languages_takes_p_from_scipy() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=30)
    y = x + random.normal(size=30)
    assert correlate.spearman(x, y=y).p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=1e-12)


@pytest.mark.parametrize("method", [correlate.pearson, correlate.spearman])
def test_the_undefined_says_why(method: type) -> None:
    x, y = columns(5)
    two = method(x[:2], y=y[:2])
    assert isnan(two.r) and isnan(two.p) and "2 languages, at least 3" in two.note
    one = method(x[:1], y=y[:1])
    assert "1 language, at least 3" in one.note
    assert "score is the same" in method(np.full(5, 0.1) + 1e-17, y=y).note
    assert "accuracy is the same" in method(x, y=np.full(5, 0.25)).note
    three = method(x[:3], y=y[:3])
    assert three.r == three.r and isnan(three.low) and "at least 4" in three.note
    straight = method(x, y=2 * x + 1)
    assert (straight.r, straight.low, straight.high) == pytest.approx((1, 1, 1))
    assert "one line" in straight.note


def test_a_planted_correlation_comes_out_of_the_rows(tmp_path: Path) -> None:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.06, seed=4)
    run = write_run(
        tmp_path / "run",
        alignment=alignment_rows("m/one", scores=score, layers=6),
        items=item_rows("m/one", accuracies=accuracy, n=400),
    )
    rows = read.rows([run])
    found = correlate.correlations(
        scores.by_language(rows.alignment), accuracies=scores.accuracies(rows.items)
    )
    x = np.array(list(score.values()))
    y = np.array([round(accuracy[language] * 400) / 400 for language in score])
    over_layers = found[found["layer_pool"] == "mean"]
    assert sorted(over_layers["measure"]) == ["mexa", "nasca", "navca"]
    # English is the pivot: high in both, and in no correlation.
    assert set(over_layers["n"]) == {12}
    assert over_layers["r"].to_numpy() == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    assert 0.8 < over_layers["r"].min() < 1
    assert over_layers["spearman_r"].to_numpy() == pytest.approx(stats.spearmanr(x, y)[0])


def test_scores_pool_over_all_layers_and_mexa_has_layer_0() -> None:
    rows = alignment_rows("m/one", scores={"deu_Latn": 0.5}, layers=3, measures=("mexa", "nasca"))
    rows["value"] = rows["layer"] / 10
    found = scores.by_language(rows).set_index(["measure", "layer_pool"])["score"]
    assert found["mexa", "mean"] == pytest.approx((0 + 0.1 + 0.2 + 0.3) / 4)
    assert found["nasca", "mean"] == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    assert found["nasca", "max"] == pytest.approx(0.3)


def test_a_language_that_lacks_a_layer_is_in_no_correlation() -> None:
    rows = alignment_rows("m/one", scores=planted(1), measures=("nasca",))
    rows = rows[~((rows["language"] == "fin_Latn") & (rows["layer"] == 2))]
    by_language = scores.by_language(rows)
    assert set(by_language.loc[~by_language["complete"], "language"]) == {"fin_Latn"}
    items = item_rows("m/one", accuracies=follow(planted(1), slope=0.4, start=0.2, noise=0, seed=1))
    accuracies = scores.accuracies(items.assign(options=4))
    assert set(correlate.correlations(by_language, accuracies=accuracies)["n"]) == {11}


def test_accuracy_has_wilson_interval_and_the_binomial_p_of_chance() -> None:
    items = item_rows("m/one", accuracies={"deu_Latn": 0.31, "fra_Latn": 1.0}, n=100, options=4)
    steered = items.assign(intervention="add", coefficient=2.0, correct=False, key="other")
    both = pd.concat([items, steered], ignore_index=True).assign(options=4)
    found = scores.accuracies(both).set_index("language")
    assert found.loc["deu_Latn", "accuracy"] == pytest.approx(0.31)
    for language, hits in (("deu_Latn", 31), ("fra_Latn", 100)):
        low, high = proportion_confint(hits, 100, method="wilson")
        assert found.loc[language, "low"] == pytest.approx(low)
        assert found.loc[language, "high"] == pytest.approx(high)
        p = stats.binomtest(hits, 100, 0.25).pvalue
        assert found.loc[language, "p_chance"] == pytest.approx(p)


def test_a_measure_that_is_undefined_at_a_layer_leaves_its_language_out() -> None:
    rows = alignment_rows("m/one", scores=planted(1), measures=("cka",))
    rows.loc[(rows["language"] == "fin_Latn") & (rows["layer"] == 2), "value"] = None
    found = scores.by_language(rows).drop_duplicates("language").set_index("language")
    assert found.loc["fin_Latn", "undefined"] == 1 and not found.loc["fin_Latn", "complete"]
    assert found["complete"].sum() == 11


def test_m_arc_is_counted_both_ways_and_the_norm_is_shown() -> None:
    half, most = {"deu_Latn": 0.5}, {"deu_Latn": 0.8}
    both = item_rows("m/one", accuracies=half, benchmark="harness/m_arc", normed=most)
    other = item_rows("m/one", accuracies=half, benchmark="belebele", normed=most)
    found = scores.accuracies(pd.concat([both, other]).assign(options=4))
    shown = found[found["main"]].set_index("benchmark")
    assert shown["metric"].to_dict() == {"harness/m_arc": "acc_norm", "belebele": "acc"}
    assert shown["accuracy"].to_dict() == pytest.approx({"harness/m_arc": 0.8, "belebele": 0.5})
    assert found.loc[~found["main"], ["benchmark", "metric"]].to_numpy().tolist() == [
        ["harness/m_arc", "acc"]
    ]


def test_the_bootstrap_equals_one_draw_after_the_other() -> None:
    random = np.random.default_rng(5)
    codes = [f"l{number:02d}" for number in range(20)]
    whole = pd.DataFrame({"language": codes, "score": random.normal(size=20)})
    whole["accuracy"] = whole["score"] + random.normal(size=20)
    part = whole.iloc[4:].assign(accuracy=lambda frame: frame["accuracy"] ** 2)
    drawn = resample.correlations([whole, part])
    counts = np.random.default_rng(0).multinomial(20, np.full(20, 1 / 20), size=resample.DRAWS)
    for draw in (0, 1, 17, 999):
        for group, frame, skipped in ((0, whole, 0), (1, part, 4)):
            rows = np.repeat(np.arange(len(frame)), counts[draw][skipped:])
            again = frame.iloc[rows]
            slow = np.corrcoef(again["score"], again["accuracy"])[0, 1]
            assert drawn[group, draw] == pytest.approx(slow, abs=1e-9)
    low, high = resample.interval_of_mean([whole, part])
    assert (low, high) == pytest.approx(np.percentile(drawn.mean(axis=0), [2.5, 97.5]))
    assert np.isnan(resample.interval_of_mean([whole.iloc[:3]])).all()
    values = whole["score"].to_numpy()
    again = np.random.default_rng(0).multinomial(20, np.full(20, 1 / 20), size=1000)
    slow_means = [np.repeat(values, row).mean() for row in again]
    assert resample.mean_interval(values) == pytest.approx(np.percentile(slow_means, [2.5, 97.5]))


def test_every_printed_average_comes_out_of_our_code() -> None:
    printed = published.correlations()
    places = ["table", "task", "pooling", "measure"]
    wide = printed.pivot(index=places, columns="column", values="published")
    ours = tables.average_models(wide.drop(columns="AVG"))["AVG"]
    assert (len(printed), len(ours)) == (942, 111)
    assert (ours - wide["AVG"]).abs().max() < 1e-4


def test_the_papers_headline_numbers_come_out_of_the_same_table() -> None:
    printed = published.correlations()
    printed = printed[(printed["table"].isin([3, 4])) & (printed["column"] != "AVG")]
    rows = printed.rename(columns={"task": "benchmark", "published": "r", "column": "model"})
    rows = rows.assign(revision="main", dataset="f", pivot="e", pairs="100", switches="", prompt="")
    rows = rows.assign(layer_pool="mean", metric="acc", measure=rows["measure"].str.lower())
    for table, expected in ((4, 0.9556), (3, 0.8514)):
        wide = tables.cross_model(rows[rows["table"] == table])
        assert list(wide.columns[-1:]) == ["AVG"] and wide.shape[1] == 3 + 9 + 1
        mean = wide[(wide["benchmark"] == tables.ALL_BENCHMARKS) & (wide["measure"] == "nasca")]
        weighted = mean.loc[mean["pooling"] == "weighted", "AVG"]
        assert weighted.to_list() == pytest.approx([expected], abs=1e-4)


def ours(**changes: object) -> pd.DataFrame:
    row: dict[str, object] = {"model": "meta-llama/Llama-3.1-8B", "revision": "main"}
    row |= {"dataset": "flores200", "pairs": "100", "switches": "s", "prompt": "p"}
    row |= {"benchmark": "belebele", "pooling": "weighted", "measure": "nasca", "pivot": "eng_Latn"}
    row |= {"metric": "acc", "layer_pool": "mean", "n": 12, "r": 0.93, "low": 0.9, "high": 0.95}
    return pd.DataFrame([row | changes])


def test_a_missing_benchmark_leaves_no_mean_of_benchmarks() -> None:
    rows = pd.concat([ours(), ours(benchmark="xnli"), ours(model="m/two", r=0.5)])
    table = tables.cross_model(rows)
    wide = table.set_index("benchmark")
    assert wide.loc["belebele", "AVG"] == pytest.approx((0.93 + 0.5) / 2)
    assert wide["m/two"].isna().to_dict() == {
        "belebele": False,
        "xnli": True,
        tables.ALL_BENCHMARKS: True,
    }
    assert wide.loc[tables.ALL_BENCHMARKS, "meta-llama/Llama-3.1-8B"] == pytest.approx(0.93)

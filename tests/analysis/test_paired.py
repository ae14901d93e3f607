"""Two conditions: tests against their formulas, intervals that cover, and what has no spread."""

import warnings
from itertools import product
from math import isnan, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar

from analysis.results import steering
from analysis.statistics import bootstrap, paired, ranks
from analysis.statistics.intervals import of_draws

Floats = npt.NDArray[np.float64]
BEFORE = np.array([38.9, 42.3, 43.7, 40.6, 47.0, 44.5, 41.8, 36.1])
AFTER = np.array([43.6, 40.1, 45.3, 46.0, 46.2, 46.9, 47.6, 43.1])


def test_a_change_over_languages_has_scipys_paired_tests() -> None:
    found = paired.change(BEFORE, AFTER)
    straight = stats.ttest_rel(AFTER, BEFORE)
    assert (found.t, found.p, found.df) == pytest.approx((straight.statistic, straight.pvalue, 7))
    assert (found.low, found.high) == pytest.approx(tuple(straight.confidence_interval(0.95)))
    assert (found.before, found.after) == pytest.approx((BEFORE.mean(), AFTER.mean()))
    assert found.change == pytest.approx((AFTER - BEFORE).mean())
    assert found.sd_before == pytest.approx(np.std(BEFORE, ddof=1))
    assert found.sd_after == pytest.approx(np.std(AFTER, ddof=1))


def test_wilcoxons_p_is_the_share_of_signs_that_are_as_far_apart() -> None:
    changes = AFTER - BEFORE
    ranks = stats.rankdata(np.abs(changes))
    sums = [float(ranks @ np.array(signs)) for signs in product((-1, 1), repeat=len(changes))]
    own = float(ranks @ np.sign(changes))
    expected = np.mean(np.abs(sums) >= abs(own) - 1e-9)
    assert paired.change(BEFORE, AFTER).wilcoxon_p == pytest.approx(expected)


@pytest.mark.parametrize(
    "moved", [[3, 1, 1, -1, 0, 2, 2], [1, -1], [0, 2, 5, 4, -1, 3, 6], [1] * 4]
)
def test_wilcoxons_p_is_scipys_with_ties_and_zeros(moved: list[float]) -> None:
    expected = stats.wilcoxon(np.array(moved, float)).pvalue
    assert ranks.wilcoxon(np.array(moved, float)) == pytest.approx(expected)


def test_changes_of_one_size_are_ties_whatever_their_last_bits() -> None:
    before = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    steps = np.array([0.1, 0.1, -0.1, 0.1, 0.1, 0.2])
    found = paired.change(before, before + steps)
    assert len(set(np.abs(before + steps - before))) > 2
    whole = paired.change(np.zeros(6), 10 * steps)
    assert found.wilcoxon_p == whole.wilcoxon_p


def test_levenes_test_is_an_analysis_of_variance_of_distances_from_the_median() -> None:
    apart = [np.abs(values - np.median(values)) for values in (BEFORE, AFTER)]
    n, means = len(BEFORE), [each.mean() for each in apart]
    between = n * sum((mean - np.mean(means)) ** 2 for mean in means)
    within = sum(((each - mean) ** 2).sum() for each, mean in zip(apart, means, strict=True))
    f = between / (within / (2 * n - 2))
    assert paired.change(BEFORE, AFTER).levene_p == pytest.approx(stats.f.sf(f, 1, 2 * n - 2))


def test_pitmans_and_morgans_test_is_that_of_a_ratio_of_variances() -> None:
    # Morgan (1939): with F the ratio of variances and r the correlation of the two samples,
    # t = (F - 1) sqrt(n - 2) / sqrt(4 F (1 - r^2)).
    ratio = float(AFTER.var(ddof=1) / BEFORE.var(ddof=1))
    r = float(np.corrcoef(BEFORE, AFTER)[0, 1])
    n = len(BEFORE)
    t = (ratio - 1) * sqrt(n - 2) / sqrt(4 * ratio * (1 - r**2))
    found = paired.change(BEFORE, AFTER)
    assert found.pitman_p == pytest.approx(2 * stats.t.sf(abs(t), n - 2))
    assert (found.pitman_r > 0) == (ratio > 1)


@pytest.mark.parametrize("step", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 12])
def test_equal_changes_have_neither_p_nor_interval_and_no_warning(count: int, step: float) -> None:
    before = np.linspace(0.1, 71.7, count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired.change(before, before + step)
    assert found.n == count
    missing = (found.t, found.p, found.low, found.high, found.wilcoxon_p, found.pitman_p)
    assert np.isnan(missing).all()
    if count:
        assert found.change == pytest.approx(step, abs=1e-12)
    # Shifted by one step, the spread is the same.
    assert isnan(found.levene_p) if count < 3 else found.levene_p == pytest.approx(1)


def test_constant_scores_and_missing_languages() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = paired.change(np.full(5, 33.3), np.full(5, 40.0))
        two = paired.change(np.array([1.0, 2.0]), np.array([2.0, 5.0]))
        risen = paired.change(np.full(5, 33.3), np.arange(5.0))
        missing = paired.change(np.append(BEFORE, np.nan), np.append(AFTER, 1.0))
    assert np.isnan([flat.p, flat.levene_p, flat.pitman_p]).all() and flat.sd_after == 0
    assert two.p == pytest.approx(stats.ttest_rel([2.0, 5.0], [1.0, 2.0]).pvalue)
    assert isnan(two.pitman_p) and isnan(two.levene_p)
    assert risen.levene_p < 0.05 and risen.pitman_r == pytest.approx(1)
    assert missing == paired.change(BEFORE, AFTER)


def test_languages_have_mcnemars_p_and_its_adjustment_for_their_number() -> None:
    random = np.random.default_rng(3)
    before = {code: random.random(200) < 0.4 for code in ("swh_Latn", "deu_Latn", "fra_Latn")}
    gains = {"swh_Latn": 0.3, "deu_Latn": 0.1, "fra_Latn": 0.0}
    after = {code: own | (random.random(200) < gains[code]) for code, own in before.items()}
    after["fra_Latn"] = after["fra_Latn"] ^ (random.random(200) < 0.05)
    found = paired.by_language(before, after | {"eng_Latn": np.ones(3, bool)})
    assert list(found["language"]) == sorted(before)
    assert list(found.columns) == paired.BY_LANGUAGE
    for row in found.to_dict("records"):
        old, new = before[row["language"]], after[row["language"]]
        table = [[(old & new).sum(), (old & ~new).sum()], [(~old & new).sum(), (~old & ~new).sum()]]
        assert row["p"] == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert row["change"] == pytest.approx(100 * (row["after"] - row["before"]))
        assert (row["n"], row["gained"] - row["lost"]) == (200, new.sum() - old.sum())
    # Benjamini and Hochberg: the least over all ranks from its own on of p times m over the rank.
    p = np.sort(found["p"])
    steps = [min(1.0, min(p[j] * 3 / (j + 1) for j in range(i, 3))) for i in range(3)]
    assert sorted(found["p_bh"]) == pytest.approx(steps)


def test_languages_of_other_items_are_refused_and_empty_ones_left_out() -> None:
    with pytest.raises(ValueError, match="deu_Latn has 3 items before and 2 after"):
        paired.by_language({"deu_Latn": np.ones(3, bool)}, {"deu_Latn": np.ones(2, bool)})
    none = paired.by_language({"deu_Latn": np.zeros(0, bool)}, {"deu_Latn": np.zeros(0, bool)})
    assert none.empty and list(none.columns) == paired.BY_LANGUAGE
    same = paired.by_language({"deu_Latn": np.ones(4, bool)}, {"deu_Latn": np.ones(4, bool)})
    assert same.loc[0, ["change", "p", "p_bh"]].tolist() == [0.0, 1.0, 1.0]


def test_steered_cells_and_paired_ones_share_their_tests() -> None:
    assert steering.differences is paired.differences and steering.mcnemar is paired.mcnemar


def drawn_slowly(changes: list[Floats], *, joint: bool, draws: int) -> Floats:
    """The bootstrap as it is told: draw languages, then items, then average."""
    random = np.random.default_rng(9)
    means = []
    for _ in range(draws):
        languages = random.integers(len(changes), size=len(changes))
        shared = random.integers(len(changes[0]), size=len(changes[0]))
        each = []
        for place in languages:
            values = changes[place]
            items = shared if joint else random.integers(len(values), size=len(values))
            kept = values[items][~np.isnan(values[items])]
            each.append(kept.mean() if len(kept) else np.nan)
        means.append(np.nanmean(each))
    return np.array(means)


@pytest.mark.parametrize("joint", [True, False])
def test_the_bootstrap_is_that_of_its_slow_twin(
    joint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(2)
    matrix = random.normal(size=(6, 1)) + random.normal(size=25) + random.normal(size=(6, 25))
    if joint:
        matrix[0, :5] = np.nan
        given: Floats | dict[str, Floats] = matrix
        changes = list(matrix)
    else:
        changes = [values[: 10 + 3 * place] for place, values in enumerate(matrix)]
        given = {str(place): values for place, values in enumerate(changes)}
    found = bootstrap.hierarchical_bootstrap(given, draws=8000)
    assert found.languages == 6
    assert found.mean == pytest.approx(np.mean([np.nanmean(values) for values in changes]))
    slow = of_draws(drawn_slowly(changes, joint=joint, draws=4000))
    # A tail quantile of 4000 draws of sd s is known to about 2.7 s / sqrt(4000): three of those.
    loose = 3 * 2.7 * (slow.high - slow.low) / 3.92 / sqrt(4000)
    ends = found.percentile_low, found.percentile_high
    assert ends == pytest.approx(tuple(slow), abs=loose)
    again = bootstrap.hierarchical_bootstrap(given, draws=8000)
    assert again == found
    monkeypatch.setattr(bootstrap, "AT_ONCE", 1000)
    in_parts = bootstrap.hierarchical_bootstrap(given, draws=8000)
    ends = in_parts.percentile_low, in_parts.percentile_high
    assert ends == pytest.approx(tuple(slow), abs=loose)


def test_the_bootstrap_covers_where_parallel_items_are_drawn_jointly() -> None:
    random = np.random.default_rng(5)
    worlds, languages, items = 300, 12, 40
    joint = apart = 0
    for _ in range(worlds):
        # What an item adds in every language weighs more than what sets languages apart.
        own = random.normal(0, 0.3, (languages, 1)) + random.normal(0, 1.0, (1, items))
        changes = own + random.normal(0, 0.5, (languages, items))
        found = bootstrap.hierarchical_bootstrap(changes, draws=400)
        joint += found.low <= 0 <= found.high
        named = {str(place): values for place, values in enumerate(changes)}
        found = bootstrap.hierarchical_bootstrap(named, draws=400)
        apart += found.low <= 0 <= found.high
    # Three standard errors of a share of 300 about .95 are .038.
    assert 0.91 <= joint / worlds <= 0.99
    assert apart / worlds < 0.85


def test_a_bootstrap_of_too_little_has_no_interval() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = bootstrap.hierarchical_bootstrap({})
        empty = bootstrap.hierarchical_bootstrap(np.full((5, 3), np.nan))
        few = bootstrap.hierarchical_bootstrap(np.arange(6.0).reshape(3, 2))
        same = bootstrap.hierarchical_bootstrap(np.full((5, 3), 0.1))
        sparse = np.full((5, 30), np.nan)
        sparse[range(5), range(5)] = np.arange(5.0)
        gaps = bootstrap.hierarchical_bootstrap(sparse, draws=500)
    assert none.languages == empty.languages == 0 and isnan(none.mean) and isnan(empty.mean)
    assert few.mean == 2.5 and isnan(few.low)
    assert same.mean == pytest.approx(0.1) and isnan(same.low)
    assert gaps.mean == 2.0 and 0 <= gaps.percentile_low < gaps.percentile_high <= 4


def test_a_value_among_draws_of_a_control() -> None:
    draws = np.arange(19.0)
    assert paired.among_draws(100.0, draws) == (19, 1.0, 1 / 20)
    assert paired.among_draws(-1.0, draws) == (19, 0.0, 1.0)
    assert paired.among_draws(9.0, draws) == (19, 0.5, 11 / 20)
    assert paired.among_draws(0.0, np.zeros(4)) == (4, 0.5, 1.0)
    # 0.1 + 0.2 is 0.3 for a reader, if not in binary.
    assert paired.among_draws(0.3, np.array([0.1 + 0.2])) == (1, 0.5, 1.0)
    assert paired.among_draws(1.0, np.array([np.nan, 0.0])) == (1, 1.0, 0.5)
    for found in (paired.among_draws(1.0, np.zeros(0)), paired.among_draws(np.nan, draws)):
        assert isnan(found.percentile) and isnan(found.p)


def test_a_randomisation_p_is_below_a_level_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(1)
    found = [paired.among_draws(*_split(random.normal(size=20))).p for _ in range(2000)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.015)


def _split(values: Floats) -> tuple[float, Floats]:
    return float(values[0]), values[1:]


def knowing(gold: npt.NDArray[np.int64], *, prior: list[float]) -> Floats:
    """Log scores of a model that knows every answer, beside a constant prior of the options."""
    noise = np.random.default_rng(4).normal(0, 0.1, (len(gold), len(prior)))
    return np.eye(len(prior))[gold] + noise + np.array(prior)


def test_a_prior_that_hides_what_is_known_is_taken_off() -> None:
    gold = np.arange(300) % 3
    scores = knowing(gold, prior=[-2.0, 5.0, 0.0])
    hidden = paired.chosen(scores, gold)
    assert hidden.accuracy == pytest.approx(1 / 3) and hidden.shares == (0.0, 1.0, 0.0)
    assert hidden.macro_f1 == pytest.approx((2 * (1 / 3) / (1 + 1 / 3)) / 3)
    found = paired.prior_corrected(scores, gold)
    assert (found.n, found.accuracy, found.macro_f1) == (300, 1.0, 1.0)
    assert found.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    # Whatever is common to an item's options is no prior.
    shifted = scores + np.random.default_rng(0).normal(0, 50, (300, 1))
    assert paired.prior_corrected(shifted, gold) == found
    # Fitted on the first 30 it serves the others.
    held = paired.prior_corrected(scores[30:], gold[30:], fit=scores[:30])
    assert held.accuracy == 1.0


def test_a_correction_finds_nothing_where_nothing_is_known() -> None:
    random = np.random.default_rng(6)
    gold, scores = np.arange(3000) % 3, random.normal([0.0, 3.0, 1.0], size=(3000, 3))
    found = paired.prior_corrected(scores, gold)
    # Three standard errors of a share of a third of 3000.
    assert found.accuracy == pytest.approx(1 / 3, abs=3 * sqrt(2 / 9 / 3000))
    assert found.shares == pytest.approx((1 / 3,) * 3, abs=0.03)


def test_macro_f1_is_over_the_options_that_are_right_or_chosen() -> None:
    gold = np.array([0, 0, 1, 1])
    scores = np.array([[2.0, 1.0, 0.0]] * 3 + [[0.0, 1.0, 2.0]])
    found = paired.chosen(scores, gold)
    assert found.shares == (0.75, 0.0, 0.25) and found.accuracy == 0.5
    assert found.macro_f1 == pytest.approx((0.8 + 0 + 0) / 3)
    assert found.macro_f1 == pytest.approx(f1_score(gold, [0, 0, 0, 2], average="macro"))


def test_ties_missing_options_and_items_without_a_score() -> None:
    tied = np.array([[1.0, 1.0, 0.0], [np.nan, 1.0, 1.0]])
    assert paired.chosen(tied, np.array([0, 1])).accuracy == 1.0
    # The absent option of the second item moves neither prior of its own two.
    found = paired.prior_corrected(tied, np.array([0, 1]))
    assert found.n == 2 and sum(found.shares) == 1.0
    for bad in ([np.nan, np.nan, np.nan], [0.0, -np.inf, 1.0]):
        with pytest.raises(ValueError, match="1 of 2 items have no score"):
            paired.chosen(np.array([[0.0, 1.0, 2.0], bad]), np.array([0, 1]))
    with pytest.raises(ValueError, match="the same options"):
        paired.prior_corrected(tied, np.array([0, 1]), fit=np.zeros((4, 2)))
    with pytest.raises(ValueError, match="the same options"):
        paired.prior_corrected(tied, np.array([0, 1]), fit=np.array([[0.0, 1.0, np.nan]]))
    nothing = paired.prior_corrected(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert nothing.n == 0 and isnan(nothing.accuracy) and len(nothing.shares) == 3

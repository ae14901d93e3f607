"""Ranks, spreads, effect sizes and bootstraps: worked cases, references, and coverage."""

import warnings
from itertools import product
from math import inf, isnan, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from analysis.statistics import bootstrap, effects, paired, ranks, spread

Floats = npt.NDArray[np.float64]
BEFORE = np.array([38.9, 42.3, 43.7, 40.6, 47.0, 44.5, 41.8, 36.1])
AFTER = np.array([43.6, 40.1, 45.3, 46.0, 46.2, 46.9, 47.6, 43.1])
# Depression before and after a tranquilliser (Hollander and Wolfe 1973, table 3.1).
SICK = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
TREATED = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def near(share: float, *, of: int) -> float:
    """Three standard errors of a share counted in so many worlds."""
    return 3 * sqrt(share * (1 - share) / of)


def with_moments(
    n: int, *, means: tuple[float, float], sds: tuple[float, float], r: float
) -> tuple[Floats, Floats]:
    """Two samples that have exactly these means, standard deviations and correlation."""
    drawn = np.random.default_rng(0).normal(size=(n, 2))
    centred = drawn - drawn.mean(axis=0)
    whole, _ = np.linalg.qr(centred)
    first, second = (whole * sqrt(n - 1)).T
    return means[0] + sds[0] * first, means[1] + sds[1] * (r * first + sqrt(1 - r**2) * second)


def test_signed_ranks_of_the_textbooks_patients() -> None:
    found = ranks.signed_ranks(TREATED - SICK)
    # T+ = 5 of 45, exact two-sided p = 20 / 512; theta = -.46, 95 % interval (-.786, -.010).
    assert found.p == pytest.approx(20 / 512)
    assert found.middle == pytest.approx(-0.46) and found.biserial == pytest.approx((5 - 40) / 45)
    assert (found.low, found.high) == pytest.approx((-0.786, -0.010))


@pytest.mark.parametrize(("n", "critical"), [(6, 0), (8, 3), (9, 5), (10, 8), (14, 21), (50, 434)])
def test_the_interval_starts_behind_the_tabled_critical_rank_sum(n: int, critical: int) -> None:
    # Wilcoxon's table for a two-sided .05: the largest sum that is significant.
    assert ranks._outside(n) == critical + 1


def test_the_pseudomedian_is_the_median_of_all_means_of_two_however_often_they_repeat() -> None:
    random = np.random.default_rng(0)
    for changes in (random.normal(size=31), random.integers(-1, 2, 40).astype(float)):
        pairs = [(a + b) / 2 for i, a in enumerate(changes) for b in changes[i:]]
        found = ranks.signed_ranks(changes)
        assert found.middle == pytest.approx(np.median(pairs))
        k, whole = ranks._outside(len(changes)), np.sort(pairs)
        assert (found.low, found.high) == pytest.approx((whole[k - 1], whole[-k]))


def test_the_interval_excludes_what_the_rank_test_rejects() -> None:
    random = np.random.default_rng(4)
    for changes in random.normal(0.5, 1, size=(40, 12)):
        found = ranks.signed_ranks(changes)
        for value in (found.low, found.high):
            outside = stats.wilcoxon(changes - value - 1e-6 * np.sign(value - found.middle)).pvalue
            inside = stats.wilcoxon(changes - value + 1e-6 * np.sign(value - found.middle)).pvalue
            assert outside <= 0.05 < inside


def test_ranks_of_few_of_many_and_of_no_changes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = ranks.signed_ranks(np.arange(1.0, 6.0))
        none = ranks.signed_ranks(np.zeros(5))
        same = ranks.signed_ranks(np.full(8, 0.3))
        many = ranks.signed_ranks(np.random.default_rng(0).normal(size=ranks.MOST + 1))
        counts = ranks.signed_ranks(np.repeat([0.0, 1.0, -1.0], [9000, 600, 500]))
    assert isnan(few.low) and few.p == 2 / 2**5 and few.middle == 3
    assert none.middle == 0 and np.isnan([none.p, none.low, none.biserial]).all()
    assert same.p == 2 / 2**8 and same.middle == same.low == same.high == 0.3
    assert isnan(many.middle) and not isnan(many.p)
    assert counts.middle == 0 and counts.p < 0.05 and counts.biserial == pytest.approx(1 / 11)


def test_levenes_numbers_are_those_of_a_hand_worked_case() -> None:
    old, new = np.arange(1.0, 6.0), np.arange(1.0, 10.0, 2)
    # Distances 2 1 0 1 2 and 4 2 0 2 4: F = 3.6 / (14 / 8), p from F(1, 8).
    found = spread.levene(old, new)
    assert found.f == pytest.approx(3.6 / 1.75) and found.difference == pytest.approx(1.2)
    assert found.p == pytest.approx(stats.f.sf(3.6 / 1.75, 1, 8))
    half = stats.t.ppf(0.975, 8) * sqrt(1.75 * 2 / 5)
    assert (found.low, found.high) == pytest.approx((1.2 - half, 1.2 + half))


def test_pitmans_interval_holds_the_ratios_that_morgans_test_does_not_reject() -> None:
    found = spread.pitman_morgan(BEFORE, AFTER)
    assert found.ratio == pytest.approx(AFTER.std(ddof=1) / BEFORE.std(ddof=1))
    for end in (found.low, found.high):
        # Were the true ratio an end, values divided by it would be on the edge of rejection.
        edge = stats.pearsonr(BEFORE + AFTER / end, AFTER / end - BEFORE).pvalue
        assert edge == pytest.approx(0.05)
    assert found.p == pytest.approx(stats.pearsonr(BEFORE + AFTER, AFTER - BEFORE).pvalue)


def test_two_one_sided_tests_of_the_published_example() -> None:
    # The example of R's TOSTER: 65 pairs, margin .4 d_z. By hand: t = (.08 - .35078) / .10877.
    new, old = with_moments(65, means=(5.83, 5.75), sds=(1.17, 1.29), r=0.75)
    sd = sqrt(1.17**2 + 1.29**2 - 2 * 0.75 * 1.17 * 1.29)
    found = paired.equivalence(old, new, margin=0.4 * sd)
    assert found.p == pytest.approx(stats.t.sf((0.4 * sd - 0.08) / (sd / sqrt(65)), 64))
    assert found.p == pytest.approx(ttost_paired(new, old, -0.4 * sd, 0.4 * sd)[0])
    assert round(found.p, 4) == 0.0077
    half = stats.t.ppf(0.95, 64) * sd / sqrt(65)
    assert (found.low_90, found.high_90) == pytest.approx((0.08 - half, 0.08 + half))


def test_equivalence_is_below_5_percent_just_where_the_90_percent_interval_is_inside() -> None:
    random = np.random.default_rng(2)
    seen = set()
    for changes in random.normal(0.2, 1, size=(60, 14)):
        found = paired.equivalence(np.zeros(14), changes, margin=0.7)
        inside = found.low_90 > -0.7 and found.high_90 < 0.7
        assert (found.p < 0.05) == inside
        seen.add(inside)
    assert seen == {True, False}


def test_a_change_as_large_as_the_margin_passes_for_none_in_5_percent() -> None:
    worlds = np.random.default_rng(3).normal(0.5, 0.4, size=(1500, 14))
    found = [paired.equivalence(np.zeros(14), world, margin=0.5).p < 0.05 for world in worlds]
    assert np.mean(found) == pytest.approx(0.05, abs=near(0.05, of=1500))


def test_standardised_changes_and_their_exact_intervals() -> None:
    changes, n = AFTER - BEFORE, len(BEFORE)
    t = stats.ttest_rel(AFTER, BEFORE).statistic
    d_z, d_av = effects.d_z(BEFORE, AFTER), effects.d_av(BEFORE, AFTER)
    # Hedges' approximation of his own factor is good to about 1 in 1000 here.
    assert d_z.size == pytest.approx(
        changes.mean() / changes.std(ddof=1) * (1 - 3 / (4 * (n - 1) - 1)), rel=2e-3
    )
    # The ends are noncentralities under which the t that was seen is in a tail of .025.
    for end, tail in ((d_z.low, stats.nct.sf), (d_z.high, stats.nct.cdf)):
        assert tail(t, n - 1, end * sqrt(n)) == pytest.approx(0.025, rel=1e-3)
    wide = sqrt((BEFORE.var(ddof=1) + AFTER.var(ddof=1)) / 2)
    scale = changes.std(ddof=1) / wide
    assert (d_av.low, d_av.high) == pytest.approx((d_z.low * scale, d_z.high * scale))
    r = np.corrcoef(BEFORE, AFTER)[0, 1]
    df = 2 * (n - 1) / (1 + r**2)
    assert d_av.size == pytest.approx(changes.mean() / wide * (1 - 3 / (4 * df - 1)), rel=2e-3)


@pytest.mark.parametrize("n", [11, 14, 100])
def test_standardised_changes_cover_and_are_right_on_average(n: int) -> None:
    random, worlds, r, shift = np.random.default_rng(n), 800, 0.7, 0.8
    both = random.multivariate_normal([0, shift], [[1, r], [r, 1]], size=(worlds, n))
    for effect, truth in ((effects.d_z, shift / sqrt(2 - 2 * r)), (effects.d_av, shift)):
        found = np.array([effect(old, new) for old, new in both.transpose(0, 2, 1)])
        covered = ((found[:, 1] <= truth) & (truth <= found[:, 2])).mean()
        assert covered == pytest.approx(0.95, abs=near(0.95, of=worlds))
        error = found[:, 0].std() / sqrt(worlds)
        assert found[:, 0].mean() == pytest.approx(truth, abs=3 * error)


def test_odds_of_the_textbooks_voters() -> None:
    # Agresti (2002, section 10.1): of 1600 voters 150 turn away from a prime minister, 86 to him.
    g, odds = effects.cohens_g(86, 150), effects.odds_ratio(86, 150)
    exact = stats.binomtest(86, 236).proportion_ci(method="exact")
    assert odds.size == pytest.approx(86 / 150) and g.size == pytest.approx(86 / 236 - 0.5)
    assert (g.low, g.high) == pytest.approx((exact.low - 0.5, exact.high - 0.5))
    assert odds.low == pytest.approx(exact.low / (1 - exact.low))
    assert effects.odds_ratio(5, 0).size == inf == effects.odds_ratio(5, 0).high
    assert effects.odds_ratio(0, 5)[:2] == (0, 0) and effects.cohens_g(0, 5).size == -0.5
    assert np.isnan([*effects.odds_ratio(0, 0), *effects.cohens_g(0, 0)]).all()
    # The change of the share is printed as -.04, with an interval from -.06 to -.02.
    before, after = np.zeros((2, 1600), bool)
    before[:944], after[:794], after[944:1030] = True, True, True
    change = paired.difference(before, after)
    assert [round(value / 100, 2) for value in change[:3]] == [-0.04, -0.06, -0.02]


def test_effects_of_what_has_no_spread_are_missing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for effect in (effects.d_z, effects.d_av):
            assert np.isnan(effect(BEFORE, BEFORE + 1)).all()
            assert np.isnan(effect(BEFORE[:2], AFTER[:2])).all()
        flat = effects.d_av(np.full(8, 3.0), AFTER)
        missing = (spread.pitman_morgan(np.full(8, 3.0), AFTER).ratio, spread.levene(
            np.zeros(0), np.zeros(0)).p, spread.pitman_morgan(BEFORE[:1], AFTER[:1]).p)  # fmt: skip
        short = spread.pitman_morgan(BEFORE[:2], AFTER[:2])
    assert not isnan(flat.size) and np.isnan(missing).all()
    assert short.ratio > 0 and isnan(short.low) and isnan(short.p)


@pytest.mark.parametrize("n", [11, 14, 100])
def test_spreads_and_means_cover_and_rarely_find_what_is_not_there(n: int) -> None:
    random, worlds = np.random.default_rng(n), 400
    both = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=(worlds, n))
    held: dict[str, list[bool]] = {"ratio": [], "t": [], "ranks": [], "boot": []}
    false: dict[str, list[bool]] = {name: [] for name in held}
    for seed, (old, new) in enumerate(both.transpose(0, 2, 1)):
        ratio, mean = spread.pitman_morgan(old, new), paired.change(old, new)
        ranked = ranks.signed_ranks(new - old)
        drawn = bootstrap.studentised(new - old, draws=600, seed=seed)
        for name, low, high, truth, p in (
            ("ratio", ratio.low, ratio.high, 1.0, ratio.p),
            ("t", mean.low, mean.high, 0.0, mean.p),
            ("ranks", ranked.low, ranked.high, 0.0, ranked.p),
            ("boot", drawn.low, drawn.high, 0.0, drawn.p),
        ):
            held[name].append(low <= truth <= high)
            false[name].append(p < 0.05)
    for name in held:
        # The rank test's level is below .05 by what whole ranks leave, the bootstrap's by its 1 +.
        assert np.mean(held[name]) == pytest.approx(0.955, abs=0.005 + near(0.95, of=worlds)), name
        assert np.mean(false[name]) == pytest.approx(0.045, abs=0.005 + near(0.05, of=worlds)), name


def test_the_bootstrap_t_covers_the_mean_of_skewed_changes_better_than_percentiles_do() -> None:
    random, worlds, n = np.random.default_rng(0), 500, 11
    held = np.zeros(2)
    for seed, changes in enumerate(random.exponential(size=(worlds, n)) - 1):
        found = bootstrap.studentised(changes, draws=600, seed=seed)
        drawn = random.choice(changes, size=(600, n)).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        held += [found.low <= 0 <= found.high, low <= 0 <= high]
    assert held[0] / worlds == pytest.approx(0.94, abs=0.01 + near(0.95, of=worlds))
    assert held[1] / worlds < 0.90


def test_the_bootstrap_t_is_that_of_its_slow_twin() -> None:
    changes, n = AFTER - BEFORE, len(BEFORE)
    found = bootstrap.studentised(changes, draws=20_000, seed=1)
    drawn = np.random.default_rng(5).choice(changes, size=(20_000, n))
    ts = (drawn.mean(axis=1) - changes.mean()) / (drawn.std(axis=1, ddof=1) / sqrt(n))
    error = changes.std(ddof=1) / sqrt(n)
    slow = changes.mean() - np.quantile(ts, [0.975, 0.025]) * error
    # Two independent tail quantiles of a t with 7 degrees, density .032 there: sd of either .035.
    loose = (
        3 * sqrt(2) * error * sqrt(0.025 * 0.975 / 20_000) / stats.t.pdf(stats.t.ppf(0.975, 7), 7)
    )
    assert (found.low, found.high) == pytest.approx(tuple(slow), abs=loose)
    assert found == bootstrap.studentised(changes, draws=20_000, seed=1)
    beyond = 2 * min((ts >= found.t).mean(), (ts <= found.t).mean())
    assert found.p == pytest.approx(beyond, abs=3 * sqrt(2 * 2 * beyond / 20_000))


def test_a_bootstrap_of_next_to_nothing_has_neither_p_nor_interval() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        four = bootstrap.studentised(np.arange(4.0))
        rare = bootstrap.studentised(np.repeat([0.0, 1.0], [997, 3]))
        none = bootstrap.studentised(np.zeros(0))
        five = bootstrap.studentised(np.arange(5.0))
    assert np.isnan([four.p, four.low, rare.p, rare.high, none.estimate]).all()
    assert rare.estimate == pytest.approx(0.003) and not isnan(five.p)


def world(random: np.random.Generator, *, languages: int, items: int, sds: Floats) -> Floats:
    """Changes [language, item] of what is common to a language, to an item, and to neither."""
    own = random.normal(0, 1, (languages, 1)) * sds[0]
    return (
        own
        + random.normal(0, 1, (1, items)) * sds[1]
        + random.normal(0, 1, (languages, items)) * sds[2]
    )


@pytest.mark.parametrize(
    ("languages", "sds"), [(11, (1, 0, 0.5)), (14, (1, 1, 1)), (11, (0, 1, 1))]
)
def test_means_over_languages_and_items_cover(languages: int, sds: tuple[float, ...]) -> None:
    random, worlds, items = np.random.default_rng(1), 300, 30
    place, of = np.divmod(np.arange(languages * items), items)
    drawn, formula = [], []
    for seed in range(worlds):
        changes = world(random, languages=languages, items=items, sds=np.array(sds))
        found = bootstrap.hierarchical_bootstrap(changes, draws=300, seed=seed)
        drawn.append(found.p >= 0.05)
        assert (found.p >= 0.05) == (found.low <= 0 <= found.high)
        tested = bootstrap.clustered(changes.ravel(), languages=place, items=of)
        formula.append(tested.p >= 0.05)
    # Neither is to find more than 5 % of what is not there; where items weigh, less.
    for covered in (drawn, formula):
        assert np.mean(covered) >= 0.95 - near(0.95, of=worlds)
        assert np.mean(covered) <= 0.995


def test_percentiles_cover_less_at_11_languages_than_students_t_by_the_same_draws() -> None:
    random, worlds = np.random.default_rng(3), 300
    held = np.zeros(2)
    for seed in range(worlds):
        changes = world(random, languages=11, items=12, sds=np.array([1, 0, 0.3]))
        found = bootstrap.hierarchical_bootstrap(changes, draws=400, seed=seed)
        held += [found.percentile_low <= 0 <= found.percentile_high, found.low <= 0 <= found.high]
    assert held[0] < held[1]
    assert held[1] / worlds >= 0.95 - near(0.95, of=worlds)


def test_the_formula_is_the_paired_t_test_where_there_is_one_of_either() -> None:
    changes = AFTER - BEFORE
    straight = stats.ttest_rel(AFTER, BEFORE)
    alone, own = np.zeros(8, int), np.arange(8)
    over_items = bootstrap.clustered(changes, languages=alone, items=own, over="items")
    over_languages = bootstrap.clustered(changes, languages=own, items=alone, over="languages")
    for found in (over_items, over_languages):
        assert (found.t, found.p, found.df) == pytest.approx(
            (straight.statistic, straight.pvalue, 7)
        )
    assert isnan(bootstrap.clustered(changes, languages=alone, items=own).p)
    assert isnan(bootstrap.clustered(np.zeros(0), languages=alone[:0], items=own[:0]).estimate)


def test_the_formula_adds_the_variances_over_languages_and_items() -> None:
    random = np.random.default_rng(0)
    changes = world(random, languages=6, items=15, sds=np.array([1, 1, 1]))
    place, of = np.divmod(np.arange(90), 15)
    found = bootstrap.clustered(changes.ravel(), languages=place, items=of)
    over = (changes.mean(axis=1).var(ddof=1) / 6, changes.mean(axis=0).var(ddof=1) / 15)
    assert found.estimate == pytest.approx(changes.mean())
    assert (found.estimate / found.t) ** 2 == pytest.approx(sum(over))
    assert found.df == pytest.approx(sum(over) ** 2 / (over[0] ** 2 / 5 + over[1] ** 2 / 14))
    # The order of rows does not matter, nor do the numbers that stand for names.
    shuffled = random.permutation(90)
    again = bootstrap.clustered(
        changes.ravel()[shuffled], languages=3 * place[shuffled], items=of[shuffled] + 7
    )
    assert tuple(again) == pytest.approx(tuple(found))


def test_rank_sums_are_counted_as_they_are_by_going_through_all_signs() -> None:
    sums = [sum(np.arange(1, 8)[np.array(signs, bool)]) for signs in product((0, 1), repeat=7)]
    assert ranks._sums(7).tolist() == np.bincount(sums).tolist()
    assert int(ranks._sums(ranks.EXACT).sum()) == 2**ranks.EXACT

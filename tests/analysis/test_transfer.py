"""Consistency and transfer: the definitions in plain loops, and truths planted in answers."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.latent.facts import REFUSED
from analysis.layout import prose
from analysis.results import agreement, item_draws, transfer
from analysis.results.answers import Answers
from tests.makers.answered import LANGUAGES, World, agree, group, record


def untidy() -> list[Answers]:
    """Languages that lack items, with ties, and items with two, three and four options."""
    random = np.random.default_rng(4)
    world = World(items=60)
    found = []
    for number, language in enumerate(LANGUAGES):
        scores = np.round(world.scores(0.8, seed=number))
        scores[:20, 3] = np.nan
        scores[:10, 2] = np.nan
        gold = np.where(np.isnan(scores[np.arange(60), world.gold]), 0, world.gold)
        kept = np.sort(random.choice(60, 60 - 4 * number, replace=False))
        ids = [f"{item:04d}" for item in kept]
        found.append(record(scores[kept], gold=gold[kept], language=language, ids=ids))
    return found


def slow(source: Answers, target: Answers) -> dict[str, float]:
    """The definitions, item by item."""
    there = {str(item): place for place, item in enumerate(target.items)}
    pairs = [(a, there[str(item)]) for a, item in enumerate(source.items) if str(item) in there]
    first: list[float] = []
    second: list[float] = []
    right = both = wrong = same = hits = 0
    alone = []
    for a, b in pairs:
        count = int(np.isfinite(source.ranks[a]).sum())
        first += source.ranks[a][:count].tolist()
        second += target.ranks[b][:count].tolist()
        gold = source.gold[a]
        hits += target.prediction[b] == gold
        if source.prediction[a] == gold:
            right += 1
            both += target.prediction[b] == gold
        else:
            wrong += 1
            same += target.prediction[b] == source.prediction[a]
            alone.append(1 / (count - 1))
    accuracy = hits / len(pairs)
    plus = both / right if right else float("nan")
    minus = same / wrong if wrong else float("nan")
    return {
        "n": len(pairs),
        "consistency": float(stats.spearmanr(first, second).statistic),
        "tr_plus": plus,
        "tr_minus": minus,
        "excess_plus": plus - accuracy,
        "excess_minus": minus - (1 - accuracy) * float(np.mean(alone)),
    }


@pytest.mark.parametrize("answers", [group(World(items=80)), untidy()], ids=["alike", "untidy"])
def test_all_pairs_are_the_slow_definitions(answers: list[Answers]) -> None:
    found = transfer.pairs(answers).set_index(["source", "target"])
    assert len(found) == 20
    for source in answers:
        for target in answers:
            if source is target:
                continue
            expected = slow(source, target)
            row = found.loc[(source.language, target.language)]
            for name, value in expected.items():
                assert row[name] == pytest.approx(value, abs=1e-6), (name, source, target)
            assert agree(source, target)["consistency"] == pytest.approx(row["consistency"])
            assert agree(source, target)["tr_plus"] == pytest.approx(row["tr_plus"])
            assert agree(source, target)["tr_minus"] == pytest.approx(row["tr_minus"])


def test_consistency_is_the_mean_over_items_where_options_are_equal_and_untied() -> None:
    one, other = group(World(items=50))[:2]
    apart = (one.ranks - other.ranks).astype(float)
    expected = 1 - 6 * (apart**2).sum(axis=1).mean() / (4 * 15)
    assert agree(one, other)["consistency"] == pytest.approx(expected, abs=1e-6)


def test_a_language_agrees_with_itself_and_its_reverse_disagrees() -> None:
    one = group(World(items=50))[1]
    turned = replace(one, ranks=5 - one.ranks)
    assert agree(one, one)["consistency"] == pytest.approx(1)
    assert agree(one, turned)["consistency"] == pytest.approx(-1)
    assert agree(one, one)["tr_plus"] == 1 and agree(one, one)["tr_minus"] == 1


def test_copies_of_english_agree_in_everything_and_a_shuffle_in_nothing() -> None:
    world = World(items=400)
    english = record(world.scores(1.2, seed=0), gold=world.gold, language="eng_Latn")
    copied = replace(english, language="fra_Latn")
    order = np.random.default_rng(3).permutation(400)
    shuffled = replace(
        english, language="deu_Latn", ranks=english.ranks[order],
        prediction=english.prediction[order],
    )  # fmt: skip
    rows = transfer.by_language([english, copied, shuffled]).set_index("language")
    copy, chance = rows.loc["fra_Latn"], rows.loc["deu_Latn"]
    assert copy["consistency_pivot"] == pytest.approx(1) and copy["transfer_pivot"] == 1
    assert copy["excess_pivot"] == pytest.approx(1 - copy["accuracy"])
    assert chance["consistency_pivot_low"] < 0 < chance["consistency_pivot_high"]
    # Nothing goes from English to a shuffle of it but what its accuracy gives.
    assert chance["transfer_pivot_low"] < chance["accuracy"] < chance["transfer_pivot_high"]
    assert isnan(rows.loc["eng_Latn"]["transfer_pivot"])


def test_independent_answers_have_no_excess() -> None:
    random = np.random.default_rng(5)
    gold = random.integers(4, size=3000)
    answers = []
    for language, skill in zip(LANGUAGES, (0.0, 0.5, 1.0, 1.5, 2.0), strict=True):
        scores = random.normal(size=(3000, 4))
        scores[np.arange(3000), gold] += skill
        answers.append(record(scores, gold=gold, language=language))
    (row,) = transfer.overall(answers).to_dict("records")
    assert row["excess_plus_low"] < 0 < row["excess_plus_high"]
    assert row["excess_minus_low"] < 0 < row["excess_minus_high"]
    assert row["tr_plus"] == pytest.approx(row["accuracy"], abs=0.02)
    assert row["tr_plus_high"] - row["tr_plus_low"] < 0.05


def test_questions_that_differ_between_languages_are_refused_and_said() -> None:
    answers = group(World(items=30))
    other = answers[1].gold.copy()
    other[:3] = (other[:3] + 1) % 4
    answers[1] = replace(answers[1], gold=other)
    found = transfer.pairs(answers)
    strange = (found["source"] == "deu_Latn") | (found["target"] == "deu_Latn")
    assert found.loc[strange, "differing"].eq(3).all() and strange.sum() == 8
    assert found.loc[strange, ["consistency", "tr_plus"]].isna().all(axis=None)
    assert found.loc[~strange, ["consistency", "tr_plus"]].notna().all(axis=None)
    said = prose.line(REFUSED, refused=transfer.refusals(found))
    assert "m/one on belebele: 8 ordered pairs" in said and "(deu_Latn; up to 3 of 30" in said
    with pytest.raises(ValueError, match="3 of 30 common items differ"):
        agree(answers[0], answers[1])["consistency"]
    assert transfer.overall(answers)["differing"].item() == 8
    rows = transfer.by_language(answers).set_index("language")
    assert isnan(rows.loc["deu_Latn", "consistency"])
    assert rows.loc["fra_Latn", "undefined"] == 1


def test_a_source_without_right_answers_is_counted_and_left_out() -> None:
    world = World(items=30)
    answers = group(world)
    never = ((world.gold + 1) % 4).astype(np.int16)
    answers[0] = replace(answers[0], prediction=never)
    (row,) = transfer.overall(answers).to_dict("records")
    found = transfer.pairs(answers)
    from_it = found[found["source"] == "arb_Arab"]
    assert from_it["tr_plus"].isna().all() and from_it["tr_minus"].notna().all()
    assert row["undefined_plus"] == 4 and row["undefined_minus"] == 0
    assert row["tr_plus"] == pytest.approx(found["tr_plus"].dropna().mean())
    assert row["tr_plus_low"] < row["tr_plus"] < row["tr_plus_high"]


def test_by_language_is_made_of_the_pairs() -> None:
    answers = group(World(items=60))
    found = transfer.pairs(answers)
    rows = transfer.by_language(answers).set_index("language")
    into = found[found["target"] == "swh_Latn"]
    assert rows.loc["swh_Latn", "transfer_in"] == pytest.approx(into["tr_plus"].mean())
    assert rows.loc["swh_Latn", "excess_in"] == pytest.approx(into["excess_plus"].mean())
    assert rows.loc["swh_Latn", "consistency"] == pytest.approx(into["consistency"].mean())
    english = into[into["source"] == "eng_Latn"].iloc[0]
    assert rows.loc["swh_Latn", "transfer_pivot"] == english["tr_plus"]
    swahili = answers[4]
    tail = stats.binomtest(int(swahili.correct.sum()), 60, 0.25, alternative="greater").pvalue
    assert rows.loc["swh_Latn", "p_above_chance"] == pytest.approx(tail)
    assert set(rows["pivot"]) == {"eng_Latn"}


def test_the_pivot_is_the_one_steered_toward() -> None:
    answers = group(World(items=20))
    steered = record(np.eye(4), gold=np.arange(4), language="fra_Latn", pivot="deu_Latn")
    rows = transfer.by_language([*answers, steered]).set_index("language")
    assert set(rows["pivot"]) == {"deu_Latn"}
    assert isnan(rows.loc["deu_Latn", "consistency_pivot"])
    assert rows.loc["eng_Latn", "consistency_pivot"] == pytest.approx(
        agree(answers[1], answers[2])["consistency"]
    )


def test_the_quick_draws_are_the_statistics_of_resampled_items() -> None:
    answers = group(World(items=40), skills={"eng_Latn": 1.0, "deu_Latn": 0.5, "fra_Latn": 0.2})
    kinds = agreement.aligned(answers)
    quick = item_draws.drawn(kinds[0])
    for draw, counts in enumerate(item_draws.draws(40)[:60]):
        places = np.repeat(np.arange(40), counts.astype(int))
        again = [
            replace(
                one, gold=one.gold[places], prediction=one.prediction[places],
                ranks=one.ranks[places],
            )
            for one in answers
        ]  # fmt: skip
        found = transfer.pairs(again)
        accuracy = float(np.mean([one.correct.mean() for one in again]))
        assert quick["accuracy"][draw] == pytest.approx(accuracy)
        for name in transfer.MEASURES:
            assert quick[name][draw] == pytest.approx(found[name].mean())
    low, high = item_draws.overall(kinds[0])["tr_plus"]
    assert (low, high) == pytest.approx(tuple(np.percentile(quick["tr_plus"], [2.5, 97.5])))


def test_draws_of_items_with_ties_and_unequal_options_keep_the_ranks_of_the_whole() -> None:
    random = np.random.default_rng(7)
    gold = random.integers(2, size=30)
    answers = []
    for language in LANGUAGES[:3]:
        scores = np.round(random.normal(size=(30, 4)) + np.array([1.0, 0.5, 0.0, 0.0]))
        scores[:12, 2:] = np.nan
        answers.append(record(scores, gold=gold, language=language))
    (one,) = agreement.aligned(answers)
    ranks, owner = agreement.rankings(one), np.repeat(np.arange(30), one.options)
    quick = item_draws.drawn(one)["consistency"]
    for draw, counts in enumerate(item_draws.draws(30)[:40]):
        drawn = np.repeat(ranks, counts.astype(int)[owner], axis=1)
        each = np.corrcoef(drawn)[np.triu_indices(3, k=1)]
        assert quick[draw] == pytest.approx(each.mean())


def test_the_interval_with_the_pivot_is_that_of_resampled_items() -> None:
    english, german = group(World(items=40), skills={"eng_Latn": 1.0, "deu_Latn": 0.5})
    rows = transfer.by_language([english, german]).set_index("language")
    consistency = []
    for counts in item_draws.draws(40):
        drawn = np.repeat(np.arange(40), counts.astype(int))
        first, second = english.ranks[drawn].ravel(), german.ranks[drawn].ravel()
        consistency.append(np.corrcoef(first, second)[0, 1])
    known = german.correct[english.correct]
    for name, (low, high) in (
        ("consistency", np.percentile(consistency, [2.5, 97.5])),
        ("transfer", proportion_confint(known.sum(), len(known), method="wilson")),
    ):
        assert rows.loc["deu_Latn", f"{name}_pivot_low"] == pytest.approx(low)
        assert rows.loc["deu_Latn", f"{name}_pivot_high"] == pytest.approx(high)


def test_many_languages_are_compared_without_a_loop_over_pairs() -> None:
    world = World(items=300)
    skills = {f"l{number:02d}_Latn": 0.1 + number / 40 for number in range(60)}
    answers = group(world, skills=skills)
    found = transfer.pairs(answers)
    assert len(found) == 60 * 59
    row = found[(found["source"] == "l03_Latn") & (found["target"] == "l41_Latn")].iloc[0]
    expected = slow(answers[3], answers[41])
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)

"""Two conditions asked for in a table: rows as in scipy, units that lack one, and refusals."""

import gc
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.questions.answer import ANSWER, correct
from analysis.questions.compare import compare
from analysis.questions.paired_tests import NESTED, TESTS
from analysis.statistics import bootstrap, effects, paired, ranks, spread

LANGUAGES = tuple("abcdefghijk")


def scores(
    *, models: int = 2, gains: Mapping[str, float] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Accuracies of languages under a plain model and some schemes."""
    random = np.random.default_rng(seed)
    rows = []
    for model in range(models):
        level = random.uniform(30, 70, len(LANGUAGES))
        for scheme, gain in ({"plain": 0.0} | dict(gains or {"clas": 2.0})).items():
            for language, own in zip(LANGUAGES, level, strict=True):
                value = own + gain + random.normal(0, 2)
                rows.append((f"m{model}", scheme, language, value))
    return pd.DataFrame(rows, columns=["model", "scheme", "language", "accuracy"])


def answers(
    *, languages: int = 6, items: int = 40, gain: float = 0.1, seed: int = 0
) -> pd.DataFrame:
    """Right and wrong answers to the same items, plain and steered."""
    random = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [LANGUAGES[:languages], [f"i{item:03d}" for item in range(items)]],
        names=["language", "item"],
    ).to_frame(index=False)
    right = random.random(len(index)) < 0.5
    lucky = random.random(len(index)) < 0.3
    steered = np.where(lucky, random.random(len(index)) < 0.5 + gain, right)
    return pd.concat(
        [index.assign(how="plain", right=right), index.assign(how="steered", right=steered)],
        ignore_index=True,
    )


def sides(rows: pd.DataFrame, value: str, condition: str) -> list[np.ndarray]:
    """The values of both conditions, in the order of the units."""
    wide = rows.pivot(index=[c for c in rows if c not in (value, condition)], columns=condition)
    return [wide[value][name].to_numpy(float) for name in sorted(wide[value])][::-1]


def test_a_row_for_every_question_corrected_over_the_whole_table() -> None:
    rows = scores(models=3)
    found = compare(
        rows, "accuracy", condition="scheme", before="plain", after="clas", by=("model",)
    )
    assert list(found.columns[:5]) == ["model", "value", "condition", "before", "after"]
    assert list(found.columns[5:15]) == list(ANSWER)
    for row in found.to_dict("records"):
        own = rows[rows["model"] == row["model"]].drop(columns="model")
        new, old = sides(own.replace("clas", "a clas"), "accuracy", "scheme")[::-1]
        straight = stats.ttest_rel(new, old)
        assert (row["t"], row["p"], row["df"]) == pytest.approx(
            (straight.statistic, straight.pvalue, 10)
        )
        ends = straight.confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(ends))
        assert row["estimate"] == pytest.approx(row["mean_after"] - row["mean_before"])
        assert (row["d_z"], row["d_z_low"], row["d_z_high"]) == pytest.approx(effects.d_z(old, new))
        assert (row["d_av"], row["d_av_low"]) == pytest.approx(effects.d_av(old, new)[:2])
        assert (row["n"], row["note"], row["estimated"]) == (11, "", "mean change")
    assert found["p_corrected"].to_numpy() == pytest.approx(
        multipletests(found["p"], method="holm")[1]
    )
    assert set(found["correction"]) == {"holm over 3"}


def test_several_tests_have_a_row_each_with_the_references_numbers() -> None:
    rows = scores(models=1).drop(columns="model")
    asked = tuple(test for test in TESTS if test not in (*NESTED, "mcnemar"))
    found = compare(
        rows, "accuracy", condition="scheme", before="plain", after="clas", test=asked, margin=3.0,
        correction="none",
    ).set_index("test")  # fmt: skip
    old, new = sides(rows.replace("clas", "a clas"), "accuracy", "scheme")
    assert list(found.index) == list(asked)
    references = {
        "paired t": stats.ttest_rel(new, old).pvalue,
        "wilcoxon": stats.wilcoxon(new - old).pvalue,
        "levene": stats.levene(old, new, center="median").pvalue,
        "pitman-morgan": stats.pearsonr(old + new, new - old).pvalue,
        "equivalence": ttost_paired(new, old, -3.0, 3.0)[0],
        "bootstrap": bootstrap.studentised(new - old).p,
    }
    for test, p in references.items():
        assert found.loc[test, "p"] == pytest.approx(p) == found.loc[test, "p_corrected"]
    assert found.loc["wilcoxon", "estimate"] == pytest.approx(ranks.signed_ranks(new - old).middle)
    ratio = new.std(ddof=1) / old.std(ddof=1)
    assert found.loc["pitman-morgan", "estimate"] == pytest.approx(ratio)
    assert found.loc["levene", "sd_after"] == pytest.approx(new.std(ddof=1))
    assert found.loc["levene", "estimate"] == pytest.approx(spread.levene(old, new).difference)
    both = paired.equivalence(old, new, margin=3.0)
    assert found.loc["equivalence", "low_90"] == pytest.approx(both.low_90)
    assert found["estimated"].nunique() == 4 and found["assumes"].nunique() == len(asked)
    assert "p is the least" in found.loc["bootstrap", "note"] or found.loc["bootstrap", "p"] > 0.001


def test_right_and_wrong_answers_of_one_language_have_mcnemars_test() -> None:
    rows = answers()
    found = compare(
        rows, "right", condition="how", before="plain", after="steered", by=("language",),
        unit=("item",), test="mcnemar",
    )  # fmt: skip
    for row in found.to_dict("records"):
        own = rows[rows["language"] == row["language"]].drop(columns="language")
        wide = own.pivot(index="item", columns="how", values="right")
        table = pd.crosstab(wide["plain"], wide["steered"])
        assert row["p"] == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert (row["gained"], row["lost"]) == (table.loc[False, True], table.loc[True, False])
        assert row["odds_ratio"] == pytest.approx(row["gained"] / row["lost"])
        assert row["estimate"] == pytest.approx(wide["steered"].mean() - wide["plain"].mean())
        assert row["low"] < row["estimate"] < row["high"] and row["note"] == ""
    still = rows[rows["language"] == "a"].assign(right=True)
    one = compare(still, "right", condition="how", before="plain", after="steered",
                  unit=("item",), test="mcnemar").loc[0]  # fmt: skip
    assert (one["p"], one["estimate"], one["note"]) == (1.0, 0.0, "no odds: no unit changed")


def test_items_of_languages_have_tests_that_know_it_and_others_say_that_they_do_not() -> None:
    rows = answers()
    asked = ("hierarchical bootstrap", "clustered t", "paired t")
    found = compare(
        rows, "right", condition="how", before="plain", after="steered",
        unit=("language", "item"), test=asked,
    ).set_index("test")  # fmt: skip
    old, new = sides(rows, "right", "how")[::-1]
    matrix = (new - old).reshape(6, 40)
    whole = bootstrap.hierarchical_bootstrap(matrix)
    drawn, formula, naive = (found.loc[name] for name in asked)
    for name in ("low", "high", "p", "t", "df", "percentile_low", "percentile_high"):
        assert drawn[name] == pytest.approx(getattr(whole, name))
    assert (formula["languages"], formula["items"], formula["n"]) == (6, 40, 240)
    assert drawn["estimate"] == pytest.approx(formula["estimate"]) == matrix.mean()
    assert "items of 6 languages as independent" in naive["note"]
    assert drawn["note"] == formula["note"] == ""
    # Without a shared item, every language's items are drawn apart.
    apart = rows.assign(item=rows["language"] + rows["item"])
    alone = compare(
        apart, "right", condition="how", before="plain", after="steered",
        unit=("language", "item"), test="hierarchical bootstrap",
    ).loc[0]  # fmt: skip
    by_name = {str(place): row for place, row in enumerate(matrix)}
    assert alone["p"] == pytest.approx(bootstrap.hierarchical_bootstrap(by_name).p)
    assert alone["items"] == 240


def test_every_other_condition_is_compared_where_none_is_named() -> None:
    rows = scores(gains={"clas": 2.0, "int_mu": 0.0})
    found = compare(rows, "accuracy", condition="scheme", before="plain", by=("model",))
    assert found[["model", "after"]].to_numpy().tolist() == [
        ["m0", "clas"], ["m0", "int_mu"], ["m1", "clas"], ["m1", "int_mu"],
    ]  # fmt: skip
    # Rows without a condition are the plain model, or are said to be left out.
    bare = rows.assign(scheme=rows["scheme"].where(rows["scheme"] != "plain", None))
    same = compare(bare, "accuracy", condition="scheme", before=None, by=("model",))
    assert same["p"].to_numpy() == pytest.approx(found["p"].to_numpy())
    other = compare(bare, "accuracy", condition="scheme", before="clas", by=("model",))
    assert set(other["after"]) == {"int_mu"}
    assert set(other["note"]) == {"11 rows without scheme left out"}
    numbered = rows.assign(scheme=rows["scheme"].map({"plain": 0, "clas": 10, "int_mu": 9}))
    found = compare(numbered, "accuracy", condition="scheme", before=0, by="model")
    assert list(found["after"]) == [9, 10, 9, 10]


def test_units_that_lack_a_condition_or_a_value_are_left_out_and_said() -> None:
    rows = scores(models=1)
    whole = compare(rows[rows["language"] > "c"], "accuracy", condition="scheme", before="plain")
    rows.loc[(rows["language"] == "a") & (rows["scheme"] == "clas"), "accuracy"] = np.nan
    rows.loc[(rows["language"] == "b") & (rows["scheme"] == "plain"), "accuracy"] = np.inf
    rows.loc[rows["language"] == "c", "language"] = None
    found = compare(rows, "accuracy", condition="scheme", before="plain").loc[0]
    assert (found["n"], found["p"]) == (8, pytest.approx(whole.loc[0, "p"]))
    assert found["note"] == (
        "2 rows without language left out; 2 rows without a value left out; "
        "2 units with one of the two values left out, such as language=a"
    )


def test_the_order_and_the_type_of_rows_do_not_matter() -> None:
    rows = answers().assign(more=1)
    asked = {"condition": "how", "before": "plain", "unit": ("language", "item")}
    straight = compare(rows, "right", test=("mcnemar", "clustered t"), **asked)
    for other in (
        rows.sample(frac=1, random_state=3),
        rows.assign(right=rows["right"].astype("boolean")),
        rows.assign(right=rows["right"].astype(object)),
        rows.astype({"language": "category", "how": "category"}),
        rows.assign(right=rows["right"].astype("Int64")),
        rows.set_index("item", drop=False),
    ):
        pd.testing.assert_frame_equal(
            compare(other, "right", test=("mcnemar", "clustered t"), **asked), straight
        )


@pytest.mark.parametrize("test", [one for one in TESTS if one not in NESTED])
@pytest.mark.parametrize(
    ("values", "said"),
    [([0.0, 0.0], "1 unit|no unit changed"), ([0.0, 1.0], "1 unit|6 units|^$")],
)
def test_a_single_unit_has_a_row_and_a_reason(test: str, values: list[float], said: str) -> None:
    rows = pd.DataFrame({"language": "a", "how": ["x", "y"], "v": values})
    margin = 0.5 if test == "equivalence" else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(rows, "v", condition="how", before="x", test=test, margin=margin)  # type: ignore[arg-type]
    assert found["n"].tolist() == [1]
    assert found["note"].str.contains(said).all()


@pytest.mark.parametrize("test", TESTS)
def test_equal_changes_and_no_units_have_reasons(test: str) -> None:
    unit = ("language", "item") if test in NESTED else ("language",)
    margin = 0.5 if test == "equivalence" else None
    rows = pd.DataFrame(
        [(code, "i", how, float(how == "y")) for code in "abcdefg" for how in "xy"],
        columns=["language", "item", "how", "v"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = compare(rows, "v", condition="how", before="x", test=test, unit=unit, margin=margin)  # type: ignore[arg-type]
        apart = rows[(rows["language"] > "d") == (rows["how"] == "x")]
        none = compare(apart, "v", condition="how", before="x", test=test, unit=unit, margin=margin)  # type: ignore[arg-type]
    if test in ("wilcoxon", "mcnemar"):
        # Seven of seven rose: a sign is enough for these.
        assert same["p"].tolist() == [2 / 2**7] and same["note"].tolist() == [""]
    else:
        assert np.isnan(same.loc[0, "p"]) and same.loc[0, "note"].startswith("no ")
    assert none["n"].tolist() == [0] and np.isnan(none[["estimate", "low", "p"]]).all(axis=None)
    assert none.loc[0, "note"].startswith("no p and no estimate: no unit has both values; 7 units")


def test_a_question_without_the_plain_model_has_a_row_that_says_so() -> None:
    rows = scores()
    rows = rows[(rows["model"] == "m0") | (rows["scheme"] == "clas")]
    found = compare(rows, "accuracy", condition="scheme", before="plain", by=("model",))
    assert found["n"].tolist() == [11, 0] and found["correction"].tolist() == ["holm over 1"] * 2
    assert "no unit has both values" in found.loc[1, "note"]
    # Nor is one forgotten that has the plain model alone.
    rows = scores()
    rows = rows[(rows["model"] == "m0") | (rows["scheme"] == "plain")]
    found = compare(rows, "accuracy", condition="scheme", before="plain", by=("model",))
    assert found["model"].tolist() == ["m0", "m1"] and found["n"].tolist() == [11, 0]


def test_few_languages_have_no_hierarchical_bootstrap() -> None:
    rows = answers(languages=3)
    asked = ("hierarchical bootstrap", "clustered t")
    found = compare(rows, "right", condition="how", before="plain", test=asked,
                    unit=("language", "item"))  # fmt: skip
    assert found.loc[0, "note"] == "no p and no interval: 3 languages, it takes 4"
    assert not np.isnan(found.loc[1, "p"])
    one = compare(rows[rows["language"] == "a"], "right", condition="how", before="plain",
                  test="clustered t", unit=("language", "item")).loc[0]  # fmt: skip
    assert "1 language and 40 items, it takes 2 of each" in one["note"]


def refused(rows: pd.DataFrame, message: str, **options: object) -> None:
    """What is refused with which sentence."""
    asked = {"condition": "scheme", "before": "plain", "by": ("model",)} | options
    with pytest.raises(ValueError, match=message):
        compare(rows, str(asked.pop("value", "accuracy")), **asked)  # type: ignore[arg-type]


def test_refusals_say_what_was_found_and_what_to_do() -> None:
    rows = scores()
    refused(rows, "no column f1", value="f1")
    refused(rows.head(0), "there are no rows")
    refused(rows, "no column shown", by=("shown",))
    refused(
        rows,
        r"no row has scheme='base' \(before\); the column holds 'plain', 'clas'",
        before="base",
    )
    refused(rows, r"no row has scheme='x' \(after\)", after="x")
    refused(rows, "before and after are both 'plain'", after="plain")
    refused(rows[rows["scheme"] == "plain"], "there is nothing to compare with")
    refused(rows, "scheme is the condition", by=("scheme",))
    refused(rows, "model is in by and in unit", unit=("model", "language"))
    refused(rows, "no column identifies a unit", unit=())
    refused(rows.rename(columns={"model": "p"}), "p would stand twice in the answer", by=("p",))
    refused(rows.rename(columns={"model": "d_z"}), "d_z would stand twice", by=("d_z",))
    refused(rows, "no test is called 'anova'; choose of paired t", test="anova")
    refused(rows, "no test is named", test=())
    refused(rows, "equivalence needs a margin", test=("paired t", "equivalence"))
    refused(rows, "margin=1 is read by the test equivalence alone", margin=1)
    refused(rows, "margin is -1; give a finite number above 0", test="equivalence", margin=-1)
    refused(rows, "draws is 10; an interval takes 200", test="bootstrap", draws=10)
    refused(rows, r"is over languages and their items, and the unit is \(language\)",
            test="clustered t")  # fmt: skip
    refused(rows, "no correction is called 'bonferroni'", correction="bonferroni")
    refused(rows, r"mcnemar compares what is right or wrong, and accuracy holds \d", test="mcnemar")
    text = rows.astype({"accuracy": object})
    text.loc[[3, 4], "accuracy"] = "n/a"
    refused(text, "holds what is no number in 2 of 11 rows, such as 'n/a'")


def test_units_with_several_rows_are_refused_with_what_tells_them_apart() -> None:
    rows = scores()
    refused(rows, r"11 units of \(language\) have several rows at scheme=plain or clas, such as "
            r"language=a with 2; they differ in model: add", by=())  # fmt: skip
    twice = pd.concat([rows, rows.head(1)])
    refused(twice, r"1 unit of \(language\) has several rows at model=m0, scheme=plain or clas.*"
            "they repeat")  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the garbage collection that statsmodels does in every correction."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("n", [11, 14, 100])
def test_a_corrected_table_finds_anything_in_5_percent_of_worlds_without_change(n: int) -> None:
    random, worlds, questions = np.random.default_rng(n), 400, 8
    values = random.normal(size=(worlds, questions, n))
    # What compare's own p is, as tested above; all worlds at once.
    ps = stats.ttest_1samp(values, 0, axis=2).pvalue
    corrected = [correct(pd.DataFrame({"p": own}))["p_corrected"].min() < 0.05 for own in ps]
    plain = (ps.min(axis=1) < 0.05).mean()
    reach = 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert np.mean(corrected) == pytest.approx(0.05, abs=reach)
    assert plain == pytest.approx(1 - 0.95**questions, abs=3 * np.sqrt(0.34 * 0.66 / worlds))

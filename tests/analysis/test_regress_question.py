"""`regress`: one row per term, with its unit, its correction, its notes and its sentence."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from analysis.questions.answer import ANSWER
from analysis.questions.lines import EXTRA
from analysis.questions.regress import regress
from tests.makers.lme4_examples import cbpp_animals, penicillin, sleepstudy


def items(*, languages: int = 11, size: int = 80, seed: int = 0) -> pd.DataFrame:
    """Items of languages: `nasca` of the language, `fertility` of the item, both with effects."""
    random = np.random.default_rng(seed)
    level = np.repeat(np.arange(languages), size)
    nasca, fertility = random.normal(size=languages)[level], random.normal(size=len(level))
    odds = 0.8 * nasca + 0.5 * fertility + 0.4 * random.normal(size=languages)[level]
    return pd.DataFrame(
        {
            "language": [f"l{one:02d}" for one in level],
            "item": [f"i{one}" for one in np.tile(np.arange(size), languages)],
            "nasca": 0.1 * nasca + 0.5,
            "fertility": fertility,
            "script": np.where(random.random(len(level)) < 0.5, "latn", "cyrl"),
            "correct": random.random(len(level)) < 1 / (1 + np.exp(-odds)),
        }
    )


def lines(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {str(row["term"]): row for _, row in table.iterrows()}


def test_the_answer_has_the_columns_of_all_answers() -> None:
    table = regress(items(), "correct ~ nasca + fertility + (1 | language)")
    assert list(table) == ["part", "term", *ANSWER, *EXTRA]
    assert table["part"].tolist() == ["fixed"] * 3 + ["random"]
    assert table["term"].tolist() == ["Intercept", "nasca", "fertility", "language"]
    assert (table["n"] == 880).all() and (table["reading"] != "").all()
    numbers = table[["estimate", "low", "high", "p", "p_corrected"]]
    assert (table.loc[numbers.isna().any(axis="columns"), "note"] != "").all()


def test_lme4s_examples_come_through() -> None:
    found = lines(regress(sleepstudy(), "reaction ~ days + (1 | subject)", standardise=False))
    assert found["Intercept"]["estimate"] == pytest.approx(251.4051, abs=5e-5)
    assert found["days"]["estimate"] == pytest.approx(10.4673, abs=5e-5)
    assert found["subject"]["estimate"] == pytest.approx(37.12, abs=5e-3)
    assert found["residual"]["estimate"] == pytest.approx(30.99, abs=5e-3)
    assert found["days"]["scale"] == "reaction per unit of days"
    # As r2_nakagawa of the R package performance prints them.
    assert found["days"]["r2_marginal"] == pytest.approx(0.27988564, abs=1e-6)
    assert found["days"]["r2_conditional"] == pytest.approx(0.70425545, abs=1e-6)
    assert found["subject"]["icc"] + found["residual"]["icc"] == pytest.approx(1)
    found = lines(regress(penicillin(), "diameter ~ 1 + (1 | plate) + (1 | sample)"))
    deviations = [found[one]["estimate"] for one in ("plate", "sample", "residual")]
    assert deviations == pytest.approx([0.8467, 1.9316, 0.5499], abs=1e-4)
    assert [found[one]["groups"] for one in ("plate", "sample")] == [24, 6]
    table = regress(cbpp_animals(), "ill ~ period + (1 | herd)")
    assert table["estimate"].tolist() == pytest.approx(
        [-1.3983, -0.9919, -1.1282, -1.5797, 0.642], abs=1e-3
    )
    found = lines(table)
    # Of rows of 0 and 1 performance prints these, at the optimum that lme4 stops at.
    assert found["herd"]["icc"] == pytest.approx(0.11135602, abs=2e-4)
    assert found["herd"]["r2_marginal"] == pytest.approx(0.08820026, abs=2e-4)
    assert found["herd"]["r2_conditional"] == pytest.approx(0.18973466, abs=2e-4)
    # The constant differs between herds: its error is enlarged for 14 of 15 being left.
    assert found["Intercept"]["error"] == pytest.approx(0.23247 * (15 / 14) ** 0.5, rel=1e-4)
    assert found["Intercept"]["df"] == 14 and np.isinf(found["period = 2"]["df"])
    assert found["period = 2"]["error"] == pytest.approx(0.30664, rel=1e-4)


def test_terms_are_those_of_statsmodels() -> None:
    rows = items().assign(right=lambda own: own["correct"].astype(float))
    own = smf.ols("fertility ~ nasca * script", rows).fit(cov_type="HC3", use_t=True)
    found = regress(rows, "fertility ~ nasca * script", standardise=False)
    assert found["term"].tolist() == ["Intercept", "nasca", "script = latn", "nasca:script = latn"]
    order = ["Intercept", "nasca", "script[T.latn]", "nasca:script[T.latn]"]
    assert found["estimate"].tolist() == pytest.approx(own.params[order].tolist())
    assert found["p"].tolist() == pytest.approx(own.pvalues[order].tolist())
    assert found["low"].tolist() == pytest.approx(own.conf_int().loc[order, 0].tolist())
    assert found["r2_marginal"].tolist() == pytest.approx([own.rsquared] * 4)
    logit = smf.logit("right ~ nasca + fertility", rows).fit(disp=False)
    found = regress(rows, "right ~ nasca + fertility", standardise=False, errors="classical")
    assert found["estimate"].tolist() == pytest.approx(logit.params.tolist())
    assert found["p"].tolist() == pytest.approx(logit.pvalues.tolist(), rel=1e-4)
    assert found["test"].iloc[0] == "logistic regression, the model's own errors, z"


def test_standardised_is_the_plain_coefficient_times_the_spread() -> None:
    rows = items()
    plain, scaled = (
        lines(regress(rows, "correct ~ nasca + (1 | language)", standardise=one))["nasca"]
        for one in (False, True)
    )
    spread = rows["nasca"].std()
    assert scaled["estimate"] == pytest.approx(plain["estimate"] * spread, rel=1e-4)
    assert scaled["p"] == pytest.approx(plain["p"], rel=1e-3)
    assert scaled["scale"] == (
        f"log odds of correct per standard deviation of nasca ({spread:.3g})"
    )


def test_0_and_1_as_numbers_are_percentage_points() -> None:
    rows = items()
    table = lines(regress(rows, "correct ~ fertility | language", outcome="gaussian"))
    by_hand = smf.ols("right ~ z + C(language)", rows.assign(
        right=rows["correct"].astype(float),
        z=(rows["fertility"] - rows["fertility"].mean()) / rows["fertility"].std(),
    )).fit(cov_type="HC3", use_t=True)  # fmt: skip
    row = table["fertility"]
    assert row["estimate"] == pytest.approx(100 * by_hand.params["z"])
    assert row["p"] == pytest.approx(by_hand.pvalues["z"])
    assert row["reading"] == (
        f"1 standard deviation more fertility goes with {row['estimate']:.1f} points more right "
        f"answers [{row['low']:+.1f}, {row['high']:+.1f}], language being alike"
    )
    assert "constant of its own" in table["Intercept"]["note"]


def test_all_terms_of_a_call_are_corrected_together_and_constants_are_not() -> None:
    rows = pd.concat([items(seed=seed).assign(model=f"m{seed}") for seed in range(3)])
    table = regress(rows, "correct ~ nasca + fertility", cluster="language", by=["model"])
    assert table["model"].tolist() == [f"m{seed}" for seed in range(3) for _ in range(3)]
    constants = table["term"] == "Intercept"
    assert table.loc[constants, "p"].notna().all()
    assert table.loc[constants, "p_corrected"].isna().all()
    assert (table["correction"] == "holm over 6").all()
    asked = table[~constants]
    first = asked["p"].idxmin()
    assert asked.loc[first, "p_corrected"] == pytest.approx(6 * asked.loc[first, "p"])
    one = regress(rows[rows["model"] == "m1"], "correct ~ nasca + fertility", cluster="language")
    own = table[table["model"] == "m1"]
    assert own["estimate"].tolist() == pytest.approx(one["estimate"].tolist())
    levels = regress(rows, "correct ~ 0 + script", correction="none")
    assert levels["p_corrected"].isna().all() and levels["p"].notna().all()


def test_a_term_of_languages_is_told_apart_from_one_of_items() -> None:
    rows = items()
    alone = lines(regress(rows, "correct ~ nasca + fertility"))
    warned = alone["nasca"]["note"]
    assert "does not vary within language (11 levels)" in warned
    assert "takes 880 rows for independent ones: add (1 | language), or cluster=" in warned
    assert not alone["fertility"]["note"]
    mixed = lines(regress(rows, "correct ~ nasca + fertility + (1 | language)"))
    assert mixed["nasca"]["df"] == 9 and np.isinf(mixed["fertility"]["df"])
    assert mixed["nasca"]["note"] == ("11 levels of language are few: t with 9 degrees of freedom")
    assert mixed["nasca"]["groups"] == 11 and np.isnan(mixed["fertility"]["groups"])
    assert mixed["nasca"]["reading"].endswith("compared between 11 levels of language")
    assert mixed["nasca"]["error"] > 1.3 * alone["nasca"]["error"]
    row = mixed["nasca"]
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["t"]), 9))
    assert row["high"] - row["estimate"] == pytest.approx(stats.t.ppf(0.975, 9) * row["error"])
    clustered = lines(regress(rows, "correct ~ nasca + fertility", cluster="language"))
    assert 1 < clustered["nasca"]["df"] < 9 and "are few" in clustered["fertility"]["note"]
    several = _of_models(rows)
    crossed = lines(regress(several, "correct ~ nasca + (1 | language) + (1 | model)"))
    assert "within language:model (33 levels)" in crossed["nasca"]["note"]
    known = "correct ~ nasca + (1 | language) + (1 | model) + (1 | language:model)"
    assert "takes" not in lines(regress(several, known))["nasca"]["note"]


def _of_models(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of three models, `nasca` of model and language."""
    random = np.random.default_rng(7)
    found = []
    for model in "abc":
        shift = {one: random.normal() for one in rows["language"].unique()}
        found.append(rows.assign(model=model, nasca=rows["nasca"] + rows["language"].map(shift)))
    return pd.concat(found)


def test_what_is_crossed_is_read_as_a_change_of_a_change() -> None:
    found = lines(regress(items(), "correct ~ nasca * script + fertility", outcome="gaussian"))
    assert ", where script is cyrl, fertility being alike" in found["nasca"]["reading"]
    assert found["script = latn"]["reading"].startswith("script = latn rather than cyrl goes with")
    assert "where nasca is at its mean" in found["script = latn"]["reading"]
    both = found["nasca:script = latn"]
    assert both["reading"].startswith(
        "With script = latn rather than cyrl, what goes with 1 standard deviation more nasca is "
    )
    assert both["reading"].endswith("; it is not told from none") == (both["p_corrected"] >= 0.05)
    assert both["p_corrected"] >= 0.05
    assert both["scale"].endswith("and script = latn less cyrl")


def test_odds_are_read_as_times_and_about_as_points() -> None:
    rows = items(languages=40)
    found = lines(regress(rows, "correct ~ fertility + (1 | language)"))["fertility"]
    ratio, low, high = np.exp([found["estimate"], found["low"], found["high"]])
    assert found["reading"].startswith(
        "1 standard deviation more fertility goes with odds of a right answer "
        f"{ratio:.3g} times as high [{low:.3g}, {high:.3g}], about +"
    )
    about = float(found["reading"].partition("about ")[2].partition(" points")[0])
    points = lines(regress(rows, "correct ~ fertility + (1 | language)", outcome="gaussian"))
    # Logistic and linear answers agree where chances are neither small nor large.
    assert about == pytest.approx(points["fertility"]["estimate"], abs=1.0)


@pytest.mark.parametrize(
    ("formula", "change", "said"),
    [
        ("correct ~ fertility + (1 | two)", {}, "two has 2 levels, and a random intercept needs"),
        ("correct ~ fertility + (1 | one)", {}, "one has 1 level, and a random intercept needs"),
        ("correct ~ fertility + (1 | row)", {}, "every row is a level of row of its own"),
        ("correct ~ fertility + (1 | language) + (1 | again)", {}, "group the rows alike"),
        ("correct ~ fertility + double", {}, "the terms determine one another"),
        ("correct ~ told", {}, "separated by the covariates"),
        ("correct ~ told + (1 | language)", {}, "separated by the covariates"),
        ("ones ~ fertility", {}, "the outcome has the same value in every row"),
        ("correct ~ empty + (1 | language)", {}, "no row has all values; 880 rows without a value"),
        ("fertility ~ nasca", {"cluster": "two"}, "errors by cluster need at least 3"),
        ("double ~ fertility", {}, "explain every row exactly"),
        ("double ~ fertility + (1 | language)", {}, "explain every row exactly"),
        ("ones ~ fertility | language", {"outcome": "binary"}, "no level has both outcomes"),
        ("correct ~ ones", {"errors": "robust"}, ""),
    ],
)
def test_what_cannot_be_fitted_has_its_reason_in_every_row(
    formula: str, change: dict[str, str], said: str
) -> None:
    rows = items().assign(
        one="a", ones=1.0, empty=np.nan, again=lambda own: own["language"] + "_",
        two=lambda own: np.where(own["language"] < "l05", "a", "b"),
        row=lambda own: own["language"] + own["item"],
        double=lambda own: 2 * own["fertility"],
        told=lambda own: own["correct"] + 0.1 * own["fertility"].rank(pct=True),
    )  # fmt: skip
    table = regress(rows, formula, **change)  # type: ignore[arg-type]
    if said:
        assert table["estimate"].isna().all() and table["p"].isna().all()
        assert table["note"].str.contains(said).all()
        assert table["reading"].str.startswith("Nothing is known of").all()
    else:
        assert "the same value in every row" in lines(table)["ones"]["note"]
        assert np.isfinite(lines(table)["Intercept"]["estimate"])


def test_a_hopeless_group_does_not_stop_the_others() -> None:
    rows = pd.concat([items().assign(model="a"), items().assign(model="b", fertility=np.nan)])
    table = regress(rows, "correct ~ fertility + (1 | language)", by=["model"])
    assert table["model"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table.loc[table["model"] == "b", "estimate"].isna().all()
    assert (table["correction"] == "holm over 1").all()


def test_singular_fits_are_said_and_keep_few_degrees_of_freedom() -> None:
    rows = items()
    flat = rows.assign(
        y=rows["fertility"] - rows.groupby("language")["fertility"].transform("mean")
    )
    found = lines(regress(flat, "y ~ nasca + (1 | language)"))
    assert "a singular fit" in found["nasca"]["note"] and found["nasca"]["df"] == 9
    assert found["language"]["estimate"] == 0


def test_rows_that_are_left_out_copied_or_of_one_outcome_are_said() -> None:
    rows = items()
    rows.loc[[3, 9, 11], "fertility"] = [np.nan, np.inf, np.nan]
    table = regress(rows, "correct ~ fertility + (1 | language)")
    assert table["note"].str.contains("3 rows without a value left out").all()
    assert (table["n"] == 877).all()
    twice = regress(pd.concat([rows, rows.iloc[:5]]), "correct ~ fertility + (1 | language)")
    assert twice["note"].str.contains("5 rows are copies of others").all()
    flat = rows.assign(correct=rows["correct"] | (rows["language"] == "l03"))
    found = lines(regress(flat, "correct ~ fertility | language", cluster="item"))["fertility"]
    assert "80 rows left out whose level has one outcome only (1 of language)" in found["note"]
    assert found["n"] == 797 and found["test"].endswith("cluster-robust errors (CR1), t")
    few = rows.assign(correct=np.arange(len(rows)) % 100 == 0)
    found = lines(regress(few, "correct ~ fertility"))["fertility"]
    assert "9 rows have the rarer outcome, few for 2 terms" in found["note"]
    assert (
        "have 11 rows (median), few for a constant each"
        in lines(regress(rows, "correct ~ fertility | item"))["fertility"]["note"]
    )


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ("correct ~ fertility", {"errors": "cluster"}, "needs cluster="),
        ("correct ~ fertility", {"errors": "robust", "cluster": "item"}, "is for errors='cluster'"),
        ("correct ~ fertility", {"errors": "HC1"}, "no errors are called 'HC1'"),
        ("correct ~ fertility", {"outcome": "logit"}, "no outcome is called 'logit'"),
        ("correct ~ fertility", {"correction": "bonferroni"}, "no correction is called"),
        ("fertility ~ nasca", {"outcome": "binary"}, "needs 0 and 1, or true and false"),
        ("correct ~ fertility + (1 | item)", {"cluster": "item"}, "come from those terms"),
        ("correct ~ fertility + (1 | item) | language", {}, "choose one of them"),
        ("correct ~ fertility", {"cluster": "lang"}, "no column lang"),
        ("correct ~ fertility", {"by": ["model"]}, "no column model"),
    ],
)
def test_contradictions_are_one_sentence(formula: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        regress(items(), formula, **options)  # type: ignore[arg-type]


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no rows"):
        regress(items().iloc[:0], "correct ~ fertility")


def test_clusters_may_be_crossed_columns() -> None:
    rows = _of_models(items())
    pair = rows.assign(pair=rows["language"] + rows["model"])
    both = [regress(pair, "correct ~ nasca", cluster=one) for one in ("language:model", "pair")]
    assert both[0]["error"].tolist() == pytest.approx(both[1]["error"].tolist())
    assert both[0]["groups"].tolist() == [33.0] * 2

"""Correlations asked of tidy rows: the numbers of scipy, honest intervals, and plain refusals."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.questions.answer import ANSWER
from analysis.questions.coefficient import INTERVALS
from analysis.questions.correlate import compare_correlations, correlate
from analysis.statistics.association import METHODS, Method

# Families as uneven as those of FLORES-200's first languages.
UNEVEN = (40, 15, 12, 8, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1)


def rows(n: int = 12, *, seed: int = 0, **more: object) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    shared = random.normal(size=n)
    frame = pd.DataFrame({"language": [f"l{number:02d}" for number in range(n)]})
    for name in ("x", "z", "y", "w"):
        frame[name] = shared + random.normal(size=n)
    return frame.assign(**more)


def simulated(n: int, *, times: int, rho: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Many samples of two normal columns with a correlation."""
    random = np.random.default_rng(seed)
    x, e = random.normal(size=(2, times, n))
    y = rho * x + np.sqrt(1 - rho**2) * e
    places = np.indices((times, n)).reshape(2, -1)
    return pd.DataFrame(
        {"sample": places[0], "language": places[1], "x": x.ravel(), "y": y.ravel()}
    )


def near(share: float, level: float, times: int, *, below: float = 0.0) -> bool:
    """Whether a share is what a level gives in so many samples, but for one chance in 10,000.

    `below` is how much the method itself is known to be off there.
    """
    return abs(share - level) < 3.9 * np.sqrt(level * (1 - level) / times) + below


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [8, 12, 40])
def test_every_number_is_scipys(method: Method, n: int) -> None:
    frame = rows(n)
    x, y = frame["x"], frame["y"]
    found = correlate(frame, "x", "y", method=method).iloc[0]
    plain = correlate(frame, "x", "y", method=method, p="analytic").iloc[0]
    expected = {
        "pearson": stats.pearsonr(x, y),
        "spearman": stats.spearmanr(x, y),
        "kendall": stats.kendalltau(x, y, method="asymptotic"),
    }[method]
    assert found["estimate"] == pytest.approx(expected.statistic, abs=1e-12)
    assert plain["p"] == pytest.approx(expected.pvalue, abs=1e-12)
    r = expected.statistic
    variance = {"pearson": 1, "spearman": 1 + r**2 / 2, "kendall": 0.437 * (n - 3) / (n - 4)}
    half = stats.norm.ppf(0.975) * np.sqrt(variance[method] / (n - 3))
    ends = np.tanh(np.arctanh(r) + np.array([-half, half]))
    assert (found["low"], found["high"]) == pytest.approx(ends)
    if method == "kendall" and n <= 33:
        exact = stats.kendalltau(x, y, method="exact").pvalue
        assert found["p"] == pytest.approx(exact) and "exact" in found["test"]
    elif n > 8:
        assert found["p"] == plain["p"]
    else:
        assert "exact over all orders" in found["test"]
    assert (found["n"], found["note"]) == (n, "")


def test_the_table_has_the_columns_of_every_answer_and_corrects_as_a_whole() -> None:
    frame = pd.concat([rows(seed=1, model="a"), rows(seed=2, model="b")])
    found = correlate(frame, ["x", "z"], "y", by=("model",), correction="holm")
    assert list(found.columns) == ["model", "x", "y", *ANSWER, "interval", "t", "df"]
    assert found[["model", "x"]].to_numpy().tolist() == [
        *([model, "x"] for model in "ab"),
        *([model, "z"] for model in "ab"),
    ]
    assert set(found["correction"]) == {"holm over 4"}
    assert (found["p_corrected"] >= found["p"]).all() and found["p_corrected"].max() <= 1
    assert set(correlate(frame, "x", "y", by=("model",), correction="none")["correction"]) == {
        "none"
    }


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_a_partial_correlation_has_the_regressions_p(method: Method) -> None:
    frame = rows(25)
    found = correlate(frame, "x", "y", given=("z", "w"), method=method).iloc[0]
    ranked = frame.rank(numeric_only=True) if method == "spearman" else frame
    columns = ranked[["x", "y", "z", "w"]].to_numpy(float)
    inverse = np.linalg.inv(np.corrcoef(columns.T))
    r = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert found["estimate"] == pytest.approx(r)
    t = r * np.sqrt(21 / (1 - r**2))
    assert (found["t"], found["df"]) == pytest.approx((t, 21))
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(t), 21))
    spread = 1 + (r**2 / 2 if method == "spearman" else 0)
    half = stats.norm.ppf(0.975) * np.sqrt(spread / 20)
    assert found["low"] == pytest.approx(np.tanh(np.arctanh(r) - half))
    shuffled = correlate(frame, "x", "y", given=("z", "w"), method=method, p="permutation")
    draws = 4 * np.sqrt(found["p"] / 9999) + 0.01
    assert abs(shuffled["p"].iloc[0] - found["p"]) < draws


@pytest.mark.long
@pytest.mark.parametrize(("n", "method"), list(product([11, 14, 100], METHODS)))
def test_intervals_hold_the_truth_as_often_as_they_say(n: int, method: Method) -> None:
    times = 300
    # Fieller's interval of few units holds a little less (92.7 % of 1,000 samples of 11).
    below = 0.02 if method == "kendall" and n < 20 else 0.0
    for rho in (0.0, 0.6):
        found = correlate(
            simulated(n, times=times, rho=rho, seed=n), "x", "y", by=("sample",), method=method
        )
        truth = {
            "pearson": rho,
            "spearman": 6 / np.pi * np.arcsin(rho / 2),
            "kendall": 2 / np.pi * np.arcsin(rho),
        }[method]
        held = ((found["low"] <= truth) & (truth <= found["high"])).mean()
        # Bonett and Wright's is wide where few units have no correlation.
        wide = 0.02 if method == "spearman" and n < 20 else 0.0
        assert near(held, 0.95, times, below=max(below, wide)), (rho, held)
        if not rho:
            assert near((found["p"] < 0.05).mean(), 0.05, times)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_the_bootstrap_holds_the_truth_too(method: Method) -> None:
    times, n = 150, 60
    drawn = simulated(n, times=times, rho=0.6, seed=3)
    found = correlate(
        drawn, "x", "y", by=("sample",), method=method, interval="bootstrap", draws=599
    )
    truth = {
        "pearson": 0.6,
        "spearman": 6 / np.pi * np.arcsin(0.3),
        "kendall": 2 / np.pi * np.arcsin(0.6),
    }[method]
    held = ((found["low"] <= truth) & (truth <= found["high"])).mean()
    assert near(held, 0.95, times, below=0.02), held
    assert (found["note"] == "").all()


@pytest.mark.long
@pytest.mark.parametrize("p", ["permutation", "auto"])
@pytest.mark.parametrize("n", [7, 11])
def test_tests_of_skewed_columns_are_as_strict_as_they_say(p: str, n: int) -> None:
    times = 300
    drawn = simulated(n, times=times, seed=5)
    drawn[["x", "y"]] = np.exp(drawn[["x", "y"]])
    found = correlate(drawn, "x", "y", by=("sample",), p=p, method="spearman", draws=199)  # type: ignore[arg-type]
    assert near((found["p"] < 0.05).mean(), 0.05, times)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [UNEVEN, (4, 2, 2, 1, 1, 1), (4, 3, 2, 1, 1, 1, 1, 1)])
def test_families_that_are_alike_are_not_taken_for_independent(
    method: Method, sizes: tuple[int, ...]
) -> None:
    times, random = 200, np.random.default_rng(11)
    family = np.repeat(np.arange(len(sizes)), sizes)
    n = len(family)
    drawn = np.sqrt(0.7) * random.normal(size=(2, times, len(sizes)))[..., family]
    drawn += np.sqrt(0.3) * random.normal(size=(2, times, n))
    frame = pd.DataFrame(
        {
            "sample": np.repeat(np.arange(times), n),
            "language": np.tile(np.arange(n), times),
            "family": np.tile(family, times),
            "x": drawn[0].ravel(),
            "y": drawn[1].ravel(),
        }
    )
    found = correlate(frame, "x", "y", by=("sample",), method=method, cluster="family")
    known = found[found["p"].notna()]
    assert len(known) >= 0.97 * times
    # The jackknife errs a little to both sides with few or uneven families.
    assert near((known["p"] < 0.05).mean(), 0.05, len(known), below=0.015)
    held = ((known["low"] <= 0) & (known["high"] >= 0)).mean()
    assert near(held, 0.95, len(known), below=0.015)
    if n == 100 and method == "pearson":
        few = frame[frame["sample"] < 60]
        drawn = correlate(
            few, "x", "y", by=("sample",), cluster="family", interval="bootstrap", draws=199
        )
        inside = ((drawn["low"] <= 0) & (drawn["high"] >= 0)).mean()
        assert near(inside, 0.95, 60, below=0.015)
        naive = correlate(frame, "x", "y", by=("sample",), method=method)
        assert (naive["p"] < 0.05).mean() > 0.3
    assert set(found["clusters"]) == {len(sizes)}


def test_with_a_family_for_every_language_nothing_is_lost() -> None:
    frame = rows(40, family=[f"f{number}" for number in range(40)])
    alone = correlate(frame, "x", "y").iloc[0]
    found = correlate(frame, "x", "y", cluster="family").iloc[0]
    assert found["estimate"] == alone["estimate"] and found["clusters"] == 40
    assert found["high"] - found["low"] == pytest.approx(alone["high"] - alone["low"], rel=0.25)
    drawn = correlate(frame, "x", "y", cluster="family", interval="bootstrap", draws=999).iloc[0]
    assert drawn["high"] - drawn["low"] == pytest.approx(found["high"] - found["low"], rel=0.25)
    assert drawn["interval"] == "symmetric bootstrap-t over each family, 999 draws"


def test_a_permutation_within_families_says_what_it_is_of() -> None:
    frame = rows(30, family=np.repeat(["a", "b", "c", "d", "e"], 6))
    found = correlate(frame, "x", "y", cluster="family", p="permutation", draws=499).iloc[0]
    assert "within each family" in found["test"] and "within each family" in found["note"]


@pytest.mark.parametrize("interval", INTERVALS)
def test_two_columns_are_compared_with_one_or_each_with_its_own(interval: str) -> None:
    frame = rows(60)
    frame["better"] = frame["y"] + 0.1 * frame["x"]
    shared = compare_correlations(frame, "better", "z", "y", interval=interval, draws=999).iloc[0]  # type: ignore[arg-type]
    assert shared["estimate"] == pytest.approx(shared["first_r"] - shared["second_r"])
    assert shared["first_r"] == pytest.approx(stats.pearsonr(frame["better"], frame["y"])[0])
    assert shared["p"] < 1e-6 and 0 < shared["low"] < shared["estimate"] < shared["high"]
    assert shared["df"] == 57 and "Williams" in shared["test"]
    apart = compare_correlations(
        frame, "x", "z", "y", y2="w", interval=interval, method="spearman", draws=999
    ).iloc[0]  # type: ignore[arg-type]
    assert apart["second_r"] == pytest.approx(stats.spearmanr(frame["z"], frame["w"])[0])
    assert "jackknife over each language" in apart["test"] and apart["y2"] == "w"
    assert apart["low"] < apart["estimate"] < apart["high"]
    normal = compare_correlations(frame, "x", "z", "y", y2="w", interval=interval, draws=99)  # type: ignore[arg-type]
    assert "Steiger" in normal["test"].iloc[0] and np.isnan(normal["df"].iloc[0])


@pytest.mark.long
@pytest.mark.parametrize("n", [11, 14, 100])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("apart", [False, True])
def test_equal_correlations_are_seldom_said_to_differ(n: int, method: Method, apart: bool) -> None:
    times, random = 200 if method == "pearson" else 100, np.random.default_rng(n)
    # Correlations of 0.86, as between alignment and accuracy.
    y = random.normal(size=(times, n, 1))
    drawn = y + 0.4 * random.normal(size=(times, n, 3))
    values = np.concatenate([drawn, y], axis=2).reshape(-1, 4)
    frame = pd.DataFrame(values, columns=["first", "second", "y2", "y"]).assign(
        sample=np.repeat(np.arange(times), n), language=np.tile(np.arange(n), times)
    )
    if apart:
        # Both halves of the four are alike, so that the correlations are equal.
        frame["y"] = values[:, 3] + 0.4 * random.normal(size=times * n)
    found = compare_correlations(
        frame, "first", "second", "y", y2="y2" if apart else None, by=("sample",), method=method
    )
    known = found[found["p"].notna()]
    assert len(known) >= 0.85 * times
    rejected = (known["p"] < 0.05).mean()
    held = ((known["low"] <= 0) & (known["high"] >= 0)).mean()
    if method == "pearson":
        assert near(rejected, 0.05, times) and near(held, 0.95, times)
    # Of few ranks the jackknife errs to the safe side.
    room = 3.9 * np.sqrt(0.05 * 0.95 / times)
    assert rejected < 0.05 + room and held > 0.95 - room


def test_a_comparison_knows_families() -> None:
    family = np.repeat(np.arange(10), 6)
    frame = rows(60, family=family)
    found = compare_correlations(frame, "x", "z", "y", cluster="family").iloc[0]

    def apart(rest: pd.DataFrame) -> float:
        found = np.arctanh(rest[["x", "z", "y"]].corr().to_numpy()[:2, 2])
        return float(found[0] - found[1])

    differences = [apart(frame[frame["family"] != one]) for one in range(10)]
    error = np.sqrt(9 / 10 * ((np.array(differences) - apart(frame)) ** 2).sum())
    assert found["t"] == pytest.approx(apart(frame) / error)
    assert (found["clusters"], found["df"]) == (10, 9)
    assert found["low"] < found["estimate"] < found["high"]
    drawn = compare_correlations(
        frame, "x", "z", "y", cluster="family", interval="bootstrap", draws=199
    ).iloc[0]
    assert drawn["p"] == found["p"] and drawn["low"] < drawn["estimate"] < drawn["high"]


def test_the_undefined_is_a_row_with_its_reason() -> None:
    def note(frame: pd.DataFrame, **asked: object) -> str:
        found = correlate(frame, "x", "y", **asked)  # type: ignore[arg-type]
        assert found[["estimate", "low", "high", "p"]].isna().any(axis=None)
        return str(found["note"].iloc[0])

    assert note(rows(1)) == "undefined: 1 language, at least 3 are needed"
    assert note(rows(9, x=0.5)) == "undefined: x is the same in all 9 languages"
    assert "at least 4 languages" in note(rows(3))
    assert note(rows(9).assign(y=lambda held: 2 * held["x"])).startswith("no interval: the points")
    assert "leaves nothing to correlate" in note(rows(9).assign(v=lambda r: r["x"]), given=("v",))
    few = rows(9, family=["a"] * 6 + ["b"] * 3)
    assert note(few, cluster="family") == "undefined: 2 values of family, at least 4 are needed"
    gaps = rows(9)
    gaps.loc[:2, "x"] = [np.nan, np.inf, np.nan]
    found = correlate(gaps, "x", "y").iloc[0]
    assert (found["n"], found["note"]) == (6, "3 rows without a value left out")
    same = compare_correlations(rows(9).assign(v=lambda r: -r["x"]), "x", "v", "y").iloc[0]
    assert np.isnan(same["p"]) and "perfectly" in same["note"]
    assert "drawn from 12" in correlate(rows(), "x", "y", interval="bootstrap")["note"].iloc[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"x": "q"}, r"no column q \(asked for\); they have language, x"),
        ({"by": ("model",)}, "no column model"),
        ({"cluster": "family"}, "no column family"),
        ({"unit": ("script",)}, "no column script"),
        ({"unit": ()}, "no column names the unit"),
        ({"method": "phi"}, "no method is called 'phi'; choose one of pearson, spearman, kendall"),
        ({"interval": "wald"}, "no interval is called 'wald'"),
        ({"p": "z"}, "no p is called 'z'; choose one of auto, analytic"),
        ({"p": "exact"}, "orders of at most 8 languages, and there are 12: choose permutation"),
        ({"p": "exact", "given": ("z",)}, "leave given and cluster out"),
        ({"method": "kendall", "given": ("z",)}, "partial tau is not known"),
        ({"draws": 5}, "draws is 5: at least 99"),
        ({"correction": "bonferroni"}, "no correction is called 'bonferroni'"),
        ({"x": "text"}, "column text holds 'high'"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked: dict[str, object], said: str) -> None:
    frame = rows(text="high")
    with pytest.raises(ValueError, match=said):
        correlate(frame, **({"x": "x", "y": "y"} | asked))  # type: ignore[arg-type]


def test_rows_that_are_no_units_are_refused() -> None:
    twice = pd.concat([rows(pooling="weighted"), rows(pooling="last")])
    with pytest.raises(ValueError, match=r"24 rows share their language .*differ in pooling: add"):
        correlate(twice, "x", "y")
    assert len(correlate(twice, "x", "y", by=("pooling",))) == 2
    with pytest.raises(ValueError, match="there are no rows"):
        correlate(rows().iloc[:0], "x", "y")
    with pytest.raises(ValueError, match="are not all different"):
        compare_correlations(rows(), "x", "x", "y")
    with pytest.raises(ValueError, match=r"tau of 1001 languages .*1000 are the most"):
        correlate(
            rows(1001).assign(language=range(1001)), "x", "y", method="kendall", p="permutation"
        )

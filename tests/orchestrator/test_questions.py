"""`compare` and `regress`: flags become questions, answers become tables, CSV, LaTeX and JSON."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import questions as asked_in_python
from analysis.questions import items, languages
from tests.makers import world
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

SCORES = planted(3)
ACCURACIES = follow(SCORES, slope=0.5, start=0.2, noise=0.05, seed=3)
BETTER = follow(SCORES, slope=0.5, start=0.3, noise=0.05, seed=4)
FERTILITY = {language: 1 + place / 10 for place, language in enumerate(SCORES)}
BENCHMARKS = ("belebele", "xcopa")
COMPARED = ("--condition", "model", "--before", "m/one")
SCHEMES = ("--condition", "scheme", "--before", "plain", "--value", "accuracy")
SCHEMES += ("--by", "size")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two models on two benchmarks with the scores of one pooling."""
    rows = [
        item_rows(model, accuracies=own, benchmark=benchmark, n=20)
        for model, own in (("m/one", ACCURACIES), ("m/two", BETTER))
        for benchmark in BENCHMARKS
    ]
    alignment = [
        alignment_rows(model, scores=SCORES, fertility=FERTILITY) for model in ("m/one", "m/two")
    ]
    folder = tmp_path_factory.mktemp("store") / "run"
    return str(write_run(folder, items=pd.concat(rows), alignment=pd.concat(alignment)))


@pytest.fixture
def scores(tmp_path: Path) -> pd.DataFrame:
    """A table of one's own beside the test: two sizes, three schemes, eight languages.

    Of the size 1 a scheme has nothing to compare in.
    """
    random = np.random.default_rng(2)
    rows = pd.DataFrame(
        [
            (size, code, scheme, step, scheme != "plain", 50 + gain + random.normal())
            for size in (1, 7)
            for code in "abcdefgh"
            for step, (scheme, gain) in enumerate((("plain", 0), ("clas", 2), ("int_mu", 0)))
            if not (size == 1 and scheme == "int_mu")
        ],
        columns=["size", "language", "scheme", "step", "changed", "accuracy"],
    )
    rows.to_csv(tmp_path / "scores.csv", index=False)
    return rows


def ask(
    *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> tuple[str, str]:
    """What a command writes to people and scripts, and beside it."""
    assert world.run(*words, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    return printed.out, printed.err


def refused(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    """The sentence with which a command refuses."""
    assert world.run(*words, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    error = printed.err.strip()
    assert error.startswith("error: ") and "\n" not in error and not printed.out
    return error


def csv(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_runs_are_compared_over_items_benchmarks_apart(run, monkeypatch, capsys):
    out, err = ask(
        "compare", run, *COMPARED, "--format", "csv", monkeypatch=monkeypatch, capsys=capsys
    )
    found = csv(out)
    expected = asked_in_python.compare(
        items(run), "correct", condition="model", before="m/one", unit=("language", "item"),
        by=("benchmark", "prompt"), test="clustered t",
    )  # fmt: skip
    # The prompts are named after their benchmarks, so both tell the questions apart.
    assert list(found["benchmark"]) == list(BENCHMARKS) and set(found["test"]) == {"clustered t"}
    assert list(found["after"]) == ["m/two"] * 2
    for name in ("estimate", "low", "high", "p", "p_corrected"):
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(float))
    assert not err


def test_languages_and_where_make_other_rows(run, monkeypatch, capsys):
    out, _ = ask(
        "compare", run, *COMPARED, "--of", "languages", "--where", "benchmark == 'xcopa'",
        "--format", "csv", monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    (row,) = csv(out).to_dict("records")
    rows = languages(run)
    rows = rows[rows["benchmark"] == "xcopa"].pivot(
        index="language", columns="model", values="accuracy"
    )
    direct = stats.ttest_rel(rows["m/two"], rows["m/one"])
    assert (row["test"], row["n"]) == ("paired t", 13)
    assert (row["t"], row["p"]) == pytest.approx((direct.statistic, direct.pvalue))


def test_a_table_of_ones_own_has_its_tests_in_one_corrected_table(
    scores, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    out, _ = ask(
        "compare", "scores.csv", *SCHEMES, "--test", "paired-t,wilcoxon", "--test", "equivalence",
        "--margin", "1.5", "--format", "csv", monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    found = csv(out)
    assert len(found) == 3 * 3 and set(found["test"]) == {"paired t", "wilcoxon", "equivalence"}
    wide = scores.pivot(index=["size", "language"], columns="scheme", values="accuracy")
    direct = stats.ttest_rel(wide.loc[7]["clas"], wide.loc[7]["plain"]).pvalue
    own = found.set_index(["size", "after", "test"])
    assert own.loc[(7, "clas", "paired t"), "p"] == pytest.approx(direct)
    known = found.dropna(subset=["p"])
    asked_in_python.correct(known)
    assert known["p_corrected"].to_numpy() == pytest.approx(
        asked_in_python.correct(known[["p"]].reset_index(drop=True))["p_corrected"].to_numpy()
    )
    plain, _ = ask(
        "compare", "scores.csv", *SCHEMES, "--correction", "none", "--format", "csv",
        monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    assert csv(plain)["correction"].unique().tolist() == ["none"]


def test_values_of_a_condition_are_numbers_truths_and_nothing(
    scores, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    common = ("--value", "accuracy", "--unit", "language", "--where", "size == 7")
    common += ("--format", "csv")

    def p(*words: str, of: str = "scores.csv") -> float:
        out, _ = ask("compare", of, *common, *words, monkeypatch=monkeypatch, capsys=capsys)
        return csv(out).loc[0, "p"]

    by_name = p("--condition", "scheme", "--before", "plain", "--after", "clas")
    assert p("--condition", "step", "--before", "0", "--after", "1.0") == by_name
    few = scores[scores["scheme"] != "int_mu"]
    few.to_csv("few.csv", index=False)
    assert p("--condition", "changed", "--before", "false", of="few.csv") == by_name
    bare = scores.assign(step=scores["step"].where(scores["step"] > 0))
    bare.to_csv("bare.csv", index=False)
    assert p("--condition", "step", "--after", "1", of="bare.csv") == by_name
    assert p("--condition", "step", "--before=none", "--after", "1", of="bare.csv") == by_name


def test_json_has_null_where_there_is_no_number_and_the_digits_of_p(
    scores, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    one = scores[scores["language"] == "a"]
    one.to_csv("one.csv", index=False)
    out, _ = ask(
        "compare", "one.csv", *SCHEMES, "--format", "json", monkeypatch=monkeypatch, capsys=capsys
    )

    def none(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    rows = json.loads(out, parse_constant=none)
    assert [row["n"] for row in rows] == [1, 1, 1]
    assert all(row["p"] is None and row["note"].startswith("no ") for row in rows)
    # A p far below any power of ten that is printed by default is there in full.
    steep = scores.assign(
        accuracy=scores["step"] * 50 + scores["language"].map(ord) + scores["accuracy"] / 1e6
    )
    steep.to_csv("steep.csv", index=False)
    out, _ = ask(
        "compare", "steep.csv", *SCHEMES, "--format", "json", monkeypatch=monkeypatch, capsys=capsys
    )
    wide = steep.pivot(index=["size", "language"], columns="scheme", values="accuracy").loc[1]
    direct = stats.ttest_rel(wide["clas"], wide["plain"]).pvalue
    assert 0 < direct < 1e-20
    assert json.loads(out, parse_constant=none)[0]["p"] == pytest.approx(direct, rel=1e-6)


def test_files_are_written_in_the_format_of_their_name(scores, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts = {}
    for name in ("new/a.csv", "new/b[1].tex", "new/c.json", "new/d.txt"):
        out, _ = ask(
            "compare", "scores.csv", *SCHEMES, "--out", name, monkeypatch=monkeypatch, capsys=capsys
        )
        assert out == f"answer: {name} (3 rows)\n"
        texts[name] = Path(name).read_text(encoding="utf-8")
    assert texts["new/a.csv"] == texts["new/d.txt"] and len(csv(texts["new/a.csv"])) == 3
    assert len(json.loads(texts["new/c.json"])) == 3
    assert texts["new/b[1].tex"].count(r"\\") == 4 and r"int\_mu" in texts["new/b[1].tex"]
    assert "nan" not in texts["new/b[1].tex"].casefold()
    ask(
        "compare", "scores.csv", *SCHEMES, "--format", "latex", "--out", "e.csv",
        monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    assert Path("e.csv").read_text(encoding="utf-8") == texts["new/b[1].tex"]
    error = refused(
        "compare", "scores.csv", *SCHEMES, "--out", "new", monkeypatch=monkeypatch, capsys=capsys
    )
    assert "new" in error


def test_people_read_a_table_and_each_sentence_once(scores, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out, _ = ask("compare", "scores.csv", *SCHEMES, monkeypatch=monkeypatch, capsys=capsys)
    assert "nan" not in out and out.count("test: paired t") == 1
    assert out.count("corrected: ") == out.count("assumes: ") == 1
    assert all(name in out for name in ("int_mu", "p_corrected", "estimate"))
    out, _ = ask(
        "regress", "scores.csv", "--formula", "accuracy ~ scheme + size", "--cluster", "language",
        monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    rows = asked_in_python.regress(scores, "accuracy ~ scheme + size", cluster="language")
    assert all(one in " ".join(out.split()) for one in rows["reading"] if one)


def test_a_formula_names_scores_of_languages_beside_their_items(run, monkeypatch, capsys):
    formula = "correct ~ nasca + fertility + (1 | language)"
    where = "benchmark == 'xcopa' and model == 'm/one'"
    out, err = ask(
        "regress", run, "--formula", formula, "--where", where, "--outcome", "gaussian",
        "--format", "csv", monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    found = csv(out)
    rows = items(run)
    rows = rows[(rows["benchmark"] == "xcopa") & (rows["model"] == "m/one")]
    codes = rows["language"].astype(str)
    joined = rows.assign(
        language=codes, nasca=codes.map(SCORES), fertility=codes.map(FERTILITY)
    ).reset_index(drop=True)
    expected = asked_in_python.regress(joined, formula, outcome="gaussian")
    assert found["estimate"].to_numpy() == pytest.approx(expected["estimate"].to_numpy(float))
    assert not err
    _, err = ask(
        "regress", run, "--formula", "correct ~ nasca", "--no-standardise", "--errors", "cluster",
        "--cluster", "language", "--outcome", "gaussian", "--where", "benchmark == 'xcopa'",
        "--format", "csv", monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    assert err.startswith("note: rows that differ in model are fitted together: --by model fits")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nowhere", *COMPARED], "nowhere"),
        (["compare", "nowhere.csv", *SCHEMES], "there is no file"),
        (["compare", "scores.csv", "scores.csv", *SCHEMES], "is given twice"),
        (["compare", "scores.csv", "b.csv", *SCHEMES], "2 tables were named"),
        (["compare", "scores.csv", *SCHEMES, "--test", "anova"], "unknown test 'anova': expected"),
        (["compare", "scores.csv", *SCHEMES, "--test", "wilcoxn"], "did you mean wilcoxon?"),
        (["compare", "scores.csv", *SCHEMES[:4], "--value", "f1"], "no column f1"),
        (["compare", "scores.csv", *SCHEMES[:4], "--before", "x"], "--before is given 2 times"),
        (["compare", "scores.csv", "--condition", "way", "--before", "x"], "no column way"),
        (["compare", "scores.csv", *SCHEMES, "--after", "x"], "no row has scheme='x' (after)"),
        (
            ["compare", "scores.csv", "--condition", "step", "--before", "x"],
            "--before x: expected a number",
        ),
        (
            ["compare", "scores.csv", "--condition", "step", "--before", "nan"],
            "--before nan: expected a number",
        ),
        (["compare", "scores.csv", *SCHEMES, "--where", "size =="], "--where 'size ==' cannot"),
        (["compare", "scores.csv", *SCHEMES, "--where", "@x > 1"], "cannot be read"),
        (["compare", "scores.csv", *SCHEMES, "--where", "size > 9"], "keeps none of 40 rows"),
        (["compare", "scores.csv", *SCHEMES, "--format", "xml"], "unknown format 'xml'"),
        (["compare", "scores.csv", *SCHEMES, "--of", "item"], "did you mean items?"),
        (["compare", "scores.csv", *SCHEMES, "--margin", "1"], "read by the test equivalence"),
        (["compare", "scores.csv", *SCHEMES, "--formula", "a ~ b"], "compare has no flag"),
        (["compare", "scores.csv", "--by", "size,size"], "--by size is given twice"),
        (["compare", "scores.csv", "--unit", "language,"], "has an empty part"),
        (["compare", "scores.csv", "--test", "paired-t", "--test", "paired-t"], "is given twice"),
        (["compare", "scores.csv", "--where", ""], "--where '' is empty"),
        (["regress", "scores.csv", "--formula", ""], "--formula '' is empty"),
        (["regress", "scores.csv"], "no formula given"),
        (["regress", "scores.csv", "--formula", "accuracy"], "accuracy"),
        (["regress", "scores.csv", "--formula", "accuracy ~ nasca"], "nasca"),
        (
            ["regress", "scores.csv", "--formula", "accuracy ~ size", "--cluster", "w"],
            "no column w",
        ),
        (["regress", "scores.csv", "--formula", "accuracy ~ size", "--by", "w"], "no column w"),
        (
            ["regress", "scores.csv", "--formula", "a ~ b", "--errors", "odd"],
            "unknown errors 'odd'",
        ),
    ],
)
@pytest.mark.usefixtures("scores")
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words, monkeypatch=monkeypatch, capsys=capsys)


def test_help_names_flags_defaults_and_an_example(monkeypatch, capsys):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    for command, words in (
        ("compare", ("--condition", "(default: clustered-t of items, else paired-t)")),
        ("regress", ("--formula", "(default: binary where it is 0 or 1)", "--no-standardise")),
    ):
        out, _ = ask(command, "--help", monkeypatch=monkeypatch, capsys=capsys)
        assert f"Example: babelscope {command}" in " ".join(out.split())
        assert all(word in out for word in words)

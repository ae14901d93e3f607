"""The rows of questions: items with the scores of their language, tables, and what is refused."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.questions import items, languages
from analysis.questions.rows import apart, rows_of, words
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run

SCORES = planted(3)
FERTILITY = {language: 1 + place / 10 for place, language in enumerate(SCORES)}
ACCURACIES = follow(SCORES, slope=0.5, start=0.2, noise=0.05, seed=3)
MODELS = ("m/one", "m/two")


def scores(*, shift: float = 0.0, models: tuple[str, ...] = MODELS, **given: object):
    """Scores of models, those of the second half as high."""
    parts = [
        alignment_rows(
            model,
            fertility=FERTILITY,
            measures=("nasca", "mexa"),
            scores={code: value / (1 + place) + shift for code, value in SCORES.items()},
            **given,
        )
        for place, model in enumerate(models)
    ]
    return pd.concat(parts)


def run(folder: Path, *alignment: pd.DataFrame) -> Path:
    answers = pd.concat([item_rows(model, accuracies=ACCURACIES, n=5) for model in MODELS])
    return write_run(folder, items=answers, alignment=pd.concat(alignment))


def test_items_have_the_scores_of_their_models_language(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", scores())
    found = rows_of([folder], needed=["nasca", "fertility", "correct", "nowhere"])
    plain = items(folder)
    pd.testing.assert_frame_equal(found[plain.columns], plain)
    assert list(found.columns) == [*plain.columns, "nasca", "fertility"]
    for row in found.to_dict("records"):
        expected = SCORES.get(row["language"])
        if expected is None:
            # The pivot of the scores has none.
            assert row["language"] == "eng_Latn"
            assert row["nasca"] != row["nasca"] and row["fertility"] != row["fertility"]
            continue
        assert row["nasca"] == pytest.approx(expected / (1 + MODELS.index(row["model"])))
        assert row["fertility"] == pytest.approx(FERTILITY[row["language"]])
    assert list(rows_of([folder]).columns) == list(plain.columns)


def test_of_several_poolings_items_have_the_weighted_and_are_told(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", scores(), scores(shift=0.04, poolings=("last",)))
    found = rows_of([folder], needed=["nasca"])
    own = found[(found["model"] == "m/one") & (found["language"] == "deu_Latn")]
    assert own["nasca"].to_numpy() == pytest.approx(SCORES["deu_Latn"])
    assert found.attrs["notes"] == ["of several poolings the scores are those of weighted"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"pivot": "deu_Latn"}, "pivot"),
        ({"dataset": "tatoeba"}, "dataset"),
        ({"pairs": "all", "n": 1012}, "pairs"),
    ],
)
def test_several_scores_of_a_language_are_refused_by_what_varies(
    tmp_path: Path, more: dict[str, object], named: str
) -> None:
    folder = run(tmp_path / "run", scores(), scores(shift=0.04, **more))
    with pytest.raises(
        ValueError, match=f"^nasca of a language take several values, as {named} vary: name"
    ):
        rows_of([folder], needed=["nasca"])
    assert rows_of([folder], of="languages")[named].nunique() == 2


def test_several_poolings_without_the_weighted_are_refused(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run", scores(poolings=("last",)), scores(shift=0.04, poolings=("average",))
    )
    with pytest.raises(ValueError, match="take several values, as pooling vary"):
        rows_of([folder], needed=["nasca"])


def test_other_rows_and_tables_are_themselves(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", scores())
    pd.testing.assert_frame_equal(rows_of([folder], of="languages"), languages(folder))
    assert len(rows_of([folder], of="cells")) == 2 * 13
    rows_of([folder], of="languages")[["model", "language", "accuracy"]].to_csv(
        tmp_path / "own.csv", index=False
    )
    own = rows_of([tmp_path / "own.csv"], of="items", needed=["nasca"])
    assert list(own.columns) == ["model", "language", "accuracy"] and len(own) == 2 * 13
    kept = rows_of([tmp_path / "own.csv"], where="accuracy > 0.4 and model == 'm/one'")
    assert (kept["accuracy"] > 0.4).all() and set(kept["model"]) == {"m/one"}
    with pytest.raises(ValueError, match="2 tables were named"):
        rows_of([tmp_path / "own.csv", folder])


@pytest.mark.parametrize("where", ["model ==", "nowhere > 1", "accuracy", "@x", "accuracy + 1"])
def test_a_condition_that_is_none_is_refused_with_the_columns(tmp_path: Path, where: str) -> None:
    rows = pd.DataFrame({"language": ["a", "b"], "accuracy": [0.5, 0.25]})
    rows.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(ValueError, match=r"^--where '.*the columns are language, accuracy$"):
        rows_of([tmp_path / "own.csv"], where=where)


def test_names_of_a_formula_and_questions_apart(tmp_path: Path) -> None:
    assert words("correct ~ nasca * C(script) + (1 | model:language)") == [
        "correct", "nasca", "C", "script", "model", "language",
    ]  # fmt: skip
    found = rows_of([run(tmp_path / "run", scores())], of="items")
    assert apart(found, without=[]) == ["model"]
    assert apart(found, without=["model"]) == []

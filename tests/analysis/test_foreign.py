"""Anyone's CSV and Parquet: read as they are, and refused in a sentence where they are unsound."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.questions.foreign import read
from analysis.questions.observed import numeric, refuse_repeated
from tests.makers.analysis_rows import item_rows, write_run

ROWS = pd.DataFrame(
    {
        "model": ["m", "m", "n"],
        "language": ["deu_Latn", "nan_Latn", "NA"],
        "item": ["0007", "0008", "0009"],
        "score": [0.5, None, 1.0],
        "count": [1, 2, 3],
    }
)


def write(path: Path, frame: pd.DataFrame = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "A.CSV"])
def test_a_file_is_its_rows_with_ids_as_texts(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path / name), unit=("model", "language"), numbers=("score", "count"))
    pd.testing.assert_frame_equal(found, ROWS)


def test_a_folder_is_one_table_and_whole_numbers_go_with_others(tmp_path: Path) -> None:
    write(tmp_path / "in/b.csv", ROWS.assign(item=["1", "2", "3"], score=[1, 2, 3]))
    write(tmp_path / "in/a.csv")
    write(tmp_path / "in/deep/c.csv", ROWS.assign(item=["4", "5", "6"], score=None))
    (tmp_path / "in/README.md").write_text("about")
    found = read(tmp_path / "in", unit=("model", "language", "item"))
    assert found["item"].to_list() == ["0007", "0008", "0009", "1", "2", "3", "4", "5", "6"]
    assert found["score"].to_list()[3:6] == [1.0, 2.0, 3.0] and found["score"].isna().sum() == 4
    chosen = read(tmp_path / "in", columns=("score",), unit=("item",))
    assert list(chosen.columns) == ["score", "item"]


def test_texts_are_texts_however_parquet_keeps_them(tmp_path: Path) -> None:
    for place, kind in enumerate((pa.large_string(), pa.dictionary(pa.int32(), pa.string()))):
        table = pa.table({"who": pa.array(["a", "b"], pa.string()).cast(kind), "x": [1, place]})
        pq.write_table(table, tmp_path / f"{place}.parquet")
    found = read(tmp_path)
    assert found["who"].to_list() == ["a", "b", "a", "b"] and found["x"].to_list() == [1, 0, 1, 1]


def test_files_that_differ_are_named_with_the_column(tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv")
    write(tmp_path / "in/b.csv", ROWS.drop(columns="count"))
    with pytest.raises(ValueError, match=r"a\.csv has the columns count and \S+b\.csv lacks them"):
        read(tmp_path / "in")
    assert len(read(tmp_path / "in", columns=("score",))) == 6
    write(tmp_path / "in/b.csv", ROWS.assign(more=1))
    with pytest.raises(ValueError, match=r"b\.csv has the columns more and \S+a\.csv lacks them"):
        read(tmp_path / "in")
    write(tmp_path / "in/b.csv", ROWS.assign(score=["high", "low", "1"]))
    with pytest.raises(
        ValueError, match=r"column score holds numbers in \S+a\.csv and texts in \S+b\.csv"
    ):
        read(tmp_path / "in")


def test_a_unit_that_comes_twice_is_named_with_what_sets_the_rows_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", pd.concat([ROWS, ROWS.assign(item="x")]))
    with pytest.raises(
        ValueError,
        match=r"6 rows share their model and language with another \(such as model m, language "
        r"deu_Latn\), and one row per model and language is expected; they differ in item: add",
    ):
        read(path, unit=("model", "language"))
    same = write(tmp_path / "b.csv", pd.concat([ROWS, ROWS]))
    with pytest.raises(ValueError, match="alike in every other column: drop what repeats"):
        read(same, unit=("item",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"a\.csv is empty: expected a line of column names"),
        ("a,b\n", "there are no rows"),
        ("a,a\n1,2\n", r"a\.csv has several columns called a"),
        ("a,b\n1,2\n1,2,3\n", r"a\.csv cannot be read as CSV: CSV parse error: Row #3: Expected 2"),
        ("score\n0.5\nn/b\n", r"column score holds '0\.5' \(row 0\) and 1 more values that are"),
        ("other\n0.5\n", r"have no column score \(of .*a\.csv\); they have other"),
    ],
)
def test_an_unsound_file_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / "a.csv", numbers=("score",) if "0.5" in text else ())


def test_what_is_no_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*gone\.csv: name a file"):
        read(tmp_path / "gone.csv")
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(ValueError, match=r"a\.xlsx is of a kind that is not read: expected files"):
        read(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=r"holds a\.xlsx: expected files named \*\.csv"):
        read(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match=r"b\.parquet cannot be read as PARQUET"):
        read(tmp_path / "b.parquet")
    write(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"several kinds, \.csv and \.parquet: name one file"):
        read(tmp_path)
    run = write_run(
        tmp_path / "run", record={"study": "s"}, items=item_rows("m", accuracies={"deu_Latn": 1.0})
    )
    with pytest.raises(ValueError, match="run is a run: its rows come from items, cells or"):
        read(run)
    write(tmp_path / "parts/language=deu_Latn/a.parquet")
    with pytest.raises(ValueError, match="lies in a folder that is itself a value"):
        read(tmp_path / "parts")


def test_numbers_are_numbers_and_what_is_not_finite_is_missing() -> None:
    rows = pd.DataFrame(
        {"a": [1.0, float("inf"), None], "b": [True, False, True], "c": [1, 2.5, "3"]}
    )
    assert str(numeric(rows, "a").tolist()) == "[1.0, nan, nan]"
    assert numeric(rows, "b").tolist() == [1, 0, 1]
    counts = pd.DataFrame({"a": pd.array([1, None], dtype="Int8")})
    assert str(numeric(counts, "a").tolist()) == "[1.0, nan]"
    with pytest.raises(ValueError, match=r"column c holds '3' \(row 2\) and 0 more values"):
        numeric(rows, "c")
    with pytest.raises(ValueError, match="no column names the unit"):
        refuse_repeated(rows, ())

"""Rows: from files, from the project and from the hub's recipes, and the errors on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import languages as codes
from studies import miniworld, rows
from studies.addresses import ADDRESSES, TRAIN, Address
from studies.benchmarks import BENCHMARKS
from studies.parallel_text import PARALLEL_TEXTS
from studies.rows import Source

ROWS: list[dict[str, object]] = [{"id": 0, "text": "eins"}, {"id": 1, "text": "zwei"}]


def write(path: Path, content: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in content]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["de.jsonl", "de.parquet", "deu_Latn.jsonl"])
def test_files_are_found_by_either_code_in_either_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "xnli" / name, ROWS)
    found = rows.read("xnli", language="deu_Latn", source=Source(data_root=tmp_path))
    assert found.rows == tuple(ROWS)
    assert (found.commit, found.origin) == ("", str(path))
    assert rows.languages("xnli", source=Source(data_root=tmp_path)) == ("deu_Latn",)


def test_line_separators_inside_text_do_not_end_a_line(tmp_path: Path) -> None:
    content: list[dict[str, object]] = [{"id": 0, "text": "a\u2028b\u0085c"}]
    write(tmp_path / "xnli" / "de.jsonl", content)
    found = rows.read("xnli", language="deu_Latn", source=Source(data_root=tmp_path))
    assert found.rows == tuple(content)


def test_blank_lines_are_passed_over_and_still_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "xnli" / "de.jsonl", [])
    path.write_text('{"id": 0}\n\n{"id": 1}\n')
    found = rows.read("xnli", language="deu_Latn", source=Source(data_root=tmp_path))
    assert found.where(1) == f"{path}, line 3"


def test_embedded_rows_need_neither_folder_nor_hub(tmp_path: Path) -> None:
    for source in (Source(), Source(data_root=tmp_path)):
        found = rows.read("miniworld", language="deu_Latn", source=source)
        assert found.rows
        assert not found.commit
        assert rows.languages("miniworld", source=source) == tuple(sorted(miniworld.LANGUAGES))
    with pytest.raises(ValueError, match=r"mini_xnli has no isl_Latn; languages it has: \d+"):
        rows.read("mini_xnli", language="isl_Latn", source=Source())


BROKEN = {
    '{"id": 0}\n{"id": 1,}\n': r"de\.jsonl, line 2 is not JSON",
    '{"id": 0}\n[1]\n': r"de\.jsonl, line 2: expected an object, found '\[1\]'",
    "": r"de\.jsonl is empty",
    '{"id": 0, "text": "a"}\n{"id": 1}\n': r"line 2: no column 'text'; found id; expected id, text",
}


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, content: str) -> None:
    write(tmp_path / "xnli" / "de.jsonl", []).write_text(content)
    source = Source(data_root=tmp_path)
    with pytest.raises(ValueError, match=BROKEN[content]):
        rows.read("xnli", language="deu_Latn", source=source, columns=("id", "text"))


def test_files_that_are_not_what_their_name_says_are_errors(tmp_path: Path) -> None:
    source = Source(data_root=tmp_path)
    path = write(tmp_path / "xnli" / "de.parquet", ROWS)
    with pytest.raises(ValueError, match="row 1: no column 'label'; found id, text"):
        rows.read("xnli", language="deu_Latn", source=source, columns=("label",))
    path.write_bytes(b"not parquet")
    with pytest.raises(ValueError, match="not a parquet file"):
        rows.read("xnli", language="deu_Latn", source=source)
    write(tmp_path / "xnli" / "fr.jsonl", ROWS).write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(ValueError, match="not UTF-8"):
        rows.read("xnli", language="fra_Latn", source=source)
    (tmp_path / "xnli" / "es.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"es\.jsonl is a folder"):
        rows.read("xnli", language="spa_Latn", source=source)


def test_folders_that_are_missing_or_misnamed_are_errors(tmp_path: Path) -> None:
    write(tmp_path / "xnli" / "de.jsonl", ROWS)
    source = Source(data_root=tmp_path)
    with pytest.raises(ValueError, match="nowhere' is not a folder"):
        rows.read("xnli", language="deu_Latn", source=Source(data_root=tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"no folder .*xcopa: .* has xnli"):
        rows.languages("xcopa", source=source)
    with pytest.raises(ValueError, match=r"no file .*xnli/fr\.jsonl .*has: 1, closest: deu_Latn"):
        rows.read("xnli", language="fra_Latn", source=source)
    write(tmp_path / "xnli" / "deu_Latn.parquet", ROWS)
    with pytest.raises(ValueError, match="are both deu_Latn: keep one"):
        rows.read("xnli", language="deu_Latn", source=source)
    write(tmp_path / "xcopa" / "notes.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"notes\.jsonl is named after no language"):
        rows.languages("xcopa", source=source)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ValueError, match=r"unknown data set 'bellebelle'.*belebele"):
        rows.read("bellebelle", language="deu_Latn", source=Source())
    with pytest.raises(ValueError, match="'de': did you mean deu_Latn"):
        rows.read("xnli", language="de", source=Source())


def test_every_data_set_has_an_address_that_leads_somewhere() -> None:
    for dataset in [*BENCHMARKS, *PARALLEL_TEXTS]:
        place = ADDRESSES[dataset]
        if place.kind == "embedded":
            assert dataset.removesuffix(TRAIN) in miniworld.DATASETS
        elif place.kind == "local":
            assert place.origin
            with pytest.raises(ValueError, match=f"{dataset} is not on the hub: give --data-root"):
                rows.languages(dataset, source=Source())
        else:
            assert place.id.count("/") == 1
            assert rows.languages(dataset, source=Source())


def test_languages_that_only_files_have_are_not_expected_on_the_hub() -> None:
    assert "eng_Latn" not in rows.languages("xcopa", source=Source())
    with pytest.raises(ValueError, match=r"xcopa has no eng_Latn; .* give --data-root"):
        rows.read("xcopa", language="eng_Latn", source=Source())


def at(monkeypatch: pytest.MonkeyPatch, dataset: str, place: Address) -> None:
    monkeypatch.setitem(ADDRESSES, dataset, place)


def test_a_repository_with_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "set" / "data" / "de" / "test.jsonl", ROWS)
    (tmp_path / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: xnli.de\n  data_files:\n"
        "  - split: test\n    path: data/de/test.jsonl\n---\n"
    )
    at(monkeypatch, "xnli", Address(id=str(tmp_path / "set"), config="xnli.{code}"))
    found = rows.read("xnli", language="deu_Latn", source=Source(), columns=("text",))
    assert found.rows == tuple(ROWS)
    assert found.where(1).endswith("xnli.de test, row 2")
    with pytest.raises(ValueError, match=r"cannot read 'xnli\.fr' of .*give --data-root"):
        rows.read("xnli", language="fra_Latn", source=Source())


def test_a_parquet_copy_keeps_its_split_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "de" / "eval" / "0000.parquet", ROWS[:1])
    write(tmp_path / "de" / "eval" / "0001.parquet", ROWS[1:])
    write(tmp_path / "de" / "train" / "0000.parquet", ROWS)
    at(monkeypatch, "xnli", Address(kind="parquet", id=str(tmp_path), split="eval"))
    assert rows.read("xnli", language="deu_Latn", source=Source()).rows == tuple(ROWS)
    with pytest.raises(ValueError, match=r"no file fr/eval/\*\.parquet"):
        rows.read("xnli", language="fra_Latn", source=Source())


def test_a_wide_table_gives_a_column_per_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    table: list[dict[str, object]] = [
        {"eng_Latn": "one", "deu_Latn": "eins"},
        {"eng_Latn": "two", "deu_Latn": "zwei"},
    ]
    write(tmp_path / "wide" / "data" / "devtest-00000-of-00001.parquet", table)
    (tmp_path / "wide" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: devtest\n    path: data/devtest-*\n---\n"
    )
    at(monkeypatch, "flores200", Address(kind="wide", id=str(tmp_path / "wide"), split="devtest"))
    found = rows.read("flores200", language="deu_Latn", source=Source(), columns=("sentence",))
    assert found.rows == ({"id": 1, "sentence": "eins"}, {"id": 2, "sentence": "zwei"})
    with pytest.raises(ValueError, match="no column 'fra_Latn' among 2"):
        rows.read("flores200", language="fra_Latn", source=Source())


OFFLINE = """
from studies import rows
found = rows.read("xstorycloze", language="eng_Latn", source=rows.Source())
print(len(found.rows), found.commit)
try:
    rows.read("xstorycloze", language="spa_Latn", source=rows.Source())
except ValueError as error:
    print(error)
try:
    rows.read("mgsm", language="spa_Latn", source=rows.Source())
except ValueError as error:
    print(error)
"""


def test_without_network_the_cache_serves_and_names_its_commit(tmp_path: Path) -> None:
    commit = "a" * 40
    repository = tmp_path / "hub" / "datasets--juletxara--xstory_cloze"
    write(repository / "snapshots" / commit / "en" / "eval" / "0000.parquet", ROWS)
    reference = repository / "refs" / "refs" / "convert" / "parquet"
    reference.parent.mkdir(parents=True)
    reference.write_text(commit)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env=environment,
        cwd=Path(rows.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = done.stdout.splitlines()
    assert first == f"2 {commit}"
    assert second.startswith("cannot read 'es' of juletxara/xstory_cloze from the hub: no file")
    assert third.startswith("cannot read 'es' of juletxara/mgsm from the hub: ")


def test_planning_imports_no_heavy_library() -> None:
    program = (
        "import sys; from studies import benchmarks, parallel_text; "
        "print({'datasets', 'huggingface_hub', 'pyarrow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(rows.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_real_files_are_all_there(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    counts = {"flores200": 204, "sib200": 205, "tatoeba": 112, "xquad": 12, "xnli": 16, "m_arc": 32}
    for dataset, count in counts.items():
        found = rows.languages(dataset, source=source)
        assert len(found) == count
        codes.check(found)

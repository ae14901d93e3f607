"""Parallel text: the same sentences on both sides, and a clear refusal when they are not."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import parallel_text
from studies.parallel_text import PARALLEL_TEXTS, Pairs
from studies.rows import Source

Rows = list[dict[str, object]]


def write(path: Path, content: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content))


def sentences(language: str, ids: list[int]) -> Rows:
    return [{"id": id, "sentence": f" {language} {id} "} for id in ids]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    for language in ("eng_Latn", "deu_Latn", "fra_Latn"):
        write(tmp_path / "flores200" / f"{language}.jsonl", sentences(language, list(range(20))))
    return Source(data_root=tmp_path)


def test_both_sides_are_stripped_and_matched(source: Source) -> None:
    text = parallel_text.load("flores200", language="deu_Latn", source=source, pairs=3)
    assert text.ids == ("0", "1", "2")
    assert text.texts == ("deu_Latn 0", "deu_Latn 1", "deu_Latn 2")
    assert text.pivot_texts == ("eng_Latn 0", "eng_Latn 1", "eng_Latn 2")
    assert (text.dataset, text.language, text.pivot) == ("flores200", "deu_Latn", "eng_Latn")


def test_any_language_can_be_the_pivot(source: Source) -> None:
    text = parallel_text.load(
        "flores200", language="eng_Latn", pivot="fra_Latn", source=source, pairs=2
    )
    assert text.pivot_texts == ("fra_Latn 0", "fra_Latn 1")


def test_rows_in_another_order_are_matched_by_id(source: Source, tmp_path: Path) -> None:
    mixed = sentences("deu_Latn", list(reversed(range(20))))
    write(tmp_path / "flores200" / "deu_Latn.jsonl", mixed)
    text = parallel_text.load("flores200", language="deu_Latn", source=source, pairs=2)
    assert text.texts == ("deu_Latn 0", "deu_Latn 1")


@pytest.mark.parametrize("pairs", [None, "all"])
def test_all_pairs(source: Source, pairs: Pairs) -> None:
    text = parallel_text.load("flores200", language="deu_Latn", source=source, pairs=pairs)
    assert len(text.ids) == 20


def test_random_pairs_are_the_same_in_all_languages_and_in_order(source: Source) -> None:
    def drawn(language: str, seed: int) -> tuple[str, ...]:
        return parallel_text.load(
            "flores200", language=language, source=source, pairs=8, pair_ids="random", seed=seed
        ).ids

    assert drawn("deu_Latn", 1) == drawn("fra_Latn", 1)
    assert drawn("deu_Latn", 1) != drawn("deu_Latn", 2)
    assert list(drawn("deu_Latn", 1)) == sorted(drawn("deu_Latn", 1), key=int)


def test_what_is_asked_must_be_there(source: Source) -> None:
    load = parallel_text.load
    with pytest.raises(ValueError, match="has 20 pairs, 21 were asked for: ask for at most 20"):
        load("flores200", language="deu_Latn", source=source, pairs=21)
    with pytest.raises(ValueError, match="n = 1 pairs"):
        load("flores200", language="deu_Latn", source=source, pairs=1)
    with pytest.raises(ValueError, match="eng_Latn is its own pivot"):
        load("flores200", language="eng_Latn", source=source)
    with pytest.raises(ValueError, match=r"unknown parallel text 'flores'.*flores200"):
        load("flores", language="deu_Latn", source=source)


def test_a_file_of_one_pair_is_too_short(source: Source, tmp_path: Path) -> None:
    for language in ("eng_Latn", "deu_Latn"):
        write(tmp_path / "flores200" / f"{language}.jsonl", sentences(language, [0]))
    with pytest.raises(ValueError, match="n = 1 pairs"):
        parallel_text.load("flores200", language="deu_Latn", source=source, pairs=None)


def test_sides_that_differ_are_not_parallel(source: Source, tmp_path: Path) -> None:
    write(tmp_path / "flores200" / "deu_Latn.jsonl", sentences("deu_Latn", list(range(1, 20))))
    pattern = r"deu_Latn \(19 .*eng_Latn \(20\) are not parallel: 1 ids .* '0', which deu_Latn"
    with pytest.raises(ValueError, match=pattern):
        parallel_text.load("flores200", language="deu_Latn", source=source, pairs=3)


def test_texts_that_are_empty_or_ids_that_repeat_are_named(source: Source, tmp_path: Path) -> None:
    content = sentences("deu_Latn", list(range(20)))
    content[1]["sentence"] = "  "
    write(tmp_path / "flores200" / "deu_Latn.jsonl", content)
    with pytest.raises(ValueError, match=r"deu_Latn\.jsonl, line 2 \(id '1'\): .* is '  '"):
        parallel_text.load("flores200", language="deu_Latn", source=source, pairs=3)
    content[1]["id"] = 0
    write(tmp_path / "flores200" / "deu_Latn.jsonl", content)
    with pytest.raises(ValueError, match="line 2: id '0' was already used in line 1"):
        parallel_text.load("flores200", language="deu_Latn", source=source, pairs=3)


def test_tatoeba_brings_its_own_english(tmp_path: Path) -> None:
    content: Rows = [{"sentence1": f"eins {k}", "sentence2": f"one {k}"} for k in range(5)]
    write(tmp_path / "tatoeba" / "deu.parquet", content)
    source = Source(data_root=tmp_path)
    text = parallel_text.load("tatoeba", language="deu_Latn", source=source, pairs=2)
    assert (text.ids, text.pivot_texts) == (("1", "2"), ("one 0", "one 1"))
    with pytest.raises(ValueError, match="pairs every language with eng_Latn sentences of its own"):
        parallel_text.load("tatoeba", language="deu_Latn", pivot="fra_Latn", source=source)


SAMPLES: dict[str, Rows] = {
    "flores200": sentences("x", [1, 2]),
    "sib200": [{"index_id": k, "text": f"x {k}"} for k in (7, 9)],
    "tatoeba": [{"id": k, "sentence1": f"x {k}", "sentence2": f"y {k}"} for k in (0, 1)],
}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_every_parallel_text_loads_from_either_format(tmp_path: Path, suffix: str) -> None:
    for dataset in PARALLEL_TEXTS:
        for language in ("eng_Latn", "deu_Latn"):
            if dataset in SAMPLES:
                write(tmp_path / dataset / f"{language}.{suffix}", SAMPLES[dataset])
        text = parallel_text.load(
            dataset, language="deu_Latn", source=Source(data_root=tmp_path), pairs=2
        )
        assert len(text.texts) == 2


def test_real_texts_load_in_every_language(shared: Path) -> None:
    source = Source(data_root=shared / "data")
    for dataset, count in {"flores200": 203, "sib200": 204, "tatoeba": 112}.items():
        found = [x for x in parallel_text.languages(dataset, source=source) if x != "eng_Latn"]
        assert len(found) == count
        for language in found:
            text = parallel_text.load(dataset, language=language, source=source)
            assert len(text.ids) == len(set(text.ids)) == 100
    german = parallel_text.load("flores200", language="deu_Latn", source=source, pairs=None)
    assert len(german.ids) == 225

"""Language codes: every data set's own ones lead to one code for each language, and back."""

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from studies import languages


def table() -> list[dict[str, str]]:
    text = (files("studies") / languages.TABLE).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_code_of_every_data_set_returns_to_itself() -> None:
    for row in table():
        language = languages.flores_style(row["dataset"], row["code"])
        assert languages.CODE.fullmatch(language)
        assert languages.source_code(row["dataset"], language) == row["code"]


@pytest.mark.parametrize(
    ("dataset", "code", "language"),
    [
        ("xnli", "de", "deu_Latn"),
        ("tatoeba", "cmn", "zho_Hans"),
        ("tatoeba", "ang", "ang_Latn"),
        ("belebele", "hin_Latn", "hin_Latn"),
        ("sib200", "nqo_Nkoo", "nqo_Nkoo"),
        ("bmlama53", "la", "lat_Latn"),
        ("mmmlu", "ES_LA", "spa_Latn"),
        ("ntrex128", "srp-Latn", "srp_Latn"),
        ("miniworld", "deu_Latn", "deu_Latn"),
        ("xnli", "deu_Latn", "deu_Latn"),
    ],
)
def test_codes_of_data_sets_become_project_codes(dataset: str, code: str, language: str) -> None:
    assert languages.flores_style(dataset, code) == language


def test_two_codes_of_one_data_set_stay_two_languages() -> None:
    assert languages.flores_style("ntrex128", "eng") == "eng_Latn"
    assert languages.flores_style("ntrex128", "eng-GB") == "eng_Latn_GB"
    assert languages.flores_style("ntrex128", "gsw-BE") == "gsw_Latn_BE"
    assert languages.source_code("ntrex128", "eng_Latn_GB") == "eng-GB"


def test_a_language_has_name_script_family_and_resource_class() -> None:
    thai = languages.language("tha_Thai")
    assert (thai.name, thai.script, thai.resource) == ("Thai", "Thai", 3)
    assert languages.language("fra_Latn").family == "Indo-European/Italic"
    assert languages.language("ben_Latn").resource is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("de", "deu_Latn"),
        ("German", "deu_Latn"),
        ("cmn", "zho_Hans"),
        ("eng_latn", "eng_Latn"),
        ("deu_Latin", "deu_Latn"),
    ],
)
def test_an_unknown_code_is_quoted_with_what_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"'{typed}': did you mean .*{meant}"):
        languages.check(("eng_Latn", typed))


def test_known_codes_pass_the_check() -> None:
    languages.check(("eng_Latn", "nqo_Nkoo", "hin_Latn"))


def test_a_language_that_a_data_set_lacks_is_named_with_close_ones() -> None:
    with pytest.raises(ValueError, match=r"xnli has no nob_Latn; languages it has: 16, closest: "):
        languages.source_code("xnli", "nob_Latn")
    with pytest.raises(ValueError, match="closest: arb_Arab"):
        languages.source_code("xquad", "arb_Latn")
    with pytest.raises(ValueError, match="xnli has no language code 'xx'"):
        languages.flores_style("xnli", "xx")


def test_every_folder_of_real_data_is_named_by_known_codes(shared: Path) -> None:
    for folder in (shared / "data").iterdir():
        stems = [path.stem for path in folder.glob("*.jsonl")] if folder.is_dir() else []
        found = {languages.flores_style(folder.name, stem) for stem in stems}
        assert len(found) == len(stems)

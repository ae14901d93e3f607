"""How a study was done in words, with its switches as they were resolved, and what to cite."""

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from analysis import read
from analysis.html import methods, references
from studies.addresses import ADDRESSES
from studies.kinds.option_alignment import Embedding
from studies.kinds.patching import Patching
from studies.measures import MEASURES
from studies.neuron_options import Rescaling, Sorting
from studies.prompt_options import Asking, Lens, Steering
from studies.recipes import NAMES
from studies.spec import Switches
from tests.makers.analysis_rows import (
    alignment_rows,
    follow,
    generation_rows,
    item_rows,
    planted,
    write_run,
)

RECORDS = (
    Switches(),
    Asking(),
    Lens(),
    Steering(),
    Embedding(),
    Patching(),
    Sorting(),
    Rescaling(),
)
USUAL = {name: value for record in RECORDS for name, value in asdict(record).items()}
# What no phrase is needed for: free text, and a seed.
PLAIN = {"system", "arguments", "seed"}
SETTINGS = {"pairs": 100, "limit": "all", "fewshot": 5, **asdict(Switches())}


def rows_of(folder: Path, **record: object) -> read.Rows:
    score = planted(4)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    measures = ("mexa", "nasca", "svcca")
    run = write_run(
        folder / "run",
        alignment=alignment_rows("m/one", scores=score, measures=measures),
        items=item_rows("m/one", accuracies=accuracy),
        record={"study": "neuronxa", "settings": SETTINGS, **record},
    )
    return read.rows([run])


def test_every_switch_of_every_value_has_a_phrase() -> None:
    known = {name for name, _ in methods.choices()}
    assert set(USUAL) - PLAIN <= known
    for record in RECORDS:
        for one in fields(record):
            values = re.findall(r"'([^']+)'", str(one.type)) or re.findall(
                r"'([^']+)'", repr(type(record).__annotations__[one.name])
            )
            values = ["true", "false"] if isinstance(USUAL[one.name], bool) else values
            for value in values if one.name not in PLAIN else ():
                found = methods.choices()
                assert (one.name, value) in found or (one.name, methods.ANY) in found, one.name


def test_no_phrase_is_of_a_switch_that_is_gone() -> None:
    assert {name for name, _ in methods.choices()} - set(USUAL) == {"fewshot"}


def test_a_paragraph_says_what_was_run_and_how_switches_were_resolved(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path, models=[{"name": "m/one", "revision": "main", "dtype": "bfloat16"}],
        running={"m/one": {"engine": "hf 5.23.0"}},
        provenance={"commit": "abcdef0123456", "packages": {"babelscope": "0.1.0"}},
    )  # fmt: skip
    first, second = methods.method(rows, study="neuronxa").paragraphs
    assert first.startswith(
        "The study neuronxa (Huang et al. 2025) was run with Babelscope 0.1.0 (commit abcdef0123) "
        "on m/one (bfloat16), under transformers 5.23.0 (Wolf et al. 2020)."
    )
    assert (
        "Parallel text: flores200 (NLLB Team 2022; Goyal et al. 2022), 100 sentence pairs, in "
        in first
    )
    assert "SVCCA (Raghu et al. 2017)" in first
    assert "belebele (Bandarkar et al. 2024), 200 items a language in 13 languages" in first
    assert "the tokenizer's own prefix tokens are pooled with the others" in second
    assert "SVCCA keeps 20 directions" in second
    assert "Other settings: pairs = 100, limit = all, seed = 0." in second
    for without in ("CKA", "ANC", "facts", "examples precede", "{}"):
        assert without not in second, "a switch without effect is not said"


def test_another_value_is_another_phrase_and_an_unknown_one_stands_by_its_name(
    tmp_path: Path,
) -> None:
    settings = SETTINGS | {"include_bos": False, "nas_site": "elsewhere", "mine": [1, 2]}
    (_, second) = methods.method(rows_of(tmp_path, settings=settings), study="neuronxa").paragraphs
    assert "the tokenizer's own prefix tokens are left out of the pooling" in second
    assert "nas_site = elsewhere" in second and "mine = [1, 2]" in second


def test_runs_with_other_settings_have_a_paragraph_each(tmp_path: Path) -> None:
    runs = [
        write_run(
            tmp_path / name, alignment=alignment_rows(f"m/{name}", scores=planted(1)),
            record={"study": "neuronxa", "settings": SETTINGS | {"tie_rule": rule}},
        )
        for name, rule in (("a", "strict"), ("b", "equal"), ("c", "strict"))
    ]  # fmt: skip
    _, first, second = methods.method(read.rows(runs), study="neuronxa").paragraphs
    assert first.startswith("Run a, c: ") and "every competitor" in first
    assert second.startswith("Run b: ") and "exactly as similar" in second


def test_a_run_without_a_record_says_so_and_one_of_own_texts_that_it_has_no_reference(
    tmp_path: Path,
) -> None:
    items = item_rows("m", accuracies={"deu_Latn": 0.5}, benchmark="mine")
    found = methods.method(read.rows([write_run(tmp_path / "run", items=items)]), study="")
    assert found.paragraphs[1:] == (
        "These runs have no record of their settings.", "No reference is known here for mine.",
    )  # fmt: skip
    assert "belebele" not in found.bibtex


def test_bibtex_is_of_what_was_used_and_of_nothing_else(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, pins={"items harness/m_arc/deu_Latn": "x", "text x/deu_Latn": "y"})
    keys = re.findall(r"@\w+\{(\w+),", methods.method(rows, study="neuronxa").bibtex)
    assert keys == [
        "huang2025neuronxa", "kargaran2025mexa", "raghu2017svcca", "nllb2022", "goyal2022flores",
        "bandarkar2024belebele", "clark2018arc", "lai2023okapi", "biderman2024harness",
    ]  # fmt: skip


def test_translations_cite_their_metrics(tmp_path: Path) -> None:
    texts = generation_rows("m", revision="main", outputs=["a"], references=[["a"]])
    rows = read.rows([write_run(tmp_path / "run", generations=texts)])
    rows.generations["task"] = "translation"
    bibtex = methods.method(rows, study="generate").bibtex
    assert "post2018sacrebleu" in bibtex and "popovic2015chrf" in bibtex


def test_every_entry_is_whole_and_every_data_set_measure_and_paper_has_one() -> None:
    uses = {use for one in references.every() for use in one.uses}
    embedded = {name for name, one in ADDRESSES.items() if one.kind == "embedded"}
    assert {f"data:{name}" for name in set(ADDRESSES) - embedded} <= uses
    papers = {"neuronxa", "latent-process", "clas", "dali"}
    assert papers <= {name.replace("_", "-") for name in NAMES}
    assert {f"study:{name}" for name in papers} <= uses
    own = {"cosine", "cosine_centred"}
    assert {f"measure:{name}" for name in set(MEASURES) - own} <= uses
    keys = [one.key for one in references.every()]
    assert (
        len(keys) == len(set(keys)) == references.FILE.read_text(encoding="utf-8").count("\n@") + 1
    )
    for one in references.every():
        assert re.fullmatch(r".+ \d{4}", one.short), one.key
        assert one.text.count("{") == one.text.count("}") and "keywords" not in one.text
        assert re.search(r"\n  (doi|eprint|url|howpublished|journal) = ", one.text), one.key


@pytest.mark.parametrize(
    ("key", "short"),
    [("del2022anc", "Del and Fishel 2022"), ("openai2024mmmlu", "OpenAI 2024"),
     ("shi2022mgsm", "Shi et al. 2022"), ("popovic2015chrf", "Popović 2015"),
     ("kargaran2025mexa", "Kargaran et al. 2025")],
)  # fmt: skip
def test_a_source_is_named_as_in_a_sentence(key: str, short: str) -> None:
    (found,) = [one for one in references.every() if one.key == key]
    assert found.short.replace("Popovic", "Popović") == short


def test_names_of_runs_and_models_are_nothing_but_text(tmp_path: Path) -> None:
    evil = "{{ 7 * 7 }} {% raw %} a\nb"
    items = item_rows(evil, accuracies={"deu_Latn": 0.5}, benchmark=evil).assign(study=evil)
    run = write_run(
        tmp_path / "run", items=items,
        record={"study": evil, "settings": {evil: evil}},
    )  # fmt: skip
    first = methods.method(read.rows([run]), study=evil).paragraphs[0]
    assert "{{ 7 * 7 }} {% raw %} a b" in first

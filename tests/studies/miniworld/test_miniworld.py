"""The miniworld is what its README says: parallel, disjoint and small."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from studies.miniworld import DATASETS, EXPOSURE, LANGUAGES, MODELS, model_folder, rows
from studies.miniworld.benchmarks import items
from studies.miniworld.knowledge import knowledge
from studies.miniworld.lexicon import KNOWN_RELATIONS, RELATIONS, concepts, people, word
from studies.miniworld.weights import FOLDER
from studies.miniworld.worlds import split_of

COLUMNS = {
    "miniworld": {"id", "sentence"},
    "mini_belebele": {
        "id", "link", "question_number", "flores_passage", "question", "mc_answer1", "mc_answer2",
        "mc_answer3", "mc_answer4", "correct_answer_num", "dialect",
    },
    "mini_mmlu": {
        "sample_id", "subject", "question", "option_a", "option_b", "option_c", "option_d",
        "answer",
    },
    "mini_xnli": {"id", "premise", "hypothesis", "label"},
    "mini_xstorycloze": {
        "id", "story_id", "input_sentence_1", "input_sentence_2", "input_sentence_3",
        "input_sentence_4", "sentence_quiz1", "sentence_quiz2", "answer_right_ending",
    },
    "mini_xquad": {"id", "context", "question", "answers"},
}  # fmt: skip
GOLD = {
    "mini_belebele": "correct_answer_num",
    "mini_mmlu": "answer",
    "mini_xnli": "label",
    "mini_xstorycloze": "answer_right_ending",
}
FEWEST = {"miniworld": 300, "mini_belebele": 200}


def test_twelve_languages_in_seven_scripts_share_all_the_text() -> None:
    assert len(LANGUAGES) >= 12
    assert len({language.split("_")[1] for language in LANGUAGES}) >= 5
    assert sum(EXPOSURE.values()) == pytest.approx(1.0)
    assert list(EXPOSURE.values()) == sorted(EXPOSURE.values(), reverse=True)


@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_have_the_columns_of_the_real_data_set(dataset: str) -> None:
    for language in LANGUAGES:
        found = rows(dataset, language=language)
        assert len(found) >= FEWEST.get(dataset, 150)
        assert all(set(row) == COLUMNS[dataset] for row in found)
        assert all(value not in ("", None) for row in found for value in row.values())


@pytest.mark.parametrize("dataset", DATASETS)
def test_items_are_parallel_across_languages(dataset: str) -> None:
    id = "sample_id" if dataset == "mini_mmlu" else "id"
    fixed = [id, GOLD[dataset]] if dataset in GOLD else [id]
    english = [[row[name] for name in fixed] for row in rows(dataset, language="eng_Latn")]
    assert len({str(row[0]) for row in english}) == len(english)
    for language in LANGUAGES:
        assert [
            [row[name] for name in fixed] for row in rows(dataset, language=language)
        ] == english


@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_are_the_same_on_every_call(dataset: str) -> None:
    assert rows(dataset, language="kat_Geor") == rows(dataset, language="kat_Geor")


@pytest.mark.parametrize("dataset", GOLD)
def test_right_answers_stand_everywhere_equally_often(dataset: str) -> None:
    counts = Counter(row[GOLD[dataset]] for row in rows(dataset, language="eng_Latn"))
    assert len(set(counts.values())) == 1, counts


def test_sentences_are_distinct_within_every_language() -> None:
    for language in LANGUAGES:
        sentences = [row["sentence"] for row in rows("miniworld", language=language)]
        assert len(set(sentences)) == len(sentences), language


def test_spans_stand_where_the_row_says() -> None:
    for language in LANGUAGES:
        for row in rows("mini_xquad", language=language):
            answers, context = row["answers"], str(row["context"])
            assert isinstance(answers, dict)
            (text,), (start,) = answers["text"], answers["answer_start"]
            assert context[start : start + len(text)] == text


def test_a_reading_question_needs_a_thing_tied_to_a_person() -> None:
    for language in LANGUAGES:
        for row in rows("mini_belebele", language=language):
            options = [str(row[f"mc_answer{place}"]) for place in range(1, 5)]
            assert len(set(options)) == 4
            assert options[int(str(row["correct_answer_num"])) - 1] in str(row["flores_passage"])
    for item in items("mini_belebele", split="test"):
        told = {fact.thing for fact in item.facts}
        assert [option in told for option in item.options].count(True) == 2
        assert len({fact.subject for fact in item.facts}) == len(item.facts) == 3


def test_the_right_thing_is_no_more_common_than_the_wrong_one_in_the_passage() -> None:
    """Else a model could answer by what things are common, without reading."""
    ranks = {True: [], False: []}
    for item in items("mini_belebele", split="test"):
        relation = item.facts[item.asked].relation
        for fact in item.facts:
            if fact.relation == relation:
                right = fact is item.facts[item.asked]
                ranks[right].append(concepts(relation).index(fact.thing))
    right, wrong = (sum(each) / len(each) for each in (ranks[True], ranks[False]))
    # A rank of 20 has a standard deviation of at most 6; the mean of 300 pairs one of 0.5.
    assert abs(right - wrong) < 4 * 0.5


def test_what_is_known_holds_once_and_everywhere() -> None:
    found = knowledge()
    assert len(found) == len(set(found)) == 3 * 48
    for language in LANGUAGES:
        for relation in KNOWN_RELATIONS:
            answers = [word(name, kind=relation, language=language) for name in concepts(relation)]
            assert len(set(answers)) == len(answers)
    for item in items("mini_mmlu", split="test"):
        assert [fact in found for fact in item.facts].count(True) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_distinct_and_clean(language: str) -> None:
    for relation in RELATIONS:
        words = [word(concept, kind=relation, language=language) for concept in concepts(relation)]
        assert len(set(words)) == len(words) >= 10, relation
        for text in words:
            assert text == text.strip() == unicodedata.normalize("NFC", text)
    assert len(people()) == 24


def test_no_world_of_a_test_item_is_in_another_split() -> None:
    worlds = {
        split: {
            frozenset(item.facts) for dataset in DATASETS for item in items(dataset, split=split)
        }
        for split in ("train", "dev", "test")
    }
    assert not worlds["test"] & (worlds["train"] | worlds["dev"])
    assert all(split_of(world) == "test" for world in worlds["test"])


def test_an_unknown_name_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="mini_xnli"):
        rows("belebele", language="eng_Latn")
    with pytest.raises(ValueError, match="eng_Latn"):
        rows("miniworld", language="English")
    with pytest.raises(ValueError, match="miniworld-llama"):
        model_folder("llama")
    with pytest.raises(ValueError, match="step-"):
        model_folder("miniworld-llama", revision="step-0")


def revisions() -> list[Path]:
    """Every shipped folder with weights: three models and the checkpoints of one."""
    checkpoints = sorted(model_folder("miniworld-llama").glob("step-*"))
    return [*(model_folder(name) for name in MODELS), *checkpoints]


def test_the_models_fit_thirty_megabytes() -> None:
    assert len(revisions()) == 3 + 4
    shipped = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert shipped <= 30_000_000


@pytest.mark.parametrize("folder", revisions(), ids=lambda folder: folder.name)
def test_a_folder_is_complete(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.max_position_embeddings >= 512
    assert len(tokenizer) == model.config.vocab_size
    assert None not in (tokenizer.eos_token, tokenizer.pad_token)
    encoded = tokenizer("Anna is at home.", return_tensors="pt")
    # As Qwen's, the Qwen2 shape begins without a token of its own.
    assert (tokenizer.bos_token is None) == (folder.name == "qwen2")
    assert tokenizer.bos_token is None or encoded.input_ids[0, 0] == tokenizer.bos_token_id
    assert torch.isfinite(model(**encoded).logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_text_survives_the_tokenizer(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder(name))
    foreign = ["  two  spaces ", "日本語 and ไทย", "tab\tand\nline\n", "🙂 Ж"]
    written = [
        str(row["sentence"])
        for language in LANGUAGES
        for row in rows("miniworld", language=language)[:50]
    ]
    for text in foreign + written:
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens, skip_special_tokens=True) == text

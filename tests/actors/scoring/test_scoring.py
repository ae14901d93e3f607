"""Scores of written texts against other implementations, and against cases worked out by hand."""

import importlib.util
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import lm_eval
import pytest
import sacrebleu

from actors.scoring import score as scores
from actors.scoring import writing
from actors.scoring.numbers import number_in, same_number
from actors.scoring.score import SCORES, mixed_tokens, scored, segments, span_scores
from actors.scoring.writing import repetition, written_language, written_script
from analysis.statistics import translation
from orchestrator.storage.tables import ALL_TABLES
from studies import languages
from studies.texts import GenerationItem, GenerationSet, Task

# An answer, and the right one.
PAIRS = [
    ("The Denver Broncos", "denver broncos!"),
    ("a cat, and the dog.", "Cat and dog"),
    ("Santa Clara", "Levi's Stadium in Santa Clara"),
    ("in 1987, in 1987, in 1987", "1987"),
    ("'theatre'", "the theatre"),
    ("20%", "20 per cent"),
    ("an-other", "another"),
    ("yes", "no"),
    ("nein", "ein"),
    ("El Niño y la niña", "niño y niña"),
    ("der Hund des Mannes", "Hund Mannes"),
    ("cái nhà của tôi", "nhà tôi"),
    ("यह 308 है।", "308"),
    ("2015年2月7日", "2015年2月"),
    ("丹佛 野马队", "丹佛野马队"),
    ("NFL 丹佛", "nfl丹佛"),
    ("“圣克拉拉”。", "圣克拉拉"),
    ("¿Dónde?", "dónde"),
]


def of_harness(name: str) -> ModuleType:
    """A module of one of lm-evaluation-harness's tasks."""
    path = Path(lm_eval.__file__).parent / "tasks" / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def squad() -> ModuleType:
    """Functions taken from SQuAD's script of v1.1."""
    return of_harness("qasper/metrics.py")


@pytest.fixture(scope="module")
def mlqa() -> ModuleType:
    """MLQA's script, but for the Arabic article, which it takes from the beginning of words."""
    return of_harness("mlqa/utils.py")


@pytest.mark.parametrize(("text", "right"), PAIRS)
def test_exact_match_and_f1_are_squads(squad: ModuleType, text: str, right: str):
    found = span_scores(text, [right], language="zho_Hans")
    assert found.exact == (squad.normalize_answer(text) == squad.normalize_answer(right))
    assert found.f1 == pytest.approx(squad.f1_abstractive([text], [right]))


@pytest.mark.parametrize("language", ["eng_Latn", "spa_Latn", "hin_Deva", "vie_Latn", "deu_Latn",
                                      "zho_Hans"])  # fmt: skip
@pytest.mark.parametrize(("text", "right"), PAIRS)
def test_mixed_f1_is_mlqas(mlqa: ModuleType, language: str, text: str, right: str):
    code = languages.source_code("xquad", language)
    found = span_scores(text, [right], language=language)
    assert found.f1_mixed == pytest.approx(mlqa.f1_score(text, right, code))


def test_mlqas_arabic_article_goes_wherever_it_stands():
    assert mixed_tokens("البيت الكبير", language="arb_Arab") == ["بيت", "كبير"]
    assert mixed_tokens("والبيت", language="arb_Arab") == ["و", "بيت"]
    assert span_scores("البيت", ["بيت"], language="arb_Arab") == (0.0, 0.0, 1.0)


def test_the_best_of_several_right_answers_counts():
    found = span_scores("Paris", ["London", "the Paris", "Paris, France"], language="eng_Latn")
    assert found == (1.0, 1.0, 1.0)
    found = span_scores("in Paris", ["London", "Paris, France"], language="eng_Latn")
    assert found == pytest.approx((0.0, 0.5, 0.5))


def test_empty_answers_match_exactly_and_share_no_token():
    """As in SQuAD's script: two empty texts are equal, and an F1 of no shared token is 0."""
    assert span_scores("", ["Paris"], language="eng_Latn") == (0.0, 0.0, 0.0)
    assert span_scores("the", ["..."], language="eng_Latn") == (1.0, 0.0, 0.0)
    assert span_scores("  ", [""], language="tha_Thai") == (1.0, 0.0, 0.0)


def test_thai_is_all_or_nothing_in_squads_f1_and_shares_letters_in_the_mixed():
    found = span_scores("ในปี 1987", ["ปี 1987"], language="tha_Thai")
    assert found.f1 == pytest.approx(0.5)
    assert mixed_tokens("ในปี 1987", language="tha_Thai") == ["ใ", "น", "ปี", "1987"]
    assert found.f1_mixed == pytest.approx(2 * 2 / (4 + 2))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("東京タワーは333mです", ["東", "京", "タ", "ワ", "ー", "は", "333m", "で", "す"]),
        ("NFL2015 丹佛", ["NFL2015", "丹", "佛"]),
        ("ស្អែក", ["ស្", "អែ", "ក"]),
        ("plain words", ["plain", "words"]),
        (" ", []),
    ],
)
def test_segments(text: str, tokens: list[str]):
    assert segments(text) == tokens


NUMBERS = [
    ("18", "eng_Latn", "18"),
    ("She makes $18.00 a day.", "eng_Latn", "18"),
    ("18 - 4 = 14, so 14 eggs", "eng_Latn", "14"),
    ("Answer: 18\nThat is 126 for 7 days.", "eng_Latn", "18"),
    ("The answer is 9 * 2 = 18.\n\nShe sold 3 houses", "eng_Latn", "18"),
    ("Answer: 20\nThe final answer: 18\nDays: 7", "eng_Latn", "18"),
    ("Answer: 20\nAnswer: none\nDays: 7", "eng_Latn", "20"),
    ("First 5. Answer: none", "eng_Latn", "5"),
    ("114,200", "eng_Latn", "114200"),
    ("1.234", "eng_Latn", "1.234"),
    ("1.234.567", "eng_Latn", "1234567"),
    ("1,234.50", "eng_Latn", "1234.5"),
    ("x=-3", "eng_Latn", "-3"),
    ("\u22123", "eng_Latn", "-3"),
    ("-$5", "eng_Latn", "-5"),
    ("from 3-5", "eng_Latn", "5"),
    ("- 5 apples", "eng_Latn", "5"),
    ("5 100", "eng_Latn", "100"),
    ("5\u202f100", "eng_Latn", "5100"),
    ("-0", "eng_Latn", "0"),
    ("no number", "eng_Latn", None),
    ("", "eng_Latn", None),
    ("Die Antwort ist 1.234,50 Euro.", "deu_Latn", "1234.5"),
    ("1.234", "deu_Latn", "1234"),
    ("0.125", "deu_Latn", "0.125"),
    ("2.50", "deu_Latn", "2.5"),
    ("1'234'567", "deu_Latn", "1234567"),
    ("am 12.03.2015", "deu_Latn", "2015"),
    ("57.500 dólares", "spa_Latn", "57500"),
    ("Réponse : 12 300,5 €", "fra_Latn", "12300.5"),
    ("3 et 1 000 000", "fra_Latn", "1000000"),
    ("12 300 рублей", "rus_Cyrl", "12300"),
    ("Ответ: 7.\nВсего 8", "rus_Cyrl", "7"),
    ("Jibu: 64\nSiku 3", "swh_Latn", "64"),
    ("答えは１，２３４円です", "jpn_Jpan", "1234"),
    ("答案是18。\n共3天", "zho_Hans", "18"),
    ("共3天。答案：１８", "zho_Hans", "18"),
    ("－５", "zho_Hans", "-5"),
    ("১,১৪,২০০ টাকা", "ben_Beng", "114200"),
    ("সে ৫টি পায়, উত্তর ১৮\n৭ দিন", "ben_Beng", "18"),
    ("సమాధానం: 1,234\n5", "tel_Telu", "1234"),
    ("๑๘ ดอลลาร์", "tha_Thai", "18"),
    ("१८.५", "hin_Deva", "18.5"),
    ("١٬٢٣٤٫٥", "arb_Arab", "1234.5"),
    ("۱۸", "pes_Arab", "18"),
]
# Any of the eleven languages' models writes what English ones do, or what its readers do.
MGSM = {
    "ben_Beng": ("উত্তর হল $5,000।", "উত্তর: ৫,০০০ টাকা", "৫ হাজার", "২ লক্ষ টাকা = ২,০০,০০০"),
    "deu_Latn": ("Die Antwort lautet $5,000.", "Antwort: 5.000 €", "5 Tausend", "0,2 Mio. Euro"),
    "eng_Latn": ("The answer is $5,000.", "Answer: 5,000 dollars", "5 thousand", "0.2 million"),
    "spa_Latn": ("La respuesta es $5,000.", "Respuesta: 5.000 €", "5 mil", "0,2 millones de euros"),
    "fra_Latn": ("La réponse est 5,000 $.", "Réponse : 5 000 €", "5 mille", "0,2 million d’euros"),
    "jpn_Jpan": ("答えは$5,000です。", "答え：５，０００ドル", "5千ドル", "20万円"),
    "rus_Cyrl": ("Ответ — $5,000.", "Ответ: 5 000 рублей", "5 тыс. рублей", "0,2 млн рублей"),
    "swh_Latn": ("Jibu ni $5,000.", "Jibu: shilingi 5,000", "shilingi elfu 5", "laki 2"),
    "tel_Telu": ("సమాధానం $5,000.", "సమాధానం: ₹5,000", "5 వేల రూపాయలు", "2 లక్షల రూపాయలు"),
    "tha_Thai": ("คำตอบคือ $5,000", "คำตอบ: ๕,๐๐๐ บาท", "5 พันบาท", "2 แสนบาท"),
    "zho_Hans": ("答案是 $5,000。", "答案：5,000美元", "5千美元", "20万美元"),
}
NUMBERS += [
    (text, language, number)
    for language, texts in MGSM.items()
    for text, number in zip(texts, ("5000", "5000", "5000", "200000"), strict=True)
]
NUMBERS += [
    ("5,000", "deu_Latn", "5000"),
    ("$2.125", "eng_Latn", "2125"),
    ("2.125", "eng_Latn", "2.125"),
    ("0,125", "rus_Cyrl", "0.125"),
    ("5_000", "eng_Latn", "5000"),
    (r"so $\boxed{5{,}000}$ for 3 days, answer: 7", "eng_Latn", "5000"),
    (r"\boxed{\text{no}} \boxed{\$5\,000}", "eng_Latn", "5000"),
    (r"\boxed{\frac{3}{4}}", "eng_Latn", "0.75"),
    (r"\boxed{-\$18}", "eng_Latn", "-18"),
    ("9 * 2 = 18\n#### 18\n\n3 days", "eng_Latn", "18"),
    ("The answer is 18 dollars for 3 days.", "eng_Latn", "18"),
    ("The answer is **$18** for 3 days. Answer the next 5 questions.", "eng_Latn", "18"),
    ("The answer is 9 * 2 = 18", "eng_Latn", "18"),
    ("The answer is -18.", "eng_Latn", "-18"),
    ("Answer: 16 - 3 - 4 = 9 eggs. 9 * 2 = 18 dollars", "eng_Latn", "18"),
    ("She answered 5 of 18", "eng_Latn", "18"),
    ("She answered 5\nof all 18", "eng_Latn", "18"),
    ("Er beantwortet 5\nvon 18", "deu_Latn", "18"),
    ("Alijibu 5\nkati ya 18", "swh_Latn", "18"),
    ("<think>The answer is 5</think>18", "eng_Latn", "18"),
    ("1/2", "eng_Latn", "0.5"),
    ("1/3", "eng_Latn", "1/3"),
    ("2 1/2 hours", "eng_Latn", "2.5"),
    ("-2 1/2", "eng_Latn", "-2.5"),
    ("2½", "eng_Latn", "2.5"),
    ("½", "eng_Latn", "0.5"),
    ("on 12/03/2015", "eng_Latn", "2015"),
    ("5/0", "eng_Latn", "0"),
    ("2 × 10^3", "eng_Latn", "2000"),
    (r"2 \times 10^{3}", "eng_Latn", "2000"),
    ("1.5e3", "eng_Latn", "1500"),
    ("5 m²", "eng_Latn", "5"),
    ("3 = - 18", "eng_Latn", "-18"),
    ("$-18", "eng_Latn", "-18"),
    ("18%", "eng_Latn", "18"),
    ("50 hundred-dollar bills", "eng_Latn", "50"),
    ("1万5千元", "zho_Hans", "15000"),
    ("1億2000万円", "jpn_Jpan", "120000000"),
    ("3千万円", "jpn_Jpan", "30000000"),
    ("5千克", "zho_Hans", "5"),
    ("20百分", "zho_Hans", "20"),
    ("\u200f18\u200f", "arb_Arab", "18"),
    ("re\u0301ponse : 18 pour 3 jours\n5", "fra_Latn", "3"),
    ("18 €.", "fra_Latn", "18"),
    ("5,00 €", "deu_Latn", "5"),
    ("18 eggs, then " + "9" * 5000, "eng_Latn", "18"),
    ("2 × 10^999999999", "eng_Latn", "999999999"),
    ("18e999999999", "eng_Latn", "999999999"),
    ("18 eggs, or 1/" + "7" * 5000, "eng_Latn", "1"),
    ("The answer is 5.\nNo. The answer is 2 * 3 = 6", "eng_Latn", "6"),
    ("Total\n12\n1/2", "eng_Latn", "0.5"),
    ("We get 7 and 9.</think>The result is unclear", "eng_Latn", None),
    ("The answer is 40?</think> So 42", "eng_Latn", "42"),
    ("Answer: 18\n<thinking> done", "eng_Latn", "18"),
    ("[THINK]5[/THINK]18", "eng_Latn", "18"),
    ("<think>18 and on", "eng_Latn", None),
]


@pytest.mark.parametrize(("text", "language", "number"), NUMBERS)
def test_the_number_that_a_text_gives(text: str, language: str, number: str | None):
    assert number_in(text, language=language) == number


def test_an_answer_is_announced_in_the_own_language():
    text = "Die ANTWORT: 18, in 5 Wochen 90\nund 7 Tage"
    assert number_in(text, language="deu_Latn") == "90"
    assert number_in(text, language="tur_Latn") == "7"
    assert number_in("7 days. Antwort", language="deu_Latn") == "7"


def test_numbers_are_equal_by_value():
    assert same_number("57.500,00 Euro", "57500", language="deu_Latn")
    assert not same_number("57.500", "57500", language="eng_Latn")
    assert same_number("১৮", "18.0", language="ben_Beng")
    assert not same_number("none", "18", language="eng_Latn")
    assert Decimal(number_in("9" * 20, language="eng_Latn") or "") == Decimal("9" * 20)


@pytest.mark.parametrize(
    ("text", "right", "language", "kind"),
    [
        ("Der Hund ist groß.", "Der Hund war sehr groß.", "deu_Latn", "13a"),
        ("Ein Haus", "Ein Hund bellt", "deu_Latn", "13a"),
        ("这只狗很大。", "这只狗非常大。", "zho_Hans", "zh"),
        ("สุนัขตัวใหญ่", "สุนัขตัวใหญ่มาก", "tha_Thai", "char"),
    ],
)
def test_sentence_scores_are_sacrebleus(text: str, right: str, language: str, kind: str):
    found = scores.translation_scores(text, [right, "x"], language=language)
    assert found.chrf == sacrebleu.sentence_chrf(text, [right, "x"]).score
    assert found.bleu == sacrebleu.sentence_bleu(text, [right, "x"], tokenize=kind).score
    assert 0 < found.bleu < 100


def test_sentences_and_sets_are_scored_with_one_tokenizer():
    for language in languages.known_languages("flores200"):
        assert scores.bleu_tokenizer(language) == translation.tokenizer(language)
    found = {scores.bleu_tokenizer(code) for code in languages.known_languages("flores200")}
    assert {"13a", "zh", "char"} <= found


@pytest.mark.parametrize(
    ("text", "expected", "script"),
    [
        ("Hello 世界!", "Latn", "Latn"),
        ("世界和平 hi", "Hant", "Hant"),
        ("世界", "Latn", "Hani"),
        ("大阪", "Jpan", "Jpan"),
        ("これは世界", "Hans", "Jpan"),
        ("Привет", "Latn", "Cyrl"),
        ("สวัสดี", "Thai", "Thai"),
        ("한국어", "Hang", "Hang"),
        ("ＡＢＣ", "", "Latn"),
        ("1987 %", "Latn", None),
        ("", "Latn", None),
    ],
)
def test_script_of_most_letters(text: str, expected: str, script: str | None):
    assert written_script(text, expected=expected) == script


@pytest.mark.parametrize(
    ("text", "asked", "language"),
    [
        ("Die Mannschaft gewann das Spiel im letzten Jahr.", "deu_Latn", "deu_Latn"),
        ("The team won the game in the last year.", "deu_Latn", "eng_Latn"),
        ("L'équipe a gagné le match l'année dernière.", "deu_Latn", "fra_Latn"),
        ("ทีมชนะการแข่งขันเมื่อปีที่แล้ว", "tha_Thai", "tha_Thai"),
        ("球队去年赢得了比赛。", "zho_Hans", "zho_Hans"),
        ("球隊去年贏得了比賽。", "zho_Hant", "zho_Hant"),
        ("チームは昨年の試合に勝ちました。", "zho_Hans", "jpn_Jpan"),
        ("Команда выиграла матч в прошлом году.", "eng_Latn", "rus_Cyrl"),
        ("Drużyna wygrała mecz w zeszłym roku.", "pol_Latn", "pol_Latn"),
        ("Denver", "eng_Latn", None),
        ("γάτα", "ell_Grek", None),
        ("แมว", "tha_Thai", None),
        ("1987, 1988, 1989, 1990", "eng_Latn", None),
        ("The team won the game in the last year.", "ace_Latn", None),
    ],
)
def test_language_of_a_text(text: str, asked: str, language: str | None):
    script = written_script(text, expected=asked.partition("_")[2])
    assert written_language(text, script=script, language=asked) == language


def test_without_the_library_no_language_is_told(monkeypatch: pytest.MonkeyPatch):
    cached = (writing._identifier, writing._known, writing._candidates)
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    for each in cached:
        each.cache_clear()
    text = "The team won the game in the last year."
    assert written_language(text, script="Latn", language="eng_Latn") is None
    monkeypatch.undo()
    for each in cached:
        each.cache_clear()
    assert written_language(text, script="Latn", language="eng_Latn") == "eng_Latn"


def test_repetition_counts_four_grams_that_came_before():
    assert repetition("a b c d e", script="Latn") == 0
    assert repetition("a b c d a b c d", script="Latn") == pytest.approx(1 / 5)
    assert repetition("no no no no no no", script="Latn") == pytest.approx(2 / 3)
    assert repetition("a b c", script="Latn") is None
    assert repetition("", script=None) is None
    assert repetition("好好 好好好", script="Hans") == 0.5


@pytest.mark.parametrize(
    ("task", "language", "references", "text", "has"),
    [
        ("span", "deu_Latn", ("Haus",), "das Haus", {"exact", "f1", "f1_mixed", "answer"}),
        ("number", "deu_Latn", ("18",), "Antwort: 18", {"exact", "answer"}),
        ("number", "deu_Latn", ("18",), "keine", {"exact"}),
        ("translation", "deu_Latn", ("das Haus",), "ein Haus", {"chrf", "bleu"}),
        ("text", "deu_Latn", ("das Haus",), "ein Haus", set()),
        ("span", "deu_Latn", ("Haus",), "", {"exact", "f1", "f1_mixed"}),
    ],
)
def test_a_row_has_the_scores_of_its_task(
    task: Task, language: str, references: tuple[str, ...], text: str, has: set[str]
):
    item = GenerationItem(id="1", prompt="?", references=references)
    asked = GenerationSet(
        benchmark="b", language=language, prompt="p", items=(item,), max_new_tokens=8, task=task
    )
    found = scored(asked, item, text)
    assert list(found) == list(SCORES) == ALL_TABLES["generations"].schema.names[-len(SCORES) :]
    here = {name for name, value in found.items() if value is not None}
    assert here - {"written_script", "written_language", "repetition"} == has
    assert found["written_script"] == ("Latn" if text else None)
    assert all(isinstance(found[name], float) for name in has - {"answer"})


def test_a_number_among_others_is_right():
    item = GenerationItem(id="1", prompt="?", references=("1234",))
    asked = GenerationSet(
        benchmark="mgsm", language="deu_Latn", prompt="p", items=(item,), max_new_tokens=8,
        task="number",
    )  # fmt: skip
    found = scored(asked, item, "Er hat 5 und 6, also Antwort: 1.234 Eier")
    assert (found["exact"], found["answer"]) == (1.0, "1234")
    assert scored(asked, item, "1,234")["exact"] == 1.0
    assert scored(asked, item, "1,23")["exact"] == 0.0

"""The number that a text gives as its answer, read in any script and by the language's signs.

The rule: the last number on the line behind a word that announces an answer ("Answer", or the
language's own), of the last such word with a number behind it; without one, the last number of the
text. Digits of every script count (Arabic, Devanagari, Bengali, Thai, full width). A sign between
thousands is told from a decimal one by its place, and where that leaves both open by the language:
"1.234" is 1234 in German and 1.234 in English. Numbers in words are not read.
"""

import re
import unicodedata
from decimal import Decimal
from functools import cache

from studies.open_prompts import answer_words

# Those of prompts apart, what announces an answer where prompts say it in English.
MORE_WORDS = {
    "ben": ("উত্তর",),
    "fra": ("réponse",),
    "jpn": ("答え", "解答"),
    "swh": ("jibu",),
    "tel": ("సమాధానం", "జవాబు"),
    "tha": ("คำตอบ",),
    "zho": ("答案",),
}
# A comma before decimals and a point between thousands, by the languages' usual ways of writing.
DECIMAL_COMMA = frozenset(
    [
        *("afr", "bel", "bul", "cat", "ces", "dan", "deu", "ell", "est", "eus", "fin", "fra"),
        *("glg", "hrv", "hun", "hye", "ind", "isl", "ita", "kat", "kaz", "lit", "lvs", "mkd"),
        *("nld", "nno", "nob", "pol", "por", "ron", "rus", "slk", "slv", "spa", "sqi", "srp"),
        *("swe", "tur", "ukr", "uzn", "vie"),
    ]
)
# Spaces that keep a line together part thousands in every language, plain ones where commas part
# decimals.
SPACES = "\u00a0\u202f\u2009\u2007"
APOSTROPHES = "'’"
MINUS = "−－–-"
# Arabic signs by two that no text has, full-width ones by the plain ones that they stand for.
DECIMAL, THOUSANDS = "\uf000", "\uf001"
PLAIN = str.maketrans({"٫": DECIMAL, "٬": THOUSANDS, "，": ",", "．": "."})


def number_in(text: str, *, language: str) -> str | None:
    """The answer of a text as a plain number such as -1234.5; None where it has none."""
    folded = text.casefold()
    announced = sorted(
        match.end() for word in _words(language) for match in re.finditer(re.escape(word), folded)
    )
    lines = [folded[place:].partition("\n")[0] for place in reversed(announced)]
    for part in (*lines, text):
        if found := _numbers(part, language=language):
            return found[-1]
    return None


def same_number(text: str, reference: str, *, language: str) -> bool:
    """Whether a text answers with a reference, which is written with digits and a point."""
    answer, right = number_in(text, language=language), number_in(reference, language="eng_Latn")
    return answer is not None and right is not None and Decimal(answer) == Decimal(right)


@cache
def _words(language: str) -> tuple[str, ...]:
    own = (*answer_words(language), *MORE_WORDS.get(language.partition("_")[0], ()))
    return tuple(dict.fromkeys(word.casefold() for word in own))


@cache
def _pattern(*, comma: bool) -> re.Pattern[str]:
    """What may be a number, with its sign: digits that spaces part, or any other signs."""
    space = SPACES + " " * comma
    parted = rf"\d{{1,3}}(?:[{space}]\d{{3}})+(?!\d)(?:[.,{DECIMAL}]\d+)?"
    joined = rf"\d+(?:[.,{APOSTROPHES}{DECIMAL}{THOUSANDS}]\d+)*"
    return re.compile(rf"(?P<minus>(?<![\w{MINUS}])[{MINUS}][$€£¥₹]?)?(?P<body>{parted}|{joined})")


def _numbers(text: str, *, language: str) -> list[str]:
    """Every number of a text, in its order."""
    comma = language.partition("_")[0] in DECIMAL_COMMA
    found: list[str] = []
    for match in _pattern(comma=comma).finditer(text.translate(PLAIN)):
        body = "".join(
            str(unicodedata.decimal(one)) if one.isdecimal() else one
            for one in match["body"]
            if not one.isspace()
        )
        values = _read(body, comma=comma)
        if match["minus"]:
            values[0] = f"-{values[0]}"
        found += values
    return [_shortest(value) for value in found]


def _read(body: str, *, comma: bool) -> list[str]:
    """The number that digits and signs make, or several where they make no single one.

    What is grouped by the language's sign of decimals has two groups, or decimals of its own.
    """
    body = re.sub(rf"(?<=\d)[{APOSTROPHES}{THOUSANDS}](?=\d{{3}}(?!\d))", "", body)
    if DECIMAL in body:
        return [body.replace(",", "").replace(".", "").replace(DECIMAL, ".")]
    own, other = (",", ".") if comma else (".", ",")
    for decimal, thousands in ((own, other), (other, own)):
        grouped = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{2,3}})*{re.escape(thousands)}\d{{3}}"
        ending = rf"(?:{re.escape(decimal)}\d+)?"
        sure = decimal == own or body.count(thousands) > 1 or decimal in body
        if sure and not body.startswith("0") and re.fullmatch(grouped + ending, body):
            return [body.replace(thousands, "").replace(decimal, ".")]
    if re.fullmatch(rf"\d+{re.escape(own)}\d+", body):
        return [body.replace(own, ".")]
    if comma and re.fullmatch(r"\d+\.\d+", body):
        return [body]
    return re.findall(r"\d+", body)


def _shortest(value: str) -> str:
    """Without zeros that say nothing."""
    number = Decimal(value).normalize()
    return f"{number + 0:f}"

"""The number a text gives as its answer, in any script and any usual notation.

The rule, first match wins: what stands in the last `\\boxed{}`; what follows the last `####`; the
number right behind the last phrase such as "the answer is"; the last number on the line behind the
last word that announces an answer ("Answer", or the language's own); the last number of the text.
Thoughts (thoughts.py) are not searched.

Read are digits of every script, currencies on either side, signs, grouped thousands, fractions,
powers of ten, LaTeX, and counting units such as "2 million" or "5万". A sign between thousands is
told from a decimal one by its place, and where that leaves both open by the language: "1.234" is
1234 in German and 1.234 in English. In languages with a decimal comma one sign before exactly three
digits groups them, whichever it is: their readers write "5.000", models also "5,000", and answers
with three decimals hardly occur. Numbers spelled out in words are not read.
"""

import re
import unicodedata
from fractions import Fraction
from functools import cache

from actors.scoring.thoughts import split_thought
from studies.open_prompts import answer_words

# What announces an answer where the prompts say it in English, or in another word.
MORE_WORDS = {
    "ben": ("উত্তর",),
    "deu": ("lösung", "ergebnis"),
    "fra": ("réponse",),
    "jpn": ("答え", "解答", "回答"),
    "rus": ("ответ",),
    "swh": ("jibu",),
    "tel": ("సమాధానం", "జవాబు"),
    "tha": ("คำตอบ",),
    "zho": ("答案",),
}
# What joins such a word to its number, as in "the answer is 18"; English everywhere.
COPULAS = {
    "ben": ("হল", "হলো", "হচ্ছে", "হবে", "টি", "টি হল", "টি হলো"),
    "deu": ("ist", "lautet", "beträgt", "wäre"),
    "eng": ("is", "equals", "is equal to", "would be", "will be", "is therefore"),
    "fra": ("est", "est de", "sera", "serait", "est donc"),
    "jpn": ("は",),
    "rus": ("—", "–", "равен", "равно", "это", "будет"),
    "spa": ("es", "es de", "sería", "será", "es igual a"),
    "swh": ("ni", "ni la", "itakuwa"),
    "tha": ("คือ", "เท่ากับ"),
    "zho": ("是", "為", "为", "等于", "应该是", "应为"),
}
# Counting units, which stand behind a number, in Swahili before it; English everywhere.
UNITS = {
    "ben": {"হাজার": 3, "লক্ষ": 5, "লাখ": 5, "কোটি": 7},
    "deu": {"tausend": 3, r"mio\.?": 6, r"million(?:en)?": 6, r"mrd\.?": 9, r"milliarden?": 9},
    "eng": {"hundred": 2, "thousand": 3, "million": 6, "billion": 9},
    "fra": {"mille": 3, "millions?(?: de)?": 6, "milliards?(?: de)?": 9},
    "rus": {r"тыс(?:яч[аи]?)?\.?": 3, r"млн\.?": 6, r"миллион(?:а|ов)?": 6, r"млрд\.?": 9},
    "spa": {r"mil millones": 9, "mil": 3, r"mill(?:ón|ones)": 6},
    "tel": {"వేలు?": 3, "వేల": 3, "లక్షలు?": 5, "లక్షల": 5, "కోట్లు?": 7, "కోట్ల": 7},
    "tha": {"พัน": 3, "หมื่น": 4, "แสน": 5, "ล้าน": 6},
}
UNITS_BEFORE = {"swh": {"elfu": 3, "laki": 5, "milioni": 6}}
# "1億2000万", "1万5千": largest first. A thousand before a metric unit is part of that unit.
HAN = {"百(?!分)": 2, "千(?![克米瓦卡赫焦])": 3, "[万萬]": 4, "[億亿]": 8}
# "1.5 × 10^3", "1.5e3"; and what stands below a fraction's line.
# A model may write any exponent, and one of nine digits would take all memory.
TENS = re.compile(r"\s?[×x*]\s?10\s?(?:\^|\*\*)\s?\{?(-?\d{1,2})\}?(?!\d)|e([+-]?\d{1,2})(?!\w)")
UNDER = re.compile(r"\s?/\s?(0{0,9}[1-9]\d{0,30})(?![\d/]|[.,]\d)")

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
APOSTROPHES = "'’_"
MINUS = r"−－–\-"
# Arabic signs by two that no text has, full-width ones by the plain ones that they stand for.
DECIMAL, THOUSANDS = "\uf000", "\uf001"
PLAIN = str.maketrans(
    {"٫": DECIMAL, "٬": THOUSANDS, "，": ",", "．": ".", "：": ":", "＝": "=", "％": "%"}
)
CALCULATION = re.compile(rf"[{MINUS}]?[\d.,\s$]+[+*/×÷=x{MINUS}]\s?\$?\d")
# No answer has more signs, and Python turns no more than some thousand digits into a number.
LONGEST = 100
# What may stand between a word and its number: marks of emphasis, a colon, a currency.
MARKS = r"[\s:*_`\"'“”=≈~(\[{]*"


def number_in(text: str, *, language: str) -> str | None:
    """The answer of a text as a plain number such as `-1234.5`; None where it has none.

    A fraction that has no end as a decimal stays one, such as `1/3`.
    """
    plain = _plain(text)
    for part, which in _places(plain, language=language):
        if found := _numbers(part, language=language):
            return _written(found[which])
    return None


def same_number(text: str, reference: str, *, language: str) -> bool:
    """Whether a text answers with a reference, which is written with digits and a point."""
    answer, right = number_in(text, language=language), number_in(reference, language="eng_Latn")
    return answer is not None and right is not None and Fraction(answer) == Fraction(right)


def _plain(text: str) -> str:
    """The text in one notation: composed, one currency sign, LaTeX as plain characters."""
    text = unicodedata.normalize("NFC", split_thought(text, prompt="").answer.casefold())
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r" \1/\2 ", text)
    text = re.sub(r"\{,\}\s*(?:\\!)?", ",", text).replace("\\!", "")
    text = re.sub(r"\\(?:times|cdot)", "×", re.sub(r"\\[,;: ]", "\u202f", text))
    text = re.sub(r"\\([$%])", r"\1", text)
    return "".join(_character(one) for one in text).translate(PLAIN)


def _character(one: str) -> str:
    kind = unicodedata.category(one)
    if kind == "Sc":
        return "$"
    if kind == "Cf":  # marks of direction, joiners, the byte order mark
        return ""
    if kind == "No" and "\u2044" in (parts := unicodedata.normalize("NFKC", one)):
        return f" {parts}".replace("\u2044", "/")  # a vulgar fraction
    return one


def _places(text: str, *, language: str) -> list[tuple[str, int]]:
    """Where the answer may stand, the likeliest first, and which of the numbers there it is."""
    boxed = re.findall(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text)
    marked = re.findall(r"####(.*)", text)
    words, copulas = _announcing(language)
    stated = [
        text[match.end() :].partition("\n")[0]
        for match in re.finditer(rf"{words}{MARKS}(?:{copulas}){MARKS}(?=[{MINUS}]?\$?\d)", text)
    ]
    lines = [text[match.end() :].partition("\n")[0] for match in re.finditer(words, text)]
    places = [(part, -1) for part in (*reversed(boxed), *reversed(marked))]
    # Where a calculation follows, its result is what is stated.
    places += [(line, -1 if CALCULATION.match(line) else 0) for line in reversed(stated)]
    return [*places, *((line, -1) for line in reversed(lines)), (text, -1)]


@cache
def _announcing(language: str) -> tuple[str, str]:
    """Patterns of the words that announce an answer, and of what joins them to a number."""
    code = language.partition("_")[0]
    words = (*answer_words(language), *MORE_WORDS.get(code, ()))
    found = [_word(_fold(word)) for word in dict.fromkeys(words)]
    copulas = sorted({*COPULAS["eng"], *COPULAS.get(code, ())}, key=len, reverse=True)
    return f"(?:{'|'.join(found)})", "|".join(_word(_fold(copula)) for copula in copulas)


def _fold(word: str) -> str:
    return unicodedata.normalize("NFC", word.casefold())


def _word(word: str) -> str:
    """A pattern of a whole word, where the script parts words and joins no endings to them."""
    whole = _ending(word)
    return rf"(?<!\w){re.escape(word)}{whole}" if whole else re.escape(word)


def _ending(word: str) -> str:
    """What ends a word: no letter behind it, where the script parts words."""
    apart = unicodedata.name(word[0]).startswith(("LATIN", "CYRILLIC", "GREEK"))
    return r"(?![\w-])" if apart else ""


@cache
def _pattern(code: str) -> re.Pattern[str]:
    """What may be a number: its sign and currency, and digits that spaces or signs part."""
    space = SPACES + " " * (code in DECIMAL_COMMA)
    parted = rf"\d{{1,3}}(?:[{space}]\d{{3}})+(?!\d)(?:[.,{DECIMAL}]\d+)?"
    joined = rf"\d+(?:[.,{APOSTROPHES}{DECIMAL}{THOUSANDS}]\d+)*"
    # A sign is no dash between numbers; behind "=" it may stand apart from its number.
    minus = rf"(?<![\w{MINUS})%])[{MINUS}](?=\s?\$|\d)|\$\s?[{MINUS}](?=\d)|(?<==)\s*[{MINUS}]\s*"
    before = "|".join(UNITS_BEFORE.get(code, ())) or "(?!)"
    return re.compile(
        rf"(?P<minus>{minus})?\s?(?:(?<!\w)(?P<before>{before})\s+)?(?P<money>\$\s?)?"
        rf"(?P<body>{parted}|{joined})"
    )


@cache
def _units(code: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """Patterns of what multiplies the number before it, each with its power of ten."""
    words = UNITS["eng"] | UNITS.get(code, {})
    return (
        *((re.compile(rf"\s?{word}{_ending(word)}"), power) for word, power in words.items()),
        *((re.compile(rf"{unit}[万萬]"), power + 4) for unit, power in (("百", 2), ("千", 3))),
        *((re.compile(unit), power) for unit, power in HAN.items()),
    )


def _numbers(text: str, *, language: str) -> list[Fraction]:
    """Every number of a text, in its order."""
    code = language.partition("_")[0]
    found: list[Fraction] = []
    end = power = 0  # of the number before: where it ends, and its counting unit
    for match in _pattern(code).finditer(text):
        if match.start("body") < end or len(match["body"]) > LONGEST:
            continue  # the lower half of a fraction, or a model that repeats itself
        gap, end, larger = text[end : match.start("body")], match.end(), power
        money = bool(match["money"]) or bool(re.match(r"\s?\$", text[end:]))
        value, *more = _read(match["body"], comma=code in DECIMAL_COMMA, money=money)
        power = UNITS_BEFORE.get(code, {}).get(match["before"], 0)
        for pattern, tens in _units(code):
            if behind := pattern.match(text, end):
                power, end = tens, behind.end()
                break
        if behind := TENS.match(text, end):
            power, end = power + int(behind[1] or behind[2]), behind.end()
        value *= Fraction(10) ** power
        over = match["body"].isdecimal() and not text[: match.start("body")].endswith("/")
        if over and (behind := UNDER.match(text, end)):
            value, end = value / int(behind[1]), behind.end()
            beside = gap.isspace() and "\n" not in gap
            if found and beside and not match["minus"] and found[-1].denominator == 1:
                whole = found.pop()  # "2 1/2"
                value = whole - value if whole < 0 else whole + value
        elif found and not gap and power < larger:
            value += found.pop()  # "1万5千"
        found += [-value if match["minus"] else value, *more]
    return found


def _read(body: str, *, comma: bool, money: bool) -> list[Fraction]:
    """The number that digits and signs make, or several where they make no single one.

    What is grouped by the language's sign of decimals has two groups, or decimals of its own.
    """
    digits = (str(unicodedata.decimal(one)) if one.isdecimal() else one for one in body)
    body = "".join(one for one in digits if not one.isspace())
    body = re.sub(rf"(?<=\d)[{APOSTROPHES}{THOUSANDS}](?=\d{{3}}(?!\d))", "", body)
    if DECIMAL in body:
        return [Fraction(body.replace(",", "").replace(".", "").replace(DECIMAL, "."))]
    own, other = (",", ".") if comma else (".", ",")
    for decimal, thousands in ((own, other), (other, own)):
        grouped = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{2,3}})*{re.escape(thousands)}\d{{3}}"
        ending = rf"(?:{re.escape(decimal)}\d+)?"
        # Money has two decimals, and three decimals are rare where a comma parts them.
        sure = decimal == own or comma or money or body.count(thousands) > 1 or decimal in body
        if sure and not body.startswith("0") and re.fullmatch(grouped + ending, body):
            return [Fraction(body.replace(thousands, "").replace(decimal, "."))]
    if re.fullmatch(rf"\d+{re.escape(own)}\d+", body):
        return [Fraction(body.replace(own, "."))]
    if comma and re.fullmatch(r"\d+\.\d+", body):
        return [Fraction(body)]
    return [Fraction(one) for one in re.findall(r"\d+", body)]


def _written(value: Fraction) -> str:
    """A decimal without zeros that say nothing, or a fraction where it has no end."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest > 1:
        return str(value)
    places = value.denominator.bit_length()  # 2 to the power n has n decimals, 5 fewer
    whole, decimals = divmod(abs(value.numerator) * 10**places // value.denominator, 10**places)
    text = f"{whole}.{decimals:0{places}}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text

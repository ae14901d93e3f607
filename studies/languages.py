"""Languages: one code for each, whatever a data set calls it.

Inside the project a language is `eng_Latn`: ISO 639-3, then the script, as FLORES-200 writes it.
Data sets have codes of their own (`en`, `eng`, `ES_LA`); `language_codes.csv` holds them as facts,
and loaders convert at their edge. A code says which language is meant, not that every text is in
that script: m_arc's `sr` is `srp_Cyrl` here, and its text is in Latin letters.
"""

import csv
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from studies.addresses import TRAIN

TABLE = "language_codes.csv"
CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}(_\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What is known of a language. Reports use it; nothing here bears identity but `code`.

    `family` is "top/branch"; `resource` is the class of Joshi et al. (2020), 0 to 5, or None where
    that list is silent.
    """

    code: str
    name: str
    iso639_3: str
    script: str
    family: str
    resource: int | None


def flores_style(dataset: str, code: str) -> str:
    """The project's code for what `dataset` calls `code`; a code already in that style stays.

    Raises:
        ValueError: neither the data set nor the table of languages knows the code.
    """
    codes = _codes(dataset)
    if code in codes:
        return codes[code]
    if code in _languages():
        return code
    raise ValueError(
        f"{dataset} has no language code {code!r}{_suggestion(code, codes)}; "
        f"expected one of its {len(codes)} codes, or a code such as eng_Latn"
    )


def source_code(dataset: str, language: str) -> str:
    """What `dataset` calls a language; data sets without codes of their own use the project's."""
    check((language,))
    codes = _codes(dataset)
    for code, known in codes.items():
        if known == language:
            return code
    if not codes:
        return language
    raise ValueError(absent(dataset, language=language, present=codes.values()))


def absent(dataset: str, *, language: str, present: Iterable[str]) -> str:
    """The sentence that says a data set lacks a language, how many it has and which are close."""
    held = sorted(present)
    close = difflib.get_close_matches(language, held, n=3, cutoff=0.5)
    same = [code for code in held if code[:3] == language[:3]]
    near = ", ".join(dict.fromkeys(same + close)) or ", ".join(held[:5])
    return f"{dataset} has no {language}; languages it has: {len(held)}, closest: {near}"


def known_languages(dataset: str) -> tuple[str, ...]:
    """All languages the table lists for a data set, sorted; empty where it lists none."""
    return tuple(sorted(_codes(dataset).values()))


def language(code: str) -> Language:
    """Name, script, family and resource class of a language."""
    check((code,))
    return _languages()[code]


def all_codes() -> tuple[str, ...]:
    """Every language that there is, sorted."""
    return tuple(sorted(_languages()))


def check(codes: Iterable[str]) -> None:
    """Raise ValueError for the first code that names no language, with what was likely meant."""
    for code in codes:
        if code not in _languages():
            raise ValueError(
                f"unknown language {code!r}{_suggestion(code, {})}; "
                "expected a code such as eng_Latn: ISO 639-3, underscore, script"
            )


def _suggestion(code: str, codes: dict[str, str]) -> str:
    """`: did you mean deu_Latn?`, or nothing."""
    meant = [codes[code]] if code in codes else []
    # A script that the language is not written in is the commonest slip: rus_Latn for rus_Cyrl.
    language = code.partition("_")[0]
    meant += _aliases().get(code.casefold()) or _aliases().get(language.casefold(), [])
    if not meant:
        candidates = [*codes, *_languages()]
        meant = difflib.get_close_matches(code, candidates, n=3, cutoff=0.6)
    return f": did you mean {' or '.join(dict.fromkeys(meant[:3]))}?" if meant else ""


@cache
def _table() -> tuple[dict[str, str], ...]:
    text = (files("studies") / TABLE).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _plain(row: dict[str, str]) -> str:
    """The code of a row before collisions inside its data set are looked at."""
    return row["flores_code"] or f"{row['iso639_3']}_{row['script']}"


@cache
def _codes(dataset: str) -> dict[str, str]:
    """Own code to project code of one data set, one to one.

    Where several of its codes mean one language (eng, eng-GB), the untagged one is that language
    and the others keep their tag: eng_Latn_GB.
    """
    name = dataset.removesuffix(TRAIN)
    plain = {row["code"]: _plain(row) for row in _table() if row["dataset"] == name}
    shared = {code for code in plain.values() if list(plain.values()).count(code) > 1}
    codes = {}
    for own, code in plain.items():
        tag = own.partition("-")[2]
        codes[own] = f"{code}_{tag}" if code in shared and tag else code
    assert len(set(codes.values())) == len(codes), f"{TABLE}: {dataset} has two codes of one name"
    return codes


@cache
def _languages() -> dict[str, Language]:
    """Every language by its code. The first row wins: FLORES comes first and names best."""
    found: dict[str, Language] = {}
    for row in _table():
        code = _codes(row["dataset"])[row["code"]]
        if code in found:
            continue
        found[code] = Language(
            code=code,
            name=row["name"],
            iso639_3=row["iso639_3"],
            script=code.split("_")[1],
            family=row["family"],
            resource=int(row["resource"]) if row["resource"] else None,
        )
    assert all(CODE.fullmatch(code) for code in found), f"{TABLE}: a code is not like eng_Latn"
    return found


@cache
def _aliases() -> dict[str, list[str]]:
    """What people type instead of a code: another data set's code, ISO 639-3, or the name."""
    meant: dict[str, list[str]] = {}
    for row in _table():
        code = _codes(row["dataset"])[row["code"]]
        names = {row["code"], row["iso639_3"], row["name"], code.split("_")[0]}
        for name in names:
            codes = meant.setdefault(name.casefold(), [])
            if code not in codes:
                codes.append(code)
    return meant

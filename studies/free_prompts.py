"""Prompts of one's own from a file: JSON lines with an id and a prompt, or one prompt to a line.

In FILE.jsonl every line is an object with `id` and `prompt`, and may have `language`, such as
deu_Latn, and `references`, texts that count as right. In FILE.txt every line is a prompt, and its
number the id.
"""

from collections.abc import Iterator
from pathlib import Path

from studies import languages, text_files
from studies.rows import checked_id
from studies.texts import GenerationItem, GenerationSet

SUFFIXES = (".jsonl", ".txt")
FIELDS = ("id", "prompt", "language", "references")
# ISO 639-3 and ISO 15924 for what nobody has said.
UNKNOWN = "und_Zyyy"
MAX_NEW_TOKENS = 256


def free_sets(path: Path, *, limit: int | None = None) -> tuple[GenerationSet, ...]:
    """The prompts of a file, one set for each language, in the order of their first lines.

    Args:
        path: the file.
        limit: keep so many of the first prompts of each language; None keeps all.

    Raises:
        ValueError: there is no such file, or one of its lines is no prompt.
    """
    by_language: dict[str, list[GenerationItem]] = {}
    places: dict[str, str] = {}
    for where, language, item in _prompts(path):
        if item.id in places:
            raise ValueError(
                f"{path}, {where}: id {item.id!r} was already used in {places[item.id]}"
            )
        places[item.id] = where
        by_language.setdefault(language, []).append(item)
    if not by_language:
        raise ValueError(f"{path} has no prompt: expected at least one line")
    return tuple(
        GenerationSet(
            benchmark=f"prompts/{path.stem}",
            language=language,
            prompt="as it is",
            items=tuple(items[:limit]),
            max_new_tokens=MAX_NEW_TOKENS,
            task="text",
        )
        for language, items in by_language.items()
    )


def _prompts(path: Path) -> Iterator[tuple[str, str, GenerationItem]]:
    """Every prompt, with where it stands and its language."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"prompts {path}: expected a file that ends in .jsonl or .txt")
    blank = 0  # lines that are prompts of nothing, unless they are the last ones
    for number, line in text_files.lines(path):
        if not line.strip():
            blank = blank or number
            continue
        if blank:
            raise ValueError(f"{path}, line {blank} is blank: expected a prompt")
        where = f"{path}, line {number}"
        entry: object = {"id": str(number), "prompt": line}
        if path.suffix == ".jsonl":
            entry = text_files.parse(line, where=where)
        yield f"line {number}", *_understood(entry, where=where)


def _understood(entry: object, *, where: str) -> tuple[str, GenerationItem]:
    """A line's language and prompt."""
    if not isinstance(entry, dict) or not {"id", "prompt"} <= entry.keys():
        raise ValueError(f"{where}: expected an object with id and prompt, found {str(entry)[:60]}")
    if unknown := [name for name in entry if name not in FIELDS]:
        raise ValueError(f"{where}: unknown field {unknown[0]!r}: expected {', '.join(FIELDS)}")
    prompt, references = entry["prompt"], entry.get("references") or []
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{where}: prompt is {prompt!r}, expected a text")
    if not isinstance(references, list) or not all(isinstance(one, str) for one in references):
        raise ValueError(f"{where}: references is {references!r}, expected a list of texts")
    language = entry.get("language") or UNKNOWN
    if language != UNKNOWN:
        try:
            languages.check((str(language),))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    id = checked_id(entry, "id", where=where)
    return str(language), GenerationItem(id=id, prompt=prompt, references=tuple(references))

"""A small data root on disk: four languages, two models, made in milliseconds."""

import json
import random
from pathlib import Path

from tests import tiny

LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn")
PAIRS = 12
STORIES = 6


def sentences(language: str) -> list[str]:
    """Different in every language, the same in every call."""
    source = random.Random(language)
    letters = "abcdefghijklmnop"
    return [
        " ".join("".join(source.choices(letters, k=source.randint(2, 7))) for _ in range(5))
        for _ in range(PAIRS)
    ]


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data_root(folder: Path) -> Path:
    """flores200 in four languages and xstorycloze in three (German is missing)."""
    for language in LANGUAGES:
        rows = [{"id": i, "sentence": text} for i, text in enumerate(sentences(language), 1)]
        write_lines(folder / "flores200" / f"{language}.jsonl", rows)
    for code in ("en", "es", "sw"):
        words = random.Random(f"story {code}")
        stories = []
        for number in range(STORIES):
            texts = ["".join(words.choices("abcdef ", k=20)).strip() + "." for _ in range(6)]
            story: dict[str, object] = {
                f"input_sentence_{place}": text for place, text in enumerate(texts[:4], 1)
            }
            story |= {"id": number, "story_id": f"s{number}"}
            story |= {"sentence_quiz1": texts[4], "sentence_quiz2": texts[5]}
            stories.append(story | {"answer_right_ending": 1 + number % 2})
        write_lines(folder / "xstorycloze" / f"{code}.jsonl", stories)
    return folder


def models() -> list[str]:
    """Folders of two tiny models of different families."""
    return [tiny.make(family).folder for family in ("llama", "qwen2")]


def arguments(root: Path, out: Path, *extra: str, models: list[str]) -> list[str]:
    """The command line of a small study over that data."""
    named = [part for model in models for part in ("--model", model)]
    return [
        *("run", "neuronxa", *named, "--parallel", "flores200", "--pairs", "8"),
        *("--language", "all", "--benchmark", "xstorycloze", "--data-root", str(root)),
        *("--out", str(out), "--cluster", "inline", *extra),
    ]

"""The rows of a data root as models are asked them, and draws by their ids.

Imports nothing of ours. Prompts are written out here.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """A question as a model sees it, and what counts as right."""

    context: str
    options: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    gold: int = 0
    answers: tuple[str, ...] = ()


CODES = {"eng_Latn": "en", "spa_Latn": "es", "deu_Latn": "de", "swh_Latn": "sw", "tur_Latn": "tr"}
WORDS = {
    "eng_Latn": ("Context:", "Question:", "Answer:"),
    "spa_Latn": ("Contexto:", "Pregunta:", "Respuesta:"),
    "deu_Latn": ("Kontext:", "Frage:", "Antwort:"),
    "tur_Latn": ("Bağlam:", "Soru:", "Cevap:"),
}

Turn = Callable[[str, dict[str, Any]], dict[str, Any]]


def rows(data: Path, dataset: str, language: str) -> list[dict[str, Any]]:
    """The rows of one file of a data root."""
    names = (language, CODES.get(language, language))
    found = [path for name in names if (path := data / dataset / f"{name}.jsonl").is_file()]
    if not found:
        raise SystemExit(f"{data / dataset}: no file for {language}")
    return [json.loads(line) for line in found[0].read_text(encoding="utf-8").split("\n") if line]


def digest(*parts: object) -> str:
    """SHA-256 of a JSON list without spaces, in hex: what stands for a draw by id and seed."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def questions(
    data: Path, benchmark: str, language: str, prompt: str, *, turn: Turn = lambda id, row: row
) -> dict[str, Question]:
    """The questions of a benchmark, by id, in one of its prompts written out; `turn` may make
    another row of each."""
    put = {
        "belebele": _reading, "xstorycloze": _story, "xquad": _span, "mgsm": _problem,
        "xnli": _inference,
    }  # fmt: skip
    if benchmark not in put:
        raise SystemExit(
            f"the prompts of {benchmark} are not known, only those of {', '.join(put)}"
        )
    name = {"xstorycloze": "story_id"}.get(benchmark, "id")
    found = {str(row[name]): row for row in rows(data, benchmark, language)}
    return {id: put[benchmark](turn(id, row), language, prompt) for id, row in found.items()}


def _reading(row: dict[str, Any], language: str, prompt: str) -> Question:
    texts = tuple(row[f"mc_answer{k}"] for k in range(1, 5))
    gold = int(row["correct_answer_num"]) - 1
    passage, asks = row["flores_passage"], row["question"]
    if prompt == "cloze":
        return Question(f"{passage} {asks}", tuple(f" {text}" for text in texts), texts, gold)
    listed = "".join(f"{letter}: {text}\n" for letter, text in zip("ABCD", texts, strict=True))
    context = {
        "letter": f"P: {passage}\nQ: {asks}\n{listed}Answer:",
        "latent": "Given the following question and answer choices, output the letter "
        f"corresponding to the correct answer.\n{passage}\nQuestion: {asks}\n{listed}Answer:",
    }[prompt]
    return Question(context, (" A", " B", " C", " D"), texts, gold)


def _story(row: dict[str, Any], language: str, prompt: str) -> Question:
    texts = (row["sentence_quiz1"], row["sentence_quiz2"])
    context = " ".join(row[f"input_sentence_{k}"] for k in range(1, 5))
    gold = int(row["answer_right_ending"]) - 1
    if prompt == "cloze":
        return Question(context, tuple(f" {text}" for text in texts), texts, gold)
    listed = "".join(f"{digit}. {text}\n" for digit, text in enumerate(texts))
    asks = {
        "digit": "Based on the story and two choices, select the choice that is the most likely "
        f"continuation of the story.\nStory: {context}\n{listed}The correct choice number is:"
    }[prompt]
    return Question(asks, (" 0", " 1"), texts, gold)


def _inference(row: dict[str, Any], language: str, prompt: str) -> Question:
    context = (
        "Does the premise entail the hypothesis? Answer with one number: 0 for entailment, "
        f"1 for neutral, 2 for contradiction.\nPremise: {row['premise']}\n"
        f"Hypothesis: {row['hypothesis']}\nAnswer:"
    )
    return Question(context, (" 0", " 1", " 2"), gold=int(row["label"]))


def _span(row: dict[str, Any], language: str, prompt: str) -> Question:
    said, asks, answer = WORDS[language]
    context = f"{said} {row['context']}\n\n{asks} {row['question']}\n\n{answer}"
    return Question(context, answers=tuple(row["answers"]["text"]))


def _problem(row: dict[str, Any], language: str, prompt: str) -> Question:
    _, asks, answer = WORDS[language]
    return Question(f"{asks} {row['question']}\n{answer}", answers=(str(row["answer_number"]),))


def samples(data: Path, dataset: str, languages: Sequence[str]) -> dict[str, list[str]]:
    """Contexts and questions that all languages have, in the order of the first."""
    found = {
        language: {
            str(row["id"]): f"{row['context']}\n{row['question']}"
            for row in rows(data, dataset, language)
        }
        for language in languages
    }
    ids = [id for id in found[languages[0]] if all(id in own for own in found.values())]
    return {language: [own[id] for id in ids] for language, own in found.items()}


def parallel(data: Path, dataset: str, languages: tuple[str, str], n: int) -> tuple[list[str], ...]:
    """The first n sentences that both languages have, in the order of the first."""
    first, second = (
        {str(row["id"]): row["sentence"].strip() for row in rows(data, dataset, language)}
        for language in languages
    )
    ids = [id for id in first if id in second][:n]
    return [first[id] for id in ids], [second[id] for id in ids]

"""Write each benchmark row as a prompt and what may follow it; it knows no score.

These are the prompts of the training text, so that training and evaluation ask in the same words.
"""

from collections.abc import Callable
from dataclasses import dataclass

from studies.miniworld.benchmarks import Row

VERDICTS = ("True", "Neither", "False")
LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A prompt, what could follow it, and which of those should."""

    prompt: str
    options: tuple[str, ...]
    gold: int


def letter_prompt(row: Row) -> str:
    """The lettered prompt of one reading row."""
    options = "".join(
        f"\n{name}: {row[f'mc_answer{place}']}" for place, name in enumerate(LETTERS, start=1)
    )
    return f"P: {row['flores_passage']}\nQ: {row['question']}{options}\nAnswer:"


def inference_prompt(row: Row) -> str:
    """The three-way prompt of one inference row."""
    return str(row["premise"]) + inference_question(str(row["hypothesis"]))


def inference_question(hypothesis: str) -> str:
    """What follows a premise, up to the verdict."""
    return f"\nQuestion: {hypothesis} True, False, or Neither?\nAnswer:"


def reading_choice(row: Row) -> Choice:
    """The reading question as cloze: which option follows passage and question."""
    return Choice(
        prompt=f"{row['flores_passage']} {row['question']}",
        options=tuple(f" {row[f'mc_answer{place}']}" for place in range(1, 5)),
        gold=int(str(row["correct_answer_num"])) - 1,
    )


def letter_choice(row: Row) -> Choice:
    """The reading question with lettered options: which letter follows."""
    return Choice(
        prompt=letter_prompt(row),
        options=tuple(f" {name}" for name in LETTERS),
        gold=int(str(row["correct_answer_num"])) - 1,
    )


def inference_choice(row: Row) -> Choice:
    """Which verdict follows."""
    return Choice(
        prompt=inference_prompt(row),
        options=tuple(f" {verdict}" for verdict in VERDICTS),
        gold=int(str(row["label"])),
    )


def story_choice(row: Row) -> Choice:
    """Which ending follows the four sentences."""
    sentences = [str(row[f"input_sentence_{place}"]) for place in range(1, 5)]
    return Choice(
        prompt=" ".join(sentences),
        options=(f" {row['sentence_quiz1']}", f" {row['sentence_quiz2']}"),
        gold=int(str(row["answer_right_ending"])) - 1,
    )


def span_choice(row: Row) -> Choice:
    """The span question, with the one right answer up to the end of its line."""
    answers = row["answers"]
    assert isinstance(answers, dict)
    return Choice(
        prompt=f"{row['context']}\nQuestion: {row['question']}\nAnswer:",
        options=(f" {answers['text'][0]}\n",),
        gold=0,
    )


CHOICES: dict[str, tuple[str, Callable[[Row], Choice]]] = {
    "reading": ("mini_belebele", reading_choice),
    "letters": ("mini_belebele", letter_choice),
    "inference": ("mini_xnli", inference_choice),
    "story": ("mini_xstorycloze", story_choice),
}

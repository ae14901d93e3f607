"""What a model thinks before it answers, told apart from its answer.

A thought stands between marks that a model was trained to write; a chat template may have begun it
already. What is scored is the answer behind it, and a text that ends inside a thought has none.
"""

from typing import NamedTuple

# How thoughts begin and end: Qwen, DeepSeek, SmolLM and most others; Magistral; Command A; Seed;
# gpt-oss; Apertus; Gemma's medical models; OpenThinker; Exaone and earlier ones.
MARKS = (
    *(("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>")),
    *(("<|START_THINKING|>", "<|END_THINKING|>"), ("<|inner_prefix|>", "<|inner_suffix|>")),
    *(("<|channel|>analysis", "<|channel|>final<|message|>"), ("<unused94>", "<unused95>")),
    *(("<|begin_of_thought|>", "<|end_of_thought|>"), ("<thought>", "</thought>")),
    *(("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>")),
)


class Split(NamedTuple):
    """A text's thought, None for none; its answer; and whether it ends inside the thought."""

    thought: str | None
    answer: str
    unfinished: bool


def split_thought(text: str, *, prompt: str) -> Split:
    """A text apart, behind the end of the prompt that it follows."""
    for begins, ends in MARKS:
        # A mark later on is part of an answer; where one ends nothing, the template began it.
        opened = prompt.rstrip().endswith(begins) or text.lstrip().startswith(begins)
        # The answer is behind the last thought: some models think again.
        behind = text.rpartition(ends)[2]
        if opened and (begins in behind or ends not in text):
            return Split(text.strip(), "", True)
        if ends in text and (opened or behind.strip()):
            return Split(text[: len(text) - len(behind)].strip(), behind.strip(), False)
    return Split(None, text.strip(), False)

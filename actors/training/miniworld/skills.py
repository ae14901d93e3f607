"""What training teaches, and how well a model has learned it in each language.

Shapes: B rows, T tokens, V vocabulary.
"""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from actors.training.miniworld.questions import Asked, ask
from studies.miniworld import LANGUAGES
from studies.miniworld.benchmarks import items
from studies.miniworld.worlds import Split

# A benchmark and one of its prompts.
SKILLS = {
    "reading": ("mini_belebele", "cloze"),
    "letters": ("mini_belebele", "letter"),
    "letters, long prompt": ("mini_belebele", "latent"),
    "knowledge": ("mini_mmlu", "cloze"),
    "knowledge letters": ("mini_mmlu", "letter"),
    "inference": ("mini_xnli", "labels"),
    "inference digits": ("mini_xnli", "digit"),
    "story": ("mini_xstorycloze", "cloze"),
    "story digits": ("mini_xstorycloze", "digit"),
}


def skill(name: str, *, language: str, split: Split, number: int) -> list[Asked]:
    """The first questions of a split that ask for a skill."""
    dataset, prompt = SKILLS[name]
    return [
        ask(item, dataset=dataset, prompt=prompt, language=language, number=place)
        for place, item in enumerate(items(dataset, split=split)[:number])
    ]


@torch.inference_mode()
def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: list[Asked]
) -> float:
    """Share of questions whose most probable option, all its tokens summed, is the right one."""
    pairs = [(each.context, option) for each in asked for option in each.options]
    scores: list[float] = []
    for begin in range(0, len(pairs), 64):
        chunk = pairs[begin : begin + 64]
        before = [tokenizer.encode(context) for context, _ in chunk]
        behind = [tokenizer.encode(option, add_special_tokens=False) for _, option in chunk]
        longest = max(len(a) + len(b) for a, b in zip(before, behind, strict=True))
        pad = tokenizer.pad_token_id
        tokens_BT = torch.tensor(
            [
                a + b + [pad] * (longest - len(a) - len(b))
                for a, b in zip(before, behind, strict=True)
            ]
        )
        logprobs_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float().log_softmax(-1)
        for row, (a, b) in enumerate(zip(before, behind, strict=True)):
            at = logprobs_BTV[row, len(a) - 1 : len(a) + len(b) - 1]
            scores.append(at.gather(1, torch.tensor(b)[:, None]).sum().item())
    right, place = 0, 0
    for each in asked:
        own = scores[place : place + len(each.options)]
        place += len(each.options)
        right += own.index(max(own)) == each.gold
    return right / len(asked)


def evaluate(folder: Path, *, split: Split, questions: int) -> None:
    """Print, as a Markdown table, the accuracy of one model per skill and language."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(f"\n{folder.name}\n\n| skill | {' | '.join(one[:3] for one in LANGUAGES)} |", flush=True)
    print("|---" * (len(LANGUAGES) + 1) + "|")
    for name in SKILLS:
        cells = [
            accuracy(
                model, tokenizer, skill(name, language=language, split=split, number=questions)
            )
            for language in LANGUAGES
        ]
        print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)

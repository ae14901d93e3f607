"""All layers and kinds of patch in one sweep, beside one hooked pass for each.

    python docs/benchmarks/patching.py [--layers 12] [--width 768] [--tokens 200] [--threads 1]

A Llama of that size with random weights answers prompts of so many tokens by letter, with the state
of its last token replaced at every layer by that of other prompts: one matched and some controls.
The naive way is one hooked pass of a batch of all prompts for each layer and kind, timed on a few
and scaled up. Both run in turn; the log-probabilities of both are compared. Rows are Markdown.
"""

import argparse
import time
from statistics import median

import torch
from transformers import LlamaConfig

from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.speed import shapes
from actors.sweeping.sweep import sweep

OPTIONS = 4
NAIVE = 6


def random_model(*, layers: int, width: int, threads: int) -> LoadedModel:
    """A Llama of this size with random weights."""
    shapes.SHAPES["asked"] = lambda: LlamaConfig(
        vocab_size=32000,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=2048,
    )
    return shapes.build("asked", device=torch.device("cpu"), dtype="float32", threads=threads)


def patches(loaded: LoadedModel, *, prompts: int, kinds: int) -> list[Setting]:
    """States for every prompt, at every layer, of each kind; random ones cost as much as others."""
    generator = torch.Generator().manual_seed(0)
    return [
        (
            Intervention(
                site="resid_post",
                layer=layer,
                operation="replace",
                vector=torch.randn(prompts, loaded.facts.width, generator=generator),
                where="last",
            ),
        )
        for _ in range(kinds)
        for layer in range(1, loaded.facts.layers + 1)
    ]


@torch.inference_mode()
def hooked(loaded: LoadedModel, questions: list[Question], setting: Setting) -> torch.Tensor:
    """Log-probabilities [P, J] of one patch, by a whole pass of all prompts."""
    ids_BT = torch.tensor([question.prompt for question in questions])
    rows, end = ids_BT.shape
    places = [
        place
        for row in range(rows)
        for place in places_of(setting, prompt=row, row=row, length=end, end=end)
    ]
    with armed(loaded.sites, gather(places, device=loaded.device), rows=rows):
        logs_BV = loaded.model(input_ids=ids_BT, use_cache=False).logits[:, -1].log_softmax(dim=-1)
    options_BJ = torch.tensor([[one for (one,) in question.options] for question in questions])
    return logs_BV.gather(1, options_BJ)


def main() -> None:
    """Both ways in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--kinds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    loaded = random_model(layers=given.layers, width=given.width, threads=given.threads)
    generator = torch.Generator().manual_seed(1)
    questions = [
        Question(
            tuple(torch.randint(1, 32000, (given.tokens,), generator=generator).tolist()),
            tuple((100 + option,) for option in range(OPTIONS)),
        )
        for _ in range(given.prompts)
    ]
    settings = patches(loaded, prompts=given.prompts, kinds=given.kinds)
    few = settings[:: max(1, len(settings) // NAIVE)][:NAIVE]
    plain, fast, slow = [], [], []
    for _ in range(given.rounds):
        for times, work in (
            (plain, lambda: sweep(loaded, questions, [()])),
            (fast, lambda: sweep(loaded, questions, settings)),
            (slow, lambda: [hooked(loaded, questions, setting) for setting in few]),
        ):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    scaled = [one * len(settings) / len(few) for one in slow]
    found = sweep(loaded, questions, few)
    apart = max(
        float((hooked(loaded, questions, setting) - torch.tensor(own).squeeze(-1)).abs().max())
        for setting, own in zip(few, found, strict=True)
    )
    passes = median(one / other for one, other in zip(fast, plain, strict=True))
    ratio = median(one / other for one, other in zip(scaled, fast, strict=True))
    size = sum(weight.numel() for weight in loaded.model.parameters()) / 1e6
    print("| model | prompts | patches | one sweep | plain passes | naive / sweep | apart |")
    print("|---|---|---|---|---|---|---|")
    row = [f"{size:.0f} M parameters, {given.layers} layers"]
    row += [f"{given.prompts} of {given.tokens} tokens", f"{given.layers} layers x {given.kinds}"]
    row += [f"{median(fast):.2f} s", f"{passes:.2f}", f"{ratio:.0f} x", f"{apart:.1e}"]
    print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

"""Nine strengths of rescaled neurons in the last third of the layers, three ways.

    python docs/benchmarks/rescaling.py [--layers 12] [--width 768] [--tokens 164] [--threads 1]

A Llama of that size with random weights answers prompts by letter while random categories of the
neurons of some layers are rescaled at all tokens (CLAS): in one sweep, which runs the layers before
them once; with a hook in a whole pass for each strength; and with the factors folded into the down
projections, in a whole pass for each strength, weights put back after it. All run in turn, beside a
plain pass; the log-probabilities of all are compared. Rows are Markdown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import median

import torch
from patching import random_model

from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel
from actors.prediction.predict import Question
from actors.sweeping.sweep import sweep
from studies.neuron_options import strength

ALPHAS = (-8.0, -6.0, -4.0, -3.0, -2.0, -1.0, 0.5, 1.0, 2.0)
BETA, GAMMA = 0.4, 0.2
SHARED, SPECIFIC = 0.5, 0.1  # shares of a layer's neurons, as real models have them


def rescalings(loaded: LoadedModel) -> list[Setting]:
    """A setting for every alpha, in the last third of the layers but the final two."""
    last, generator = loaded.facts.layers, torch.Generator().manual_seed(0)
    layers = range(1 + round(last * 2 / 3), last - 1)
    drawn = {layer: torch.rand(loaded.facts.neurons, generator=generator) for layer in layers}
    settings = []
    for alpha in ALPHAS:
        shared, specific = strength(alpha, beta=BETA, gamma=GAMMA)
        settings.append(
            tuple(
                Intervention(
                    site="mlp_hidden",
                    layer=layer,
                    operation="scale",
                    vector=shared * (drawn_F < SHARED).float()
                    + specific * (drawn_F > 1 - SPECIFIC).float(),
                )
                for layer, drawn_F in drawn.items()
            )
        )
    return settings


@torch.inference_mode()
def whole_pass(
    loaded: LoadedModel, questions: Sequence[Question], setting: Setting = ()
) -> torch.Tensor:
    """Log-probabilities [P, J], by a pass of all prompts through all layers."""
    ids_BT = torch.tensor([question.prompt for question in questions])
    rows, end = ids_BT.shape
    places = [
        place
        for row in range(rows)
        for place in places_of(setting, prompt=row, row=row, length=end, end=end)
    ]
    edits = gather(places, device=loaded.device)
    with armed(loaded.sites, edits, rows=rows) if edits else nullcontext():
        states_BTD = loaded.sites.base(input_ids=ids_BT, use_cache=False).last_hidden_state
        logs_BV = loaded.sites.logits(states_BTD[:, -1]).log_softmax(dim=-1)
    options_BJ = torch.tensor([[one for (one,) in question.options] for question in questions])
    return logs_BV.gather(1, options_BJ)


@torch.inference_mode()
def folded(loaded: LoadedModel, questions: Sequence[Question], setting: Setting) -> torch.Tensor:
    """The same with the factors in the weights, which are put back to the bit."""
    kept = []
    for one in setting:
        weight_DF = loaded.sites.mlps[one.layer - 1].down.weight
        assert isinstance(weight_DF, torch.Tensor)
        kept.append((weight_DF, weight_DF.clone()))
        weight_DF.mul_(1 + one.vector)
    try:
        return whole_pass(loaded, questions)
    finally:
        for weight_DF, before_DF in kept:
            weight_DF.copy_(before_DF)


def main() -> None:
    """All ways in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=164)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    loaded = random_model(layers=given.layers, width=given.width, threads=given.threads)
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(1, 32000, (given.prompts, given.tokens), generator=generator).tolist()
    questions = [Question(tuple(prompt), ((100,), (101,), (102,))) for prompt in prompts]
    settings = rescalings(loaded)
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: whole_pass(loaded, questions),
        "sweep": lambda: sweep(loaded, questions, settings),
        "hook": lambda: [whole_pass(loaded, questions, setting) for setting in settings],
        "folded": lambda: [folded(loaded, questions, setting) for setting in settings],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    found = torch.tensor(sweep(loaded, questions, settings)).squeeze(-1)
    hooked = torch.stack([whole_pass(loaded, questions, setting) for setting in settings])
    weights = torch.stack([folded(loaded, questions, setting) for setting in settings])
    last, first = loaded.facts.layers, settings[0][0].layer
    print(
        f"{len(settings)} strengths, layers {first} to {settings[0][-1].layer} of {last}: blocks "
        f"that cannot be avoided {(last - first + 1) / last:.2f} of a pass for each; largest "
        f"difference of a log-probability {float((found - hooked).abs().max()):.1e} (hook), "
        f"{float((found - weights).abs().max()):.1e} (folded)\n"
    )
    print("| way | plain passes for each strength |\n|---|---|")
    for name in ("sweep", "hook", "folded"):
        # The layers before the first one are shared by all strengths; what each adds is the rest.
        shared = (first - 1) / last if name == "sweep" else 0
        each = [
            (one / plain - shared) / len(settings)
            for one, plain in zip(times[name], times["plain"], strict=True)
        ]
        print(f"| {name} | {median(each):.2f} |")


if __name__ == "__main__":
    main()

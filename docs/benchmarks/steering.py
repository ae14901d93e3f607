"""A grid of steered answers beside the plain answers to the same items, and beside one pass each.

    python docs/benchmarks/steering.py [MODEL] [--width 512] [--prompt latent] [--threads 1]

The items are those of mini_belebele in one language; settings are 4 layers x 11 coefficients of a
random vector at the last prompt token, coefficient 0 among them. The plain way ranks the items
once; the sweep ranks them under every setting; the naive way is one hooked pass for each item and
setting, one item at a time, on a few items, scaled up. All run in turn in one process on the same
weights. With `--width`, the model is a Llama of that width with random weights and the tokenizer of
MODEL. What is printed are rows for docs/benchmarks/.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel, load
from actors.prediction.score import ask, score
from actors.structure.find import find
from actors.structure.sites import edit
from actors.sweeping.sweep import sweep_choices
from studies import benchmarks
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model
from studies.texts import ChoiceSet

COEFFICIENTS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
NAIVE_ITEMS = 4


def widened(loaded: LoadedModel, *, width: int, layers: int) -> LoadedModel:
    """A Llama of another size with random weights, under the tokenizer of a loaded model."""
    config = LlamaConfig(
        vocab_size=loaded.sites.embedding_weight.shape[0],
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=loaded.facts.context,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation=loaded.attention)
    model = model.eval().requires_grad_(False)
    known = replace(loaded.facts, layers=layers, width=width)
    return replace(loaded, facts=known, model=model, sites=find(model, layers=layers))


def grid(loaded: LoadedModel) -> list[Setting]:
    """Four layers, the last among them, and eleven coefficients."""
    last, width = loaded.facts.layers, loaded.sites.width("resid_post")
    settings: list[Setting] = []
    for layer in sorted({max(1, round(last * part / 4)) for part in (1, 2, 3, 4)}):
        vector_D = torch.randn(width, generator=torch.Generator().manual_seed(layer))
        settings += [
            (
                Intervention(
                    site="resid_post",
                    layer=layer,
                    operation="add",
                    vector=vector_D,
                    coefficient=coefficient,
                    where="last",
                ),
            )
            for coefficient in COEFFICIENTS
        ]
    return settings


@torch.inference_mode()
def naive(loaded: LoadedModel, asked: ChoiceSet, settings: list[Setting]) -> None:
    """One hooked pass for every item, setting and option of several tokens."""
    for entry in ask(loaded, asked.items):
        prompt, options = entry.question
        single = all(len(option) == 1 for option in options)
        for (one,) in settings:
            for option in options[:1] if single else options:
                ids_BT = torch.tensor([[*prompt, *option[:-1]]])

                def push(
                    value_BTD: torch.Tensor, one: Intervention = one, at: int = len(prompt) - 1
                ) -> torch.Tensor:
                    changed_BTD = value_BTD.clone()
                    assert isinstance(one.coefficient, float)
                    changed_BTD[:, at] += one.coefficient * one.vector
                    return changed_BTD

                with edit(loaded.sites.port(one.site, layer=one.layer), push, rows=1):
                    loaded.model(input_ids=ids_BT, use_cache=False).logits.log_softmax(dim=-1)


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """All three ways in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="miniworld-llama")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--prompt", default="latent")
    parser.add_argument("--language", default="deu_Latn")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    loaded = load(facts(Model(id=given.model)), device="cpu", threads=given.threads)
    if given.width:
        loaded = widened(loaded, width=given.width, layers=given.layers)
    asked = benchmarks.load(
        "mini_belebele", language=given.language, source=Source(), limit=given.items,
        prompt=given.prompt,
    )  # fmt: skip
    settings, few = grid(loaded), replace(asked, items=asked.items[:NAIVE_ITEMS])
    share = len(asked.items) / len(few.items)
    plains, sweeps, naives = [], [], []
    for _ in range(given.rounds):
        plains.append(seconds(lambda: score(loaded, asked.items, normalise=asked.normalise)))
        sweeps.append(
            seconds(lambda: sweep_choices(loaded, asked.items, settings, normalise=asked.normalise))
        )
        naives.append(seconds(lambda: naive(loaded, few, settings)) * share)
        print(
            f"plain {plains[-1]:.2f} s, sweep {sweeps[-1]:.2f} s, naive {naives[-1]:.0f} s",
            flush=True,
        )
    ratio = median(slow / fast for slow, fast in zip(sweeps, plains, strict=True))
    saved = median(slow / fast for slow, fast in zip(naives, sweeps, strict=True))
    print(
        f"{len(asked.items)} items, {len(settings)} settings, prompt {given.prompt}, "
        f"{loaded.facts.layers} layers of width {loaded.sites.width('resid_post')}: plain "
        f"{median(plains):.2f} s, sweep {median(sweeps):.2f} s, ratio {ratio:.2f}; the naive way "
        f"takes {saved:.0f} times as long as the sweep"
    )


if __name__ == "__main__":
    main()

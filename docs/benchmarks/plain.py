"""One measure as a plain script computes it, and as an actor does: same values, and the ratio.

    python docs/benchmarks/plain.py MODEL DATA_ROOT [--languages 12] [--pairs 100] [--threads 1]

The plain script follows MEXA's released code: one sentence per forward pass with all hidden
states, weighted pooling, and a cosine in Python for every pair of sentences. The actor answers the
same cells, all layers, one measure and pooling. Both run in turn in one process on the same loaded
weights; every value must be equal. What is printed are rows for docs/benchmarks/.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from actors.model import LoadedModel, load
from actors.work import run_unit
from orchestrator import models
from orchestrator import plan as plans
from studies import parallel_text
from studies.kinds.alignment import AlignmentGrid
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model, Switches
from studies.study import Study
from studies.texts import Bitext
from studies.unit import Unit

Vectors = list[list[np.ndarray]]  # by sentence, then by layer


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    """The cosine of two vectors."""
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


@torch.no_grad()
def embed(loaded: LoadedModel, texts: tuple[str, ...]) -> Vectors:
    """Every sentence by itself, weighted over positions, every layer."""
    found = []
    for text in texts:
        ids = loaded.tokenizer(text, return_tensors="pt").input_ids
        states = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
        weights = torch.arange(1, ids.shape[1] + 1, dtype=torch.float32)
        weights /= weights.sum()
        found.append([(weights @ state[0].float()).double().numpy() for state in states])
    return found


def score(pivot: Vectors, language: Vectors, *, layer: int) -> float:
    """The share of pairs that are each other's strict nearest neighbour."""
    n = len(pivot)
    table = [[cosine(pivot[i][layer], language[j][layer]) for j in range(n)] for i in range(n)]
    hits = 0
    for i in range(n):
        row = max(table[i][j] for j in range(n) if j != i)
        column = max(table[j][i] for j in range(n) if j != i)
        hits += table[i][i] > row and table[i][i] > column
    return hits / n


def plain(loaded: LoadedModel, bitexts: list[Bitext]) -> dict[tuple[str, int], float]:
    """Every value by the plain script."""
    pivot = embed(loaded, bitexts[0].pivot_texts)
    values = {}
    for bitext in bitexts:
        language = embed(loaded, bitext.texts)
        for layer in range(loaded.facts.layers + 1):
            values[bitext.language, layer] = score(pivot, language, layer=layer)
    return values


def actor(loaded: LoadedModel, units: tuple[Unit, ...]) -> dict[tuple[str, int], float]:
    """Every value as a study computes it."""
    return {
        (str(row["language"]), int(str(row["layer"]))): float(str(row["value"]))
        for unit in units
        for row in run_unit(loaded, unit).rows
    }


def main() -> None:
    """Both ways in turn, three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--languages", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    source = Source(data_root=asked.data_root)
    there = parallel_text.languages("flores200", source=source)
    step = max(1, len(there) // asked.languages)
    chosen = [name for name in there[::step] if name != "eng_Latn"][: asked.languages]
    grid = AlignmentGrid(
        dataset="flores200", languages=tuple(chosen), pairs=asked.pairs, measures=("mexa",),
        poolings=("weighted",), switches=Switches(last_layer="normed"),
    )  # fmt: skip
    model = Model(id=asked.model)
    study = Study(name="plain", models=(model,), grids=(grid,))
    units = plans.build(study, models.read(study.models), source=source).units
    bitexts = [
        parallel_text.load(
            "flores200", language=name, pivot="eng_Latn", pairs=asked.pairs, source=source
        )
        for name in chosen
    ]
    loaded = load(facts(model), device="cpu", threads=asked.threads)
    ratios = []
    for _ in range(3):
        began = time.perf_counter()
        expected = plain(loaded, bitexts)
        middle = time.perf_counter()
        found = actor(loaded, units)
        ended = time.perf_counter()
        assert found.keys() == expected.keys()
        differing = [place for place in found if abs(found[place] - expected[place]) > 1e-12]
        ratios.append((middle - began) / (ended - middle))
        print(
            f"{len(found)} values of {len(chosen)} languages, {len(differing)} differing: plain "
            f"{middle - began:.2f} s, actor {ended - middle:.2f} s, ratio {ratios[-1]:.1f}",
            flush=True,
        )
    print(f"median ratio {sorted(ratios)[1]:.1f}")


if __name__ == "__main__":
    main()

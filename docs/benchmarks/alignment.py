"""Time a whole alignment study of one model against a plain batched forward of the same tokens.

    python docs/benchmarks/alignment.py MODEL DATA_ROOT [--rounds 3]

Both run in this process, on the same batches, in turn: the plain forward (no hooks, no head, no
scores), and everything a study's actor does (tokenising, every measure, pooling and layer, scores,
rows). What is printed last is a row for docs/benchmarks/.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from actors import work
from actors.kinds.resources import PivotCache
from actors.model import LoadedModel, load
from actors.passes import batching
from orchestrator import models
from orchestrator import plan as plans
from studies.recipes import neuronxa
from studies.rows import Source
from studies.texts import Bitext


@torch.inference_mode()
def plain(loaded: LoadedModel, planned: plans.Plan) -> tuple[float, int]:
    """Seconds and tokens of a bare forward over every language and, once, the pivot."""
    seconds, tokens, pivots = 0.0, 0, set()
    for unit in planned.units:
        for part in unit.parts:
            bitext = part.content
            assert isinstance(bitext, Bitext)
            texts = [bitext.texts]
            if bitext.pivot_texts not in pivots:
                pivots.add(bitext.pivot_texts)
                texts.append(bitext.pivot_texts)
            for chosen in texts:
                sequences = loaded.encode(chosen, allow_truncation=False).sequences
                unique = batching.distinct(sequences).sequences
                lengths = [len(sequence) for sequence in unique]
                batches = batching.plan(lengths, budget=loaded.budget.tokens)
                padded = [batching.pad(unique, batch) for batch in batches]
                began = time.perf_counter()
                for ids in padded:
                    loaded.sites.base(input_ids=ids.to(loaded.device), use_cache=False)
                seconds += time.perf_counter() - began
                tokens += sum(lengths)
    return seconds, tokens


def whole(loaded: LoadedModel, planned: plans.Plan) -> tuple[float, int]:
    """Seconds and rows of everything an actor does for the study."""
    pivots, rows = PivotCache(), 0
    began = time.perf_counter()
    for unit in planned.units:
        rows += len(work.run_unit(loaded, unit, pivots=pivots).rows)
    return time.perf_counter() - began, rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    asked = neuronxa.Options(
        models=(arguments.model,),
        parallels=("flores200",),
        parts=("scores",),
        measures=("mexa", "nasca", "navca"),
    )
    study = neuronxa.study(asked)
    planned = plans.build(
        study, models.read(study.models), source=Source(data_root=arguments.data_root)
    )
    loaded = load(planned.models[0], device="cpu", threads=arguments.threads)
    ratios = []
    for _ in range(arguments.rounds):
        forward, tokens = plain(loaded, planned)
        study_seconds, rows = whole(loaded, planned)
        ratios.append(study_seconds / forward)
        print(
            f"plain forward {forward:.1f} s ({tokens:,} tokens, {tokens / forward:,.0f}/s); "
            f"study {study_seconds:.1f} s ({rows:,} rows); ratio {ratios[-1]:.2f}"
        )
    print(f"median ratio {statistics.median(ratios):.2f}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
